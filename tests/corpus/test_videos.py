"""Videos as frames: at regular times, identified by their address, one row per frame."""

import sys
from hashlib import sha256

import numpy as np
import pytest
from factories import encode, make_image, make_row

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.pixels import image_bytes
from fo1_data.errors import CorpusError, InputReject
from schemas.corpus import CorpusImage

av = pytest.importorskip("av")

RATE, SECONDS = 10, 3


def write_video(path, grey_of=lambda number: 8 * number, codec="mpeg4"):
    """A clip whose n-th frame has a grey value of its own, so that a frame shows its time."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 7
        stream.bit_rate = 8_000_000
        for number in range(RATE * SECONDS):
            pixels = np.full((48, 64, 3), grey_of(number), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4")


def frames(corpus, every_s):
    return load_listing(str(corpus), frame_every_s=every_s).entries


def grey_of(entry):
    image = decode_rgb(read_bytes(entry, InputLimits()), InputLimits())
    assert (image.width, image.height) == (64, 48)
    return float(np.asarray(image.rgb).mean())


@pytest.mark.parametrize("every_s", [1.0, 0.5, 0.7])
def test_frames_are_those_of_their_times(clip, every_s):
    listed = frames(clip, every_s)
    times = [entry.meta["time_s"] for entry in listed]
    assert times == [round(number * every_s, 3) for number in range(len(times))]
    assert times[-1] < SECONDS <= times[-1] + every_s + 1e-6
    for entry, time_s in zip(listed, times, strict=True):
        assert grey_of(entry) == pytest.approx(8 * round(time_s * RATE), abs=4)


def test_a_frame_is_the_same_bytes_each_time_it_is_read(clip):
    entry = frames(clip, 1.0)[1]
    data = read_bytes(entry, InputLimits())
    assert data == read_bytes(CorpusImage(uri=entry.uri, inner=entry.inner), InputLimits())
    row = make_row(1, uri=entry.name)
    row = row.model_copy(update={"image_id": sha256(data).hexdigest()})
    assert image_bytes(row, InputLimits()) == data


def test_videos_images_and_a_broken_video(clip, tmp_path):
    (tmp_path / "a.png").write_bytes(encode(make_image(1)))
    (tmp_path / "b.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "c.mp4").write_bytes(b"no video at all")
    listing = load_listing(str(tmp_path), frame_every_s=2)
    assert [reject.reason for reject in listing.rejects] == ["bad_video"]
    assert listing.sources[0].attached == {"images": 3}
    assert [entry.inner for entry in listing.entries] == [
        None, "frame@0.000s", "frame@2.000s",
    ]  # fmt: skip
    with pytest.raises(InputReject, match="names no frame"):
        read_bytes(CorpusImage(uri=str(tmp_path / "b.mp4"), inner="frame@soon"), InputLimits())


def test_without_pyav_the_extra_is_named(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CorpusError, match=r"install fo1-data\[video\]"):
        load_listing(str(clip))


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov", ".mpg", ".webm"])
def test_every_container_is_read(tmp_path, suffix):
    codec = {".webm": "vp8", ".mpg": "mpeg2video"}.get(suffix, "mpeg4")
    assert len(frames(write_video(tmp_path / f"clip{suffix}", codec=codec), 1.0)) > 1


def test_a_playlist_under_a_videos_name_is_not_followed(clip, tmp_path, monkeypatch):
    """FFmpeg would read the files that it names as a video."""
    monkeypatch.chdir(clip.parent)
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {clip.name}\n")
    (reject,) = load_listing(str(tmp_path), frame_every_s=1.0).rejects
    assert reject.reason == "bad_video"
