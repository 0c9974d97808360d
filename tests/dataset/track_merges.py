"""A dataset of two clips with tracks, what people say of them, and merges of that, each from the last."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from factories import make_shard
from made_up_tracks import Clip, make_clip

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.merge import MergeReport, merge_corrections
from fo1_data.dataset.writer import open_run
from schemas.corrections import Correction
from schemas.images import ImageRow
from schemas.tracks import Track

CLIP = make_clip(0)
OTHER = make_clip(1)
VIDEO = CLIP.video.video_id
FIRST, SECOND = (track.track_id for track in CLIP.tracks)
AT = "2026-11-24T10:00:00Z"


def say(action: str, track_id: str = FIRST, **members: Any) -> Correction:
    values = {"image_id": VIDEO, "track_id": track_id, "at": AT, "annotator": "ada", "action": action}
    return Correction.model_validate(values | members)


def of_row(row: ImageRow, action: str, **members: Any) -> Correction:
    values = {"image_id": row.image_id, "at": AT, "annotator": "bob", "action": action}
    return Correction.model_validate(values | members)


def caption(text: str, **members: Any) -> Correction:
    return say("recaptioned", kind="brief_caption", after={"text": text}, **members)


def box_in(frame: int, *box: float, **members: Any) -> Correction:
    return say("moved", frame=frame, after={"box_xyxy": box}, **members)


def write(out: Path, clips: Sequence[Clip] = (CLIP, OTHER)) -> str:
    run = open_run(str(out), {"model_sha256": "aa"}, {})
    for index, clip in enumerate(clips):
        run.write_shard(make_shard(index), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("made-up")
    return str(out)


class Merges:
    """A dataset of two clips, and merges into it, each from the last."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        self.address = write(folder / "v0")
        self.report: MergeReport | None = None

    def merge(self, *corrections: Correction, **options: Any) -> "Merges":
        self._number += 1
        out = str(self._folder / f"v{self._number}")
        self.report = merge_corrections(self.address, corrections, out, **options)
        self.address = out
        assert validate_dataset(out) == []
        others = self.tracks()[len(self.tracks()) - 2 :]
        assert [track.track_id for track in others] == [track.track_id for track in OTHER.tracks]
        return self

    def tracks(self) -> list[Track]:
        return list(open_dataset(self.address).tracks())

    def track(self, track_id: str = FIRST) -> Track:
        return {track.track_id: track for track in self.tracks()}[track_id]

    def rows(self) -> list[ImageRow]:
        """The rows of the first clip's keyframes."""
        rows = {row.image_id: row for row in open_dataset(self.address).rows()}
        return [rows[row.image_id] for row in CLIP.rows]

    def merged(self) -> dict[str, int]:
        assert self.report is not None
        return self.report.merged
