"""``python -m otel_progress.cli`` is ``otel-progress``."""

from __future__ import annotations

import sys

from otel_progress.cli import main

if __name__ == "__main__":
    sys.exit(main())
