"""The public surface: what can be imported is listed, documented, and there."""

from __future__ import annotations

import importlib
import inspect
import re
from importlib.metadata import version

import pytest

import otel_progress

PUBLIC = [
    "otel_progress",
    "otel_progress.deviation",
    "otel_progress.eta",
    "otel_progress.processors",
    "otel_progress.store",
    "otel_progress.testing",
]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_there_and_listed_once(module: str) -> None:
    """Lazy names included."""
    loaded = importlib.import_module(module)
    names = loaded.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(loaded, name)] == []
    assert set(names) <= set(dir(loaded))


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_function_and_class_has_a_docstring_of_its_own(module: str) -> None:
    """A dataclass without one would show its signature instead."""
    loaded = importlib.import_module(module)
    bare = [
        name
        for name in loaded.__all__
        if callable(thing := getattr(loaded, name))
        and not re.match(r"\s*[A-Z`]", _own_docstring(thing).removeprefix(f"{name}("))
    ]
    assert bare == []


def test_every_public_method_of_a_level_has_a_docstring() -> None:
    """`help(Level)` is a reference."""
    methods = {name: each for name, each in inspect.getmembers(otel_progress.Level) if not name.startswith("_")}
    assert [name for name, each in methods.items() if not inspect.getdoc(each)] == []


def test_star_import_brings_the_public_names_and_no_more() -> None:
    """What `__all__` lists."""
    namespace: dict[str, object] = {}
    exec("from otel_progress import *", namespace)  # the only place where a star import can be seen
    assert set(namespace) - {"__builtins__"} == set(otel_progress.__all__)


def test_version_is_the_installed_one() -> None:
    """Read from the metadata when asked for."""
    assert otel_progress.__version__ == version("otel-progress")


def test_unknown_names_are_attribute_errors_that_name_them() -> None:
    """The lazy lookup does not change what a typing mistake gives."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = otel_progress.no_such_name  # type: ignore[attr-defined]


def _own_docstring(thing: object) -> str:
    return (thing.__dict__.get("__doc__") if isinstance(thing, type) else thing.__doc__) or ""
