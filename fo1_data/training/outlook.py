"""Whether the region features tell the names of a training set apart, before any training.

A plain linear reader (logistic regression) of the frozen features is fitted on the boxes of some images and
names the boxes of others. What it cannot tell apart, fine-tuning of the language model hardly will; what it
can, a training run should reach.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

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
# Of each name, and on how many images: fewer tell nothing of other images.
_FEWEST_BOXES, _FEWEST_IMAGES = 8, 2
# The regions' captions are names if so many of them are among the names that count.
_LEAST_SHARE = 0.5


def linear_outlook(
    trainer: Trainer, source: ExampleSource, must_stop: Callable[[], bool] = lambda: False
) -> Outlook | None:
    """How well a linear reader names boxes of images that it has not seen; four-fold, at most 60 images.

    None if the regions have no names that occur on enough images, as where every caption is a sentence, or
    if it was stopped. `must_stop`: asked before each image.
    """
    examples = [source.at(place) for place in range(min(_MAX_IMAGES, len(source)))]
    known = _known_names(examples)
    if len(known) < 2:
        return None
    labels, images, features = [], [], []
    for number, example in enumerate(examples):
        if must_stop():
            return None
        for name, feature in _named_features(trainer, example):
            if name in known:
                labels.append(name)
                images.append(number)
                features.append(feature)
    if len(set(images)) < 2 * _PARTS or len(set(labels)) < 2:
        return None
    linear = _share_named(np.stack(features), np.asarray(labels), images)
    guess = max(Counter(labels).values()) / len(labels)
    return Outlook(names=len(set(labels)), boxes=len(labels), linear=linear, guess=guess)


def _known_names(examples: Sequence[TrainingExample]) -> set[str]:
    """The names with enough boxes on enough images; none if most regions have other names."""
    by_image = [Counter(_names(example)) for example in examples]
    boxes = sum(by_image, Counter[str]())
    num_images = Counter(name for names in by_image for name in names)
    known = {
        name
        for name, number in boxes.items()
        if number >= _FEWEST_BOXES and num_images[name] >= _FEWEST_IMAGES
    }
    return known if sum(boxes[name] for name in known) >= _LEAST_SHARE * boxes.total() else set()


def _share_named(features: np.ndarray, names: np.ndarray, images: Sequence[int]) -> float:
    """The share of boxes named rightly, each by a reader fitted on other images.

    features: (N, D), names: (N,), images: the image of each of the N boxes.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    num_right = 0
    for others, held_out in GroupKFold(_PARTS).split(features, names, images):
        if len(set(names[others])) == 1:  # all images with another name are held out at once
            num_right += int((names[held_out] == names[others][0]).sum())
            continue
        reader = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            reader.fit(features[others], names[others])
        num_right += int((reader.predict(features[held_out]) == names[held_out]).sum())
    return num_right / len(names)


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
