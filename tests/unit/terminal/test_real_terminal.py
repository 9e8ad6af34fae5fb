"""What a person sees: real programs on a real pseudo terminal, looked at through a terminal emulator."""

from __future__ import annotations

import signal
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("needs pseudo terminals", allow_module_level=True)

from tests.unit.terminal.pseudo import PseudoTerminal

pytestmark = pytest.mark.once


def assert_usable(terminal: PseudoTerminal) -> None:
    """The terminal is as a shell wants to find it: cursor shown, lines wrapped, next prompt on a line of its own."""
    assert terminal.has_cursor
    assert terminal.wraps
    assert terminal.screen.cursor.x == 0
    assert terminal.screen.cursor.y == len(terminal.lines)


def has_tree(terminal: PseudoTerminal) -> bool:
    """Whether the tree is on the screen, complete."""
    return "● import" in terminal.text and "└ ● copy" in terminal.text


def test_ctrl_c_leaves_a_clean_screen() -> None:
    """The traceback, then how the operation ended and where it stood; nothing of the picture is left."""
    with PseudoTerminal("endless") as terminal:
        terminal.wait_until_ready()
        terminal.wait_for(has_tree)
        terminal.type("\x03")
        assert terminal.wait_for_end() == -signal.SIGINT
        assert_usable(terminal)
        assert "KeyboardInterrupt" in terminal.text
        assert [line.split(" after ")[0] for line in terminal.lines[-2:]] == [
            "⊘ import  interrupted",
            "  ⊘ copy  interrupted",
        ]
        assert terminal.lines[-1].endswith("30/100 items")
        assert "●" not in terminal.text
        assert "━" not in terminal.text


def test_an_echoed_ctrl_c_keeps_its_line() -> None:
    """Terminals write ``^C`` where the cursor is, and nobody is told; what follows begins on the next line."""
    with PseudoTerminal("echoes") as terminal:
        terminal.wait_until_ready()
        terminal.wait_for(has_tree)
        terminal.type("\x03")
        assert terminal.wait_for_end() == 0
        assert [line.split(" in ")[0] for line in terminal.lines] == ["^C", "✓ import  completed"]
        assert_usable(terminal)


def test_prints_and_logs_stay_whole_and_in_order() -> None:
    """Above the tree, each on its own line, whoever writes them and however."""
    with PseudoTerminal("prints", rows=60) as terminal:
        terminal.wait_until_ready()
        terminal.wait_for(has_tree)
        expected = [f"{way} {index}" for index in range(10) for way in ("out", "err", "log", "lines")]
        assert terminal.lines[:40] == expected
        assert terminal.lines[40] == ""
        assert terminal.lines[41].startswith("● import")
        assert terminal.wait_for_end() == 0
        assert terminal.lines[:40] == expected
        assert terminal.lines[40].startswith("✓ import  completed in")
        assert len(terminal.lines) == 41
        assert_usable(terminal)


def test_the_tree_stays_in_place_when_the_screen_scrolls() -> None:
    """Forty lines on a screen of twelve rows: the last of them, then the tree, once."""
    with PseudoTerminal("prints", rows=12) as terminal:
        terminal.wait_until_ready()
        terminal.wait_for(has_tree)
        assert terminal.lines[-4:-2] == ["lines 9", ""]
        assert terminal.text.count("import") == 1
        assert terminal.wait_for_end() == 0
        assert_usable(terminal)


def test_an_open_line_is_left_to_its_writer() -> None:
    """The tree stands below it, and the writer goes on where it stopped."""
    with PseudoTerminal("half_line") as terminal:
        terminal.wait_until_ready()
        terminal.wait_for(has_tree)
        assert terminal.lines[0] == "Loading..."
        assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (11, 0)
        terminal.type("\n")
        assert terminal.wait_for_end() == 0
        assert terminal.lines[0] == "Loading... done"
        assert terminal.lines[1].startswith("✓ import")


def test_a_question_can_be_read_and_answered() -> None:
    """Prompt and typing stay while the tree is redrawn below."""
    with PseudoTerminal("question") as terminal:
        terminal.wait_for(lambda terminal: has_tree(terminal) and "Go on?" in terminal.text)
        terminal.type("ye")
        terminal.wait_for(lambda terminal: "Go on? ye" in terminal.text)
        seen = len(terminal.sent)
        terminal.wait_for(lambda terminal: len(terminal.sent) > seen + 1000)  # the tree is redrawn now and then
        assert terminal.lines[0] == "Go on? ye"
        assert has_tree(terminal)
        terminal.type("s\n")
        assert terminal.wait_for_end() == 0
        assert terminal.lines[:2] == ["Go on? yes", "answer yes"]


@pytest.mark.parametrize("scene", ["children", "forks"])
def test_what_other_processes_write_is_not_lost(scene: str) -> None:
    """They know nothing of the tree, and the tree nothing of them: it may leave its end beside theirs, but no more."""
    with PseudoTerminal(scene) as terminal:
        assert terminal.wait_for_end() == 0
        own = " False" if scene == "forks" else ""
        expected = [f"child {index}{own}" for index in range(3)]
        assert [line[: len(expected[0])] for line in terminal.lines if "child" in line] == expected
        assert terminal.lines[-1].startswith("✓ import")
        assert_usable(terminal)


def test_an_exception_is_followed_by_what_it_ended() -> None:
    """The traceback whole, then the operation and the level that failed."""
    with PseudoTerminal("crash") as terminal:
        assert terminal.wait_for_end() == 1
        assert "ValueError: bad row 17" in terminal.lines
        assert terminal.lines[-2].startswith("✗ import  failed after")
        assert terminal.lines[-1].startswith("  ✗ copy  failed after")
        assert "●" not in terminal.text
        assert_usable(terminal)


def test_what_never_ended_stays_as_it_was_last_seen() -> None:
    """Nobody ended the operation, nobody stopped the view: the interpreter's end leaves the last picture."""
    with PseudoTerminal("unfinished") as terminal:
        assert terminal.wait_for_end() == 0
        assert has_tree(terminal)
        assert len(terminal.lines) == 2
        assert "30 %" in terminal.lines[1]
        assert_usable(terminal)


def test_a_killed_program_leaves_a_usable_terminal() -> None:
    """Not even ``kill -9`` hides the cursor: it is hidden within single writes only."""
    with PseudoTerminal("endless") as terminal:
        terminal.wait_until_ready()
        terminal.wait_for(has_tree)
        terminal.process.kill()
        terminal.wait_for_end()
        assert terminal.has_cursor
        assert terminal.wraps
        assert terminal.screen.cursor.x == 0


def test_a_tqdm_bar_is_not_garbled() -> None:
    """While it is up, the tree stays away and plain lines appear above the bar; afterwards the tree is back."""
    with PseudoTerminal("tqdm_bar") as terminal:
        terminal.wait_for(has_tree)
        terminal.wait_until_ready()
        assert [line for line in terminal.lines if line.startswith("theirs:")] == [terminal.lines[-1]]
        assert " 50%|" in terminal.lines[-1]
        assert any(line.startswith("import > copy: 60 %, 60/100 items") for line in terminal.lines[:-1])
        assert "●" not in terminal.text
        terminal.type("\n")
        terminal.wait_for(has_tree)
        bars = [line for line in terminal.lines if line.startswith("theirs:")]
        assert "100%|" in bars[-1]
        assert "20/20" in bars[-1]
        assert terminal.wait_for_end() == 0
        assert terminal.lines[-1].startswith("✓ import")
        assert_usable(terminal)


def test_nested_tqdm_bars_are_not_garbled() -> None:
    """Bars below bars are where the tree would be."""
    with PseudoTerminal("tqdm_nested") as terminal:
        terminal.wait_until_ready()
        assert [line[:12] for line in terminal.lines] == ["outer:  33%|", "inner:  40%|"]
        assert "●" not in terminal.text
        terminal.type("\n")
        assert terminal.wait_for_end() == 0
        assert [line[:12] for line in terminal.lines] == ["outer: 100%|", "✓ import  co"]


def test_a_rich_display_is_not_garbled() -> None:
    """While it is up, plain lines appear above it; the cursor stays hidden, as rich wants it, until it ends."""
    with PseudoTerminal("rich_bar") as terminal:
        terminal.wait_for(has_tree)
        terminal.wait_until_ready()
        assert terminal.lines[-1].startswith("theirs ━")
        assert any(line.startswith("import > copy: 60 %, 60/100 items") for line in terminal.lines[:-1])
        assert "●" not in terminal.text
        assert not terminal.has_cursor
        terminal.type("\n")
        terminal.wait_until_ready()
        terminal.wait_for(has_tree)
        assert terminal.has_cursor
        assert "after theirs" in terminal.lines
        assert sum(line.startswith("theirs ━") for line in terminal.lines) == 1
        terminal.type("\n")
        assert terminal.wait_for_end() == 0
        assert_usable(terminal)


def test_an_error_while_reading_ends_the_view_only() -> None:
    """One log line; the streams are as they were, and the program goes on."""
    with PseudoTerminal("broken") as terminal:
        assert terminal.wait_for_end() == 0
        assert "log otel_progress: terminal view failed; your program is unaffected" in terminal.lines
        assert "OSError: cannot read" in terminal.lines
        assert terminal.lines[-1] == "still printing False"
        assert "●" not in terminal.text
        assert_usable(terminal)


@pytest.mark.parametrize(
    ("environ", "is_live", "has_color"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"CI": "true"}, False, True),
        ({"CI": "true", "NO_COLOR": "1"}, False, False),
        ({"TTY_INTERACTIVE": "0"}, False, True),
        ({"TTY_COMPATIBLE": "0"}, False, False),
    ],
)
def test_the_environment_is_honoured(*, environ: dict[str, str], is_live: bool, has_color: bool) -> None:
    """From outside: whether the cursor is moved, and whether there are colours."""
    with PseudoTerminal("unfinished" if is_live else "prints", environ=environ) as terminal:
        assert terminal.wait_for_end() == 0
        assert (b"\x1b[J" in terminal.sent) is is_live
        assert any(color in terminal.sent for color in (b"\x1b[3", b";3")) is has_color
        if not is_live:
            assert b"import: completed in" in terminal.sent
            assert terminal.sent.replace(b"\r\n", b"").count(b"\r") == 0


def test_columns_limit_the_tree() -> None:
    """``COLUMNS`` is smaller than the terminal here."""
    with PseudoTerminal("unfinished", environ={"COLUMNS": "40"}) as terminal:
        terminal.wait_for_end()
        assert has_tree(terminal)
        assert max(map(len, terminal.lines)) < 40


def test_ascii_terminals_get_ascii() -> None:
    """A stream that carries no Unicode shows other signs in the same places."""
    with PseudoTerminal("unfinished", environ={"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}) as terminal:
        terminal.wait_for_end()
        assert terminal.text.isascii()
        assert terminal.lines[0].startswith("* import")
        assert terminal.lines[1].startswith("` * copy")
        assert "###" in terminal.lines[1]
