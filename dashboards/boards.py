"""All dashboards."""

from __future__ import annotations

from typing import Final

from dashboards import operation, overview, reliability
from dashboards.board import Board

BOARDS: Final[tuple[Board, ...]] = (overview.BOARD, operation.BOARD, reliability.BOARD)
