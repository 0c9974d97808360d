"""One image to train on: its pixels, its gold, and the view of it that a training step shows the model.

A folder with a manifest is a dataset; `row_gold` turns its rows into gold. Anything else is read as a
corpus with gold. `source` decides which image comes when.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fo1_data.boxes import WindowXyxy
from fo1_data.corpus.decoding import decode_image, read_image_wh, sidecars_of
from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.frames import BoxFrame, oriented_entry
from fo1_data.corpus.images import DecodedImage, InputLimits, image_id_of
from fo1_data.corpus.plain_jpeg import decode_plain_jpeg
from fo1_data.dataset.pixels import decode_row, image_bytes
from fo1_data.errors import DatasetError, InputReject
from fo1_data.training.samples.augmentation import jitter_boxes
from fo1_data.training.samples.image_labels import ImageLabels, LabelKey, LabelTrust
from fo1_data.training.samples.row_gold import row_to_gold
from fo1_data.training.samples.tiled_rows import cut_row, grid_of, read_window, window_id
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusExample, CorpusImage, CorpusPhrase
from schemas.images import ImageRow, RejectStage

if TYPE_CHECKING:  # it imports torch
    from fo1_data.training.feature_cache import CachedImage

MAX_BOXES = 100


@dataclass(frozen=True)
class TrainingExample:
    """An image to train on, with gold in `box_frame`. `row`: its dataset row, if it comes from a dataset.

    `window_xyxy`: the part of the row's image that the example is, in whole pixels; None: all of it.
    `whole_row`: the row before it was cut to that part; `row` if it was not.
    `trust`: by label key, whose positions are region indices; a label without an entry is gold.
    """

    entry: CorpusImage
    box_frame: BoxFrame = "auto"
    row: ImageRow | None = None
    window_xyxy: WindowXyxy | None = None
    trust: Mapping[LabelKey, LabelTrust] = field(default_factory=dict)
    whole_row: ImageRow | None = None

    @property
    def image_id(self) -> str | None:
        """The id of its pixels, as far as it is known without them."""
        if self.row is None or self.window_xyxy is None:
            return None if self.row is None else self.row.image_id
        return window_id(self.row.image_id, self.window_xyxy)


@dataclass(frozen=True)
class PromptView:
    """An image as the model sees it: `boxes_xyxy` (R, 4) in pixels of `rgb`, in prompt order."""

    rgb: Image.Image
    boxes_xyxy: np.ndarray
    labels: ImageLabels


def row_to_example(row: ImageRow, window_xyxy: WindowXyxy | None = None) -> TrainingExample:
    """A dataset's row as a training example, with the trust in each of its labels.

    `window_xyxy`: the part of a large image to take (see `tiled_rows`).
    """
    grid = grid_of(row.meta, (row.width, row.height)) if window_xyxy is not None else None
    part = row if grid is None or window_xyxy is None else cut_row(row, grid, window_xyxy)
    gold, trust = row_to_gold(part)
    return TrainingExample(gold, "oriented", part, window_xyxy, trust, row)


def read_content(example: TrainingExample, limits: InputLimits) -> tuple[str, tuple[int, int]]:
    """The id of the image that an example is, or is a part of, and that image's upright size.

    Of a corpus' image the bytes are read; no pixels are decoded. Raises InputReject.
    """
    row = example.whole_row
    if row is not None:
        return row.image_id, (row.width, row.height)
    data = _read_image(example, limits)
    return image_id_of(data), read_image_wh(data, limits)


def open_example(example: TrainingExample, limits: InputLimits) -> tuple[DecodedImage, CorpusImage]:
    """Decode an example: the upright image and its gold, with boxes in that image's pixels.

    Raises InputReject if the image cannot be read or none of its boxes can be used.
    """
    image = _read_window(example, limits) or _decode(_read_image(example, limits), example, limits)
    return image, _oriented(example, image)


def _read_window(example: TrainingExample, limits: InputLimits) -> DecodedImage | None:
    """The pixels of an example that is a part of an image; None for a whole image."""
    if example.row is None or example.window_xyxy is None:
        return None
    return read_window(example.row, example.window_xyxy, limits)


def _oriented(example: TrainingExample, image: DecodedImage) -> CorpusImage:
    """The gold of an example in the pixels of its upright image."""
    entry, _ = oriented_entry(example.entry, image, example.box_frame)
    if not entry.regions:
        raise InputReject(RejectStage.BOX, "no_area", "no box of the image can be used")
    return entry


def open_cached(
    example: TrainingExample, limits: InputLimits, find: "Callable[[str], CachedImage | None] | None"
) -> "tuple[DecodedImage, CachedImage | None, CorpusImage]":
    """As `open_example`; an image that `find` knows by its id is not decoded, and is black.

    The bytes of a dataset's image are then not even read: its row names its id.
    """
    if find is None:
        image, entry = open_example(example, limits)
        return image, None, entry
    data = None if example.row is not None else _read_image(example, limits)
    image_id = example.image_id or image_id_of(data or b"")
    cached = find(image_id)
    if cached is not None:
        image = cached.shape.blank(image_id)
    elif example.window_xyxy is not None:
        image, _ = open_example(example, limits)
    else:
        data = data if data is not None else _read_image(example, limits)
        image = _decode(data, example, limits, image_id)
    return image, cached, _oriented(example, image)


def _read_image(example: TrainingExample, limits: InputLimits) -> bytes:
    if example.row is None:
        return read_bytes(example.entry, limits)
    try:
        return image_bytes(example.row, limits)
    except DatasetError as error:
        raise InputReject(RejectStage.FETCH, "not_found", str(error)) from None


def _decode(
    data: bytes, example: TrainingExample, limits: InputLimits, image_id: str | None = None
) -> DecodedImage:
    """The upright image. `image_id`: of bytes that were hashed before; a row's were when it was labelled."""
    row = example.row
    if row is None:
        sidecars = sidecars_of(example.entry, data, limits)
        return decode_image(data, limits, image_id=image_id, sidecars=sidecars)
    pixels = decode_plain_jpeg(data, row.orientation, limits.max_pixels)
    if pixels is None:
        return decode_row(row, data, limits)
    rgb = Image.fromarray(pixels)
    stored_wh = rgb.size if row.orientation < 5 else (rgb.height, rgb.width)
    return DecodedImage(row.image_id, rgb, rgb.width, rgb.height, row.orientation, stored_wh)


def make_prompt_view(
    rgb: Image.Image,
    entry: CorpusImage,
    trust: Mapping[LabelKey, LabelTrust],
    rng: np.random.Generator,
    config: TrainConfig,
    negatives: Sequence[CorpusPhrase] = (),
    num_distractors: int = 0,
) -> PromptView:
    """Choose and order at most 100 boxes of an opened image, and jitter their sides.

    `negatives`: absent phrases to add to the entry's phrases. `num_distractors`: how many regions at the end
    of the entry are distractors, not labelled boxes.
    """
    regions = entry.regions or []
    num_regions = len(regions)
    order = rng.permutation(num_regions) if config.shuffle_boxes else np.arange(num_regions)
    chosen = order[:MAX_BOXES].tolist()
    boxes = np.array([regions[index].box_xyxy for index in chosen], dtype=np.float32)
    boxes = jitter_boxes(boxes, rgb.size, config.box_jitter, rng)
    labels = _labels_by_position(entry, chosen, trust, negatives, num_regions - num_distractors)
    return PromptView(rgb, boxes, labels)


def _labels_by_position(
    entry: CorpusImage,
    chosen: list[int],
    trust: Mapping[LabelKey, LabelTrust],
    negatives: Sequence[CorpusPhrase],
    num_labelled: int,
) -> ImageLabels:
    """The entry's labels with region indices replaced by positions in `chosen`.

    Regions from index `num_labelled` on are distractors.
    """
    regions = entry.regions or []
    positions = {index: position for position, index in enumerate(chosen)}
    phrases = [_phrase_by_position(phrase, positions) for phrase in entry.phrases]
    description_phrases = [_phrase_by_position(phrase, positions) for phrase in entry.caption_phrases]
    answers = [
        answer.model_copy(update={"region_index": positions[answer.region_index]})
        if answer.region_index is not None
        else answer
        for answer in entry.answers
        if answer.region_index is None or answer.region_index in positions
    ]
    examples = [
        CorpusExample(
            region_index=positions[example.region_index],
            region_indices=[positions[index] for index in example.region_indices],
        )
        for example in entry.examples
        if {example.region_index, *example.region_indices} <= set(positions)
    ]
    return ImageLabels(
        regions=[regions[index] for index in chosen],
        phrases=[*(phrase for phrase in phrases if phrase is not None), *negatives],
        counts=entry.counts,
        all_labelled=all(region.label for region in regions[:num_labelled]),
        answers=answers,
        examples=examples,
        trust={
            (kind, None if index is None else positions[index], text): value
            for (kind, index, text), value in trust.items()
            if index is None or index in positions
        },
        distractors=frozenset(position for position, index in enumerate(chosen) if index >= num_labelled),
        all_shown=len(chosen) == len(regions),
        description=entry.caption if all(description_phrases) else None,
        description_phrases=[phrase for phrase in description_phrases if phrase is not None],
    )


def _phrase_by_position(phrase: CorpusPhrase, positions: Mapping[int, int]) -> CorpusPhrase | None:
    """The phrase with positions; None if its boxes are not known or one of them is not shown."""
    indices = phrase.region_indices
    if indices is None or any(index not in positions for index in indices):
        return None
    return phrase.model_copy(update={"region_indices": [positions[index] for index in indices]})
