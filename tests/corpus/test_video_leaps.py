"""A frame that a leap reaches is the same, bit for bit, as in decoding from the start; memory is flat."""

import subprocess
import sys
from fractions import Fraction
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("av")

from clip_samples import number_shown, write_clip, x264
from counting_server import counting_server

from fo1_data.corpus.video.container_video import ContainerVideo
from fo1_data.corpus.video.opening import open_video
from fo1_data.corpus.video.streams import VideoStream

# More than decoding on would reach, so that the last frames are leapt to.
NUM_FRAMES = 120

CODECS = {
    "intra refresh": ("mp4", "libx264", x264(20, 0, more=":intra-refresh=1")),
    "hevc": (
        "mp4",
        "libx265",
        {"x265-params": "keyint=15:min-keyint=15:bframes=3:open-gop=1:scenecut=0:log-level=none"},
    ),
    "vp9 with hidden frames": (
        "webm",
        "libvpx-vp9",
        {"auto-alt-ref": "1", "lag-in-frames": "12", "g": "20", "cpu-used": "8", "deadline": "realtime"},
    ),
    "vp8": ("webm", "libvpx", {"g": "20", "deadline": "realtime", "cpu-used": "8"}),
    "avi": ("avi", "mpeg4", {"bf": "2", "g": "12"}),
    "avi without times": ("avi", "libx264", {"bf": "2", "g": "12"}),
    "mpeg program stream": ("mpg", "mpeg2video", {"bf": "2", "g": "12"}),
}


def check_leaps(path, numbers):
    with open_video(str(path)) as video:
        whole = [sha256(frame.image.tobytes()).digest() for frame in video.frames()]
        assert len(whole) == video.info.num_frames
        for number in numbers:
            assert sha256(video.frame(number).image.tobytes()).digest() == whole[number]
        assert [video.number_at(video.time_of(number)) for number in range(len(whole))] == [
            *range(len(whole))
        ]
        few = sorted(set(numbers))
        assert [sha256(frame.image.tobytes()).digest() for frame in video.frames_at(few)] == [
            whole[number] for number in few
        ]
        return len(whole)


@pytest.mark.parametrize("kind", CODECS)
def test_every_codec_and_container(tmp_path, kind):
    suffix, codec, options = CODECS[kind]
    rate = 25 if suffix == "mpg" else 10
    path = write_clip(tmp_path / f"a.{suffix}", NUM_FRAMES, codec=codec, options=options, rate=rate)
    assert check_leaps(path, [NUM_FRAMES - 1, 70, 71, 89, 90, 100, 0]) == NUM_FRAMES
    if kind != "intra refresh":
        with open_video(str(path)) as video:
            assert [number_shown(frame.image) for frame in video.frames(every=10)] == [*range(0, 120, 10)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(["mp4", "mkv"]),
    gop=st.integers(1, 60),
    b_frames=st.integers(0, 5),
    open_gop=st.booleans(),
    rate=st.fractions(1, 120, max_denominator=1001),
    steps=st.lists(st.integers(1, 9), min_size=NUM_FRAMES, max_size=NUM_FRAMES),
    varies=st.booleans(),
    numbers=st.lists(st.integers(0, NUM_FRAMES - 1), min_size=4, max_size=4),
)
def test_any_groups_of_pictures_and_rates(
    tmp_path, suffix, gop, b_frames, open_gop, rate, steps, varies, numbers
):
    stamps = [sum(steps[:number]) for number in range(NUM_FRAMES)] if varies else None
    path = write_clip(
        tmp_path / f"a.{suffix}",
        NUM_FRAMES,
        options=x264(gop, b_frames, open_gop),
        rate=rate,
        timestamps=stamps,
        tick_s=Fraction(1, 100) if varies else None,
    )
    assert check_leaps(path, [*numbers, NUM_FRAMES - 1]) == NUM_FRAMES


def test_a_leap_does_not_decode_what_lies_before_it(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", 400, options=x264(10, 2))
    decoded = []
    with open_video(str(path)) as video:
        _ = video.info
        pictures = VideoStream.pictures
        monkeypatch.setattr(
            VideoStream, "pictures", lambda self: (decoded.append(1) or item for item in pictures(self))
        )
        assert number_shown(video.frame(395).image) == 395
    assert len(decoded) <= 20


MEASURE = """
import resource, sys
from fo1_data.corpus.video.opening import open_video
peaks = []
for path in sys.argv[1:]:
    with open_video(path) as video:
        count = sum(1 for _ in video.frames())
    peaks.append((count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
print(peaks[0][0], peaks[1][0], peaks[1][1] - peaks[0][1])
"""


def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path):
    """4,000 frames of 160 x 120 px are 230 MB as pictures, and the index of them is 32 KB."""
    for name, count in (("short.mp4", 40), ("long.mp4", 4000)):
        write_clip(tmp_path / name, count, options=x264(50, 2) | {"preset": "ultrafast"}, size=(160, 120))
    paths = [str(tmp_path / "short.mp4"), str(tmp_path / "long.mp4")]
    done = subprocess.run([sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, check=True)
    short, long, growth_kb = map(int, done.stdout.split())
    assert (short, long) == (40, 4000)
    assert growth_kb < 8 * 1024


def test_several_passes_at_once(tmp_path):
    video = ContainerVideo(str(write_clip(tmp_path / "a.mp4", 60, options=x264(10, 2))))
    pairs = zip(video.frames(0, 9), video.frames(50, 59), strict=True)
    assert [(number_shown(a.image), number_shown(b.image)) for a, b in pairs] == [
        (n, n + 50) for n in range(10)
    ]


def test_a_video_of_the_web_is_loaded_once(tmp_path):
    write_clip(tmp_path / "a.mp4", 60, options=x264(10, 2))
    with counting_server(tmp_path) as server, open_video(f"{server.url}/a.mp4") as video:
        assert number_shown(video.frame(55).image) == 55
        assert [number_shown(frame.image) for frame in video.frames(3, 5)] == [3, 4, 5]
        assert sum(server.requests.values()) == 1
