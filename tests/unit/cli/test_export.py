"""The files for Grafana and Prometheus, written by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_progress.cli import main
from otel_progress.cli._exit import Exit

GENERATED = Path(__file__).resolve().parents[3] / "dashboards" / "generated"


def test_dashboards_are_written_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a folder that is made; each path is printed; a second time nothing changes."""
    for _ in range(2):
        assert main(["dashboards", "export", str(tmp_path / "grafana")]) == Exit.DONE
    written = sorted((tmp_path / "grafana" / "dashboards").iterdir())
    assert [path.name for path in written] == sorted(path.name for path in (GENERATED / "dashboards").iterdir())
    assert all(json.loads(path.read_text())["schemaVersion"] == 42 for path in written)
    assert capsys.readouterr().out.splitlines() == [str(path) for path in written] * 2


def test_rules_link_to_the_grafana_that_is_given(tmp_path: Path) -> None:
    """Otherwise to one on this machine."""
    assert main(["rules", "export", str(tmp_path), "--grafana-url", "https://grafana.example.com/"]) == Exit.DONE
    alerts = (tmp_path / "prometheus" / "alert_rules.yaml").read_text()
    assert "https://grafana.example.com/d/progress-operation" in alerts
    assert "127.0.0.1:3000" not in alerts
    assert (tmp_path / "prometheus" / "recording_rules.yaml").exists()
    assert (tmp_path / "grafana" / "alert_rules.yaml").exists()


def test_a_file_that_differs_is_replaced_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody may have changed a threshold in it; then nothing is written at all."""
    changed = tmp_path / "prometheus" / "recording_rules.yaml"
    changed.parent.mkdir()
    changed.write_text("groups: []")
    assert main(["rules", "export", str(tmp_path)]) == Exit.WRONG
    assert "--force" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*.yaml")] == ["recording_rules.yaml"]
    assert main(["rules", "export", str(tmp_path), "--force"]) == Exit.DONE
    assert changed.read_text() != "groups: []"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file is in its place."""
    (tmp_path / "file").write_text("")
    assert main(["dashboards", "export", str(tmp_path / "file")]) == Exit.WRONG
    assert "otel-progress: " in capsys.readouterr().err
