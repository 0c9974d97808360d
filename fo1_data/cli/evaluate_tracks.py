"""The part of `fo1 evaluate` that compares tracks: of a dataset, or of two files of tracks."""

from typing import TYPE_CHECKING, Any

from fo1_data.cli.output import say
from fo1_data.plurals import counted

if TYPE_CHECKING:
    from fo1_data.corpus.forms.track_files import TrackFile
    from fo1_data.dataset.reader import Dataset
    from fo1_data.judging.texts import CaptionMatch


def is_dataset(address: str) -> bool:
    """Whether a folder is a finished dataset."""
    from fo1_data.corpus.places import kind_of
    from fo1_data.dataset.manifest import find_manifest
    from fo1_data.storage.addresses import normalise
    from fo1_data.storage.store import open_store

    return kind_of(normalise(address)) == "folder" and find_manifest(open_store(address)) is not None


def read_tracks(source: str, *, is_gold: bool) -> "TrackFile | None":
    """The tracks of a file or folder, None if it holds none. What is not read goes to standard error."""
    from fo1_data.corpus.forms.track_files import read_track_file

    file = read_track_file(source, is_gold=is_gold)
    if file is None or not any(video.tracks is not None for video in file.videos):
        return None
    for note in file.notes:
        say(f"{source}: {note}")
    if file.rejects:
        parts = counted(len(file.rejects), "part")
        say(f"{parts} of the tracks of {source} left out, the first of them:")
        say(f"  {file.rejects[0].message}")
    return file


def read_gold_tracks(gold: str, *, with_model_labels: bool) -> "TrackFile | None":
    """The tracks of gold. Of a dataset those that its corpus gave or people drew, with the captions that
    people wrote or confirmed; `with_model_labels`: all of them.
    """
    if not is_dataset(gold):
        return None if with_model_labels else read_tracks(gold, is_gold=True)
    from fo1_data.corpus.forms.track_files import TrackFile
    from fo1_data.dataset.given_videos import given_videos, gold_tracks
    from fo1_data.dataset.reader import open_dataset

    dataset = open_dataset(gold)
    tracks = list(dataset.tracks() if with_model_labels else gold_tracks(dataset.tracks()))
    return TrackFile(given_videos(dataset.videos(), tracks)) if tracks else None


def compare_files(predicted: "TrackFile", source: str, gold: str, how: "CaptionMatch") -> dict[str, Any]:
    """The figures of a file of tracks. Raises ConfigError if gold is none."""
    from fo1_data.errors import ConfigError
    from fo1_data.evaluation.tracks import score_tracks

    gold_file = read_gold_tracks(gold, with_model_labels=False)
    if gold_file is None:
        raise ConfigError(
            f"{source} is a file of tracks and --gold {gold} is none: name MOT challenge (gt.txt), "
            "YouTube-VIS or COCO JSON with tracks, or a tracks.jsonl"
        )
    return {"tracks": score_tracks(predicted.videos, gold_file.videos, how)}


def compare_dataset(dataset: "Dataset", gold: "TrackFile", how: "CaptionMatch") -> dict[str, Any]:
    """The figures of a dataset's tracks; none, with a line for people, if it has no videos."""
    from fo1_data.dataset.given_videos import given_videos
    from fo1_data.evaluation.tracks import score_tracks

    rows = list(dataset.videos())
    if not rows:
        videos = counted(len(gold.videos), "video")
        say(f"gold has tracks of {videos}, and the dataset has none: label videos with a --tracker")
        return {}
    names = {row.uri: row.uris for row in rows}
    return {"tracks": score_tracks(given_videos(rows, dataset.tracks()), gold.videos, how, names)}
