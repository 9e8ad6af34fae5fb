"""
What a person sees of the progress: a live tree on a terminal, a display in a notebook, plain lines anywhere else.

The live tree and the notebook display need rich (``pip install otel-progress[cli]``); without it there are plain lines.
"""

from otel_progress.terminal.view import TerminalView

__all__ = ["TerminalView"]
