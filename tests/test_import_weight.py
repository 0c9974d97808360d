"""Modules that must start quickly import no torch, transformers or Ray, and labelling only what it uses."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "torchvision", "ray", "datasets", "sklearn")
UNUSED = ("transformers", "torchvision", "torch._dynamo", "torch._inductor", "sympy", "scipy")
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


def test_answering_a_question_imports_no_part_of_torch_or_transformers_that_it_does_not_use() -> None:
    """transformers costs 2 s of processor time, torch's compiler one more."""
    code = f"""if True:
        import sys
        import numpy as np
        from PIL import Image
        from fo1_data.model.checkpoint import load_checkpoint
        from fo1_data.model.engine.engine import Fo1Engine
        from fo1_data.model.engine.questions import Question
        from fo1_data.proposals.tiny_detector import load_tiny_detector

        load_tiny_detector()
        engine = Fo1Engine(load_checkpoint("fo1-tiny"))
        (image,) = engine.open([(Image.new("RGB", (64, 64)), np.array([[0.0, 0, 9, 9]]))])
        engine.ask([Question(image, "What is <region0>?", max_new_tokens=2)])
        print(*[name for name in {UNUSED!r} if name in sys.modules])
    """
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == []
