"""Which process wrote something, and whether it is still there."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

SILENT_SECONDS: Final = 30.0
"""Age of a heartbeat from which a process is no longer taken for alive by that alone; it beats once a second."""

Status = Literal["live", "silent", "dead"]
"""``silent``: the process is there, but has written nothing for half a minute (stopped, suspended, or locked out)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    A process: where its number means something, the number, and when it started (numbers are used again).

    ``place`` is one boot of one machine and one PID namespace: containers that share a folder share no numbers.
    """

    place: str
    host: str
    pid: int
    started: str


def own() -> Identity:
    """Return this process."""
    pid = os.getpid()
    return Identity(here(), socket.gethostname()[:255], pid, _stat(pid)[1])


@cache
def here() -> str:
    """Return the place of this process; a fork stays in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return socket.gethostname()


def status(process: Identity, heartbeat_age_seconds: float) -> Status:
    """Return whether a process is there; a heartbeat from the future (a clock set back) counts as old too."""
    is_fresh = abs(heartbeat_age_seconds) <= SILENT_SECONDS
    if process.place != here():
        return "live" if is_fresh else "dead"
    if not _is_there(process):
        return "dead"
    return "live" if is_fresh else "silent"


def _is_there(process: Identity) -> bool:
    state, started = _stat(process.pid)
    if state:
        return state not in "ZX" and process.started in {
            started,
            "",
        }  # a killed child that nobody waited for is a zombie
    try:
        os.kill(process.pid, 0)
    except PermissionError:  # somebody else's, but there
        return True
    except OSError:
        return False
    return True


def _stat(pid: int) -> tuple[str, str]:
    """Return (state, start in ticks since boot) as /proc has them; empty where it has not. See proc_pid_stat(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""
