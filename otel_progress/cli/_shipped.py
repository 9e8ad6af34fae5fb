"""The files that travel with the package, by the paths they have in the repository, and how they come into a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from otel_progress.cli._exit import Exit

GENERATED: Final = Path("dashboards", "generated")
"""Where dashboards and rules are."""

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_PLACES: Final = (_PACKAGE / "_bundle", _PACKAGE.parent)
"""Where the files are: installed, and in a checkout."""
_SUFFIXES: Final = {".yaml", ".yml", ".json", ".md"}


def texts(*paths: Path) -> Iterator[tuple[Path, str]]:
    """Yield these files, and what is in these folders, with their text; the repository's own data is none of it."""
    root = next(place for place in _PLACES if place.is_dir())
    for path in paths:
        place = root / path
        found = [place] if place.is_file() else sorted(_within(place))
        for each in found:
            yield each.relative_to(root), each.read_text(encoding="utf-8")


def _within(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.suffix in _SUFFIXES:
            yield path
        elif path.is_dir() and path.name not in {"data", "targets"}:
            yield from _within(path)


def add_arguments(parser: argparse.ArgumentParser, *, replaced: str) -> None:
    """Add where files are written to, and that those which are ``replaced`` may be."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="where to (default: the current folder)"
    )
    parser.add_argument("--force", action="store_true", help=f"replace {replaced}")


def write(files: Mapping[Path, str], *, force: bool, theirs: Collection[Path] = ()) -> Exit:
    """
    Write files, and print their paths; write none where one that differs is there.

    Args:
        files: Texts by path.
        force: Replace what differs.
        theirs: Paths that belong to the user once they are there: never replaced, and not in the way.
    """
    try:
        wanted = {path: text for path, text in files.items() if not (path in theirs and path.exists())}
        differing = [path for path, text in wanted.items() if path.exists() and path.read_text("utf-8") != text]
        if differing and not force:
            print(f"otel-progress: {differing[0]} is there and differs; --force replaces it", file=sys.stderr)
            return Exit.WRONG
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path)
    except (OSError, UnicodeDecodeError) as error:
        print(f"otel-progress: {error}", file=sys.stderr)
        return Exit.WRONG
    return Exit.DONE
