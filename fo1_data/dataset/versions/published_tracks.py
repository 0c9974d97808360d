"""The videos and tracks of a published dataset: with the labels that are published.

Where only accepted labels are published, a track has one at least, a video has a track or a keyframe, and
regions name no track that is left out. Reads the labels of all tracks twice; holds the ids of some.
"""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy, to_array, with_items, with_members
from fo1_data.dataset.items import Items
from fo1_data.dataset.layout import TRACKS
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.dataset.versions.video_tables import every_row, rewrite_tracks, rewrite_videos
from schemas.labels import Label, strictest
from schemas.regions import TEXT_COLUMNS
from schemas.tracks import Keyframe, Track, VideoRow

LabelFilter = Callable[[Label], bool]


class PublishedTracks:
    """Publishes the videos and tracks of `dataset`. `only_labelled`: those that say something."""

    def __init__(self, dataset: Dataset, keeps: LabelFilter, *, only_labelled: bool) -> None:
        self._dataset, self._keeps, self._only_labelled = dataset, keeps, only_labelled
        self._left_out: set[str] = set()
        self._videos: set[str] = set()
        self._published: set[str] = set()
        if only_labelled:
            self._find_labelled()

    @property
    def video_ids(self) -> set[str]:
        """The videos that have been published."""
        return self._published

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of `IMAGE_SCHEMA`, whose regions name no track that is left out."""
        regions = Items.of(batch.select(["regions"]))["regions"].each
        named = regions["track_id"].values
        is_gone = pc.is_in(named, value_set=to_array(sorted(self._left_out), pa.string()))
        if not array_to_numpy(is_gone).any():
            return batch
        left = pc.if_else(is_gone, pa.nulls(len(named), pa.string()), named)
        lists = with_items(batch["regions"], with_members(regions.values, {"track_id": left}))
        place = batch.schema.get_field_index("regions")
        return batch.set_column(place, batch.schema.field(place), lists)

    def write(self, writer: VersionWriter, image_ids: set[str]) -> None:
        """Write both tables. `image_ids`: of all images that are published."""

        def kept(keyframes: list[Keyframe]) -> list[Keyframe]:
            return [keyframe for keyframe in keyframes if keyframe.image_id in image_ids]

        def kept_track(track: Track) -> Track | None:
            if track.track_id in self._left_out:
                return None
            labelled = with_labels(track, self._keeps)
            return labelled.model_copy(update={"keyframes": kept(track.keyframes)})

        def kept_video(video: VideoRow) -> VideoRow | None:
            keyframes = kept(video.keyframes)
            if self._only_labelled and not keyframes and video.video_id not in self._videos:
                return None
            self._published.add(video.video_id)
            return video.model_copy(update={"keyframes": keyframes})

        rewrite_videos(writer, self._dataset, every_row, kept_video)
        rewrite_tracks(writer, self._dataset, every_row, kept_track)

    def _find_labelled(self) -> None:
        for track_id, video_id, labels in _labels(self._dataset):
            if any(map(self._keeps, labels)):
                self._videos.add(video_id)
            else:
                self._left_out.add(track_id)


def with_labels(track: Track, keeps: LabelFilter) -> Track:
    """The track with the labels that `keeps` keeps, and the texts of these."""
    labels = [label for label in track.labels if keeps(label)]
    kinds = {label.kind for label in labels}
    kept = track.model_copy(
        update={
            "labels": labels,
            "phrases": [part for part in track.phrases if keeps(part.label)],
            "answers": [part for part in track.answers if keeps(part.label)],
            **{column: None for kind, column in TEXT_COLUMNS.items() if kind not in kinds},
        }
    )
    return kept.model_copy(update={"decision": strictest(label.decision for label in kept.all_labels())})


def _labels(dataset: Dataset) -> Iterator[tuple[str, str, list[Label]]]:
    for batch in dataset.batches_of(TRACKS, ["track_id", "video_id", "labels", "phrases", "answers"]):
        for record in batch.to_pylist():
            parts = (*record["phrases"], *record["answers"])
            labels = (*record["labels"], *(part["label"] for part in parts))
            yield record["track_id"], record["video_id"], list(map(Label.model_validate, labels))
