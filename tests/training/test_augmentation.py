"""Augmentation keeps each box on its object; images with rare names are repeated, none is lost."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from fo1_data.corpus.images import InputLimits
from fo1_data.training.samples.augmentation import augment, can_crop, can_mirror
from fo1_data.training.samples.image_labels import ImageLabels, LabelTrust
from fo1_data.training.samples.open_examples import TrainingExample
from fo1_data.training.samples.rare_regions import NameIndex, RareRegions
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusAnswer, CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind

COLOURS = ["red", "lime", "blue", "yellow", "magenta", "cyan"]
EVERYTHING = TrainConfig(mirror_share=0.5, crop_share=0.5, light_jitter=0.2)


def draw_boxes(boxes, size=(160, 120)):
    """A grey image, each box filled with a colour of its own."""
    image = Image.new("RGB", size, (128, 128, 128))
    for colour, (x_min, y_min, x_max, y_max) in zip(COLOURS, boxes, strict=False):
        ImageDraw.Draw(image).rectangle((x_min, y_min, x_max - 1, y_max - 1), fill=colour)
    return image


def make_entry(boxes, **labels):
    regions = [
        CorpusRegion(box_xyxy=box, caption=colour) for box, colour in zip(boxes, COLOURS, strict=False)
    ]
    return CorpusImage(uri="a.png", regions=regions, **labels)


def is_filled(image, box, caption):
    """Whether the box is filled with its colour up to its borders, perhaps brighter or darker."""
    x_min, y_min, x_max, y_max = (int(corner) for corner in box)
    inside = np.asarray(image)[y_min:y_max, x_min:x_max].reshape(-1, 3)
    strong = np.array(Image.new("RGB", (1, 1), caption))[0, 0] == 255
    return bool((inside == inside[0]).all() and (inside[0][strong].min() > inside[0][~strong].max() + 40))


# Cells of a grid, so that no box covers another.
CELLS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6, unique=True)


@settings(max_examples=80, deadline=None)
@given(CELLS, st.integers(0, 2**16))
def test_every_box_keeps_its_content(cells, seed):
    boxes = [(40.0 * x + 3, 40.0 * y + 5, 40.0 * x + 33, 40.0 * y + 38) for x, y in cells]
    image, entry = augment(draw_boxes(boxes), make_entry(boxes), np.random.default_rng(seed), EVERYTHING)
    assert len(entry.regions) == len(boxes)
    for region in entry.regions:
        assert 0 <= region.box_xyxy[0] < region.box_xyxy[2] <= image.width
        assert 0 <= region.box_xyxy[1] < region.box_xyxy[3] <= image.height
        assert is_filled(image, region.box_xyxy, region.caption)


def test_all_kinds_of_augmentation_occur():
    boxes = [(60.0, 40.0, 90.0, 70.0)]
    plain = draw_boxes(boxes)
    seen = [augment(plain, make_entry(boxes), np.random.default_rng(seed), EVERYTHING) for seed in range(40)]
    assert any(image.size != plain.size for image, _ in seen)
    places = {entry.regions[0].box_xyxy for image, entry in seen if image.size == plain.size}
    assert places == {(60.0, 40.0, 90.0, 70.0), (70.0, 40.0, 100.0, 70.0)}


def test_without_a_setting_nothing_changes_and_no_random_number_is_drawn():
    boxes = [(60.0, 40.0, 90.0, 70.0)]
    image, entry, rng = draw_boxes(boxes), make_entry(boxes), np.random.default_rng(1)
    assert augment(image, entry, rng, TrainConfig()) == (image, entry)
    assert rng.random() == np.random.default_rng(1).random()


@pytest.mark.parametrize(
    ("labels", "mirrored", "cropped"),
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
def test_labels_decide_which_augmentation_is_allowed(labels, mirrored, cropped):
    entry = make_entry([(0.0, 0.0, 9.0, 9.0)], **labels)
    assert (can_mirror(entry), can_crop(entry)) == (mirrored, cropped)


def test_written_text_is_not_mirrored():
    entry = CorpusImage(uri="a.png", regions=[CorpusRegion(box_xyxy=(0, 0, 9, 9), text="EXIT")])
    assert not can_mirror(entry)


@pytest.fixture
def corpus(tmp_path):
    """Twelve images with a red box, one of them with a blue one too."""
    lines = []
    for number in range(12):
        boxes = [(10.0, 10.0, 40.0, 40.0)] + ([(60.0, 50.0, 100.0, 80.0)] if number == 5 else [])
        colours = ["red", "blue"][: len(boxes)]
        image = draw_boxes(boxes)
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


def test_images_with_rare_names_are_repeated_and_none_is_lost(corpus):
    source = open_source([corpus])
    source.repeat(NameIndex(source.groups).repeats(below=0.75))
    names = [source.at(place).entry.uri.rpartition("/")[2] for place in range(len(source))]
    # sqrt(0.75 / (1 / 12)) = 3
    assert {name: names.count(name) for name in set(names)} == {
        f"{number}.png": 3 if number == 5 else 1 for number in range(12)
    }


def load_rare(corpus, labels=None, trust=None):
    """The one rare region of the corpus, with other labels and trust in them."""
    groups = open_source([corpus]).groups
    ((place,),) = NameIndex(groups).rare(below=0.5).values()

    def relabel(load):
        examples = list(load())
        entry = examples[place.example].entry
        regions = list(entry.regions)
        if labels is not None:
            plain = CorpusRegion(box_xyxy=regions[place.number].box_xyxy)
            regions[place.number] = plain.model_copy(update=labels)
        keys = {(kind, place.number, None): value for kind, value in (trust or {}).items()}
        entry = entry.model_copy(update={"regions": regions})
        examples[place.example] = replace(examples[place.example], entry=entry, trust=keys)
        return examples

    (group,) = groups
    changed = replace(
        group,
        load=lambda: relabel(group.load),
        load_without_pixels=lambda: relabel(group.load_without_pixels),
    )
    return RareRegions([changed], NameIndex([changed]), below=0.5, seed=0, limits=InputLimits())


def test_a_rare_region_is_pasted_away_from_boxes_and_phrases_stay_true(corpus):
    rare = load_rare(corpus)
    assert len(rare) == 1
    boxes = [(10.0, 10.0, 40.0, 40.0)]
    phrases = [
        CorpusPhrase(text="red", region_indices=[0]),
        CorpusPhrase(text="Blue", region_indices=[]),
        CorpusPhrase(text="blue ring", region_indices=[]),
    ]
    for seed in range(30):
        original = make_entry(boxes, phrases=phrases)
        image, entry, _ = rare.paste(draw_boxes(boxes), original, {}, np.random.default_rng(seed))
        assert [region.caption for region in entry.regions] == ["red", "blue"]
        assert is_filled(image, boxes[0], "red")
        assert is_filled(image, entry.regions[1].box_xyxy, "blue")
        assert [(phrase.text, phrase.region_indices) for phrase in entry.phrases] == [
            ("red", [0]),
            ("Blue", [1]),
        ]


def test_nothing_is_pasted_if_there_is_no_room_or_a_box_has_no_name(corpus):
    rare = load_rare(corpus)
    full = [(0.0, 0.0, 160.0, 120.0)]
    unnamed = CorpusImage(uri="a.png", regions=[CorpusRegion(box_xyxy=(0, 0, 5, 5))])
    for image, entry in ((draw_boxes(full), make_entry(full)), (draw_boxes([]), unnamed)):
        assert rare.paste(image, entry, {}, np.random.default_rng(0)) == (image, entry, {})


def test_a_pasted_region_keeps_its_class_and_its_trust(corpus):
    trust = {LabelKind.BRIEF_CAPTION: LabelTrust(human=False, confidence=0.3)}
    rare = load_rare(corpus, {"label": "dog", "caption": "brown poodle"}, trust)
    boxes = [(10.0, 10.0, 40.0, 40.0)]
    phrases = [
        CorpusPhrase(text="Dog", region_indices=[0]),
        CorpusPhrase(text="poodles", region_indices=[]),
        CorpusPhrase(text="a cat", region_indices=[]),
    ]
    own_trust = {(LabelKind.BRIEF_CAPTION, 0, None): LabelTrust(human=True)}
    original = make_entry(boxes, phrases=phrases)
    _, entry, pasted_trust = rare.paste(draw_boxes(boxes), original, own_trust, np.random.default_rng(0))
    assert [(phrase.text, phrase.region_indices) for phrase in entry.phrases] == [
        ("Dog", [0, 1]),
        ("a cat", []),
    ]
    assert pasted_trust == {
        **own_trust,
        (LabelKind.BRIEF_CAPTION, 1, None): LabelTrust(human=False, confidence=0.3),
    }


def paste(rare, boxes=((10.0, 10.0, 40.0, 40.0),), **labels):
    """The entry after a region was pasted into its image, and the trust in its labels."""
    _, entry, pasted_trust = rare.paste(
        draw_boxes(boxes), make_entry(boxes, **labels), {}, np.random.default_rng(0)
    )
    return entry, pasted_trust


def test_a_phrase_with_another_count_than_its_regions_is_still_not_counted(corpus):
    rare = load_rare(corpus, {"caption": "dog"})
    counts = [
        CorpusCount(text="cells", count=5),
        CorpusCount(text="Dog", count=2),
        CorpusCount(text="brown dogs", count=1),
    ]
    phrases = [CorpusPhrase(text="cells", region_indices=[0])]
    entry, _ = paste(rare, phrases=phrases, counts=counts)
    assert [(count.text, count.count) for count in entry.counts] == [("cells", 5), ("Dog", 3)]
    assert not ImageLabels(entry.regions, entry.phrases, entry.counts).can_be_counted(entry.phrases[0])


def test_names_of_places_forbid_pasting_and_other_labels_of_places_are_left_out(corpus):
    rare = load_rare(corpus, {"caption": "dog", "detailed_caption": "a dog at the left edge"})
    phrases = [CorpusPhrase(text=text, region_indices=[0]) for text in ("leftmost object", "a plain object")]
    entry, _ = paste(rare, phrases=phrases)
    assert [phrase.text for phrase in entry.phrases] == ["a plain object"]
    assert [region.detailed_caption for region in entry.regions] == [None, None]
    upper = [CorpusRegion(box_xyxy=(10, 10, 40, 40), caption="the upper square")]
    original = CorpusImage(uri="a.png", regions=upper)
    assert rare.paste(draw_boxes([]), original, {}, np.random.default_rng(0))[1] == original
    groups = [
        replace(group, load_without_pixels=lambda: [TrainingExample(original)] * 12)
        for group in open_source([corpus]).groups
    ]
    assert NameIndex(groups).rare(below=2) == {}


def test_a_phrase_that_includes_a_pasted_region_is_trusted_as_its_caption(corpus):
    trust = {LabelKind.BRIEF_CAPTION: LabelTrust(human=False, confidence=0.3)}
    phrases = [CorpusPhrase(text=text, region_indices=[]) for text in ("Dog", "cat")]
    _, pasted_trust = paste(load_rare(corpus, {"caption": "dog"}, trust), phrases=phrases)
    assert pasted_trust[LabelKind.GROUND, None, "Dog"] == pasted_trust[LabelKind.COUNT, None, "Dog"]
    assert pasted_trust[LabelKind.GROUND, None, "Dog"].confidence == 0.3
    assert (LabelKind.GROUND, None, "cat") not in pasted_trust


def test_an_unusable_box_does_not_make_another_region_the_rare_one(tmp_path):
    draw_boxes([(10, 10, 40, 40), (60, 50, 100, 80)]).save(tmp_path / "a.png")
    outside = {"box_xyxy": [500, 500, 600, 600], "caption": "gone"}
    both = [
        outside,
        {"box_xyxy": [10, 10, 40, 40], "caption": "red"},
        {"box_xyxy": [60, 50, 100, 80], "caption": "lime"},
    ]
    entries = [{"image": "a.png", "regions": both}, {"image": "a.png", "regions": both[2:]}]
    (tmp_path / "annotations.jsonl").write_text("\n".join(map(json.dumps, entries)))
    groups = open_source([str(tmp_path)]).groups
    rare = RareRegions(groups, NameIndex(groups), below=0.6, seed=0, limits=InputLimits())
    assert all(is_filled(crop.rgb, (0, 0, *crop.rgb.size), crop.region.caption) for crop in rare._crops)
    assert "lime" not in {crop.region.caption for crop in rare._crops}
