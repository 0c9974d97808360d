"""Which frames a video shows, when, and which way up: what a player shows, on files made for each case.

Expected numbers and times are worked out by hand from how each file was written; FFmpeg's own player and
`ffprobe -show_frames` show the same.
"""

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av")

from clip_samples import (
    HEIGHT,
    WIDTH,
    number_shown,
    set_edits,
    without_first_packets,
    write_clip,
    x264,
)
from factories import encode, make_image

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.video.opening import open_video
from fo1_data.errors import ConfigError, InputReject
from schemas.corpus import CorpusImage

# Of a clip of 10 frames a second with B-frames, whose first picture waits for two others.
FRAME_TICKS, FIRST_TICK = 1024, 2048


def shown(path):
    with open_video(str(path)) as video:
        frames = list(video.frames())
        assert [frame.number for frame in frames] == list(range(video.info.num_frames))
        assert [frame.time_s for frame in frames] == [video.time_of(frame.number) for frame in frames]
        assert video.num_undecodable == 0
        return [number_shown(frame.image) for frame in frames], [frame.time_s for frame in frames], video.info


def test_frames_stored_in_another_order_come_as_shown(tmp_path):
    numbers, times, info = shown(write_clip(tmp_path / "a.mp4", 30, options=x264(10, 3)))
    assert numbers == list(range(30))
    assert times == pytest.approx([number / 10 for number in range(30)])
    assert (info.width, info.height, info.num_frames, info.constant_rate) == (WIDTH, HEIGHT, 30, True)
    assert (info.fps, info.duration_s, info.fault) == (pytest.approx(10), pytest.approx(3), None)


@pytest.mark.parametrize(("suffix", "start_ms"), [("mp4", 0), ("mkv", 0), ("mkv", 5000)])
def test_a_rate_that_varies_and_a_clock_that_does_not_begin_at_0(tmp_path, suffix, start_ms):
    times_ms = [0, 40, 80, 200, 240, 1000, 1040]
    stamps = [start_ms + time for time in times_ms]
    path = write_clip(tmp_path / f"a.{suffix}", 7, timestamps=stamps, tick_s=Fraction(1, 1000))
    numbers, times, info = shown(path)
    assert numbers == list(range(7))
    assert times == pytest.approx([time / 1000 for time in times_ms])
    assert not info.constant_rate
    assert info.fault is None
    with open_video(str(path)) as video:
        at = {-1: 0, 0: 0, 0.039: 0, 0.0401: 1, 0.199: 2, 0.2: 3, 0.9999: 4, 1.0: 5, 1.04: 6, 99: 6}
        assert {time: video.number_at(time) for time in at} == at


def test_times_rounded_to_milliseconds_are_of_a_constant_rate(tmp_path):
    path = write_clip(tmp_path / "a.mkv", 60, rate=Fraction(30000, 1001))
    _, times, info = shown(path)
    assert info.constant_rate
    assert info.fps == pytest.approx(29.97, abs=0.02)
    assert times == pytest.approx([n * 1001 / 30000 for n in range(60)], abs=0.0006)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([(1500, FIRST_TICK + 12 * FRAME_TICKS)], range(12, 27)),
        ([(2000, -1), (3000, FIRST_TICK)], range(30)),
        ([(500, FIRST_TICK), (700, FIRST_TICK + 20 * FRAME_TICKS)], [*range(5), *range(20, 27)]),
    ],
    ids=["the start and the end are cut", "it begins late", "a piece in the middle is left out"],
)
def test_frames_that_an_edit_list_leaves_out_are_not_counted(tmp_path, edits, expected):
    path = write_clip(tmp_path / "a.mp4", 30, options=x264(10, 3))
    set_edits(path, edits)
    numbers, times, info = shown(path)
    assert numbers == list(expected)
    assert times == pytest.approx([number / 10 for number in range(len(numbers))])
    assert info.duration_s == pytest.approx(len(numbers) / 10)
    assert info.fault is None
    with open_video(str(path)) as video:
        assert number_shown(video.frame(6).image) == expected[6]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_frames_at_the_start_that_need_one_before_the_file_are_not_shown(tmp_path, suffix):
    """The second group of pictures of an open GOP begins with two B-frames that lean on the first group."""
    whole = write_clip(tmp_path / "whole.mp4", 40, options=x264(10, 3, open_gop=True))
    path = without_first_packets(
        whole, tmp_path / f"a.{suffix}", lambda packet: packet.is_keyframe and packet.pts > 0
    )
    numbers, times, _ = shown(path)
    assert numbers == list(range(10, 40))
    assert times[:3] == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("turn", "shown_wh"),
    [
        ((90, False, False), (HEIGHT, WIDTH)),
        ((180, False, False), (WIDTH, HEIGHT)),
        ((270, False, False), (HEIGHT, WIDTH)),
        ((0, True, False), (WIDTH, HEIGHT)),
        ((0, False, True), (WIDTH, HEIGHT)),
        ((90, True, False), (HEIGHT, WIDTH)),
    ],
)
def test_pictures_are_turned_and_mirrored_as_the_container_says(tmp_path, turn, shown_wh):
    path = write_clip(tmp_path / "a.mp4", 3, turn=turn)
    degrees, mirrored, upside_down = turn
    with open_video(str(write_clip(tmp_path / "plain.mp4", 3))) as plain, open_video(str(path)) as video:
        expected = np.rot90(np.asarray(plain.frame(1).image), degrees // 90)
        expected = expected[:, ::-1] if mirrored else expected
        expected = expected[::-1] if upside_down else expected
        image = video.frame(1).image
        assert (video.info.width, video.info.height) == image.size == shown_wh
        assert np.array_equal(np.asarray(image), expected)


def test_a_frame_is_an_entry_of_a_corpus_under_a_name_of_its_own(tmp_path):
    stamps = [0, 40, 80, 200, 240, 1000, 1041]
    path = write_clip(tmp_path / "a.mp4", 7, timestamps=stamps, tick_s=Fraction(1, 1000))
    with open_video(str(path)) as video:
        for number in range(7):
            place = video.place_of(number)
            assert place.inner == f"frame@n{number}@{stamps[number] / 1000:.6f}s"
            data = read_bytes(CorpusImage(uri=place.uri, inner=place.inner), InputLimits())
            assert decode_rgb(data, InputLimits()).rgb.tobytes() == video.frame(number).image.tobytes()
    old = CorpusImage(uri=str(path), inner="frame@0.100s")
    assert number_shown(decode_rgb(read_bytes(old, InputLimits()), InputLimits()).rgb) == 3


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_of_a_file_that_was_cut_short_the_frames_until_there_are_read_and_it_is_told(tmp_path, suffix):
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = write_clip(
        tmp_path / f"a.{suffix}", 60, options=x264(10, 0) | {"crf": "1"}, container_options=options
    )
    numbers, _, info = shown(cut(path, 0.7))
    assert 10 < len(numbers) < 50
    assert numbers == list(range(len(numbers)))
    assert "cut short" in info.fault


def test_a_damaged_frame_is_left_out_and_the_others_keep_their_numbers(tmp_path):
    path = write_clip(tmp_path / "a.mov", 12, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 12
    data[starts[5] : starts[6]] = bytes(starts[6] - starts[5])
    path.write_bytes(data)
    with open_video(str(path)) as video:
        found = [(frame.number, number_shown(frame.image)) for frame in video.frames()]
        assert found == [(number, number) for number in range(12) if number != 5]
        assert (video.info.num_frames, video.num_undecodable) == (12, 1)
        with pytest.raises(InputReject, match="frame 5 is damaged"):
            video.frame(5)


def test_frames_outside_the_video_and_files_that_are_none_are_refused(tmp_path):
    with open_video(str(write_clip(tmp_path / "a.mp4", 5))) as video:
        assert [frame.number for frame in video.frames(3, 99)] == [3, 4]
        assert [frame.number for frame in video.frames(-4, 4, every=2)] == [0, 2, 4]
        for number in (-1, 5):
            with pytest.raises(InputReject, match="has 5 frames, none is"):
                video.frame(number)
        with pytest.raises(ValueError, match="ascend"):
            next(video.frames_at([2, 1]))
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    with open_video(str(tmp_path / "b.mp4")) as video, pytest.raises(InputReject, match="not a video"):
        _ = video.info
    with open_video(str(tmp_path / "none.mp4")) as video, pytest.raises(InputReject, match="cannot read"):
        _ = video.info


def test_numbered_images_are_a_video_of_a_given_rate(tmp_path):
    for number in (1, 2, 10):
        (tmp_path / f"{number}.png").write_bytes(encode(make_image(number)))
    (tmp_path / "notes.txt").write_text("no image")
    with open_video(str(tmp_path), fps=12.5) as video:
        assert (video.info.width, video.info.height, video.info.num_frames) == (64, 48, 3)
        assert (video.info.fps, video.info.duration_s) == (pytest.approx(12.5), pytest.approx(0.24))
        frames = list(video.frames(1))
        assert [(frame.number, frame.time_s) for frame in frames] == [
            (1, pytest.approx(0.08)),
            (2, pytest.approx(0.16)),
        ]
        assert frames[1].image.tobytes() == make_image(10).tobytes()
        assert video.number_at(0.1) == 1
        assert video.place_of(2).uri.endswith("/10.png")
        (tmp_path / "10.png").write_bytes(encode(make_image(1, width=80)))
        with pytest.raises(InputReject, match="80x48 px, the first image 64x48"):
            video.frame(2)


def test_a_folder_needs_a_rate_and_images(tmp_path):
    with pytest.raises(ConfigError, match="how many are shown a second"), open_video(str(tmp_path)):
        pass
    with pytest.raises(ConfigError, match="holds no image"), open_video(str(tmp_path), fps=10):
        pass
    (tmp_path / "1.png").write_bytes(encode(make_image(1)))
    with pytest.raises(ConfigError, match="above 0"), open_video(str(tmp_path), fps=0):
        pass
