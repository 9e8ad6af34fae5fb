"""The configuration files of ``collector/``, by the judgement of the programs that read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from . import unfinished
from .programs import CONFIGS, Program, get, run, tool
from .rig import Stack

YAMLS = ("config.yaml", "tempo-layer.yaml", "jaeger.yaml", "tempo.yaml")
VARIABLE = re.compile(r"\$\{(?:env:)?(\w+):-([^}]*)\}")  # Tempo's have no "env:"
COLLECTOR = ("--config", CONFIGS / "config.yaml")
WITH_TEMPO = (*COLLECTOR, "--config", CONFIGS / "tempo-layer.yaml")


def resolve(*configs: str | Path) -> dict[str, Any]:
    """Return the Collector's configuration as it understands it, with nothing overridden."""
    config: dict[str, Any] = json.loads(run(tool("otelcol"), "print-config", *configs, "--format", "json").stdout)
    return config


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


@pytest.fixture(scope="module", params=[COLLECTOR, WITH_TEMPO], ids=["alone", "with Tempo"])
def resolved(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each way to start the Collector."""
    return resolve(*request.param)


@pytest.mark.parametrize("configs", [COLLECTOR, WITH_TEMPO], ids=["alone", "with Tempo"])
def test_the_collector_accepts_its_files(configs: tuple[str | Path, ...]) -> None:
    """The Collector finds every component it refers to, and every setting known."""
    assert run(tool("otelcol"), "validate", *configs).returncode == 0


def test_validation_notices_a_component_that_is_not_defined() -> None:
    """The check above can fail."""
    broken = "--set=service.pipelines.traces.processors=[nowhere]"
    answer = run(tool("otelcol"), "validate", "--config", CONFIGS / "config.yaml", broken, check=False)
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


def test_the_layer_adds_tempo_with_the_queue_and_the_patience_of_the_first_backend() -> None:
    """What differs between the two exporters is the endpoint."""
    alone, both = resolve(*COLLECTOR), resolve(*WITH_TEMPO)
    added = both["exporters"].pop("otlp_http/tempo")
    assert added.pop("endpoint") != both["exporters"]["otlp_http/traces"]["endpoint"]
    assert added.items() <= both["exporters"]["otlp_http/traces"].items()
    assert both["service"]["pipelines"]["traces"].pop("exporters") == ["otlp_http/traces", "otlp_http/tempo"]
    assert alone["service"]["pipelines"]["traces"].pop("exporters") == ["otlp_http/traces"]
    assert both == alone, "nothing else changes"


def test_prometheus_accepts_its_file() -> None:
    """Promtool finds no error."""
    assert "SUCCESS" in run(tool("promtool"), "check", "config", CONFIGS / "prometheus.yaml").stdout


def test_the_memory_limiter_is_first_in_every_pipeline(resolved: dict[str, Any]) -> None:
    """Nothing is allocated for data that is about to be refused."""
    pipelines = resolved["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics", "logs"}
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


@pytest.mark.parametrize("name", YAMLS)
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
    assert set(re.findall(r"\b(?:COLLECTOR|JAEGER|TEMPO)_[A-Z_]+\b", readme)) == {variable for variable, _ in used}
    # Jaeger's share one cell of the table, which has the host once.
    written = {default.removeprefix("127.0.0.1") if "JAEGER" in variable else default for variable, default in used}
    assert [default for default in written if f"`{default}`" not in readme] == []


def test_the_searches_in_the_readme_are_those_that_the_tests_ask() -> None:
    """Word for word, but for what the reader selects beyond the name."""
    (block,) = re.findall(r"^```traceql\n(.*?)^```", (CONFIGS / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    opened, completed = block.splitlines()
    assert completed == unfinished.COMPLETED
    assert unfinished.OPEN.startswith(opened.removesuffix(")"))
