"""
Other people's bars on the same terminal. Found without importing anything: who draws with tqdm or rich has them loaded.

While one of them is up, the live tree stays away and plain lines are written above it, by the library's own means.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from otel_progress.terminal.detect import is_terminal


def is_drawing() -> bool:
    """Whether a tqdm bar or a rich live display is on the terminal now."""
    return _tqdm_with_bars() is not None or _rich_proxy() is not None


def is_proxy(stream: TextIO) -> bool:
    """Whether ``stream`` belongs to a rich live display, which puts it in place of a standard stream while it is up."""
    return hasattr(stream, "rich_proxied_file")


def write_above(lines: Iterable[str], stream: TextIO) -> None:
    """Write lines above the bars that are there."""
    text = "".join(f"{line}\n" for line in lines)
    if not text:
        return
    proxy = _rich_proxy()
    tqdm = _tqdm_with_bars()
    if proxy is not None:
        proxy.write(text)
    elif tqdm is not None:
        with tqdm.external_write_mode(file=stream):
            stream.write(text)
            stream.flush()
    else:
        stream.write(text)
        stream.flush()


def _tqdm_with_bars() -> type[Any] | None:
    """Return tqdm's class if it has a bar on a terminal. Its subclasses keep their bars in the same set."""
    tqdm: type[Any] | None = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    try:
        bars = list(getattr(tqdm, "_instances", ()))
    except RuntimeError:  # a bar was made or collected while we looked
        return tqdm
    return tqdm if any(is_terminal(getattr(bar, "fp", None)) for bar in bars) else None


def _rich_proxy() -> TextIO | None:
    """Return the stream through which a rich live display takes in prints, while there is one."""
    return next((stream for stream in (sys.stderr, sys.stdout) if stream is not None and is_proxy(stream)), None)
