"""The lower bounds of what the package depends on, as pip constraints: ``python tests/packaging/lowest.py``."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

_LOWER_BOUND = re.compile(r"(?P<name>[\w-]+)>=(?P<version>[\w.]+)(,<.+)?")


def lowest() -> list[str]:
    """Return one constraint for each run-time dependency; patch releases of the lowest minor version are let in."""
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    bounds = {match["name"]: match["version"] for each in required if (match := _LOWER_BOUND.fullmatch(each))}
    return [
        f"{name}=={version}.*" if version.replace(".", "").isdigit() else f"{name}=={version}"
        for name, version in sorted(bounds.items())
    ]


if __name__ == "__main__":
    print("\n".join(lowest()))
