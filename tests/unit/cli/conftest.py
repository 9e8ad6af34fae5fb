"""A small folder with one of everything that a real one may hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_progress.cli._demo_job import BLOCK_BYTES, LARGE_FILE_BYTES

LARGE_TEXT = b"a line of 20 letters\n" * (LARGE_FILE_BYTES // 20)
"""6,553 lines of 21 bytes: 137,613 bytes, three blocks."""
LARGE_BINARY = b"\0" * (LARGE_FILE_BYTES + 7)
LATE_BINARY = b"x" * BLOCK_BYTES + b"\xff" * 100
"""Its first block is text."""


@dataclass(frozen=True)
class Tree:
    """A folder, and what the demo has to count in it."""

    root: Path
    files: int
    compressed: int
    not_text: int
    unreadable: int
    folders: int
    large_files: int
    lines: int
    bytes_read: int
    text_bytes: int
    planned_bytes: int


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """The folder; all of its numbers are different."""
    root = tmp_path / "tree"
    contents = {
        "top.txt": b"one\ntwo\n",
        "empty.txt": b"",
        "latin.txt": "caf\xe9\n".encode("latin-1"),
        "half.txt": "caf\xe9".encode()[:-1],  # ends within a character
        "texts/large.txt": LARGE_TEXT,
        "texts/deep/deeper/greek.txt": "\u03b1\u03b2\n\u03b3".encode(),
        "binaries/large.bin": LARGE_BINARY,
        "binaries/late.bin": LATE_BINARY,
        "binaries/small.bin": b"GIF\0\1\2",
        # Not its business:
        ".git/config": b"[core]\n",
        "texts/__pycache__/a.pyc": b"\0",
        "site-packages/other.py": b"pass\n",
    }
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "gone.txt").symlink_to(root / "nowhere")
    (root / "loop.txt").symlink_to(root / "loop.txt")
    (root / "texts" / "again").symlink_to(root / "texts")  # a link to a folder is not followed
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "pipe")  # reading it would wait for ever
    texts = [contents[name] for name in ("top.txt", "texts/large.txt", "texts/deep/deeper/greek.txt")]
    return Tree(
        root=root,
        files=11,  # 9 above, 2 links that lead nowhere
        compressed=4,  # the three texts, and the empty file
        not_text=5,  # latin, half, and the three binaries
        unreadable=2,
        folders=5,  # the root, texts, deep, deeper, binaries
        large_files=2,
        lines=2 + 6_553 + 1,
        bytes_read=sum(map(len, contents.values())) - len(b"[core]\n" + b"\0" + b"pass\n"),
        text_bytes=sum(map(len, texts))
        + BLOCK_BYTES
        + 4,  # "half" is found out at its end only: its 4 bytes are packed
        planned_bytes=sum(map(len, texts)) + len(LATE_BINARY) + 5 + 4,  # what has no zero byte near its beginning
    )
