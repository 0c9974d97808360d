"""What rows add up to: the counts of a manifest."""

from collections.abc import Iterable

from fo1_data.corpus.frames import FRAME_GUESS
from schemas.dataset import Counts, Manifest
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind, Source

UNREVIEWED_MEANS = (
    "no calibration stands behind these labels and no person was asked, so they are not accepted: "
    "calibrate and route again, or review them"
)
CAPTION_KINDS = (LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION)


def count_row(row: ImageRow) -> Counts:
    """The counts of one row: its parts, and the labels given to it by decision."""
    labels = row.answered_labels()
    decisions = [label.decision for label in labels]
    box_sources = [region.box_source for region in row.regions]
    return Counts(
        images=1,
        regions=len(row.regions),
        captions=sum(label.kind in CAPTION_KINDS for label in labels),
        groundings=len(row.groundings),
        counts=len(row.counts),
        answers=len(row.answers),
        guessed_frames=int(f'"{FRAME_GUESS}"' in (row.meta or "")),
        corpus_boxes=box_sources.count(Source.CORPUS),
        model_boxes=box_sources.count(Source.MODEL),
        human_boxes=box_sources.count(Source.HUMAN),
        accepted=decisions.count(Decision.ACCEPT),
        audit=decisions.count(Decision.AUDIT),
        unreviewed=decisions.count(Decision.UNREVIEWED),
        review=decisions.count(Decision.REVIEW),
    )


def boxes_from(manifest: Manifest) -> str | None:
    """Where the boxes of a dataset came from, in words; None if nothing states it.

    A version that did not count them states only its proposer.
    """
    counts, proposer = manifest.counts, manifest.proposer
    if not counts.knows_boxes or not counts.regions:
        return proposer
    detector = proposer.removeprefix("auto (").removesuffix(")") if proposer else "a model"
    numbers = {
        "the corpus": counts.corpus_boxes,
        detector if detector != "corpus" else "a model": counts.model_boxes,
        "people": counts.human_boxes,
    }
    sources = {name: number for name, number in numbers.items() if number}
    if len(sources) == 1:
        return next(iter(sources))
    return ", ".join(f"{name} ({number:,})" for name, number in sources.items())


def count_rows(rows: Iterable[ImageRow], rejected: int = 0) -> Counts:
    """The counts of all rows, and `rejected`."""
    return sum((count_row(row) for row in rows), Counts(rejected=rejected))
