"""A trial before a run, in this process: detectors that load, and the time that a few images take."""

import time
from collections.abc import Sequence

from pydantic import BaseModel

from fo1_data.runs.resource_limits import limit_resources
from fo1_data.tracking.names import SAM3
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig


class Measured(BaseModel):
    """What labelling a few images took, in this process, on `device`, without loading the model."""

    images: int
    regions: int
    labels: int
    seconds: float
    load_s: float
    device: str


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
