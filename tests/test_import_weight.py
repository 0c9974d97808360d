"""Modules that must start quickly import neither torch nor transformers nor Ray."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "torchvision", "ray", "datasets", "sklearn")
LIGHT = (
    *sorted(f"schemas.{path.stem}" for path in (ROOT / "schemas").glob("[!_]*.py")),
    "fo1_data.cli.main",
    "fo1_data.config",
    "fo1_data.corpus.readers",
    "fo1_data.dataset.writer",
    "fo1_data.runs.shard_labeller",
    "fo1_data.training.settings",
    "services.app",
)


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == []
