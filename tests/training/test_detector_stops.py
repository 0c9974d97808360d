"""A training of the detector that was stopped or lost goes on where it was, and gives the same weights."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fo1_data.errors import CheckpointError, ConfigError
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.detection import steps
from fo1_data.training.detection.run import train_detector
from fo1_data.training.detection.settings import DetectorConfig

CONFIG = DetectorConfig(steps=8, batch_images=1, validation_share=0.25, threads=1, device="cpu")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 12, 70, (3, 4)))


@pytest.fixture(scope="module")
def whole(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, train_detector([scenes], out, CONFIG)


def weights_of(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def without(report: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in ("detector", *names)}


@pytest.mark.parametrize("asked", [4, 12])
def test_a_stopped_run_resumes_to_the_weights_of_an_undisturbed_one(
    scenes: str, whole: tuple[Path, dict[str, Any]], tmp_path: Path, asked: int
) -> None:
    """The fourth request comes in the first measurement, the twelfth after some steps."""
    requests = []

    def request() -> str | None:
        requests.append(None)
        return "SIGTERM" if len(requests) >= asked else None

    stopped = train_detector([scenes], tmp_path / "out", CONFIG, stop_requested=request)
    assert stopped["stopped"] == "SIGTERM"
    assert stopped["steps"] < CONFIG.steps
    assert not (tmp_path / "out" / "config.json").exists()
    said: list[str] = []
    ended = train_detector([scenes], tmp_path / "out", CONFIG, say=said.append)
    assert ended["resumed"] == bool(stopped["steps"])
    assert [line for line in said if line.startswith("resuming")] == (
        [f"resuming at step {stopped['steps']} of 8"] if stopped["steps"] else []
    )
    assert without(ended, "resumed") == without(whole[1], "resumed")
    assert weights_of(tmp_path / "out") == weights_of(whole[0])


def test_a_lost_run_resumes_from_what_it_saved(
    scenes: str, whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_SAVE_EVERY", 3)

    def lose(line: str) -> None:
        if line.startswith("step 5 "):
            raise OSError("power is off")

    with pytest.raises(OSError, match="power"):
        train_detector([scenes], tmp_path / "out", CONFIG, say=lose)
    said: list[str] = []
    ended = train_detector([scenes], tmp_path / "out", CONFIG, say=said.append)
    assert "resuming at step 3 of 8" in said
    assert without(ended, "resumed") == without(whole[1], "resumed")
    assert weights_of(tmp_path / "out") == weights_of(whole[0])


def test_a_stop_while_it_tests_loses_no_step(scenes: str, tmp_path: Path) -> None:
    test = str(write_scenes(tmp_path / "test", 3, 7_000, (3, 4)))
    said: list[str] = []

    def request() -> str | None:
        return "SIGINT" if any(line.startswith("measuring") for line in said) else None

    out = tmp_path / "out"
    short = DetectorConfig(steps=1, batch_images=1, threads=1, device="cpu")
    stopped = train_detector([scenes], out, short, test=[test], say=said.append, stop_requested=request)
    assert (stopped["steps"], stopped["stopped"], stopped["test"]) == (1, "SIGINT", None)
    ended = train_detector([scenes], out, short, test=[test])
    assert (ended["resumed"], ended["stopped"]) == (True, None)
    assert ended["test"]["boxes"] == ended["test_before"]["boxes"] > 0


def test_a_new_run_goes_on_from_another_one(scenes: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    short = replace(CONFIG, steps=3)
    done = train_detector([scenes], first, short)
    with pytest.raises(ConfigError, match="has made 3 steps: give more than that by --steps"):
        train_detector([scenes], second, short, resume_from=first)
    said: list[str] = []
    gone_on = train_detector([scenes], second, replace(CONFIG, steps=5), say=said.append, resume_from=first)
    assert "resuming at step 3 of 5" in said
    assert (gone_on["steps"], gone_on["resumed"]) == (5, False)
    last = next(line for line in said if line.startswith("step 3 of 5: finds"))
    assert f"of {done['best']['boxes']} boxes" in last, "measured anew, before the first step"
    assert json.loads((second / "config.json").read_text())["base"] == str(first)
    again = train_detector([scenes], second, replace(CONFIG, steps=5), resume_from=first)
    assert (again["steps"], again["resumed"]) == (5, True)
    with pytest.raises(ConfigError, match="holds no state of a run of train-detector"):
        train_detector([scenes], tmp_path / "third", CONFIG, resume_from=tmp_path)


def test_a_run_of_other_data_or_settings_is_refused_and_so_is_a_damaged_state(
    scenes: str, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"was started with learning_rate 0\.001, not 0\.01"):
        train_detector([scenes], whole[0], DetectorConfig(**{**vars(CONFIG), "learning_rate": 0.01}))
    other = str(write_scenes(tmp_path / "other", 12, 99, (3, 4)))
    with pytest.raises(ConfigError, match="was started with data "):
        train_detector([other], whole[0], CONFIG)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "training.pt").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="is damaged .*: delete it to start again"):
        train_detector([scenes], tmp_path / "out", CONFIG)


def test_a_signal_ends_the_command_saved(scenes: str, tmp_path: Path) -> None:
    arguments = {"out": tmp_path / "out", "steps": 4_000, "batch-images": 1, "threads": 1, "device": "cpu"}
    words = [str(word) for name, value in arguments.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-c", "from fo1_data.cli.main import main; main()", "train-detector", scenes]
    with subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        next(line for line in lines if line.startswith("step 0 of 4000"))
        process.send_signal(signal.SIGTERM)
        last = list(lines)[-1]
    assert process.returncode == 143
    assert last.startswith(("fo1: stopped at step ", "fo1: stopped before the first step"))
    assert not (tmp_path / "out" / "config.json").exists()
