"""The public API: what `fo1_data` exports, lazily, and the examples of its page, run on the bundled model."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fo1_data
from fo1_data import errors
from fo1_data.config import load_run
from fo1_data.runs.in_process import run_in_process
from fo1_data.synthetic.gold import write_scenes

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
TRAINING_PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", fo1_data.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    pytest.importorskip("torch")
    exported = getattr(fo1_data, name)
    assert exported.__name__ == name
    assert exported.__doc__ or hasattr(errors, name)
    assert re.search(rf"^::: [\w.]+\.{name}$", PAGE, re.MULTILINE) or hasattr(errors, name)


def test_all_errors_are_exported_and_no_other_name_is() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    exceptions = {name for name in kinds if issubclass(getattr(errors, name), Exception)}
    assert len(exceptions) > 10
    assert exceptions <= set(fo1_data.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Fo2Engine'"):
        _ = fo1_data.Fo2Engine


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, fo1_data; print(*[name for name in sys.modules if name.startswith('fo1_data.')])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == []


def test_the_examples_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_scenes(tmp_path / "demo" / "corpus", count=4, seed=70000, num_objects=(2, 4))
    settings = {"corpus": str(tmp_path / "demo/corpus"), "out": str(tmp_path / "demo/dataset")}
    run_in_process(load_run(None, {**settings, "labels": "brief_caption", "test_share": 0}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    examples = re.findall(r"```python\n(.*?)```", PAGE + TRAINING_PAGE, re.DOTALL)
    assert len(examples) == 6
    command = [sys.executable, "-c", "\n".join(examples)]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr[-2000:]
    assert "decode not_an_image" in process.stdout
