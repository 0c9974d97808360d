"""The tracks of a dataset as a source of tracks would give them: for comparing and for export.

A track's caption is its brief caption, its label what the source of its boxes calls the thing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby

from fo1_data.dataset.human_labels import is_vouched_for
from fo1_data.dataset.reader import Dataset
from fo1_data.errors import DatasetError
from schemas.corpus import GivenTrack, GivenVideo
from schemas.labels import LabelKind, Source
from schemas.tracks import Track, VideoRow


def given_track(track: Track) -> GivenTrack:
    """A track of a dataset; `scores` are null if its boxes were given."""
    return GivenTrack(
        id=track.track_id,
        frames=track.frames,
        boxes_xyxy=track.boxes_xyxy,
        scores=track.scores if any(score is not None for score in track.scores) else None,
        label=track.source_label,
        caption=track.brief_caption,
    )


def given_videos(videos: Iterable[VideoRow], tracks: Iterable[Track]) -> list[GivenVideo]:
    """The videos in their order, each with its tracks; one of no track has an empty list."""
    of_video: dict[str, list[GivenTrack]] = defaultdict(list)
    for track in tracks:
        of_video[track.video_id].append(given_track(track))
    return [
        GivenVideo(
            video=video.uri,
            width=video.width,
            height=video.height,
            fps=video.fps,
            num_frames=video.num_frames,
            tracks=of_video[video.video_id],
        )
        for video in videos
    ]


def gold_tracks(tracks: Iterable[Track]) -> Iterator[Track]:
    """The tracks whose boxes the corpus gave or people drew, and those of which a person confirmed a label.

    A caption stays only if a person wrote or confirmed it.
    """
    for track in tracks:
        vouched_for = {label.kind for label in track.labels if is_vouched_for(label)}
        if track.box_source is Source.MODEL and not vouched_for:
            continue
        is_known = LabelKind.BRIEF_CAPTION in vouched_for
        yield track if is_known else track.model_copy(update={"brief_caption": None})


def iterate_videos(dataset: Dataset) -> Iterator[tuple[VideoRow, GivenVideo]]:
    """Each video of a dataset with its tracks; those of one video are in memory.

    Raises DatasetError if the tracks are not in the order of the videos.
    """
    groups = groupby(dataset.tracks(), key=lambda track: track.video_id)
    group = next(groups, None)
    for video in dataset.videos():
        tracks: list[Track] = []
        if group is not None and group[0] == video.video_id:
            tracks = list(group[1])
            group = next(groups, None)
        yield video, given_videos([video], tracks)[0]
    if group is not None:
        raise DatasetError(
            f"tracks of video {group[0]} are not in the order of the videos: run `dataset validate`"
        )
