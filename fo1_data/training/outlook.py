"""Whether the region features tell the names of a training set apart, before any training.

A plain linear reader (logistic regression) of the frozen features is fitted on the boxes of some images and
names the boxes of others. What it cannot tell apart, fine-tuning of the language model hardly will; what it
can, a training run should reach.
"""

import warnings
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch

from fo1_data.errors import InputReject
from fo1_data.training.events import Outlook
from fo1_data.training.samples.batches import LIMITS
from fo1_data.training.samples.entry_texts import name_of
from fo1_data.training.samples.open_examples import MAX_BOXES, TrainingExample, open_example
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.trainer import Trainer

_MAX_IMAGES = 60
_PARTS = 4
# Of each name: fewer tell nothing of other images.
_FEWEST_BOXES = 8
# The regions' captions are names if so many of them are among the names that count.
_LEAST_SHARE = 0.5


def linear_outlook(trainer: Trainer, source: ExampleSource) -> Outlook | None:
    """How well a linear reader names boxes of images that it has not seen; four-fold, at most 60 images.

    None if the regions have no names that occur on enough images, as where every caption is a sentence.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    examples = [source.at(place) for place in range(min(_MAX_IMAGES, len(source)))]
    counts = Counter(name for example in examples for name in _names(example))
    known = {name for name, count in counts.items() if count >= _FEWEST_BOXES}
    if len(known) < 2 or sum(counts[name] for name in known) < _LEAST_SHARE * sum(counts.values()):
        return None
    labels, images, features = [], [], []
    for number, example in enumerate(examples):
        for name, feature in _named_features(trainer, example):
            if name in known:
                labels.append(name)
                images.append(number)
                features.append(feature)
    if len(set(images)) < 2 * _PARTS or len(set(labels)) < 2:
        return None
    reader = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(reader, np.stack(features), labels, groups=images, cv=GroupKFold(_PARTS))
    guess = max(Counter(labels).values()) / len(labels)
    return Outlook(names=len(known), boxes=len(labels), linear=float(scores.mean()), guess=guess)


def _names(example: TrainingExample) -> list[str]:
    return [name for region in example.entry.regions or [] if (name := name_of(region)) is not None]


@torch.no_grad()
def _named_features(trainer: Trainer, example: TrainingExample) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the feature (D,) of each of an image's first 100 boxes; nothing if it cannot be read."""
    try:
        image, entry = open_example(example, LIMITS)
    except InputReject:
        return
    regions = (entry.regions or [])[:MAX_BOXES]
    boxes_R4 = np.array([region.box_xyxy for region in regions], dtype=np.float32)
    prepared = trainer.checkpoint.processor.prepare(image.rgb, boxes_R4)
    (encoded,) = trainer.model.encode_images([prepared])
    for region, feature_D in zip(regions, encoded.region_embeds.float().cpu().numpy(), strict=True):
        if (name := name_of(region)) is not None:
            yield name, feature_D
