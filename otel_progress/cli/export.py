"""``otel-progress dashboards export`` and ``rules export``: files for Grafana and Prometheus, out of the package."""

from __future__ import annotations

import argparse
from typing import Final

from otel_progress.cli import _shipped

GRAFANA_URL: Final = "http://127.0.0.1:3000"
"""What the links in rules begin with, unless another address is given."""

_DASHBOARDS: Final = """\
Write the dashboards as JSON, for Grafana 12 or newer: "Import", or a folder
that a provider of dashboards reads. They need the recording rules; see
"otel-progress rules export".
"""

_RULES: Final = """\
Write the rules: prometheus/recording_rules.yaml (always needed, the dashboards
read what it records), prometheus/alert_rules.yaml for Prometheus and its
Alertmanager, or instead grafana/alert_rules.yaml for Grafana's folder
provisioning/alerting; grafana/alert_rules.api.json is for its HTTP API.
"""


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands and their arguments."""
    for name, what, description, folders in (
        ("dashboards", "dashboards for Grafana", _DASHBOARDS, ("dashboards",)),
        ("rules", "recording and alert rules for Prometheus and Grafana", _RULES, ("prometheus", "grafana")),
    ):
        parser = commands.add_parser(name, help=f"write {what}")
        export = parser.add_subparsers(metavar="ACTION", required=True).add_parser(
            "export",
            help=f"write {what} into a folder",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _shipped.add_arguments(export, replaced="files that are there and differ")
        if name == "rules":
            export.add_argument(
                "--grafana-url",
                default=GRAFANA_URL,
                metavar="URL",
                help=f"what links to dashboards begin with (default: {GRAFANA_URL})",
            )
        export.set_defaults(run=_run, folders=folders)


def _run(arguments: argparse.Namespace) -> int:
    """Write all files, or none where one that differs is there."""
    grafana_url = getattr(arguments, "grafana_url", GRAFANA_URL).rstrip("/")
    shipped = _shipped.texts(*(_shipped.GENERATED / folder for folder in arguments.folders))
    files = {
        arguments.folder / path.relative_to(_shipped.GENERATED): text.replace(GRAFANA_URL, grafana_url)
        for path, text in shipped
    }
    return _shipped.write(files, force=arguments.force)
