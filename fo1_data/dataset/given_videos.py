"""The tracks of a dataset as a source of tracks would give them: for comparing and for export.

A track's caption is its brief caption, its label what the source of its boxes calls the thing.
"""

from collections import defaultdict
from collections.abc import Iterable

from schemas.corpus import GivenTrack, GivenVideo
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
