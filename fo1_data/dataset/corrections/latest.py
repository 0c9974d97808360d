"""Which corrections still count when a review was read several times.

What a review says of an image (of a large one: of each of its parts) is one statement, made anew whenever
its annotations change (`as_of`): the latest statement replaces the earlier ones. Within a statement, each
annotation counts as it was submitted last (`at`). `latest` keeps the maximum of both for each statement and
annotation, so `latest(latest(a) + b)` is `latest(a + b)`: the result does not depend on the order, the number
or the parts of merges.
"""

from collections.abc import Collection, Iterable

from schemas.corrections import Correction, CorrectionAction


def latest(corrections: Iterable[Correction]) -> list[Correction]:
    """The corrections of the latest statement of each review on each image; all that belong to no review."""
    listed = list(corrections)
    as_of: dict[tuple[str, str], str] = {}
    for correction in listed:
        as_of[correction.statement] = max(correction.as_of or "", as_of.get(correction.statement, ""))
    stated = [
        correction
        for correction in listed
        if not correction.review or (correction.as_of or "") == as_of[correction.statement]
    ]
    submitted: dict[tuple[str, str], str] = {}
    for correction in stated:
        key = correction.annotation_key, correction.image_id
        submitted[key] = max(correction.at, submitted.get(key, ""))
    return [
        correction
        for correction in stated
        if not correction.annotation_key
        or correction.at == submitted[correction.annotation_key, correction.image_id]
    ]


def followed(
    merged: Iterable[Correction], listed: Collection[Correction], reviews: Collection[str], as_of: str
) -> list[Correction]:
    """The corrections merged before, less those of `reviews`; the images that these no longer speak of are
    withdrawn `as_of` this time. `listed`: all that the reviews say now."""
    spoken_of = {correction.statement for correction in listed}
    kept: list[Correction] = []
    for correction in merged:
        if correction.review not in reviews:
            kept.append(correction)
        elif correction.statement in spoken_of:
            continue
        elif correction.action is CorrectionAction.WITHDRAWN:
            kept.append(correction)
        else:
            spoken_of.add(correction.statement)
            kept.append(
                Correction(
                    image_id=correction.image_id,
                    action=CorrectionAction.WITHDRAWN,
                    annotation_key=correction.annotation_key,
                    at=as_of,
                    as_of=as_of,
                )
            )
    return kept
