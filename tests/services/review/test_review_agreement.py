"""Several annotators: how far they agree, whose word holds, and what is asked again."""

import pytest
from hypothesis import given
from review_samples import edited, make_shown, shown_images

from services.label_studio.annotated import ParsedAnnotation, parse_result
from services.label_studio.convert import result_of
from services.label_studio.shown import ShownImage
from services.review.inbox.agreement import SAME, Vote, agreement, iou, normalised, resolve

SHOWN = make_shown()


def annotated(**texts: str) -> ParsedAnnotation:
    return parse_result(edited(SHOWN, **texts), SHOWN)


def vote(number: int, annotator: str, opinion: ParsedAnnotation, truth: bool = False) -> Vote:
    return Vote(number, annotator, f"2026-01-01T00:00:{number:02d}Z", truth, opinion)


@given(shown_images(), shown_images())
def test_agreement_is_a_symmetric_share(one: ShownImage, other: ShownImage) -> None:
    a, b = parse_result(result_of(one), one), parse_result(result_of(other), other)
    assert agreement(a, a) == 1.0
    assert 0.0 <= agreement(a, b) <= 1.0
    assert agreement(a, b) == pytest.approx(agreement(b, a))


def test_case_and_spaces_are_no_disagreement_and_words_are() -> None:
    assert normalised("  A Red\n square. ") == normalised("a red square")
    assert agreement(annotated(), annotated(a="Red  square.")) == 1.0
    assert agreement(annotated(), annotated(a="green square")) < SAME


def test_another_class_of_a_box_is_a_disagreement() -> None:
    opinions = [annotated(), annotated(), annotated()]
    for opinion, label in zip(opinions, ("Cat", "cat", "dog"), strict=True):
        next(iter(opinion.regions.values())).label = label
    assert agreement(opinions[0], opinions[1]) == SAME
    assert agreement(opinions[0], opinions[2]) < SAME
    assert agreement(annotated(), opinions[2]) < SAME
    resolution = resolve([vote(1, "ann", opinions[0]), vote(2, "bob", opinions[2])])
    assert resolution is not None
    assert resolution.disputed


def test_boxes_are_matched_by_overlap_not_by_id() -> None:
    a, b = annotated(), annotated()
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
    resolution = resolve([vote(1, "ann", annotated(a="x")), vote(2, "ann", annotated(a="y"))])
    assert resolution is not None
    assert (resolution.annotation_id, resolution.rule, resolution.agreement, resolution.disputed) == (
        2,
        "latest",
        None,
        False,
    )


def test_the_majority_holds_against_the_latest() -> None:
    resolution = resolve(
        [
            vote(1, "ann", annotated()),
            vote(2, "bob", annotated()),
            vote(3, "cem", annotated(a="green square")),
        ]
    )
    assert resolution is not None
    assert (resolution.annotation_id, resolution.rule, resolution.disputed) == (2, "majority", False)
    assert resolution.agreement is not None
    assert resolution.agreement < 1


def test_two_who_disagree_are_asked_again_and_the_latest_holds_until_then() -> None:
    resolution = resolve(
        [vote(1, "ann", annotated()), vote(2, "bob", annotated(a="green square", b="red bar"))]
    )
    assert resolution is not None
    assert (resolution.annotation_id, resolution.rule, resolution.disputed) == (2, "latest", True)


def test_ground_truth_holds_against_all() -> None:
    votes = [
        vote(1, "ann", annotated(a="truth"), truth=True),
        *(vote(n, f"p{n}", annotated()) for n in (2, 3, 4)),
    ]
    resolution = resolve(votes)
    assert resolution is not None
    assert (resolution.annotation_id, resolution.rule, resolution.disputed) == (1, "ground_truth", False)
