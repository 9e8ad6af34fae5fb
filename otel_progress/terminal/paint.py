"""Rows of styled text as what a terminal or a notebook takes. The one place that makes a rich console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Final

from rich.console import Console
from rich.text import Text

_ASCII: Final = str.maketrans("━╸─○●‖↻✓✗⊘·…├└│", "##-o*=~+x!-~|`|")
"""What stands for our signs where there is only ASCII; one cell each, so that the columns stay."""

_HTML: Final = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;margin:0">{code}</pre>'


class Painter:
    """Turns rows into strings. Not thread-safe."""

    def __init__(self, environ: Mapping[str, str], *, color: bool, unicode: bool, encoding: str = "utf-8") -> None:
        self._unicode = unicode
        self._encoding = encoding
        self._console = Console(
            file=StringIO(),
            force_terminal=True,
            force_jupyter=False,
            color_system="auto",
            no_color=not color,
            legacy_windows=False,
            emoji=False,
            highlight=False,
            markup=False,
            _environ=environ,
        )

    def ansi(self, row: Text) -> str:
        """Return one row with the escape sequences that colour it."""
        console = self._console
        with console.capture() as capture:
            console.print(row, end="", no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)
        text = capture.get()
        if self._unicode:
            return text
        return text.translate(_ASCII).encode(self._encoding, "replace").decode(self._encoding)


def html(rows: Sequence[Text]) -> str:
    """Return rows as HTML that carries its own styles."""
    console = Console(file=StringIO(), force_jupyter=False, record=True, width=10_000, highlight=False, _environ={})
    for row in rows:
        console.print(row, no_wrap=True, overflow="ignore", crop=False)
    return console.export_html(inline_styles=True, code_format=_HTML)
