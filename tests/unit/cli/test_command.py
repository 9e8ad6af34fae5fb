"""The command as a shell sees it: a process of its own, its output and its exit status."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from otel_progress.cli import main
from tests.unit.cli.conftest import Tree

RUN = "import sys; sys.argv[0] = 'otel-progress'; from otel_progress.cli import main; sys.exit(main())"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "TRACEPARENT"))}
ENVIRONMENT["OTEL_PROGRESS_STORE"] = "off"
EXTRAS = ("rich", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.exporter.prometheus", "opentelemetry.sdk")
SECONDS = 60.0


def start(*arguments: object, run: str = RUN, **environ: str) -> subprocess.Popen[str]:
    """Start ``otel-progress`` with these arguments."""
    return subprocess.Popen(
        [sys.executable, "-c", run, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path), **environ},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for its end; return its exit status and output."""
    try:
        stdout, stderr = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


def parsed(stdout: str) -> list[dict[str, Any]]:
    """Its JSON lines."""
    return [json.loads(line) for line in stdout.splitlines()]


@contextmanager
def collector() -> Iterator[tuple[str, list[str]]]:
    """A server that takes whatever is posted; yields its address, and the paths that were posted to."""
    posted: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            posted.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...  # type: ignore[override]  # whatever it says

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", posted
        finally:
            server.shutdown()
            thread.join()


def test_demo_does_its_work_and_says_where_to_look(tree: Tree) -> None:
    """On stderr: stdout stays empty."""
    status, stdout, stderr = finish(start("demo", tree.root, "--quick", "--prometheus", "0"))
    assert (status, stdout) == (0, "")
    assert f"compressed {tree.compressed} of {tree.files} files" in stderr
    assert f"{tree.not_text} not text, {tree.unreadable} unreadable" in stderr
    assert "demo [tree]: completed" in stderr  # plain lines, as stderr is no terminal
    assert "Traceback" not in stderr


def test_json_lines_are_progress_from_start_to_summary(tree: Tree) -> None:
    """Every line is an object; counts never go back, and the ends are the summary's true numbers."""
    status, stdout, stderr = finish(start("demo", tree.root, "--quick", "--json", "--prometheus", "off"))
    assert (status, stderr) == (0, "")
    setup, *lines, summary = parsed(stdout)
    assert (setup["event"], setup["path"], setup["prometheus_url"]) == ("setup", str(tree.root), None)
    assert (summary["event"], summary["state"], summary["trace_id"]) == ("summary", "completed", None)
    assert {line["event"] for line in lines} <= {"start", "progress", "end"}
    story: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        story.setdefault(line["key"], []).append(line)
    for told in story.values():
        assert (told[0]["event"], told[-1]["event"]) == ("start", "end")
        assert {line["event"] for line in told[1:-1]} <= {"progress"}
        assert [line["done"] for line in told] == sorted(line["done"] for line in told)
    ends = [told[-1] for told in story.values()]
    assert [end["path"][-1] for end in ends].count("file") == summary["large_files"] == tree.large_files
    folders = [end for end in ends if end["path"] == ["demo", "process", "folder"]]
    assert sum(end["done"] for end in folders) == summary["files"] == tree.files
    assert sum(end["failed"] for end in folders) == summary["unreadable"] == tree.unreadable
    assert sum(end["skipped"] for end in folders) == summary["not_text"] == tree.not_text
    assert sum(end["bytes"] for end in folders) == summary["bytes_read"] == tree.bytes_read
    (demo,) = (end for end in ends if end["path"] == ["demo"])
    assert demo["counters"] == {"lines": summary["lines"], "compressed_bytes": summary["compressed_bytes"]}
    assert (demo["state"], summary["lines"]) == ("completed", tree.lines)


def test_prometheus_endpoint_answers_while_it_runs(large_tree: Path) -> None:
    """At the address that the first line names."""
    process = start("demo", large_tree, "--json", "--prometheus", "0")
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["prometheus_url"]
        json.loads(process.stdout.readline())  # the demo has started
        with urlopen(url, timeout=SECONDS) as answer:
            assert "progress_level_active{" in answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        status, _, _ = finish(process)
    assert status == 130


@pytest.mark.once
def test_port_that_is_taken_is_replaced_unless_it_was_asked_for(tree: Tree) -> None:
    """The usual port is a default, a given one is a wish."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 9464))
            taken.listen()
        except OSError:
            pass  # somebody else has it: as good
        status, stdout, _ = finish(start("demo", tree.root, "--quick", "--json"))
        url = parsed(stdout)[0]["prometheus_url"]
        assert status == 0
        assert url.startswith("http://127.0.0.1:")
        assert ":9464" not in url
        status, stdout, stderr = finish(start("demo", tree.root, "--quick", "--json", "--prometheus", "9464"))
    assert (status, stdout) == (2, "")
    assert stderr.startswith("otel-progress: prometheus: cannot listen on 127.0.0.1:9464")


def test_otlp_is_sent_where_the_variable_points(tree: Tree) -> None:
    """Traces, metrics and events; the summary names the trace."""
    with collector() as (endpoint, posted):
        status, stdout, _ = finish(
            start("demo", tree.root, "--quick", "--json", "--prometheus", "off", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        )
    setup, *_, summary = parsed(stdout)
    assert (status, setup["otlp_endpoint"]) == (0, endpoint)
    assert set(posted) == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert len(summary["trace_id"]) == 32


@pytest.fixture
def large_tree(tmp_path: Path) -> Path:
    """More than can be done in the time of a test."""
    folder = tmp_path / "large"
    folder.mkdir()
    for number in range(20):
        text = "".join(f"{number * line % 7919}\n" for line in range(200_000))
        (folder / f"{number}.txt").write_text(text)
    return folder


@pytest.mark.once
@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["lines", "json"])
def test_ctrl_c_ends_it_as_interrupted_with_a_summary(large_tree: Path, arguments: list[str]) -> None:
    """The exit status is that of a program stopped by the signal; nothing is a traceback."""
    process = start("demo", large_tree, "--prometheus", "off", *arguments)
    stream = process.stdout if arguments else process.stderr
    assert stream is not None
    while "process" not in (line := stream.readline()):
        assert line, "it ended too early"
    process.send_signal(signal.SIGINT)
    status, stdout, stderr = finish(process)
    assert status == 130
    assert "Traceback" not in stderr
    if arguments:
        summary = parsed(stdout)[-1]
        assert (summary["event"], summary["state"], summary["files"]) == ("summary", "interrupted", 20)
        states = {line["path"][-1]: line["state"] for line in parsed(stdout)[:-1] if line["event"] == "end"}
        assert (states["demo"], states["process"], states["folder"]) == ("interrupted", "interrupted", "cancelled")
    else:
        assert "demo [large]: interrupted after" in stderr
        assert "\nInterrupted after" in stderr


def test_demo_stops_when_nobody_reads_its_lines(large_tree: Path) -> None:
    """As a program in a pipe does: without a word."""
    process = start("demo", large_tree, "--json", "--prometheus", "off")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    try:
        assert process.wait(SECONDS) == 141
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.stderr.close()


@pytest.mark.parametrize("missing", [EXTRAS, ("rich",)], ids=["api_only", "no_rich"])
def test_demo_runs_without_extras_and_says_what_to_install(tree: Tree, missing: tuple[str, ...]) -> None:
    """Also when a variable asks for OTLP: it is set on machines, not for us."""
    run = f"import sys; sys.modules.update(dict.fromkeys({missing!r}))\n{RUN}"
    status, _, stderr = finish(
        start("demo", tree.root, "--quick", "--prometheus", "off", run=run, OTEL_PROGRESS_TERMINAL="live")
        if missing == ("rich",)
        else start("demo", tree.root, "--quick", run=run, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    )
    assert status == 0
    assert f"compressed {tree.compressed} of {tree.files} files" in stderr
    assert f"pip install 'otel-progress[{'cli' if missing == ('rich',) else 'all'}]'" in stderr


def test_missing_extra_that_was_asked_for_is_an_error(tree: Tree) -> None:
    """It says what to install."""
    run = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r}))\n{RUN}"
    status, _, stderr = finish(start("demo", tree.root, "--prometheus", "0", run=run))
    assert status == 2
    assert "pip install 'otel-progress[prometheus]'" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: None, "No such file or directory"),
        (lambda path: path.write_text("text"), "Not a directory"),
        (lambda path: (path / "empty" / "empty").mkdir(parents=True), "there are none"),
    ],
    ids=["missing", "file", "without_files"],
)
def test_path_that_holds_no_files_is_one_clear_line(
    make: Callable[[Path], object], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the path and what is wrong with it."""
    path = tmp_path / "given"
    make(path)
    assert main(["demo", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("otel-progress: PATH must be a folder")
    assert str(path) in said
    assert problem in said
    assert said.count("\n") == 1


def test_folder_that_may_not_be_read_is_one_clear_line(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody may read it; for root, who may read all, a loop of links stands in."""
    if os.geteuid():
        tree.root.chmod(0)
    path = tree.root if os.geteuid() else tree.root / "loop.txt"
    try:
        assert main(["demo", str(path)]) == 2
    finally:
        tree.root.chmod(0o700)
    assert capsys.readouterr().err.count("\n") == 1


def test_wrong_settings_are_one_line_that_says_what_is_allowed(
    tree: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument or a variable alike."""
    assert main(["demo", str(tree.root), "--prometheus", "99999"]) == 2
    assert "port from 0 to 65535" in capsys.readouterr().err
    monkeypatch.setenv("OTEL_PROGRESS_TERMINAL", "wide")
    assert main(["demo", str(tree.root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("otel-progress: OTEL_PROGRESS_TERMINAL must be auto, off, live, lines")
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["dance"], ["demo", "--prometheus", "often"], ["demo", "--seed", "x"]])
def test_wrong_usage_ends_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """And shows how it is meant."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: otel-progress")


@pytest.mark.parametrize(("arguments", "shows"), [(["--help"], "demo"), (["demo", "--help"], "--quick")])
def test_help_is_shown_on_stdout(arguments: list[str], shows: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With status 0."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert shows in capsys.readouterr().out


def test_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    """As ``pip`` knows it."""
    try:
        installed = version("otel-progress")
    except PackageNotFoundError:
        pytest.skip("otel-progress is not installed here; pip install --editable .")
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"otel-progress {installed}\n")


def test_import_of_the_command_line_loads_neither_sdk_nor_rich() -> None:
    """It starts fast, and works where they are not."""
    code = (
        "import sys, otel_progress.cli; print([name for name in sys.modules if name in {'opentelemetry.sdk', 'rich'}])"
    )
    assert finish(start(run=code))[1] == "[]\n"
