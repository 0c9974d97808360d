"""Of regions with equal boxes and gold regions with equal boxes those are paired that say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_labels import made_row

from fo1_data.judging.matching import make_pair
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.labels import Label, LabelKind, Source
from schemas.regions import Region

WORDS = ["cat", "dog", "bird", "fish"]
BOX, OTHER_BOX = (0.0, 0.0, 10.0, 10.0), (12.0, 0.0, 30.0, 10.0)


def pairing(
    labels: list[str | None], captions: list[str | None], gold: list[CorpusRegion]
) -> list[int | None]:
    row = made_row(1, num_regions=1)
    template = row.regions[0]
    row.regions = [region(template, *said) for said in zip(labels, captions, strict=True)]
    entry = CorpusImage(uri=row.uri, width=row.width, height=row.height, regions=gold)
    return make_pair(row, entry, "oriented").gold_of


def region(template: Region, label: str | None, caption: str | None) -> Region:
    labels = [Label(kind=LabelKind.BRIEF_CAPTION, text=caption)] if caption else []
    update = {"box_xyxy": BOX, "box_source": Source.CORPUS, "source_label": label, "labels": labels}
    return template.model_copy(update=update)


def gold_region(label: str | None = None, caption: str | None = None, box: object = BOX) -> CorpusRegion:
    return CorpusRegion(box_xyxy=box, label=label, caption=caption)  # type: ignore[arg-type]


@given(st.permutations(WORDS), st.permutations(WORDS), st.booleans())
def test_equal_boxes_are_paired_by_what_they_say(said: list[str], gold: list[str], as_caption: bool) -> None:
    nothing: list[str | None] = [None] * len(WORDS)
    regions = [gold_region(caption=f"a {word}") if as_caption else gold_region(label=word) for word in gold]
    found = pairing(nothing, [f"a {word}" for word in said], regions)
    if not as_caption:
        found_by_label = pairing(list(said), nothing, regions)
        assert found_by_label == found
    assert [gold[index] for index in found if index is not None] == said


@pytest.mark.parametrize(
    ("labels", "captions", "gold", "right"),
    [
        # Nothing tells them apart: in their order.
        ([None, None], [None, None], [gold_region("cat"), gold_region("dog")], [0, 1]),
        (["cat", "cat"], [None, None], [gold_region("cat"), gold_region("cat")], [0, 1]),
        # A word in common is better than none; an equal label better than words of a caption.
        (
            [None, None],
            ["a bird", "a red dog"],
            [gold_region(caption="the dog"), gold_region("bird")],
            [1, 0],
        ),
        (["cat", "dog"], ["dog", "cat"], [gold_region("dog"), gold_region("cat")], [1, 0]),
        # A box that overlaps less is not taken for what it says.
        (["dog"], [None], [gold_region("cat"), gold_region("cat"), gold_region("dog", box=OTHER_BOX)], [0]),
        (["dog", "cat"], [None, None], [gold_region("cat")], [None, 0]),
    ],
)
def test_some_pairings(
    labels: list[str | None], captions: list[str | None], gold: list[CorpusRegion], right: list[int | None]
) -> None:
    assert pairing(labels, captions, gold) == right
