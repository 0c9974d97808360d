"""A keyframe as an image to label: its entry, its bytes, and the boxes of the tracks in it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fo1_data.boxes import areas, as_boxes, clip_boxes
from fo1_data.corpus.video.listing import png_of
from fo1_data.corpus.video.video import FramePlace, VideoFrame
from fo1_data.labelling.held_images import HeldImage
from fo1_data.labelling.shot_following import FoundShot
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage, CorpusRegion, GivenTrack, Origin

_LEAST_AREA_PX = 1.0


@dataclass(frozen=True)
class KeyframeMaker:
    """Makes keyframes of one video, which is the entry `entry`."""

    entry: CorpusImage
    video_id: str

    def make(
        self,
        frame: VideoFrame,
        place: FramePlace,
        shot: FoundShot,
        ids: Sequence[str],
        looks: Sequence[Collection[int]],
    ) -> HeldImage:
        """A frame with the boxes of the things of its shot that it shows.

        ids, looks: of all things of the shot, their ids and the frames in which they are asked about.
        """
        shown = []
        for number, thing in enumerate(shot.things):
            at = int(np.searchsorted(thing.frames, frame.number))
            if at < len(thing.frames) and thing.frames[at] == frame.number:
                box = clip_boxes(thing.boxes_xyxy[at : at + 1], frame.image.size)
                if areas(box)[0] >= _LEAST_AREA_PX:
                    shown.append((number, at, box[0]))
        boxes = as_boxes([box for _, _, box in shown])
        track_ids = [ids[number] for number, _, _ in shown]
        asked = [frame.number in looks[number] for number, _, _ in shown]
        if self.entry.tracks is not None:
            given = [(self.entry.tracks[number], at) for number, at, _ in shown]
            regions = [_region(track, box) for (track, _), box in zip(given, boxes.tolist(), strict=True)]
            masks = [track.masks[at] if track.masks is not None else None for track, at in given]
            proposals = Proposals(boxes, None, regions, None, masks, track_ids, asked)
        else:
            regions = None
            scores = np.array([shot.things[number].scores[at] for number, at, _ in shown], np.float32)
            labels = [shot.things[number].label for number, _, _ in shown]
            found = [(shot.things[number].masks, at) for number, at, _ in shown]
            masks = [of_thing[at] if of_thing is not None else None for of_thing, at in found]
            proposals = Proposals(boxes, scores, None, labels, masks, track_ids, asked)
        entry = self._entry(place, self._meta(frame, shot), regions)
        return HeldImage(entry, png_of(frame.image), proposals)

    def _meta(self, frame: VideoFrame, shot: FoundShot) -> dict[str, Any]:
        return {
            **(self.entry.meta or {}),
            "video": self.entry.name,
            "video_id": self.video_id,
            "frame": frame.number,
            "time_s": frame.time_s,
            "shot": shot.number,
        }

    def _entry(
        self, place: FramePlace, meta: dict[str, Any], regions: list[CorpusRegion] | None
    ) -> CorpusImage:
        video = self.entry
        frame = CorpusImage(
            uri=place.uri, inner=place.inner, meta=meta, phrases=video.phrases, regions=regions
        )
        if not video.is_hidden:
            return frame
        return frame.hidden_as(video.uri, place.inner, Origin(place.uri, place.inner))


def _region(track: GivenTrack, box: Sequence[float]) -> CorpusRegion:
    x_min, y_min, x_max, y_max = box
    return CorpusRegion(box_xyxy=(x_min, y_min, x_max, y_max), label=track.label, caption=track.caption)
