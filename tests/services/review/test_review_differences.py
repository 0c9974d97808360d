"""What a person did becomes corrections that merge, with the original beside them."""

from typing import Any

import pytest
from factories import make_row
from review_samples import edited, make_shown

from fo1_data.confidence.routing import BEYOND_BUDGET
from fo1_data.dataset.corrections.apply import apply_corrections
from schemas.corrections import Correction, CorrectionAction, Lane
from schemas.labels import Decision, LabelKind, Source
from schemas.regions import make_region_id
from services.label_studio.annotated import parse_result
from services.label_studio.convert import result_of
from services.label_studio.shapes import box_to_percent
from services.label_studio.shown import ShownCount, ShownImage
from services.label_studio.shown_from_rows import only_asked, shown_image
from services.review.inbox.differences import corrections_of
from services.review.inbox.submission import Submission

BY = Submission("key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z", 12.5, Lane.AUDIT, True)


def told(shown: ShownImage, result: list[dict[str, Any]], *actions: CorrectionAction) -> list[Correction]:
    corrections = corrections_of(shown, parse_result(result, shown), BY)
    return (
        [correction for correction in corrections if correction.action in actions] if actions else corrections
    )


def test_who_when_and_how_long_stand_on_every_correction() -> None:
    shown = make_shown()
    for correction in told(shown, edited(shown, a="green square")):
        assert (correction.annotator, correction.seconds, correction.lane, correction.ground_truth) == (
            "ann@example.org",
            12.5,
            Lane.AUDIT,
            True,
        )
        assert (correction.at, correction.annotation_key) == ("2026-01-02T03:04:05.000006Z", "key/1")


def test_a_changed_caption() -> None:
    shown = make_shown()
    (one,) = told(shown, edited(shown, a="green square"), CorrectionAction.RECAPTIONED)

    assert one.kind is LabelKind.BRIEF_CAPTION
    assert one.region_id == shown.regions[0].region_id
    assert one.before is not None
    assert one.after is not None
    assert (one.before.text, one.after.text) == ("red square", "green square")
    right = told(shown, edited(shown, a="green square"), CorrectionAction.VERDICT)
    assert {(v.kind, v.region_id, v.subject) for v in right} == {
        (LabelKind.BRIEF_CAPTION, shown.regions[1].region_id, None),
        (LabelKind.GROUND, None, "the square"),
        (LabelKind.GROUNDED_CAPTION, None, None),
        (LabelKind.COUNT, None, "shape"),
    }


def test_a_moved_box_keeps_its_old_id_and_gets_a_new_one() -> None:
    shown, result = make_shown(), edited(make_shown())
    for entry in result:
        if entry["id"] == shown.regions[0].mark and entry["from_name"] == "box":
            entry["value"] |= box_to_percent((12.0, 10.0, 30.0, 40.0), 100, 80)

    (moved,) = told(shown, result, CorrectionAction.MOVED)

    assert moved.region_id == shown.regions[0].region_id
    assert moved.before is not None
    assert moved.before.box_xyxy == (10.0, 10.0, 30.0, 40.0)
    assert moved.after is not None
    assert moved.after.box_xyxy == pytest.approx((12.0, 10.0, 30.0, 40.0))
    assert moved.new_region_id == make_region_id(shown.image_id, (12.0, 10.0, 30.0, 40.0))


def test_a_deleted_region_takes_nothing_else_with_it() -> None:
    shown = make_shown()
    result = [entry for entry in edited(shown) if entry["id"] != shown.regions[0].mark]

    corrections = told(shown, result)

    assert [
        correction.region_id for correction in corrections if correction.action is CorrectionAction.DELETED
    ] == [shown.regions[0].region_id]
    assert not [correction for correction in corrections if correction.action is CorrectionAction.REGROUNDED]
    assert not [correction for correction in corrections if correction.subject == "the square"]


def test_an_added_region_with_caption_and_phrase() -> None:
    shown, result = make_shown(), edited(make_shown())
    place = box_to_percent((5.0, 50.0, 20.0, 70.0), 100, 80)
    for name, kind, value in (
        ("box", "rectanglelabels", {"rectanglelabels": ["region"]}),
        ("brief_caption", "textarea", {"text": ["a dot"]}),
        ("phrases", "choices", {"choices": ["p0"]}),
    ):
        result.append(
            {"id": "Zk3", "from_name": name, "to_name": "image", "type": kind, "value": place | value}
        )

    corrections = told(shown, result)

    (added,) = [correction for correction in corrections if correction.action is CorrectionAction.ADDED]
    (caption,) = [
        correction for correction in corrections if correction.action is CorrectionAction.RECAPTIONED
    ]
    (phrase,) = [correction for correction in corrections if correction.action is CorrectionAction.REGROUNDED]
    assert added.region_id is None
    assert caption.region_id == added.new_region_id
    assert caption.before is None
    assert phrase.after is not None
    assert phrase.after.region_ids == [shown.regions[0].region_id, added.new_region_id]


@pytest.mark.parametrize(("text", "rights"), [("red square", [False, True]), ("green square", [True])])
def test_a_region_called_wrong(text: str, rights: list[bool]) -> None:
    """Wrong with its text left alone: the text is wrong. Wrong and corrected: nothing more to say."""
    shown = make_shown(phrases=[], caption=None, counts=[])
    result = edited(shown, a=text)
    value = {"choices": ["wrong"]}
    result.append({"id": shown.regions[0].mark, "from_name": "verdict", "type": "choices", "value": value})

    assert [correction.right for correction in told(shown, result, CorrectionAction.VERDICT)] == rights


def test_a_region_without_texts_called_wrong() -> None:
    """It is wrong under the phrases that name it; named by none, the box itself is wrong."""
    full = make_shown(caption=None, counts=[])
    shown = full.model_copy(
        update={"regions": [item.model_copy(update={"texts": {}}) for item in full.regions]}
    )
    result = edited(shown)
    for region in shown.regions:
        value = {"choices": ["wrong"]}
        result.append({"id": region.mark, "from_name": "verdict", "type": "choices", "value": value})

    corrections = told(shown, result)

    (phrase,) = [correction for correction in corrections if correction.action is CorrectionAction.REGROUNDED]
    assert (phrase.subject, phrase.after and phrase.after.region_ids) == ("the square", [])
    (deleted,) = [correction for correction in corrections if correction.action is CorrectionAction.DELETED]
    assert deleted.region_id == shown.regions[1].region_id
    assert len(corrections) == 2


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (None, {"shape": False, "star": False}),
        ("", {"shape": False, "star": False}),
        ("star = 1", {"shape": False, "star": True}),
        ("shape = many\nstar = 1", {"star": True}),
        (f"shape = {'9' * 5000}\nstar = 1", {"star": True}),
        ("shape = 2\nstar = 1", {"shape": True, "star": True}),
    ],
)
def test_a_deleted_count_is_wrong(left: str | None, said: dict[str, bool]) -> None:
    counts = [
        ShownCount(phrase=name, count=number, region_ids=[]) for name, number in (("shape", 2), ("star", 1))
    ]
    shown = make_shown(phrases=[], caption=None, counts=counts)
    result = [entry for entry in edited(shown) if entry["from_name"] != "counts" or left is not None]
    for entry in result:
        if entry["from_name"] == "counts":
            entry["value"] = {"text": [left]}

    corrections = told(shown, result)

    verdicts = {
        correction.subject: correction.right
        for correction in corrections
        if correction.kind is LabelKind.COUNT
    }
    assert verdicts == said
    assert not [correction for correction in corrections if correction.action is CorrectionAction.RECOUNTED]


def test_counts_and_the_images_caption() -> None:
    shown, result = make_shown(), edited(make_shown())
    for entry in result:
        if entry["from_name"] == "counts":
            entry["value"] = {"text": ["shape = 3\nstar = 1\nno number"]}
        if entry["from_name"] == "image_caption":
            entry["value"] = {"text": ["three shapes"]}

    counts = told(shown, result, CorrectionAction.RECOUNTED)
    (caption,) = told(shown, result, CorrectionAction.RECAPTIONED)

    assert {
        correction.subject: (
            correction.before and correction.before.count,
            correction.after and correction.after.count,
        )
        for correction in counts
    } == {
        "shape": (2, 3),
        "star": (None, 1),
    }
    assert (caption.region_id, caption.kind) == (None, LabelKind.GROUNDED_CAPTION)


def test_who_is_asked_of_some_answers_speaks_of_no_other() -> None:
    """Of three captions one is asked, one accepted, one beyond the budget; an audited phrase stays."""
    row = make_row(5, 3, decisions=[Decision.REVIEW, Decision.ACCEPT, Decision.REVIEW])
    row.regions[2].labels[0].reasons = ["unsure", BEYOND_BUDGET]
    row.groundings[0].label.decision = Decision.ACCEPT
    shown = shown_image(only_asked(row))

    corrections = told(shown, edited(shown, a="another thing"))

    assert [region.box_xyxy for region in shown.regions] == [region.box_xyxy for region in row.regions]
    assert [(correction.action, correction.region_id) for correction in corrections] == [
        (CorrectionAction.RECAPTIONED, row.regions[0].region_id)
    ]
    row.groundings[0].label.decision = Decision.AUDIT
    shown = shown_image(only_asked(row))
    assert [correction.kind for correction in told(shown, edited(shown))] == [
        LabelKind.BRIEF_CAPTION,
        LabelKind.GROUND,
    ]


def test_what_is_told_merges_into_the_row_it_is_about() -> None:
    row = make_row(5, 3, 200, 150)
    shown = shown_image(row)
    result = [entry for entry in result_of(shown) if entry["id"] != shown.regions[2].mark]
    for entry in result:
        if entry["id"] == shown.regions[0].mark:
            entry["value"] |= box_to_percent((3.25, 4.5, 60.75, 80.0), 200, 150)
            if entry["from_name"] == "brief_caption":
                entry["value"]["text"] = ["a moved thing"]

    applied = apply_corrections(row, told(shown, result))

    assert not applied.left_out
    by_caption = {region.brief_caption: region for region in applied.row.regions}
    assert len(by_caption) == 2
    assert by_caption["a moved thing"].box_xyxy == pytest.approx((3.25, 4.5, 60.75, 80.0), abs=0.01)
    kept = by_caption[row.regions[1].brief_caption]
    assert kept.box_xyxy == row.regions[1].box_xyxy
    assert all(
        label.annotator == "ann@example.org" for region in applied.row.regions for label in region.labels
    )
    assert by_caption["a moved thing"].box_source is Source.HUMAN
