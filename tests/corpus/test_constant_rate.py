"""The copy for browsers: each of its frames shows the frame of the source that it is said to show."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av")

import av
from clip_samples import HEIGHT, WIDTH, number_shown, numbered_picture, set_edits, write_clip, x264

from fo1_data.corpus.video.constant_rate import to_constant_rate
from fo1_data.corpus.video.opening import open_video
from fo1_data.errors import InputReject


def copy_of(path, out, numbers, fps=None):
    """A copy whose frames were all compared with the numbers that the source's frames show."""
    with open_video(str(path), fps) as source:
        copy = to_constant_rate(source, out)
        num_source = source.info.num_frames
        times = [source.time_of(number) for number in range(num_source)]
    assert num_source == len(numbers)
    with open_video(str(out)) as video:
        assert video.info.constant_rate
        assert (video.info.width, video.info.height) == (copy.width, copy.height)
        assert video.info.num_frames == copy.num_frames
        assert video.info.fps == pytest.approx(copy.fps)
        for frame in video.frames():
            shown = copy.source_frame_of(frame.number)
            assert number_shown(frame.image) == numbers[shown]
            assert frame.number in copy.copy_frames_of(shown)
    assert [copy.source_frame_of(k) for n in range(num_source) for k in copy.copy_frames_of(n)] == [
        n for n in range(num_source) for _ in copy.copy_frames_of(n)
    ]
    assert sum(len(copy.copy_frames_of(number)) for number in range(num_source)) == copy.num_frames
    return copy, times


def test_a_constant_rate_stays_frame_by_frame(tmp_path):
    rate = Fraction(30000, 1001)
    path = write_clip(tmp_path / "a.mp4", 40, rate=rate, options=x264(12, 3, open_gop=True))
    copy, _ = copy_of(path, tmp_path / "copy.mp4", range(40))
    assert list(copy.starts) == list(range(40))
    assert copy.fps == pytest.approx(30000 / 1001)


def test_a_rate_that_varies_is_shown_in_time(tmp_path):
    stamps = [0, 40, 80, 200, 240, 1000, 1040, 1080, 1500]
    path = write_clip(tmp_path / "a.mkv", 9, timestamps=stamps, tick_s=Fraction(1, 1000))
    copy, times = copy_of(path, tmp_path / "copy.mp4", range(9))
    assert copy.fps == pytest.approx(25)
    for number, time_s in enumerate(times):
        assert copy.starts[number] / copy.fps == pytest.approx(time_s, abs=0.5 / copy.fps + 1e-6)


def test_frames_that_come_faster_than_the_copy_are_all_shown(tmp_path):
    """Five frames within 10 ms, then one a second: each has a frame of its own, and time is caught up."""
    stamps = [0, 2, 4, 6, 8, 1000, 2000, 3000]
    path = write_clip(tmp_path / "a.mkv", 8, timestamps=stamps, tick_s=Fraction(1, 1000))
    copy, times = copy_of(path, tmp_path / "copy.mp4", range(8))
    assert copy.fps == 60
    assert list(copy.starts[:5]) == [0, 1, 2, 3, 4]
    assert [start / 60 for start in copy.starts[5:]] == pytest.approx(times[5:], abs=0.01)


def test_turned_and_cut_frames_are_those_that_are_shown(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 30, options=x264(10, 3), turn=(180, False, False))
    set_edits(path, [(1500, 2048 + 12 * 1024)])
    with open_video(str(path)) as video:
        upside_down = video.frame(0).image
        assert number_shown(upside_down.rotate(180)) == 12
        copy = to_constant_rate(video, tmp_path / "copy.mp4")
    with open_video(str(tmp_path / "copy.mp4")) as video:
        assert [number_shown(frame.image.rotate(180)) for frame in video.frames()] == list(range(12, 27))
        assert copy.num_frames == 15


def test_odd_sides_get_a_row_and_a_column_and_boxes_stay(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(numbered_picture(number, WIDTH + 1, HEIGHT + 1)).save(folder / f"{number}.png")
    copy, _ = copy_of(folder, tmp_path / "copy.mp4", range(5), fps=12.5)
    assert (copy.width, copy.height) == (WIDTH + 2, HEIGHT + 2)
    with open_video(str(tmp_path / "copy.mp4")) as video:
        pixels = np.asarray(video.frame(2).image).astype(int)
    expected = numbered_picture(2, WIDTH + 1, HEIGHT + 1).astype(int)
    assert np.abs(pixels[:-1, :-1] - expected).mean() < 6
    assert np.abs(pixels[-1] - pixels[-2]).mean() < 6
    assert np.abs(pixels[:, -1] - pixels[:, -2]).mean() < 6


def test_a_damaged_frame_is_shown_as_the_one_before_it(tmp_path):
    path = write_clip(tmp_path / "a.mov", 12, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    data[starts[5] : starts[6]] = bytes(starts[6] - starts[5])
    path.write_bytes(data)
    copy_of(path, tmp_path / "copy.mp4", [0, 1, 2, 3, 4, 4, *range(6, 12)])


def test_browsers_can_play_the_copy(tmp_path):
    """Its index lies before its pictures, a picture to begin at comes every second, pixels are yuv420p."""
    path = write_clip(tmp_path / "a.mp4", 60, rate=10)
    with open_video(str(path)) as video:
        to_constant_rate(video, tmp_path / "copy.mp4")
    data = (tmp_path / "copy.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        stream = container.streams.video[0]
        keys = [float(p.pts * p.time_base) for p in container.demux(stream) if p.size and p.is_keyframe]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert keys[0] == 0
    assert max(later - earlier for earlier, later in pairwise(keys)) <= 1.0


def test_nothing_is_left_behind_of_a_video_that_cannot_be_read(tmp_path):
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    with open_video(str(tmp_path / "b.mp4")) as video, pytest.raises(InputReject, match="not a video"):
        to_constant_rate(video, tmp_path / "copy.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]
