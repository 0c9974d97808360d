"""Files of several frames in a listing: videos and DICOM files as their frames, or videos as they are.

Opens videos and DICOM files to know their frames; decodes none.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from fo1_data.corpus.dicom.listing import DicomFrames
from fo1_data.corpus.forms.folder import ONE_IMAGE
from fo1_data.corpus.listing import Found, Item, Note, Piece, PlainImage, Refused, contents_of
from fo1_data.corpus.places import listing_reject
from fo1_data.corpus.video.listing import is_video, list_frames
from fo1_data.corpus.video.sequence_frames import frames_of_sequence
from schemas.corpus import CorpusImage
from schemas.images import Reject
from schemas.sources import ContentKind

Items = Iterator[Item]


@dataclass
class ListedVideos:
    """How videos are listed: a frame every `every_s` seconds, or if that is None as they are.

    keeps_sequences: whether a video that is kept as images is listed as one, and not as its images.
    whole: how many videos of each source were listed as they are.
    """

    every_s: float | None
    keeps_sequences: bool
    whole: Counter[str] = field(default_factory=Counter)

    def list(self, item: PlainImage | Piece) -> Items:
        """A video file, as it is or as its frames."""
        if self.every_s is None:
            self.whole[item.source] += 1
            yield from _whole_video(item)
            return
        if isinstance(item, PlainImage):
            yield Found(item.source, ONE_IMAGE)
            item = Piece(item.source, CorpusImage(uri=item.uri))
        yield from _frames(item, list_frames(item.entry, self.every_s))

    def list_sequence(self, item: Piece) -> Items:
        """A video that is kept as images; as images, what they say is counted by image."""
        if self.keeps_sequences:
            self.whole[item.source] += 1
            yield item
            return
        by_video = contents_of(item.entry)
        yield Found(item.source, {kind: -count for kind, count in by_video.items()})
        for frame in frames_of_sequence(item.entry):
            yield Found(item.source, contents_of(frame))
            yield replace(item, entry=frame)


def _whole_video(item: PlainImage | Piece) -> Items:
    """A video that is tracked: what its source says of an image as a whole is not of its frames."""
    if isinstance(item, PlainImage):
        yield item
        return
    entry = item.entry
    fields = entry.model_dump(include={"uri", "id", "width", "height", "phrases", "meta"})
    kept = CorpusImage(**fields, tracks=entry.tracks)
    lost = contents_of(entry) - contents_of(kept)
    if lost:
        message = f"{entry.uri}: what a source says of all frames together is not read"
        yield Refused(item.source, lost, listing_reject(entry.uri, "labels_of_video", message))
    yield replace(item, entry=kept)


def with_frames(items: Items, videos: ListedVideos, dicom: DicomFrames) -> Items:
    """The items, with the frames of videos and of DICOM files in place of the files."""
    for item in items:
        if isinstance(item, Piece) and item.entry.frame_files is not None:
            yield from videos.list_sequence(item)
            continue
        if not isinstance(item, PlainImage | Piece) or (isinstance(item, Piece) and item.entry.inner):
            yield item
            continue
        address = item.uri if isinstance(item, PlainImage) else item.entry.uri
        if is_video(address):
            yield from videos.list(item)
        elif not dicom.takes(address):
            yield item
        elif isinstance(item, PlainImage) and dicom.is_directory(address):
            # An index of files that are listed by themselves.
            yield Note(item.source, "a DICOMDIR was left out: the files beside it are listed")
        else:
            if isinstance(item, PlainImage):
                yield Found(item.source, ONE_IMAGE)
                item = Piece(item.source, CorpusImage(uri=address))
            yield from _frames(item, dicom.list(item.entry))


def _frames(item: Piece, frames: Iterator[CorpusImage | Reject]) -> Items:
    """The frames of a file, with what its source says of it: of the one frame, or of several in `meta`."""
    contents = contents_of(item.entry)
    first = next(frames, None)
    second = next(frames, None)
    if second is None and isinstance(first, CorpusImage) and not is_video(first.uri):
        yield Piece(item.source, first, item.sidecars, item.may_repeat)
        return
    frames = chain((frame for frame in (first, second) if frame is not None), frames)
    for number, frame in enumerate(frames):
        if isinstance(frame, Reject):
            yield Refused(item.source, contents, frame)
            return
        if number > 0:
            yield Found(item.source, {ContentKind.IMAGES: 1})
        elif contents.total() > 1:
            contents[ContentKind.IMAGES] = 0
            message = f"{item.entry.uri}: what a source says of all frames together is not read"
            yield Refused(item.source, +contents, listing_reject(item.entry.uri, "labels_of_video", message))
        bare = CorpusImage(uri=frame.uri, inner=frame.inner, meta=frame.meta)
        yield Piece(item.source, bare, item.sidecars if number == 0 else 0)
