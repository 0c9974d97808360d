"""Corrections of made-up rows: one by its fields, or any by a strategy."""

from hypothesis import strategies as st

from schemas.corrections import Correction, CorrectionAction
from schemas.regions import numbered_id

AT = "2026-11-24T10:00:00Z"


def correct(row, action, **fields):
    values = {"image_id": row.image_id, "action": action, "at": AT, "annotator": "ada", **fields}
    return Correction.model_validate(values)


# Two of them hold what ends a line elsewhere than in a file of JSON Lines.
TEXTS = st.sampled_from(["red square", "a whale", "", "zebra", "a\u2028b", "\u0085c\x0b\u2029"])
TIMES = st.sampled_from([f"2026-11-2{day}T10:00:00Z" for day in range(1, 6)])
CORNERS = st.sampled_from([0.0, 3.3, 7.0, 12.4, 20.0])

OF_TRACKS = (CorrectionAction.SPLIT, CorrectionAction.JOINED)


@st.composite
def corrections_of(draw, row):
    """Any correction of a row, sound or stale, of its regions or of those that others draw."""
    x, y = draw(CORNERS), draw(CORNERS)
    box = (x, y, x + draw(st.sampled_from([5.0, 9.5])), y + 6.0)
    drawn = correct(row, "added", after={"box_xyxy": box}).new_region_id
    names = st.sampled_from(
        [*(region.region_id for region in row.regions), drawn, numbered_id(drawn, 2), "nobody/1-2-3-4"]
    )
    action = draw(st.sampled_from([action for action in CorrectionAction if action not in OF_TRACKS]))
    fields = {
        "at": draw(TIMES),
        "annotation_key": draw(st.sampled_from(["", "a", "b", "review/1", "review/2"])),
    }
    if fields["annotation_key"].startswith("review/"):
        fields["as_of"] = draw(TIMES)
    region, text = draw(names), draw(TEXTS)
    by_action = {
        CorrectionAction.VERDICT: {
            "region_id": region, "kind": "brief_caption", "right": draw(st.booleans()),
            "before": draw(st.sampled_from([None, {"text": text}])),
        },
        CorrectionAction.MOVED: {"region_id": region, "after": {"box_xyxy": box}},
        CorrectionAction.ADDED: {
            "after": {"box_xyxy": box}, "region_id": draw(st.sampled_from([None, numbered_id(drawn, 2)])),
        },
        CorrectionAction.DELETED: {"region_id": region},
        CorrectionAction.RENAMED: {"region_id": region, "after": {"text": text or "thing"}},
        CorrectionAction.RECAPTIONED: {"region_id": region, "kind": "brief_caption", "after": {"text": text}},
        CorrectionAction.REGROUNDED: {"subject": "a red square", "after": {"region_ids": [region]}},
        CorrectionAction.RECOUNTED: {"subject": "shape", "after": {"count": len(text)}},
        CorrectionAction.ANSWERED: {"subject": "What?", "after": {"text": text}},
        CorrectionAction.WITHDRAWN: {},
    }  # fmt: skip
    return correct(row, action, **by_action[action], **fields)
