"""
The services of docker-compose.yml without Docker: its commands, settings, folders and names, in a network of their own.

``unshare --map-root-user --net --mount python -m tests.stack.compose_up FOLDER EXPECTED``, where the folder is one that
``otel-progress stack init`` has written. Names of services mean this machine; nothing listens outside the namespace.
A job pushes to the published port; what the data sources of Grafana come to answer must be what is expected, in JSON.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import yaml

from .job import JOBS, environment
from .programs import get, tool, wait_for

SERVICES: Final = ("prometheus", "tempo", "jaeger", "loki", "collector")
PROGRAMS: Final = {"collector": "otelcol"}
"""Programs that are not called what their service is."""
ASKED_BY: Final = {"/tempo": "tempo", "/usr/bin/loki": "loki", "promtool": "promtool"}
"""What health checks call in the images, and here."""
SERVICE: Final = "composed"
READY_SECONDS: Final = 90.0
SEEN_SECONDS: Final = 60.0


class Composed:
    """A service that runs as the compose file says, its container being a folder."""

    def __init__(self, name: str, service: dict[str, Any], folder: Path) -> None:
        self.name = name
        self._service = service
        self._root = folder / "containers" / name
        for mount in service["volumes"]:
            source, target, *_ = mount.split(":")
            self._mount(folder / source if source.startswith(".") else folder / "volumes" / source, target)

    def _mount(self, source: Path, target: str) -> None:
        place = self._root / target.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, place, dirs_exist_ok=True)
        elif source.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
        else:
            place.mkdir(parents=True)  # a named volume

    def inside(self, text: str) -> str:
        """Return a setting or an option whose value is a path of the container, with the path as it is here."""
        tops = ["/etc/progress", *(mount.split(":")[1] for mount in self._service["volumes"])]
        return re.sub(rf"(^|=)(?=({'|'.join(tops)})(/|$))", rf"\g<1>{self._root}", text)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the program that is the image's."""
        env = {name: self.inside(str(value)) for name, value in self._service.get("environment", {}).items()}
        command = [str(tool(PROGRAMS.get(self.name, self.name))), *map(self.inside, self._service["command"])]
        with (self._root / "log").open("wb") as log:
            return subprocess.Popen(command, env=env, cwd=self._root, stdout=log, stderr=log)

    def is_healthy(self) -> bool:
        """Run the health check of the service; the Collector is asked from outside."""
        if "healthcheck" not in self._service:
            return bool(get("http://127.0.0.1:13133/"))
        _, program, *arguments = self._service["healthcheck"]["test"]
        if program == "wget":
            return bool(get(arguments[-1]))
        return subprocess.run([tool(ASKED_BY[program]), *arguments], capture_output=True, check=False).returncode == 0


def ask(folder: Path, since: float) -> dict[str, Any]:
    """Ask each data source, at the address that Grafana has for it, what it knows of the job."""
    file = yaml.safe_load((folder / "collector" / "grafana" / "datasources.yaml").read_text())
    url = {each["uid"]: each["url"] for each in file["datasources"]}

    def value(query: str) -> float | None:
        found = json.loads(get(f"{url['prometheus']}/api/v1/query", query=query))["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    def traces() -> list[Any]:
        query = {"q": f'{{ resource.service.name = "{SERVICE}" }}', "start": int(since), "end": int(time.time()) + 60}
        return json.loads(get(f"{url['tempo']}/api/search", **query))["traces"]

    def lines() -> list[Any]:
        query = {"query": f'{{service_name="{SERVICE}"}}', "start": f"{since:.0f}000000000"}
        return json.loads(get(f"{url['loki']}/loki/api/v1/query_range", **query))["data"]["result"]

    return {
        "bytes": value(f'progress_bytes_total{{service_name="{SERVICE}"}}'),
        "calls": value(f'sum(traces_span_metrics_calls_total{{service_name="{SERVICE}"}})'),
        "collector is up": value('up{job="collector"}'),
        "rules": len(json.loads(get(f"{url['prometheus']}/api/v1/rules"))["data"]["groups"]),
        "in Tempo": len(traces()),
        "in Jaeger": SERVICE in get(f"{url['jaeger']}/api/v3/services"),
        "in Loki": sum(len(each["values"]) for each in lines()),
    }


def main(folder: Path, expected: dict[str, Any]) -> None:
    """Bring everything up, run the job, ask until all has arrived, and stop everything."""

    def has_arrived() -> bool:
        found = ask(folder, since)
        assert found == expected, found
        return True

    hosts = folder / "hosts"
    services = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]
    hosts.write_text(f"127.0.0.1 localhost {' '.join(services)}\n")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    composed = [Composed(name, services[name], folder) for name in SERVICES]
    running = [each.start() for each in composed]
    try:
        for each in composed:
            wait_for(each.is_healthy, READY_SECONDS, f"{each.name} being healthy by its own check")
        since = time.time()
        job = [sys.executable, str(JOBS / "steady_work.py"), "--no-pause"]
        env = environment("http://127.0.0.1:4318", SERVICE, {"OTEL_METRIC_EXPORT_INTERVAL": "500"})
        subprocess.run(job, env=env, capture_output=True, check=True)
        wait_for(has_arrived, SEEN_SECONDS, "all that is expected")
    finally:
        for process in running:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
