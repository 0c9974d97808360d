"""A labeller of moving squares for tests of everything around it: bright squares are the boxes, and a
caption is the colour of the middle of a box. It follows squares of one colour by itself where it is asked to.

VIDEO_LOG names a file that gets a line for each keyframe that is labelled. VIDEO_KILL_AT kills the process
with SIGKILL at the call to label keyframes that has this number.
"""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from fo1_data.boxes import as_boxes
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.labelling.held_images import HeldImage
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.rows import make_regions
from fo1_data.labelling.work_done import WorkTracker
from fo1_data.masks import encode_mask
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow, Reject
from schemas.jobs import RunConfig
from schemas.labels import Label, LabelKind, Signal
from schemas.regions import MaskRle

FACTORY = "square_labeller:SquareLabeller"


class SquareLabeller:
    """Finds squares on a dark ground and says their colour."""

    identity = LabellerIdentity("squares", "0", None, "squares", "0", None, "0", "float32")

    def __init__(self, config: RunConfig) -> None:
        self._num_calls = 0

    def read_ahead(self, entries: list[CorpusImage]) -> None:
        """Nothing is read ahead."""

    def label_entries(
        self, entries: list[CorpusImage], tracker: WorkTracker
    ) -> tuple[list[ImageRow], list[Reject]]:
        raise AssertionError("only videos are labelled")

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        return [_squares(image) for image in images]

    def follow(self, video: CorpusImage) -> "ColouredShot":
        return ColouredShot()

    def label_held(
        self, images: Sequence[HeldImage], tracker: WorkTracker
    ) -> tuple[list[ImageRow], list[Reject]]:
        self._num_calls += 1
        if self._num_calls == int(os.environ.get("VIDEO_KILL_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        with Path(os.environ["VIDEO_LOG"]).open("a") as log:
            log.writelines(f"{image.entry.name}\n" for image in images)
        return [_row(image) for image in images], []


class ColouredShot:
    """A shot of a model of videos: a thing is all squares of one colour. Frames are settled late."""

    def __init__(self) -> None:
        self._seen: list[Proposals] = []

    def look(self, image: Image.Image) -> list[Proposals]:
        found = _squares(image)
        pixels = np.asarray(image)
        corners = [tuple(map(int, box)) for box in found.boxes_xyxy]
        numbers = [str(pixels[y_min, x_min].argmax()) for x_min, y_min, _, _ in corners]
        masks: list[MaskRle | None] = []
        for x_min, y_min, x_max, y_max in corners:
            mask = np.zeros(pixels.shape[:2], bool)
            mask[y_min:y_max, x_min:x_max] = True
            masks.append(encode_mask(mask))
        self._seen.append(replace(found, masks=masks, track_ids=numbers))
        return [self._seen.pop(0)] if len(self._seen) > 3 else []

    def finish(self) -> list[Proposals]:
        return self._seen


def _squares(image: Image.Image) -> Proposals:
    """The boxes of connected bright pixels."""
    marks, _ = ndimage.label(np.asarray(image).max(axis=2) > 100)
    boxes = [
        (columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in ndimage.find_objects(marks)
        if rows.stop - rows.start > 4
    ]
    return Proposals(as_boxes(boxes), np.full(len(boxes), 0.9, np.float32), None, ["square"] * len(boxes))


def _row(image: HeldImage) -> ImageRow:
    decoded = decode_rgb(image.encoded, InputLimits())
    row = ImageRow(
        image_id=decoded.image_id,
        uri=image.entry.name,
        uris=[image.entry.name],
        corpus="squares",
        split="train",
        meta=None,
        image=EncodedImage(path=image.entry.name),
        width=decoded.width,
        height=decoded.height,
        regions=make_regions(decoded, image.proposals),
    )
    pixels = np.asarray(decoded.rgb)
    asked = image.proposals.asked
    for region in row.regions:
        if asked is not None and not asked[region.index]:
            continue
        x_min, y_min, x_max, y_max = map(int, region.box_xyxy)
        channel = int(pixels[(y_min + y_max) // 2, (x_min + x_max) // 2].argmax())
        region.brief_caption = ("red", "green", "blue")[channel]
        region.labels.append(
            Label(
                kind=LabelKind.BRIEF_CAPTION,
                text=region.brief_caption,
                signals=[Signal(name="logprob_mean", value=-0.1)],
            )
        )
    return row
