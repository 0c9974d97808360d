"""What edits leave without ground is stale: never accepted, never exported as a negative, asked again."""

from dataclasses import dataclass

import pytest
from accepted_parts import accepted_part
from factories import make_count, make_label, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from made_corrections import AT, correct

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.exports.messages import image_turns
from fo1_data.dataset.human_labels import is_locked, is_stale
from fo1_data.dataset.versions.compare import differing_columns
from schemas.corrections import Correction
from schemas.images import Count, Grounding, ImageRow
from schemas.labels import Decision, LabelKind, Source
from schemas.regions import Box

ACCEPTED = {"decision": Decision.ACCEPT, "confidence": 0.998}
CORNERS = [(2, 2, 20, 20), (30, 2, 50, 20), (30, 26, 50, 46)]


@pytest.fixture
def row():
    made = make_row(3, boxes=CORNERS, decisions=[Decision.ACCEPT] * 3)
    ids = [region.region_id for region in made.regions]
    made.groundings = [
        Grounding(
            phrase=phrase, kind=LabelKind.GROUND, region_ids=named,
            label=make_label(LabelKind.GROUND, phrase, **ACCEPTED),
        )
        for phrase, named in (("pink ring", ids[:1]), ("ring", ids[:2]), ("whale", []))
    ]  # fmt: skip
    made.counts = [make_count(made.regions)]
    made.counts[0].label = make_label(LabelKind.COUNT, "3", **ACCEPTED)
    return made


def stale_phrases(row):
    return {part.phrase for part in (*row.groundings, *row.counts) if is_stale(part.label)}


def answers_of(row):
    return dict(image_turns(row))


def test_what_named_a_deleted_box_is_no_negative(row):
    after = apply_corrections(row, [correct(row, "deleted", region_id=row.regions[0].region_id)]).row
    assert stale_phrases(after) == {"pink ring", "ring", "shape"}
    assert after.decision is Decision.REVIEW
    accepted = accepted_part(after)
    assert [part.phrase for part in accepted.groundings] == ["whale"]
    assert accepted.counts == []
    assert [text for text in answers_of(after) if "ring" in text or "shape" in text] == []
    assert answers_of(after)["Where is whale? Answer with boxes."] == "There is none."
    assert all("box_deleted" in part.label.reasons for part in after.groundings[:2])


ALL = {"pink ring", "ring", "whale", "shape"}


@pytest.mark.parametrize(
    ("edits", "stale"),
    [
        ([("moved", 0, (3, 3, 20, 20))], {"pink ring", "ring", "shape"}),
        ([("moved", 2, (31, 26, 50, 46))], {"shape"}),
        ([("moved", 2, (2, 26, 22, 46))], ALL),
        ([("added", None, (2, 26, 22, 46))], ALL),
        ([("deleted", 1, None), ("moved", 0, (2, 2, 50, 20))], ALL),
        ([("moved", 0, (2, 2, 20, 12)), ("added", None, (2, 12, 20, 20))], ALL),
    ],
)
def test_moved_added_merged_and_split_boxes(row, edits, stale):
    changes = []
    for action, place, box in edits:
        about = {} if place is None else {"region_id": row.regions[place].region_id}
        changes.append(correct(row, action, **about, **({} if box is None else {"after": {"box_xyxy": box}})))
    assert stale_phrases(apply_corrections(row, changes).row) == stale


def test_what_a_person_says_afterwards_has_ground_again(row):
    ids = [region.region_id for region in row.regions]
    changes = [
        correct(row, "verdict", kind="ground", subject="ring", right=True, before={"region_ids": ids[:2]}),
        correct(row, "deleted", region_id=ids[0], at="2026-11-25T10:00:00Z"),
    ]
    after = apply_corrections(row, changes).row
    ring = after.groundings[1].label
    assert is_locked(ring)
    assert (ring.is_accepted, ring.decision) == (False, Decision.REVIEW)
    later = {"kind": "ground", "subject": "ring", "at": "2026-11-26T10:00:00Z"}
    for change in (
        correct(row, "verdict", right=True, before={"region_ids": ids[1:2]}, **later),
        correct(row, "regrounded", after={"region_ids": ids[1:2]}, **later),
    ):
        again = apply_corrections(row, [*changes, change]).row
        assert again.groundings[1].label.is_accepted
        assert "ring" not in stale_phrases(again)
    # Said of a box that is not there: the person saw another image than this one.
    lost = correct(row, "regrounded", after={"region_ids": ids[:1]}, **later)
    assert not apply_corrections(row, [*changes, lost]).row.groundings[1].label.is_accepted


def test_a_confirmed_caption_does_not_follow_its_box_to_another_object(row):
    region = row.regions[0]
    right = correct(
        row, "verdict", region_id=region.region_id, kind="brief_caption", right=True,
        before={"text": region.brief_caption},
    )  # fmt: skip
    for box, accepted in (((3, 3, 20, 20), True), ((2, 26, 22, 46), False)):
        moved = correct(
            row, "moved", region_id=region.region_id, after={"box_xyxy": box}, at="2026-11-25T10:00:00Z"
        )
        after = apply_corrections(row, [right, moved]).row
        assert after.regions[0].labels[0].is_accepted is accepted
        assert (region.brief_caption in answers_of(after).values()) is accepted


def test_what_was_stale_stays_so_in_a_merge_after_the_model_was_asked_again(row):
    names = [region.region_id for region in row.regions]
    right = correct(
        row, "verdict", kind="ground", subject="ring", right=True, before={"region_ids": names[:2]}
    )
    gone = correct(row, "deleted", region_id=names[0], at="2026-11-25T10:00:00Z")
    later = apply_corrections(row, [right, gone]).row
    later.regions[0].brief_caption = later.regions[0].labels[0].text = "asked again"
    new = correct(
        row, "recaptioned", region_id=names[1], kind="brief_caption", after={"text": "bar"},
        at="2026-11-26T10:00:00Z",
    )  # fmt: skip
    held = apply_corrections(later, [right, gone, new], since=[new]).row
    assert stale_phrases(held) == {"pink ring", "ring", "shape"}
    assert held.regions[0].brief_caption == "bar"


PLACES: list[Box] = [(2, 2, 16, 16), (24, 2, 38, 16), (46, 2, 60, 16), (2, 24, 16, 40), (24, 24, 38, 40)]
KINDS = ("ring", "bar")


@dataclass
class World:
    """Objects at separate places, by kind, and what is true of the boxes of a row."""

    objects: dict[Box, str]

    def kind_of(self, box: Box) -> str | None:
        for place, kind in self.objects.items():
            if iou_matrix(as_boxes([box]), as_boxes([place]))[0, 0] >= 0.5:
                return kind
        return None

    def meant(self, row: ImageRow, phrase: str) -> set[str]:
        return {region.region_id for region in row.regions if self.kind_of(region.box_xyxy) == phrase}

    def is_true(self, row: ImageRow, part: Grounding | Count) -> bool:
        if isinstance(part, Count):
            return part.count == sum(kind == part.phrase for kind in self.objects.values())
        return set(part.region_ids) == self.meant(row, part.phrase)

    def falsehoods(self, row: ImageRow) -> set[tuple[object, ...]]:
        """The false statements of the model that are accepted, and the captions."""
        found: set[tuple[object, ...]] = set()
        for part in (*row.groundings, *row.counts):
            if part.label.source is Source.MODEL and part.label.is_accepted and not self.is_true(row, part):
                said = getattr(part, "count", None), frozenset(part.region_ids)
                found.add((part.label.kind, part.phrase, *said))
        for region in row.regions:
            for label in region.labels:
                false = label.text != self.kind_of(region.box_xyxy)
                if label.source is Source.MODEL and label.is_accepted and false:
                    found.add((label.kind, label.text, region.region_id))
        return found


@st.composite
def worlds(draw):
    """A world, and a row of it by a model that errs: boxes off or of nothing, phrases that name too much."""
    objects = {place: draw(st.sampled_from(KINDS)) for place in PLACES[: draw(st.integers(1, 4))]}
    world = World(objects)
    boxes = []
    for place in PLACES:
        shift = draw(st.sampled_from([None, 0, 1, 4, 7]))
        if shift is not None:
            boxes.append((place[0] + shift, place[1], place[2] + shift, place[3]))
    row = make_row(1, boxes=boxes or [PLACES[0]], decisions=[Decision.ACCEPT] * 9)
    for region in row.regions:
        text = world.kind_of(region.box_xyxy) or draw(st.sampled_from(KINDS))
        region.brief_caption = region.labels[0].text = text
    row.groundings, row.counts = [], []
    for phrase in KINDS:
        named = world.meant(row, phrase)
        if draw(st.integers(0, 3)) == 0:
            named = named ^ {draw(st.sampled_from(row.regions)).region_id}
        pointed = make_label(LabelKind.GROUND, phrase, **ACCEPTED)
        row.groundings.append(
            Grounding(phrase=phrase, kind=LabelKind.GROUND, region_ids=sorted(named), label=pointed)
        )
        counted = make_label(LabelKind.COUNT, str(len(named)), **ACCEPTED)
        row.counts.append(Count(phrase=phrase, count=len(named), region_ids=sorted(named), label=counted))
    return world, row


class Reviewer:
    """Makes true edits of a row, and says what is true of some of its phrases."""

    def __init__(self, world: World, data: st.DataObject) -> None:
        self.world, self.data = world, data

    def submission(self, row: ImageRow, number: int) -> list[Correction]:
        about = {"at": AT.replace("24T", f"{10 + number}T"), "annotation_key": f"review{number}/1"}
        edits: list[Correction] = []
        boxes = {region.region_id: region.box_xyxy for region in row.regions}
        free = [place for place in self.world.objects if place not in boxes.values()]
        for region in row.regions:
            is_object = self.world.kind_of(region.box_xyxy) is not None
            edit = self.data.draw(st.sampled_from(["leave", "delete", "move"]))
            if edit == "delete" and not is_object:
                edits.append(correct(row, "deleted", region_id=region.region_id, **about))
            elif edit == "move" and free:
                place = free.pop(self.data.draw(st.integers(0, len(free) - 1)))
                moved = {"region_id": region.region_id, "after": {"box_xyxy": place}}
                edits.append(correct(row, "moved", **moved, **about))
        for place in free:
            if self.data.draw(st.booleans()):
                edits.append(correct(row, "added", after={"box_xyxy": place}, **about))
        return edits + self.statements(row, apply_corrections(row, edits).row, about)

    def statements(self, row: ImageRow, after: ImageRow, about: dict[str, str]) -> list[Correction]:
        said: list[Correction] = []
        for part in after.groundings:
            if self.data.draw(st.booleans()):
                continue
            named = sorted(self.world.meant(after, part.phrase))
            fields = {"kind": "ground", "subject": part.phrase, "before": {"region_ids": part.region_ids}}
            if set(named) == set(part.region_ids):
                said.append(correct(row, "verdict", right=True, **fields, **about))
            else:
                said.append(correct(row, "regrounded", after={"region_ids": named}, **fields, **about))
        return said


@settings(max_examples=150, deadline=None)
@given(made=worlds(), data=st.data())
def test_no_edits_of_a_truthful_reviewer_make_the_model_say_something_false(made, data):
    world, row = made
    reviewer = Reviewer(world, data)
    allowed, corrections, current = world.falsehoods(row), [], row
    for number in range(data.draw(st.integers(1, 3))):
        corrections += reviewer.submission(current, number)
        current = apply_corrections(row, corrections).row
        assert world.falsehoods(current) <= allowed
    shuffled = data.draw(st.permutations(corrections))
    assert not differing_columns(apply_corrections(row, shuffled).row, current)
