"""docker-compose.yml and Grafana's provisioning: right by their schemas, safe, and true to the files they name."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import yaml

from dashboards import config
from otel_progress import names

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE = REPOSITORY / "docker-compose.yml"
GRAFANA = REPOSITORY / "collector" / "grafana"
ONE_SHOT = {"folders", "demo"}
"""Services that end; the others stay."""
NO_HEALTH_CHECK = {
    "folders": "it ends",
    "demo": "it ends",
    "collector": "its image has nothing that could ask it",
}
"""Services without a health check, and why."""
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
SOURCES: dict[str, dict[str, Any]] = {
    each["uid"]: each for each in yaml.safe_load((GRAFANA / "datasources.yaml").read_text())["datasources"]
}
each_service = pytest.mark.parametrize("name", SERVICES)


def mounts(name: str) -> list[tuple[str, str]]:
    """Return source and target of each mount of a service; a default stands for its variable."""
    found = []
    for mount in SERVICES[name].get("volumes", ()):
        source, target, *_ = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", mount).split(":")
        found.append((source, target))
    return found


def in_repository(name: str, path: str) -> Path:
    """Return the file of the repository that a service sees at a path."""
    # The longest target is mounted over the shorter ones.
    source, target = max(
        ((source, target) for source, target in mounts(name) if f"{path}/".startswith(f"{target}/")),
        key=lambda mount: len(mount[1]),
    )
    return REPOSITORY / source / path[len(target) :].lstrip("/")


def validate(path: Path) -> str:
    """Return what is wrong with a compose file by the Compose specification; empty if nothing."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_file_is_valid_by_the_compose_specification(tmp_path: Path) -> None:
    """And a broken one is not."""
    assert validate(COMPOSE) == ""
    broken = tmp_path / "compose.yml"
    broken.write_text(COMPOSE.read_text().replace("restart: unless-stopped", "restarts: always"))
    assert "restarts" in validate(broken)


@each_service
def test_every_file_that_is_mounted_exists(name: str) -> None:
    """Docker would make an empty folder in the place of one that does not."""
    volumes = yaml.safe_load(COMPOSE.read_text())["volumes"]
    sources = [source for source, _ in mounts(name)]
    assert [each for each in sources if each not in volumes and not (REPOSITORY / each).exists()] == []
    # A mount within a mount that cannot be written needs its place to be there.
    for source, target in mounts(name):
        outer = [to for _, to in mounts(name) if target.startswith(f"{to}/")]
        if outer and not source.isidentifier():
            assert (REPOSITORY / "collector" / Path(target).name).exists()


@each_service
def test_every_file_that_a_command_or_a_setting_names_is_mounted(name: str) -> None:
    """By the paths of the container."""
    service = SERVICES[name]
    texts = [*service.get("command", ()), *map(str, service.get("environment", {}).values())]
    named = re.findall(r"/etc/progress/[\w./-]+", "\n".join(texts))
    assert [each for each in named if not in_repository(name, each).exists()] == []


def test_prometheus_finds_its_rules_where_its_file_says_they_are() -> None:
    """Relative to the file, as in the repository."""
    (option,) = [each for each in SERVICES["prometheus"]["command"] if each.startswith("--config.file=")]
    file = option.split("=")[1]
    rules = yaml.safe_load(in_repository("prometheus", file).read_text())["rule_files"]
    for each in rules:
        inside = re.sub(r"/\w+/\.\./", "/", f"{Path(file).parent}/{each}")
        assert in_repository("prometheus", inside).is_file()
    target = yaml.safe_load(in_repository("prometheus", "/etc/progress/collector/collector-target.yaml").read_text())
    assert target == [{"targets": ["collector:8888"]}]


@each_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    """Nothing here but Grafana asks who somebody is."""
    assert [each for each in SERVICES[name].get("ports", ()) if not each.startswith("127.0.0.1:")] == []


@each_service
def test_images_are_pinned_to_a_release(name: str) -> None:
    """Not to `latest`, a branch or a major version."""
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-[\w-]+)?", SERVICES[name]["image"])


@each_service
def test_services_have_limits_and_no_privileges(name: str) -> None:
    """Memory and processor; no capability but chown's where that is all it does; nobody is root elsewhere."""
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["networks"] == ["progress"]
    is_chown = service.get("entrypoint", [""])[0] == "chown"
    assert service.get("cap_add", []) == (["CHOWN"] if is_chown else [])
    assert service.get("user", "") != "0:0" or is_chown


@each_service
def test_services_start_again_and_are_watched_or_say_why_not(name: str) -> None:
    """What ends is not started again; what has no health check has a reason here, and in the file."""
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert ("healthcheck" in service) != (name in NO_HEALTH_CHECK)
    if "healthcheck" in service:
        assert service["healthcheck"]["test"][0] == "CMD", "without a shell, which some images do not have"


def test_addresses_within_the_network_are_those_where_the_others_listen() -> None:
    """Every `http://service:port` in settings and data sources is where that service listens by its settings."""
    listens = {
        "collector": {"4318", "4317", "13133", "8888"},
        "prometheus": {"9090"},
        "tempo": {"3200", "14319"},
        "jaeger": {"16686", "16685", "14318", "13134"},
        "loki": {"3100"},
    }
    for name, ports in listens.items():
        said = [*map(str, SERVICES[name].get("environment", {}).values()), *SERVICES[name].get("command", ())]
        set_here = {port for each in said for port in re.findall(r"0\.0\.0\.0:(\d+)$", each)}
        assert set_here <= ports, name
    texts = [str(value) for each in SERVICES.values() for value in each.get("environment", {}).values()]
    texts += [each["url"] for each in SOURCES.values()]
    asked = re.findall(r"http://([a-z]+):(\d+)", "\n".join(texts))
    assert len(asked) >= 9
    assert [(host, port) for host, port in asked if port not in listens[host]] == []


def test_no_secret_has_a_default() -> None:
    """Compose refuses to start Grafana without a password, and says where it is expected."""
    password = SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert re.fullmatch(r"\$\{GRAFANA_PASSWORD:\?[^}]+\}", password)
    assert SERVICES["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"


def test_data_sources_have_the_uids_and_types_that_dashboards_rules_and_links_ask_for() -> None:
    """One that is asked for and not there would be an empty panel, or an alert that fails."""
    types = {uid: each["type"] for uid, each in SOURCES.items()}
    assert types == {name: name for name in ("prometheus", "tempo", "jaeger", "loki")}
    assert [uid for uid, each in SOURCES.items() if each.get("isDefault")] == [config.PROMETHEUS_UID]
    rules = (REPOSITORY / "dashboards/generated/grafana/alert_rules.yaml").read_text()
    assert set(re.findall(r"datasourceUid: (\S+)", rules)) == {config.PROMETHEUS_UID, "__expr__"}
    links = re.findall(r"datasourceUid: (\w+)", (GRAFANA / "datasources.yaml").read_text())
    assert set(links) <= set(types)
    for path in (REPOSITORY / "dashboards/generated/dashboards").iterdir():
        board = json.loads(path.read_text())
        chosen = {each["name"]: each["query"] for each in board["templating"]["list"] if each["type"] == "datasource"}
        assert set(chosen.values()) <= set(types.values())
        used = set(re.findall(r'"uid": "\$\{(\w+)\}"', path.read_text()))
        assert used == set(chosen) - ({"loki", "tempo"} - used)


def test_dollars_that_grafana_shall_see_are_doubled() -> None:
    """Provisioning takes `$name` for a variable of the environment."""
    text = (GRAFANA / "datasources.yaml").read_text()
    assert re.findall(r"(?<!\$)\$(?!\$)", text) == []
    assert "$${__value.raw}" in text


def test_links_from_traces_ask_for_metrics_and_labels_that_there_are() -> None:
    """By names.py: in Prometheus' form where they ask Prometheus, in Loki's where they ask Loki."""
    labels = {each.name: each.label for each in names.ATTRIBUTES}
    for source in ("tempo", "jaeger"):
        link = SOURCES[source]["jsonData"]["tracesToMetrics"]
        assert {each["key"]: each["value"] for each in link["tags"]}.items() <= labels.items()
        asked = {each["query"].split("{")[0] for each in link["queries"]}
        assert asked == {names.LEVEL_FRACTION.prometheus, names.LEVEL_ETA.prometheus}


def test_each_alert_is_sent_by_one_of_the_two_that_evaluate_it() -> None:
    """Prometheus has no Alertmanager here, and Grafana does not list its alerts beside its own."""
    prometheus = yaml.safe_load((REPOSITORY / "collector" / "prometheus.yaml").read_text())
    assert "alerting" not in prometheus
    assert SOURCES["prometheus"]["jsonData"]["manageAlerts"] is False
    targets = [target for _, target in mounts("grafana")]
    assert "/etc/grafana/provisioning/alerting/progress-rules.yaml" in targets


def test_dashboards_and_rules_share_a_folder() -> None:
    """The provider's is the one that the rules name."""
    (provider,) = yaml.safe_load((GRAFANA / "dashboards.yaml").read_text())["providers"]
    rules = yaml.safe_load((REPOSITORY / "dashboards/generated/grafana/alert_rules.yaml").read_text())
    assert {each["folder"] for each in rules["groups"]} == {provider["folder"]} == {config.FOLDER}
    boards = in_repository("grafana", provider["options"]["path"])
    assert sorted(path.stem for path in boards.iterdir()) == sorted(
        [config.OPERATION_UID, config.OVERVIEW_UID, config.RELIABILITY_UID]
    )


def test_contact_points_are_examples_and_leave_the_notification_tree_alone() -> None:
    """As shipped the file does nothing; without its comment signs it has a webhook, mail and Slack, and no policy."""
    text = (GRAFANA / "contact-points.yaml").read_text()
    assert yaml.safe_load(text) == {"apiVersion": 1}
    example = "# contactPoints:" + text.split("# contactPoints:")[1]
    found = yaml.safe_load(re.sub(r"^# ?", "", example, flags=re.MULTILINE))
    assert set(found) == {"contactPoints"}
    kinds = [receiver["type"] for each in found["contactPoints"] for receiver in each["receivers"]]
    assert kinds == ["webhook", "email", "slack"]
    variables = set(re.findall(r"\$(\w+)", example))
    assert variables <= set(SERVICES["grafana"]["environment"])
    assert not list(GRAFANA.glob("*polic*"))


def test_the_collector_takes_its_layers_in_their_order() -> None:
    """The base first, the user's own last."""
    command = SERVICES["collector"]["command"]
    assert [Path(each).name for each in command] == ["config.yaml", "stack-layer.yaml", "user-layer.yaml"]
