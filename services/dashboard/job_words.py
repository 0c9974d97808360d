"""A job's state and end in words, for its pages. Pure functions."""

from dataclasses import dataclass

from fo1_data.plurals import counted
from services.database.models import Job
from services.jobs.states import JobState
from services.rendering import duration


@dataclass(frozen=True)
class JobWords:
    """What the badge of a job says, its colour (a class of the style sheet), and the end in a sentence."""

    badge: str
    tone: str
    ending: str | None


def job_words(job: Job) -> JobWords:
    """Return a job in words. A run that finished without labelling any image is no success to look at."""
    state = JobState(job.state)
    if not state.is_end:
        return JobWords("ending" if job.cancel_requested else state.value, state.value, None)
    if state is JobState.FAILED:
        return JobWords(state.value, state.value, job.error)
    counts = job.counts or {}
    images, rejected = int(counts.get("images") or 0), int(counts.get("rejected") or 0)
    if state is JobState.CANCELLED:
        progress = job.progress or {}
        total = (
            None
            if progress.get("tiles_total") or progress.get("videos_total")
            else progress.get("images_total")
        )
        of_total = f" of {total}" if total else ""
        done = f" after {images}{of_total} images" if images else " before any image was labelled"
        return JobWords(state.value, state.value, f"Cancelled{done}; resume continues it.")
    if images == 0:
        why = (
            f"all {counted(rejected, 'input')} were rejected" if rejected > 1 else "the corpus has no images"
        )
        why = "the only input was rejected" if rejected == 1 else why
        return JobWords("nothing labelled", JobState.FAILED.value, f"Finished, but {why}.")
    took = ""
    if job.started_at is not None and job.finished_at is not None:
        took = f" in {duration((job.finished_at - job.started_at).total_seconds())}"
    aside = f"; {counted(rejected, 'input')} rejected" if rejected else "; nothing was rejected"
    return JobWords(state.value, state.value, f"Labelled {counted(images, 'image')}{took}{aside}.")
