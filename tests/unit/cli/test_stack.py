"""The folder that ``otel-progress stack init`` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_progress.cli import main
from otel_progress.cli._exit import Exit
from otel_progress.cli.stack import THEIRS

REPOSITORY = Path(__file__).resolve().parents[3]
COMPOSE = "docker-compose.yml"


def written(folder: Path) -> set[str]:
    """Return the paths of all files in a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_what_the_repository_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compose file, configurations, dashboards and rules as they are, and a password; each path is printed."""
    assert main(["stack", "init", str(tmp_path / "stack")]) == Exit.DONE
    found = written(tmp_path / "stack")
    said = capsys.readouterr()
    assert {str(tmp_path / "stack" / each) for each in found} == set(said.out.splitlines())
    for path in found - {".env"}:
        assert (tmp_path / "stack" / path).read_bytes() == (REPOSITORY / path).read_bytes()
    collector = {path for path in found if path.startswith("collector/")}
    assert collector == {f"collector/{each}" for each in written(REPOSITORY / "collector") if _is_ours(each)}
    assert COMPOSE in found
    assert "dashboards/generated/prometheus/recording_rules.yaml" in found
    assert f"cd {tmp_path / 'stack'}\n  docker compose up" in said.err


def _is_ours(path: str) -> bool:
    return not path.startswith(("data/", "targets/", "."))


def test_the_password_is_of_this_folder_and_for_its_owner(tmp_path: Path) -> None:
    """Another folder has another one, and nobody else may read it."""
    for name in ("one", "other"):
        assert main(["stack", "init", str(tmp_path / name)]) == Exit.DONE
    one, other = ((tmp_path / name / ".env").read_text() for name in ("one", "other"))
    assert one != other
    *_, line = one.splitlines()
    name, password = line.split("=", 1)
    assert name == "GRAFANA_PASSWORD"
    assert len(password) == 24, "18 bytes in base64"
    assert (tmp_path / "one" / ".env").stat().st_mode & 0o077 == 0


def test_a_file_that_differs_is_replaced_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And then nothing is written at all."""
    changed = tmp_path / COMPOSE
    changed.write_text("services: {}")
    assert main(["stack", "init", str(tmp_path)]) == Exit.WRONG
    said = capsys.readouterr()
    assert "--force" in said.err
    assert said.out == ""
    assert written(tmp_path) == {COMPOSE}
    assert main(["stack", "init", str(tmp_path), "--force"]) == Exit.DONE
    assert changed.read_text() == (REPOSITORY / COMPOSE).read_text()


@pytest.mark.parametrize("arguments", [[], ["--force"]], ids=["plain", "force"])
def test_what_is_the_users_is_never_touched(tmp_path: Path, arguments: list[str]) -> None:
    """Neither their layer, nor where alerts go, nor the password; and they are in nobody's way."""
    assert main(["stack", "init", str(tmp_path)]) == Exit.DONE
    theirs = [tmp_path / each for each in (*THEIRS, ".env")]
    for path in theirs:
        path.write_text("mine")
    assert main(["stack", "init", str(tmp_path), *arguments]) == Exit.DONE
    assert [path.read_text() for path in theirs] == ["mine"] * 3


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file is in its place."""
    (tmp_path / "file").write_text("")
    assert main(["stack", "init", str(tmp_path / "file")]) == Exit.WRONG
    assert "otel-progress: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["stack", "init"], ["docker compose up", "user-layer.yaml", "contact-points.yaml", ".env", "--force", "DIR"]),
        (["dashboards", "export"], ["Import", "recording rules", "--force", "DIR"]),
        (["rules", "export"], ["recording_rules.yaml", "provisioning/alerting", "--grafana-url", "DIR"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_says_what_is_written_and_where_it_goes(
    command: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Enough to use the command without the documents."""
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = capsys.readouterr().out
    assert [word for word in words if word not in said] == []
