"""The configuration files of ``collector/``, by the judgement of the programs that read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_progress import names
from otel_progress._config import Config

from . import unfinished
from .programs import CONFIGS, Program, get, run, tool
from .rig import Stack

YAMLS = ("config.yaml", "stack-layer.yaml", "tail-sampling-layer.yaml", "jaeger.yaml", "tempo.yaml", "loki.yaml")
VARIABLE = re.compile(r"\$\{(?:env:)?(\w+):-([^}]*)\}")  # Tempo's and Loki's have no "env:"
BASE, STACK_LAYER, SAMPLING_LAYER, USER_LAYER = (
    CONFIGS / f"{name}.yaml" for name in ("config", "stack-layer", "tail-sampling-layer", "user-layer")
)
ALONE = ("--config", BASE)
WHOLE = (*ALONE, "--config", STACK_LAYER)
SAMPLED = ("--config", SAMPLING_LAYER)
MINE = ("--config", USER_LAYER)
WAYS = {
    "alone": ALONE,
    "alone, sampled": (*ALONE, *SAMPLED),
    "alone, the user's": (*ALONE, *MINE),
    "whole": WHOLE,
    "whole, sampled": (*WHOLE, *SAMPLED),
    "whole, the user's": (*WHOLE, *MINE),
    "whole, sampled, the user's": (*WHOLE, *SAMPLED, *MINE),
}
"""Each way to start the Collector."""


def resolve(*configs: str | Path) -> dict[str, Any]:
    """Return the Collector's configuration as it understands it, with nothing overridden."""
    config: dict[str, Any] = json.loads(run(tool("otelcol"), "print-config", *configs, "--format", "json").stdout)
    return config


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as ``5ms`` or ``2h``."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", duration).groups()  # type: ignore[union-attr]  # fails the test
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def listeners(program: Program) -> set[str]:
    """Return the addresses a program listens on, in hexadecimal as the kernel has them."""
    sockets = {str(each.readlink()) for each in Path(f"/proc/{program.pid}/fd").iterdir() if each.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{program.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].rsplit(":", 1)[0])
    return found


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def resolved(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each way to start the Collector."""
    return resolve(*request.param)


@pytest.mark.parametrize("configs", WAYS.values(), ids=WAYS)
def test_the_collector_accepts_its_files(configs: tuple[str | Path, ...]) -> None:
    """The Collector finds every component it refers to, and every setting known and not on its way out."""
    done = run(tool("otelcol"), "validate", *configs)
    assert (done.stdout, done.stderr) == ("", "")


def test_validation_notices_a_component_that_is_not_defined() -> None:
    """The check above can fail."""
    broken = "--set=service.pipelines.traces.processors=[nowhere]"
    answer = run(tool("otelcol"), "validate", *ALONE, broken, check=False)
    assert answer.returncode != 0
    assert "nowhere" in answer.stderr


def test_jaeger_accepts_its_file() -> None:
    """Jaeger finds every component it refers to, and every setting known."""
    assert run(tool("jaeger"), "validate", "--config", CONFIGS / "jaeger.yaml").returncode == 0


def test_tempo_accepts_its_file() -> None:
    """Tempo knows every setting, and warns of none."""
    file = f"-config.file={CONFIGS / 'tempo.yaml'}"
    answer = run(tool("tempo"), file, "-config.expand-env=true", "-config.verify=true")
    assert "level=warn" not in answer.stderr


def test_tempo_stores_nothing_outside_its_folder_and_listens_on_loopback(traced: Stack) -> None:
    """By its own account: of two Tempos that share a folder, each deletes blocks of the other."""
    config = get(f"{traced.tempo.url}/status/config")
    # All but the block builder's, which is no part of a single process.
    in_use = config.split("\nblock_builder:")[0] + config.split("\nstorage:")[1]
    folders = re.findall(r"(?:\bpath|shutdown_marker_dir|local_work_path): (/\S+)", in_use)
    assert len(folders) == 5, folders
    assert [each for each in folders if not each.startswith(str(traced.tempo.data))] == []
    assert listeners(traced.tempo) == {"0100007F"}, "127.0.0.1, the last byte first"


def test_loki_accepts_its_file() -> None:
    """Loki knows every setting, and warns of none."""
    answer = run(tool("loki"), f"-config.file={CONFIGS / 'loki.yaml'}", "-config.expand-env=true", "-verify-config")
    assert "level=warn" not in answer.stderr


def test_loki_stores_nothing_outside_its_folder_and_listens_on_loopback(traced: Stack) -> None:
    """By its own account."""
    config = get(f"{traced.loki.url}/config")
    folders = re.findall(r"(?:directory|dir|path_prefix|cache_location|\bpath): (/\S+)", config)
    assert len(folders) > 5, folders
    # Blooms are off, and nothing is planned for them.
    unused = "/tmp/bloom-planner-queue"
    assert [each for each in folders if not each.startswith(str(traced.loki.data)) and each != unused] == []
    assert listeners(traced.loki) == {"0100007F"}, "127.0.0.1, the last byte first"


def test_backends_of_the_stack_layer_have_the_queue_and_the_patience_of_the_first() -> None:
    """What differs between the exporters is the endpoint, and how many of them send at a time."""
    whole = resolve(*WHOLE)["exporters"]
    first = whole["otlp_http/traces"]
    for name in ("otlp_http/tempo", "otlp_http/logs"):
        assert whole[name].pop("endpoint") != first["endpoint"]
    assert whole["otlp_http/tempo"].items() <= first.items()
    # Loki wants lines in their order.
    assert whole["otlp_http/logs"]["sending_queue"].pop("num_consumers") == 1
    assert whole["otlp_http/logs"]["retry_on_failure"] == first["retry_on_failure"]
    assert whole["otlp_http/logs"]["sending_queue"].items() <= first["sending_queue"].items()


def test_the_stack_layer_keeps_what_the_base_does() -> None:
    """It adds components and pipelines, and changes where traces and events go; nothing else."""
    base, whole = resolve(*ALONE), resolve(*WHOLE)
    for kind in ("extensions", "receivers", "processors", "exporters"):
        assert base[kind].items() <= whole[kind].items()
    assert whole["service"]["telemetry"] == base["service"]["telemetry"]
    pipelines, before = whole["service"]["pipelines"], base["service"]["pipelines"]
    assert pipelines["metrics"] == before["metrics"]
    assert pipelines["traces"] == {**before["traces"], "exporters": ["otlp_http/traces", "otlp_http/tempo"]}
    assert pipelines["logs"] == {**before["traces"], "exporters": ["otlp_http/logs"]}


def test_the_layer_of_the_user_changes_nothing() -> None:
    """Until something is written there."""
    assert resolve(*WAYS["whole, the user's"]) == resolve(*WHOLE)


def test_the_example_in_the_layer_of_the_user_is_right(tmp_path: Path) -> None:
    """Without its comment signs the Collector accepts it."""
    example = USER_LAYER.read_text().split("# exporters:")[1]
    mine = tmp_path / "user-layer.yaml"
    mine.write_text(re.sub(r"^# ?", "", f"# exporters:{example}", flags=re.MULTILINE))
    answer = run("env", "VENDOR_TOKEN=x", tool("otelcol"), "validate", *WHOLE, "--config", mine)
    assert answer.stderr == ""
    whole = resolve(*WHOLE, "--config", mine)["service"]["pipelines"]["traces"]
    assert whole["exporters"] == ["otlp_http/traces", "otlp_http/tempo", "otlp_http/vendor"]
    assert whole["processors"] == resolve(*WHOLE)["service"]["pipelines"]["traces"]["processors"]


def test_sampling_is_of_traces_and_of_nothing_else() -> None:
    """Its layer adds one processor to one pipeline; what counts calls takes the spans before it."""
    whole, sampled = resolve(*WHOLE), resolve(*WHOLE, *SAMPLED)
    assert sampled["processors"].pop("tail_sampling")
    traces = sampled["service"]["pipelines"]["traces"]["processors"]
    assert traces == [*whole["service"]["pipelines"]["traces"]["processors"], "tail_sampling"]
    traces.remove("tail_sampling")
    assert sampled == whole


def test_sampling_asks_for_the_records_that_names_py_has() -> None:
    """All but that of a short level, and waits for longer than an open record takes to arrive."""
    sampling = yaml.safe_load(SAMPLING_LAYER.read_text())["processors"]["tail_sampling"]
    (shown,) = [each["string_attribute"] for each in sampling["policies"] if each["type"] == "string_attribute"]
    assert shown["key"] == names.RECORD
    assert set(shown["values"]) == set(names.Record) - {names.Record.SPAN}
    batch_processor = 5.0
    assert seconds(sampling["decision_wait"]) > Config().open_after_seconds + batch_processor


def test_the_stack_layer_writes_names_as_names_py_does() -> None:
    """The records it leaves out of span metrics, the attributes it counts by, and the buckets of durations."""
    layer = yaml.safe_load(STACK_LAYER.read_text())
    left_out = {f'span.attributes["{names.RECORD}"] == "{each}"' for each in names.Record}
    left_out -= {f'span.attributes["{names.RECORD}"] == "{each}"' for each in ("span", "completion")}
    assert set(layer["processors"]["filter/in_flight"]["trace_conditions"]) == left_out
    spans = layer["connectors"]["span_metrics"]
    assert [each["name"] for each in spans["dimensions"]] == [names.OPERATION, names.OUTCOME]
    assert [seconds(each) for each in spans["histogram"]["explicit"]["buckets"]] == list(names.DURATION_BOUNDARIES)


def test_prometheus_accepts_its_file() -> None:
    """Promtool finds no error, and the rules where the file says they are."""
    said = run(tool("promtool"), "check", "config", CONFIGS / "prometheus.yaml").stdout
    assert "is valid prometheus config file" in said
    assert {Path(each).name for each in re.findall(r"^Checking (\S+rules.yaml)", said, re.MULTILINE)} == {
        "alert_rules.yaml",
        "recording_rules.yaml",
    }
    assert said.count("rules found") == 2


def test_the_memory_limiter_is_first_in_every_pipeline(resolved: dict[str, Any]) -> None:
    """Nothing is allocated for data that is about to be refused."""
    pipelines = resolved["service"]["pipelines"]
    assert set(pipelines) >= {"traces", "metrics", "logs"}
    assert {name: pipeline["processors"][0] for name, pipeline in pipelines.items()} == dict.fromkeys(
        pipelines, "memory_limiter"
    )


def test_every_exporter_over_the_network_has_a_persistent_queue(resolved: dict[str, Any]) -> None:
    """A restart of the Collector loses nothing that a backend did not take yet."""
    network = {name: each for name, each in resolved["exporters"].items() if name.startswith("otlp")}
    assert len(network) >= 2
    for name, exporter in network.items():
        assert exporter["sending_queue"]["storage"] == "file_storage", name
        assert exporter["sending_queue"]["batch"], name
        assert exporter["retry_on_failure"]["enabled"], name
    assert "file_storage" in resolved["service"]["extensions"]


@pytest.mark.parametrize("name", [name for name in YAMLS if name != SAMPLING_LAYER.name])  # it has no address
def test_every_address_is_loopback_until_somebody_changes_it(name: str) -> None:
    """Nothing listens to the network, or sends there, by default."""
    found = VARIABLE.findall((CONFIGS / name).read_text())
    addresses = [default for variable, default in found if ":" in default or "ADDRESS" in variable]
    assert addresses
    assert [each for each in addresses if not re.match(r"(http://)?127\.0\.0\.1(:\d+)?(/|$)", each)] == []


def test_the_readme_lists_every_variable_with_its_default() -> None:
    """What the files read from the environment is what the README says, no more and no less."""
    used = {found for name in YAMLS for found in VARIABLE.findall((CONFIGS / name).read_text())}
    readme = (CONFIGS / "README.md").read_text()
    assert set(re.findall(r"\b(?:COLLECTOR|JAEGER|TEMPO|LOKI)_[A-Z_]+\b", readme)) == {variable for variable, _ in used}
    # Jaeger's share one cell of the table, which has the host once.
    written = {default.removeprefix("127.0.0.1") if "JAEGER" in variable else default for variable, default in used}
    assert [default for default in written if f"`{default}`" not in readme] == []


def test_the_searches_in_the_readme_are_those_that_the_tests_ask() -> None:
    """Word for word, but for what the reader selects beyond the name."""
    (block,) = re.findall(r"^```traceql\n(.*?)^```", (CONFIGS / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    opened, completed = block.splitlines()
    assert completed == unfinished.COMPLETED
    assert unfinished.OPEN.startswith(opened.removesuffix(")"))
