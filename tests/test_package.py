"""The wheel is whole: installed into an empty environment it labels a corpus from any folder."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("schemas", "fo1_data", "actors", "services")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _run(command: list[str], folder: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"OMP_NUM_THREADS": "1", "FO1_HOME": str(folder / "home")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy of the sources, so that nothing is left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel('dist')"
    _run([sys.executable, "-W", "ignore", "-c", build], folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def fo1(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fo1` of an empty environment that holds the wheel, and sees the packages it depends on here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (installed,) = (Path(path) for path in sys.path if path.endswith("site-packages"))
    (packages,) = (folder / "lib").glob("python*/site-packages")
    # A path of its own: lines of the .pth files in it, such as that of an editable fo1-data, are not read.
    (packages / "dependencies.pth").write_text(f"{installed}\n", encoding="utf-8")
    installer = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    _run([*installer, "--no-deps", "--no-index", "--ignore-installed", str(wheel)], folder)
    return folder / "bin" / "fo1"


def test_every_file_of_the_packages_is_in_it_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not listed:
        pytest.skip("the sources are not a git clone")
    present = {name for name in listed if (ROOT / name).exists()}
    assert present <= names, sorted(present - names)
    assert {name.split("/")[0] for name in names} == set(PACKAGES)


def test_it_labels_a_corpus_without_the_repository(fo1: Path, tmp_path: Path) -> None:
    place = "import fo1_data, services; print(fo1_data.__file__, services.__file__)"
    assert str(ROOT) not in _run([str(fo1.parent / "python"), "-c", place], tmp_path)
    assert VERSION in _run([str(fo1), "--version"], tmp_path)
    _run([str(fo1), "scenes", "--count", "2", "--seed", "1", "--out", "corpus"], tmp_path)
    _run([str(fo1), "label", "corpus", "--out", "dataset", "--address", "in-process"], tmp_path)
    _run([str(fo1), "dataset", "validate", "dataset"], tmp_path)
    _run([str(fo1), "report", "dataset", "--out", "report.html"], tmp_path)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    keys = _run([str(fo1), "keys", "create", "--scope", "read", "--json"], tmp_path)  # migrates a database
    assert '"key"' in keys
