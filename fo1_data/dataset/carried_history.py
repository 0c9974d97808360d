"""The corrections of a dataset for one that takes over rows of it, but no video and no track (`--parent`).

What people said of a track changed the rows of its keyframes. So that it can be withdrawn or said again where
these rows are, the videos of corrected tracks go along in the history, with their tracks before corrections.
Memory: the videos with corrections, and their tracks.
"""

from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.layout import TRACKS, VIDEOS
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.tracks_table import table_to_tracks, table_to_videos
from schemas.tracks import Track


def carried_history(parent: Dataset) -> CorrectionHistory:
    """The history of `parent`, of which every video is one that is not in the dataset.

    `CorrectionHistory.only` leaves what is of the rows that are taken over.
    """
    history = parent.history()
    corrected = history.ids()
    for batch in parent.batches_of(VIDEOS) if corrected else ():
        for video in table_to_videos(batch):
            if video.video_id in corrected:
                history.other_videos[video.video_id] = video
    originals = history.track_originals
    as_before = history.other_videos.keys() - originals.keys()
    unchanged: dict[str, list[Track]] = {}
    for batch in parent.batches_of(TRACKS) if as_before else ():
        for track in table_to_tracks(batch):
            if track.video_id in as_before:
                unchanged.setdefault(track.video_id, []).append(track)
    originals |= unchanged
    return history
