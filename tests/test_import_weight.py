"""Modules that must start quickly import no torch, transformers or Ray, and labelling only what it uses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from factories import make_dataset

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "torchvision", "ray", "datasets", "sklearn")
UNUSED = ("pandas", "transformers", "torchvision", "torch._dynamo", "torch._inductor", "sympy", "scipy")
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


# Runs `fo1`, and then prints its processor seconds and its modules.
REPORTING = """if True:
    import atexit, json, sys, time
    atexit.register(lambda: print(json.dumps([time.process_time(), list(sys.modules)]), file=sys.stderr))
    from fo1_data.cli.main import main
    main()
"""
# What `fo1 --help` shows needs none of these: numbers, tables, a database, a server, images.
NOT_FOR_HELP = (*HEAVY, "pandas", "numpy", "pyarrow", "sqlalchemy", "fastapi", "PIL")


def _run_command(*arguments: str) -> tuple[float, list[str]]:
    """The processor seconds of a command up to its end, and the modules it imported."""
    command = [sys.executable, "-c", REPORTING, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds, modules = json.loads(process.stderr.splitlines()[-1])
    return seconds, modules


def test_help_starts_in_a_breath() -> None:
    """0.33 s of processor time on a machine of 2.5 GHz; the bound leaves room for a slower one."""
    seconds, modules = _run_command("--help")
    assert [name for name in NOT_FOR_HELP if name in modules] == []
    assert seconds < 1.2


@pytest.mark.parametrize("command", ["info", "validate"])
def test_reading_a_dataset_imports_neither_torch_nor_pandas(command: str, tmp_path: Path) -> None:
    make_dataset(tmp_path / "out")
    _, modules = _run_command("dataset", command, str(tmp_path / "out"))
    assert [name for name in (*HEAVY, "pandas") if name in modules] == []


def test_a_service_that_answers_has_imported_neither_torch_nor_pandas(tmp_path: Path) -> None:
    environment = {**os.environ, "FO1_HOME": str(tmp_path), "FO1_PORT": "0"}
    command = [sys.executable, "-c", REPORTING, "serve", "--json"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
            assert client.get(f"{url}/healthz", timeout=60).is_success
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    _, modules = json.loads(errors.splitlines()[-1])
    assert "services.app" in modules
    assert [name for name in (*HEAVY, "pandas") if name in modules] == []


def test_answering_a_question_imports_no_part_of_torch_or_transformers_that_it_does_not_use() -> None:
    """transformers costs 2 s of processor time, torch's compiler one more."""
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(ROOT / "tests")!r})
        import numpy as np
        from factories import make_row
        from PIL import Image
        from fo1_data.dataset.parquet_files import encode_rows
        from fo1_data.model.checkpoint import load_checkpoint
        from fo1_data.model.engine.engine import Fo1Engine
        from fo1_data.model.engine.questions import Question
        from fo1_data.proposals.tiny_detector import load_tiny_detector

        load_tiny_detector()
        engine = Fo1Engine(load_checkpoint("fo1-tiny"))
        (image,) = engine.open([(Image.new("RGB", (64, 64)), np.array([[0.0, 0, 9, 9]]))])
        engine.ask([Question(image, "What is <region0>?", max_new_tokens=2)])
        encode_rows([make_row()])
        print(*[name for name in {UNUSED!r} if name in sys.modules])
    """
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == []
