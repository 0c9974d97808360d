"""The learning rate that a range test finds."""

import json
from pathlib import Path

import pytest
import torch

from fo1_data.errors import RunError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.events import Event, Notice
from fo1_data.training.rate_finder import chosen_rate, find_learning_rate
from fo1_data.training.run import train
from fo1_data.training.run_folder import load_settings
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import Trainer

CONFIG = TrainConfig(
    steps=2, batch_images=1, questions_per_image=4, measured_images=0, threads=1, device="cpu",
    find_learning_rate=True,
)  # fmt: skip


def test_the_rate_is_a_part_of_that_at_which_the_loss_stops_falling() -> None:
    assert chosen_rate([1e-4, 1e-3, 1e-2, 1e-1], [4.0, 3.5, 2.0, 9.0]) == 2.5e-4
    with pytest.raises(RunError, match="set learning_rate"):
        chosen_rate([1e-4, 1e-3], [1.0, 1.2])


def test_a_long_run_without_a_learning_rate_searches_it() -> None:
    assert TrainConfig(steps=1000).searches_learning_rate
    assert not TrainConfig(steps=100).searches_learning_rate
    assert not TrainConfig(steps=1000, learning_rate=1e-4).searches_learning_rate
    assert not TrainConfig(steps=1000, find_learning_rate=False).searches_learning_rate
    sent = TrainConfig.model_validate(TrainConfig(steps=1000).model_dump(exclude_unset=True))
    assert sent.searches_learning_rate


def test_a_search_can_be_stopped_and_a_run_goes_on_where_it_finds_nothing(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 2, 70, (3, 4))
    report = train(
        [str(scenes)], 1, "fo1-tiny", tmp_path / "stopped", CONFIG, stop_requested=lambda: "SIGINT"
    )
    assert (report["steps"], report["stopped"]) == (0, "SIGINT")
    assert not (tmp_path / "stopped" / "training.pt").exists()
    # The bundled model knows the scenes: no rate lowers the loss.
    events: list[Event] = []
    train([str(scenes)], 1, "fo1-tiny", tmp_path / "asked", CONFIG, events.append)
    (notice,) = [event.text for event in events if isinstance(event, Notice)]
    assert notice.startswith("no learning rate lowers the loss, so the run takes 0.0002: ")
    assert load_settings(tmp_path / "asked")["learning_rate"] == 2e-4
    default = TrainConfig(
        **CONFIG.model_dump(exclude={"find_learning_rate", "steps", "learning_rate"}), steps=400
    )
    begun: list[float] = []

    def stop_later() -> str | None:
        begun.append(0)
        return "SIGINT" if len(begun) > 60 else None

    report = train([str(scenes)], 1, "fo1-tiny", tmp_path / "default", default, stop_requested=stop_later)
    assert report["steps"] > 0
    assert load_settings(tmp_path / "default")["learning_rate"] == 2e-4


def test_a_search_leaves_the_weights_as_they_were_and_a_resumed_run_keeps_its_rate(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 4, 70, (3, 4))
    # Other names than the model knows: there is something to learn.
    lines = [json.loads(line) for line in scenes.read_text().splitlines()]
    for line in lines:
        regions = [{"box_xyxy": region["box_xyxy"], "caption": "a zebra"} for region in line["regions"]]
        line |= {"regions": regions, "phrases": [], "counts": [], "caption": None}
    scenes.write_text("".join(json.dumps(line) + "\n" for line in lines))
    trainer = Trainer(load_checkpoint("fo1-tiny"), 2, CONFIG)
    before = {name: weight.detach().clone() for name, weight in trainer.trained.items()}
    rate = find_learning_rate(trainer, Batches(open_source([str(scenes)]), trainer.checkpoint, CONFIG))
    assert 1e-5 < rate < 2e-2
    assert trainer.step_number == 0
    assert all(torch.equal(before[name], weight) for name, weight in trainer.trained.items())
    train([str(scenes)], 2, "fo1-tiny", tmp_path / "out", CONFIG.model_copy(update={"steps": 1}))
    assert load_settings(tmp_path / "out")["learning_rate"] == rate
    train([str(scenes)], 2, "fo1-tiny", tmp_path / "out", CONFIG)
    assert load_settings(tmp_path / "out")["learning_rate"] == rate
