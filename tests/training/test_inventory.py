"""What a training set can teach, told before the run: labels by source and kind, weights, warnings."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_row
from PIL import Image

from fo1_data.errors import ConfigError
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.training.events import AnswerKind
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.inventory import take_inventory
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig
from schemas.labels import Source


def corpus(folder: Path, labels: Sequence[str], phrases: Sequence[dict[str, Any]] = ()) -> str:
    """An image for each label, of a box with it; all images have the same phrases."""
    folder.mkdir()
    lines = []
    for number, label in enumerate(labels):
        Image.new("RGB", (40, 40), (number, 0, 0)).save(folder / f"{number}.png")
        region = {"box_xyxy": [2, 2, 30, 30], "label": label}
        lines.append({"image": f"{number}.png", "regions": [region], "phrases": list(phrases)})
    (folder / "annotations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / "annotations.jsonl")


def test_labels_are_counted_by_source_and_kind(tmp_path: Path) -> None:
    phrases = [{"text": "card", "region_indices": [0]}, {"text": "dog", "region_indices": []}]
    first = corpus(tmp_path / "first", ["king", "queen"], phrases)
    second = corpus(tmp_path / "second", ["ace"])
    inventory = take_inventory(open_source([first, second]), TrainConfig())
    assert [(source.address, source.images) for source in inventory.sources] == [(first, 2), (second, 1)]
    counted = {kind: number for kind, number in inventory.sources[0].labels.items() if number}
    assert counted == {"caption": 2, "phrase": 2, "absent": 2, "count": 4}
    assert inventory.warnings == []


def test_a_set_that_teaches_one_answer_only_is_told_of(tmp_path: Path) -> None:
    absent = [{"text": "dog", "region_indices": []}]
    inventory = take_inventory(
        open_source([corpus(tmp_path / "one", ["raccoon"] * 10, absent)]), TrainConfig()
    )
    every, caption = inventory.warnings
    assert every.startswith("every phrase of the labels is absent")
    assert caption.startswith("every caption is 'raccoon': the model can learn to say that without looking")


def test_absent_phrases_are_not_generated_where_none_is_present(tmp_path: Path) -> None:
    """They would teach to find nothing."""
    cards = corpus(tmp_path / "cards", ["king", "queen", "ace", "nine"])
    source = open_source([cards])
    named = TrainConfig(names_as_phrases=True)
    assert [take_inventory(source, config).teaches_phrases(config) for config in (TrainConfig(), named)] == [
        False,
        True,
    ]
    batches = Batches(source, load_checkpoint("fo1-tiny"), named, PhraseBook(source.entries()))
    kinds = Counter(question.answer_kind for image in batches.of_step(0) for question in image.questions)
    assert {AnswerKind.PHRASE, AnswerKind.ABSENT} <= set(kinds)


def test_a_class_is_taught_as_caption_unless_that_is_turned_off(tmp_path: Path) -> None:
    source = open_source([corpus(tmp_path / "cards", ["king", "queen"])])
    for taught in (True, False):
        config = TrainConfig(labels_as_captions=taught)
        questions = [
            q
            for image in Batches(source, load_checkpoint("fo1-tiny"), config).of_step(0)
            for q in image.questions
        ]
        assert ("king" in [question.answer for question in questions]) == taught


def test_weights_show_a_source_more_often_and_leave_kinds_out(tmp_path: Path) -> None:
    first, second = corpus(tmp_path / "first", ["king"] * 8), corpus(tmp_path / "second", ["ace"] * 8)
    source = open_source([first, second])
    source.weigh({first: 3.0, second: 2.0})
    shown = Counter(Path(source.at(place).entry.uri).parent.name for place in range(len(source)))
    assert shown["second"] == 8
    assert 8 <= shown["first"] <= 16
    with pytest.raises(ConfigError, match="source_weights: elsewhere is not among"):
        source.weigh({"elsewhere": 1.0})
    config = TrainConfig(kind_weights={AnswerKind.CAPTION: 0.0}, names_as_phrases=True)
    batches = Batches(source, load_checkpoint("fo1-tiny"), config)
    kinds = {question.answer_kind for image in batches.of_step(0) for question in image.questions}
    assert kinds >= {AnswerKind.PHRASE}
    assert AnswerKind.CAPTION not in kinds


def test_labels_that_are_all_a_models_own_are_told_of(tmp_path: Path) -> None:
    """One label of a person or of the corpus is enough to teach something else."""

    def warnings(name: str, source: Source = Source.MODEL, gold: str | None = None) -> list[str]:
        rows = [make_row(seed, folder=tmp_path / "images") for seed in range(3)]
        rows[0].regions[0].labels[0].source = source
        if gold is not None:
            rows[0].regions[1].brief_caption, rows[0].regions[1].labels = None, []
            rows[0].regions[1].source_caption = gold
        make_dataset(tmp_path / name, rows)
        return take_inventory(open_source([str(tmp_path / name)]), TrainConfig()).warnings

    (text,) = warnings("model")
    assert text.startswith("all labels are a model's own")
    assert warnings("person", source=Source.HUMAN) == []
    assert warnings("gold", gold="a card") == []
