"""Real jobs of other kinds: tests, builds, databases, training, downloads."""

from __future__ import annotations

import ast
import hashlib
import lzma
import math
import random
import re
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bench.eta.jobs_files import sources
from tests.bench.eta.tape import Tape

_TESTS: Final = Path(__file__).resolve().parents[2] / "unit"


class _TestsSeen:
    """A plugin of pytest that takes down each test."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._tape.total(len(session.items))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._tape.step(1, key=nodeid)


def own_tests(tape: Tape, *, shuffled: int | None = None) -> None:
    """Run our own unit tests."""
    names = ("bounds", "config", "context", "decorators", "endings", "eta", "events", "level", "metrics", "misuse")
    names += ("spans", "state", "track")
    files = [str(_TESTS / f"test_{name}.py") for name in names]
    if shuffled is not None:
        random.Random(shuffled).shuffle(files)
    pytest.main(["-q", "-p", "no:cacheprovider", *files], plugins=[_TestsSeen(tape)])


class _CasesSeen(unittest.TestResult):
    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self._tape = tape

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802  # unittest's name
        super().stopTest(test)
        self._tape.step(1, key=test.id())


def library_tests(tape: Tape, *, leave_out: int = 0) -> None:
    """Run tests of the standard library."""
    names = [
        "test_json",
        "test_re",
        "test_textwrap",
        "test_statistics",
        "test_heapq",
        "test_bisect",
        "test_collections",
        "test_difflib",
        "test_fractions",
        "test_functools",
        "test_itertools",
        "test_decimal",
        "test_zlib",
        "test_struct",
        "test_random",
        "test_set",
        "test_dict",
        "test_list",
        "test_string",
        "test_csv",
        "test_configparser",
        "test_enum",
        "test_dataclasses",
    ]
    names = names[: len(names) - leave_out] if leave_out >= 0 else names[-leave_out:]
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromNames([f"test.{name}" for name in names]))
    tape.total(suite.countTestCases())
    suite.run(_CasesSeen(tape))


def make_c(tape: Tape, *, jobs: int, count: int = 90) -> None:
    """Build generated C of very different length with make; a line of its output is a file."""
    lengths = random.Random(3)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for index in range(count):
            functions = int(min(lengths.lognormvariate(3.2, 1.1), 900))
            body = "\n".join(
                f"double f{n}(double *x, int k) {{ double s = 0; for (int i = 0; i < k; i++) "
                f"s += x[i] * {n}.5 / (1 + x[(i * {n}) % k]); return s > {n} ? s : f{max(n - 1, 0)}(x, k - 1); }}"
                for n in range(functions)
            )
            (root / f"m{index:03}.c").write_text(body)
        (root / "Makefile").write_text(
            "O=$(patsubst %.c,%.o,$(sort $(wildcard *.c)))\nall: $(O)\n"
            "%.o: %.c\n\t@gcc -O2 -w -fno-inline -c $< -o $@ && echo $@\n"
        )
        tape.total(count)
        with subprocess.Popen(["make", f"-j{jobs}"], cwd=root, stdout=subprocess.PIPE, text=True) as make:
            assert make.stdout is not None
            for line in make.stdout:
                tape.step(1, key=line.strip())


def insert_growing(tape: Tape, *, batches: int = 250) -> None:
    """Insert what is not there yet without an index: each batch is dearer than the last."""
    numbers = random.Random(5)
    with sqlite3.connect(":memory:") as database:
        database.execute("create table t (a integer, b text)")
        tape.total(batches)
        for _ in range(batches):
            for _ in range(25):
                a = numbers.randrange(10**9)
                if not database.execute("select 1 from t where a = ?", (a,)).fetchone():
                    database.executemany("insert into t values (?, ?)", [(a + n, str(a)) for n in range(8)])
            tape.step(1)


def load_rows(tape: Tape, *, batches: int = 60) -> None:
    """Load rows in batches of 5000 into an indexed table on disk, with a commit each."""
    numbers = random.Random(6)
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "rows.db")
        database.execute("create table t (a integer primary key, b text, c real)")
        database.execute("create index i on t (b, c)")
        tape.total(batches * 5_000)
        for _ in range(batches):
            rows = [(None, f"{numbers.randrange(10**12):x}", numbers.random()) for _ in range(5_000)]
            database.executemany("insert into t values (?, ?, ?)", rows)
            database.commit()
            tape.step(5_000)
        database.close()


def report_queries(tape: Tape, *, count: int = 80, seed: int = 8) -> None:
    """Run a set of reports of very different price on one table."""
    numbers = random.Random(8)
    with sqlite3.connect(":memory:") as database:
        database.execute("create table t (a integer, b integer, c real)")
        database.executemany(
            "insert into t values (?, ?, ?)",
            [(numbers.randrange(1_000), numbers.randrange(50), numbers.random()) for _ in range(60_000)],
        )
        queries = []
        for index in range(count):
            low = numbers.randrange(900)
            width = int(numbers.lognormvariate(1.0, 1.0))
            queries.append(
                (
                    f"query {index}",
                    (
                        "select x.b, count(*), sum(x.c * y.c) from t x join t y on x.b = y.b and y.a between ? and ? "
                        "where x.a between ? and ? group by x.b"
                    ),
                    (low, low + min(width, 30), low, low + 40),
                )
            )
        random.Random(seed).shuffle(queries)
        tape.total(len(queries))
        for name, text, values in queries:
            database.execute(text, values).fetchall()
            tape.step(1, key=name)


def train(tape: Tape, *, epochs: int = 100) -> None:
    """Train a small net: reading the data comes first, and every fifth epoch is looked at in full."""
    tape.total(epochs * 10)
    numbers = random.Random(1)
    data = [([numbers.gauss(0, 1) for _ in range(12)], numbers.random() > 0.5) for _ in range(12_000)]
    hidden = [[numbers.gauss(0, 0.3) for _ in range(12)] for _ in range(6)]
    out = [numbers.gauss(0, 0.3) for _ in range(6)]
    for epoch in range(epochs):
        for batch in range(10):
            for x, wanted in data[batch * 120 : batch * 120 + 120]:
                h = [math.tanh(sum(a * b for a, b in zip(x, w, strict=True))) for w in hidden]
                error = 1 / (1 + math.exp(-sum(a * b for a, b in zip(h, out, strict=True)))) - wanted
                for j, value in enumerate(h):
                    slope = error * out[j] * (1 - value * value)
                    out[j] -= 0.01 * error * value
                    hidden[j] = [w - 0.01 * slope * v for w, v in zip(hidden[j], x, strict=True)]
            tape.step(1)
        if epoch % 5 == 4:
            for x, _ in data:
                sum(math.tanh(sum(a * b for a, b in zip(x, w, strict=True))) for w in hidden)


def count_words(tape: Tape, *, rounds: int = 12) -> None:
    """Train a language model of word triples: the tables grow, and each round ends with a pruning."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sources("random", share=0.12, seed=2)]
    tape.total(rounds * len(texts))
    counts: Counter[tuple[str, ...]] = Counter()
    for turn in range(rounds):
        for text in texts:
            words = re.findall(r"\w+", text)
            counts.update(zip(words, words[1 + turn % 3 :], words[2:], strict=False))
            tape.step(1)
        counts = Counter(dict(counts.most_common(120_000)))


def sort_growing(tape: Tape, *, count: int = 120) -> None:
    """Sort lists each longer than the last, as a study of scaling does."""
    numbers = random.Random(4)
    tape.total(count)
    for index in range(count):
        sorted(numbers.random() for _ in range(3_000 + index * index * 22))
        tape.step(1)


def fetch_throttled(tape: Tape, *, megabytes: int = 24) -> None:
    """Download over loopback from a server whose speed comes and goes."""
    whole, chunk = megabytes << 20, 1 << 16
    server = socket.create_server(("127.0.0.1", 0))
    speeds = random.Random(9)

    def serve() -> None:
        peer, _ = server.accept()
        speed = 3e6
        with peer:
            for index in range(whole // chunk):
                if index % 40 == 0:
                    speed = min(max(speed * speeds.lognormvariate(0, 0.5), 8e5), 6e6)
                peer.sendall(bytes(chunk))
                time.sleep(chunk / speed)

    thread = threading.Thread(target=serve)
    thread.start()
    tape.total(whole)
    with socket.create_connection(server.getsockname()) as client:
        while got := client.recv(chunk):
            tape.step(len(got))
    thread.join()
    server.close()


def fetch_flaky(tape: Tape, *, count: int = 220) -> None:
    """Fetch pages from a server that refuses for a while now and then; the client backs off."""
    numbers = random.Random(11)
    tape.total(count)
    for index in range(count):
        wait = 0.1
        while numbers.random() < (0.35 if 90 < index < 130 else 0.03):
            time.sleep(wait)
            wait = min(wait * 2, 1.6)
        time.sleep(numbers.lognormvariate(-3.7, 0.5))
        tape.step(1)


def fetch_parts(tape: Tape, *, parts: int = 3) -> None:
    """Download several parts at once, each as fast as its mirror is: the slowest one ends alone."""
    chunk = 1 << 15
    sizes = [5 << 20] * parts
    rates = [2.4e6, 1.1e6, 4.5e5]
    tape.total(sum(sizes))
    chunks: deque[int] = deque()

    def fetch(size: int, rate: float, seed: int) -> None:
        times = random.Random(seed)
        while size > 0:
            time.sleep(chunk / rate * times.lognormvariate(-0.1, 0.6))
            chunks.append(chunk)
            size -= chunk

    threads = [
        threading.Thread(target=fetch, args=(*each, seed)) for seed, each in enumerate(zip(sizes, rates, strict=True))
    ]
    for thread in threads:
        thread.start()
    left = sum(sizes)
    while left > 0:
        while chunks:
            got = chunks.popleft()
            left -= got
            tape.step(got)
        time.sleep(0.005)


def crawl(tape: Tape, *, pages: int = 420) -> None:
    """Crawl a site over loopback: the total is what has been found so far."""
    shape = random.Random(12)
    links: dict[int, list[int]] = {}
    free = 1
    for page in range(pages):
        links[page] = list(range(free, min(free + int(shape.expovariate(0.45)) + (page % 3 == 0), pages)))
        free += len(links[page])

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = int(urllib.parse.urlparse(self.path).path[1:])
            time.sleep(shape.lognormvariate(-4.0, 0.8))
            body = " ".join(f'<a href="/{link}">' for link in links.get(page, ())) + "x" * shape.randrange(20_000)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        queue, known = deque([0]), 1
        tape.total(known)
        while queue:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{queue.popleft()}") as answer:
                found = [int(link) for link in re.findall(r'href="/(\d+)"', answer.read().decode())]
            queue.extend(found)
            if found:
                known += len(found)
                tape.total(known)
            tape.step(1)
        server.shutdown()
        thread.join()


def tree_of_archive(tape: Tape, *, hashing: int = 60) -> None:
    """Read, compress, verify: three phases of very different length."""
    files = sources("random", share=0.9, seed=21)
    with tape.phase("read", len(files)) as phase:
        contents = []
        for path in files:
            contents.append(path.read_bytes())
            for _ in range(hashing):
                hashlib.sha256(contents[-1])
            phase.step(1)
    packed = []
    with tape.phase("compress", len(files)) as phase:
        for content in contents:
            packed.append(lzma.compress(content, preset=4))
            phase.step(1)
    with tape.phase("verify", len(packed)) as phase:
        for content in packed:
            for _ in range(3):
                lzma.decompress(content)
            phase.step(1)


def tree_of_index(tape: Tape) -> None:
    """Parse, index, query: three phases of very different length and unit."""
    files = sources("random", share=0.4, seed=22)
    words: list[tuple[str, str]] = []
    with tape.phase("parse", len(files)) as phase:
        for path in files:
            try:
                tree = ast.parse(path.read_bytes())
            except SyntaxError:
                continue
            words.extend((path.name, node.id) for node in ast.walk(tree) if isinstance(node, ast.Name))
            phase.step(1)
    database = sqlite3.connect(":memory:")
    database.execute("create table w (file text, word text)")
    database.execute("create index i on w (word, file)")
    random.Random(3).shuffle(words)
    batches = [words[start : start + 500] for start in range(0, len(words), 500)]
    with tape.phase("index", len(batches)) as phase:
        for batch in batches:
            database.executemany("insert into w values (?, ?)", batch)
            phase.step(1)
    wanted = [word for word, _ in Counter(word for _, word in words).most_common(160)]
    with tape.phase("query", len(wanted)) as phase:
        for word in wanted:
            text = "select count(*) from w where file in (select file from w where word = ?)"
            database.execute(text, (word,)).fetchall()
            phase.step(1)
