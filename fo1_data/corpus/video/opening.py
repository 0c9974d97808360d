"""Opens a video by its address: a file, or a folder of numbered images with a rate."""

from collections.abc import Iterator
from contextlib import contextmanager

from fo1_data.corpus.places import kind_of
from fo1_data.corpus.video.container_video import ContainerVideo
from fo1_data.corpus.video.frame_sequence import FrameSequence, numbered_images
from fo1_data.corpus.video.streams import require_decoder
from fo1_data.corpus.video.video import Video
from fo1_data.errors import ConfigError
from schemas.corpus import CorpusImage

# Frames a second of images whose source tells no rate.
ASSUMED_FPS = 25.0


@contextmanager
def open_video(address: str, fps: float | None = None) -> Iterator[Video]:
    """Open a video. fps: the rate of a folder of images; a file has its own times and takes none.

    Raises ConfigError if PyAV is not installed or a folder has no rate or no image, InputReject (stage
    `fetch`) if the file cannot be read; a file that ends early opens, and `info.fault` says so.
    """
    if kind_of(address) != "folder":
        require_decoder(address)
        yield ContainerVideo(address)
        return
    if fps is None:
        raise ConfigError(f"{address} is a folder of images: say how many are shown a second")
    yield FrameSequence(address, numbered_images(address), fps)


@contextmanager
def open_entry(entry: CorpusImage) -> Iterator[Video]:
    """Open the video that an entry is. One that is kept as images has `ASSUMED_FPS` if no rate is told.

    Raises as `open_video`.
    """
    if entry.frame_files is None:
        with open_video(entry.origin.uri) as video:
            yield video
        return
    yield FrameSequence(entry.name, entry.frame_files.addresses, entry.frame_files.fps or ASSUMED_FPS)
