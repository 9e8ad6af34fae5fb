"""Snapshots as JSON: what is unknown or says nothing is left out, and so is what is private unless it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import Any, Final, cast

from otel_progress._model import CounterValue, Deviation, Estimate, Snapshot
from otel_progress.names import DeviationKind, Severity, State

LEVELS_LIMIT: Final = 200
"""Levels of one process that are kept while they live: those nearest to the roots, the newest of siblings first."""

DETAILS: Final = frozenset({"id", "title", "message", "metadata", "error_message", "reason"})
"""What may name people, files or customers. All else is a number, a state, a random id, or a name of a kind of work."""

_NESTED: Final = frozenset({"children", "eta", "counters", "metadata", "deviations"})
_PLAIN: Final = tuple(each.name for each in fields(Snapshot) if each.name not in _NESTED)
_DEFAULTS: Final = {
    each.name: (None if each.default is MISSING else each.default) for each in fields(Snapshot) if each.name in _PLAIN
}
Tree = dict[str, Any]


def encode(snapshots: Iterable[Snapshot], *, details: bool) -> str:
    """Return trees of levels as JSON, at most `LEVELS_LIMIT` levels in all."""
    trees: list[Tree] = []
    level = [(snapshot, trees) for snapshot in snapshots]
    left = LEVELS_LIMIT
    while level and left > 0:
        below: list[tuple[Snapshot, list[Tree]]] = []
        kept = level[-left:]
        left -= len(kept)
        for snapshot, siblings in kept:
            tree = _tree(snapshot, details=details)
            siblings.append(tree)
            if snapshot.children:
                children: list[Tree] = tree.setdefault("children", [])
                below += [(child, children) for child in snapshot.children]
        level = below
    return json.dumps(trees, separators=(",", ":"))


def decode(text: str) -> tuple[Snapshot, ...]:
    """
    Return the levels that `encode` wrote.

    Raises:
        ValueError, TypeError, KeyError, AttributeError, RecursionError: It was not written by it.
    """
    return tuple(_snapshot(tree) for tree in json.loads(text))


def without_children(snapshot: Snapshot, *, details: bool) -> str:
    """Return one level as JSON."""
    return json.dumps([_tree(snapshot, details=details)], separators=(",", ":"))


def _tree(snapshot: Snapshot, *, details: bool) -> Tree:
    tree: Tree = {}
    for name in _PLAIN:
        value = getattr(snapshot, name)
        if value is not None and (details or name not in DETAILS) and value != _DEFAULTS[name]:
            tree[name] = value
    if snapshot.eta is not None:
        eta = snapshot.eta
        tree["eta"] = [eta.expected, eta.low, eta.high, eta.confidence, eta.method, eta.factors]
    if snapshot.counters:
        tree["counters"] = {name: [counter.value, counter.unit] for name, counter in snapshot.counters.items()}
    if snapshot.deviations:
        # The sentence names the kind of work and numbers, as the snapshot does, and nothing else.
        tree["deviations"] = [[each.kind, each.severity, each.since, each.sentence] for each in snapshot.deviations]
    if details and snapshot.metadata:
        tree["metadata"] = dict(snapshot.metadata)
    return tree


def _snapshot(tree: Mapping[str, Any]) -> Snapshot:
    values: dict[str, Any] = {name: tree.get(name, _DEFAULTS[name]) for name in _PLAIN}
    values |= {"state": State(tree["state"]), "path": tuple(tree["path"])}
    counters = cast("Mapping[str, Any]", tree.get("counters", {}))
    return Snapshot(
        **values,
        eta=_estimate(tree["eta"]) if "eta" in tree else None,
        counters=MappingProxyType({name: CounterValue(value, unit) for name, (value, unit) in counters.items()}),
        metadata=MappingProxyType(dict(tree.get("metadata", {}))),
        deviations=tuple(
            Deviation(DeviationKind(kind), Severity(severity), since, sentence)
            for kind, severity, since, sentence in tree.get("deviations", ())
        ),
        children=tuple(_snapshot(child) for child in tree.get("children", ())),
    )


def _estimate(values: list[Any]) -> Estimate:
    expected, low, high, confidence, method, factors = values
    return Estimate(expected=expected, low=low, high=high, confidence=confidence, method=method, factors=tuple(factors))
