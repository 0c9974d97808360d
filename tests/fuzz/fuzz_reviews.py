"""Results of Label Studio: each becomes a correction, is named as not read, or is set aside."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fuzz_target import Runner, check
from made_corpora import Marks, marks_in
from odd_values import change, num_changes, odd_value

from schemas.corrections import parse_corrections
from schemas.labels import LabelKind
from schemas.regions import make_region_id
from schemas.reviews import AnnotationState, AsideReason
from services.label_studio.annotated import parse_result
from services.label_studio.convert import result_of
from services.label_studio.fields import ProjectFields, parse_fields
from services.label_studio.labelling_config import ANSWERS, BOX, CONFIG, OWN_LABELS
from services.label_studio.shapes import shape_to_box
from services.label_studio.shown import ShownAnswer, ShownCount, ShownImage, ShownPhrase, ShownRegion
from services.review.inbox.annotations import AnnotationOutcome, judge_annotation, looked_at_annotation
from services.review.inbox.belief import Origin
from services.review.inbox.deliveries import parse_webhook
from services.review.inbox.submission import Submission

_IMAGE_ID = "ab" * 32
_FIELDS = parse_fields(CONFIG)
_BY = Submission("key/1", "ann", "2026-01-02T03:04:05.000006Z", 3.5)
_TEXT_KINDS = (LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION, LabelKind.OCR)
_CONTROLS = ("tags", "shape", "note")


@contextmanager
def reviews(folder: Path) -> Iterator[Runner]:
    def run(chance: random.Random) -> str:
        if chance.random() < 0.1:
            return _webhook(chance)
        shown = _shown(chance)
        result = _result(shown, chance)
        begun = chance.random() < 0.7
        origin = Origin(ProjectFields(_FIELDS, _FIELDS), begun, chance.random() < 0.1)
        return _judged(shown, result, origin)

    yield run


def _shown(chance: random.Random) -> ShownImage:
    """An image as a reviewer sees it: some regions with texts, phrases, counts, answers and a caption."""
    width, height = chance.choice(((100, 80), (1, 1), (3000, 20), (640, 480)))
    regions, marks = [], []
    for number in range(chance.randint(0, 3)):
        left, top = width * chance.random() * 0.9, height * chance.random() * 0.9
        box = (left, top, min(left + width / 3, width), min(top + height / 3, height))
        texts = {kind: f"text {number}" for kind in _TEXT_KINDS if chance.random() < 0.5}
        region_id = make_region_id(_IMAGE_ID, box)
        regions.append(ShownRegion(mark=region_id, region_id=region_id, box_xyxy=box, texts=texts))
        marks.append(region_id)
    marks = list(dict.fromkeys(marks))
    phrases = [
        ShownPhrase(
            kind=chance.choice((LabelKind.GROUND, LabelKind.DETECT)),
            phrase=f"thing {number}",
            marks=named,
            region_ids=named,
        )
        for number in range(chance.randint(0, 2))
        for named in [chance.sample(marks, chance.randint(0, len(marks)))]
    ]
    counts = [ShownCount(phrase=word, count=2, region_ids=[]) for word in ("cats", "big dogs")]
    questions = ("What is it?", "Is {region} red?")
    answers = [
        ShownAnswer(question=text, answer="yes", mark=chance.choice([None, *marks])) for text in questions
    ]
    return ShownImage(
        image_id=_IMAGE_ID,
        width=width,
        height=height,
        title="x",
        regions=regions,
        phrases=phrases,
        counts=counts[: chance.randint(0, 2)],
        answers=answers[: chance.randint(0, 2)],
        caption=chance.choice((None, "a scene")),
    )


def _result(shown: ShownImage, chance: random.Random) -> list[Any]:
    """A result list as a person edits it and other tools write it, with a mark in each text of its own."""
    result: list[Any] = result_of(shown)
    marks = Marks()
    for entry in result:
        if isinstance(entry["value"].get("text"), list) and chance.random() < 0.5:
            entry["value"] = {**entry["value"], "text": [marks.next()]}
    for _ in range(chance.choice((0, 0, 1, 2))):
        result.append(_drawn(chance, marks, result))
    change(result, chance, num_changes(chance))
    chance.shuffle(result) if chance.random() < 0.2 else None
    return result if isinstance(result, list) else []


def _drawn(chance: random.Random, marks: Marks, result: Sequence[Any]) -> dict[str, Any]:
    """What somebody adds: a box, a shape of a control of their own, a text, a verdict, a relation."""
    place = {
        "x": chance.randint(0, 80),
        "y": chance.randint(0, 80),
        "width": 12.5,
        "height": 10,
        "rotation": 0,
    }
    some_id = chance.choice(["new1", "new2", *(entry["id"] for entry in result)])
    entries: tuple[dict[str, Any], ...] = (
        {"from_name": BOX, "type": "rectanglelabels", "value": {**place, "rectanglelabels": [marks.next()]}},
        {
            "from_name": "shape",
            "type": "polygonlabels",
            "value": {"points": [[1, 2], [9, 2], [5, 8]], "polygonlabels": [marks.next()]},
        },
        {"from_name": "shape", "type": "ellipse", "value": {"x": 50, "y": 50, "radiusX": 4, "radiusY": 5}},
        {"from_name": "tags", "type": "choices", "value": {"choices": [marks.next()]}},
        {"from_name": "tags", "type": "labels", "value": {"labels": [marks.next()]}},
        {"from_name": "note", "type": "textarea", "value": {"text": [marks.next()]}},
        {"from_name": "brief_caption", "type": "textarea", "value": {**place, "text": [marks.next()]}},
        {"from_name": "comment", "type": "textarea", "value": {"text": [marks.next()]}},
        {
            "from_name": "verdict",
            "type": "choices",
            "value": {"choices": [chance.choice(("right", "wrong", "?"))]},
        },
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
    )
    return {"id": some_id, "to_name": "image", **chance.choice(entries)}


def _judged(shown: ShownImage, result: list[Any], origin: Origin) -> str:
    packed = shown.packed()
    outcome = judge_annotation(packed, result, _BY, origin)
    check(outcome == judge_annotation(packed, result, _BY, origin), "judged in two ways")
    lines = [line for _, line in outcome.lines()]
    check(
        [c.model_dump() for c in parse_corrections(lines)] == [c.model_dump() for c in outcome.corrections],
        "JSON",
    )
    doubled = [name for name, num in Counter(c.correction_id for c in outcome.corrections).items() if num > 1]
    check(not doubled, "corrections come twice:", doubled, lines)
    for text in (outcome.comment, outcome.error, *outcome.ignored):
        check(text is None or ("\0" not in text and bool(text.encode())), "cannot be stored:", repr(text))
    if outcome.state is not AnnotationState.SUBMITTED:
        check(bool(outcome.reason and outcome.error), "set aside without a reason")
        _check_unreadable(shown, result, outcome)
        return f"set aside: {outcome.reason}"
    check(not outcome.reason and not outcome.error, outcome.error)
    _check_all_used(shown, result, outcome)
    return "submitted"


def _check_unreadable(shown: ShownImage, result: list[Any], outcome: AnnotationOutcome) -> None:
    """What cannot be understood says so in words; what can is taken in once somebody has looked at it."""
    if outcome.reason is AsideReason.UNREADABLE:
        try:
            parse_result(result, shown)
        except ValueError as error:
            check("\n" not in str(error), error)
        return
    taken = looked_at_annotation(shown.packed(), result, _BY, outcome.changed_fields)
    check(taken.state is AnnotationState.SUBMITTED, taken)
    taken.lines()


def _check_all_used(shown: ShownImage, result: list[Any], outcome: AnnotationOutcome) -> None:
    """Of a submitted annotation each text, label and shape is in a correction, was shown, or is named."""
    annotated = parse_result(result, shown)
    said = [correction.model_dump(mode="json") for correction in outcome.corrections]
    boxes = {region.box_xyxy for region in annotated.regions.values()}
    known = marks_in([said, shown.model_dump(mode="json"), outcome.comment, outcome.ignored])
    for entry in result:
        # What is ignored is named without what a database does not take.
        name, value = _stored(str(entry.get("from_name"))), entry.get("value")
        value = value if isinstance(value, dict) else {}
        if (
            any(str(part).startswith(name[:90]) for part in outcome.ignored)
            or entry.get("type") == "relation"
        ):
            continue
        labels = value.get(str(entry.get("type")))
        words = (
            [label for label in map(str, labels) if label not in OWN_LABELS]
            if isinstance(labels, list)
            else []
        )
        if name == ANSWERS and outcome.effects.get("deleted"):
            continue  # the answer was about a region that is deleted
        lost = marks_in([words, value.get("text")]) - known
        check(not lost, f"{entry.get('type')} of {name}:", "lost", lost, entry, said)
        if name == BOX:
            box = shape_to_box(value, *shown.picture_wh)
            check(box in boxes, "a box is lost:", entry)


def _stored(name: str) -> str:
    return name.replace("\0", "").encode(errors="replace").decode()


def _webhook(chance: random.Random) -> str:
    payload: dict[str, Any] = {
        "action": chance.choice(("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "X")),
        "annotation": {"id": 3, "task": 4, "updated_at": "2026-01-02T03:04:05.000006Z", "result": []},
        "annotations": [{"id": 3}],
        "task": {"id": 4},
        "project": {"id": 1},
    }
    change(payload, chance, num_changes(chance))
    if chance.random() < 0.1:
        payload["action"], payload["annotation"] = "ANNOTATION_CREATED", odd_value(chance)
    deliveries = parse_webhook("rev_1", payload)
    for delivery in deliveries:
        for number in (delivery.ls_task_id, delivery.ls_annotation_id):
            check(number is None or 0 <= number < 2**63, number)
        json.dumps(delivery.expects)
        check(delivery.expects is None or bool(delivery.expects.encode()), delivery.expects)
    return f"webhook: {(len(deliveries) and 'noted') or 'of something else'}"
