"""Which images a run trains on, and which it is validated on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fo1_data.dataset.label_parts import draw
from fo1_data.storage.addresses import normalise
from fo1_data.training.samples.source import (
    VALIDATION,
    ExampleSource,
    Group,
    has_split,
    list_groups,
    source_of,
)
from fo1_data.training.settings import TrainConfig

# Not the seed of the run: what one run was validated on is not trained on by the next.
_SEED = 0
# With fewer images, none is held out: a share of them would say nothing.
_FEWEST_IMAGES = 10


def open_sources(
    addresses: Sequence[str], validation: Sequence[str], config: TrainConfig
) -> tuple[ExampleSource, ExampleSource | None]:
    """The images to train on, and those to validate on; None if there are none.

    The latter are those of `validation`: of a dataset that is trained on, its split `validation`; of another
    dataset or corpus, all images. Without `validation` they are the split `validation` of each dataset that
    has one, and of every other address with at least ten images a share of `config.validation_share`, which
    is then not trained on. Raises DatasetError if no image has a box or a dataset is damaged, CorpusError if
    a corpus cannot be listed.
    """
    training: list[Group] = []
    held_out: list[Group] = []
    for address in addresses:
        groups = list_groups(address)
        if validation:
            training += groups
        elif has_split(address, VALIDATION):
            training += groups
            held_out += list_groups(address, VALIDATION)
        else:
            kept, others = _divided(groups, config.validation_share)
            training += kept
            held_out += others
    trained = set(map(normalise, addresses))
    for address in validation:
        is_split = normalise(address) in trained and has_split(address, VALIDATION)
        held_out += list_groups(address, VALIDATION if is_split else None)
    train = source_of(training, addresses, config.seed, config.window_groups)
    if not validation and not any(len(group.usable) for group in held_out):
        return train, None
    return train, source_of(held_out, validation or addresses, config.seed, config.window_groups)


def _divided(groups: Sequence[Group], share: float) -> tuple[Sequence[Group], Sequence[Group]]:
    """The groups with the images to train on, and those with the ones held out."""
    if not share or sum(len(group.usable) for group in groups) < _FEWEST_IMAGES:
        return groups, []
    kept, others = [], []
    for group in groups:
        keys = group.keys()
        drawn = [draw(_SEED, VALIDATION, keys[index]) for index in group.usable.tolist()]
        is_held_out = np.array(drawn, dtype=np.float64) < share
        kept.append(replace(group, usable=group.usable[~is_held_out]))
        others.append(replace(group, usable=group.usable[is_held_out], num_without_box=0))
    return kept, others
