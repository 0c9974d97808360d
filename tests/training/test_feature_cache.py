"""Features of frozen towers are kept on disk: equal losses, no second decoding, a bound, no stale ones."""

import json
import resource
import shutil
from pathlib import Path

import pytest
import torch
from random_checkpoint import write_random_checkpoint

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.frozen_towers import FrozenFeatures
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.feature_cache import CachedImage, FeatureCache, ImageShape, num_frozen_stages
from fo1_data.training.run import train
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import Trainer

CONFIG = TrainConfig(
    steps=4, batch_images=2, questions_per_image=6, warmup_steps=0, decay_share=0, measured_images=0,
    threads=1, device="cpu", learning_rate=1e-3,
)  # fmt: skip
GIB = 2**30


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FO1_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 3, 70, (3, 5))


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "losses.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stage", [1, 2])
def test_losses_equal_those_without_a_cache(
    scenes: Path, tmp_path: Path, cache_folder: Path, stage: int
) -> None:
    without = CONFIG.model_copy(update={"feature_cache_gib": 0.0})
    for name, config in (("without", without), ("first", CONFIG), ("again", CONFIG)):
        train([str(scenes)], stage, "fo1-tiny", tmp_path / name, config)  # type: ignore[arg-type]
    assert losses(tmp_path / "first") == losses(tmp_path / "again")
    assert losses(tmp_path / "first") == pytest.approx(losses(tmp_path / "without"), abs=2e-5)
    (folder,) = cache_folder.iterdir()
    assert len(list(folder.glob("*.safetensors"))) == 3


def test_runs_of_other_precision_share_the_features(scenes: Path, tmp_path: Path, cache_folder: Path) -> None:
    half = CONFIG.model_copy(update={"precision": "bfloat16", "steps": 2})
    train([str(scenes)], 1, "fo1-tiny", tmp_path / "half", half)
    train([str(scenes)], 1, "fo1-tiny", tmp_path / "after", CONFIG)
    train(
        [str(scenes)],
        1,
        "fo1-tiny",
        tmp_path / "without",
        CONFIG.model_copy(update={"feature_cache_gib": 0.0}),
    )
    assert losses(tmp_path / "after") == pytest.approx(losses(tmp_path / "without"), abs=2e-5)


def test_a_known_image_is_not_decoded(scenes: Path, tmp_path: Path) -> None:
    trainer = Trainer(load_checkpoint("fo1-tiny"), 1, CONFIG)
    batches = Batches(open_source([str(scenes)]), trainer.checkpoint, CONFIG, cache=trainer.cache)
    first = batches.of_step(0)
    assert all(image.frozen is None for image in first)
    trainer.step(first)
    again = batches.of_step(0)
    assert all(image.frozen is not None for image in again)
    assert all(not image.prepared.resized.auxiliary.values.any() for image in again)  # black: not decoded
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.prepared.aux_boxes, other.prepared.aux_boxes)
        assert torch.equal(one.prepared.vt_boxes, other.prepared.vt_boxes)
        assert one.questions == other.questions


def test_a_full_cache_takes_no_more_and_a_damaged_file_is_made_anew(scenes: Path, cache_folder: Path) -> None:
    checkpoint = load_checkpoint("fo1-tiny")
    trainer = Trainer(checkpoint, 1, CONFIG.model_copy(update={"feature_cache_gib": 1e-9}))
    trainer.step(Batches(open_source([str(scenes)]), checkpoint, CONFIG, cache=trainer.cache).of_step(0))
    assert list(cache_folder.glob("*/*")) == []
    trainer = Trainer(checkpoint, 1, CONFIG)
    batches = Batches(open_source([str(scenes)]), checkpoint, CONFIG, cache=trainer.cache)
    trainer.step(batches.of_step(0))
    for path in cache_folder.glob("*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert all(image.frozen is None for image in batches.of_step(0))


def test_features_with_a_changed_byte_are_made_anew(scenes: Path, cache_folder: Path) -> None:
    checkpoint = load_checkpoint("fo1-tiny")
    trainer = Trainer(checkpoint, 1, CONFIG)
    batches = Batches(open_source([str(scenes)]), checkpoint, CONFIG, cache=trainer.cache)
    trainer.step(batches.of_step(0))
    for path in cache_folder.glob("*/*.safetensors"):
        changed = bytearray(path.read_bytes())
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
    again = batches.of_step(0)
    assert all(image.frozen is None for image in again)
    trainer.step(again)
    assert all(image.frozen is not None for image in batches.of_step(0))


def test_other_weights_have_other_features_and_the_oldest_make_room(
    tmp_path: Path, cache_folder: Path
) -> None:
    tiny = load_checkpoint("fo1-tiny")
    other = load_checkpoint(str(write_random_checkpoint(tmp_path / "other")))
    folders = []
    for checkpoint, stages in ((tiny, 4), (other, 4), (tiny, 2)):
        FeatureCache(checkpoint, stages, GIB)
        folders.append({path.name for path in cache_folder.iterdir()})
    assert [len(names) for names in folders] == [1, 2, 3]
    for folder in cache_folder.iterdir():
        (folder / "a.safetensors").write_bytes(bytes(1000))
    FeatureCache(tiny, 2, 1500)
    assert {path.name for path in cache_folder.iterdir()} == folders[2] - folders[1]


def test_stages_before_the_first_trained_weight_are_frozen() -> None:
    assert num_frozen_stages(["region_encoder.x", "language_model.y"], 4) == 4
    trained = ["vision_tower_aux.convs.2.conv.weight", "vision_tower_aux.blocks.3.0.a", "language_model.y"]
    assert num_frozen_stages(trained, 4) == 2


def made_up_image() -> CachedImage:
    """An image whose features have about 4 kB."""
    shape = ImageShape(8, 8, 1, (8, 8), (1, 1), (8, 8), (1.0, 1.0))
    return CachedImage(shape, FrozenFeatures(torch.ones(10, 100), [], []))


def test_a_cache_that_cannot_be_written_ends_no_run(tmp_path: Path, cache_folder: Path) -> None:
    tiny, image = load_checkpoint("fo1-tiny"), made_up_image()
    cache_folder.parent.mkdir()
    cache_folder.write_text("a file where the folder should be")
    closed = FeatureCache(tiny, 4, GIB)
    closed.keep("a", image)
    assert closed.find("a") is None
    cache_folder.unlink()
    disk = FeatureCache(tiny, 4, GIB)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # a write fails as on a full disk
    try:
        disk.keep("a", image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert disk.find("a") is None
    assert list(cache_folder.glob("*/*")) == []


def test_runs_at_once_share_the_bound_and_may_delete_each_others_folder(cache_folder: Path) -> None:
    tiny, image, max_bytes = load_checkpoint("fo1-tiny"), made_up_image(), 200_000
    runs = [FeatureCache(tiny, 4, max_bytes) for _ in range(4)]
    runs[0].keep("first", image)
    shutil.rmtree(next(cache_folder.iterdir()))
    assert runs[0].find("first") is None
    for number in range(200):
        runs[number % 4].keep(str(number), image)
    kept = sum(path.stat().st_size for path in cache_folder.glob("*/*"))
    # Each run fills at most the part that it has claimed.
    assert 0.7 * max_bytes < kept < 1.3 * max_bytes
    assert runs[1].find("0") is not None


def test_varied_images_are_not_kept(scenes: Path, cache_folder: Path) -> None:
    varied = CONFIG.model_copy(update={"mirror_share": 0.5})
    assert Trainer(load_checkpoint("fo1-tiny"), 1, varied).cache is None
