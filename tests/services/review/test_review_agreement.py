"""Several annotators: how far they agree, whose word holds, and what is asked again."""

import pytest
from hypothesis import given
from review_samples import edited, make_shown, shown_images

from services.label_studio.convert import AnnotatedImage, parse_result, result_of
from services.label_studio.shown import ShownImage
from services.review.inbox.agreement import SAME, Vote, agreement, iou, normalised, resolve

SHOWN = make_shown()


def said(**texts: str) -> AnnotatedImage:
    return parse_result(edited(SHOWN, **texts), SHOWN)


def vote(number: int, annotator: str, opinion: AnnotatedImage, truth: bool = False) -> Vote:
    return Vote(number, annotator, f"2026-01-01T00:00:{number:02d}Z", truth, opinion)


@given(shown_images(), shown_images())
def test_agreement_is_a_symmetric_share(one: ShownImage, other: ShownImage) -> None:
    a, b = parse_result(result_of(one), one), parse_result(result_of(other), other)
    assert agreement(a, a) == 1.0
    assert 0.0 <= agreement(a, b) <= 1.0
    assert agreement(a, b) == pytest.approx(agreement(b, a))


def test_case_and_spaces_are_no_disagreement_and_words_are() -> None:
    assert normalised("  A Red\n square. ") == normalised("a red square")
    assert agreement(said(), said(a="Red  square.")) == 1.0
    assert agreement(said(), said(a="green square")) < SAME


def test_boxes_are_matched_by_overlap_not_by_id() -> None:
    a, b = said(), said()
    b.regions = {f"other {index}": region for index, region in enumerate(reversed(b.regions.values()))}
    assert agreement(a, b) == 1.0
    b.regions.popitem()
    assert agreement(a, b) < SAME


def test_iou() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (1, 0, 2, 1)) == 0.0


def test_nobody_said_anything() -> None:
    assert resolve([]) is None


def test_one_person_holds_with_the_last_word() -> None:
    found = resolve([vote(1, "ann", said(a="x")), vote(2, "ann", said(a="y"))])
    assert found is not None
    assert (found.annotation_id, found.rule, found.agreement, found.disputed) == (2, "latest", None, False)


def test_the_majority_holds_against_the_latest() -> None:
    found = resolve([vote(1, "ann", said()), vote(2, "bob", said()), vote(3, "cem", said(a="green square"))])
    assert found is not None
    assert (found.annotation_id, found.rule, found.disputed) == (2, "majority", False)
    assert found.agreement is not None
    assert found.agreement < 1


def test_two_who_disagree_are_asked_again_and_the_latest_holds_until_then() -> None:
    found = resolve([vote(1, "ann", said()), vote(2, "bob", said(a="green square", b="red bar"))])
    assert found is not None
    assert (found.annotation_id, found.rule, found.disputed) == (2, "latest", True)


def test_ground_truth_holds_against_all() -> None:
    votes = [vote(1, "ann", said(a="truth"), truth=True), *(vote(n, f"p{n}", said()) for n in (2, 3, 4))]
    found = resolve(votes)
    assert found is not None
    assert (found.annotation_id, found.rule, found.disputed) == (1, "ground_truth", False)
