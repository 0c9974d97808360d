"""What is right, kind by kind, against gold; and what people's corrections say of labels."""

import pytest
from made_up_labels import made_row

from fo1_data.judging.correctness import judge_pairs
from fo1_data.judging.matching import make_pair
from fo1_data.judging.review_verdicts import judge_reviewed
from schemas.corpus import CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.corrections import Correction, CorrectionAction, CorrectionValue, Lane
from schemas.images import Count, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source

AT = "2026-01-01T00:00:00Z"


def gold_of(row: ImageRow, **fields: object) -> CorpusImage:
    regions = [
        CorpusRegion(
            box_xyxy=region.box_xyxy, caption="big red square", label="red square", text="AB12cd34ef"
        )
        for region in row.regions
    ]
    values = {"uri": row.uri, "width": row.width, "height": row.height, "regions": regions, **fields}
    return CorpusImage.model_validate(values)


def verdict_on(row: ImageRow, gold: CorpusImage, how: str = "exact") -> list[bool | None]:
    return [one.right for one in judge_pairs([make_pair(row, gold)], how)]  # type: ignore[arg-type]


def row_saying(kind: LabelKind, text: str) -> ImageRow:
    row = made_row(1, num_regions=1)
    row.groundings = []
    row.regions[0].labels = [Label(kind=kind, text=text)]
    return row


@pytest.mark.parametrize(
    ("kind", "text", "how", "right"),
    [
        (LabelKind.BRIEF_CAPTION, "Big  red square", "exact", True),
        (LabelKind.BRIEF_CAPTION, "red square", "exact", False),
        (LabelKind.BRIEF_CAPTION, "a red, tilted square", "words", True),
        (LabelKind.BRIEF_CAPTION, "a blue square", "words", False),
        (LabelKind.OCR, " AB12cd34ef ", "exact", True),
        (LabelKind.OCR, "AB12cd34eF", "exact", True),
        (LabelKind.OCR, "AB12cd34xx", "exact", False),
        (LabelKind.DETAILED_CAPTION, "anything", "exact", None),
    ],
)
def test_texts_of_regions(kind: LabelKind, text: str, how: str, right: bool | None) -> None:
    row = row_saying(kind, text)
    assert verdict_on(row, gold_of(row), how) == [right]


def test_a_region_without_a_gold_box_is_not_judged() -> None:
    row = row_saying(LabelKind.BRIEF_CAPTION, "big red square")
    assert verdict_on(row, gold_of(row, regions=[CorpusRegion(box_xyxy=(50, 0, 60, 8), label="x")])) == [None]


def test_what_the_corpus_or_a_person_said_is_not_judged() -> None:
    row = row_saying(LabelKind.BRIEF_CAPTION, "wrong")
    for source in (Source.CORPUS, Source.HUMAN):
        row.regions[0].labels[0].source = source
        assert verdict_on(row, gold_of(row)) == []


@pytest.mark.parametrize(
    ("named", "wanted", "right"),
    [([0], [0], True), ([], [], True), ([0], [], False), ([], [0], False), ([0, 1], [1, 0], True),
     ([0, 1], [0], False), ([0], None, None)],
)  # fmt: skip
def test_groundings_are_right_as_sets(named: list[int], wanted: list[int] | None, right: bool | None) -> None:
    row = made_row(2, num_regions=2)
    for region in row.regions:
        region.labels = []
    row.groundings[0].region_ids = [row.regions[index].region_id for index in named]
    gold = gold_of(row, phrases=[CorpusPhrase(text="First Thing", region_indices=wanted)])
    assert verdict_on(row, gold) == [right]


@pytest.mark.parametrize(("counted", "right"), [(3, True), (2, False)])
def test_counts(counted: int, right: bool) -> None:
    row = made_row(3, num_regions=1)
    row.groundings, row.regions[0].labels = [], []
    label = Label(kind=LabelKind.COUNT, text=str(counted))
    row.counts = [
        Count(phrase="Star", count=counted, region_ids=[], label=label),
        Count(phrase="moon", count=1, region_ids=[], label=label),
    ]
    assert verdict_on(row, gold_of(row, counts=[CorpusCount(text="star", count=3)])) == [right, None]


def correction(row: ImageRow, index: int, **fields: object) -> Correction:
    values = {
        "image_id": row.image_id, "region_id": row.regions[index].region_id, "kind": "brief_caption",
        "action": CorrectionAction.VERDICT, "at": AT, "lane": Lane.AUDIT, **fields,
    }  # fmt: skip
    return Correction.model_validate(values)


def test_corrections_judge_labels_and_only_the_audit_certifies() -> None:
    row = made_row(4, num_regions=4)
    decisions = (Decision.AUDIT, Decision.AUDIT, Decision.REVIEW, Decision.ACCEPT)
    for region, decision in zip(row.regions, decisions, strict=True):
        region.labels[0].decision = decision
    changed = CorrectionValue(text="another thing")
    same = CorrectionValue(text=row.regions[2].labels[0].text.upper())
    corrections = [
        correction(row, 0, right=True),
        correction(row, 1, action=CorrectionAction.RECAPTIONED, after=changed),
        correction(row, 2, action=CorrectionAction.RECAPTIONED, after=same, lane=Lane.REVIEW),
    ]
    found = judge_reviewed([row], corrections)[:4]
    assert [one.right for one in found] == [True, False, True, None]
    assert [one.certifies for one in found] == [True, True, False, False]
    assert [one.eligible for one in found] == [True, True, False, True]


@pytest.mark.parametrize(
    ("decision", "lane", "certifies"),
    [
        (Decision.AUDIT, Lane.AUDIT, True),
        (Decision.AUDIT, Lane.REVIEW, True),
        (Decision.ACCEPT, Lane.AUDIT, False),
        (Decision.REVIEW, Lane.AUDIT, False),
        (Decision.REVIEW, Lane.REVIEW, False),
        (None, Lane.AUDIT, True),
        (None, Lane.REVIEW, False),
    ],
)
def test_only_what_was_drawn_at_random_certifies(
    decision: Decision | None, lane: Lane, certifies: bool
) -> None:
    row = made_row(5, num_regions=1)
    row.regions[0].labels[0].decision = decision
    found = judge_reviewed([row], [correction(row, 0, right=False, lane=lane)])
    assert (found[0].right, found[0].certifies) == (False, certifies)


def test_the_last_word_on_a_label_holds_and_a_deleted_region_was_wrong() -> None:
    row = made_row(6, num_regions=2)
    later = "2026-01-02T00:00:00Z"
    said = [
        correction(row, 0, right=False, at=later),
        correction(row, 0, right=True),
        correction(row, 1, action=CorrectionAction.DELETED, kind=None),
    ]
    found = judge_reviewed([row], said)
    assert [one.right for one in found[:2]] == [False, False]


def test_groundings_and_counts_in_corrections() -> None:
    row = made_row(7, num_regions=2)
    other = [row.regions[1].region_id]
    said = Correction(
        image_id=row.image_id, action=CorrectionAction.REGROUNDED, subject="first thing", at=AT,
        after=CorrectionValue(region_ids=other),
    )  # fmt: skip
    label = judge_reviewed([row], [said])[-1]
    assert (label.part.kind, label.right) == (LabelKind.GROUND, False)
    row.groundings[0].region_ids = other
    assert judge_reviewed([row], [said])[-1].right is True


def test_images_without_corrections_are_left_out() -> None:
    row, other = made_row(8), made_row(9)
    assert {
        one.part.row.image_id for one in judge_reviewed([row, other], [correction(row, 0, right=True)])
    } == {row.image_id}
