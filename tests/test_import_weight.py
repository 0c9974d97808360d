"""What must start quickly imports neither torch nor transformers nor Ray."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "torchvision", "ray", "datasets", "sklearn")


@pytest.mark.parametrize(
    "module",
    [
        "schemas.jobs",
        "schemas.parquet",
        "fo1_data.cli.main",
        "fo1_data.config",
        "fo1_data.labelling.image_labeller",
        "fo1_data.corpus.readers",
        "fo1_data.dataset.writer",
        "services",
    ],
)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
