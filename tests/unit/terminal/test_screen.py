from __future__ import annotations

import io

import pyte
import pytest

from otel_progress.terminal.screen import Screen


class Tty(io.StringIO):
    """A terminal of 40 columns and 10 rows that can be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.screen = pyte.Screen(40, 10)
        self._emulator = pyte.Stream(self.screen)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return True

    @property
    def shown(self) -> list[str]:
        """What is on the screen, without empty rows at the end."""
        self._emulator.feed(self.getvalue().replace("\r\n", "\n").replace("\n", "\r\n"))
        self.seek(0)
        self.truncate()
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip("\n").split("\n")


@pytest.fixture
def tty() -> Tty:
    """Return a terminal."""
    return Tty()


@pytest.fixture
def screen(tty: Tty) -> Screen:
    """Return an open screen on it."""
    screen = Screen(tty)
    screen.open()
    return screen


def test_a_picture_replaces_the_last_one(tty: Tty, screen: Screen) -> None:
    """Longer, shorter, gone."""
    screen.draw(["one", "two"])
    assert tty.shown == ["", "one", "two"]
    screen.draw(["three", "four", "five"])
    assert tty.shown == ["", "three", "four", "five"]
    screen.draw(["six"])
    assert tty.shown == ["", "six"]
    screen.draw([])
    assert tty.shown == [""]


def test_the_same_picture_is_not_drawn_again(tty: Tty, screen: Screen) -> None:
    """A terminal that is left alone does not flicker."""
    screen.draw(["one"])
    tty.shown  # noqa: B018  # looking empties the stream
    assert screen.draw(["one"])
    assert tty.getvalue() == ""


def test_each_picture_is_a_single_write(tty: Tty, screen: Screen) -> None:
    """The cursor is hidden, lines are cut instead of wrapped, and both end with the write that began them."""
    screen.draw(["one", "two"])
    sent = tty.getvalue()
    assert sent.startswith("\x1b[?25l\x1b[?7l")
    assert sent.endswith("\x1b[?7h\x1b[?25h")


def test_what_is_written_above_stays(tty: Tty, screen: Screen) -> None:
    """Lines for good go over the picture, and scroll away as lines do."""
    screen.draw(["picture"])
    assert screen.draw(["picture"], ["first"])
    assert screen.draw(["picture"], ["second"])
    assert tty.shown == ["first", "second", "", "picture"]
    for index in range(20):
        screen.draw(["picture"], [f"line {index}"])
    assert tty.shown == [*(f"line {index}" for index in range(12, 20)), "", "picture"]


def test_prints_go_above_the_picture(tty: Tty, screen: Screen) -> None:
    """The picture is back with the next one, if not at once."""
    screen.draw(["one"])
    print("printed", file=tty)
    screen.draw(["two"])
    assert tty.shown == ["printed", "", "two"]


def test_a_write_returns_what_the_stream_returns(tty: Tty, screen: Screen) -> None:
    """Nobody can tell that the write is shadowed, by its result."""
    screen.draw(["one"])
    assert tty.write("12345\n") == 6


def test_lines_for_good_wait_for_the_end_of_an_open_line(tty: Tty, screen: Screen) -> None:
    """The picture does not; and at the end nothing waits any more."""
    tty.write("Loading... ")
    assert not screen.draw(["picture"], ["finished"])
    assert tty.shown == ["Loading...", "picture"]
    tty.write("done\n")
    assert screen.draw(["picture"], ["finished"])
    assert tty.shown == ["Loading... done", "finished", "", "picture"]
    tty.write("open")
    screen.finish(["last"], ["also finished"])
    assert tty.shown == ["Loading... done", "finished", "open", "also finished", "last"]


def test_a_line_redrawn_by_its_writer_is_kept(tty: Tty, screen: Screen) -> None:
    """Bars of other libraries: a carriage return, and the line anew."""
    for percent in (10, 20, 30):
        tty.write(f"{percent} %\r")
        screen.draw([f"picture {percent}"])
    assert tty.shown == ["30 %", "picture 30"]


def test_a_hidden_cursor_stays_hidden(tty: Tty, screen: Screen) -> None:
    """If the program hides it, that is the program's business."""
    tty.write("\x1b[?25l")
    screen.draw(["one"])
    assert tty.getvalue().endswith("\x1b[?25l")
    tty.write("\x1b[?25h")
    screen.draw(["two"])
    assert tty.getvalue().endswith("\x1b[?25h")


def test_closing_gives_the_stream_back(tty: Tty, screen: Screen) -> None:
    """As it was: no trace on the object, and closing twice is harmless."""
    screen.finish(["last"])
    screen.close()
    screen.close()
    assert "write" not in vars(tty)
    print("after", file=tty)
    assert tty.shown == ["last", "after"]


def test_a_stream_shadowed_before_keeps_that(tty: Tty) -> None:
    """Somebody else's shadow of ``write`` is put back, not removed."""
    seen: list[str] = []

    def theirs(text: str) -> int:
        seen.append(text)
        return io.StringIO.write(tty, text)

    tty.write = theirs  # type: ignore[method-assign]  # what a program may do
    screen = Screen(tty)
    screen.open()
    screen.close()
    assert tty.write is theirs


def test_a_stream_shadowed_after_keeps_that_too(tty: Tty, screen: Screen) -> None:
    """Theirs goes on through ours, which only passes on."""
    ours = tty.write
    tty.write = lambda text: ours(f"<{text}>")  # type: ignore[method-assign]  # what a program may do
    screen.close()
    tty.write("x")
    assert tty.shown == ["<x>"]


def test_errors_of_the_stream_reach_its_writer_alone(tty: Tty) -> None:
    """What goes wrong for the program goes wrong for the program; nothing is drawn over it, nothing added."""

    def broken(text: str) -> int:
        if text == "x":
            raise BrokenPipeError
        return io.StringIO.write(tty, text)

    tty.write = broken  # type: ignore[method-assign]  # a pipe whose reader has gone
    screen = Screen(tty)
    screen.open()
    with pytest.raises(BrokenPipeError):
        print("x", file=tty)
    with pytest.raises(TypeError):
        tty.write(7)  # type: ignore[arg-type]  # as a program may by mistake
    assert screen.error is None


def test_errors_of_ours_do_not_reach_the_writer(tty: Tty, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A print works although drawing does not; the error is kept, and drawing ends."""
    screen.draw(["one"])
    error = RuntimeError("cannot look")

    def fail() -> bool:
        raise error

    monkeypatch.setattr("otel_progress.terminal.neighbours.is_drawing", fail)
    monkeypatch.setattr("otel_progress.terminal.screen._REDRAW_SECONDS", 0.0)
    print("printed", file=tty)
    assert tty.shown == ["printed"]
    assert screen.error is error


def test_prints_inside_prints_are_fine(tty: Tty, screen: Screen) -> None:
    """A signal handler prints while a print is on its way, or a stream writes to another of the same terminal."""
    screen.draw(["one"])

    class Wrapper(io.TextIOBase):
        def write(self, text: str) -> int:
            return tty.write(text.upper())

    wrapper = Wrapper()
    screen._shadow(wrapper)  # type: ignore[arg-type]  # a wrapper that programs put in place of sys.stdout
    print("loud", file=wrapper)
    screen.draw(["two"])
    assert tty.shown == ["LOUD", "", "two"]
