"""Which images a run trains on, and which it is validated on."""

import os
import shutil
from pathlib import Path

import pytest
from factories import make_dataset, make_row

from fo1_data.errors import ConfigError, DatasetError
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.samples.held_out import open_sources
from fo1_data.training.samples.inventory import take_inventory
from fo1_data.training.samples.source import ExampleSource, open_source
from fo1_data.training.settings import TrainConfig

CONFIG = TrainConfig(validation_share=0.3)


def names(source: ExampleSource | None) -> list[str]:
    """The images of a source, each once."""
    examples = map(source.at, range(len(source))) if source is not None else ()
    return sorted(example.entry.name.rsplit("/", 1)[-1] for example in examples)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "corpus", 30, 70, (3, 4))


def test_a_share_is_held_out_always_the_same(scenes: Path, tmp_path: Path) -> None:
    training, held_out = open_sources([str(scenes)], [], CONFIG)
    assert len(training) + len(held_out or []) == 30
    assert 3 <= len(names(held_out)) <= 15
    assert not set(names(training)) & set(names(held_out))
    shutil.copytree(scenes.parent, tmp_path / "moved")
    another_run = CONFIG.model_copy(update={"seed": 7})
    _, moved = open_sources([str(tmp_path / "moved" / scenes.name)], [], another_run)
    assert names(moved) == names(held_out)
    larger = CONFIG.model_copy(update={"validation_share": 0.6})
    assert set(names(held_out)) < set(names(open_sources([str(scenes)], [], larger)[1]))


def test_nothing_is_held_out_of_few_images_or_by_a_share_of_zero(scenes: Path, tmp_path: Path) -> None:
    few = write_scenes(tmp_path / "few", 9, 71, (3, 4))
    assert open_sources([str(few)], [], CONFIG)[1] is None
    assert open_sources([str(scenes)], [], TrainConfig(validation_share=0))[1] is None


def test_a_dataset_is_validated_on_its_own_split(tmp_path: Path) -> None:
    splits = ["train"] * 12 + ["validation"] * 3 + ["test"] * 2
    make_dataset(tmp_path / "all", [make_row(number, split=split) for number, split in enumerate(splits)])
    training, held_out = open_sources([str(tmp_path / "all")], [], CONFIG)
    assert len(training) == 12
    assert held_out is not None
    assert {held_out.at(place).row.split for place in range(len(held_out))} == {"validation"}  # type: ignore[union-attr]
    again = open_sources([str(tmp_path / "all")], [str(tmp_path / "all")], CONFIG)
    assert [len(source or []) for source in again] == [12, 3]
    relative = f"{os.path.relpath(tmp_path)}/all/"  # the same folder by another name
    again = open_sources([relative], [str(tmp_path / "all")], CONFIG)
    assert [len(source or []) for source in again] == [12, 3]


def test_a_source_is_weighed_by_any_name_of_its_folder(scenes: Path, tmp_path: Path) -> None:
    """Workers on Ray know it by its absolute path."""
    make_dataset(tmp_path / "rows", [make_row(number) for number in range(4)])
    config = TrainConfig(source_weights={f"{os.path.relpath(tmp_path)}/rows/": 3})
    source = open_source([str(tmp_path / "rows"), str(scenes)])
    source.weigh(config.source_weights)
    assert len(source) == 3 * 4 + len(open_source([str(scenes)]))
    assert take_inventory(source, config).sources[0].weight == 3
    with pytest.raises(ConfigError, match=r"source_weights: /.*no is not among"):
        source.weigh(TrainConfig(source_weights={"no": 2}).source_weights)


def test_another_dataset_is_validated_on_as_a_whole(scenes: Path, tmp_path: Path) -> None:
    splits = ["train", "validation", "test"]
    make_dataset(tmp_path / "other", [make_row(number, split=split) for number, split in enumerate(splits)])
    training, held_out = open_sources([str(scenes)], [str(tmp_path / "other")], CONFIG)
    assert [len(training), len(held_out or [])] == [30, 3]


def test_a_validation_dataset_without_boxes_is_refused(scenes: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path / "none", [make_row(0, num_regions=0)])
    with pytest.raises(DatasetError, match="no image with a box"):
        open_sources([str(scenes)], [str(tmp_path / "none")], CONFIG)
