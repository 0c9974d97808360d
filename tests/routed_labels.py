"""Rows as a routing or people may leave them: every kind, source and decision, confidences and signals."""

from functools import cache
from typing import Any

from factories import make_row
from hypothesis import strategies as st

from schemas.images import Answer, Count, Grounding, ImageRow
from schemas.labels import Decision, Label, LabelKind, Signal, Source

TEXTS = st.sampled_from(("a red square", "two Blue bars", "", "  a  red square ", "it's"))
NAMES = (
    "logprob_mean",
    "logprob_min",
    "truncated",
    "min_token_position",
    "feature_0",
    "feature_3",
    "unknown",
)
SIGNALS = st.builds(Signal, name=st.sampled_from(NAMES), value=st.floats(-9, 9, width=32))
LABELS = st.builds(
    Label,
    kind=st.sampled_from(LabelKind),
    text=TEXTS,
    confidence=st.none() | st.floats(0, 1, width=32),
    signals=st.lists(SIGNALS, max_size=5),
    decision=st.none() | st.sampled_from(Decision),
    reasons=st.lists(st.sampled_from(("why", "beyond the review budget", "not")), max_size=3),
    source=st.sampled_from(Source),
    annotator=st.none() | st.just("ada"),
    box_moved=st.booleans(),
)


_plain_row = cache(lambda num_regions: make_row(num_regions, num_regions))


@st.composite
def _routed_rows(draw: st.DrawFn) -> ImageRow:
    row = _plain_row(draw(st.integers(0, 3))).model_copy(deep=True)
    for region in row.regions:
        region.labels = draw(st.lists(LABELS, max_size=3))
    named = [[region.region_id] for region in row.regions[:1]]
    row.provenance.model_sha256 = draw(st.sampled_from((None, "ab" * 32, "cd" * 32)))
    parts: dict[str, Any] = {
        "groundings": st.builds(
            Grounding, phrase=TEXTS, region_ids=st.sampled_from([[], *named]), label=LABELS
        ),
        "counts": st.builds(
            Count, phrase=TEXTS, count=st.integers(0, 9), region_ids=st.just([]), label=LABELS
        ),
        "answers": st.builds(
            Answer,
            question=TEXTS,
            region_id=st.sampled_from([None, "", *(ids[0] for ids in named)]),
            answer=TEXTS,
            label=LABELS,
        ),
    }
    return row.model_copy(update={name: draw(st.lists(part, max_size=3)) for name, part in parts.items()})


ROUTED_ROWS = _routed_rows()
