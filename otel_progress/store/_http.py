"""One question over HTTP, answered in JSON: in time, of bounded size, from where it was asked and nowhere else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

REQUEST_SECONDS: Final = 2.0
"""How long one request may take as a whole."""

ANSWER_BYTES: Final = 2 * 1024 * 1024
"""What is read of an answer. Parsing this much holds the interpreter for about 20 ms, which the program feels."""


class AnswerError(Exception):
    """The answer cannot be used; ``status`` is its HTTP status."""

    def __init__(self, words: str, status: int = HTTPStatus.OK) -> None:
        super().__init__(words)
        self.status = status


class TooLargeError(AnswerError):
    """There is more of it than is read."""


def get_json(
    url: str, query: Mapping[str, object], *, seconds: float = REQUEST_SECONDS, limit: int = ANSWER_BYTES
) -> Any:  # noqa: ANN401  # whatever JSON says
    """
    Return the answer to a GET, parsed.

    Redirects are not followed: they would have us ask, and trust, whomever they name.

    Raises:
        AnswerError, OSError, HTTPException, ValueError, RecursionError: There is no answer, not in time, or an odd one.
    """
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=seconds)
    late = threading.Event()
    watchdog = threading.Timer(seconds, lambda: _cut(late, connected))
    watchdog.daemon = True
    connected: list[socket.socket] = []
    try:
        watchdog.start()
        connection.connect()
        connected.append(connection.sock)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "otel-progress"}
        connection.request("GET", f"{parts.path}?{urlencode(query)}", headers=headers)
        answer = connection.getresponse()
        body = answer.read(limit + 1)
        status = answer.status
    except Exception:
        if late.is_set():
            msg = f"no answer within {seconds:g} s"
            raise TimeoutError(msg) from None
        raise
    finally:
        watchdog.cancel()
        connection.close()
    if late.is_set():
        msg = f"no whole answer within {seconds:g} s"
        raise TimeoutError(msg)
    if status != HTTPStatus.OK:
        msg = f"HTTP status {status}"
        raise AnswerError(msg, status)
    if len(body) > limit:
        msg = f"an answer of more than {limit} bytes"
        raise TooLargeError(msg)
    return json.loads(body)


def _cut(late: threading.Event, connected: list[socket.socket]) -> None:
    """End a request that takes too long: a timeout of the socket's own begins anew with each byte."""
    late.set()
    for each in connected:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
