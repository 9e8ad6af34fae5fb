"""
Nested levels, with spans of the bare OpenTelemetry API among them, that stand still in the middle of their work.

    nested.py plain|threads|asyncio|fork|spawn|pool

The work is the same in each mode: branches of two tables, told apart by their ids. The job says what it has done by its
own count when it stands still and at its end. Told "exit", it is gone at once, as by a crash in native code.
"""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Final

from opentelemetry import trace
from talk import lost, pause, say

from otel_progress import configure, continue_from, flush, in_worker, level, operation

OPERATION: Final = "nested-import"
BRANCHES: Final = {"north": 10, "south": 14}
"""Rows of the second table of each."""

Account = dict[str, dict[str, float]]
"""By the id of a level: what it has done; how many seconds it lasted at least and at most."""
Stand = Callable[[Account], Coroutine[Any, Any, None]]

tracer = trace.get_tracer("bare")


async def branch(name: str, rows: int, stand: Stand) -> Account:
    """Copy two tables: a short one, and one that takes until the job is told to go on."""
    mine, first, second = name, f"{name}-1", f"{name}-2"
    account: Account = {mine: {"done": 0}, first: {"done": 0}, second: {"done": 0}}
    started_at = time.perf_counter()
    with level("branch", id=mine, total=2, unit="{table}") as both:
        inside_at = time.perf_counter()
        with tracer.start_as_current_span("lookup"):
            pass
        with level("table", id=first, total=3, unit="{row}") as table:
            table.advance(3, bytes=30)
            account[first] = {"done": 3, "bytes": 30, "limit": 3}
        both.advance()
        account[mine] = {"done": 1, "limit": 2}
        table_started_at = time.perf_counter()
        with level("table", id=second, total=rows, unit="{row}") as table:
            inside_table_at = time.perf_counter()
            table.advance(4, bytes=rows * 100)
            table.item_failed(ValueError("not a row"))
            table.count("tokens", rows + 1)
            trace.get_current_span().set_attribute("said.early", name)
            account[second] = {"done": 5, "failed": 1, "bytes": rows * 100, "tokens": rows + 1, "limit": rows}
            await stand(account)
            with tracer.start_as_current_span("insert"):
                trace.get_current_span().set_attribute("rows", rows)
            trace.get_current_span().set_attribute("said.late", name)
            table.advance(rows - 5)
            account[second]["done"] = rows
            account[second]["at_least"] = time.perf_counter() - inside_table_at
        account[second]["at_most"] = time.perf_counter() - table_started_at
        both.advance()
        account[mine]["done"] = 2
        account[mine]["at_least"] = time.perf_counter() - inside_at
    account[mine]["at_most"] = time.perf_counter() - started_at
    return account


def run(work: Coroutine[Any, Any, Account]) -> Account:
    """Run a coroutine that never waits for a loop, as plain code."""
    try:
        work.send(None)
    except StopIteration as end:
        account: Account = end.value
        return account
    raise AssertionError("it waited")


def stand_still(accounts: list[Account], **facts: object) -> None:
    """Say that everybody stands, and what was done; go on when told."""
    ids = trace.get_current_span().get_span_context()
    done = {key: value for account in accounts for key, value in account.items()}
    if pause("standing", trace_id=f"{ids.trace_id:032x}", account=done, **facts) == "exit":
        os._exit(3)


# --- in one process ---------------------------------------------------------------------------------------------------


def plain() -> list[Account]:
    """One branch, in the main thread."""

    async def stand(account: Account) -> None:
        stand_still([account])

    return [run(branch("north", BRANCHES["north"], stand))]


def threads() -> list[Account]:
    """A thread for each branch, which starts with the context of the main thread."""
    arrived: list[Account] = []
    go = threading.Event()
    barrier = threading.Barrier(len(BRANCHES) + 1)

    async def stand(account: Account) -> None:
        arrived.append(account)
        barrier.wait()
        go.wait()

    with ThreadPoolExecutor() as pool:
        work = [
            pool.submit(contextvars.copy_context().run, run, branch(name, rows, stand))
            for name, rows in BRANCHES.items()
        ]
        barrier.wait()
        stand_still(arrived)
        go.set()
        return [each.result() for each in work]


def in_asyncio() -> list[Account]:
    """A task for each branch."""

    async def main() -> list[Account]:
        arrived: list[Account] = []
        go = asyncio.Event()
        barrier = asyncio.Barrier(len(BRANCHES) + 1)

        async def stand(account: Account) -> None:
            arrived.append(account)
            await barrier.wait()
            await go.wait()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(branch(name, rows, stand)) for name, rows in BRANCHES.items()]
            await barrier.wait()
            await asyncio.to_thread(stand_still, arrived)
            go.set()
        return [each.result() for each in tasks]

    return asyncio.run(main())


# --- in several -------------------------------------------------------------------------------------------------------


def stand_in(arrived: Any, go: Any) -> Stand:  # noqa: ANN401  # a queue and a semaphore of multiprocessing
    """Return what stands still in a process of its own."""

    async def stand(account: Account) -> None:
        arrived.put((os.getpid(), account))
        go.acquire()

    return stand


def in_process(name: str, rows: int, arrived: Any, go: Any, done: Any) -> None:  # noqa: ANN401  # as above
    """Do a branch in a process of its own, which is gone without the usual hooks when this returns."""
    account = run(branch(name, rows, stand_in(arrived, go)))
    flush()
    trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]  # of the SDK
    done.put(account)


def in_spawned(carrier: dict[str, str], *arguments: Any) -> None:  # noqa: ANN401  # as above
    """Do a branch in a process that knows nothing of this one."""
    configure(terminal="off")
    with continue_from(carrier):
        in_process(*arguments)


def processes(kind: str, carrier: dict[str, str]) -> list[Account]:
    """Do each branch in a process of its own, forked or spawned; go on without one that is killed."""
    context: Any = multiprocessing.get_context(kind)
    # Not an event: setting that waits for everybody who waits for it, and one of them may have been killed.
    arrived, done, go = context.Queue(), context.Queue(), context.Semaphore(0)
    started = []
    for name, rows in BRANCHES.items():
        arguments = (name, rows, arrived, go, done)
        # A forked process has the context of this one; what is spawned is told of it.
        target, given = (in_process, arguments) if kind == "fork" else (in_spawned, (carrier, *arguments))
        started.append(context.Process(target=target, args=given))
    for each in started:
        each.start()
    came = dict(arrived.get() for _ in BRANCHES)
    stand_still(list(came.values()), workers={name: pid for pid, account in came.items() for name in account})
    for _ in started:
        go.release()
    for each in started:
        each.join()
    return [done.get() for each in started if each.exitcode == 0]


_shared: list[Any] = []


def _share(*shared: Any) -> None:  # noqa: ANN401  # queue and semaphore cannot be sent with a task
    _shared[:] = shared


def _task(name: str, rows: int) -> Account:
    arrived, go = _shared
    return run(branch(name, rows, stand_in(arrived, go)))


def pooled() -> list[Account]:
    """Do the branches as tasks of a pool."""
    context: Any = multiprocessing.get_context("fork")
    arrived, go = context.Queue(), context.Semaphore(0)
    with ProcessPoolExecutor(len(BRANCHES), context, _share, (arrived, go)) as pool:
        work = [pool.submit(in_worker(_task), name, rows) for name, rows in BRANCHES.items()]
        came = dict(arrived.get() for _ in BRANCHES)
        stand_still(list(came.values()))
        for _ in work:
            go.release()
        return [each.result() for each in work]


def main() -> None:
    """Run the branches in the mode that is asked for."""
    handle = configure(terminal="off")
    mode = sys.argv[1]
    started_at = time.perf_counter()
    with operation(OPERATION, id=mode, total=len(BRANCHES)) as job:
        inside_at = time.perf_counter()
        if mode in {"plain", "threads", "asyncio"}:
            accounts = {"plain": plain, "threads": threads, "asyncio": in_asyncio}[mode]()
        elif mode == "pool":
            accounts = pooled()
        else:
            accounts = processes(mode, job.carrier())
        for _ in accounts:
            job.advance()
        at_least = time.perf_counter() - inside_at
    at_most = time.perf_counter() - started_at
    account = {key: value for each in accounts for key, value in each.items()}
    account[mode] = {"done": len(accounts), "limit": len(BRANCHES), "at_least": at_least, "at_most": at_most}
    facts = lost()
    handle.shutdown()
    say(account=account, **facts)


if __name__ == "__main__":
    main()
