"""The corrections that were merged into a dataset, kept in its folder `corrections/`.

    corrections/corrections.jsonl    the corrections merged into this version and those before it that count
    corrections/originals.parquet    the corrected rows as they were before, without pixels
    corrections/tracks.parquet       the tracks of corrected videos as they were before
    corrections/videos.parquet       of these videos those that are not in the dataset, only keyframes of them

A later merge starts from the originals, so that corrections may come in any order and in any number of
parts, and training can use each row before and after. The manifest lists the files.
"""

import io
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.dataset.corrections.latest import followed, latest
from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.stored_rows import write_file, write_rows
from fo1_data.dataset.table_files import write_tables
from fo1_data.dataset.tracks_table import (
    table_to_tracks,
    table_to_videos,
    tracks_to_table,
    videos_to_table,
)
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store
from schemas.corrections import Correction, CorrectionAction, correction_line, parse_corrections
from schemas.dataset import ManifestFile
from schemas.images import EncodedImage, ImageRow
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA, Track, VideoRow

FOLDER = "corrections"
CORRECTIONS = f"{FOLDER}/corrections.jsonl"
ORIGINALS = f"{FOLDER}/originals.parquet"
TRACK_ORIGINALS = f"{FOLDER}/tracks.parquet"
OTHER_VIDEOS = f"{FOLDER}/videos.parquet"


@dataclass
class CorrectionHistory:
    """The corrections of a dataset by their id, and the rows they were made on by image id.

    `track_originals`: the tracks they were made on, all of a video, by its id. `other_videos`: of videos
    that are not in the dataset, but some of their keyframes are; by their ids.
    """

    corrections: dict[str, Correction] = field(default_factory=dict)
    originals: dict[str, ImageRow] = field(default_factory=dict)
    track_originals: dict[str, list[Track]] = field(default_factory=dict)
    other_videos: dict[str, VideoRow] = field(default_factory=dict)

    def add(self, corrections: Iterable[Correction]) -> None:
        """Add corrections; those that no longer count are left out."""
        counted: dict[str, Correction] = {}
        for correction in latest([*self.corrections.values(), *corrections]):
            counted[correction.correction_id] = correction
        self.corrections = counted

    def follow(self, corrections: Sequence[Correction], reviews: Collection[str], as_of: str) -> None:
        """Add all that the `reviews` say now; what they said before, and no longer say, does not count."""
        self.corrections = {
            correction.correction_id: correction
            for correction in followed(self.corrections.values(), corrections, reviews, as_of)
        }
        self.add(corrections)

    def effective(self) -> dict[str, Correction]:
        """The corrections that change or confirm something, by id."""
        return {
            name: correction
            for name, correction in self.corrections.items()
            if correction.action is not CorrectionAction.WITHDRAWN
        }

    def by_image(self) -> dict[str, list[Correction]]:
        """The effective corrections of each image."""
        return self._grouped(of_tracks=False)

    def by_video(self) -> dict[str, list[Correction]]:
        """The effective corrections of the tracks of each video."""
        return self._grouped(of_tracks=True)

    def _grouped(self, *, of_tracks: bool) -> dict[str, list[Correction]]:
        grouped: dict[str, list[Correction]] = {}
        for correction in self.effective().values():
            if correction.is_of_track is of_tracks:
                grouped.setdefault(correction.image_id, []).append(correction)
        return grouped

    def ids(self) -> set[str]:
        """The images and videos that the corrections are about, and the keyframes of videos elsewhere."""
        about = {correction.image_id for correction in self.corrections.values()}
        return about.union(*map(_keyframes_of, self.other_videos.values()))

    def keep_original(self, row: ImageRow) -> None:
        """Keep a row as it is before its corrections, without pixels."""
        self.originals[row.image_id] = without_pixels(row)

    def only(self, keep: Callable[[str], bool]) -> "CorrectionHistory":
        """The history of the images and videos whose id `keep` accepts.

        That of a video which is not in the dataset stays while one of its keyframes does.
        """
        others = {
            video_id: video
            for video_id, video in self.other_videos.items()
            if any(map(keep, _keyframes_of(video)))
        }

        def keeps(name: str) -> bool:
            return name in others or keep(name)

        return CorrectionHistory(
            {name: correction for name, correction in self.corrections.items() if keeps(correction.image_id)},
            {image_id: row for image_id, row in self.originals.items() if keep(image_id)},
            {video_id: tracks for video_id, tracks in self.track_originals.items() if keeps(video_id)},
            others,
        )

    def without(self, gone: Collection[str]) -> "CorrectionHistory":
        """The history without these images and videos; its tracks have no keyframe of them."""
        kept = self.only(lambda name: name not in gone)
        for video_id, video in kept.other_videos.items():
            left = [one for one in video.keyframes if one.image_id not in gone]
            kept.other_videos[video_id] = video.model_copy(update={"keyframes": left})
        for video_id, tracks in kept.track_originals.items():
            kept.track_originals[video_id] = [
                track.model_copy(
                    update={"keyframes": [one for one in track.keyframes if one.image_id not in gone]}
                )
                for track in tracks
            ]
        return kept


def _keyframes_of(video: VideoRow) -> set[str]:
    return {keyframe.image_id for keyframe in video.keyframes}


def without_pixels(row: ImageRow) -> ImageRow:
    """The row without its embedded image; the path stays."""
    return row.model_copy(update={"image": EncodedImage(path=row.image.path)})


def read_history(store: Store, files: Sequence[ManifestFile]) -> CorrectionHistory:
    """The history among a manifest's files; empty if there is none. Raises DatasetError if it is damaged."""
    listed = {file.path for file in files}
    history = CorrectionHistory()
    try:
        if CORRECTIONS in listed:
            history.add(parse_corrections(store.read_bytes(CORRECTIONS).decode().split("\n")))
        if ORIGINALS in listed:
            for row in table_to_rows(pq.read_table(io.BytesIO(store.read_bytes(ORIGINALS)))):
                history.originals[row.image_id] = row
        if TRACK_ORIGINALS in listed:
            for track in table_to_tracks(pq.read_table(io.BytesIO(store.read_bytes(TRACK_ORIGINALS)))):
                history.track_originals.setdefault(track.video_id, []).append(track)
        if OTHER_VIDEOS in listed:
            for video in table_to_videos(pq.read_table(io.BytesIO(store.read_bytes(OTHER_VIDEOS)))):
                history.other_videos[video.video_id] = video
    except (FileNotFoundError, ValueError) as error:
        raise DatasetError(f"{store.address(FOLDER)} cannot be read: {error}") from error
    return history


def write_history(store: Store, history: CorrectionHistory) -> list[ManifestFile]:
    """Write a history in the order of its corrections; returns its files, none for an empty history."""
    if not history.corrections:
        return []
    ordered = sorted(
        history.corrections.values(), key=lambda correction: (correction.image_id, correction.order)
    )
    lines = "".join(f"{correction_line(correction)}\n" for correction in ordered)
    originals = [history.originals[image_id] for image_id in sorted(history.originals)]
    files = [
        write_file(store, CORRECTIONS, lines.encode(), len(ordered)),
        write_rows(store, ORIGINALS, originals),
    ]
    if history.track_originals:
        tracks = (tracks_to_table(history.track_originals[name]) for name in sorted(history.track_originals))
        files.append(_write_table(store, TRACK_ORIGINALS, TRACK_SCHEMA, tracks))
    if history.other_videos:
        videos = videos_to_table([history.other_videos[name] for name in sorted(history.other_videos)])
        files.append(_write_table(store, OTHER_VIDEOS, VIDEO_SCHEMA, [videos]))
    return files


def _write_table(store: Store, path: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> ManifestFile:
    written = write_tables(store, path, schema, tables, None)
    return ManifestFile(**written.model_dump(exclude={"split", "schema_revision"}))


def is_history_file(path: str) -> bool:
    """True if the path is a file of this module."""
    return path in (CORRECTIONS, ORIGINALS, TRACK_ORIGINALS, OTHER_VIDEOS)
