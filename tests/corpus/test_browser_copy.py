"""The copy for browsers: its frame n is frame n of the video, at a constant rate."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av")

import av
from clip_samples import HEIGHT, WIDTH, number_shown, numbered_picture, set_edits, write_clip, x264

from fo1_data.corpus.video.browser_copy import copy_rate, copy_wh, is_played_as_numbered, write_browser_copy
from fo1_data.corpus.video.opening import open_video
from fo1_data.errors import InputReject


def copy_of(path, out, numbers, fps=None):
    """Write the copy, and compare all its frames with the numbers that the source's frames show."""
    with open_video(str(path), fps) as source:
        write_browser_copy(source, out)
        info = source.info
    assert info.num_frames == len(numbers)
    with open_video(str(out)) as video:
        assert video.info.constant_rate
        assert (video.info.width, video.info.height) == copy_wh(info.width, info.height)
        assert video.info.fps == pytest.approx(float(copy_rate(info.fps)))
        assert [number_shown(frame.image) for frame in video.frames()] == list(numbers)
        assert is_played_as_numbered(str(out), video.info)


def test_b_frames_and_open_groups_stay_frame_by_frame(tmp_path):
    rate = Fraction(30000, 1001)
    path = write_clip(tmp_path / "a.mp4", 40, rate=rate, options=x264(12, 3, open_gop=True))
    copy_of(path, tmp_path / "copy.mp4", range(40))


def test_every_frame_of_a_rate_that_varies_is_one_frame_of_the_copy(tmp_path):
    stamps = [0, 2, 4, 80, 200, 240, 1000, 1040, 1500]
    path = write_clip(tmp_path / "a.mkv", 9, timestamps=stamps, tick_s=Fraction(1, 1000))
    copy_of(path, tmp_path / "copy.mp4", range(9))


def test_a_lone_frame_is_copied(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.fromarray(numbered_picture(3)).save(folder / "0.png")
    copy_of(folder, tmp_path / "copy.mp4", [3], fps=12.5)


def test_turned_and_cut_frames_are_those_that_are_shown(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 30, options=x264(10, 3), turn=(180, False, False))
    set_edits(path, [(1500, 2048 + 12 * 1024)])
    with open_video(str(path)) as video:
        upside_down = video.frame(0).image
        assert number_shown(upside_down.rotate(180)) == 12
        write_browser_copy(video, tmp_path / "copy.mp4")
    with open_video(str(tmp_path / "copy.mp4")) as video:
        assert [number_shown(frame.image.rotate(180)) for frame in video.frames()] == list(range(12, 27))


def test_odd_sides_get_a_row_and_a_column_and_boxes_stay(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        Image.fromarray(numbered_picture(number, WIDTH + 1, HEIGHT + 1)).save(folder / f"{number}.png")
    copy_of(folder, tmp_path / "copy.mp4", range(5), fps=12.5)
    with open_video(str(tmp_path / "copy.mp4")) as video:
        assert (video.info.width, video.info.height) == (WIDTH + 2, HEIGHT + 2)
        pixels = np.asarray(video.frame(2).image).astype(int)
    expected = numbered_picture(2, WIDTH + 1, HEIGHT + 1).astype(int)
    assert np.abs(pixels[:-1, :-1] - expected).mean() < 6
    assert np.abs(pixels[-1] - pixels[-2]).mean() < 6
    assert np.abs(pixels[:, -1] - pixels[:, -2]).mean() < 6


@pytest.mark.parametrize(("damaged", "shown_there"), [(5, 4), (11, 10)])
def test_a_damaged_frame_is_shown_as_the_one_before_it(tmp_path, damaged, shown_there):
    path = write_clip(tmp_path / "a.mov", 12, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    end = data.index(b"\xff\xd9", starts[damaged]) + 2
    data[starts[damaged] : end] = bytes(end - starts[damaged])
    path.write_bytes(data)
    copy_of(path, tmp_path / "copy.mp4", [shown_there if n == damaged else n for n in range(12)])


def test_a_damaged_beginning_is_shown_as_the_frame_after_it(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", 5)
    with open_video(str(path)) as video:
        monkeypatch.setattr(video, "frames", lambda: video.frames_at(range(2, 5)))
        write_browser_copy(video, tmp_path / "copy.mp4")
        monkeypatch.setattr(video, "frames", lambda: iter(()))
        with pytest.raises(InputReject, match="not one frame"):
            write_browser_copy(video, tmp_path / "nothing.mp4")
    with open_video(str(tmp_path / "copy.mp4")) as video:
        assert [number_shown(frame.image) for frame in video.frames()] == [2, 2, 2, 3, 4]
    assert not (tmp_path / "nothing.mp4").exists()


def test_browsers_can_play_the_copy(tmp_path):
    """Its index lies before its pictures, a picture to begin at comes every second, pixels are yuv420p."""
    path = write_clip(tmp_path / "a.mp4", 60, rate=10)
    with open_video(str(path)) as video:
        write_browser_copy(video, tmp_path / "copy.mp4")
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
        write_browser_copy(video, tmp_path / "copy.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]
