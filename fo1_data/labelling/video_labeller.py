"""Labels videos: follows the things in each shot, asks about them on keyframes, and agrees on their labels.

A video is worked on shot by shot. The labels of a keyframe are those of any image, with the boxes of the
tracks in it, which are not detected again; its row is a row of the dataset. Boxes are in pixels of the frame
as shown. Writes nothing; see `fo1_data.runs.video_steps`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image
from pydantic import BaseModel

from fo1_data.config import corpus_name
from fo1_data.corpus.rejects import reject_from
from fo1_data.corpus.tracked_videos import video_id_of
from fo1_data.corpus.video.opening import open_entry
from fo1_data.corpus.video.streams import bad_video
from fo1_data.corpus.video.video import Video
from fo1_data.errors import CorpusError, InputReject
from fo1_data.labelling.given_tracks import given_shot
from fo1_data.labelling.held_images import HeldImage
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.keyframe_images import KeyframeMaker
from fo1_data.labelling.provenance import make_provenance
from fo1_data.labelling.shot_followers import DetectedThings, ModelledThings, ShotFollower
from fo1_data.labelling.shot_following import Following, FoundShot, follow_shots, runs_of
from fo1_data.labelling.track_agreement import Look, agree
from fo1_data.labelling.work_done import WorkTracker
from fo1_data.proposals.proposer import Proposals
from fo1_data.proposals.video_boxes import FollowedShot
from fo1_data.tracking.keyframes import choose_keyframes, choose_looks, view_quality
from fo1_data.tracking.names import SAM3
from fo1_data.tracking.trackers import load_tracker
from fo1_data.tracking.twins import DEFAULT_TWIN_IOU
from schemas.corpus import CorpusImage
from schemas.images import ImageRow, Provenance, Reject, RejectStage
from schemas.jobs import RunConfig
from schemas.labels import Source
from schemas.tracks import Keyframe, Shot, Track, VideoRow

# Two looks at a thing count in full if they are so far apart.
_APART_S = 0.4
# Keyframes whose pixels are held at once.
_HELD_FRAMES = 16
_LEAST_FPS = 1.0
_TAKE_TRACKS = ("auto", "corpus")


class LabelsFrames(Protocol):
    """Finds boxes in frames and labels those with known boxes: `image_labeller.ImageLabeller`."""

    @property
    def identity(self) -> LabellerIdentity: ...

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]: ...

    def follow(self, video: CorpusImage) -> FollowedShot: ...

    def label_held(
        self, images: Sequence[HeldImage], tracker: WorkTracker
    ) -> tuple[list[ImageRow], list[Reject]]: ...


class RoutesShots(Protocol):
    """Gives labels their confidences and decisions, in place or as new tracks."""

    def route_rows(self, rows: list[ImageRow]) -> None: ...

    def route_tracks(self, tracks: list[Track], provenance: Provenance) -> list[Track]: ...


class ShotLabels(BaseModel):
    """A labelled shot, the frames `first` to `last`, without its rows."""

    number: int
    first: int
    last: int
    tracks: list[Track] = []
    keyframes: list[Keyframe] = []
    rejects: list[Reject] = []
    dropped_boxes: int = 0


@dataclass(frozen=True)
class LabelledShot:
    """A labelled shot: what is known of it, and the rows of its keyframes."""

    labels: ShotLabels
    rows: list[ImageRow]


@contextmanager
def open_tracked(entry: CorpusImage) -> Iterator[Video]:
    """Open the video of an entry. Raises InputReject, which names no hidden file, or ConfigError."""
    try:
        with open_entry(entry) as video:
            if not video.info.num_frames:
                raise bad_video(entry.name, "it has no frame")
            yield video
    except InputReject as error:
        if not entry.is_hidden:
            raise
        message = "the file of this hidden address cannot be read"
        raise InputReject(error.stage, error.reason, message, error.replayable) from None


class VideoLabeller:
    """Labels one video at `entry`, which is open as `video`.

    equal: entries of the same bytes, whose addresses the row of the video has too. Raises InputReject if the
    video cannot be read, or its boxes should come from a corpus that gives none.
    """

    def __init__(
        self,
        entry: CorpusImage,
        video: Video,
        labeller: LabelsFrames,
        config: RunConfig,
        equal: Sequence[CorpusImage] = (),
    ) -> None:
        if config.proposals not in _TAKE_TRACKS:  # a detector takes the place of what the corpus says
            entry = entry.model_copy(update={"tracks": None})
        self._entry, self._video, self._labeller, self._config = entry, video, labeller, config
        self._equal, self._info = equal, video.info
        if config.proposals == "corpus" and entry.tracks is None:
            message = f"{entry.name}: --proposals corpus, and the corpus gives no tracks of it"
            raise InputReject(RejectStage.PROPOSE, "no_tracks", message)
        try:
            self.video_id = video_id_of(entry)
        except (OSError, ValueError, CorpusError) as error:
            raise bad_video(entry.name, error) from error
        self._keyframes = KeyframeMaker(entry, self.video_id)

    def shots(self, first: int, number: int, tracker: WorkTracker) -> Iterator[FoundShot]:
        """The shots from frame `first` on, which begins shot `number`. Raises InputReject."""
        if first >= self._info.num_frames:
            return
        if self._entry.tracks is not None:
            info = self._info
            yield given_shot(self._entry.tracks, (info.width, info.height), info.num_frames)
            return
        yield from follow_shots(self._video, self._following(tracker), first, number)

    def label(self, shot: FoundShot, routes: RoutesShots, tracker: WorkTracker) -> LabelledShot:
        """Label a shot. Raises InputReject."""
        ids = [self._track_id(shot, number) for number in range(len(shot.things))]
        labels = ShotLabels(
            number=shot.number,
            first=shot.first,
            last=shot.last,
            dropped_boxes=shot.num_dropped,
            rejects=[self._missing(first, last) for first, last in runs_of(shot.missing)],
        )
        apart = max(1, round(self._fps * _APART_S))
        chosen = choose_keyframes(shot.things, apart)
        looks = choose_looks(shot.things, chosen, apart)
        rows: dict[int, ImageRow] = {}
        for start in range(0, len(chosen), _HELD_FRAMES):
            numbers = chosen[start : start + _HELD_FRAMES]
            held = {
                frame.number: self._keyframes.make(
                    frame, self._video.place_of(frame.number), shot, ids, looks
                )
                for frame in self._video.frames_at(numbers)
            }
            labelled, rejects = self._labeller.label_held(list(held.values()), tracker)
            labels.rejects += [*rejects, *(self._missing(n, n) for n in numbers if n not in held)]
            by_name = {name: row for row in labelled for name in row.uris}
            rows |= {n: by_name[image.entry.name] for n, image in held.items() if image.entry.name in by_name}
        unique = list({row.image_id: row for row in rows.values()}.values())
        routes.route_rows(unique)
        labels.keyframes = [self._keyframe(number, row) for number, row in sorted(rows.items())]
        tracks = [self._track(shot, number, rows) for number in range(len(ids))]
        labels.tracks = routes.route_tracks(tracks, self._provenance())
        return LabelledShot(labels, unique)

    def row(self, shots: Iterable[ShotLabels]) -> VideoRow:
        """The row of the video, of which these are all shots."""
        known = list(shots)
        info, entry = self._info, self._entry
        return VideoRow(
            video_id=self.video_id,
            uri=entry.name,
            uris=list(dict.fromkeys([entry.name, *(other.name for other in self._equal)])),
            corpus=corpus_name(self._config, entry.is_hidden),
            meta=json.dumps(entry.meta, ensure_ascii=False, sort_keys=True) if entry.meta else None,
            width=info.width,
            height=info.height,
            num_frames=info.num_frames,
            duration_s=info.duration_s,
            fps=info.fps,
            constant_rate=info.constant_rate,
            shots=[Shot(first_frame=shot.first, last_frame=shot.last) for shot in known],
            keyframes=[keyframe for shot in known for keyframe in shot.keyframes],
            dropped_boxes=sum(shot.dropped_boxes for shot in known),
            provenance=self._provenance(),
        )

    def _provenance(self) -> Provenance:
        is_detected = self._entry.tracks is None
        boxed = CorpusImage(uri=self._entry.uri, regions=None if is_detected else [])
        return make_provenance(self._labeller.identity, boxed, is_detected=is_detected)

    def fault(self) -> list[Reject]:
        """The reject of what of the file cannot be read; none if all can."""
        if self._info.fault is None:
            return []
        message = f"{self._entry.name}: {self._info.fault}"
        return [reject_from(self._entry, InputReject(RejectStage.FETCH, "damaged_video", message))]

    @property
    def _fps(self) -> float:
        return max(self._info.fps, _LEAST_FPS)

    def _following(self, tracker: WorkTracker) -> Following:
        from fo1_data.corpus.video.shots import mark_shots

        config = self._config
        name, every = config.tracker_name, config.track_every
        assert name is not None
        asked = CorpusImage(uri=self._entry.uri, phrases=self._entry.phrases)

        def detect(images: list[Image.Image]) -> list[Proposals]:
            return self._labeller.propose(images, [asked] * len(images))

        def begin() -> ShotFollower:
            if name == SAM3:
                twin_iou = DEFAULT_TWIN_IOU if config.nms_iou is None else config.nms_iou
                return ModelledThings(self._labeller.follow(asked), twin_iou)
            followed = load_tracker(name, self._fps / every)
            steady = self._info.constant_rate
            return DetectedThings(detect, followed, every, config.batch_images, constant_rate=steady)

        return Following(begin, mark_shots, every, tracker.frame_seen)

    def _missing(self, first: int, last: int) -> Reject:
        """The reject of frames that cannot be decoded."""
        frames = f"frame {first}" if first == last else f"frames {first} to {last}"
        message = f"{self._entry.name}: {frames} cannot be decoded; the tracks go on"
        place = self._video.place_of(first)
        entry = self._entry.model_copy(update={"inner": place.inner, "tracks": None})
        return reject_from(entry, InputReject(RejectStage.DECODE, "bad_frame", message))

    def _keyframe(self, number: int, row: ImageRow) -> Keyframe:
        return Keyframe(frame=number, time_s=self._video.time_of(number), image_id=row.image_id)

    def _track(self, shot: FoundShot, number: int, rows: dict[int, ImageRow]) -> Track:
        """The track of a thing of the shot, with the labels that its keyframes agree on."""
        thing, track_id = shot.things[number], self._track_id(shot, number)
        given = self._entry.tracks[number] if self._entry.tracks is not None else None
        frames = thing.frames.tolist()
        quality = dict(zip(frames, view_quality(thing.views).tolist(), strict=True))
        looks = {
            frame: Look(row, region, quality[frame])
            for frame, row in sorted(rows.items())
            if frame in quality
            for region in row.regions
            if region.track_id == track_id
        }
        track = Track(
            track_id=track_id,
            video_id=self.video_id,
            shot=shot.number,
            first_frame=frames[0],
            last_frame=frames[-1],
            frames=frames,
            times_s=[self._video.time_of(frame) for frame in frames],
            boxes_xyxy=[tuple(box) for box in thing.boxes_xyxy.tolist()],
            scores=[None if np.isnan(score) else score for score in thing.scores.tolist()],
            gaps=[
                Shot(first_frame=first, last_frame=last)
                for first, last in thing.gaps(1 if given else self._config.track_every)
            ],
            keyframes=[self._keyframe(frame, look.row) for frame, look in looks.items()],
            box_source=Source.CORPUS if given else Source.MODEL,
            source_label=thing.label,
            source_id=given.id if given else None,
            source_caption=given.caption if given else None,
        )
        agree(track, list(looks.values()))
        return track

    def _track_id(self, shot: FoundShot, number: int) -> str:
        return f"{self.video_id[:16]}/t{shot.number}-{number}"
