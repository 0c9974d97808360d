"""Training on Ray Train: two workers, one of them lost on the way, and the losses of an undisturbed run."""

import json
from pathlib import Path

import pytest

from actors.training import TEST_KILL_AT, train_on_ray
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import train

CONFIG = TrainConfig(
    steps=3, batch_images=2, questions_per_image=3, warmup_steps=0, decay_share=0, save_every=1, threads=1,
    device="cpu",
)  # fmt: skip


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "losses.jsonl").read_text().splitlines()]


@pytest.mark.timeout(600)
def test_a_lost_worker_costs_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = str(write_scenes(tmp_path / "scenes", 3, 70, (3, 4)))
    train([scenes], 1, "fo1-tiny", tmp_path / "alone", CONFIG)
    monkeypatch.setenv(TEST_KILL_AT, "2")
    report = train_on_ray([scenes], 1, "fo1-tiny", tmp_path / "ray", CONFIG, workers=2)
    assert report["workers"] == 2
    assert report["resumed"]
    assert losses(tmp_path / "ray") == pytest.approx(losses(tmp_path / "alone"), abs=2e-5)
    assert not (tmp_path / "ray" / ".ray").exists()
