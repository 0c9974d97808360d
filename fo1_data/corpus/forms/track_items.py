"""Files of tracks as items of a listing: their videos are looked for, what belongs to none is refused."""

from collections.abc import Iterable, Iterator
from typing import Any

from fo1_data.corpus.forms.coco_tracks import is_coco_tracks, read_coco_tracks
from fo1_data.corpus.forms.mot import items_of_text, read_mot_text, sequence_of
from fo1_data.corpus.forms.track_lines import read_track_lines
from fo1_data.corpus.forms.video_places import (
    Find,
    VideoPlace,
    find_in,
    place_of_named,
    places_of_listed,
)
from fo1_data.corpus.forms.video_tracks import Fault, ReadVideo, items_of_video
from fo1_data.corpus.forms.youtube_vis import is_youtube_vis, read_youtube_vis
from fo1_data.corpus.listing import Found, Item, Note
from fo1_data.corpus.places import ImagePlaces
from fo1_data.storage.addresses import base_name, join, parent

Reads = Iterable[ReadVideo | Fault]

_FOLDERS = (".", "JPEGImages", "images", "frames", "videos", "clips", "data")


def tracks_of_json(document: Any, address: str) -> Reads | None:
    """The videos of a JSON document of tracks; None if it is of no such form."""
    if is_youtube_vis(document):
        return read_youtube_vis(document, address)
    return read_coco_tracks(document, address) if is_coco_tracks(document) else None


def items_of_track_json(
    document: Any, address: str, places: ImagePlaces | None = None
) -> Iterator[Item] | None:
    """The items of a JSON document of tracks; None if it is of no such form. `places`: of its frames."""
    reads = tracks_of_json(document, address)
    return None if reads is None else _items(reads, address, places)


def items_of_track_lines(address: str, places: ImagePlaces | None = None) -> Iterator[Item]:
    """The items of a `tracks.jsonl`."""
    return _items(read_track_lines(address), address, places)


def items_of_mot_text(address: str) -> Iterator[Item]:
    """The items of a text of MOT challenge that is given alone; its frames are those of its sequence."""
    is_gold = base_name(address) == "gt.txt"
    return items_of_text(address, read_mot_text(address, is_gold=is_gold), sequence_of(address))


def _items(reads: Reads, address: str, places: ImagePlaces | None) -> Iterator[Item]:
    videos: list[ReadVideo] = []
    for read in reads:
        if isinstance(read, ReadVideo):
            videos.append(read)
        else:
            yield Found(address, read.counts)
            yield read.refused(address)
    roots = _roots(address)
    find = find_in(places or ImagePlaces(roots))
    for read, place in zip(videos, _places(videos, address, roots, find), strict=True):
        for note in read.notes:
            yield Note(address, note)
        if isinstance(place, VideoPlace):
            yield from items_of_video(address, read, place.uri, place.frames, place.inner)
        else:
            yield from items_of_video(address, read, None, missing=place)


def _places(
    videos: list[ReadVideo], address: str, roots: list[str], find: Find
) -> list[VideoPlace | str | None]:
    listed = [read.video for read in videos if read.video.frame_files]
    by_listing = iter(places_of_listed(listed, address, find))
    return [
        next(by_listing) if read.video.frame_files else place_of_named(read.video, roots) for read in videos
    ]


def _roots(address: str) -> list[str]:
    """Folders beside a file and one level up, where its frames or videos may be."""
    folder = parent(address)
    split = base_name(address).rpartition(".")[0].rpartition("_")[2]
    names = [*_FOLDERS, split, f"{split}/JPEGImages"]
    return [join(place, name) for place in dict.fromkeys((folder, parent(folder))) for name in names]
