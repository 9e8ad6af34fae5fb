"""Decorators: signatures kept, every kind of function timed as what it is, names and options in every spelling."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from otel_progress import advance, current, level, names, operation
from otel_progress.testing import Capture, capture_progress

from .kit import attribute, drive, outcomes, parents, the_span

DECORATORS: dict[str, Callable[[Any], Any]] = {
    "@operation": operation,
    "@operation()": operation(),
    "@operation(...)": operation("named", id="7", total=3),
    "@level": level,
    "@level()": level(),
    "@level(...)": level("named", weight=2),
}


def plain(day: int, /, *tables: str, dry: bool = False, **options: float) -> tuple[Any, ...]:
    """Import a day."""
    return day, tables, dry, options


async def coroutine(day: int, *, dry: bool = False) -> tuple[int, bool]:
    """Import a day, later."""
    return day, dry


def generator(day: int, *, dry: bool = False) -> Iterator[object]:
    """Import a day, row by row."""
    yield day
    yield dry


async def async_generator(day: int, *, dry: bool = False) -> AsyncIterator[object]:
    """Import a day, row by row, later."""
    yield day
    yield dry


FUNCTIONS = [plain, coroutine, generator, async_generator]
KINDS = [
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    inspect.isfunction,
    asyncio.iscoroutinefunction,
]


@pytest.mark.parametrize("decorator", DECORATORS.values(), ids=DECORATORS)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_a_decorated_function_looks_like_the_bare_one(decorator: Callable[[Any], Any], function: Any) -> None:  # noqa: ANN401
    """Signature, kind, name, documentation, annotations and module; the bare one is `__wrapped__`."""
    function.tag = "kept"
    decorated = decorator(function)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert [is_kind(decorated) for is_kind in KINDS] == [is_kind(function) for is_kind in KINDS]
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "tag"):
        assert getattr(decorated, name) == getattr(function, name)
    assert decorated.__wrapped__ is function


def test_arguments_and_results_pass_through(progress: Capture) -> None:
    """Of every kind: positional, keyword, variadic."""
    assert level(plain)(1, "a", "b", dry=True, speed=2.5) == (1, ("a", "b"), True, {"speed": 2.5})
    assert drive(level(coroutine)(2, dry=True)) == (2, True)
    assert list(level(generator)(3, dry=True)) == [3, True]

    async def consume() -> list[object]:
        return [row async for row in level(async_generator)(4, dry=True)]

    assert drive(consume()) == [4, True]
    assert outcomes(progress) == dict.fromkeys(["plain", "coroutine", "generator", "async_generator"], "completed")


def test_wrong_arguments_raise_as_without_us(progress: Capture) -> None:
    """A TypeError for the call; for a generator at its first item, inside which there is nothing to time."""
    with pytest.raises(TypeError, match=r"plain\(\) missing 1 required positional argument: 'day'"):
        level(plain)()
    with pytest.raises(TypeError, match="unexpected keyword argument 'wet'"):
        drive(level(coroutine)(1, wet=True))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'day'"):
        list(level(generator)())
    assert progress.runtime.registry.live() == []


# --- timing -----------------------------------------------------------------------------------------------------------


def duration(progress: Capture, name: str) -> Any:  # noqa: ANN401  # (count, sum)
    """Return how many levels of this name completed, and their seconds."""
    return progress.value(names.LEVEL_DURATION.name, operation=name, outcome="completed")


def test_a_function_is_timed_by_its_call(progress: Capture) -> None:
    """From call to return, each call for itself."""

    @operation
    def job(seconds: float) -> None:
        progress.clock.advance(seconds)

    progress.clock.advance(100)
    job(3)
    job(4)
    progress.clock.advance(100)
    assert duration(progress, "job") == (2, 7.0)


def test_a_coroutine_is_timed_by_its_run(progress: Capture) -> None:
    """Not by its making, which runs nothing."""

    @operation
    async def job() -> None:
        progress.clock.advance(5)

    made = job()
    progress.clock.advance(100)
    assert current() is None
    drive(made)
    assert duration(progress, "job") == (1, 5.0)


async def test_a_coroutine_is_timed_across_its_awaits(progress: Capture) -> None:
    """The clock runs while it waits."""
    go = asyncio.Event()

    @operation
    async def job() -> str:
        await go.wait()
        return "done"

    task = asyncio.create_task(job())
    await asyncio.sleep(0)
    progress.clock.advance(8)
    go.set()
    assert await task == "done"
    assert duration(progress, "job") == (1, 8.0)


def test_a_generator_is_timed_from_its_first_item_to_its_end(progress: Capture) -> None:
    """The consumer's time between the items is in, what comes before and after is not."""

    @operation
    def job() -> Iterator[int]:
        progress.clock.advance(1)
        yield 1
        progress.clock.advance(2)
        yield 2
        progress.clock.advance(4)

    rows = job()
    progress.clock.advance(100)
    for _ in rows:
        progress.clock.advance(10)
    progress.clock.advance(100)
    assert duration(progress, "job") == (1, 27.0)


async def test_an_async_generator_is_timed_from_its_first_item_to_its_end(progress: Capture) -> None:
    """As the plain one."""

    @operation
    async def job() -> AsyncIterator[int]:
        progress.clock.advance(1)
        yield 1
        await asyncio.sleep(0)
        progress.clock.advance(2)
        yield 2

    rows = job()
    progress.clock.advance(100)
    async for _ in rows:
        progress.clock.advance(10)
    progress.clock.advance(100)
    assert duration(progress, "job") == (1, 23.0)


# --- methods, and what else can be decorated --------------------------------------------------------------------------


class Importer:
    """Decorated in every place a function can stand in a class."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant

    @operation
    def method(self, day: int) -> tuple[str, int]:
        """Return what it was called with."""
        return self.tenant, day

    @level("async-method")
    async def async_method(self, day: int) -> tuple[str, int]:
        """Return what it was called with."""
        return self.tenant, day

    @level
    def rows(self, day: int) -> Iterator[object]:
        """Yield what it was called with."""
        yield self.tenant
        yield day

    @staticmethod
    @operation
    def static_inside(day: int) -> int:
        """Decorated below `staticmethod`."""
        return day

    @operation
    @staticmethod
    def static_outside(day: int) -> int:
        """Decorated above `staticmethod`."""
        return day

    @classmethod
    @operation
    def class_inside(cls, day: int) -> tuple[str, int]:
        """Decorated below `classmethod`."""
        return cls.__name__, day

    @operation("class-outside")
    @classmethod
    def class_outside(cls, day: int) -> tuple[str, int]:
        """Decorated above `classmethod`."""
        return cls.__name__, day

    @operation
    @classmethod
    def class_rows(cls) -> Iterator[str]:
        """Decorated above `classmethod`, without arguments, a generator."""
        yield cls.__name__

    @property
    @level
    def size(self) -> int:
        """A property."""
        return 17


def test_methods_of_every_kind(progress: Capture) -> None:
    """Bound as ever, with `self`, `cls` or neither."""
    importer = Importer("acme")
    assert importer.method(1) == Importer.method(importer, 1) == ("acme", 1)
    assert drive(importer.async_method(2)) == ("acme", 2)
    assert list(importer.rows(3)) == ["acme", 3]
    assert importer.static_inside(4) == Importer.static_inside(4) == 4
    assert importer.static_outside(5) == Importer.static_outside(5) == 5
    assert importer.class_inside(6) == Importer.class_inside(6) == ("Importer", 6)
    assert importer.class_outside(7) == Importer.class_outside(7) == ("Importer", 7)
    assert list(importer.class_rows()) == list(Importer.class_rows()) == ["Importer"]
    assert importer.size == 17
    counts = {name: len(progress.spans(name)) for name in {span.name for span in progress.spans()}}
    assert counts == {
        "method": 2,
        "async-method": 1,
        "rows": 1,
        "static_inside": 2,
        "static_outside": 2,
        "class_inside": 2,
        "class-outside": 2,
        "class_rows": 2,
        "size": 1,
    }


def test_a_partial_and_a_callable_object(progress: Capture) -> None:
    """What has no name of its own is named by its type, and a partial of a generator is a generator."""

    class Job:
        def __call__(self, day: int) -> int:
            return day + 1

    assert operation(Job())(1) == 2
    assert level("partial")(functools.partial(plain, 5))("x") == (5, ("x",), False, {})
    assert list(level("rows")(functools.partial(generator, 6))(dry=True)) == [6, True]
    assert outcomes(progress) == dict.fromkeys(["Job", "partial", "rows"], "completed")


def test_a_decorated_function_can_be_pickled(progress: Capture) -> None:
    """By name, as for a pool of processes."""
    assert pickle.loads(pickle.dumps(pickled))(3) == 6
    assert outcomes(progress) == {"pickled": "completed"}


@operation
def pickled(n: int) -> int:
    """Double, somewhere else."""
    return n * 2


def test_decorators_stack(progress: Capture) -> None:
    """Ours twice, and between others."""

    def twice(function: Callable[[], int]) -> Callable[[], int]:
        @functools.wraps(function)
        def call() -> int:
            return function() + function()

        return call

    @operation("outer")
    @twice
    @level("inner")
    def job() -> int:
        advance()
        return 4

    assert job() == 8
    assert len(progress.spans("inner")) == 2
    outer = the_span(progress, "outer").context
    assert outer is not None
    assert {span.parent and span.parent.span_id for span in progress.spans("inner")} == {outer.span_id}


# --- names and options ------------------------------------------------------------------------------------------------


def test_the_name_is_the_functions_unless_given(progress: Capture) -> None:
    """Bare, with empty brackets, and with a name."""

    @operation
    def bare() -> None:
        pass

    @operation()
    def brackets() -> None:
        pass

    @operation("nightly-import")
    def named() -> None:
        pass

    for function in (bare, brackets, named):
        function()
    assert [span.name for span in progress.spans()] == ["bare", "brackets", "nightly-import"]


def test_one_nameless_decorator_names_each_function_after_itself(progress: Capture) -> None:
    """It keeps no name for the next."""
    timed = level()

    @timed
    def first() -> None:
        pass

    @timed
    def second() -> None:
        first()

    second()
    assert parents(progress) == {"second": None, "first": "second"}


def test_options_of_a_decorator_hold_for_each_call(progress: Capture) -> None:
    """Id, title, total, unit, phases and metadata, the same every time."""

    @operation("job", id="7", title="A job", total=4, unit="{row}", phases={"copy": 3}, metadata={"team": "data"})
    def job() -> None:
        own = current()
        assert own is not None
        snapshot = own.snapshot()
        assert (snapshot.id, snapshot.title, snapshot.total, snapshot.unit) == ("7", "A job", 4, "{row}")
        assert [child.name for child in snapshot.children] == ["copy"]
        assert dict(snapshot.metadata) == {"team": "data"}
        advance(2)

    job()
    job()
    spans = progress.spans("job")
    assert [attribute(span, names.DONE) for span in spans] == [2.0, 2.0]
    assert {attribute(span, names.LEVEL_ID) for span in spans} == {"7"}
    assert len({attribute(span, names.RUN_ID) for span in spans}) == 2


def test_a_call_inside_a_job_is_a_step_of_it(progress: Capture) -> None:
    """`@level` nests, `@operation` starts a job of its own."""

    @level
    def step() -> str:
        own = current()
        assert own is not None
        return own.operation

    @operation
    def job() -> str:
        return step()

    assert (step(), job()) == ("step", "job")


def test_switched_off_a_decorated_function_still_does_its_work() -> None:
    """All four kinds, with nothing recorded."""

    async def consume() -> list[object]:
        return [row async for row in level(async_generator)(4)]

    with capture_progress(enabled=False) as progress:
        assert level(plain)(1) == (1, (), False, {})
        assert drive(level(coroutine)(2)) == (2, False)
        assert list(level(generator)(3)) == [3, False]
        assert drive(consume()) == [4, False]
        assert progress.spans() == []
