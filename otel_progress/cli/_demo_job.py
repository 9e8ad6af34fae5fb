"""
The demo's job, written as any program that uses otel_progress: nothing here is special to the demo.

It scans a folder, then reads, hashes and compresses its files, and verifies some of the copies::

    demo                      operation, with its three phases and their weights announced
    ├── scan                  a list that grows under the loop, and its total with it
    ├── process               bytes of text; several folders at once, from a pool of threads
    │   └── folder            one per top-level folder: files and bytes, failed and skipped ones counted
    │       └── file          a large file, in bytes
    └── verify                a random sample of the copies

Files that cannot be read are failed items, files that are not text are skipped ones; neither ends the job.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import BinaryIO, Final

from otel_progress import Level, operation, track
from otel_progress.cli._demo_files import SETTINGS, File, Packed, Packing, look_into

FOLDERS_AT_ONCE: Final = 2
"""Threads. Hashing and compressing let go of the interpreter's lock, so two of them keep two cores busy."""

BLOCK_BYTES: Final = 64 * 1024
"""Each block is compressed on its own: memory stays small, and a large file is seen to advance."""
LARGE_FILE_BYTES: Final = 128 * 1024
"""From this size on a file has a level of its own."""

EFFORT_BYTES: Final = 560_000_000
"""Bytes to compress in all, every setting tried counting anew: about a minute on two modest cores."""
QUICK_EFFORT_BYTES: Final = 45_000_000
READING_COSTS: Final = 1 / 20
"""Reading and hashing a byte, in bytes compressed."""

VERIFIED_SHARE: Final = 0.2
VERIFIED_MOST: Final = 500
VERIFIED_FILE_BYTES_MOST: Final = 1024 * 1024
"""A verified copy is kept until then, so it has to be small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    What the job did, by its own count: telemetry has to agree with it.

    Attributes:
        folders: Folders that were looked into.
        unreadable_folders: Folders that could not be.
        files: Files there were to process; with ``quick``, in the sample.
        compressed: Files that were read, hashed and compressed.
        not_text: Files that were read and hashed, and then skipped.
        unreadable: Files that could not be read.
        large_files: Files that had a level of their own.
        bytes_read: Bytes read and hashed.
        text_bytes: Bytes compressed.
        compressed_bytes: What they were compressed to.
        lines: Lines in the compressed files.
        verified: Copies that were unpacked and equalled the original.
        damaged: Copies that did not.
        settings_tried: Compression settings tried on each block.
        phase_seconds: How long each phase took.
        trace_id: Where to find it; ``None`` if it was not traced.
    """

    folders: int
    unreadable_folders: int
    files: int
    compressed: int
    not_text: int
    unreadable: int
    large_files: int
    bytes_read: int
    text_bytes: int
    compressed_bytes: int
    lines: int
    verified: int
    damaged: int
    settings_tried: int
    phase_seconds: dict[str, float]
    trace_id: str | None


class Job:
    """
    One run over the files below ``root``. `summary` may be asked for at any time, from any thread.

    ``quick`` takes a sample of the files where all of them would be too many, and tries fewer settings. ``seed``
    decides what is drawn at random.
    """

    def __init__(self, root: Path, *, quick: bool = False, seed: int = 1) -> None:
        self.root = root
        self._effort_bytes = QUICK_EFFORT_BYTES if quick else EFFORT_BYTES
        self._is_sample = quick
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311  # nothing is kept secret by it
        self._lock = threading.Lock()  # covers the counts
        self._counts: Counter[str] = Counter()
        self._phase_seconds: dict[str, float] = {}
        self._operation: Level | None = None
        self._trace_id: str | None = None
        self._settings_tried = 0
        self._chosen: frozenset[File] = frozenset()
        self._copies: list[Packed] = []

    def run(self) -> Summary:
        """Do it all."""
        with operation(
            "demo",
            id=self.root.name,
            phases={"scan": 1, "process": 98, "verify": 1},
            metadata={"path": str(self.root), "seed": self._seed},
        ) as job:
            self._operation = job
            self._trace_id = job.snapshot().trace_id
            with self._timed("scan"):
                files = self._scan()
            if self._is_sample:
                files = self._sample(files)
            self._plan(files)
            with self._timed("process"):
                self._process(job, files)
            with self._timed("verify"):
                self._verify(job)
        return self.summary()

    def cancel(self, reason: str) -> None:
        """Ask it to stop; `run` then raises `ProgressCancelled`."""
        if self._operation is not None:
            self._operation.cancel(reason)

    def summary(self) -> Summary:
        """Return what has been done so far."""
        with self._lock:
            counts = Counter(self._counts)
        return Summary(
            folders=counts["folders"],
            unreadable_folders=counts["unreadable_folders"],
            files=counts["files"],
            compressed=counts["compressed"],
            not_text=counts["not_text"],
            unreadable=counts["unreadable"],
            large_files=counts["large_files"],
            bytes_read=counts["bytes_read"],
            text_bytes=counts["text_bytes"],
            compressed_bytes=counts["compressed_bytes"],
            lines=counts["lines"],
            verified=counts["verified"],
            damaged=counts["damaged"],
            settings_tried=self._settings_tried,
            phase_seconds=dict(self._phase_seconds),
            trace_id=self._trace_id,
        )

    # --- scan ---------------------------------------------------------------------------------------------------------

    def _scan(self) -> list[File]:
        files: list[File] = []
        folders = [self.root]
        with track(folders, "scan", unit="{folder}") as scan:
            for folder in scan:
                scan.check_cancelled()
                try:
                    found, below = look_into(folder, self.root)
                except OSError as error:
                    scan.item_failed(error)
                    self._add(unreadable_folders=1)
                    continue
                folders += below
                files += found
                self._add(folders=1)
                scan.update(message=f"{len(files):,} files")
        return files

    def _sample(self, files: list[File]) -> list[File]:
        """Draw files until there is work enough."""
        work = 0.0
        taken: list[File] = []
        for file in self._random.sample(files, len(files)):
            work += file.text_bytes + file.size * READING_COSTS
            if taken and work > self._effort_bytes:
                break
            taken.append(file)
        return sorted(taken, key=lambda file: file.path)

    def _plan(self, files: list[File]) -> None:
        """Spend the effort: the less text there is, the more settings are tried on each block."""
        texts = [file for file in files if file.text_bytes]
        text_bytes = sum(file.text_bytes for file in texts)
        tries = self._effort_bytes // max(text_bytes, 1)
        self._settings_tried = min(max(tries, 1), len(SETTINGS))
        small = [file for file in texts if file.text_bytes <= VERIFIED_FILE_BYTES_MOST]
        verified = min(ceil(len(small) * VERIFIED_SHARE), VERIFIED_MOST)
        self._chosen = frozenset(self._random.sample(small, verified))
        self._add(files=len(files))

    # --- process ------------------------------------------------------------------------------------------------------

    def _process(self, job: Level, files: list[File]) -> None:
        folders: dict[str, list[File]] = {}
        # In random order, so that a share of a folder's files is about the same share of its work.
        for file in self._random.sample(files, len(files)):
            folders.setdefault(file.folder, []).append(file)
        # The largest first: started last, it would run alone in the end.
        ordered = sorted(folders.values(), key=lambda files: sum(file.text_bytes for file in files), reverse=True)
        with (
            job.level("process", total=sum(file.text_bytes for file in files), unit="By") as process,
            ThreadPoolExecutor(FOLDERS_AT_ONCE) as pool,
        ):
            process.update(message=f"settings tried on each block: {self._settings_tried}")
            try:
                for _ in pool.map(partial(self._folder, job, process), ordered):
                    pass
            except BaseException:
                # Whatever ends us, Ctrl-C too: the threads look at this before each try, and the pool waits for them.
                process.cancel("the job is stopping")
                raise

    def _folder(self, job: Level, process: Level, files: list[File]) -> None:
        # In a thread that knows nothing of the level above, so that one is named: process.level, not level.
        with process.level("folder", id=files[0].folder, total=len(files), unit="{file}") as folder:
            for file in files:
                folder.check_cancelled()
                folder.update(message=file.path.name)
                self._file(job, process, folder, file)

    def _file(self, job: Level, process: Level, folder: Level, file: File) -> None:
        compressed = Packing(file, tries=self._settings_tried, keep=file in self._chosen)
        try:
            with file.path.open("rb") as source:
                if file.size < LARGE_FILE_BYTES:
                    self._read(source, compressed, process, folder)
                else:
                    self._add(large_files=1)
                    with folder.level("file", id=file.path.name, total=file.size, unit="By") as large:
                        self._read(source, compressed, process, folder, large)
        except OSError as error:
            folder.item_failed(error)
            process.advance(file.text_bytes - compressed.bytes, outcome="failed")
            self._add(unreadable=1)
            return
        if compressed.is_text:
            folder.advance()
            job.count("lines", compressed.lines)
            job.count("compressed_bytes", compressed.compressed_bytes, unit="By")
            self._add(compressed=1, lines=compressed.lines, compressed_bytes=compressed.compressed_bytes)
            if file in self._chosen:
                self._copies.append(compressed.packed())
        else:
            folder.skip()
            process.advance(file.text_bytes - compressed.bytes, outcome="skipped")
            self._add(not_text=1)
        job.set_quality(self._readable())

    def _read(
        self, source: BinaryIO, compressed: Packing, process: Level, folder: Level, large: Level | None = None
    ) -> None:
        for block in iter(partial(source.read, BLOCK_BYTES), b""):
            process.check_cancelled()
            taken = compressed.take(block, process.check_cancelled)
            process.advance(taken)
            folder.advance(bytes=len(block))
            if large is not None:
                large.advance(len(block))
            self._add(bytes_read=len(block), text_bytes=taken)
        compressed.finish()

    def _readable(self) -> float:
        with self._lock:
            return 1 - self._counts["unreadable"] / self._counts["files"]

    # --- verify -------------------------------------------------------------------------------------------------------

    def _verify(self, job: Level) -> None:
        copies = sorted(self._copies, key=lambda copy: copy.file.path)
        with job.track(copies, "verify", unit="{file}") as verify:
            for copy in verify:
                verify.check_cancelled()
                if copy.is_intact():
                    self._add(verified=1)
                else:
                    verify.item_failed(f"{copy.file.path} is damaged")
                    self._add(damaged=1)

    # --- its own count ------------------------------------------------------------------------------------------------

    def _add(self, **counts: int) -> None:
        with self._lock:
            self._counts.update(counts)

    @contextmanager
    def _timed(self, phase: str) -> Generator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self._phase_seconds[phase] = perf_counter() - started
