"""The configuration files of ``collector/``, by the judgement of the programs that read them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .programs import CONFIGS, run, tool

YAMLS = ("config.yaml", "jaeger.yaml")
VARIABLE = re.compile(r"\$\{env:(\w+):-([^}]*)\}")


@pytest.fixture(scope="module")
def resolved() -> dict[str, Any]:
    """The Collector's configuration as it understands it, with nothing overridden."""
    answer = run(tool("otelcol"), "print-config", "--config", CONFIGS / "config.yaml", "--format", "json")
    config: dict[str, Any] = json.loads(answer.stdout)
    return config


def test_the_collector_accepts_its_file() -> None:
    """The Collector finds every component it refers to, and every setting known."""
    assert run(tool("otelcol"), "validate", "--config", CONFIGS / "config.yaml").returncode == 0


def test_validation_notices_a_component_that_is_not_defined() -> None:
    """The check above can fail."""
    broken = "--set=service.pipelines.traces.processors=[nowhere]"
    answer = run(tool("otelcol"), "validate", "--config", CONFIGS / "config.yaml", broken, check=False)
    assert answer.returncode != 0
    assert "nowhere" in answer.stderr


def test_jaeger_accepts_its_file() -> None:
    """Jaeger finds every component it refers to, and every setting known."""
    assert run(tool("jaeger"), "validate", "--config", CONFIGS / "jaeger.yaml").returncode == 0


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
    assert len(network) == 2
    for name, exporter in network.items():
        assert exporter["sending_queue"]["storage"] == "file_storage", name
        assert exporter["sending_queue"]["batch"], name
        assert exporter["retry_on_failure"]["enabled"], name
    assert "file_storage" in resolved["service"]["extensions"]


@pytest.mark.parametrize("name", YAMLS)
def test_every_address_is_loopback_until_somebody_changes_it(name: str) -> None:
    """Nothing listens to the network, or sends there, by default."""
    addresses = [default for _, default in VARIABLE.findall((CONFIGS / name).read_text()) if ":" in default]
    assert addresses
    assert [each for each in addresses if not re.match(r"(http://)?127\.0\.0\.1:\d+(/|$)", each)] == []


def test_the_readme_lists_every_variable_with_its_default() -> None:
    """What the files read from the environment is what the README says, no more and no less."""
    used = {found for name in YAMLS for found in VARIABLE.findall((CONFIGS / name).read_text())}
    readme = (CONFIGS / "README.md").read_text()
    assert set(re.findall(r"\b(?:COLLECTOR|JAEGER)_[A-Z_]+\b", readme)) == {variable for variable, _ in used}
    # Jaeger's share one cell of the table, which has the host once.
    written = {default.removeprefix("127.0.0.1") if "JAEGER" in variable else default for variable, default in used}
    assert [default for default in written if f"`{default}`" not in readme] == []
