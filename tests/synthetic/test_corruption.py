"""Corrupted scenes: the same for the same seed, with the same gold, and unchanged at strength 0."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.synthetic.gold import write_scenes
from fo1_data.synthetic.scenes import make_scene

SEEDS = st.integers(0, 2**31)


@given(seed=SEEDS, strength=st.floats(0.05, 1))
@settings(max_examples=12, deadline=None)
def test_pixels_change_and_objects_do_not(seed: int, strength: float) -> None:
    plain = make_scene(seed, (3, 6))
    harder = make_scene(seed, (3, 6), corruption=strength)
    assert harder.objects == plain.objects
    assert harder.distractors_xyxy == plain.distractors_xyxy
    assert harder.image.size == plain.image.size
    assert harder.image.tobytes() != plain.image.tobytes()


@given(seed=SEEDS)
@settings(max_examples=5, deadline=None)
def test_the_same_seed_gives_the_same_image(seed: int) -> None:
    first, second = (make_scene(seed, (3, 6), corruption=0.7).image for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_strength_0_is_the_plain_scene() -> None:
    assert make_scene(5, corruption=0.0).image.tobytes() == make_scene(5).image.tobytes()


def test_more_strength_is_farther_from_the_plain_scene() -> None:
    def distance(strength: float) -> float:
        distances = []
        for seed in range(6):
            plain = np.asarray(make_scene(seed, (3, 6)).image, np.float32)
            harder = np.asarray(make_scene(seed, (3, 6), corruption=strength).image, np.float32)
            distances.append(np.abs(plain - harder).mean())
        return float(np.mean(distances))

    assert distance(0.2) < distance(0.5) < distance(1.0)


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_corruption_does_not_change_gold(tmp_path: Path, strength: float) -> None:
    def lines(folder: Path, corruption: float) -> list[dict[str, object]]:
        listing = write_scenes(folder, 3, 50, (3, 6), corruption)
        return [json.loads(line) for line in listing.read_text().splitlines()]

    assert lines(tmp_path / "harder", strength) == lines(tmp_path / "plain", 0.0)
