"""What is generated: written to ``dashboards/generated/``, or compared with what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dashboards import reference, render
from dashboards.boards import BOARDS

GENERATED: Final = Path(__file__).parent / "generated"


def outputs() -> dict[str, str]:
    """Return the text of every generated file by its path below ``generated/``."""
    files = {f"dashboards/{board.uid}.json": board.to_json() for board in BOARDS}
    return files | {
        "reference.md": reference.reference(),
        "prometheus/recording_rules.yaml": render.to_yaml(render.recording_rules()),
        "prometheus/alert_rules.yaml": render.to_yaml(render.alert_rules()),
        "grafana/alert_rules.yaml": render.to_yaml(render.grafana_file()),
        "grafana/alert_rules.api.json": render.to_json(render.grafana_api()),
    }


def differences(folder: Path = GENERATED) -> list[str]:
    """Return what is missing in the folder, differs, or does not belong there, one sentence each."""
    wanted = outputs()
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return [
        *(f"{name} is missing" for name in wanted if name not in there),
        *(f"{name} does not belong here" for name in there if name not in wanted),
        *(
            f"{name} is out of date"
            for name, path in there.items()
            if name in wanted and path.read_text(encoding="utf-8") != wanted[name]
        ),
    ]


def write(folder: Path = GENERATED) -> None:
    """Make the folder hold what is generated and nothing else."""
    wanted = outputs()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
