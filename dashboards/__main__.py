"""``python -m dashboards`` writes what is generated; ``--check`` fails where that would change something."""

from __future__ import annotations

import argparse
import sys

from dashboards import build


def main() -> int:
    """Return the exit status: 1 if a check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=build.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    if not parser.parse_args().check:
        build.write()
        return 0
    found = build.differences()
    for each in found:
        print(f"dashboards/generated: {each}: run make dashboards", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
