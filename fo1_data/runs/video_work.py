"""The work on a shard that is a video: its shots in steps, then the shard from the steps."""

from dataclasses import dataclass, field

from fo1_data.corpus.rejects import reject_from, unused_annotations
from fo1_data.errors import InputReject
from fo1_data.labelling.video_labeller import LabelsFrames, RoutesShots, VideoLabeller, open_tracked
from fo1_data.labelling.work_done import WorkTracker
from fo1_data.runs.video_steps import VideoSteps
from schemas.corpus import Shard
from schemas.images import ImageRow, Reject
from schemas.jobs import RunConfig
from schemas.tracks import Track, VideoRow


@dataclass
class LabelledVideo:
    """What a shard with a video is written from."""

    rows: list[ImageRow] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    videos: list[VideoRow] = field(default_factory=list)


def label_video(
    shard: Shard,
    labeller: LabelsFrames,
    config: RunConfig,
    steps: VideoSteps,
    routes: RoutesShots,
    tracker: WorkTracker,
) -> LabelledVideo:
    """Label the shots of a shard's video that are not stored yet, and read all of them.

    shard: the video, and entries of equal bytes behind it. A video that cannot be read is a reject.
    """
    entry, *equal = shard.images
    try:
        with open_tracked(entry) as video:
            work = VideoLabeller(entry, video, labeller, config, equal)
            done = steps.done()
            tracker.shots_done(len(done))
            first = done[-1].last + 1 if done else 0
            for shot in work.shots(first, len(done), tracker):
                steps.write(work.label(shot, routes, tracker))
                tracker.shots_done()
            return _read(work, steps, [reject for e in equal for reject in unused_annotations(e, entry)])
    except InputReject as error:
        return LabelledVideo(rejects=[reject_from(other, error) for other in shard.images])


def _read(work: VideoLabeller, steps: VideoSteps, rejects: list[Reject]) -> LabelledVideo:
    whole = LabelledVideo(rejects=[*rejects, *work.fault()])
    known = []
    for shot in steps.done():
        labels, rows = steps.read(shot)
        whole.rows += rows
        whole.rejects += labels.rejects
        whole.tracks += labels.tracks
        known.append(labels.model_copy(update={"tracks": []}))
    whole.videos.append(work.row(known))
    return whole
