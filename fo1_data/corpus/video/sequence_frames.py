"""The frames of a video that is kept as images, each listed as an image of its own, with the boxes of its
tracks.

A box keeps its track's label and caption; `meta.region_meta` has the track's id. Every frame is listed.
"""

from collections import defaultdict
from collections.abc import Iterator

from schemas.corpus import CorpusImage, CorpusRegion, GivenTrack


def frames_of_sequence(entry: CorpusImage) -> Iterator[CorpusImage]:
    """An entry for each frame of `entry`, which has `frame_files`; no regions if its tracks are not known."""
    assert entry.frame_files is not None
    shown: dict[int, list[tuple[GivenTrack, int]]] = defaultdict(list)
    for track in entry.tracks or []:
        for place, frame in enumerate(track.frames):
            shown[frame].append((track, place))
    for number, address in enumerate(entry.frame_files.addresses):
        regions = [_region(track, place) for track, place in shown[number]]
        meta = {**(entry.meta or {}), "video": entry.name, "frame": number}
        if regions:
            meta["region_meta"] = [{"track_id": track.id} for track, _ in shown[number]]
        yield CorpusImage(
            uri=address,
            width=entry.width,
            height=entry.height,
            regions=None if entry.tracks is None else regions,
            phrases=entry.phrases,
            meta=meta,
        )


def _region(track: GivenTrack, place: int) -> CorpusRegion:
    return CorpusRegion(box_xyxy=track.boxes_xyxy[place], label=track.label, caption=track.caption)
