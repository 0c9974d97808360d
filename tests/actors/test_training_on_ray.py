"""Training on Ray Train: two workers, one of them lost on the way, and the losses of an undisturbed run."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from actors.training import TEST_KILL_AT, _errors_for_the_driver, _train_worker, _worker_error, train_on_ray
from fo1_data.dataset.versions.lineage import trace
from fo1_data.errors import ConfigError, StorageError
from fo1_data.model.checkpoint_folder import find_checkpoint
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.events import Event, StepDone
from fo1_data.training.run import train
from fo1_data.training.settings import TrainConfig

CONFIG = TrainConfig(
    steps=3, batch_images=2, questions_per_image=3, warmup_steps=0, decay_share=0, save_every=1, threads=1,
    device="cpu",
)  # fmt: skip


def losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "losses.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.usefixtures("ray_here")
@pytest.mark.timeout(600)
def test_a_lost_worker_costs_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scenes = write_scenes(tmp_path / "scenes", 3, 70, (3, 4)).relative_to(tmp_path)
    shutil.copytree(find_checkpoint("fo1-tiny"), "start")
    train([str(scenes)], 1, "start", Path("alone"), CONFIG)
    monkeypatch.setenv(TEST_KILL_AT, "2")
    reported: list[Event] = []
    report = train_on_ray(
        [str(scenes)],
        1,
        "start",
        Path("ray"),
        CONFIG,
        workers=2,
        watch=reported.append,
    )
    steps = {event.step: event.loss for event in reported if isinstance(event, StepDone)}
    assert steps == dict(enumerate(losses(tmp_path / "ray"), start=1))
    assert report["workers"] == 2
    assert report["resumed"]
    assert losses(tmp_path / "ray") == pytest.approx(losses(tmp_path / "alone"), abs=2e-5)
    assert not (tmp_path / "ray" / ".ray").exists()
    monkeypatch.chdir("/")
    for name in ("alone", "ray"):
        assert trace(str(tmp_path / name), with_images=True)["num_images"] == 3


@pytest.mark.usefixtures("ray_here")
@pytest.mark.timeout(300)
def test_the_command_tells_of_each_step_and_of_a_run_that_is_done_already(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 2, 70, (3, 4))
    quick = tmp_path / "quick.toml"
    quick.write_text('batch_images = 1\nquestions_per_image = 2\ndevice = "cpu"\n')
    command = [
        *(sys.executable, "-c", "from fo1_data.cli.main import main; main()"),
        *("train", str(scenes), "--stage", "1", "--steps", "2", "--config", str(quick), "--workers", "1"),
        *("--out", str(tmp_path / "out")),
    ]
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    first, again = (
        subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        for _ in range(2)
    )
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    first_loss, second_loss = losses(tmp_path / "out")
    for step, loss in enumerate((first_loss, second_loss), start=1):
        assert f"step {step} of 2: loss {loss:.4f}, " in first.stderr
    assert first.stdout == f"{tmp_path}/out: 2 steps, last loss {second_loss:.4f}\n"
    assert again.stdout == f"{tmp_path}/out: nothing left to do: 2 steps done already\n"


def test_what_the_user_must_mend_reaches_the_driver_and_is_not_tried_again(tmp_path: Path) -> None:
    assert _worker_error(tmp_path) is None
    with pytest.raises(ConfigError), _errors_for_the_driver(tmp_path):
        raise ConfigError("name a new --out")
    error = _worker_error(tmp_path)
    assert isinstance(error, ConfigError)
    assert str(error) == "name a new --out"
    # A worker that is started again has nothing to do: nothing of its settings is even looked at.
    _train_worker({"out": str(tmp_path)})


def test_an_error_that_was_cut_off_while_it_was_written_is_no_error(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))  # bytes of a file, the rest cannot be written
        with pytest.raises((OSError, StorageError)), _errors_for_the_driver(tmp_path):
            raise ConfigError("name a new --out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert _worker_error(tmp_path) is None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["train", "label"])
def test_a_stop_while_ray_starts_is_told(tmp_path: Path, command: str) -> None:
    scenes = write_scenes(tmp_path / "scenes", 2, 70, (3, 4))
    options = ["--stage", "1", "--workers", "1"] if command == "train" else ["--labels", "brief_caption"]
    line = [*(sys.executable, "-c", "from fo1_data.cli.main import main; main()"), command, str(scenes)]
    line += [*options, "--out", str(tmp_path / "out")]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        announced = "loading fo1-tiny" if command == "train" else "starting a local Ray"
        while announced not in (told := process.stderr.readline()):
            assert told, "it ended before Ray was started"
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 143
    assert "fo1: stopped" in rest
    assert "Traceback" not in rest
