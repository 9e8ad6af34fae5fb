"""Real jobs on the files of the standard library: what they read is there wherever Python is."""

from __future__ import annotations

import ast
import hashlib
import importlib
import io
import lzma
import os
import pkgutil
import py_compile
import pydoc
import random
import sysconfig
import tarfile
import tempfile
import time
import tokenize
import warnings
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.bench.eta.tape import Tape


def sources(order: str = "path", *, share: float = 1.0, seed: int = 0, tests: bool = False) -> list[Path]:
    """
    Return the library's modules in an order: ``path``, ``size`` or ``random``.

    ``share`` leaves some out, ``tests`` takes those of its tests as well.
    """
    found: list[Path] = []
    left_out = {"site-packages", "__pycache__", *(() if tests else ("test", "tests"))}
    for folder, folders, names in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = [name for name in folders if name not in left_out]
        found.extend(Path(folder) / name for name in names if name.endswith(".py"))
    found.sort()
    if share < 1:
        found = sorted(random.Random(seed).sample(found, int(len(found) * share)))
    if order == "size":
        found.sort(key=lambda path: path.stat().st_size)
    elif order == "random":
        random.Random(seed).shuffle(found)
    return found


def _name(path: Path) -> str:
    """Return what a file is called on every machine."""
    return path.relative_to(sysconfig.get_path("stdlib")).as_posix()


def hash_files(tape: Tape, *, rounds: int = 500, pause: float = 0, **which: Any) -> None:
    """Hash every file many times; in the middle wait, as for a lock."""
    files = sources(**which)
    tape.total(len(files))
    for index, path in enumerate(files):
        if pause and index == len(files) // 2:
            time.sleep(pause)
        content = path.read_bytes()
        for _ in range(rounds):
            content = hashlib.sha256(content).digest() + content[32:]
        tape.step(1, path.stat().st_size, _name(path))


def compress_files(tape: Tape, *, preset: int = 6, **which: Any) -> None:
    """Compress file by file; each has a price of its own beside its size."""
    files = sources(**which)
    tape.total(len(files))
    for path in files:
        lzma.compress(path.read_bytes(), preset=preset)
        tape.step(1, path.stat().st_size, _name(path))


def walk_and_hash(tape: Tape, *, rounds: int = 6) -> None:
    """Find work while working: the total grows with each folder that is opened."""
    folders = [Path(sysconfig.get_path("stdlib"))]
    known = 0
    while folders:
        folder = folders.pop(0)
        files = []
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and entry.name not in {"site-packages", "__pycache__"}:
                folders.append(entry)
            elif entry.is_file():
                files.append(entry)
        known += len(files)
        tape.total(known)
        for path in files:
            content = path.read_bytes()
            for _ in range(rounds):
                zlib.crc32(hashlib.sha256(content).digest())
            tape.step(1, len(content))


def parse_files(tape: Tape, *, pause: float = 0, bytes_first: bool = False, **which: Any) -> None:
    """Parse and tokenise every module; in the middle wait, as for a lock."""
    files = sources(**which)
    sizes = [path.stat().st_size for path in files]
    tape.total(sum(sizes) if bytes_first else len(files))
    for index, (path, size) in enumerate(zip(files, sizes, strict=True)):
        if pause and index == len(files) // 2:
            time.sleep(pause)
        content = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tree = ast.parse(content)
                sum(1 for _ in ast.walk(tree))
                sum(1 for _ in tokenize.tokenize(io.BytesIO(content).readline))
            except (SyntaxError, tokenize.TokenError):
                pass  # test data of lib2to3
        tape.step(size if bytes_first else 1, size, _name(path))


def compile_files(tape: Tape, *, levels: tuple[int, ...] = (2,), **which: Any) -> None:
    """Byte-compile, optimised, as an installer does, or for every level, as a distribution does."""
    files = sources(**which)
    tape.total(len(files))
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for level in levels:
                    py_compile.compile(str(path), cfile=str(Path(folder) / "out.pyc"), optimize=level, quiet=2)
            tape.step(1, path.stat().st_size, _name(path))


def backup(tape: Tape, *, preset: int = 3, **which: Any) -> None:
    """Write everything to a compressed archive, counted in bytes read."""
    files = sources(**which)
    tape.total(sum(path.stat().st_size for path in files))
    with tempfile.TemporaryFile() as out, tarfile.open(fileobj=out, mode="w:xz", preset=preset) as archive:
        for path in files:
            archive.add(path)
            tape.step(path.stat().st_size, key=_name(path))


def render_docs(tape: Tape) -> None:
    """Import every module and render its help, as a documentation build does."""
    names = sorted(module.name for module in pkgutil.iter_modules([sysconfig.get_path("stdlib")]))
    skipped = {"antigravity", "this", "idlelib", "turtledemo", "lib2to3", "test", "tkinter", "turtle", "__phello__"}
    names = [name for name in names if name not in skipped and not name.startswith("_")]
    tape.total(len(names))
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pydoc.HTMLDoc().docmodule(importlib.import_module(name))
        except Exception:  # noqa: BLE001  # a module of another platform
            pass
        tape.step(1, key=name)


def pool_threads(tape: Tape, *, workers: int, count: int = 500) -> None:
    """Wait for answers of very different length, several at once, as a client of a service does."""
    times = random.Random(7)
    waits = [min(times.lognormvariate(-3.4, 1.0), 2.0) for _ in range(count)]
    tape.total(count)
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(time.sleep, wait): f"request {index}" for index, wait in enumerate(waits)}
        for future in as_completed(futures):
            tape.step(1, key=futures[future])


def _squeeze(path: str) -> str:
    lzma.compress(Path(path).read_bytes() * 3, preset=6)
    return path


def pool_processes(tape: Tape, *, workers: int, **which: Any) -> None:
    """Compress in worker processes."""
    files = sources(**which)
    tape.total(len(files))
    with ProcessPoolExecutor(workers) as pool:
        for future in as_completed([pool.submit(_squeeze, str(path)) for path in files]):
            tape.step(1, key=_name(Path(future.result())))
