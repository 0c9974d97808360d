"""Other views of an image keep each box on what it held; rare things come more often, and all images come."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from fo1_data.corpus.images import InputLimits
from fo1_data.training.augmentation import augment, can_be_cropped, can_be_mirrored
from fo1_data.training.example_source import ExampleSource
from fo1_data.training.rare_regions import NameIndex, RareRegions
from fo1_data.training.samples import Trust
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusAnswer, CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind

COLOURS = ["red", "lime", "blue", "yellow", "magenta", "cyan"]
EVERYTHING = TrainConfig(mirror_share=0.5, crop_share=0.5, light_jitter=0.2)


def drawn(boxes, size=(160, 120)):
    """Grey, each box filled with a colour of its own."""
    image = Image.new("RGB", size, (128, 128, 128))
    for colour, (x_min, y_min, x_max, y_max) in zip(COLOURS, boxes, strict=False):
        ImageDraw.Draw(image).rectangle((x_min, y_min, x_max - 1, y_max - 1), fill=colour)
    return image


def entry_of(boxes, **more):
    regions = [
        CorpusRegion(box_xyxy=box, caption=colour) for box, colour in zip(boxes, COLOURS, strict=False)
    ]
    return CorpusImage(uri="a.png", regions=regions, **more)


def is_filled(image, box, caption):
    """Whether the box holds its colour (lit otherwise perhaps) to its very borders, and ends there."""
    x_min, y_min, x_max, y_max = (int(corner) for corner in box)
    inside = np.asarray(image)[y_min:y_max, x_min:x_max].reshape(-1, 3)
    strong = np.array(Image.new("RGB", (1, 1), caption))[0, 0] == 255
    return bool((inside == inside[0]).all() and (inside[0][strong].min() > inside[0][~strong].max() + 40))


# Cells of a grid, so that no box covers another.
CELLS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6, unique=True)


@settings(max_examples=80, deadline=None)
@given(CELLS, st.integers(0, 2**16))
def test_every_box_holds_what_it_held(cells, seed):
    boxes = [(40.0 * x + 3, 40.0 * y + 5, 40.0 * x + 33, 40.0 * y + 38) for x, y in cells]
    image, entry = augment(drawn(boxes), entry_of(boxes), np.random.default_rng(seed), EVERYTHING)
    assert len(entry.regions) == len(boxes)
    for region in entry.regions:
        assert 0 <= region.box_xyxy[0] < region.box_xyxy[2] <= image.width
        assert 0 <= region.box_xyxy[1] < region.box_xyxy[3] <= image.height
        assert is_filled(image, region.box_xyxy, region.caption)


def test_all_kinds_of_change_come():
    boxes = [(60.0, 40.0, 90.0, 70.0)]
    plain = drawn(boxes)
    seen = [augment(plain, entry_of(boxes), np.random.default_rng(seed), EVERYTHING) for seed in range(40)]
    assert any(image.size != plain.size for image, _ in seen)
    places = {entry.regions[0].box_xyxy for image, entry in seen if image.size == plain.size}
    assert places == {(60.0, 40.0, 90.0, 70.0), (70.0, 40.0, 100.0, 70.0)}


def test_without_a_setting_nothing_changes_and_nothing_is_drawn():
    boxes = [(60.0, 40.0, 90.0, 70.0)]
    image, entry, rng = drawn(boxes), entry_of(boxes), np.random.default_rng(1)
    assert augment(image, entry, rng, TrainConfig()) == (image, entry)
    assert rng.random() == np.random.default_rng(1).random()


@pytest.mark.parametrize(
    ("more", "mirrored", "cropped"),
    [
        ({}, True, True),
        ({"phrases": [CorpusPhrase(text="the star Left of it", region_indices=[0])]}, False, False),
        ({"phrases": [CorpusPhrase(text="the star in the corner", region_indices=[0])]}, True, False),
        ({"phrases": [CorpusPhrase(text="leftover pizza", region_indices=[0])]}, True, True),
        ({"answers": [CorpusAnswer(question="How many?", answer="two")]}, True, False),
        ({"answers": [CorpusAnswer(question="What?", answer="a cup", region_index=0)]}, True, True),
        ({"answers": [CorpusAnswer(question="What?", answer="on the right", region_index=0)]}, False, False),
        ({"counts": [CorpusCount(text="cells", count=7)]}, True, True),
    ],
)
def test_what_is_said_decides_what_may_change(more, mirrored, cropped):
    entry = entry_of([(0.0, 0.0, 9.0, 9.0)], **more)
    assert (can_be_mirrored(entry), can_be_cropped(entry)) == (mirrored, cropped)


def test_written_text_is_not_mirrored():
    entry = CorpusImage(uri="a.png", regions=[CorpusRegion(box_xyxy=(0, 0, 9, 9), text="EXIT")])
    assert not can_be_mirrored(entry)


@pytest.fixture
def corpus(tmp_path):
    """Twelve images with a red box, one of them with a blue one too."""
    lines = []
    for number in range(12):
        boxes = [(10.0, 10.0, 40.0, 40.0)] + ([(60.0, 50.0, 100.0, 80.0)] if number == 5 else [])
        colours = ["red", "blue"][: len(boxes)]
        image = drawn(boxes)
        if len(boxes) == 2:
            ImageDraw.Draw(image).rectangle((60, 50, 99, 79), fill="blue")
        image.save(tmp_path / f"{number}.png")
        regions = [{"box_xyxy": box, "caption": c} for box, c in zip(boxes, colours, strict=True)]
        phrases = [
            {"text": "red", "region_indices": [0]},
            {"text": "blue", "region_indices": [1] if len(boxes) == 2 else []},
            {"text": "blue ring", "region_indices": []},
        ]
        lines.append(json.dumps({"image": f"{number}.png", "regions": regions, "phrases": phrases}))
    (tmp_path / "annotations.jsonl").write_text("\n".join(lines))
    return str(tmp_path)


def test_images_with_what_is_rare_come_more_often_and_all_come(corpus):
    source = ExampleSource([corpus])
    source.repeat(NameIndex(source.groups).repeats(below=0.75))
    names = [source.at(place).entry.uri.rpartition("/")[2] for place in range(len(source))]
    # sqrt(0.75 / (1 / 12)) = 3
    assert {name: names.count(name) for name in set(names)} == {
        f"{number}.png": 3 if number == 5 else 1 for number in range(12)
    }


def rare_of(corpus):
    groups = ExampleSource([corpus]).groups
    return RareRegions(groups, NameIndex(groups), below=0.5, seed=0, limits=InputLimits())


def test_a_rare_region_is_pasted_where_nothing_was_and_phrases_stay_true(corpus):
    rare = rare_of(corpus)
    assert len(rare) == 1
    boxes = [(10.0, 10.0, 40.0, 40.0)]
    phrases = [
        CorpusPhrase(text="red", region_indices=[0]),
        CorpusPhrase(text="Blue", region_indices=[]),
        CorpusPhrase(text="blue ring", region_indices=[]),
    ]
    for seed in range(30):
        given = entry_of(boxes, phrases=phrases)
        image, entry, _ = rare.paste(drawn(boxes), given, {}, np.random.default_rng(seed))
        assert [region.caption for region in entry.regions] == ["red", "blue"]
        assert is_filled(image, boxes[0], "red")
        assert is_filled(image, entry.regions[1].box_xyxy, "blue")
        assert [(one.text, one.region_indices) for one in entry.phrases] == [("red", [0]), ("Blue", [1])]


def test_nothing_is_pasted_where_there_is_no_room_or_boxes_have_no_name(corpus):
    rare = rare_of(corpus)
    full = [(0.0, 0.0, 160.0, 120.0)]
    unnamed = CorpusImage(uri="a.png", regions=[CorpusRegion(box_xyxy=(0, 0, 5, 5))])
    for image, entry in ((drawn(full), entry_of(full)), (drawn([]), unnamed)):
        assert rare.paste(image, entry, {}, np.random.default_rng(0)) == (image, entry, {})


def test_a_pasted_region_keeps_its_class_and_its_trust(corpus, monkeypatch):
    rare = rare_of(corpus)
    (crop,) = rare._crops
    region = CorpusRegion(box_xyxy=(0, 0, 9, 9), label="dog", caption="brown poodle")
    trust = {LabelKind.BRIEF_CAPTION: Trust(human=False, confidence=0.3)}
    monkeypatch.setattr(rare, "_crops", [replace(crop, region=region, trust=trust)])
    boxes = [(10.0, 10.0, 40.0, 40.0)]
    phrases = [
        CorpusPhrase(text="Dog", region_indices=[0]),
        CorpusPhrase(text="poodles", region_indices=[]),
        CorpusPhrase(text="a cat", region_indices=[]),
    ]
    mine = {(LabelKind.BRIEF_CAPTION, 0, None): Trust(human=True)}
    given = entry_of(boxes, phrases=phrases)
    _, entry, found = rare.paste(drawn(boxes), given, mine, np.random.default_rng(0))
    assert [(one.text, one.region_indices) for one in entry.phrases] == [("Dog", [0, 1]), ("a cat", [])]
    assert found == {**mine, (LabelKind.BRIEF_CAPTION, 1, None): Trust(human=False, confidence=0.3)}
