"""Tracks without their videos: files and folders of tracks, to be compared or converted.

MOT challenge (a text, a sequence, a folder of sequences or of `SEQ.txt`), YouTube-VIS's JSON and results,
COCO JSON with tracks, `tracks.jsonl`, CVAT's XML, or a folder that holds one of the last three. No video is
looked for.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from fo1_data.corpus.forms.annotation_files import is_cvat, parse_json
from fo1_data.corpus.forms.cvat import read_cvat_tracks
from fo1_data.corpus.forms.mot import INFO, is_sequence, read_mot_text, sequences_below
from fo1_data.corpus.forms.mot_lines import is_mot_text
from fo1_data.corpus.forms.track_items import Reads, tracks_of_json
from fo1_data.corpus.forms.track_lines import NAME, is_track_record, read_track_lines
from fo1_data.corpus.forms.video_tracks import ReadVideo
from fo1_data.corpus.forms.youtube_vis import is_youtube_vis_results, read_youtube_vis_results
from fo1_data.corpus.places import children, join_verbatim, kind_of
from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.addresses import join, normalise, suffix_of
from fo1_data.storage.streams import open_stream
from schemas.corpus import GivenVideo
from schemas.images import Reject

_LINE_BYTES = 2**24


@dataclass
class TrackFile:
    """The videos of a source, what of it is refused, and what its readers decided."""

    videos: list[GivenVideo] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_track_file(source: str, *, is_gold: bool) -> TrackFile | None:
    """The tracks at an address; None if it is of no form of tracks. `is_gold`: see `mot_lines`.

    Raises CorpusError if something cannot be read.
    """
    address = normalise(source)
    kind = kind_of(address)
    reads = (
        _of_folder(address, is_gold=is_gold)
        if kind == "folder"
        else _of_file(address, is_gold=is_gold)
        if kind == "file"
        else None
    )
    if reads is None:
        return None
    found = TrackFile()
    for read in reads:
        if not isinstance(read, ReadVideo):
            found.rejects.append(read.refused(address).reject)
            continue
        found.videos.append(read.video)
        found.rejects += [fault.refused(address).reject for fault in read.faults]
        found.notes += read.notes
    return found


def _of_file(address: str, *, is_gold: bool) -> Reads | None:
    suffix = suffix_of(address)
    if suffix == ".txt" and is_mot_text(address):
        return [read_mot_text(address, is_gold=is_gold)]
    if suffix in (".jsonl", ".ndjson") and is_track_lines(address):
        return read_track_lines(address)
    if suffix == ".xml" and is_cvat(address):
        return read_cvat_tracks(address) or None
    if suffix != ".json":
        return None
    document = parse_json(address)
    if is_youtube_vis_results(document):
        return read_youtube_vis_results(document, address)
    return tracks_of_json(document, address)


def is_track_lines(address: str) -> bool:
    """Whether the first line of a `.jsonl` is a video with its tracks."""
    with open_stream(address) as stream:
        line = next((line for line in iter(lambda: stream.readline(_LINE_BYTES), b"") if line.strip()), b"")
    try:
        return is_track_record(json.loads(line.decode("utf-8-sig")))
    except (UnicodeError, ValueError, RecursionError):
        return False


def _of_folder(folder: str, *, is_gold: bool) -> Reads | None:
    try:
        files, folders = children(folder)
    except OSError as error:
        raise CorpusError(f"cannot list {folder}: {one_line(error)}") from error
    sequences = list(_sequences(folder, folders))
    if sequences:
        return [read_mot_text(text, is_gold=is_gold) for text in sequences]
    if NAME in files:
        return read_track_lines(join(folder, NAME))
    texts = [join_verbatim(folder, name) for name in files if suffix_of(name) == ".txt"]
    if texts and all(map(is_mot_text, texts)):
        return [read_mot_text(text, is_gold=is_gold) for text in texts]
    reads = [_of_file(join_verbatim(folder, n), is_gold=is_gold) for n in files if suffix_of(n) == ".json"]
    known = [read for of_file in reads if of_file is not None for read in of_file]
    return known or None


def _sequences(folder: str, names: list[str]) -> Iterator[str]:
    """The texts of gold of the sequences in a folder, or in its folders (`train/`)."""
    below = [folder] if is_sequence(folder) else sequences_below(folder, names)
    for name in () if below else names:
        split = join_verbatim(folder, name)
        below += sequences_below(split, children(split)[1])
    for sequence in below:
        text = join(sequence, "gt/gt.txt")
        if kind_of(text) == "file" and (kind_of(join(sequence, INFO)) == "file" or is_mot_text(text)):
            yield text
