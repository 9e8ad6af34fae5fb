"""More real jobs, for development: transforming, searching, simulating, importing, packing."""

from __future__ import annotations

import difflib
import heapq
import itertools
import json
import pickle
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.bench.eta.jobs_files import sources
from tests.bench.eta.tape import Tape


def search(tape: Tape, **which: Any) -> None:
    """Search every file for a pattern that has to look at each place."""
    files = sources(**which)
    tape.total(len(files))
    pattern = re.compile(r"(\w+)\s*\(.*?\1.*?\)")
    for path in files:
        pattern.findall(path.read_text(encoding="utf-8", errors="replace"))
        tape.step(1)


def fractal(tape: Tape, *, rows: int = 260) -> None:
    """Paint a fractal row by row: the middle is the dear part."""
    tape.total(rows)
    for row in range(rows):
        for column in range(220):
            c = complex(column / 80 - 2, row / (rows / 2.4) - 1.2)
            z = 0j
            for _ in range(180):
                z = z * z + c
                if abs(z) > 2:
                    break
        tape.step(1)


def sieve(tape: Tape, *, segments: int = 160) -> None:
    """Look for primes in segments: later ones have more divisors to try."""
    tape.total(segments)
    primes = [2, 3]
    number = 5
    for _ in range(segments):
        end = number + 700
        while number < end:
            if all(number % p for p in primes if p * p <= number):
                primes.append(number)
            number += 2
        tape.step(1)


def compare(tape: Tape) -> None:
    """Compare neighbouring files line by line, as a review tool does."""
    files = sources("random", share=0.09, seed=31)
    tape.total(len(files) - 1)
    texts = [path.read_text(encoding="utf-8", errors="replace").splitlines()[:260] for path in files]
    for before, after in itertools.pairwise(texts):
        difflib.SequenceMatcher(None, before, after).ratio()
        tape.step(1)


def convert(tape: Tape, *, count: int = 240) -> None:
    """Convert documents that grow, in a pipeline of three formats; every fortieth is a collection of the last ones."""
    numbers = random.Random(32)
    tape.total(count)
    kept: list[Any] = []
    for index in range(count):
        document = [{"id": n, "text": "x" * numbers.randrange(200)} for n in range(200 + index * 6)]
        text = json.dumps(json.loads(json.dumps(document)))
        kept.append(pickle.loads(pickle.dumps(document)))
        zlib.compress(text.encode(), 6)
        if index % 40 == 39:
            zlib.compress(json.dumps(kept).encode(), 6)
            kept.clear()
        tape.step(1)


def route(tape: Tape, *, count: int = 140) -> None:
    """Find shortest ways through a graph, from near goals to far ones."""
    numbers = random.Random(33)
    edges = {n: [(numbers.randrange(6_000), numbers.random()) for _ in range(6)] for n in range(6_000)}
    goals = [numbers.randrange(6_000) for _ in range(count)]
    tape.total(count)
    for index, goal in enumerate(goals):
        queue, seen = [(0.0, index)], set()
        while queue:
            far, node = heapq.heappop(queue)
            if node == goal:
                break
            if node in seen:
                continue
            seen.add(node)
            for other, length in edges[node]:
                heapq.heappush(queue, (far + length, other))
        tape.step(1)


def anneal(tape: Tape, *, rounds: int = 300) -> None:
    """Improve a tour: fewer tries are accepted as it cools, and a full check comes after each fiftieth round."""
    numbers = random.Random(34)
    places = [(numbers.random(), numbers.random()) for _ in range(160)]
    tour = list(range(160))

    def length() -> float:
        return sum(abs(complex(*places[a]) - complex(*places[b])) for a, b in itertools.pairwise(tour))

    tape.total(rounds)
    best = length()
    for turn in range(rounds):
        for _ in range(max(20, 260 - turn)):
            a, b = sorted(numbers.sample(range(160), 2))
            tour[a:b] = tour[a:b][::-1]
            now = length()
            if now < best * (1 + 0.3 / (turn + 1)):
                best = now
            else:
                tour[a:b] = tour[a:b][::-1]
        if turn % 50 == 49:
            for _ in range(4_000):
                length()
        tape.step(1)


def unpack(tape: Tape) -> None:
    """Pack everything first, which nobody counts, then unpack and check it file by file."""
    files = sources("path", share=0.9, seed=35)
    tape.total(len(files))
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "all.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for path in files:
                out.write(path, str(files.index(path)))
        with zipfile.ZipFile(archive) as packed:
            for index in range(len(files)):
                for _ in range(12):
                    zlib.crc32(packed.read(str(index)))
                tape.step(1)


def start_programs(tape: Tape, *, count: int = 60) -> None:
    """Start an interpreter for each of a list of modules and let it import."""
    names = "json email.mime.text asyncio decimal xml.dom.minidom sqlite3 http.client unittest ctypes logging".split()  # noqa: SIM905
    tape.total(count)
    for index in range(count):
        subprocess.run([sys.executable, "-c", f"import {names[index % 10]}"], check=True)
        tape.step(1)


def gather(tape: Tape, *, workers: int = 6, count: int = 420) -> None:
    """Ask a service that gets slower the longer it is asked, several times at once; one answer in twenty takes long."""
    numbers = random.Random(36)
    answered = 0
    lock = threading.Lock()
    waits = [numbers.lognormvariate(-3.2, 0.6) * (15 if n % 20 == 7 else 1) for n in range(count)]

    def ask(wait: float) -> None:
        nonlocal answered
        time.sleep(min(wait * (1 + answered / 250), 2.5))
        with lock:
            answered += 1

    tape.total(count)
    with ThreadPoolExecutor(workers) as pool:
        for _ in as_completed([pool.submit(ask, wait) for wait in waits]):
            tape.step(1)


def migrate(tape: Tape, *, tables: int = 24) -> None:
    """Copy tables of very different size in pages of 500 rows; the total is what the catalogue says, in rows."""
    numbers = random.Random(37)
    sizes = [int(numbers.lognormvariate(8.2, 1.2)) for _ in range(tables)]
    tape.total(sum(sizes))
    for size in sizes:
        width = numbers.randrange(1, 12)  # dear and cheap rows
        for start in range(0, size, 500):
            rows = min(500, size - start)
            for row in range(rows):
                json.loads(json.dumps([row] * width))
            time.sleep(0.002)
            tape.step(rows)


def poll_queue(tape: Tape, *, batches: int = 26) -> None:
    """Work off a queue that is filled from time to time: batches, and silence between them."""
    numbers = random.Random(38)
    sizes = [numbers.randrange(3, 30) for _ in range(batches)]
    tape.total(sum(sizes))
    for size in sizes:
        time.sleep(numbers.uniform(0.1, 0.7))
        for _ in range(size):
            time.sleep(0.004)
            tape.step(1)
