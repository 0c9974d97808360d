"""Tracks as a source gives them box by box, and what of them is refused: what the readers of tracks share.

A box is in pixels of the frame as shown, x_min y_min x_max y_max; frames are numbered from 0. Knows no form
and opens no file.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fo1_data.corpus.listing import Found, Item, Piece, Refused
from fo1_data.corpus.places import listing_reject
from fo1_data.plurals import counted
from schemas.corpus import CorpusImage, FrameFiles, GivenTrack, GivenVideo
from schemas.regions import Box, MaskRle
from schemas.sources import ContentKind

ONE_BOX = {ContentKind.BOXES: 1}


@dataclass(frozen=True)
class Fault:
    """What of a source is attached to no video: where it stands, why, and how much of each kind is lost."""

    where: str
    reason: str
    message: str
    counts: dict[ContentKind, int] = field(default_factory=dict)

    def refused(self, source: str) -> Refused:
        """The fault as an item of a listing."""
        return Refused(
            source, self.counts, listing_reject(self.where, self.reason, f"{self.where}: {self.message}")
        )


@dataclass(frozen=True)
class ReadVideo:
    """A video of a source. `found`: what the source holds of it, counted there; `notes`: what was decided."""

    video: GivenVideo
    found: Counter[ContentKind]
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Shown:
    """A thing in one frame."""

    box_xyxy: Box
    score: float | None
    mask: MaskRle | None
    meta: dict[str, Any]


class TrackBoxes:
    """Collects the boxes of tracks, in any order."""

    def __init__(self, num_frames: int | None = None) -> None:
        self._num_frames = num_frames
        self._shown: dict[str, dict[int, _Shown]] = defaultdict(dict)

    def add(
        self,
        track_id: str,
        frame: int,
        box_xyxy: Box,
        *,
        score: float | None = None,
        mask: MaskRle | None = None,
        meta: dict[str, Any] | None = None,
    ) -> tuple[str, str] | None:
        """Add a box; if it cannot be one of the track's, its reason and a message. `meta`: of this box."""
        if not all(math.isfinite(value) for value in box_xyxy):
            return "not_a_box", "its box is not of finite numbers"
        if box_xyxy[2] <= box_xyxy[0] or box_xyxy[3] <= box_xyxy[1]:
            return "not_a_box", "its box has no area"
        if frame < 0 or (self._num_frames is not None and frame >= self._num_frames):
            end = "" if self._num_frames is None else f" of {self._num_frames}"
            return "no_such_frame", f"there is no such frame{end}"
        if frame in self._shown.get(track_id, {}):
            return "repeated_frame", f"track {track_id} has a box in this frame already; the first is kept"
        self._shown[track_id][frame] = _Shown(box_xyxy, score, mask, meta or {})
        return None

    def tracks(self, fields: dict[str, dict[str, Any]] | None = None) -> list[GivenTrack]:
        """The tracks in the order of their first boxes. `fields`: label, caption and meta by id."""
        return [self._track(track_id, dict((fields or {}).get(track_id, {}))) for track_id in self._shown]

    def _track(self, track_id: str, fields: dict[str, Any]) -> GivenTrack:
        frames = sorted(self._shown[track_id])
        shown = [self._shown[track_id][frame] for frame in frames]
        names = dict.fromkeys(name for one in shown for name in one.meta)
        meta = {**(fields.pop("meta", None) or {}), **{n: [one.meta.get(n) for one in shown] for n in names}}
        scores, masks = [one.score for one in shown], [one.mask for one in shown]
        return GivenTrack(
            id=track_id,
            frames=frames,
            boxes_xyxy=[one.box_xyxy for one in shown],
            scores=scores if any(score is not None for score in scores) else None,
            masks=masks if any(mask is not None for mask in masks) else None,
            meta=meta or None,
            **fields,
        )


def mask_notes(num_unread: int) -> list[str]:
    """What is said of segmentations that are no masks; nothing if there are none."""
    if not num_unread:
        return []
    segmentations = counted(num_unread, "segmentation is no mask", "segmentations are no masks")
    return [f"{segmentations} that can be read; only boxes are kept"]


def class_notes(classes: Mapping[str, Mapping[Any, int]]) -> list[str]:
    """What is said of tracks with boxes of several classes. classes: how many boxes of each, by track."""
    several = (track_id for track_id, counts in classes.items() if len(counts) > 1)
    return [f"track {track_id} has several classes; the most frequent is taken" for track_id in several]


def counts_of_tracks(tracks: list[GivenTrack]) -> Counter[ContentKind]:
    """How much tracks hold of each kind."""
    return Counter(
        {
            ContentKind.TRACKS: len(tracks),
            ContentKind.BOXES: sum(len(track.frames) for track in tracks),
            ContentKind.CAPTIONS: sum(track.caption is not None for track in tracks),
        }
    )


def items_of_video(
    source: str,
    read: ReadVideo,
    uri: str | None,
    frames: FrameFiles | None = None,
    inner: str | None = None,
    missing: str | None = None,
) -> Iterator[Item]:
    """A video as items of a listing. `uri`: of its file, or of the folder of `frames`; None if it is not
    there: then all that is said of it is refused (`no_video`). missing: the frame that was looked for in
    vain.
    """
    video = read.video
    yield Found(source, read.found + Counter({ContentKind.IMAGES: 1}))
    for fault in read.faults:
        yield fault.refused(source)
    if uri is None:
        counts = {**counts_of_tracks(video.tracks or []), ContentKind.IMAGES: 1}
        gone = "neither its frames nor its file is" if missing is None else f"its frame {missing} is not"
        yield Fault(
            source, "no_video", f"there are tracks of {video.video}, and {gone} there", counts
        ).refused(source)
        return
    entry = CorpusImage(
        uri=uri,
        inner=inner,
        id=video.video,
        width=video.width,
        height=video.height,
        meta=video.meta,
        tracks=video.tracks,
        frame_files=frames,
    )
    yield Piece(source, entry, may_repeat=True)
