"""The queries that the README shows are answered by a real Prometheus."""

from __future__ import annotations

import re
from pathlib import Path

from .nightly import OPERATION, Watched
from .rig import Stack

README = Path(__file__).resolve().parents[2] / "README.md"


def test_queries_of_the_readme_answer_for_a_running_job(stack: Stack, watched: Watched) -> None:
    """Asked of the moment the job was looked at: how far, how long; and nothing that advances is stuck."""
    (block,) = re.findall(r"^```promql\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    fraction, eta, stuck = block.replace("checksum", OPERATION).splitlines()
    at = watched.load_looked_at
    for query in (fraction, eta):
        assert [each for each in stack.prometheus.promql(query, at) if each.value >= 0] != [], query
    assert stack.prometheus.promql(stuck, at) == []
    running = [each for each in stack.prometheus.promql(stuck.replace("> 300", "> -1"), at) if each.value > -1]
    assert running != [], "the query finds nothing even where everything counts as stuck"
