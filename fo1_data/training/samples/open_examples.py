"""Datasets and gold corpora as things to train on: an image's pixels and what is known of it.

A folder with a manifest is a dataset: what its rows teach is `row_gold`. Anything else is read as a corpus
with gold. Which image comes when is `example_source`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.frames import BoxFrame, oriented_entry
from fo1_data.corpus.images import DecodedImage, InputLimits, decode_rgb
from fo1_data.dataset.pixels import image_bytes
from fo1_data.errors import DatasetError, InputReject
from fo1_data.training.samples.questions import Known, Trust, TrustKey
from fo1_data.training.samples.row_gold import read_row
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusExample, CorpusImage, CorpusPhrase
from schemas.images import ImageRow

MAX_BOXES = 100


@dataclass(frozen=True)
class Example:
    """One image to train on, with gold in `box_frame`. `row`: the dataset's row that it is, if it is one.

    `trust`: by kind, region index and phrase or question; what is not in it is gold.
    """

    entry: CorpusImage
    box_frame: BoxFrame = "auto"
    row: ImageRow | None = None
    trust: Mapping[TrustKey, Trust] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """An image with its boxes in the order of the prompt; boxes_xyxy (R, 4) in its pixels."""

    rgb: Image.Image
    boxes_xyxy: np.ndarray
    known: Known


def row_example(row: ImageRow) -> Example:
    """A dataset's row as something to train on, with how far each of its labels is to be trusted."""
    gold, trust = read_row(row)
    return Example(gold, "oriented", row, trust)


def open_example(example: Example, limits: InputLimits) -> tuple[DecodedImage, CorpusImage]:
    """The upright image and what is known of it, its boxes in that image's pixels. Raises InputReject."""
    data = _bytes_of(example, limits)
    image = decode_rgb(data, limits)
    entry, _ = oriented_entry(example.entry, image, example.box_frame)
    if not entry.regions:
        raise InputReject("box", "no_area", "no box of the image can be used")
    return image, entry


def _bytes_of(example: Example, limits: InputLimits) -> bytes:
    if example.row is None:
        return read_bytes(example.entry, limits)
    try:
        return image_bytes(example.row, limits)
    except DatasetError as error:
        raise InputReject("fetch", "not_found", str(error)) from None


def show(
    rgb: Image.Image,
    entry: CorpusImage,
    trust: Mapping[TrustKey, Trust],
    rng: np.random.Generator,
    config: TrainConfig,
    negatives: Sequence[CorpusPhrase] = (),
    num_distractors: int = 0,
) -> Shown:
    """Choose the order of an opened image's boxes, at most 100 of them, and move their sides a little.

    `negatives`: phrases that the image does not show, to be asked for beside its own; `num_distractors`: how
    many boxes at the end of the entry's are no labelled ones.
    """
    regions = entry.regions or []
    count = len(regions)
    order = (rng.permutation(count) if config.shuffle_boxes else np.arange(count))[:MAX_BOXES].tolist()
    boxes = np.array([regions[place].box_xyxy for place in order], dtype=np.float32)
    jitter = config.box_jitter
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    boxes += rng.uniform(-jitter, jitter, boxes.shape).astype(np.float32) * sides
    boxes = np.clip(boxes, 0, np.array([rgb.width, rgb.height] * 2, np.float32))
    return Shown(rgb, boxes, _reordered(entry, order, trust, negatives, count - num_distractors))


def _reordered(
    entry: CorpusImage,
    order: list[int],
    trust: Mapping[TrustKey, Trust],
    negatives: Sequence[CorpusPhrase],
    num_labelled: int,
) -> Known:
    """What an entry says, by positions in `order`; its regions from `num_labelled` on are distractors."""
    regions = entry.regions or []
    position = {place: index for index, place in enumerate(order)}
    phrases = [
        one for one in (_moved_phrase(phrase, position) for phrase in entry.phrases) if one is not None
    ]
    described = [_moved_phrase(one, position) for one in entry.caption_phrases]
    labelled = all(region.label for region in regions[:num_labelled])
    distractors = frozenset(at for at, place in enumerate(order) if place >= num_labelled)
    answers = [
        answer.model_copy(update={"region_index": position[answer.region_index]})
        if answer.region_index is not None
        else answer
        for answer in entry.answers
        if answer.region_index is None or answer.region_index in position
    ]
    examples = [
        CorpusExample(
            region_index=position[one.region_index],
            region_indices=[position[place] for place in one.region_indices],
        )
        for one in entry.examples
        if {one.region_index, *one.region_indices} <= set(position)
    ]
    shown = [regions[place] for place in order]
    moved = {
        (kind, None if place is None else position[place], text): one
        for (kind, place, text), one in trust.items()
        if place is None or place in position
    }
    return Known(
        shown,
        [*phrases, *negatives],
        entry.counts,
        labelled,
        answers,
        examples,
        moved,
        distractors,
        all_shown=len(order) == len(regions),
        description=entry.caption if all(described) else None,
        description_phrases=[one for one in described if one is not None],
    )


def _moved_phrase(phrase: CorpusPhrase, position: Mapping[int, int]) -> CorpusPhrase | None:
    """The phrase by positions; None where it is not known, or not shown, which boxes it names."""
    named = phrase.region_indices
    if named is None or any(place not in position for place in named):
        return None
    return phrase.model_copy(update={"region_indices": [position[place] for place in named]})
