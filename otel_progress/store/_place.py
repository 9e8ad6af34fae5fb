"""Where the store's file is, and whether it may be used: nobody else may own it, write it, or have put a link there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from otel_progress.store._trouble import Reason, Trouble

FOLDER: Final = "otel_progress"
FILE: Final = "store.db"
COMPANIONS: Final = ("", "-wal", "-shm")
"""What SQLite puts beside a database in WAL mode, and the database itself."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OWNED: Final = hasattr(os, "geteuid")  # elsewhere folders of a user are private by other means


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """
    Return the store of this user: ``otel_progress/store.db`` in ``$XDG_STATE_HOME``, or in ``~/.local/state``.

    A relative ``$XDG_STATE_HOME`` is ignored, as the XDG base directory specification says.
    """
    base = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):  # noqa: PTH117  # a text, perhaps empty
        return Path(base, FOLDER, FILE)
    try:
        home = Path.home()
    except RuntimeError:
        raise Trouble.off(Reason.REFUSED, "there is no home folder to keep it in") from None
    if not home.is_dir():  # made by us, as root perhaps, it would be in somebody's way
        raise Trouble.off(Reason.REFUSED, f"there is no home folder {home} to keep it in")
    return home / ".local" / "state" / FOLDER / FILE


def prepare(path: Path) -> None:
    """
    Make the file and its folder where they are missing, for this user alone, and check them where they are not.

    Raises:
        Trouble: They must not be used.
        OSError: They cannot be made.
    """
    folder = path.parent
    for missing in reversed(list(_missing(folder))):
        with suppress(FileExistsError):  # another process was faster
            missing.mkdir(mode=0o700)
    _check_folder(folder)
    # Not opened to be looked at: closing a file drops the locks that SQLite holds on it in this process (fcntl).
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for suffix in COMPANIONS:
        with suppress(FileNotFoundError):
            _check_file(Path(f"{path}{suffix}"))


def _missing(folder: Path) -> Iterator[Path]:
    while not folder.exists():
        yield folder
        folder = folder.parent


def _check_folder(folder: Path) -> None:
    for found in (folder.lstat(), folder.stat()):  # a link, and what it leads to
        _check_owner(folder, found)
    if not stat.S_ISDIR(found.st_mode):
        raise Trouble.off(Reason.REFUSED, f"{folder} is no folder")
    if _OWNED and found.st_mode & _OTHERS_WRITE:
        raise Trouble.off(Reason.REFUSED, f"others can write to the folder {folder}")
    if folder.name == FOLDER and found.st_mode & 0o077 and _OWNED:
        folder.chmod(0o700)


def _check_file(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise Trouble.off(Reason.REFUSED, f"{path} is a link, or no file")
    _check_owner(path, found)
    if _OWNED and found.st_mode & _OTHERS_WRITE:
        raise Trouble.off(Reason.REFUSED, f"others can write to {path}")
    if _OWNED and found.st_mode & 0o077:
        path.chmod(0o600)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if _OWNED and found.st_uid != os.geteuid():
        raise Trouble.off(Reason.REFUSED, f"{path} belongs to another user")
