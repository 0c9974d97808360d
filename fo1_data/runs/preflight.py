"""What a run will cost and what is wrong with its inputs, before a GPU is used.

Files are read and decoded in threads, by the code that labels: all of them, or a seeded sample. Times are
measured on a few images if the model is small enough, else assumed; the result lists its assumptions. Asks
no cluster and no service.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pydantic import BaseModel

from fo1_data.confidence.review_cost import REVIEW_S_PER_LABEL
from fo1_data.corpus.decoding import decode_image, sidecars_of
from fo1_data.corpus.dicom.settings import dicom_settings
from fo1_data.corpus.entry_bytes import must_embed, read_encoded
from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.frames import FRAME_GUESS, OTHER_SIZE, oriented_entry
from fo1_data.corpus.images import ImageFrame, InputLimits
from fo1_data.corpus.rejects import reject_from
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.corpus.tile_listing import frame_of
from fo1_data.corpus.tile_names import TileName
from fo1_data.corpus.tile_reading import read_tile
from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.errors import InputReject
from fo1_data.plurals import counted
from fo1_data.proposals.identity import is_boxes_file
from fo1_data.runs.resource_limits import limit_resources
from fo1_data.runs.video_check import check_video
from fo1_data.runs.video_cost import ASSUMED_THINGS, ASSUMED_TRACK_S, VideoCost
from fo1_data.storage.addresses import local_path
from fo1_data.tracking.names import SAM3
from schemas.corpus import CorpusImage
from schemas.images import Reject
from schemas.jobs import RunConfig
from schemas.labels import LabelKind

# A 3B model in bfloat16 on one data-centre GPU, short answers; measure with `fo1 bench engine`.
ASSUMED_REGIONS_PER_S = 30.0
ASSUMED_REGIONS_PER_IMAGE = 12.0
EXAMPLES = 20
THREADS = 8
_IMAGE_KINDS = {LabelKind.GROUNDED_CAPTION}


class FileCheck(BaseModel):
    """What reading the files found. `checked` files of `of` were read; the others are assumed to be alike.

    `regions`: the usable boxes that the corpus has for the good ones among them, each image once; None if it
    has none for some.
    """

    checked: int
    of: int
    total_bytes: int
    bad: int
    bad_by_reason: dict[str, int]
    bad_examples: list[dict[str, str]]
    guessed_frames: int
    regions: int | None
    duplicate_groups: int
    duplicate_files: int
    duplicate_examples: list[list[str]]


class Measured(BaseModel):
    """What labelling a few images took, in this process, on `device`, without loading the model."""

    images: int
    regions: int
    labels: int
    seconds: float
    load_s: float
    device: str


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


def check_files(entries: Sequence[CorpusImage], config: RunConfig, at_most: int | None) -> FileCheck:
    """Read and decode the entries, or a seeded sample of `at_most`; count bad files and duplicates.

    Of an image that is labelled in tiles one tile is read, of a video that is tracked the first frame.
    """
    chosen: Sequence[CorpusImage] = entries
    if at_most is not None and len(entries) > at_most:
        places = sorted(random.Random(config.seed).sample(range(len(entries)), at_most))
        chosen = [entries[place] for place in places]
    limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
    rejects: list[Reject] = []
    places_of: dict[str, list[str]] = defaultdict(list)
    total_bytes = guessed_frames = regions = 0
    all_have_boxes = True
    with ThreadPoolExecutor(THREADS, thread_name_prefix="check") as pool:
        results = pool.map(lambda entry: _check_file(entry, config, limits), chosen)
        for entry, result in zip(chosen, results, strict=True):
            if isinstance(result, Reject):
                rejects.append(result)
                continue
            guessed_frames += result.guesses_frame
            if result.image_id not in places_of:
                regions += result.num_boxes or 0
                all_have_boxes = all_have_boxes and result.num_boxes is not None
            places_of[result.image_id].append(entry.name)
            total_bytes += result.num_bytes
    duplicates = [names for names in places_of.values() if len(names) > 1]
    return FileCheck(
        checked=len(chosen),
        of=len(entries),
        total_bytes=total_bytes,
        bad=len(rejects),
        bad_by_reason=dict(Counter(f"{reject.stage.value}: {reject.reason}" for reject in rejects)),
        bad_examples=[{"uri": r.uri, "reason": r.reason, "message": r.message} for r in rejects[:EXAMPLES]],
        guessed_frames=guessed_frames,
        regions=regions if places_of and all_have_boxes else None,
        duplicate_groups=len(duplicates),
        duplicate_files=sum(len(names) - 1 for names in duplicates),
        duplicate_examples=duplicates[:EXAMPLES],
    )


class _GoodFile(NamedTuple):
    """An image that can be labelled. `num_boxes`: its usable ones; None if the corpus lists none for it."""

    image_id: str
    num_bytes: int
    guesses_frame: bool
    num_boxes: int | None


def _check_file(entry: CorpusImage, config: RunConfig, limits: InputLimits) -> _GoodFile | Reject:
    """What the file holds, or the reject that labelling would give."""
    try:
        if is_tracked(entry):
            video_id, num_bytes, num_boxes = check_video(entry)
            return _GoodFile(video_id, num_bytes, guesses_frame=False, num_boxes=num_boxes)
        if config.tile_side_px is not None and not must_embed(entry):
            frame = frame_of(entry, limits)
            grid = TileGrid((frame.width, frame.height), config.tile_side_px, config.overlap_px)
            if not grid.is_single:
                return _check_tile(entry, frame, grid, config, limits)
        data = read_encoded(entry, limits, dicom_settings(config)).data
        sidecars = sidecars_of(entry, data, limits)
        image = decode_image(data, limits, Rendering.of_run(config), sidecars=sidecars)
    except InputReject as error:
        return reject_from(entry, error)
    oriented, rejects = oriented_entry(entry, image, config.box_frame)
    other_size = next((reject for reject in rejects if reject.reason == OTHER_SIZE), None)
    num_boxes = None if oriented.regions is None else len(oriented.regions)
    return other_size or _GoodFile(image.image_id, len(data), FRAME_GUESS in (oriented.meta or {}), num_boxes)


def _check_tile(
    entry: CorpusImage, frame: ImageFrame, grid: TileGrid, config: RunConfig, limits: InputLimits
) -> _GoodFile | Reject:
    """`_check_file` of an image that is labelled in tiles: the one in its middle is read."""
    name = TileName(grid.window((grid.columns // 2, grid.rows // 2)), grid.tile_px, grid.overlap_px)
    image_id = read_tile(name.of(entry), name, limits, Rendering.of_run(config)).image.image_id
    oriented, rejects = oriented_entry(entry, frame, config.box_frame)
    other_size = next((reject for reject in rejects if reject.reason == OTHER_SIZE), None)
    path = local_path(entry.uri) if entry.inner is None else None
    num_bytes = path.stat().st_size if path is not None else 0
    num_boxes = None if oriented.regions is None else len(oriented.regions)
    return other_size or _GoodFile(image_id, num_bytes, FRAME_GUESS in (oriented.meta or {}), num_boxes)


def try_detectors(config: RunConfig) -> None:
    """Load what gives boxes and masks in a run on the CPU, which tries it on an image.

    Raises CheckpointError or ConfigError.
    """
    from fo1_data.labelling.word_lists import read_phrases, sought_words
    from fo1_data.proposals.load import load_proposer, load_video_boxes

    load = load_video_boxes if config.tracker == SAM3 else load_proposer
    load(config.proposals, words=sought_words(config, read_phrases(config.phrases)))
    if config.masks is not None:
        from fo1_data.proposals.box_masks import load_box_masks

        load_box_masks(config.masks)


def measure(entries: Sequence[CorpusImage], config: RunConfig) -> Measured | None:
    """Label `entries` in this process and discard the rows; None if none of them could be labelled.

    Raises CheckpointError and ConfigError as a run would.
    """
    from fo1_data.labelling.image_labeller import ImageLabeller
    from fo1_data.model.device import choose_device

    limit_resources(config.cpus_per_actor)
    started_s = time.perf_counter()
    labeller = ImageLabeller(config)
    load_s = time.perf_counter() - started_s
    started_s = time.perf_counter()
    rows, _ = labeller.label_entries(list(entries))
    if not rows:
        return None
    return Measured(
        images=len(rows),
        regions=sum(len(row.regions) for row in rows),
        labels=sum(len(row.answered_labels()) for row in rows),
        seconds=time.perf_counter() - started_s,
        load_s=load_s,
        device=str(choose_device(config.device)),
    )


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
    unit = "image" if num_units is None else "tile"
    of_corpus = _boxes_of_corpus(files, config) if videos is None else None
    if measured is not None:
        regions = good * measured.regions / measured.images
        labels = good * measured.labels / measured.images
        if of_corpus is not None:  # known, where the measured images are only a few
            labels = of_corpus * measured.labels / measured.regions if measured.regions else labels
            regions = of_corpus
        seconds = good * measured.seconds / measured.images
        assumptions.append(
            f"{measured.images / measured.seconds:.2f} {unit}s/s for one labeller: measured on "
            f"{counted(measured.images, unit)} on {measured.device}"
        )
    else:
        regions = of_corpus if of_corpus is not None else good * _regions_per_image(entries, assumptions)
        labels = regions * sum(kind.per_region for kind in config.labels)
        labels += num_images * len(set(config.labels) & _IMAGE_KINDS)
        seconds = regions / ASSUMED_REGIONS_PER_S
        assumptions.append(
            f"{ASSUMED_REGIONS_PER_S:g} regions/s for one labeller: assumed, for a 3B model on one GPU"
        )
    if videos is not None:
        one_s = measured.seconds / max(1, measured.regions) if measured else 1 / ASSUMED_REGIONS_PER_S
        labels, seconds = labels + videos.questions, seconds + videos.questions * one_s
        regions += videos.questions / max(1, sum(kind.per_region for kind in config.labels))
        assumptions.append(
            f"videos: {ASSUMED_THINGS:g} things in sight, each for {ASSUMED_TRACK_S:g} s: assumed where no "
            "tracks are given; decoding and the detector's time are not counted"
        )
    if files.checked < files.of:
        assumptions.append(f"bad files and duplicates as in the {counted(files.checked, 'file')} read")
    hours = seconds / 3600
    review_hours = labels * REVIEW_S_PER_LABEL / 3600
    if config.second_opinion is not None:
        assumptions.append(
            f"a second opinion of up to {counted(round(regions), 'region')}, those whose labels are unsure: "
            "its time is not counted"
        )
    assumptions.append(f"{REVIEW_S_PER_LABEL:g} s of a person's time per label")
    return CostEstimate(
        images=num_images,
        regions=round(regions),
        labels=round(labels),
        labelling_hours_of_one_actor=round(hours, 4),
        wall_hours=round(hours / config.actor_range[1], 4),
        gpu_hours=round(hours * gpus, 4),
        cpu_hours=round(hours * config.cpus_per_actor, 4),
        review_hours_if_all=round(review_hours, 4),
        review_hours_as_set=round(review_hours * _share_reviewed(labels, num_images, config, assumptions), 4),
        assumptions=assumptions,
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


def to_document(part: BaseModel | None) -> dict[str, Any] | None:
    """A part as JSON-able data, None for None."""
    return None if part is None else part.model_dump(mode="json")
