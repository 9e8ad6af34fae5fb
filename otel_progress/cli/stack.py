"""``otel-progress stack init``: a folder from which one command brings up everything that shows progress."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path
from typing import Final

from otel_progress.cli import _shipped
from otel_progress.cli._exit import Exit

COMPOSE: Final = Path("docker-compose.yml")
COLLECTOR: Final = Path("collector")
THEIRS: Final = (COLLECTOR / "user-layer.yaml", COLLECTOR / "grafana" / "contact-points.yaml")
"""What is written for the user to change, and never again."""
SECRETS: Final = Path(".env")
"""What Docker Compose reads variables from."""

_PASSWORD_BYTES: Final = 18

_DESCRIPTION: Final = """\
Write a folder from which "docker compose up --detach" brings up an
OpenTelemetry Collector, Prometheus, Tempo, Jaeger, Loki and Grafana, with
dashboards and alerts, all of them reachable from this machine only:

  docker-compose.yml      the six of them, and a demo job
  collector/              their configuration; README.md has every setting
  dashboards/generated/   dashboards, and rules for Prometheus and Grafana
  .env                    a password for Grafana, made for this folder

Two files in it are yours: collector/user-layer.yaml adds to what the Collector
does, collector/grafana/contact-points.yaml says where alerts go. They, and
.env, are never replaced, not by --force either: so a newer version comes by
"otel-progress stack init DIR --force". Without Docker, start the programs with
the same files; collector/README.md has the commands.
"""

_NEXT: Final = """\

Next:
  cd {folder}
  docker compose up --detach
  docker compose --profile demo run --rm demo      # a job to look at
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 python your_job.py

Grafana is at http://127.0.0.1:3000, user admin; the password is in {secrets}."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    what = "write the files that bring up Collector, backends and Grafana"
    stack = commands.add_parser("stack", help=what)
    init = stack.add_subparsers(metavar="ACTION", required=True).add_parser(
        "init", help=what, description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _shipped.add_arguments(init, replaced="files that are there and differ, but yours")
    init.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Write all files, or none where one that differs is there; then say how to go on."""
    folder: Path = arguments.folder
    generated = [_shipped.GENERATED / each for each in ("dashboards", "prometheus", "grafana")]
    files = {folder / path: text for path, text in _shipped.texts(COMPOSE, COLLECTOR, *generated)}
    status = _shipped.write(files, force=arguments.force, theirs=[folder / each for each in THEIRS])
    if status is not Exit.DONE:
        return status
    try:
        _write_password(folder / SECRETS)
    except OSError as error:
        print(f"otel-progress: {error}", file=sys.stderr)
        return Exit.WRONG
    print(_NEXT.format(folder=folder, secrets=folder / SECRETS), file=sys.stderr)
    return Exit.DONE


def _write_password(path: Path) -> None:
    """Write a password that nobody else knows, unless the file is there."""
    if path.exists():
        return
    path.touch(mode=0o600)
    path.write_text(
        "# Read by Docker Compose. Keep it out of version control.\n"
        f"GRAFANA_PASSWORD={secrets.token_urlsafe(_PASSWORD_BYTES)}\n",
        encoding="utf-8",
    )
    print(path)
