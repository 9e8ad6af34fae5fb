"""What is built is complete, asks for no more than it says, and works where the source tree is not."""

from __future__ import annotations

import email.message
import email.parser
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.environments import REPOSITORY, environment, pip, run

HERE = Path(__file__).parent
SDK = "opentelemetry-sdk"
OTLP = "opentelemetry-exporter-otlp-proto-http"
ABSENT = {
    "": {SDK, OTLP, "prometheus-client", "rich"},
    "sdk": {OTLP, "prometheus-client", "rich"},
    "otlp": {"prometheus-client", "rich"},
    "prometheus": {OTLP, "rich"},
    "cli": {SDK, OTLP, "prometheus-client"},
    "instrument": {OTLP, "prometheus-client", "rich"},
    "all": set[str](),
}
"""For each extra, what it must not bring."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """The wheel."""
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> email.message.Message:
    """The wheel's core metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.parser.BytesParser().parsebytes(archive.read(name))


def test_wheel_holds_the_package_and_the_files_of_the_stack_and_nothing_else(wheel: Path) -> None:
    """Every file of the package, `py.typed` included, and of collector/ and the generated dashboards; tests are not."""
    package = {str(path.relative_to(REPOSITORY)) for path in _files(REPOSITORY / "otel_progress")}
    collector = [*(REPOSITORY / "collector").glob("*.*"), *(REPOSITORY / "collector" / "grafana").iterdir()]
    shipped = [path for path in collector if path.suffix in {".md", ".yaml"}]
    shipped += [REPOSITORY / "docker-compose.yml", *(REPOSITORY / "dashboards" / "generated").glob("*/*")]
    bundled = {f"otel_progress/_bundle/{path.relative_to(REPOSITORY).as_posix()}" for path in shipped}
    assert len(bundled) > 20
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == package | bundled
    assert "otel_progress/py.typed" in names


def test_the_installed_wheel_writes_a_stack_whose_files_are_all_there(wheel: Path, tmp_path: Path) -> None:
    """Whatever docker-compose.yml mounts, and prometheus.yaml loads, is in the folder; nothing leads out of it."""
    python = environment("wheel-api", Path(sys.executable))
    pip(python, "uninstall", "--quiet", "--yes", "otel-progress")
    pip(python, "install", "--quiet", "--no-compile", wheel)
    folder = tmp_path / "stack"
    run(python, "-I", "-m", "otel_progress.cli", "stack", "init", folder, cwd=tmp_path)
    text = (folder / "docker-compose.yml").read_text()
    mounted = re.findall(r"(\./[\w./-]+):/", text)
    assert len(mounted) > 10
    assert [each for each in mounted if not (folder / each).exists()] == []
    configs = re.findall(r"/etc/progress/(collector/[\w./-]+\.yaml)", text)
    assert len(configs) > 6
    assert [each for each in configs if not (folder / each).is_file()] == []
    rules = re.findall(r"^  - (\S+_rules\.yaml)$", (folder / "collector" / "prometheus.yaml").read_text(), re.MULTILINE)
    assert len(rules) == 2
    assert [each for each in rules if not (folder / "collector" / each).resolve(strict=True).is_file()] == []


def test_wheel_carries_the_licence(wheel: Path, metadata: email.message.Message) -> None:
    """As an SPDX expression, and as text."""
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(name) == (REPOSITORY / "LICENSE").read_bytes()


def test_the_api_of_opentelemetry_is_the_only_thing_a_plain_install_brings(metadata: email.message.Message) -> None:
    """Everything else belongs to an extra."""
    required = metadata.get_all("Requires-Dist") or []
    plain = [each for each in required if "extra ==" not in each]
    assert [each.split("<")[0].split(">")[0] for each in plain] == ["opentelemetry-api"]
    assert set(metadata.get_all("Provides-Extra") or []) == {*("sdk", "otlp", "prometheus", "cli", "instrument", "all")}


def test_source_archive_holds_what_it_takes_to_build_and_test(built: Path) -> None:
    """The package, its tests and documents; no environment, cache or workflow of this folder."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"pyproject.toml", "Makefile", "README.md", "LICENSE", "CHANGELOG.md", "docs/telemetry.md"} <= names
    assert {str(path.relative_to(REPOSITORY)) for path in _files(REPOSITORY / "tests")} <= names
    unwanted = (".venv", ".ci", ".github", "dist/")
    assert not [name for name in names if name.startswith(unwanted) or "__pycache__" in name]


@pytest.mark.parametrize("extra", ABSENT, ids=lambda extra: extra or "api_only")
def test_wheel_works_with_each_extra_alone(extra: str, wheel: Path, tmp_path: Path) -> None:
    """Installed into an environment of its own, the smoke test runs away from the source tree."""
    name = extra or "api"
    python = environment(f"wheel-{name}", Path(sys.executable))
    pip(python, "uninstall", "--quiet", "--yes", "otel-progress")
    pip(python, "install", "--quiet", "--no-compile", f"{wheel}[{extra}]" if extra else wheel)
    pip(python, "check")
    assert _distributions(python) & ABSENT[extra] == set()
    shutil.copy(HERE / f"smoke_{name}.py", tmp_path / "smoke.py")
    # -I: neither the current folder, nor the script's, nor the user's packages can be imported.
    done = run(python, "-I", "smoke.py", cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["ok"], done.stdout


def _distributions(python: Path) -> set[str]:
    program = "from importlib.metadata import distributions; print(*(each.name for each in distributions()))"
    return {name.replace("_", "-") for name in run(python, "-I", "-c", program).stdout.split()}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
