"""
What happens on the stage: every scenario at once, each a service of its own, with the moments at which it is looked at.

Services are named like the scenarios. `ALERTS_OF` says which alerts each of them makes fire, and that is all they may.
"""

from __future__ import annotations

import json
import signal
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_progress import names
from tests.stack.job import Job, command, environment
from tests.stack.programs import REPOSITORY, get, wait_for

from .stage import NOBODY_URL, REPORT, Stage

SCRIPT: Final = Path(__file__).with_name("work.py")
DEMO: Final = (
    "-c",
    "import sys; from otel_progress.cli import main; sys.exit(main(sys.argv[1:]))",
    *("demo", "--quick", "--json", "--prometheus", "0", str(REPOSITORY / "dashboards")),
)
"""What the console script does, on a small folder."""
OPERATIONS: Final = {
    "demo": "demo",
    "healthy": "import",
    "short": "thumbnails",
    "paused": "backup",
    "retrying": "upload",
    "stalled": "copy-tables",
    "killed": "resize",
    "revived": "resize",
    "slow": "transcode",
    "overdue": "report",
    "failing": "migrate",
    "errors": "download",
    "quality": "train",
    "throughput": "consume",
    "limited": "summarise",
    "greedy": "merge",
    "custom": "queue",
    "untold": "crawl",
    "endings": "sync",
    "unsent": "import",
    "missing": "nightly",
}
"""The services, and the operation that each runs; `missing` is one that does not."""
ALERTS_OF: Final[Mapping[str, set[str]]] = {
    "stalled": {"ProgressStalled"},
    "killed": {"ProgressDead"},
    "revived": {"ProgressDead"},
    # Four times slower than it began: it will be late as well.
    "slow": {"ProgressSlow", "ProgressOverdue"},
    "overdue": {"ProgressOverdue"},
    "failing": {"ProgressFailed"},
    "errors": {"ProgressErrorRate"},
    "quality": {"ProgressQuality"},
    "throughput": {"ProgressLowThroughput"},
    "limited": {"ProgressRateLimited"},
    "greedy": {"ProgressDeviates"},
    "custom": {"ProgressDeviates"},
    "missing": {"ProgressNeverStarted"},
    "untold": {"ProgressTelemetryLost"},
    "collector": {"ProgressTelemetryDown", "ProgressTelemetryStuck"},
}
"""All other services: none. Alerts about the Collector have no service of a job."""
PERHAPS: Final[Mapping[str, set[str]]] = {"demo": {"ProgressSlow", "ProgressOverdue"}}
"""It is as fast as the machine lets it: where others use that as well, the second run may be slower than the first."""
HAVE_EARLIER_RUNS: Final = ("slow", "overdue")
END_BY_THEMSELVES: Final = ("short", "failing", "untold", "endings")
KILLED: Final = ("killed", "revived")
"""The second is started again after all else has ended."""
PROGRAM_OF: Final = {"revived": "killed", "unsent": "healthy", "edge": "healthy"}
"""Services that run the program of another one; the spans of `unsent` find nobody."""
HELD: Final = tuple(name for name in OPERATIONS if name not in {"demo", "missing", *KILLED, *END_BY_THEMSELVES})
"""They go on until they are told to end."""
KILLED_AFTER_PICTURES: Final = 60
FIRING_SECONDS: Final = 60.0
"""How long it may take until all alerts fire."""
QUIET_SECONDS: Final = 5.0
"""How much longer is waited for one that should not."""
RECORDED_SECONDS: Final = 20.0
"""When what ended is in totals for long-term storage: a slot of 15 s, and the 3 s its rule waits."""


@dataclass
class Played:
    """What happened, with unix times."""

    stage: Stage
    began_at: float = 0.0
    stuck_at: float = 0.0
    """The second Collector's queue is full, just before it is killed."""
    held_at: float = 0.0
    """Everything that shall deviate does, all alerts fire, and nothing has ended that was to go on."""
    ended_at: float = 0.0
    """All have ended, by themselves or as they were told."""
    again_at: float = 0.0
    """`revived` was started again, and ended."""
    killed_at: float = 0.0

    def fired(self) -> dict[str, set[str]]:
        """Return all alerts that ever fired, by service; those about a Collector under its scrape job."""
        seconds = time.time() - self.began_at + 60
        found: dict[str, set[str]] = defaultdict(set)
        query = f'count by (job, alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{seconds:.0f}s]))'
        for each in self.stage.prometheus.promql(query):
            found[each.labels.get("job", "collector")].add(each.labels["alertname"])
        return dict(found)


def firing(stage: Stage) -> dict[str, set[str]]:
    """Return the alerts that fire now, by service, as `/api/v1/alerts` has them."""
    found: dict[str, set[str]] = defaultdict(set)
    for each in json.loads(get(f"{stage.prometheus.url}/api/v1/alerts"))["data"]["alerts"]:
        if each["state"] == "firing":
            found[each["labels"].get("job", "collector")].add(each["labels"]["alertname"])
    return dict(found)


class Company:
    """The jobs of the scenarios."""

    def __init__(self, stage: Stage, stack: ExitStack) -> None:
        self._stage = stage
        self._stack = stack
        self.jobs: dict[str, Job] = {}

    def run(self, service: str, *arguments: str) -> Job:
        """Start the program of a service."""
        settings = {
            "OTEL_METRIC_EXPORT_INTERVAL": REPORT.removesuffix("ms"),
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_BLRP_SCHEDULE_DELAY": "200",
            "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.4.2",
            "OTEL_PROGRESS_STORE": str(self._stage.folder / f"{service}.db"),
        }
        if service == "unsent":
            settings["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{NOBODY_URL}/v1/traces"
        collector = self._stage.edge if service == "edge" else self._stage.collector
        env = environment(collector.otlp_url, service, settings)
        what = DEMO if service == "demo" else (str(SCRIPT), PROGRAM_OF.get(service, service))
        job = self._stack.enter_context(command([*what, *arguments], env, self._stage.folder))
        self.jobs[service] = job
        return job


def play(stage: Stage) -> Played:
    """Play all scenarios on a stage that runs."""
    played = Played(stage, began_at=time.time())
    with ExitStack() as stack:
        company = Company(stage, stack)
        # Earlier runs, which are the history of what comes.
        earlier = [company.run(name, "--earlier") for name in HAVE_EARLIER_RUNS]
        for _ in range(2):
            demo = company.run("demo")
            assert demo.gone() == 0, demo.errors
        for job in earlier:
            assert job.gone() == 0, job.errors
        for name in OPERATIONS:
            if name not in {"missing", "demo"}:
                company.run(name)
        company.run("edge")
        jobs = company.jobs
        alive = (
            f'{names.LEVEL_DONE.prometheus}{{job=~"{"|".join(KILLED)}",progress_level!=""}} > {KILLED_AFTER_PICTURES}'
        )
        wait_for(lambda: len(stage.prometheus.promql(alive)) == len(KILLED), FIRING_SECONDS, "what is to be killed")
        for name in KILLED:
            jobs[name].send(signal.SIGKILL)
        played.killed_at = time.time()
        with suppress(AssertionError):  # as below
            wait_for(lambda: "ProgressTelemetryStuck" in firing(stage).get("collector", ()), FIRING_SECONDS)
        played.stuck_at = time.time()
        stage.edge.kill()
        jobs["edge"].send(signal.SIGKILL)
        wanted = {name: alerts - {"ProgressTelemetryStuck"} for name, alerts in ALERTS_OF.items()}

        def all_fire() -> bool:
            now = firing(stage)
            missing = {name: alerts - now.get(name, set()) for name, alerts in wanted.items()}
            assert not any(missing.values()), {name: alerts for name, alerts in missing.items() if alerts}
            return True

        with suppress(AssertionError):  # a test says which does not fire
            wait_for(all_fire, FIRING_SECONDS)
        time.sleep(QUIET_SECONDS)
        played.held_at = time.time()
        for name in HELD:
            jobs[name].go()
        for name in HELD:
            assert jobs[name].gone() == 0, f"{name}: {jobs[name].errors}"
        time.sleep(QUIET_SECONDS)
        played.ended_at = time.time()
        again = company.run("revived", "--again")
        assert again.gone() == 0, again.errors
        time.sleep(QUIET_SECONDS)
        played.again_at = time.time()
        time.sleep(max(0.0, played.ended_at + RECORDED_SECONDS - played.again_at))
    return played
