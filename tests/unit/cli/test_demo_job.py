from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from otel_progress import ProgressCancelled, Snapshot, State, find, history, names
from otel_progress.cli import _demo_job
from otel_progress.cli._demo_files import Packing
from otel_progress.cli._demo_job import Job
from otel_progress.testing import Capture, capture_progress
from tests.unit.cli.conftest import Tree


@pytest.fixture(autouse=True)
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two or three settings are enough to be more than one."""
    monkeypatch.setattr(_demo_job, "EFFORT_BYTES", 500_000)


def levels(name: str) -> list[Snapshot]:
    """All levels of that name that are remembered."""
    return [level for level in find("demo") if level.name == name]


def test_summary_counts_what_is_in_the_folder(tree: Tree) -> None:
    """Every file is compressed, skipped or unreadable, and nothing outside the rules is touched."""
    summary = Job(tree.root).run()
    assert (summary.files, summary.compressed, summary.not_text, summary.unreadable) == (
        tree.files,
        tree.compressed,
        tree.not_text,
        tree.unreadable,
    )
    assert (summary.folders, summary.unreadable_folders) == (tree.folders, 0)
    assert (summary.lines, summary.large_files) == (tree.lines, tree.large_files)
    assert (summary.bytes_read, summary.text_bytes) == (tree.bytes_read, tree.text_bytes)
    assert 0 < summary.compressed_bytes < summary.text_bytes
    assert summary.settings_tried == 500_000 // tree.planned_bytes == 2
    assert set(summary.phase_seconds) == {"scan", "process", "verify"}


def test_telemetry_says_what_the_summary_says(tree: Tree, progress: Capture) -> None:
    """Items, bytes and counters of each level are the job's own numbers."""
    summary = Job(tree.root).run()

    def items(level: str, outcome: str) -> float | None:
        return progress.value("progress.items", operation="demo", level=level, item_outcome=outcome)

    assert items("scan", "ok") == summary.folders
    assert [items("folder", outcome) for outcome in ("ok", "skipped", "failed")] == [
        summary.compressed,
        summary.not_text,
        summary.unreadable,
    ]
    assert items("process", "ok") == summary.text_bytes
    assert items("process", "skipped") == tree.planned_bytes - tree.text_bytes
    assert items("verify", "ok") == summary.verified
    assert progress.value("progress.bytes", operation="demo", level="folder") == summary.bytes_read
    counters = {name: dict(labels) for labels in progress.points("progress.counter") for name in labels}
    assert counters
    for name, unit, value in (("lines", "", summary.lines), ("compressed_bytes", "By", summary.compressed_bytes)):
        assert progress.value("progress.counter", operation="demo", counter_name=name, counter_unit=unit) == value, name
    (root,) = progress.spans("demo")
    assert root.context is not None
    assert summary.trace_id == f"{root.context.trace_id:032x}"


def test_levels_form_the_tree_that_the_module_draws(tree: Tree, progress: Capture) -> None:
    """A large file is a level in a folder in the processing in the demo, and each of them came to its end."""
    Job(tree.root).run()
    names = {span.context.span_id: span.name for span in progress.spans() if span.context is not None}
    parents = {(span.name, names[span.parent.span_id] if span.parent else None) for span in progress.spans()}
    assert parents == {
        ("demo", None),
        ("scan", "demo"),
        ("process", "demo"),
        ("verify", "demo"),
        ("folder", "process"),
        ("file", "folder"),
    }
    assert {level.id: (level.done, level.total) for level in levels("folder")} == {
        ".": (6, 6),  # top, empty, latin, half, and two links
        "texts": (2, 2),
        "binaries": (3, 3),
    }
    assert {level.state for level in find("demo")} == {State.COMPLETED}


def test_processing_ends_at_its_total_although_files_are_skipped(tree: Tree) -> None:
    """Bytes that turn out not to be text are skipped, so the share done is 1 in the end."""
    Job(tree.root).run()
    (process,) = levels("process")
    assert process.done == process.total == tree.planned_bytes


def test_quality_is_the_share_of_files_that_could_be_read(tree: Tree) -> None:
    """Two of eleven could not."""
    Job(tree.root).run()
    (demo,) = history("demo")
    assert demo.quality == pytest.approx(9 / 11)


def test_folder_that_cannot_be_read_is_counted_and_the_rest_is_done(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a failed item of the scan."""
    look_into = _demo_job.look_into

    def refuse(folder: Path, root: Path) -> object:
        if folder.name == "deep":
            raise PermissionError(13, "Permission denied")
        return look_into(folder, root)

    monkeypatch.setattr(_demo_job, "look_into", refuse)
    summary = Job(tree.root).run()
    assert (summary.folders, summary.unreadable_folders) == (tree.folders - 2, 1)  # deeper was not found either
    (scan,) = levels("scan")
    assert (scan.done, scan.total, scan.failed) == (4, 4, 1)
    assert summary.files == tree.files - 1


def test_file_that_breaks_off_is_counted_as_unreadable(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The level of a large file fails with it; the folder goes on."""
    take = Packing.take

    def break_off(packing: Packing, block: bytes, check: object) -> int:
        if packing.bytes:
            raise OSError(5, "Input/output error")
        return take(packing, block, check)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(Packing, "take", break_off)
    with capture_progress() as progress:
        summary = Job(tree.root).run()
        spans = [dict(span.attributes or {}) for span in progress.spans("file")]
        (process,) = levels("process")
    assert summary.unreadable == tree.unreadable + 2  # large.txt and late.bin have a second block
    failed = [span for span in spans if span[names.OUTCOME] == State.FAILED]
    assert [(span[names.LEVEL_ID], span[names.ERROR_TYPE]) for span in failed] == [("large.txt", "OSError")]
    assert process.done == process.total


def test_copies_are_verified_and_a_damaged_one_is_counted(tree: Tree) -> None:
    """One of two copies does not unpack to what was packed."""

    class Damaging(Job):
        def _verify(self, job: _demo_job.Level) -> None:
            (copy,) = self._copies
            self._copies += [replace(copy, digest=b""), replace(copy, blocks=[b"not packed"])]
            super()._verify(job)

    summary = Damaging(tree.root).run()
    assert (summary.verified, summary.damaged) == (1, 2)
    (verify,) = levels("verify")
    assert (verify.done, verify.failed) == (3, 2)


def test_quick_takes_a_sample_where_all_would_be_too_much(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed draws the same files; some seed draws others."""
    monkeypatch.setattr(_demo_job, "QUICK_EFFORT_BYTES", 70_000)  # late.bin, or a few of the others
    runs = {seed: [Job(tree.root, quick=True, seed=seed).run() for _ in range(2)] for seed in range(5)}
    for first, second in runs.values():
        assert 1 <= first.files < tree.files
        assert (first.files, first.bytes_read, first.verified) == (second.files, second.bytes_read, second.verified)
    assert len({first.bytes_read for first, _ in runs.values()}) > 1


def test_cancelled_job_stops_between_two_tries(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises what cancels, every level ends, and the summary tells of what was done until then."""
    job = Job(tree.root)
    take = Packing.take
    first = threading.Event()

    def then_cancel(packing: Packing, block: bytes, check: object) -> int:
        job.cancel("seen enough")
        if first.is_set():
            return take(packing, block, check)  # type: ignore[arg-type]  # handed on
        first.set()
        return 0

    monkeypatch.setattr(Packing, "take", then_cancel)
    with pytest.raises(ProgressCancelled, match="seen enough"):
        job.run()
    (demo,) = history("demo")
    assert demo.state is State.CANCELLED
    assert {level.state for level in levels("process")} == {State.CANCELLED}
    summary = job.summary()
    assert summary.files == tree.files
    assert summary.compressed < tree.compressed
    assert summary.verified == 0
