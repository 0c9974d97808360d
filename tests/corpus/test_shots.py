"""Shots: hard cuts and fades begin one, motion and flashes do not; reading on from a shot finds the same."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

pytest.importorskip("scenedetect")

from fo1_data.corpus.video.opening import open_video
from fo1_data.corpus.video.shots import mark_shots
from fo1_data.corpus.video.video import VideoFrame
from fo1_data.errors import ConfigError
from fo1_data.synthetic.scenes import make_scene

VIEW = (240, 180)


def pan(seed, num_frames, step_px, width=720):
    """A view that moves over a generated scene, with the noise of a camera."""
    noise = np.random.default_rng(seed)
    scene = make_scene(seed, (15, 20), canvas_wh=(width, VIEW[1])).image
    images = []
    for number in range(num_frames):
        x = min(number * step_px, width - VIEW[0])
        pixels = np.asarray(scene.crop((x, 0, x + VIEW[0], VIEW[1]))) + noise.normal(
            0, 3, (VIEW[1], VIEW[0], 3)
        )
        images.append(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    return images


def frames_of(images):
    return [VideoFrame(number, number / 25, image) for number, image in enumerate(images)]


def starts(images):
    marked = list(mark_shots(iter(frames_of(images))))
    assert [mark.frame.number for mark in marked] == list(range(len(images)))
    return [mark.frame.number for mark in marked if mark.begins_shot]


@pytest.mark.parametrize("seed", range(200, 206))
def test_a_cut_between_two_scenes_that_move_begins_a_shot(seed):
    assert starts(pan(seed, 20, 3) + pan(seed + 100, 20, 4) + pan(seed, 9, 2)) == [0, 20, 40]


@pytest.mark.parametrize("step_px", [5, 15, 24])
def test_fast_motion_is_no_cut(step_px):
    """Up to a tenth of the width from one frame to the next."""
    for seed in (210, 211, 212):
        assert starts(pan(seed, 30, step_px)) == [0]


@pytest.mark.parametrize("num_frames", [5, 12, 25])
def test_after_a_fade_through_black_a_shot_begins_where_something_can_be_seen(num_frames):
    before, after = pan(220, 20, 2), pan(221, 20, 2)
    out = [ImageEnhance.Brightness(before[-1]).enhance(1 - (n + 1) / num_frames) for n in range(num_frames)]
    back = [ImageEnhance.Brightness(after[0]).enhance((n + 1) / num_frames) for n in range(num_frames)]
    black = [Image.new("RGB", VIEW)] * 4
    first, found = starts(before + out + black + back + after)
    black_until = len(before) + num_frames + len(black)
    assert first == 0
    assert black_until <= found < black_until + num_frames


def test_a_flash_is_no_cut():
    images = pan(230, 30, 2)
    images[12] = Image.fromarray(np.clip(np.asarray(images[12]).astype(int) + 120, 0, 255).astype(np.uint8))
    assert starts(images) == [0]


def test_reading_on_from_a_shot_finds_the_same_shots():
    images = [image for seed in range(240, 245) for image in pan(seed, 8 + seed % 3, 3)]
    found = starts(images)
    assert len(found) == 5
    for first in found:
        assert [first + number for number in starts(images[first:])] == [n for n in found if n >= first]


def test_few_frames_and_no_frame():
    assert starts([]) == []
    assert starts(pan(1, 1, 1)) == [0]
    assert starts(pan(1, 2, 1)) == [0]


def test_a_real_scene_and_a_cut_out_of_it(shared):
    path = shared / "domain-data" / "video" / "cups.mp4"
    if not path.exists():
        pytest.skip("no video of cups beside the project")
    with open_video(str(path)) as video:
        cups = [frame.image.resize((320, 180)) for frame in video.frames(0, 99)]
    assert starts(cups) == [0]
    other = [image.resize((320, 180)) for image in pan(250, 20, 2)]
    assert starts(cups[:60] + other + cups[60:]) == [0, 60, 80]


def test_frames_are_given_two_behind_what_was_read():
    read = []
    marked = mark_shots(read.append(frame.number) or frame for frame in frames_of(pan(1, 10, 1)))
    assert next(marked).frame.number == 0
    assert read == [0, 1, 2]


def test_without_scenedetect_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(ConfigError, match=r"install fo1-data\[video\]"):
        next(mark_shots(frames_of(pan(1, 1, 1))))
