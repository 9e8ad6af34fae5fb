"""The command line: ``otel-progress``. One file per command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import otel_progress
from otel_progress.cli import demo, export, stack
from otel_progress.cli._exit import Exit
from otel_progress.errors import ConfigError

_EXIT_STATUS: Final = f"""\
exit status:
  {Exit.DONE:<5}done
  {Exit.WRONG:<5}it ran, but not everything was right
  {Exit.USAGE:<5}an argument, a setting or an OTEL_PROGRESS_* variable is wrong
  {Exit.INTERRUPTED:<5}interrupted (Ctrl-C)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command; return the exit status. The console script.

    Raises:
        SystemExit: argparse ends the program after ``--help`` and ``--version``, and for arguments it does not know.
    """
    try:
        arguments = _parser().parse_args(argv)
        status: int = arguments.run(arguments)
    except ConfigError as error:
        print(f"otel-progress: {error}", file=sys.stderr)
        return Exit.USAGE
    except KeyboardInterrupt:  # outside the job, where there is nothing to sum up
        return Exit.INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otel-progress",
        description="Progress of running Python jobs, as OpenTelemetry traces and metrics and on your terminal.",
        epilog=_EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demo.add_parser(commands)
    export.add_parsers(commands)
    stack.add_parser(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"otel-progress {otel_progress.__version__}")
        parser.exit()
