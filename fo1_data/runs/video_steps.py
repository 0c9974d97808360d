"""The shots of a video as steps: each is labelled and stored at once, so that a killed run goes on there.

A step's name says which frames it has, so that the steps that are there say where the next shot begins.
"""

import re
from dataclasses import dataclass

from fo1_data.dataset.layout import video_steps
from fo1_data.dataset.rows import table_to_rows
from fo1_data.labelling.video_labeller import LabelledShot, ShotLabels
from fo1_data.runs.step_file import SUFFIX, read_step, write_step
from fo1_data.storage.store import Store
from schemas.images import ImageRow

_STEP = re.compile(rf"(\d{{4,}})-(\d{{8,}})-(\d{{8,}}){re.escape(SUFFIX)}")


@dataclass(frozen=True)
class DoneShot:
    """A shot in the store: its number, and its first and last frame."""

    number: int
    first: int
    last: int

    @property
    def name(self) -> str:
        return f"{self.number:04d}-{self.first:08d}-{self.last:08d}{SUFFIX}"


class VideoSteps:
    """The steps of the video that is the shard `shard_id` of a run."""

    def __init__(self, store: Store, run: str, shard_id: str) -> None:
        self._store, self._folder = store, video_steps(run, shard_id)

    def done(self) -> list[DoneShot]:
        """The shots that are stored, from the first one on without a hole."""
        names = (re.fullmatch(_STEP, path.rpartition("/")[2]) for path in self._store.list(self._folder))
        found = {shot.number: shot for name in names if name for shot in [DoneShot(*map(int, name.groups()))]}
        shots: list[DoneShot] = []
        while (shot := found.get(len(shots))) is not None and shot.first == _next(shots):
            shots.append(shot)
        return shots

    def write(self, shot: LabelledShot) -> None:
        """Keep a shot, unless another worker was faster."""
        labels = shot.labels
        path = self._path(DoneShot(labels.number, labels.first, labels.last))
        write_step(self._store, path, labels.model_dump_json(), shot.rows)

    def read(self, shot: DoneShot) -> tuple[ShotLabels, list[ImageRow]]:
        """A stored shot and its rows. Raises StorageError if it is gone or damaged: it is labelled again."""
        document, rows = read_step(self._store, self._path(shot))
        return ShotLabels.model_validate_json(document), list(table_to_rows(rows))

    def _path(self, shot: DoneShot) -> str:
        return f"{self._folder}/{shot.name}"


def _next(shots: list[DoneShot]) -> int:
    """The frame with which the shot after these begins."""
    return shots[-1].last + 1 if shots else 0
