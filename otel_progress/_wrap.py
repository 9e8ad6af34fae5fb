"""The four decorators: function, coroutine, generator, async generator. Each run is a level of its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any, cast

from otel_progress._ending import outcome_of
from otel_progress.names import State

if TYPE_CHECKING:
    from otel_progress._level import Level


def wrap(make: Callable[[], Level], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` with a level around each call, or around each run of the generator it returns."""
    if isinstance(function, staticmethod | classmethod):
        return cast("Callable[..., Any]", type(function)(wrap(make, function.__func__)))
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(make, function)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(make, function)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(make, function)
    else:
        wrapper = _function(make, function)
    return functools.wraps(function)(wrapper)


def _function(make: Callable[[], Level], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as the function
        with make():
            return function(*args, **kwargs)

    return call


def _coroutine(make: Callable[[], Level], function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as the function
        with make():
            return await function(*args, **kwargs)

    return call


def _generator(make: Callable[[], Level], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401  # as the function
        level = make()
        generator: Generator[Any, Any, Any] = function(*args, **kwargs)
        body = level.start_body()
        resume: Callable[[Any], Any] = generator.send
        given: Any = None
        try:
            while True:
                with body:
                    item = resume(given)
                given = None  # neither a thrown error, which holds frames, nor a sent value is kept while suspended
                try:
                    given = yield item
                    resume = generator.send
                except BaseException as error:  # noqa: BLE001  # thrown in, or GeneratorExit: for the body to see
                    given, resume = error, generator.throw
        except StopIteration as stop:
            level.finish_body(State.COMPLETED)
            return stop.value
        except BaseException as error:
            given = None
            level.finish_body(outcome_of(error), error)
            raise

    return call


def _async_generator(make: Callable[[], Level], function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401  # as the function
        level = make()
        generator: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        body = level.start_body()
        resume: Callable[[Any], Any] = generator.asend
        given: Any = None
        try:
            while True:
                with body:
                    item = await resume(given)
                given = None  # as above
                try:
                    given = yield item
                    resume = generator.asend
                except BaseException as error:  # noqa: BLE001  # as above
                    given, resume = error, generator.athrow
        except StopAsyncIteration:
            level.finish_body(State.COMPLETED)
        except BaseException as error:
            given = None
            level.finish_body(outcome_of(error), error)
            raise

    return call
