"""What callers hand in: cut, cleaned, made plain, masked; nothing raises, whatever it is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_progress import Level, health, level, names, operation
from otel_progress._bounds import (
    METADATA_ENTRIES,
    METADATA_KEY_LIMIT,
    METADATA_VALUE_LIMIT,
    NAME_LIMIT,
    STACK_LIMIT,
    TEXT_LIMIT,
    metadata,
    name,
    number,
    redact,
    text,
)
from otel_progress.testing import Capture, capture_progress
from tests.unit.kit import attribute, ignored, the_span


class Hostile:
    """Raises whatever is asked of it."""

    def _raise(self, *_: object) -> Any:  # noqa: ANN401
        raise RuntimeError("hostile")

    __str__ = __repr__ = __float__ = __int__ = __index__ = __len__ = __iter__ = __bool__ = _raise
    __hash__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = __contains__ = _raise


class HostileMapping(Mapping[str, object]):
    """Gives one entry away, then raises."""

    def __getitem__(self, key: str) -> object:
        return {"first": 1}[key]

    def __iter__(self) -> Iterator[str]:
        yield "first"
        raise RuntimeError("hostile")

    def __len__(self) -> int:
        return 10**9


class HostileText(str):
    """A text that refuses to be cut."""

    __slots__ = ()

    def __getitem__(self, _: object) -> str:
        raise RuntimeError("hostile")

    def __str__(self) -> str:
        return self


class Like:
    """A number of a library, such as numpy's: no subclass of ours."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return self._value


def numbered(cases: Sequence[Any]) -> list[str]:
    """Return ids for cases that cannot all be printed."""
    return [f"{n}-{type(case[0] if isinstance(case, tuple) else case).__name__}" for n, case in enumerate(cases)]


# --- names and texts --------------------------------------------------------------------------------------------------


NAMES = [
    ("copy", "copy"),
    ("Größe 數據 🚀", "Größe 數據 🚀"),
    ("  padded  ", "padded"),
    ("two\nlines\tand\x00more\x1b[31m", "two lines and more [31m"),
    ("evil\u202etxt.exe\u2066\u2028", "evil txt.exe"),
    ("lone\ud800surrogate", "lone surrogate"),
    ("", "unnamed"),
    (" \n\x00 ", "unnamed"),
    (None, "unnamed"),
    (7, "7"),
    (Hostile(), "<Hostile>"),
    (HostileText("x"), "<HostileText>"),
    (["unhashable"], "['unhashable']"),
    (10**5_000, "<int>"),  # Python refuses to print it
]


@pytest.mark.parametrize(("given_name", "expected"), NAMES, ids=numbered(NAMES))
def test_names_are_one_short_printable_line(given_name: object, expected: str) -> None:
    """Twice the same: the second time from the cache."""
    assert name(given_name) == expected
    assert name(given_name) == expected


@pytest.mark.parametrize("length", [NAME_LIMIT, NAME_LIMIT + 1, 10_000, 10_000_000])
def test_long_names_are_cut_with_a_mark(length: int) -> None:
    """What fits stays whole; what does not ends with an ellipsis."""
    cut = name("n" * length)
    assert len(cut) == NAME_LIMIT
    assert cut.endswith("n" if length == NAME_LIMIT else "…")


def test_a_name_of_control_characters_only_does_not_hide_what_follows() -> None:
    """Cleaned before it is cut to its length."""
    assert name("\x00" * 50 + "copy") == "copy"


def test_the_cache_of_names_is_bounded() -> None:
    """Names made per item, against the advice, do not fill the memory."""
    from otel_progress import _bounds  # noqa: PLC0415

    for n in range(_bounds._NAMES_CACHED + 100):
        name(f"table-{n}")
    assert len(_bounds._names) <= _bounds._NAMES_CACHED
    assert name("one more") == "one more"


NASTY = ["x" * 10_000, "a\x00b\u2028c", Hostile(), HostileText("x"), b"\xff", None, 10**5_000]


@pytest.mark.parametrize("bad", NASTY, ids=numbered(NASTY))
def test_bad_names_reach_telemetry_clean(progress: Capture, bad: Any) -> None:  # noqa: ANN401
    """As span name, label, id, title, unit, message and counter; nobody raises, and OTel has no complaint."""
    with operation(bad, id=bad, title=bad, unit=bad) as job, level(bad) as lvl:
        lvl.update(message=bad, title=bad, metadata={"key": bad})
        lvl.count(bad, unit=bad)
        lvl.plan(bad)
        lvl.pause(bad)
        lvl.resume()
        lvl.item_failed(bad)
        lvl.cancel(bad)
        job.advance(outcome=bad)
        lvl.fail(bad)
    spans = progress.spans()
    assert len(spans) == 2
    for span in spans:
        for value in (span.name, *(span.attributes or {}).values()):
            printed = "".join(value) if isinstance(value, tuple) else str(value)
            assert printed.isprintable()
            assert len(printed) <= 2 * TEXT_LIMIT
            printed.encode()
    assert progress.points(names.ITEMS.name)


@given(st.text())
def test_any_text_becomes_printable(value: str) -> None:
    """And can be encoded, whatever is in it."""
    clean = text(value)
    clean.encode()
    assert len(clean) <= TEXT_LIMIT
    assert not set(clean) & {"\n", "\r", "\x00", "\x1b", "\u202e", "\u2028"}


# --- numbers ----------------------------------------------------------------------------------------------------------

GOOD = [
    (0, 0),
    (3, 3),
    (2.5, 2.5),
    (True, 1),
    (Decimal("1.5"), 1.5),
    (Fraction(1, 4), 0.25),
    (Like(7.0), 7),
    (2**63 - 1, 2**63 - 1),
    (1e-300, 1e-300),
    (-0.0, 0),
]
BAD = [
    *(-1, -0.5, -math.inf, math.inf, math.nan, 2**63, 10**400, 1e300, Decimal("NaN"), Decimal("Infinity")),
    *("5", b"5", bytearray(b"5"), "nan", "", [1], {}, object(), 1j, Like(math.nan), Like(-1.0), Hostile()),
]


@pytest.mark.parametrize(("value", "expected"), GOOD, ids=numbered(GOOD))
def test_numbers_of_every_kind_are_taken(value: object, expected: float) -> None:
    """Whatever can be a finite number from zero on."""
    assert number(value) == expected


@pytest.mark.parametrize("value", BAD, ids=numbered(BAD))
def test_what_is_no_number_is_none(value: object) -> None:
    """Negative, infinite, not a number, a text that looks like one, too large to carry."""
    assert number(value) is None


@given(st.integers() | st.floats() | st.text() | st.decimals() | st.complex_numbers() | st.none() | st.binary())
def test_any_value_is_a_number_or_none(value: object) -> None:
    """A number that is given back is finite and carries."""
    found = number(value)
    assert found is None or 0 <= found <= 2**63 - 1


@pytest.mark.parametrize("value", BAD, ids=numbered(BAD))
def test_bad_numbers_change_nothing_and_are_counted(progress: Capture, value: Any) -> None:  # noqa: ANN401
    """Every call that takes one; none raises, none changes what was right."""
    with operation("job", total=10) as job:
        job.advance(4, bytes=40)
        job.set_quality(0.5)
        job.count("tokens", 3)
        before = job.snapshot()
        job.advance(value)
        job.advance(bytes=value)
        job.advance(value, bytes=value, outcome="failed")
        job.skip(value)
        job.item_failed(n=value)
        job.set_done(value)
        job.set_total(value)
        job.set_quality(value)
        job.count("tokens", value)
        job.plan("phase", weight=value)
        job.plan("phase", total=value)
        assert job.snapshot() == before
        with level("child", total=value, weight=value) as child:
            assert child.snapshot().total is None
    assert ignored(progress) == {
        "bad_advance": 5,
        "bad_done": 1,
        "bad_total": 2,
        "bad_quality": 1,
        "bad_count": 1,
        "bad_plan": 2,
    }
    assert progress.value("progress.items", operation="job", item_outcome="ok") == 4


def test_a_good_part_of_a_bad_advance_counts(progress: Capture) -> None:
    """Items with nonsense bytes are items all the same; an outcome nobody knows is nothing."""
    with operation("job") as job:
        job.advance(2, bytes=-1)
        job.advance(math.nan, bytes=70)
        job.advance(9, outcome="maybe")
        snapshot = job.snapshot()
    assert (snapshot.done, snapshot.bytes) == (2, 70)
    assert ignored(progress) == {"bad_advance": 3}


@pytest.mark.parametrize(("value", "expected"), GOOD, ids=numbered(GOOD))
def test_good_numbers_of_every_kind_count(progress: Capture, value: Any, expected: float) -> None:  # noqa: ANN401
    """As item count, bytes, total, position and counter."""
    with operation("job") as job:
        job.set_total(value)
        assert job.snapshot().total == expected
        job.advance(value, bytes=value)
        job.count("tokens", value)
    finished = progress.runtime.registry.finished()[0]
    assert (finished.final.ok, finished.final.bytes) == pytest.approx((expected, expected))
    assert ignored(progress) == {}


def test_sums_never_reach_infinity(progress: Capture) -> None:
    """The largest numbers there are, again and again."""
    with operation("job", total=2**63 - 1) as job:
        for _ in range(1_000):
            job.advance(2**63 - 1, bytes=float(2**62))
            job.count("tokens", 2**63 - 1)
        progress.tick(1.0)
        snapshot = job.snapshot()
        assert math.isfinite(snapshot.done)
        assert snapshot.fraction == 1.0
        assert all(math.isfinite(value) for value in progress.points("progress.items").values())
    assert attribute(the_span(progress, "job"), names.OUTCOME) == "completed"
    assert health().contained == {}


# --- metadata ---------------------------------------------------------------------------------------------------------


def test_metadata_becomes_small_flat_and_plain() -> None:
    """Plain values stay; everything else is its short representation."""

    class Color(Enum):
        RED = 1

    given_metadata = {
        "text": "a\nb",
        "int": 7,
        "big": 2**70,
        "float": 1.5,
        "bool": True,
        "none": None,
        "list": list(range(1_000)),
        "nested": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}},
        "enum": Color.RED,
        "bytes": b"\x00\xff",
        "hostile": Hostile(),
        ("tuple", 1): "key",
        7: "number",
        "long" * 100: "long" * 1_000,
    }
    kept = metadata(given_metadata)
    assert kept is not None
    assert kept["text"] == "a b"
    assert kept["int"] == 7
    assert kept["big"] == "1180591620717411303424"
    assert (kept["float"], kept["bool"], kept["none"]) == (1.5, True, "None")
    assert kept["list"] == "[0, 1, 2, 3, 4, 5, ...]"
    assert kept["hostile"].startswith("<Hostile")  # type: ignore[union-attr]
    assert kept["('tuple', 1)"] == "key"
    assert kept["7"] == "number"
    assert all(len(key) <= METADATA_KEY_LIMIT for key in kept)
    assert all(type(value) in {str, int, float, bool} for value in kept.values())
    assert all(len(value) <= METADATA_VALUE_LIMIT for value in kept.values() if isinstance(value, str))


def test_huge_metadata_is_cut() -> None:
    """The first entries are kept, and nobody walks through the rest."""
    kept = metadata({f"key-{n}": n for n in range(10_000)})
    assert kept is not None
    assert list(kept.values()) == list(range(METADATA_ENTRIES))
    assert metadata(HostileMapping()) == {"first": 1}


NO_MAPPINGS = [None, 7, "text", ["a"], Hostile(), object()]


@pytest.mark.parametrize("value", NO_MAPPINGS, ids=numbered(NO_MAPPINGS))
def test_what_is_no_mapping_is_none(value: object) -> None:
    """It is left out."""
    assert metadata(value) is None


@pytest.mark.parametrize("bad", [7, "text", [1], Hostile()], ids=["number", "text", "list", "hostile"])
def test_bad_metadata_is_left_out_and_counted(progress: Capture, bad: Any) -> None:  # noqa: ANN401
    """The level lives, and keeps what it had."""
    with operation("job", metadata=bad) as job:
        job.update(metadata={"good": 1})
        job.update(metadata=bad)
        assert dict(job.snapshot().metadata) == {"good": 1}
    assert ignored(progress) == {"bad_metadata": 2}


def test_metadata_of_many_updates_is_bounded_and_the_last_stay(progress: Capture) -> None:
    """An update for each item does not fill the memory, nor the span."""
    with operation("job") as job:
        for n in range(500):
            job.update(metadata={f"key-{n}": n})
        assert list(job.snapshot().metadata.values()) == list(range(500 - METADATA_ENTRIES, 500))
    kept = [key for key in the_span(progress, "job").attributes or {} if key.startswith(names.METADATA_PREFIX)]
    assert len(kept) == METADATA_ENTRIES


# --- phases -----------------------------------------------------------------------------------------------------------


def endless() -> Iterator[str]:
    """Yield names without end."""
    n = 0
    while True:
        n += 1
        yield f"phase-{n}"


@pytest.mark.parametrize(
    ("phases", "announced", "plans_ignored"),
    [
        ({"copy": 6, "verify": 1}, 2, 0),
        (["copy", "verify"], 2, 0),
        ({"copy": -1, "verify": 1}, 1, 1),
        ({}, 0, 0),
        (7, 0, 1),
        ("copy", 0, 1),
        (Hostile(), 0, 1),
        (HostileMapping(), 0, 1),
    ],
    ids=["weights", "names", "bad weight", "none", "number", "text", "hostile", "hostile mapping"],
)
def test_phases_of_every_kind(progress: Capture, phases: Any, announced: int, plans_ignored: int) -> None:  # noqa: ANN401
    """What makes no sense is left out; the operation starts and counts."""
    with operation("job", phases=phases) as job:
        job.advance(2)
        assert len(job.snapshot().children) == announced
    assert ignored(progress) == ({"bad_plan": plans_ignored} if plans_ignored else {})
    assert progress.value("progress.items", operation="job", item_outcome="ok") == 2


def test_endless_phases_end(progress: Capture) -> None:
    """A hundred are kept; the caller does not wait for the rest."""
    with operation("job", phases=endless()) as job:
        assert len(job.snapshot().children) == 100
    assert progress.runtime.tally.dropped == {"phases": 1}


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "masked"),
    [
        ("password=hunter2", "password=***"),
        ("login failed (password: hunter2, user: bob)", "login failed (password: ***, user: bob)"),
        ("PGPASSWORD=x psql", "PGPASSWORD=*** psql"),
        ("{'api_key': 'a b c', 'n': 1}", "{'api_key': ***, 'n': 1}"),
        ('{"client_secret": "a b", "id": 7}', '{"client_secret": ***, "id": 7}'),
        ("x-api-key: 12345", "x-api-key: ***"),
        ("AWS_SECRET_ACCESS_KEY=abc/def+ghi=", "AWS_SECRET_ACCESS_KEY=***"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: ***"),
        ("sent Bearer eyJhbGciOi.payload", "sent Bearer ***"),
        ("postgres://bob:hunter2@db:5432/orders", "postgres://bob:***@db:5432/orders"),
        ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
        ("amqp://bob:p@ss@mq", "amqp://bob:***@mq"),
        ("GET https://api/x?access_token=abc&page=2", "GET https://api/x?access_token=***&page=2"),
        ("curl --token abc --verbose", "curl --token *** --verbose"),
        ("['mysql', '--password', 'x y', '-h', 'db']", "['mysql', '--password', ***, '-h', 'db']"),
        ("mysql --password=x -h db", "mysql --password=*** -h db"),
        ("pushed with ghp_0123456789abcdefghijABCDEFGHIJ", "pushed with ***"),
        ("key sk-proj-0123456789abcdefghij was refused", "key *** was refused"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "jwt ***"),
        ("AKIAIOSFODNN7EXAMPLE is unknown", "*** is unknown"),
        ("Set-Cookie: session=abc", "Set-Cookie: ***"),
    ],
)
def test_what_looks_like_a_secret_is_masked(told: str, masked: str) -> None:
    """The rest of the text stays, so that the message still helps."""
    assert redact(told) == masked


@pytest.mark.parametrize(
    "told",
    [
        "12 of 40 rows, tokens=812",
        "max_tokens: 4096 exceeded",
        "tokenizer=bert",
        "token_count: 17",
        "InvalidTokenError: signature has expired",
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "KeyError: 'token'",
        "the secret is out",
        "forgot password?",
        "the bearer of bad news",
        "https://host:8080/path?user=bob@example.org",
        "http://[::1]:9464/metrics",
        "started 12:30:01 user@host",
        "git@github.com:org/repo.git",
        "id sk-learn, task-force",
        "",
    ],
)
def test_what_is_no_secret_stays(told: str) -> None:
    """A message that hides what went wrong helps nobody."""
    assert redact(told) == told


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "a",
            "-",
            "--",
            "token",
            "token:'",
            "tokens",
            "tokenerror",
            "password ",
            "password='",
            "--token ",
            "https://a:",
        ),
        *("://", ":", "bearer ", "sk-", "ghp_", "xoxb-", "eyJaaaaaaaa.", "=", "'", "a@"),
    ],
)
def test_masking_takes_time_in_proportion_to_the_text(piece: str) -> None:
    """A stack full of one character must not stop the program: quadratic patterns took 10 s."""
    whole = (piece * (2 * STACK_LIMIT))[: 2 * STACK_LIMIT]
    started = time.process_time()
    redact(whole)
    assert time.process_time() - started < 0.5  # it takes a hundredth of a second


def test_a_secret_is_masked_before_a_message_is_cut(progress: Capture) -> None:
    """Half a secret looks like none, so the cut comes later."""
    with operation("job") as job:
        job.fail("x" * (TEXT_LIMIT - 30) + " postgres://bob:" + "hunter2" * 10 + "@db")
    error = progress.runtime.registry.finished()[0].ending
    assert error is not None
    assert error.error_message is not None
    assert "hunter2" not in error.error_message
    assert len(error.error_message) <= TEXT_LIMIT


@pytest.mark.parametrize("padding", [0, 50_000])
def test_stacks_are_cut_at_the_outer_end_and_can_be_encoded(progress: Capture, padding: int) -> None:
    """The innermost frames and the end of the message say what went wrong."""

    def deep(n: int) -> None:
        if n == 0:
            raise OSError("x" * padding + " no file \udcff")
        deeper(n)

    def deeper(n: int) -> None:
        deep(n - 1)

    with pytest.raises(OSError, match="no file"), operation("job"):
        deep(300)
    (event,) = the_span(progress, "job").events
    stack = (event.attributes or {})["exception.stacktrace"]
    assert isinstance(stack, str)
    stack.encode()
    assert (len(stack) == STACK_LIMIT) if padding else (len(stack) < STACK_LIMIT)
    assert stack.endswith(" no file \\udcff\n")


def test_a_redactor_of_ones_own_is_used_and_may_fail() -> None:
    """What it cannot clean is not told; that it failed is counted."""

    def careful(told: str) -> str:
        if "explode" in told:
            raise ValueError("redactor")
        return told.replace("Bob", "B.")

    with capture_progress(redact=careful) as progress:
        for message in ("Bob, password=x", "explode"):
            with operation(message[:3]) as job:
                job.fail(message)
        spans = {span.name: span for span in progress.spans()}
        assert spans["Bob"].status.description == "B., password=x"
        assert spans["exp"].status.description == "failed"
        assert health().contained == {"redact": 1}


def test_nothing_hostile_escapes(progress: Capture) -> None:
    """All of it at once, through every call of a level."""
    bad: Any = Hostile()
    with operation(bad, id=bad, title=bad, total=bad, unit=bad, phases=bad, metadata=bad) as job:
        inner: Level = job.level(bad, id=bad, title=bad, total=bad, unit=bad, weight=bad, metadata=bad)
        with inner:
            inner.advance(bad, bytes=bad, outcome=bad)
            inner.advance(outcome=bad)
            inner.skip(bad)
            inner.item_failed(bad, bad)
            inner.set_done(bad)
            inner.set_total(bad)
            inner.plan(bad, weight=bad, total=bad)
            inner.update(message=bad, metadata=bad, title=bad)
            inner.count(bad, bad, unit=bad)
            inner.count(bad, unit=bad)
            inner.set_quality(bad)
            inner.pause(bad)
            inner.resume()
            inner.retrying(bad)
            inner.cancel(bad)
            inner.fail(bad)
    assert len(progress.spans()) == 2
    assert progress.runtime.tally.contained == {}
