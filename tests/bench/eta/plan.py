"""
Which runs there are, which of them may be tuned on, and which pairs are history and what it is history of.

The split is by family of jobs, and was decided before anything was tuned: constants of the estimators are fixed on
``DEVELOPMENT`` alone, scores are told on ``HELD_OUT``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.eta import jobs_files as files
from tests.bench.eta import jobs_more as more
from tests.bench.eta import jobs_other as other


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run to record: the job, its unit and options; a quota of the processors between two seconds of it.

    A ``quiet`` one is timed by the processor's clock, as on a machine of its own: what else this machine had to do is
    no part of it. That is right for jobs that compute in one thread and wait for nothing.
    """

    job: Callable[..., None]
    unit: str = "item"
    options: Mapping[str, Any] = field(default_factory=dict)
    quota: float = 1.0
    begin: float = 0.0
    end: float = float("inf")
    quiet: bool = False
    keys: bool = False
    """Whether the trace keeps which item was done when."""
    sizes: bool = False
    """Whether it keeps the bytes."""


SLOW: Final = 0.62


def _quiet(
    job: Callable[..., None], options: Mapping[str, Any] | None = None, quota: float = 1.0, *, keys: bool = False
) -> Run:
    return Run(job, "item", options or {}, quota, quiet=True, keys=keys)


DEVELOPMENT: Final[dict[str, Run]] = {
    "hash-path": Run(files.hash_files, "file"),
    "hash-size": Run(files.hash_files, "file", {"order": "size"}),
    "hash-random": Run(files.hash_files, "file", {"order": "random", "seed": 1}),
    "hash-random-again": Run(files.hash_files, "file", {"order": "random", "seed": 1}),
    "hash-random-slow": Run(files.hash_files, "file", {"order": "random", "seed": 1}, SLOW),
    "hash-fewer": Run(files.hash_files, "file", {"order": "random", "share": 0.8, "seed": 4}),
    "hash-pause": Run(files.hash_files, "file", {"order": "random", "seed": 5, "pause": 5.0}),
    "hash-loaded": Run(files.hash_files, "file", {"order": "random", "seed": 6}, 0.35, 4.0, 10.0),
    "compress-path": Run(files.compress_files, "file", {"share": 0.8, "seed": 3}),
    "compress-size": Run(files.compress_files, "file", {"order": "size", "share": 0.6}, sizes=True),
    "compress-path-slow": Run(files.compress_files, "file", {"share": 0.8, "seed": 3}, SLOW),
    "compress-random": Run(files.compress_files, "file", {"order": "random", "share": 0.8, "seed": 3}),
    "walk": Run(files.walk_and_hash, "file", {"rounds": 200}),
    "pool-threads": Run(files.pool_threads, "request", {"workers": 4}),
    "pool-threads-half": Run(files.pool_threads, "request", {"workers": 2}),
    "own-tests": Run(other.own_tests, "test"),
    "own-tests-again": Run(other.own_tests, "test"),
    "own-tests-shuffled": Run(other.own_tests, "test", {"shuffled": 1}),
    "insert": Run(other.insert_growing, "batch"),
    "insert-slow": Run(other.insert_growing, "batch", quota=SLOW),
    "load-rows": Run(other.load_rows, "row"),
    "train": Run(other.train, "batch"),
    "train-loaded": Run(other.train, "batch", {}, 0.4, 4.0, 10.0),
    "fetch-throttled": Run(other.fetch_throttled, "By"),
    "fetch-flaky": Run(other.fetch_flaky, "page"),
    "search": Run(more.search, "file", {"share": 0.7, "seed": 30}),
    "search-random": Run(more.search, "file", {"order": "random", "share": 0.7, "seed": 30}),
    "fractal": Run(more.fractal, "row"),
    "sieve": Run(more.sieve, "segment"),
    "compare": Run(more.compare, "pair"),
    "convert": Run(more.convert, "document"),
    "route": Run(more.route, "way"),
    "anneal": Run(more.anneal, "round"),
    "unpack": Run(more.unpack, "file"),
    "start-programs": Run(more.start_programs, "program"),
    "gather": Run(more.gather, "answer"),
    "migrate": Run(more.migrate, "row"),
    "poll-queue": Run(more.poll_queue, "message"),
    "quiet-hash": _quiet(files.hash_files, {"order": "random", "seed": 1}, keys=True),
    "quiet-hash-again": _quiet(files.hash_files, {"order": "random", "seed": 1}),
    "quiet-hash-slow": _quiet(files.hash_files, {"order": "random", "seed": 1}, SLOW),
    "quiet-hash-fewer": _quiet(files.hash_files, {"order": "random", "share": 0.8, "seed": 4}, keys=True),
    "quiet-compress": _quiet(files.compress_files, {"share": 0.8, "seed": 3}),
    "quiet-compress-slow": _quiet(files.compress_files, {"share": 0.8, "seed": 3}, SLOW),
    "quiet-compress-again": _quiet(files.compress_files, {"share": 0.8, "seed": 3}),
    "quiet-insert": _quiet(other.insert_growing),
    "quiet-insert-slow": _quiet(other.insert_growing, quota=SLOW),
    "quiet-train": _quiet(other.train, {"epochs": 60}),
    "quiet-train-again": _quiet(other.train, {"epochs": 60}),
    "tree-archive": _quiet(other.tree_of_archive),
    "tree-archive-again": _quiet(other.tree_of_archive),
    "tree-archive-slow": _quiet(other.tree_of_archive, quota=SLOW),
}

HELD_OUT: Final[dict[str, Run]] = {
    "parse-path": Run(files.parse_files, "file", sizes=True),
    "parse-path-again": Run(files.parse_files, "file"),
    "parse-path-slow": Run(files.parse_files, "file", quota=SLOW),
    "parse-size": Run(files.parse_files, "file", {"order": "size"}, sizes=True),
    "parse-random": Run(files.parse_files, "file", {"order": "random", "seed": 1}, sizes=True),
    "parse-fewer": Run(files.parse_files, "file", {"order": "random", "share": 0.8, "seed": 4}),
    "parse-bytes": Run(files.parse_files, "By", {"bytes_first": True}),
    "parse-pause": Run(files.parse_files, "file", {"order": "random", "seed": 5, "pause": 4.0}),
    "parse-loaded": Run(files.parse_files, "file", {"order": "random", "seed": 6}, 0.35, 4.0, 12.0),
    "compileall": Run(files.compile_files, "file"),
    "compileall-again": Run(files.compile_files, "file"),
    "compileall-slow": Run(files.compile_files, "file", quota=SLOW),
    "backup": Run(files.backup, "By"),
    "backup-slow": Run(files.backup, "By", quota=SLOW),
    "docs": Run(files.render_docs, "module"),
    "docs-again": Run(files.render_docs, "module"),
    "docs-slow": Run(files.render_docs, "module", quota=SLOW),
    "pool-processes": Run(files.pool_processes, "file", {"workers": 2, "share": 0.35}),
    "pool-processes-again": Run(files.pool_processes, "file", {"workers": 2, "share": 0.35}),
    "pool-processes-half": Run(files.pool_processes, "file", {"workers": 1, "share": 0.35}),
    "library-tests": Run(other.library_tests, "test"),
    "library-tests-again": Run(other.library_tests, "test"),
    "library-tests-slow": Run(other.library_tests, "test", quota=SLOW),
    "make": Run(other.make_c, "file", {"jobs": 2}),
    "make-half": Run(other.make_c, "file", {"jobs": 1}),
    "reports": Run(other.report_queries, "query"),
    "reports-shuffled": Run(other.report_queries, "query", {"seed": 9}),
    "words": Run(other.count_words, "text"),
    "sort": Run(other.sort_growing, "list"),
    "fetch-parts": Run(other.fetch_parts, "By"),
    "crawl": Run(other.crawl, "page"),
    "quiet-parse": _quiet(files.parse_files, keys=True),
    "quiet-parse-again": _quiet(files.parse_files),
    "quiet-parse-slow": _quiet(files.parse_files, quota=SLOW),
    "quiet-parse-fewer": _quiet(files.parse_files, {"order": "random", "share": 0.8, "seed": 4}, keys=True),
    "quiet-compileall": _quiet(files.compile_files),
    "quiet-compileall-again": _quiet(files.compile_files),
    "quiet-compileall-slow": _quiet(files.compile_files, quota=SLOW),
    "quiet-backup": _quiet(files.backup),
    "quiet-backup-again": _quiet(files.backup),
    "quiet-backup-slow": _quiet(files.backup, quota=SLOW),
    "quiet-docs": _quiet(files.render_docs),
    "quiet-docs-again": _quiet(files.render_docs),
    "quiet-docs-slow": _quiet(files.render_docs, quota=SLOW),
    "quiet-tests": _quiet(other.library_tests, {"leave_out": 10}),
    "quiet-tests-again": _quiet(other.library_tests, {"leave_out": 10}),
    "quiet-tests-slow": _quiet(other.library_tests, {"leave_out": 10}, SLOW),
    "quiet-reports": _quiet(other.report_queries, keys=True),
    "quiet-reports-shuffled": _quiet(other.report_queries, {"seed": 9}, keys=True),
    "tree-index": _quiet(other.tree_of_index),
    "tree-index-again": _quiet(other.tree_of_index),
    "tree-index-slow": _quiet(other.tree_of_index, quota=SLOW),
}

_EVERYTHING: Final = {"tests": True}
_LONG: Final[Mapping[str, tuple[Callable[..., None], Mapping[str, Any]]]] = {
    "long-parse": (files.parse_files, _EVERYTHING),
    "long-compileall": (files.compile_files, {**_EVERYTHING, "levels": (0, 1, 2)}),
    "long-backup": (files.backup, {**_EVERYTHING, "preset": 6}),
    "long-tests": (other.library_tests, {}),
}
LONG: Final[dict[str, Run]] = {
    f"{name}{end}": _quiet(job, options, quota)
    for name, (job, options) in _LONG.items()
    for end, quota in (("", 1.0), ("-again", 1.0), ("-slow", SLOW))
}
"""
Jobs held out, made longer: what a machine is busy with for a second is a smaller part of a minute.

Recorded once, after everything was tuned, and scored once.
"""

RUNS: Final = {**DEVELOPMENT, **HELD_OUT, **LONG}

Pairs = Mapping[str, tuple[tuple[str, str], ...]]
"""By how the second run differs: (earlier run, run that is estimated)."""


def _both_ways(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple(pair for name in names for pair in ((name, f"{name}-again"), (f"{name}-again", name)))


DEVELOPMENT_PAIRS: Final[Pairs] = {
    "same": _both_ways("quiet-hash", "quiet-compress", "quiet-train"),
    "slower": (
        *((name, f"{name}-slow") for name in ("quiet-hash", "quiet-compress", "quiet-insert")),
        ("pool-threads", "pool-threads-half"),
    ),
    "faster": (
        *((f"{name}-slow", name) for name in ("quiet-hash", "quiet-compress", "quiet-insert")),
        ("pool-threads-half", "pool-threads"),
    ),
    "changed": (("quiet-hash", "quiet-hash-fewer"),),
    "loaded": (*_both_ways("hash-random", "own-tests"), ("compress-path", "compress-path-slow")),
}
_QUIET: Final = ("quiet-parse", "quiet-compileall", "quiet-backup", "quiet-docs", "quiet-tests")
HELD_OUT_PAIRS: Final[Pairs] = {
    "same": _both_ways(*_QUIET),
    "slower": tuple((name, f"{name}-slow") for name in _QUIET),
    "faster": tuple((f"{name}-slow", name) for name in _QUIET),
    "changed": (("quiet-parse", "quiet-parse-fewer"), ("quiet-reports", "quiet-reports-shuffled")),
    "loaded": (
        *_both_ways("parse-path", "compileall", "docs", "library-tests", "pool-processes"),
        ("backup", "backup-slow"),
        ("pool-processes", "pool-processes-half"),
        ("make", "make-half"),
    ),
}
LONG_PAIRS: Final[Pairs] = {
    "same": _both_ways(*_LONG),
    "slower": tuple((name, f"{name}-slow") for name in _LONG),
    "faster": tuple((f"{name}-slow", name) for name in _LONG),
}
TREE_PAIRS: Final[Mapping[str, Pairs]] = {
    name: {
        "same": _both_ways(name),
        "slower": ((name, f"{name}-slow"),),
        "faster": ((f"{name}-slow", name),),
    }
    for name in ("tree-archive", "tree-index")
}
"""The first is for development, the second held out."""


def single(runs: Mapping[str, Run]) -> tuple[str, ...]:
    """Return the runs that are scored without history: not the trees, and not the same job twice."""
    return tuple(
        name for name in runs if not name.startswith(("tree-", "quiet-")) and not name.endswith(("-again", "-shuffled"))
    )
