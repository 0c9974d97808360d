"""Scenes: the same for the same seed, with exact gold and object sizes within their ranges."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.errors import ConfigError
from fo1_data.synthetic.gold import gold_of, write_scenes
from fo1_data.synthetic.scenes import make_scene
from fo1_data.synthetic.shapes import SIZE_RANGE_PX
from fo1_data.synthetic.wording import Phrase, place_of
from schemas.corpus import CorpusImage

seeds = st.integers(min_value=0, max_value=2**40)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_scene_is_the_same_for_the_same_seed(seed):
    first, second = make_scene(seed), make_scene(seed)
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
    assert first.objects == second.objects
    assert gold_of(first, "a.png") == gold_of(second, "a.png")


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_objects_lie_inside_and_follow_the_size_rule(seed):
    scene = make_scene(seed)
    width, height = scene.image.size
    assert max(width, height) / min(width, height) <= 5.3
    for thing in scene.objects:
        x_min, y_min, x_max, y_max = thing.box_xyxy
        assert 0 <= x_min < x_max <= width
        assert 0 <= y_min < y_max <= height
        low, high = SIZE_RANGE_PX[thing.size]
        assert low - 2 <= max(x_max - x_min, y_max - y_min) <= high + 2


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_gold_phrases_name_exactly_the_objects_that_fit(seed):
    scene = make_scene(seed)
    gold = gold_of(scene, "a.png")
    kinds = gold.meta["phrase_kinds"]
    for phrase in gold.phrases:
        named = {index: scene.objects[index] for index in phrase.region_indices}
        if kinds[phrase.text] == "absent":
            assert not named
        else:
            assert named
            noun = phrase.text.split(" of the ")[0].split(" above the ")[0].split(" below the ")[0]
            for thing in named.values():
                words = set(noun.split()) - {"object", "left", "right"}
                assert words <= {thing.shape, thing.colour, thing.fill, thing.size}
    for count in gold.counts:
        words = count.text.split()
        fitting = [
            thing
            for thing in scene.objects
            if set(words) - {"object"} <= {thing.shape, thing.colour, thing.fill, thing.size}
        ]
        assert count.count == len(fitting)


def test_most_scenes_hold_relations_and_near_misses():
    golds = [gold_of(make_scene(seed), "a.png") for seed in range(40)]
    kinds = [kind for gold in golds for kind in gold.meta["phrase_kinds"].values()]
    assert kinds.count("related") > 40
    assert kinds.count("absent") > 80


def test_dense_scenes_hold_sixty_objects_and_more():
    assert all(60 <= len(make_scene(seed, (64, 100)).objects) <= 100 for seed in range(5))


def test_a_phrase_has_a_fixed_order_of_words():
    assert str(Phrase("star", "red", "striped", "small")) == "small striped red star"
    assert str(Phrase(None, "red")) == "red object"


def test_places_are_cells_of_a_grid():
    assert place_of((0, 0, 10, 10), (90, 90)) == "upper left"
    assert place_of((40, 40, 50, 50), (90, 90)) == "center"
    assert place_of((80, 40, 90, 50), (90, 90)) == "right"


def test_scenes_are_written_as_a_corpus_with_gold(tmp_path):
    listing = write_scenes(tmp_path / "scenes", 3, 5)
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["scene-5", "scene-6", "scene-7"]
    for line in lines:
        assert (listing.parent / line["image"]).is_file()
        CorpusImage(uri=line.pop("image"), **line)
    with pytest.raises(ConfigError, match="not empty"):
        write_scenes(tmp_path / "scenes", 1, 0)
