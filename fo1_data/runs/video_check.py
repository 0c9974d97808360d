"""Whether a video can be tracked, before a run: it is opened, and its first frame decoded."""

from fo1_data.corpus.tracked_videos import video_id_of
from fo1_data.corpus.video.opening import open_entry
from fo1_data.corpus.video.streams import bad_video
from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.addresses import local_path
from fo1_data.tracking.keyframes import KEYFRAMES_A_TRACK
from schemas.corpus import CorpusImage


def check_video(entry: CorpusImage) -> tuple[str, int, int | None]:
    """The id of a video, its bytes (0 if they are not known), and how many boxes it will have at most.

    The boxes are those of its tracks on their keyframes; None if its tracks are not given. Raises
    InputReject, as labelling would.
    """
    files = [entry.origin.uri] if entry.frame_files is None else entry.frame_files.addresses
    try:
        with open_entry(entry) as video:
            first = next(iter(video.frames(0, 0)), None)
        if first is None:
            raise bad_video(entry.name, "none of its frames can be decoded")
        video_id = video_id_of(entry)
    except (OSError, ValueError, CorpusError) as error:
        raise bad_video(entry.name, one_line(error)) from error
    sizes = [path.stat().st_size for file in files if (path := local_path(file)) is not None]
    boxes = None
    if entry.tracks is not None:
        boxes = sum(min(len(track.frames), KEYFRAMES_A_TRACK) for track in entry.tracks)
    return video_id, sum(sizes), boxes
