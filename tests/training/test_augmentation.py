"""Other views of an image keep each box on what it held; rare things come more often, and all images come."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from fo1_data.corpus.images import InputLimits
from fo1_data.training.samples.augmentation import augment, can_be_cropped, can_be_mirrored
from fo1_data.training.samples.open_examples import Example
from fo1_data.training.samples.questions import Known, Trust
from fo1_data.training.samples.rare_regions import NameIndex, RareRegions
from fo1_data.training.samples.source import ExampleSource
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
    """Whether the box holds its colour (lit otherwise perhaps) to its very borders."""
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


def pasted(rare, monkeypatch, region, boxes=((10.0, 10.0, 40.0, 40.0),), trust=None, **said):
    """An image after a region was pasted into it, and the trust in what is said of it."""
    (crop,) = rare._crops
    monkeypatch.setattr(rare, "_crops", [replace(crop, region=region, trust=trust or {})])
    given = entry_of(boxes, **said)
    _, entry, found = rare.paste(drawn(boxes), given, {}, np.random.default_rng(0))
    return given, entry, found


def test_a_count_of_more_than_is_located_still_forbids_to_count_what_is(corpus, monkeypatch):
    region = CorpusRegion(box_xyxy=(0, 0, 9, 9), caption="dog")
    counts = [
        CorpusCount(text="cells", count=5),
        CorpusCount(text="Dog", count=2),
        CorpusCount(text="brown dogs", count=1),
    ]
    phrases = [CorpusPhrase(text="cells", region_indices=[0])]
    _, entry, _ = pasted(rare_of(corpus), monkeypatch, region, phrases=phrases, counts=counts)
    assert [(one.text, one.count) for one in entry.counts] == [("cells", 5), ("Dog", 3)]
    assert not Known(entry.regions, entry.phrases, entry.counts).can_be_counted(entry.phrases[0])


def test_what_speaks_of_a_place_is_not_pasted_nor_pasted_upon_and_else_left_out(corpus, monkeypatch):
    rare = rare_of(corpus)
    region = CorpusRegion(box_xyxy=(0, 0, 9, 9), caption="dog", detailed_caption="a dog at the left edge")
    phrases = [CorpusPhrase(text=text, region_indices=[0]) for text in ("leftmost object", "a plain object")]
    _, entry, _ = pasted(rare, monkeypatch, region, phrases=phrases)
    assert [one.text for one in entry.phrases] == ["a plain object"]
    assert [one.detailed_caption for one in entry.regions] == [None, None]
    upper = [CorpusRegion(box_xyxy=(10, 10, 40, 40), caption="the upper square")]
    given = CorpusImage(uri="a.png", regions=upper)
    assert rare.paste(drawn([]), given, {}, np.random.default_rng(0))[1] == given
    (index,) = (NameIndex([replace(group, load_known=lambda: [Example(given)] * 12) for group in groups])
                for groups in [ExampleSource([corpus]).groups])  # fmt: skip
    assert index.rare(below=2) == {}


def test_a_phrase_that_a_pasted_region_joins_is_trusted_as_far_as_its_caption(corpus, monkeypatch):
    region = CorpusRegion(box_xyxy=(0, 0, 9, 9), caption="dog")
    trust = {LabelKind.BRIEF_CAPTION: Trust(human=False, confidence=0.3)}
    phrases = [CorpusPhrase(text=text, region_indices=[]) for text in ("Dog", "cat")]
    _, _, found = pasted(rare_of(corpus), monkeypatch, region, trust=trust, phrases=phrases)
    assert found[LabelKind.GROUND, None, "Dog"] == found[LabelKind.COUNT, None, "Dog"]
    assert found[LabelKind.GROUND, None, "Dog"].confidence == 0.3
    assert (LabelKind.GROUND, None, "cat") not in found


def test_a_box_that_cannot_be_used_lets_no_other_region_pass_for_the_rare_one(tmp_path):
    drawn([(10, 10, 40, 40), (60, 50, 100, 80)]).save(tmp_path / "a.png")
    outside = {"box_xyxy": [500, 500, 600, 600], "caption": "gone"}
    both = [
        outside,
        {"box_xyxy": [10, 10, 40, 40], "caption": "red"},
        {"box_xyxy": [60, 50, 100, 80], "caption": "lime"},
    ]
    entries = [{"image": "a.png", "regions": both}, {"image": "a.png", "regions": both[2:]}]
    (tmp_path / "annotations.jsonl").write_text("\n".join(map(json.dumps, entries)))
    groups = ExampleSource([str(tmp_path)]).groups
    rare = RareRegions(groups, NameIndex(groups), below=0.6, seed=0, limits=InputLimits())
    assert all(is_filled(crop.rgb, (0, 0, *crop.rgb.size), crop.region.caption) for crop in rare._crops)
    assert "lime" not in {crop.region.caption for crop in rare._crops}
