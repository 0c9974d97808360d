"""Draws the honeypots of a review: images whose answer is known, by gold or by what people corrected before.

Half of them show a wrong text, as far as there are such, so that who confirms everything is found out. The
draw depends on the review and the images alone. Reads the dataset, writes nothing.
"""

import hashlib
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import zip_longest

from fo1_data.corpus.readers import load_gold
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.reader import Dataset
from fo1_data.errors import ConfigError
from fo1_data.judging.matching import GoldIndex
from schemas.images import ImageRow
from schemas.reviews import ReviewOptions
from services.label_studio.shown import ShownImage
from services.label_studio.shown_from_rows import shown_image
from services.review.honeypots.known import KnownAnswers, known_by_gold, known_by_people
from services.review.outbox.parts import is_divided


@dataclass(frozen=True)
class Honeypot:
    """What a reviewer is shown of an image, and what is known of it."""

    shown: ShownImage
    known: KnownAnswers


class HoneypotSource:
    """Knows the answers for rows of a dataset. Raises CorpusError if gold cannot be read."""

    def __init__(self, dataset: Dataset, options: ReviewOptions) -> None:
        gold = options.honeypot_gold
        self._gold = GoldIndex(load_gold(gold).entries) if gold is not None else None
        self._originals = dataset.history().originals if gold is None else {}
        self._asked_only, self._masks = options.asked_only, options.masks

    def find(self, row: ImageRow) -> Honeypot | None:
        """The honeypot of a row; None if nothing of it is known, or it is too large for one item."""
        if is_divided(row):
            return None
        if self._gold is not None:
            shown = shown_image(row, blind=True, masks=self._masks)
            known = known_by_gold(row, shown, self._gold)
        elif row.image_id in self._originals:
            shown = shown_image(self._originals[row.image_id], blind=True, masks=self._masks)
            known = known_by_people(row, shown)
        else:
            return None
        if not known.texts:
            return None
        return Honeypot(_only_known(shown, known) if self._asked_only else shown, known)


def _only_known(shown: ShownImage, known: KnownAnswers) -> ShownImage:
    """What is shown without the answers that are not known: other tasks do not show everything either."""
    regions = [
        region.model_copy(
            update={"texts": {kind: region.texts[kind] for kind in known.texts.get(region.mark, {})}}
        )
        for region in shown.regions
    ]
    return shown.model_copy(
        update={"regions": regions, "phrases": [], "counts": [], "answers": [], "caption": None}
    )


def draw_honeypots(
    dataset: Dataset,
    source: HoneypotSource,
    options: ReviewOptions,
    num_pushed: Callable[[ImageRow], int],
    review_key: str,
) -> Collection[str]:
    """The ids of the images to mix in, so many that they are about the wanted share of all tasks.

    Images that are not pushed otherwise (`num_pushed`: in how many tasks one is) are taken first, because an
    image that is drawn gives no corrections. Raises ConfigError if no image has a known answer.
    """
    candidates: dict[bool, _Candidates] = {False: _Candidates(), True: _Candidates()}
    num_items = 0
    for row in light_rows(dataset, pixels=False):
        num_tasks = num_pushed(row)
        num_items += num_tasks
        honeypot = source.find(row)
        if honeypot is not None:
            order = hashlib.sha256(f"{review_key} {row.image_id}".encode()).hexdigest()
            candidates[num_tasks > 0].add(order, row.image_id, honeypot)
    share = options.honeypots or 0.0
    others, among_items = candidates[False].in_order(), candidates[True].in_order()
    if not others and not among_items:
        raise ConfigError(
            "honeypots: no image of the dataset has a known answer: name gold that covers some of its "
            "images, or push a version in which people have corrected labels"
        )
    num = math.ceil(num_items * share / (1 - share))
    if len(others) < num:
        num = math.ceil((num_items + len(others)) * share)
    if options.limit is not None:
        num = min(num, math.ceil(options.limit * share))
    return {*[*others, *among_items][: max(1, num)]}


class _Candidates:
    """Images with known answers, by whether they show a wrong text."""

    def __init__(self) -> None:
        self._ids: dict[bool, list[tuple[str, str]]] = {False: [], True: []}

    def add(self, order: str, image_id: str, honeypot: Honeypot) -> None:
        self._ids[honeypot.known.is_wrong(honeypot.shown)].append((order, image_id))

    def in_order(self) -> list[str]:
        """The ids, those with and without a wrong text in turn, then the rest of the more frequent ones."""
        pairs = zip_longest(sorted(self._ids[True]), sorted(self._ids[False]))
        return [candidate[1] for pair in pairs for candidate in pair if candidate is not None]
