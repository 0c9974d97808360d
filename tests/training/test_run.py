"""A run as a person steers it: measurements, the best checkpoint, patience, stops, and going on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.dataset.versions.lineage import trace
from fo1_data.errors import ConfigError, RunError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.events import Event, Measured, StepDone
from fo1_data.training.loggers import refuse_missing_loggers
from fo1_data.training.run import train
from fo1_data.training.run_folder import write_settings
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.held_out import open_sources
from fo1_data.training.samples.open_examples import TrainingExample
from fo1_data.training.samples.source import ExampleSource, open_source
from fo1_data.training.settings import LoggerName, TrainConfig, load_train_config

CONFIG = TrainConfig(
    steps=4, batch_images=2, questions_per_image=14, warmup_steps=0, decay_share=0, validate_every=2,
    measured_images=2, validation_share=0.2, threads=1, device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 16, 70, (3, 5)))


@pytest.fixture(scope="module")
def whole(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[Event]]:
    out, events = tmp_path_factory.mktemp("runs") / "whole", list[Event]()
    return out, train([scenes], 2, "fo1-tiny", out, CONFIG, events.append), events


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_a_run_is_measured_before_at_intervals_and_after(
    whole: tuple[Path, dict[str, Any], list[Event]],
) -> None:
    out, report, events = whole
    measured = [line for line in log_of(out) if "training" in line]
    assert [line["step"] for line in measured] == [0, 2, 4]
    assert {"loss", "accuracy", "guess", "questions"} <= set(measured[0]["validation"])
    assert set(measured[0]["validation"]["accuracy"]) >= {"caption", "phrase", "absent", "count"}
    assert [event.step for event in events if isinstance(event, Measured)] == [0, 2, 4]
    assert [event.step for event in events if isinstance(event, StepDone)] == [1, 2, 3, 4]
    accuracy = [sum(line["validation"]["accuracy"].values()) for line in measured]
    assert report["best"]["step"] in {
        measured[i]["step"] for i, a in enumerate(accuracy) if a == max(accuracy)
    }


def test_the_best_checkpoint_loads_and_is_traced_to_its_images(
    whole: tuple[Path, dict[str, Any], list[Event]],
) -> None:
    out, report, _ = whole
    assert report["best"]["checkpoint"] == str(out / "best")
    load_checkpoint(str(out / "best"))
    assert trace(str(out / "best"))["num_images"] == trace(str(out))["num_images"]


def test_tensorboard_shows_the_figures_of_the_log(whole: tuple[Path, dict[str, Any], list[Event]]) -> None:
    out, _, _ = whole
    shown = EventAccumulator(str(out / "tensorboard")).Reload()
    losses = [line["loss"] for line in log_of(out) if "loss" in line]
    assert [point.value for point in shown.Scalars("loss")] == pytest.approx(losses, rel=1e-6)
    captions = [point.step for point in shown.Scalars("validation/accuracy/caption")]
    assert captions == [0, 2, 4]


def test_a_stopped_run_is_saved_and_resumed_as_if_undisturbed(
    scenes: str, whole: tuple[Path, dict[str, Any], list[Event]], tmp_path: Path
) -> None:
    out, config = tmp_path / "out", CONFIG.model_copy(update={"save_every": 100})
    done: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, StepDone):
            done.append(event.step)

    report = train(
        [scenes],
        2,
        "fo1-tiny",
        out,
        config,
        count,
        stop_requested=lambda: "SIGTERM" if len(done) == 3 else None,
    )
    assert (report["steps"], report["stopped"]) == (3, "SIGTERM")
    report = train([scenes], 2, "fo1-tiny", out, config)
    assert (report["steps"], report["stopped"], report["resumed"]) == (4, None, True)
    assert report["best"]["step"] == whole[1]["best"]["step"]
    for name in ("losses.jsonl", "model.safetensors", "best/model.safetensors"):
        assert (out / name).read_bytes() == (whole[0] / name).read_bytes(), name


def test_a_run_goes_on_from_the_state_of_another(
    scenes: str, whole: tuple[Path, dict[str, Any], list[Event]], tmp_path: Path
) -> None:
    longer = CONFIG.model_copy(update={"steps": 6})
    report = train([scenes], 2, "fo1-tiny", tmp_path / "on", longer, resume_from=whole[0])
    assert (report["steps"], report["resumed"]) == (6, False)
    assert [line["step"] for line in log_of(tmp_path / "on") if "loss" in line] == [5, 6]
    assert trace(str(tmp_path / "on"))["model"] == str(whole[0])
    with pytest.raises(ConfigError, match="holds no state of a run"):
        train([scenes], 2, "fo1-tiny", tmp_path / "other", longer, resume_from=tmp_path)


def test_a_run_without_progress_loses_patience(scenes: str, tmp_path: Path) -> None:
    still = CONFIG.model_copy(
        update={"learning_rate": 1e-12, "steps": 20, "validate_every": 1, "patience": 2}
    )
    report = train([scenes], 1, "fo1-tiny", tmp_path / "out", still)
    assert report["stopped"] == "patience"
    assert report["steps"] <= 4
    few = write_scenes(tmp_path / "few", 2, 70, (3, 4))
    with pytest.raises(ConfigError, match="patience needs validation images"):
        train([str(few)], 1, "fo1-tiny", tmp_path / "no", still)


def test_a_validation_image_found_among_the_training_images_is_not_trained_on(
    scenes: str, tmp_path: Path
) -> None:
    """By content: the copies lie elsewhere."""
    copies = tmp_path / "copies.jsonl"
    lines = [json.loads(line) for line in Path(scenes).read_text().splitlines()]
    for line in lines:
        line["image"] = str(Path(scenes).parent / line["image"])
    copies.write_text("".join(json.dumps(line) + "\n" for line in lines[:12]))
    config = CONFIG.model_copy(update={"measured_images": 12, "steps": 1, "batch_images": 16})
    report = train([scenes], 1, "fo1-tiny", tmp_path / "out", config, validation=[str(copies)])
    assert report["left_out"] == 12
    assert report["images"] == 16
    again = train([scenes], 1, "fo1-tiny", tmp_path / "out", config, validation=[str(copies)])
    assert (again["resumed"], again["left_out"]) == (True, 12), "also what was met before the run was resumed"


def test_a_step_without_an_image_that_can_be_read_is_a_step(tmp_path: Path) -> None:
    corpus = write_scenes(tmp_path / "corpus", 3, 70, (3, 4))
    config = CONFIG.model_copy(
        update={"steps": 2, "batch_images": 1, "validation_share": 0, "measured_images": 0}
    )
    source, _ = open_sources([str(corpus)], [], config)
    (corpus.parent / str(source.at(0).entry.uri)).write_bytes(b"no image")
    report = train([str(corpus)], 1, "fo1-tiny", tmp_path / "out", config)
    assert report["steps"] == 2
    first, second = log_of(tmp_path / "out")
    assert (first["loss"], first["gradient_norm"]) == (0, 0)
    assert second["gradient_norm"] > 0
    assert (first["unusable_images"], "unusable_images" in second) == (1, False)


class CountedSource(ExampleSource):
    """A source that counts how often its images are taken."""

    num_taken = 0

    def at(self, place: int) -> TrainingExample:
        self.num_taken += 1
        return super().at(place)


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_run_that_nothing_can_be_asked_looks_at_each_image_once(is_readable: bool, tmp_path: Path) -> None:
    corpus = write_scenes(tmp_path / "corpus", 5, 70, (3, 4))
    lines = [json.loads(line) for line in corpus.read_text().splitlines()]
    bare = [{"image": line["image"], "regions": [{"box_xyxy": [1, 1, 9, 9]}]} for line in lines]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in bare))
    if not is_readable:
        for line in lines:
            (corpus.parent / line["image"]).write_bytes(b"no image")
    source = CountedSource(open_source([str(corpus)]).groups)
    config = CONFIG.model_copy(update={"batch_images": 2})
    told = r"the first not read: .*: not_an_image" if not is_readable else "no image has labels to ask about"
    with pytest.raises(RunError, match=told):
        Batches(source, load_checkpoint("fo1-tiny"), config).of_step(0)
    num_of_step, num_again = 2, len(lines)
    num_named = 3 if not is_readable else 0
    assert source.num_taken == num_of_step + num_again + num_named


def test_images_that_cannot_be_used_are_counted_to_the_end_of_the_run(tmp_path: Path) -> None:
    corpus = write_scenes(tmp_path / "corpus", 6, 70, (3, 4))
    names = [json.loads(line)["image"] for line in corpus.read_text().splitlines()]
    whole = {name: (corpus.parent / name).read_bytes() for name in (names[1], names[4])}
    (corpus.parent / names[1]).write_bytes(b"no image")
    (corpus.parent / names[4]).unlink()
    options: dict[str, float] = {"steps": 3, "batch_images": 6, "validation_share": 0, "measured_images": 0}
    options |= {"threads": 1, "questions_per_image": 4, "warmup_steps": 0, "learning_rate": 1e-3}
    (tmp_path / "settings.toml").write_text("".join(f"{name} = {value}\n" for name, value in options.items()))
    command = ["train", str(corpus), "--stage", "1", "--out", str(tmp_path / "out")]
    command += ["--config", str(tmp_path / "settings.toml")]
    ended = CliRunner().invoke(app, command, catch_exceptions=False)
    (line,) = ended.stdout.splitlines()
    assert "2 training images could not be used (1 x " in line
    assert names[1] in line
    assert names[4] in line
    assert [step["unusable_images"] for step in log_of(tmp_path / "out")] == [2, 2, 2]
    for name, content in whole.items():
        (corpus.parent / name).write_bytes(content)
    again = CliRunner().invoke(app, [*command, "--steps", "4", "--json"], catch_exceptions=False)
    report = json.loads(again.stdout)
    assert "unusable_images" not in log_of(tmp_path / "out")[-1]
    assert report["resumed"]
    assert sorted(report["unusable"].values()) == [1, 1], "also what was met before the run was resumed"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGINT, []), (signal.SIGTERM, []), (signal.SIGTERM, ["--workers", "2"])],
    ids=["SIGINT", "SIGTERM", "SIGTERM on Ray"],
)
def test_a_signal_saves_and_says_where_the_run_stopped(
    scenes: str, tmp_path: Path, number: signal.Signals, options: list[str]
) -> None:
    settings, out = tmp_path / "t.toml", tmp_path / "out"
    settings.write_text(
        'batch_images = 1\nquestions_per_image = 2\nmeasured_images = 0\ndevice = "cpu"\nthreads = 1\n'
        "learning_rate = 1e-4\n"
    )
    command = [
        *(sys.executable, "-c", "from fo1_data.cli.main import main; main()"),
        *("train", scenes, "--stage", "1", "--steps", "100000", "--config", str(settings), "--out", str(out)),
        *options,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        while "step 1 of" not in (line := process.stderr.readline()):
            assert line, "it ended before its first step"
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 128 + number
    steps = len(log_of(out))
    assert f"fo1: stopped at step {steps}, saved in {out}; run the same command again to resume" in rest
    report = train([scenes], 1, "fo1-tiny", out, load_train_config(str(settings), steps))
    assert (report["resumed"], report["last_loss"]) == (True, None)


def test_epochs_set_the_steps(scenes: str, tmp_path: Path) -> None:
    config = load_train_config(None, epochs=0.5).model_copy(
        update={"batch_images": 2, "measured_images": 0, "questions_per_image": 2, "validation_share": 0}
    )
    assert train([scenes], 1, "fo1-tiny", tmp_path / "out", config)["steps"] == 4
    with pytest.raises(ConfigError, match="--steps and --epochs"):
        load_train_config(None, steps=3, epochs=1)


def test_a_logger_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ConfigError, match="wandb is not installed"):
        refuse_missing_loggers([LoggerName.WANDB])


def test_the_same_command_goes_on_with_a_run_that_began_from_another(
    scenes: str, whole: tuple[Path, dict[str, Any], list[Event]], tmp_path: Path
) -> None:
    longer = CONFIG.model_copy(update={"steps": 6, "learning_rate": 1e-3})
    train([scenes], 2, "fo1-tiny", tmp_path / "at once", longer, resume_from=whole[0])
    for stop in (lambda: "SIGTERM", lambda: None):
        report = train(
            [scenes], 2, "fo1-tiny", tmp_path / "on", longer, resume_from=whole[0], stop_requested=stop
        )
    assert (report["steps"], report["resumed"]) == (6, True)
    assert (tmp_path / "on" / "model.safetensors").read_bytes() == (
        tmp_path / "at once" / "model.safetensors"
    ).read_bytes()
    with pytest.raises(ConfigError, match=r"--resume-from .*trained other weights.*--model"):
        train([scenes], 1, "fo1-tiny", tmp_path / "stage", longer, resume_from=whole[0])


def test_a_run_that_goes_on_keeps_the_learning_rate_that_was_found(scenes: str, tmp_path: Path) -> None:
    """In the same folder with so few steps that no search is worth it, and in a new one."""
    found = tmp_path / "found"
    rate = {"learning_rate": 3e-3}
    train([scenes], 1, "fo1-tiny", found, CONFIG.model_copy(update={"steps": 1, **rate}))
    longer = TrainConfig.model_validate({**CONFIG.model_dump(exclude_unset=True), "steps": 2})
    train([scenes], 1, "fo1-tiny", tmp_path / "new", longer, resume_from=found)
    train([scenes], 1, "fo1-tiny", found, longer)
    for out in (found, tmp_path / "new"):
        assert json.loads((out / "training.json").read_text())["learning_rate"] == rate["learning_rate"]
        assert [line["learning_rate"] for line in log_of(out) if "loss" in line][-1] == rate["learning_rate"]


def test_a_resumed_run_may_change_what_does_not_change_its_steps(tmp_path: Path) -> None:
    """So a full disk needs no new run. The rate may be set in place of the one that was found."""
    write_settings(tmp_path, 2, TrainConfig(find_learning_rate=True), resumes=False)
    other = TrainConfig(find_learning_rate=False, feature_cache_gib=0, keep_apart=True, lora_rank=4)
    with pytest.raises(ConfigError, match="started with lora_rank 0, not 4"):
        write_settings(tmp_path, 2, other, resumes=True)
    write_settings(tmp_path, 2, other.model_copy(update={"lora_rank": 0}), resumes=True)
    with pytest.raises(ConfigError, match="setting epochs of training: Input should be a finite number"):
        load_train_config(None, epochs=float("inf"))
