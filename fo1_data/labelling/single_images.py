"""Labelling single images from Python: no corpus is listed and no dataset is written.

Boxes are pixels of the EXIF-oriented image. Importing this module loads no model code.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fo1_data.config import load_run
from fo1_data.errors import InputReject
from fo1_data.home_folders import expand_home
from fo1_data.labelling.image_labeller import ImageLabeller
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import ImageRow


def load_labeller(**settings: Any) -> ImageLabeller:
    """Load a model and a proposer of boxes to label images with, in this process.

    `settings` are those of `fo1 label` by their names, such as `model`, `labels`, `vocabulary`, `proposals`
    and `device`. Raises ConfigError or CheckpointError.
    """
    return ImageLabeller(load_run(None, {"corpus": ".", "out": ".", "box_frame": "oriented", **settings}))


def label_image(
    labeller: ImageLabeller,
    image: str | Path,
    boxes_xyxy: Iterable[Sequence[float]] | None = None,
    phrases: Sequence[str] = (),
) -> ImageRow:
    """Label one image and return what a dataset would hold of it.

    `image`: a path or URL. `boxes_xyxy`: x_min, y_min, x_max, y_max for each region; None: the labeller's
    proposer finds them. `phrases`: what to look for if `ground` is among the labels. Raises InputReject if
    the image cannot be read or a box has no area in it.
    """
    uri = str(image) if "://" in str(image) else str(expand_home(image).absolute())
    regions = None if boxes_xyxy is None else [_region(box) for box in boxes_xyxy]
    entry = CorpusImage(uri=uri, regions=regions, phrases=[CorpusPhrase(text=text) for text in phrases])
    rows, rejects = labeller.label_entries(labeller.attach_boxes([entry]))
    for reject in rejects:
        raise InputReject(reject.stage, reject.reason, reject.message, reject.replayable)
    return rows[0]


def _region(box: Sequence[float]) -> CorpusRegion:
    x_min, y_min, x_max, y_max = map(float, box)
    return CorpusRegion(box_xyxy=(x_min, y_min, x_max, y_max))
