"""Run lengths of masks, which other software decodes: a mask of its size, or none."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzz_target import Runner, check
from odd_values import changed_text, odd_value

from fo1_data.corpus.forms.masks import box_of_segmentation
from fo1_data.corpus.forms.segmentation_masks import mask_of_segmentation
from fo1_data.masks import decode_mask, is_mask_of
from services.label_studio.brushes import painted_mask


@contextmanager
def masks(folder: Path) -> Iterator[Runner]:
    def run(chance: random.Random) -> str:
        if chance.random() < 0.3:
            return _brush(chance)
        segmentation = _segmentation(chance)
        box = box_of_segmentation(segmentation)
        check(box is None or (len(box) == 4 and all(value == value for value in box)), box)
        mask = mask_of_segmentation(segmentation, 8, 10)
        if mask is None:
            return "no mask"
        is_of_image = is_mask_of(mask, (10, 8))
        try:
            check(list(decode_mask(mask).shape) == mask.size, mask)
        except ValueError:
            check(not is_of_image, "of the image, and cannot be read:", mask)
            return "run lengths that cannot be read"
        return "a mask"

    yield run


def _segmentation(chance: random.Random) -> object:
    size: object = chance.choice(
        ([8, 10], [8, 10], [10, 8], [0, 0], [8], "8", [8, -10], [8.0, 10.0], odd_value(chance))
    )
    counts: object = chance.choice(
        (
            [chance.randint(0, 30) for _ in range(chance.randint(0, 8))],
            [3, 4, 73],
            [80],
            [-1, 81],
            [3, "4", 73],
            changed_text("32W1", chance),
            "32W1",
            b"32W1",
            odd_value(chance),
        )
    )
    polygon = [chance.choice((1, 5, 9, 100, -3, odd_value(chance))) for _ in range(chance.randint(0, 10))]
    return chance.choice(({"size": size, "counts": counts}, [polygon], polygon, odd_value(chance)))


def _brush(chance: random.Random) -> str:
    rle = [chance.choice((0, 1, 31, 64, 255, chance.randrange(256))) for _ in range(chance.randint(0, 40))]
    value = {
        "format": chance.choice(("rle", "rle", "x")),
        "rle": chance.choice((rle, rle, rle, odd_value(chance))),
    }
    mask = painted_mask(value, (10, 8))
    check(mask is None or decode_mask(mask).shape == (8, 10), mask)
    return "a brush" if mask is not None else "no brush"
