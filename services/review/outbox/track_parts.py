"""Divides the tracks of a dataset's videos into items: each shows a video with some of its tracks.

A video with more than MOST_TRACKS tracks, or with more than MOST_KEY_FRAMES boxes in them, is divided by
time: the tracks of an item begin one after another, and the video is shown whole. To be shown, a track is a
region of an image row: its id, its first box, its texts and labels; what was answered about it is an answer
of the row. Phrases of tracks are not shown. Pure functions.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from fo1_data.corpus.video.browser_copy import copy_rate, copy_wh
from fo1_data.dataset.reader import Dataset
from schemas.images import Answer, EncodedImage, ImageRow
from schemas.regions import Region
from schemas.tracks import Track, VideoRow
from services.label_studio.shown import ShownClip, ShownImage, ShownTrack

MOST_TRACKS, MOST_KEY_FRAMES = 60, 12_000


@dataclass(frozen=True)
class VideoPart:
    """Some tracks of a video, for one item.

    `name`: its number from 1, and frames FIRST-LAST of its tracks; empty if these are all tracks.
    """

    video: VideoRow
    tracks: Sequence[Track]
    name: str = ""

    def row(self) -> ImageRow:
        """The video as an image row, whose regions are the tracks."""
        return ImageRow(
            image_id=self.video.video_id,
            uri=self.video.uri,
            uris=self.video.uris,
            corpus=self.video.corpus,
            split="",
            image=EncodedImage(path=self.video.uri),
            width=self.video.width,
            height=self.video.height,
            regions=[_region(index, track) for index, track in enumerate(self.tracks)],
            answers=[answer for track in self.tracks for answer in _answers(track)],
            provenance=self.video.provenance,
        )

    def add_boxes(self, shown: ShownImage) -> None:
        """Give what is shown of `row` the boxes of its tracks, and the clip."""
        video, tracks = self.video, {track.track_id: track for track in self.tracks}
        fps = float(copy_rate(video.fps))
        shown.clip = ShownClip(num_frames=video.num_frames, fps=fps, duration_s=video.num_frames / fps)
        shown.width, shown.height = copy_wh(video.width, video.height)
        for region in shown.regions:
            track = tracks[region.region_id]
            region.track = ShownTrack(frames=track.frames, boxes_xyxy=track.boxes_xyxy, every=_step_of(track))


def video_parts(dataset: Dataset) -> Iterator[VideoPart]:
    """Yield the items of all videos that have tracks, in the order of the dataset."""
    videos = {video.video_id: video for video in dataset.videos()}
    for video_id, tracks in groupby(dataset.tracks(), key=lambda track: track.video_id):
        yield from parts_of_video(videos[video_id], tracks)


def parts_of_video(video: VideoRow, tracks: Iterable[Track]) -> Iterator[VideoPart]:
    """Yield the items of a video."""
    groups: list[list[Track]] = [[]]
    num_boxes = 0
    for track in sorted(tracks, key=lambda track: (track.first_frame, track.track_id)):
        is_full = len(groups[-1]) == MOST_TRACKS or num_boxes + len(track.frames) > MOST_KEY_FRAMES
        if groups[-1] and is_full:
            groups.append([])
            num_boxes = 0
        groups[-1].append(track)
        num_boxes += len(track.frames)
    for number, group in enumerate(groups, start=1):
        first, last = group[0].first_frame, max(track.last_frame for track in group)
        yield VideoPart(video, group, f"{number}-{first}-{last}" if len(groups) > 1 else "")


def _region(index: int, track: Track) -> Region:
    return Region(
        region_id=track.track_id,
        index=index,
        box_xyxy=track.boxes_xyxy[0],
        objectness=track.scores[0],
        box_source=track.box_source,
        source_label=track.source_label,
        brief_caption=track.brief_caption,
        detailed_caption=track.detailed_caption,
        text=track.text,
        decision=track.decision,
        labels=track.labels,
        track_id=track.track_id,
    )


def _answers(track: Track) -> list[Answer]:
    return [
        Answer(question=part.question, region_id=track.track_id, answer=part.answer, label=part.label)
        for part in track.answers
    ]


def _step_of(track: Track) -> int:
    """How many frames lie from one box to the next where there is no gap."""
    gaps = {gap.first_frame for gap in track.gaps}
    pairs = zip(track.frames, track.frames[1:], strict=False)
    return max((b - a for a, b in pairs if a + 1 not in gaps), default=1)
