"""Settings, and what `configure` makes of them; where global providers are set, in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from otel_progress import ConfigError, configure
from otel_progress._bounds import redact
from otel_progress._config import PROMETHEUS_PORT, Config
from tests.unit.kit import python

# name: (argument, its value), (text of the variable, its value)
VALUES: dict[str, tuple[tuple[Any, Any], tuple[str, Any]]] = {
    "enabled": ((False, False), (" OFF ", False)),
    "service_name": (("import", "import"), ("night job", "night job")),
    "otlp": (("http", "http"), ("GRPC", "grpc")),
    "prometheus": ((9_999, 9_999), ("on", PROMETHEUS_PORT)),
    "prometheus_host": (("::1", "::1"), (" 127.0.0.2 ", "127.0.0.2")),
    "terminal": (("lines", "lines"), ("off", "off")),
    "export_interval_seconds": ((5, 5.0), ("0.5", 0.5)),
    "open_after_seconds": ((0, 0.0), ("off", float("inf"))),
    "checkpoint_seconds": ((5, 5.0), ("off", float("inf"))),
    "checkpoints_limit": ((0, 0), ("7", 7)),
    "trace_bytes_limit": ((200_000, 200_000.0), ("off", float("inf"))),
    "adopt": ((["sync", "nightly"], ("sync", "nightly")), ("sync, nightly", ("sync", "nightly"))),
    "signals": ((False, False), ("off", False)),
    "short_level_events": ((True, True), ("yes", True)),
    "eta_method": (("linear", "linear"), ("LINEAR", "linear")),
    "history_limit": ((0, 0), ("7", 7)),
    "live_levels_limit": ((1, 1), ("1000000", 1_000_000)),
    "label_sets_limit": ((1, 1), ("400", 400)),
    "store": ((False, "off"), ("/var/lib/jobs/progress.db", "/var/lib/jobs/progress.db")),
    "store_details": ((True, True), ("on", True)),
    "history": (
        (["tempo=http://tempo:3200/", "jaeger"], ("tempo=http://tempo:3200", "jaeger=http://127.0.0.1:16686")),
        (
            "http://metrics:9090, tempo=https://t.example/base",
            ("prometheus=http://metrics:9090", "tempo=https://t.example/base"),
        ),
    ),
}

WRONG: list[tuple[str, Any]] = [
    ("enabled", "maybe"),
    ("enabled", 2),
    ("otlp", "ftp"),
    ("prometheus", "many"),
    ("prometheus", 65_536),
    ("prometheus", -1),
    ("prometheus", 80.5),
    ("prometheus_host", "  "),
    ("terminal", "big"),
    ("export_interval_seconds", 0),
    ("export_interval_seconds", float("nan")),
    ("export_interval_seconds", "soon"),
    ("export_interval_seconds", True),
    ("open_after_seconds", -1),
    ("open_after_seconds", "never"),
    ("checkpoint_seconds", 0.5),
    ("checkpoints_limit", 1_001),
    ("trace_bytes_limit", 99_999),
    ("adopt", 3),
    ("signals", "perhaps"),
    ("short_level_events", "sometimes"),
    ("eta_method", "magic"),
    ("eta_method", True),
    ("history_limit", -1),
    ("history_limit", 7.5),
    ("history_limit", float("inf")),
    ("live_levels_limit", 0),
    ("label_sets_limit", 401),
    ("label_sets_limit", None),
    ("store", "maybe"),
    ("store", "jobs/progress.db"),
    ("store", "/var/lib/jobs/"),
    ("store", 3),
    ("store_details", "some"),
    ("history", "loki"),
    ("history", "tempo=ftp://127.0.0.1"),
    ("history", "tempo=http://"),
    ("history", "http://127.0.0.1:4318"),
    ("history", "tempo=http://127.0.0.1:port"),
    ("redact", "not a function"),
    ("rules", 3),
    ("rules", ["not a rule"]),
]


def test_defaults_hold_where_nothing_is_said() -> None:
    """Nothing is sent, nothing listens, and the program is not slowed down."""
    assert Config.make({}) == Config(
        enabled=True,
        service_name=None,
        otlp="auto",
        prometheus=None,
        prometheus_host="127.0.0.1",
        terminal="auto",
        export_interval_seconds=10.0,
        open_after_seconds=2.0,
        checkpoint_seconds=60.0,
        checkpoints_limit=100,
        trace_bytes_limit=4_000_000.0,
        adopt=(),
        signals=True,
        short_level_events=False,
        eta_method="adaptive",
        history_limit=100,
        live_levels_limit=50_000,
        label_sets_limit=300,
        store="on",
        store_details=False,
        history=(),
        redact=redact,
    )


def test_every_option_is_covered_here_and_is_an_argument_of_configure() -> None:
    """A new one must be given its cases."""
    options = {field.name for field in dataclasses.fields(Config)}
    assert options == {*VALUES, "redact", "rules"}
    assert options < set(configure.__kwdefaults__)
    assert set(configure.__kwdefaults__) - options == {"resource_attributes"}


@pytest.mark.parametrize("name", sorted(VALUES))
def test_arguments_win_over_variables_over_defaults(name: str) -> None:
    """Each option, by each way; case and spaces around do not matter in variables; an empty one is unset."""
    (argument, by_argument), (variable, by_variable) = VALUES[name]
    environment = {f"OTEL_PROGRESS_{name.upper()}": variable}
    default = getattr(Config.make({}), name)
    assert getattr(Config.make({}, **{name: argument}), name) == by_argument != default
    assert getattr(Config.make(environment), name) == by_variable != default
    assert getattr(Config.make(environment, **{name: argument}), name) == by_argument
    assert getattr(Config.make({f"OTEL_PROGRESS_{name.upper()}": "  "}), name) == default


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{name}-{value!r}" for name, value in WRONG])
def test_a_wrong_argument_is_an_error_that_says_what_is_allowed(name: str, value: Any) -> None:  # noqa: ANN401
    """It names the option, its allowed values, and what was given."""
    allowed = {field.name: field.metadata["allowed"] for field in dataclasses.fields(Config)}[name]
    with pytest.raises(ConfigError) as raised:
        Config.make({}, **{name: value})
    assert str(raised.value) == f"{name} must be {allowed}; got {value!r}"


WRONG_TEXTS = [
    (name, str(value)) for name, value in WRONG if str(value).strip() and name not in {"redact", "rules", "adopt"}
]


@pytest.mark.parametrize(("name", "text"), WRONG_TEXTS, ids=[f"{name}-{text}" for name, text in WRONG_TEXTS])
def test_a_wrong_variable_is_an_error_that_names_the_variable(name: str, text: str) -> None:
    """People who set it do not see the code."""
    variable = f"OTEL_PROGRESS_{name.upper()}"
    with pytest.raises(ConfigError, match=f"^{variable} must be .*; got '{text}'$"):
        Config.make({variable: text})


def test_an_unknown_option_is_an_error_that_lists_the_known_ones() -> None:
    """A typo is found."""
    with pytest.raises(ConfigError, match=r"no option 'terminale'; there are .*terminal"):
        Config.make({}, terminale="off")


@pytest.mark.parametrize(
    ("given", "port"),
    [(True, PROMETHEUS_PORT), (False, None), ("off", None), ("on", PROMETHEUS_PORT), ("0", 0), (7, 7)],
)
def test_the_prometheus_port_has_words(given: Any, port: int | None) -> None:  # noqa: ANN401
    """On is the default port of OpenTelemetry, off is none, 0 is any."""
    assert Config.make({}, prometheus=given).prometheus == port


@pytest.mark.parametrize(("given", "word"), [(True, "auto"), (False, "off"), ("auto", "auto")])
def test_the_terminal_may_be_a_truth_value(given: Any, word: str) -> None:  # noqa: ANN401
    """As `configure(terminal=False)` reads well."""
    assert Config.make({}, terminal=given).terminal == word


def test_a_source_of_history_may_be_an_address_alone() -> None:
    """Its port tells which backend it is."""
    given = "http://t:3200, https://j:16686/ui/, http://[::1]:9090"
    assert Config.make({"OTEL_PROGRESS_HISTORY": given}).history == (
        "tempo=http://t:3200",
        "jaeger=https://j:16686/ui",
        "prometheus=http://[::1]:9090",
    )


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """The message may end up in a log."""
    with pytest.raises(ConfigError, match=r"no passwords; got 'tempo=http://me:\*\*\*@host'"):
        Config.make({}, history="tempo=http://me:hunter2@host")


def test_the_store_may_be_in_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde in a variable is not expanded by shells everywhere."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Config.make({"OTEL_PROGRESS_STORE": "~/jobs.db"}).store == "/home/somebody/jobs.db"


def test_secrets_are_no_matter_of_the_environment() -> None:
    """A function cannot be named in a variable."""
    assert Config.make({"OTEL_PROGRESS_REDACT": "print"}).redact is redact


def test_a_wrong_variable_does_not_stop_a_program_that_never_configures() -> None:
    """It is logged, once, and the defaults hold."""
    done = python(
        """
from otel_progress import health, operation
for _ in range(2):
    with operation("job") as job:
        job.advance()
print(health().enabled)
""",
        environment={"OTEL_PROGRESS_HISTORY_LIMIT": "many"},
    )
    assert done.stdout == "True\n"
    assert done.stderr == (
        "otel_progress: OTEL_PROGRESS_HISTORY_LIMIT must be a number from 0 to 100000; got 'many'; using the defaults\n"
    )


# --- configure, in a process of its own -------------------------------------------------------------------------------

PRELUDE = """
import json, logging, os, sys, urllib.request
from opentelemetry import metrics, trace
import otel_progress
from otel_progress import ConfigError, configure, level, operation

def say(**facts):
    print(json.dumps(facts, default=str))

def kinds():
    from opentelemetry._logs import get_logger_provider
    return [
        type(provider).__module__.partition(".sdk")[1] != ""
        for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider())
    ]

def error_of(**options):
    try:
        configure(**options)
    except ConfigError as error:
        return str(error)

def scrape(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()
"""


def facts(script: str, **environment: str) -> dict[str, Any]:
    """Run a script that says what it found, as JSON; it must say nothing else, and nothing on stderr."""
    done = python(PRELUDE + script, environment={"OTEL_PROGRESS_TERMINAL": "off", **environment})
    assert done.stderr == ""
    assert done.returncode == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def each(script: str, cases: Sequence[tuple[str, Mapping[str, str]]], **environment: str) -> list[dict[str, Any]]:
    """Run a script for each case (options, environment) in a fork of one process, to import the SDK once only."""
    forks = f"""
from opentelemetry.exporter.otlp.proto.http import _log_exporter, metric_exporter, trace_exporter
from opentelemetry.sdk import _logs, metrics as _, trace as __
found = []
for options, environment in {[(options, dict(more)) for options, more in cases]!r}:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.environ.update(environment)
        options = json.loads(options)
        sys.stdout = open(writing, "w")
        exec({script!r})
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with open(reading) as lines:
        found.append(json.load(lines))
    os.wait()
say(found=found)
"""
    found: list[dict[str, Any]] = facts(forks, **environment)["found"]
    return found


NO_BACKEND = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_BSP_SCHEDULE_DELAY": "600000"}
"""Nothing is sent before the end; the tests leave before that."""

LEAVE = "\nsys.stdout.flush(); os._exit(0)  # the exporters would wait for a backend that is not there\n"


HERE, TRACES = "http://127.0.0.1:9", "http://127.0.0.1:9/v1/traces"
OTLP: list[tuple[str, dict[str, str], list[bool], str | None]] = [
    ("{}", {}, [False, False, False], None),
    ("{}", {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, [True, True, True], HERE),
    ("{}", {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, [False, False, False], None),
    ("{}", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": TRACES}, [True, False, False], TRACES),
    ("{}", {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_LOGS_EXPORTER": "none"}, [True, True, False], HERE),
    ('{"otlp": "off"}', {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, [False, False, False], None),
    ('{"otlp": "http"}', {}, [True, True, True], "http://localhost:4318"),
    ("{}", {"OTEL_PROGRESS_OTLP": "http"}, [True, True, True], "http://localhost:4318"),
    ('{"otlp": "http"}', {"OTEL_SDK_DISABLED": "True"}, [False, False, False], None),
    ('{"otlp": "http", "enabled": false}', {}, [False, False, False], None),
]


def test_otlp_is_sent_where_somebody_says_where_to() -> None:
    """The standard variables decide, unless the argument does; what is switched off stays off."""
    script = "handle = configure(**options); say(built=kinds(), endpoint=handle.otlp_endpoint)"
    found = each(script, [(options, environment) for options, environment, _, _ in OTLP], **NO_BACKEND)
    assert found == [{"built": built, "endpoint": endpoint} for _, _, built, endpoint in OTLP]


def test_the_export_interval_is_ten_seconds_unless_otel_says_otherwise() -> None:
    """`OTEL_METRIC_EXPORT_INTERVAL` wins; an empty one is unset."""
    script = """
from opentelemetry.sdk.metrics import export
seen = []
class Reader(export.PeriodicExportingMetricReader):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        seen.append(self._export_interval_millis)
export.PeriodicExportingMetricReader = Reader
configure(otlp="http", **options)
say(interval=seen)
"""
    cases = [
        ("{}", {}),
        ("{}", {"OTEL_METRIC_EXPORT_INTERVAL": ""}),
        ('{"export_interval_seconds": 2.5}', {}),
        ('{"export_interval_seconds": 2.5}', {"OTEL_METRIC_EXPORT_INTERVAL": "7000"}),
    ]
    intervals = [found["interval"] for found in each(script, cases, **NO_BACKEND)]
    assert intervals == [[10_000.0], [10_000.0], [2_500.0], [7_000.0]]


def test_grpc_that_is_not_installed_is_an_error_that_says_what_to_install() -> None:
    """By argument and by OTel's variable; nothing is left set up."""
    found = facts(
        """
sys.modules["opentelemetry.exporter.otlp.proto.grpc"] = None
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
by_argument = error_of(otlp="grpc", prometheus=0)
os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
by_variable = error_of()
del os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]
sys.modules["opentelemetry.exporter.otlp.proto.http"] = None
say(errors=[by_argument, by_variable, error_of(otlp="http")], built=kinds())
"""
    )
    grpc = "OTLP over gRPC needs: pip install opentelemetry-exporter-otlp-proto-grpc; or use otlp='http'"
    http = "opentelemetry.exporter.otlp.proto.http is not installed; run: pip install 'otel-progress[otlp]'"
    assert found["errors"][:2] == [grpc, grpc]
    assert found["errors"][2].startswith(http.partition(" is not")[0])
    assert found["errors"][2].endswith(http.partition(" is not")[2])
    assert found["built"] == [False, False, False]


def test_what_an_exporter_refuses_is_an_error_of_configuration() -> None:
    """Not a `ValueError` from its depths; older ones raise it for a compression they do not know."""
    found = facts(
        """
from opentelemetry.exporter.otlp.proto.http import trace_exporter
class Refusing:
    def __init__(self):
        raise ValueError("'rubbish' is not a valid Compression")
trace_exporter.OTLPSpanExporter = Refusing
say(error=error_of(otlp="http"), built=kinds())
"""
    )
    assert found == {
        "error": "OTLP: 'rubbish' is not a valid Compression; see the OTEL_EXPORTER_OTLP_* variables",
        "built": [False, False, False],
    }


def test_the_prometheus_endpoint_really_answers_and_closes() -> None:
    """On loopback, on a port of its own; after shutdown nobody listens there."""
    found = facts(
        """
handle = configure(prometheus=0)
with operation("import", total=4) as job:
    job.advance(3)
    page = scrape(handle.prometheus_url)
handle.flush()
after = scrape(handle.prometheus_url)
handle.shutdown()
try:
    closed = scrape(handle.prometheus_url)
except OSError as error:
    closed = None
say(
    url=handle.prometheus_url, closed=closed, endpoint=handle.otlp_endpoint,
    live=[line for line in page.splitlines() if line.startswith("progress_level_done{")],
    after=[line for line in after.splitlines() if line.startswith(("progress_level_done{", "progress_items_total{"))],
)
"""
    )
    host, port = found["url"].removeprefix("http://").removesuffix("/metrics").split(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert (found["closed"], found["endpoint"]) == (None, None)
    (live,) = found["live"]
    assert 'progress_operation="import"' in live
    assert live.endswith(" 3.0")
    assert {line.rpartition(" ")[2] for line in found["after"] if "progress_items" in line} == {"3.0", "0.0"}
    assert not any("progress_level_done" in line for line in found["after"])


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do() -> None:
    """And nothing is left half set up."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = facts(
            f"""
error = error_of(otlp="http", prometheus={port})
handle = configure(prometheus=0)
say(error=error, then=handle.prometheus_url is not None)
handle.shutdown()
"""
        )
    assert found["then"] is True
    assert found["error"].startswith(f"prometheus: cannot listen on 127.0.0.1:{port} (")
    assert found["error"].endswith(
        "; choose another port with prometheus= or OTEL_PROGRESS_PROMETHEUS, or 0 for any free one"
    )


def test_a_failure_after_the_port_was_taken_gives_it_back() -> None:
    """The endpoint opens first; what comes later may be wrong."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = facts(
        f"""
sys.modules["opentelemetry.exporter.otlp.proto.grpc"] = None
errors = [error_of(otlp="grpc", prometheus={port}) for _ in range(2)]
handle = configure(prometheus={port})
say(errors=errors, url=handle.prometheus_url)
handle.shutdown()
"""
    )
    assert ["gRPC" in error for error in found["errors"]] == [True, True]
    assert found["url"] == f"http://127.0.0.1:{port}/metrics"


def test_providers_that_are_set_are_used_and_left_alone() -> None:
    """Spans and numbers go to them; nothing is added, nothing is shut down, no thread polls for nothing."""
    found = facts(
        """
import threading
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracers, meters = TracerProvider(), MeterProvider([reader])
tracers.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(meters)
with operation("before") as before:
    before.advance(1)
handle = configure(otlp="http")
with operation("during") as during:
    during.advance(2)
    live = [thread.name for thread in threading.enumerate() if "Metric" in thread.name]
handle.shutdown()
with operation("afterwards") as afterwards:
    afterwards.advance(3)
otel_progress.flush()
data = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
say(
    same=[trace.get_tracer_provider() is tracers, metrics.get_meter_provider() is meters],
    spans=sorted(span.name for span in exporter.get_finished_spans()),
    items={
        point.attributes["progress.operation"]: point.value
        for metric in data if metric.name == "progress.items" for point in metric.data.data_points if point.value
    },
    readers=live,
)
"""
        + LEAVE,
        OTEL_LOGS_EXPORTER="none",
    )
    assert found == {
        "same": [True, True],
        "spans": ["afterwards", "before", "during"],
        "items": {"before": 1, "during": 2, "afterwards": 3},
        "readers": [],
    }


def test_an_endpoint_beside_a_meter_provider_of_others_is_refused_in_words() -> None:
    """It could not show their numbers; what to do instead is logged once."""
    done = python(
        PRELUDE
        + """
from opentelemetry.sdk.metrics import MeterProvider
metrics.set_meter_provider(MeterProvider())
handle = configure(prometheus=0)
say(url=handle.prometheus_url)
handle.shutdown()
""",
        environment={"OTEL_PROGRESS_TERMINAL": "off"},
    )
    assert json.loads(done.stdout) == {"url": None}
    assert done.stderr == (
        "otel_progress: a MeterProvider is set already; add a PrometheusMetricReader to it yourself\n"
    )


def test_shutdown_twice_is_harmless_and_what_follows_is_silent() -> None:
    """Levels after it are not recorded, and nobody complains; as a context manager it shuts down as well."""
    found = facts(
        """
logging.basicConfig(level=logging.WARNING)
with configure(prometheus=0) as handle:
    op = operation("interrupted").__enter__()
    op.advance(2)
ended = op.state
answers = [handle.shutdown(), handle.shutdown()]
with operation("later") as later, level("inside"):
    later.advance()
otel_progress.flush()
say(answers=answers, ended=ended, current=otel_progress.current() is None)
"""
    )
    assert found == {"answers": [True, True], "ended": "interrupted", "current": True}


def test_configure_twice_needs_a_shutdown_between() -> None:
    """The second one is refused while the first holds; after its shutdown it works, providers and all."""
    found = facts(
        """
logging.basicConfig(level=logging.WARNING)
first = configure(prometheus=0)
refused = error_of(prometheus=0)
with operation("one") as one:
    one.advance(1)
first.shutdown()
second = configure(prometheus=0)
with operation("two") as two:
    two.advance(2)
    page = scrape(second.prometheus_url)
second.shutdown()
say(
    refused=refused,
    items=[line for line in page.splitlines() if line.startswith("progress_items_total{") and "outcome='ok'" in
           line.replace('"', "'")],
)
"""
    )
    assert found["refused"] == "configure() was called before; call shutdown() on the handle it returned first"
    (line,) = found["items"]
    assert 'progress_operation="two"' in line
    assert line.endswith(" 2.0")


def test_a_disabled_package_does_nothing_at_all() -> None:
    """No thread, no provider, no level."""
    found = facts(
        """
import threading
handle = configure(enabled=False, prometheus=0, otlp="http")
with operation("job") as job:
    job.advance(2)
say(
    built=kinds(), state=job.state, threads=[thread.name for thread in threading.enumerate()],
    enabled=otel_progress.health().enabled, url=handle.prometheus_url, current=otel_progress.current(),
)
"""
    )
    assert found == {
        "built": [False, False, False],
        "state": "pending",
        "threads": ["MainThread"],
        "enabled": False,
        "url": None,
        "current": None,
    }


# --- the resource -----------------------------------------------------------------------------------------------------

RESOURCE = """
handle = configure(prometheus=0, **options)
attributes = dict(metrics.get_meter_provider()._sdk_config.resource.attributes)
say(**{key: value for key, value in attributes.items() if key.startswith(("service.", "host.", "team"))})
"""


def test_the_resource_says_who_it_is() -> None:
    """Arguments win over OTel's variables, and those over what we find; each process is an instance of its own."""
    cases: list[tuple[str, dict[str, str], dict[str, str]]] = [
        ("{}", {}, {"service.name": "python", "host.name": socket.gethostname()}),
        ("{}", {"OTEL_SERVICE_NAME": "theirs"}, {"service.name": "theirs"}),
        ("{}", {"OTEL_PROGRESS_SERVICE_NAME": "ours", "OTEL_SERVICE_NAME": "theirs"}, {"service.name": "ours"}),
        ('{"service_name": "argument"}', {"OTEL_PROGRESS_SERVICE_NAME": "ours"}, {"service.name": "argument"}),
        (
            '{"resource_attributes": {"team": "blue", "service.version": "3"}}',
            {"OTEL_RESOURCE_ATTRIBUTES": "team=red,host.name=box, service.name=theirs"},
            {"team": "blue", "service.version": "3", "host.name": "box", "service.name": "theirs"},
        ),
    ]
    found = each(RESOURCE, [(options, environment) for options, environment, _ in cases])
    assert [expected.items() <= one.items() for one, (_, _, expected) in zip(found, cases, strict=True)] == [True] * 5
    assert len({one["service.instance.id"] for one in found}) == 5


def test_an_instance_id_that_is_fixed_by_the_environment_is_kept_with_a_warning() -> None:
    """Two processes with one id mix their counts: it is said once."""
    done = python(
        PRELUDE + "options = {}" + RESOURCE + "handle.shutdown()",
        environment={
            "OTEL_PROGRESS_TERMINAL": "off",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod,service.instance.id=fixed",
        },
    )
    assert json.loads(done.stdout)["service.instance.id"] == "fixed"
    assert done.stderr == (
        "otel_progress: OTEL_RESOURCE_ATTRIBUTES fixes service.instance.id; processes sharing it mix their counts\n"
    )


# --- without the SDK --------------------------------------------------------------------------------------------------

NO_SDK = """
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def test_without_an_sdk_there_may_be_nothing_to_set_up() -> None:
    """Then it is an error that says what to install; with a terminal view there is something."""
    done = python(
        PRELUDE
        + NO_SDK
        + """
nothing = error_of()
otlp, prometheus = error_of(otlp="http"), error_of(prometheus=0)
handle = configure(terminal="lines")
with operation("job"):
    pass
handle.shutdown()
configure(enabled=False).shutdown()
say(nothing=nothing, otlp=otlp, prometheus=prometheus)
""",
        environment={"OTEL_PROGRESS_TERMINAL": "off"},
    )
    told = json.loads(done.stdout)
    assert told["nothing"] == (
        "there is nothing to set up: no OpenTelemetry SDK is installed; run: pip install 'otel-progress[sdk]'"
    )
    assert told["otlp"].endswith("is not installed; run: pip install 'otel-progress[otlp]'")
    assert told["prometheus"].endswith("is not installed; run: pip install 'otel-progress[prometheus]'")
    assert "job" in done.stderr  # the view
    assert "Traceback" not in done.stderr


def test_with_an_sdk_and_nothing_asked_for_levels_are_kept_in_memory() -> None:
    """The providers may come later, or never."""
    found = facts(
        """
handle = configure(history_limit=2)
for n in range(5):
    with operation(f"job-{n}"):
        pass
say(history=[snapshot.name for snapshot in otel_progress.history()], built=kinds())
handle.shutdown()
"""
    )
    assert found == {"history": ["job-4", "job-3"], "built": [False, False, False]}
