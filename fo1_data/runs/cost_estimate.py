"""What a run will cost: hours of labelling and of review, by what was measured of it or is assumed.

The estimate lists its assumptions. Reads no files.
"""

from typing import NamedTuple

from pydantic import BaseModel

from fo1_data.confidence.review_cost import REVIEW_S_PER_LABEL
from fo1_data.corpus.entry_list import EntryList
from fo1_data.plurals import counted
from fo1_data.proposals.identity import is_boxes_file
from fo1_data.runs.file_check import FileCheck
from fo1_data.runs.trial import Measured
from fo1_data.runs.video_cost import ASSUMED_THINGS, ASSUMED_TRACK_S, VideoCost
from schemas.jobs import RunConfig
from schemas.labels import LabelKind

# A 3B model in bfloat16 on one data-centre GPU, short answers; measure with `fo1 bench engine`.
ASSUMED_REGIONS_PER_S = 30.0
ASSUMED_REGIONS_PER_IMAGE = 12.0
_IMAGE_KINDS = {LabelKind.GROUNDED_CAPTION}


class CostEstimate(BaseModel):
    """Hours for the whole corpus, and the assumptions behind them."""

    images: int
    regions: int
    labels: int
    labelling_hours_of_one_actor: float
    wall_hours: float
    gpu_hours: float
    cpu_hours: float
    review_hours_if_all: float
    review_hours_as_set: float
    assumptions: list[str]


def estimate(
    entries: EntryList,
    files: FileCheck,
    measured: Measured | None,
    config: RunConfig,
    gpus: float,
    num_units: int | None = None,
    videos: VideoCost | None = None,
) -> CostEstimate:
    """Hours of labelling and review. gpus: GPUs per labeller. num_units: images and tiles that are labelled,
    if images are cut into tiles; `measured` is then of such. videos: those among the entries."""
    assumptions: list[str] = []
    share_good = 1 - (files.bad + files.duplicate_files) / max(1, files.checked)
    num_videos = videos.videos if videos is not None else 0
    num_images = round((len(entries) - num_videos) * share_good)
    good = num_images if num_units is None else round((num_units - num_videos) * share_good)
    of_corpus = _boxes_of_corpus(files, config) if videos is None else None
    if measured is not None:
        unit = "image" if num_units is None else "tile"
        work = _measured_work(measured, good, unit, of_corpus, assumptions)
    else:
        regions = of_corpus if of_corpus is not None else good * _regions_per_image(entries, assumptions)
        work = _assumed_work(regions, num_images, config, assumptions)
    if videos is not None:
        work = _with_videos(work, videos, measured, config, assumptions)
    if files.checked < files.of:
        assumptions.append(f"bad files and duplicates as in the {counted(files.checked, 'file')} read")
    if config.second_opinion is not None:
        assumptions.append(
            f"a second opinion of up to {counted(round(work.regions), 'region')}, those whose labels are "
            "unsure: its time is not counted"
        )
    assumptions.append(f"{REVIEW_S_PER_LABEL:g} s of a person's time per label")
    hours, review_hours = work.seconds / 3600, work.labels * REVIEW_S_PER_LABEL / 3600
    share_reviewed = _share_reviewed(work.labels, num_images, config, assumptions)
    return CostEstimate(
        images=num_images,
        regions=round(work.regions),
        labels=round(work.labels),
        labelling_hours_of_one_actor=round(hours, 4),
        wall_hours=round(hours / config.actor_range[1], 4),
        gpu_hours=round(hours * gpus, 4),
        cpu_hours=round(hours * config.cpus_per_actor, 4),
        review_hours_if_all=round(review_hours, 4),
        review_hours_as_set=round(review_hours * share_reviewed, 4),
        assumptions=assumptions,
    )


class _Work(NamedTuple):
    """What one labeller has to do. `seconds`: of its time."""

    regions: float
    labels: float
    seconds: float


def _measured_work(
    measured: Measured, good: int, unit: str, of_corpus: float | None, assumptions: list[str]
) -> _Work:
    """The work of `good` images (or tiles, by `unit`) like those measured; `of_corpus`: their boxes, where
    all are known."""
    regions = good * measured.regions / measured.images
    labels = good * measured.labels / measured.images
    if of_corpus is not None:  # known, where the measured images are only a few
        labels = of_corpus * measured.labels / measured.regions if measured.regions else labels
        regions = of_corpus
    assumptions.append(
        f"{measured.images / measured.seconds:.2f} {unit}s/s for one labeller: measured on "
        f"{counted(measured.images, unit)} on {measured.device}"
    )
    return _Work(regions, labels, good * measured.seconds / measured.images)


def _assumed_work(regions: float, num_images: int, config: RunConfig, assumptions: list[str]) -> _Work:
    """The work of so many regions and images at a speed that is assumed."""
    labels = regions * sum(kind.per_region for kind in config.labels)
    labels += num_images * len(set(config.labels) & _IMAGE_KINDS)
    assumptions.append(
        f"{ASSUMED_REGIONS_PER_S:g} regions/s for one labeller: assumed, for a 3B model on one GPU"
    )
    return _Work(regions, labels, regions / ASSUMED_REGIONS_PER_S)


def _with_videos(
    work: _Work, videos: VideoCost, measured: Measured | None, config: RunConfig, assumptions: list[str]
) -> _Work:
    """The work with the questions about videos added."""
    one_s = measured.seconds / max(1, measured.regions) if measured else 1 / ASSUMED_REGIONS_PER_S
    assumptions.append(
        f"videos: {ASSUMED_THINGS:g} things in sight, each for {ASSUMED_TRACK_S:g} s: assumed where no "
        "tracks are given; decoding and the detector's time are not counted"
    )
    return _Work(
        work.regions + videos.questions / max(1, sum(kind.per_region for kind in config.labels)),
        work.labels + videos.questions,
        work.seconds + videos.questions * one_s,
    )


def _boxes_of_corpus(files: FileCheck, config: RunConfig) -> float | None:
    """How many boxes a run will label if they are all the corpus' own; None if a detector finds them."""
    takes_own = config.proposals in ("auto", "corpus") or is_boxes_file(config.proposals)
    if files.regions is None or not takes_own:
        return None
    return files.regions * files.of / max(1, files.checked)


def _regions_per_image(entries: EntryList, assumptions: list[str]) -> float:
    counts = [len(entry.regions) for entry in entries.annotated() if entry.regions is not None]
    if counts:
        assumptions.append(f"{sum(counts) / len(counts):.1f} regions per image, as in the corpus")
        return sum(counts) / len(counts)
    assumptions.append(f"{ASSUMED_REGIONS_PER_IMAGE:g} regions per image: assumed")
    return ASSUMED_REGIONS_PER_IMAGE


def _share_reviewed(labels: float, images: int, config: RunConfig, assumptions: list[str]) -> float:
    budget = config.review_budget
    if budget is not None:
        pushed = "" if config.whole_images else ", pushed with --asked-only (else whole images)"
        assumptions.append(f"people review as much as the review budget allows{pushed}")
        return min(
            1.0, budget if budget < 1 else budget / max(1.0, images if config.whole_images else labels)
        )
    if config.calibration is not None:
        assumptions.append("people review the audit; what the calibration sends to review is not counted")
        return config.audit
    assumptions.append("without a calibration nothing is accepted: people review everything")
    return 1.0
