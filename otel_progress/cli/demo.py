"""``otel-progress demo``: a real job on real files, to see what progress looks like before writing a line of code."""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import otel_progress
from otel_progress._config import PROMETHEUS_PORT
from otel_progress.cli import _demo_json
from otel_progress.cli._demo_files import look_into
from otel_progress.cli._demo_job import Job
from otel_progress.cli._demo_setup import Surroundings, set_up
from otel_progress.cli._demo_summary import closing
from otel_progress.cli._exit import Exit
from otel_progress.errors import ConfigError, ProgressCancelled
from otel_progress.names import State

if TYPE_CHECKING:
    from otel_progress.sdk import Handle

SHUTDOWN_SECONDS: Final = 5.0

_DESCRIPTION: Final = """\
Scan a folder, hash and compress every text file in it, and verify some of the
copies: a real job with phases, parallel and nested levels, files that fail
and files that are skipped. It takes about a minute for Python's own standard
library, which is the default, and changes nothing: the copies stay in memory.

While it runs it is seen on the terminal (stderr), at a Prometheus endpoint on
this machine, and, if OTEL_EXPORTER_OTLP_ENDPOINT is set, as traces, metrics
and events wherever that points. OTEL_* and OTEL_PROGRESS_* variables hold as
in any program.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "demo",
        help="run a real job on real files and watch it",
        description=_DESCRIPTION,
        epilog=_demo_json.SCHEMA,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        metavar="PATH",
        help="folder to work on, without its hidden folders, __pycache__, site-packages and the like "
        "(default: Python's standard library)",
    )
    parser.add_argument("--quick", action="store_true", help="about five seconds: less work, on a sample if need be")
    parser.add_argument("--json", action="store_true", help="progress as JSON lines on stdout instead of the terminal")
    parser.add_argument(
        "--prometheus",
        type=_port,
        metavar="PORT|off",
        help=f"port of the Prometheus endpoint, 0 for any free one (default: {PROMETHEUS_PORT}, or any if it is taken)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="decides the samples (default: %(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Run the demo; return the exit status.

    Raises:
        ConfigError: There is nothing to work on, or a setting is wrong.
    """
    root = _folder(arguments.path)
    handle, surroundings = set_up(arguments.prometheus, terminal="off" if arguments.json else None)
    job = Job(root, quick=arguments.quick, seed=arguments.seed)
    return (_as_json if arguments.json else _for_people)(job, handle, surroundings)


def _for_people(job: Job, handle: Handle, surroundings: Surroundings) -> int:
    if surroundings.prometheus_url is not None:
        print(f"While this runs, its metrics are at {surroundings.prometheus_url}", file=sys.stderr)
    state = _end_of(job, lambda: handle.shutdown(SHUTDOWN_SECONDS))
    summary = job.summary()
    print(closing(summary, state, surroundings), file=sys.stderr)
    return _status(state, damaged=summary.damaged)


def _as_json(job: Job, handle: Handle, surroundings: Surroundings) -> int:
    lines = _demo_json.Lines(sys.stdout, give_up=lambda: job.cancel("nobody reads what it says"))
    lines.setup(job.root, surroundings)
    changes = otel_progress.on_change(lines.change)

    def close() -> None:
        otel_progress.flush(SHUTDOWN_SECONDS)
        changes.unsubscribe()
        handle.shutdown(SHUTDOWN_SECONDS)

    state = _end_of(job, close)
    summary = job.summary()
    lines.summary(summary, state)
    if lines.is_broken:
        # The interpreter flushes stdout once more at exit, and would complain.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.NOBODY_READS
    return _status(state, damaged=summary.damaged)


def _end_of(job: Job, close: Callable[[], object]) -> State:
    """Run the job to its end, whichever that is; close in any case."""
    try:
        job.run()
    except KeyboardInterrupt:
        return State.INTERRUPTED
    except ProgressCancelled:
        return State.CANCELLED
    finally:
        close()
    return State.COMPLETED


def _status(state: State, *, damaged: int) -> int:
    if state is State.INTERRUPTED:
        return Exit.INTERRUPTED
    return Exit.WRONG if damaged else Exit.DONE


def _port(text: str) -> int | str:
    try:
        return text if text == "off" else int(text)  # the range is checked with the other settings
    except ValueError:
        msg = f"must be a port or off, not {text!r}"
        raise argparse.ArgumentTypeError(msg) from None


def _folder(given: Path | None) -> Path:
    """Return the folder to work on: one that can be read and has files in it, at whatever depth."""
    root = (Path(sysconfig.get_path("stdlib")) if given is None else given).absolute()
    folders = [root]
    for folder in folders:
        try:
            files, below = look_into(folder, root)
        except OSError as error:
            if folder == root:
                msg = f"PATH must be a folder that can be read; {root}: {error.strerror}"
                raise ConfigError(msg) from error
            continue
        if files:
            return root
        folders += below
    msg = f"PATH must be a folder with files in it; there are none in {root}"
    raise ConfigError(msg)
