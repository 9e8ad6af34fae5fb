"""What the demo does with a file: finds it, and packs it if it is text. Nothing in here knows of progress."""

from __future__ import annotations

import codecs
import lzma
import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from stat import S_ISREG
from typing import Final

SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules"})
"""Not entered, as are hidden folders: they are not what somebody means by "this folder's files"."""

_DICTIONARY_LEAST: Final = 4096
SETTINGS: Final = [
    {"lc": literal, "lp": position, "pb": bits}
    for bits, position, literal in product(range(4), range(4), (3, 4, 2, 1, 0))
    if literal + position <= 4  # noqa: PLR2004  # a rule of LZMA
]
"""Ways to model the data; which one packs best depends on the file."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to process. ``text_bytes`` is its size if it looks like text, which is what takes the time, and else 0."""

    path: Path
    folder: str
    size: int
    text_bytes: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A compressed copy."""

    file: File
    blocks: list[bytes]
    digest: bytes

    def is_intact(self) -> bool:
        """Whether it unpacks to what was packed."""
        try:
            original = b"".join(map(lzma.decompress, self.blocks))
        except lzma.LZMAError:
            return False
        return sha256(original).digest() == self.digest


class Packing:
    """One file on its way: hashed, and compressed block by block for as long as it turns out to be text."""

    def __init__(self, file: File, *, tries: int, keep: bool) -> None:
        self._file = file
        self._tries = tries
        self._keep = keep
        self._digest = sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._blocks: list[bytes] = []
        self.is_text = file.text_bytes > 0 or file.size == 0
        self.bytes = self.lines = self.compressed_bytes = 0

    def take(self, block: bytes, check: Callable[[], None]) -> int:
        """Take the next block; return how much of it was compressed. ``check`` may raise between two tries."""
        self._digest.update(block)
        self._decode(block)
        if not self.is_text:
            return 0
        smallest = min((_compressed(block, settings, check) for settings in SETTINGS[: self._tries]), key=len)
        self.bytes += len(block)
        self.lines += block.count(b"\n")
        self.compressed_bytes += len(smallest)
        if self._keep:
            self._blocks.append(smallest)
        return len(block)

    def finish(self) -> None:
        """Take in that no block follows: half a character is left over at the end of what is not text."""
        self._decode(b"", final=True)

    def packed(self) -> Packed:
        """Return the copy."""
        return Packed(self._file, self._blocks, self._digest.digest())

    def _decode(self, block: bytes, *, final: bool = False) -> None:
        if self.is_text:
            try:
                self._decoder.decode(block, final)
            except UnicodeDecodeError:
                self.is_text = False


def _compressed(block: bytes, settings: dict[str, int], check: Callable[[], None]) -> bytes:
    check()
    lzma2 = {"id": lzma.FILTER_LZMA2, "dict_size": max(len(block), _DICTIONARY_LEAST), **settings}
    return lzma.compress(block, filters=[lzma2])


def look_into(folder: Path, root: Path) -> tuple[list[File], list[Path]]:
    """Return the files in a folder, and the folders below it that are to be entered; links to folders are not."""
    files: list[File] = []
    below: list[Path] = []
    relative = folder.relative_to(root).parts
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS:
                    below.append(path)
                continue
            try:
                status = entry.stat()
            except OSError:  # a broken link: reading it will say so
                files.append(File(path, relative[0] if relative else ".", 0, 0))
                continue
            if S_ISREG(status.st_mode):  # a pipe or a device might never end
                size = status.st_size
                files.append(File(path, relative[0] if relative else ".", size, size if _looks_like_text(path) else 0))
    return files, below


def _looks_like_text(path: Path) -> bool:
    """Whether it is worth trying: no zero byte near the beginning, as git decides it."""
    try:
        with path.open("rb") as source:
            return b"\0" not in source.read(1024)
    except OSError:
        return False
