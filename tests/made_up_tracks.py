"""Made-up videos with their tracks and keyframe rows, as a labelling run writes them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from factories import make_label, make_row

from schemas.images import ImageRow, Provenance
from schemas.labels import Decision, Label, Signal, Source, strictest
from schemas.regions import Box
from schemas.tracks import Keyframe, Shot, Track, VideoRow

FPS = 25.0
NAMES = ("red square", "green circle", "blue triangle", "orange bar")


@dataclass(frozen=True)
class Clip:
    """A video, its tracks, and the rows of its keyframes."""

    video: VideoRow
    tracks: list[Track]
    rows: list[ImageRow] = field(default_factory=list)


def make_clip(
    seed: int = 0,
    num_tracks: int = 2,
    keyframes: Sequence[int] = (2, 12),
    num_frames: int = 20,
    decision: Decision | None = None,
    embed: bool = False,
    **fields: Any,
) -> Clip:
    """A clip of two shots; the tracks are of the first one, and every one is seen in each keyframe.

    Track 1 has a gap, frames 5 to 7. `decision`: of every label. `fields` replace columns of the video.
    """
    video_id = fields.get("video_id") or hashlib.sha256(f"clip {seed}".encode()).hexdigest()
    uri = fields.get("uri", f"memory://clips/{seed:03d}.mp4")
    boxes = [_path(number, num_frames) for number in range(num_tracks)]
    rows = []
    for frame in keyframes:
        row = make_row(
            1000 * seed + frame,
            boxes=[of_track[frame] for of_track in boxes],
            decisions=[decision] * num_tracks,
            uri=f"{uri}::frame@{frame}",
            embed=embed,
            groundings=[],
            meta=json.dumps({"video": uri, "video_id": video_id, "frame": frame, "time_s": frame / FPS}),
        )
        regions = [
            region.model_copy(update={"track_id": track_id(video_id, number)})
            for number, region in enumerate(row.regions)
        ]
        decided = strictest(label.decision for region in regions for label in region.labels)
        rows.append(row.model_copy(update={"regions": regions, "decision": decided}))
    frames = [
        Keyframe(frame=frame, time_s=frame / FPS, image_id=row.image_id)
        for frame, row in zip(keyframes, rows, strict=True)
    ]
    tracks = [
        make_track(video_id, number, boxes[number], frames, decision=decision) for number in range(num_tracks)
    ]
    video = VideoRow(
        video_id=video_id, uri=uri, uris=[uri], corpus="made-up", width=64, height=48,
        num_frames=num_frames + 10, duration_s=(num_frames + 10) / FPS, fps=FPS, constant_rate=True,
        shots=[
            Shot(first_frame=0, last_frame=num_frames - 1),
            Shot(first_frame=num_frames, last_frame=num_frames + 9),
        ],
        keyframes=frames, provenance=Provenance(model="fo1-tiny"),
    )  # fmt: skip
    return Clip(video.model_copy(update=fields), tracks, rows)


def track_id(video_id: str, number: int, shot: int = 0) -> str:
    return f"{video_id[:16]}/t{shot}-{number}"


def make_track(
    video_id: str,
    number: int,
    boxes: Sequence[Box],
    keyframes: Sequence[Keyframe] = (),
    decision: Decision | None = None,
) -> Track:
    """A track with a brief caption on all frames, but for a gap in that of number 1."""
    seen = [frame for frame in range(len(boxes)) if number != 1 or not 5 <= frame <= 7]
    label = agreed_label(NAMES[number % len(NAMES)], decision)
    return Track(
        track_id=track_id(video_id, number),
        video_id=video_id,
        shot=0,
        first_frame=seen[0],
        last_frame=seen[-1],
        frames=seen,
        times_s=[frame / FPS for frame in seen],
        boxes_xyxy=[boxes[frame] for frame in seen],
        scores=[float(np.float32(0.5 + frame / 64)) for frame in seen],
        gaps=[Shot(first_frame=5, last_frame=7)] if number == 1 else [],
        keyframes=list(keyframes),
        box_source=Source.MODEL,
        source_label="thing",
        brief_caption=label.text,
        labels=[label],
        decision=decision,
    )


def agreed_label(text: str, decision: Decision | None = None, share: float = 1.0) -> Label:
    confidence = 0.75 if decision in (Decision.ACCEPT, Decision.AUDIT) else None
    signals = [Signal(name="track_agreement", value=share), Signal(name="track_keyframes", value=2.0)]
    return make_label(text=text, decision=decision, confidence=confidence, signals=signals)


def _path(number: int, num_frames: int) -> list[Box]:
    """A box of 10 x 8 px that moves to the right; a lane for each track."""
    top = 2.0 + 11 * (number % 4)
    return [(1.0 + 2 * frame, top, 11.0 + 2 * frame, top + 8) for frame in range(num_frames)]
