"""Generated images as reviewers are shown them, and annotations of them."""

import random
import re
import struct
from typing import Any

from hypothesis import strategies as st

from schemas.images import Answer, Grounding, ImageRow
from schemas.labels import Decision, Label, LabelKind
from schemas.regions import Box, make_region_id, number_equal_ids
from services.label_studio.convert import result_of
from services.label_studio.shown import ShownAnswer, ShownCount, ShownImage, ShownPhrase, ShownRegion

IMAGE_ID = "ab" * 32


def f32(value: float) -> float:
    """The nearest float32, as datasets store numbers."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


@st.composite
def boxes(draw: Any, width: int, height: int) -> Box:
    """A box inside the image: anywhere, at its borders, a hair wide, or all of it."""

    def side(most: int) -> tuple[float, float]:
        low = draw(st.sampled_from([0.0, None]))
        low = f32(draw(st.floats(0, most * 0.999))) if low is None else low
        high = draw(st.sampled_from([float(most), None]))
        if high is None:
            smallest = max(most * 1e-5, 0.02)
            high = f32(min(low + draw(st.floats(smallest, max(most, 2 * smallest))), float(most)))
        return low, high if high > low else float(most)

    (x0, x1), (y0, y1) = side(width), side(height)
    return x0, y0, x1, y1


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=80)


@st.composite
def shown_answers(draw: Any, marks: list[str]) -> ShownAnswer:
    """Any question with any answer, of the image or of one of its regions."""
    question = draw(TEXTS | st.sampled_from(["What is {region}?", "1. Is it?", "2.", " ", "Is it?\nYes"]))
    answer = draw(st.just("") | TEXTS | st.sampled_from(["2. two", "red\n1. Is it?\nno", " \n red"]))
    return ShownAnswer(question=question, answer=answer, mark=draw(st.sampled_from([None, *marks])))


@st.composite
def shown_images(draw: Any) -> ShownImage:
    """Anything that can be shown: up to a hundred thousand pixels wide, texts of every script."""
    width, height = draw(st.integers(1, 100_000)), draw(st.integers(1, 100_000))
    regions: list[ShownRegion] = []
    for _ in range(draw(st.integers(0, 5))):
        box = draw(boxes(width, height))
        region_id = make_region_id(IMAGE_ID, box)
        texts = draw(st.dictionaries(st.sampled_from(LabelKind), st.just(""), max_size=0))
        for kind in (LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION, LabelKind.OCR):
            if draw(st.booleans()):
                texts[kind] = draw(TEXTS)
        region_id = number_equal_ids([*(region.region_id for region in regions), region_id])[-1]
        regions.append(ShownRegion(mark=region_id, region_id=region_id, box_xyxy=box, texts=texts))
    marks = [region.mark for region in regions]
    phrases = []
    for _ in range(draw(st.integers(0, 3))):
        named = draw(st.lists(st.sampled_from(marks), unique=True)) if marks else []
        ids = [region.region_id for region in regions if region.mark in named]
        kinds = [LabelKind.GROUND, LabelKind.DETECT, LabelKind.VISUAL_EXAMPLE]
        kind = draw(st.sampled_from(kinds if marks else kinds[:2]))
        example = kind is LabelKind.VISUAL_EXAMPLE
        phrase = draw(st.sampled_from(regions)).region_id if example else draw(TEXTS)
        phrases.append(ShownPhrase(kind=kind, phrase=phrase, marks=named, region_ids=ids))
    counts = [ShownCount(phrase="shape", count=draw(st.integers(0, 99)), region_ids=[])]
    return ShownImage(
        image_id=IMAGE_ID,
        width=width,
        height=height,
        title="x",
        regions=regions,
        phrases=phrases,
        counts=counts if draw(st.booleans()) else [],
        answers=draw(st.lists(shown_answers(marks), max_size=4)),
        caption=draw(st.none() | TEXTS),
    )


def make_shown(**fields: Any) -> ShownImage:
    """Two regions of a 100 x 80 image, a phrase that names the first, a caption and a count."""
    regions = []
    for box, text in (((10.0, 10.0, 30.0, 40.0), "red square"), ((50.0, 20.0, 90.0, 60.0), "blue bar")):
        region_id = make_region_id(IMAGE_ID, box)
        texts = {LabelKind.BRIEF_CAPTION: text}
        regions.append(ShownRegion(mark=region_id, region_id=region_id, box_xyxy=box, texts=texts))
    first = regions[0].region_id
    phrase = ShownPhrase(kind=LabelKind.GROUND, phrase="the square", marks=[first], region_ids=[first])
    values: dict[str, Any] = {
        "image_id": IMAGE_ID,
        "width": 100,
        "height": 80,
        "title": "a.png",
        "regions": regions,
        "phrases": [phrase],
        "counts": [ShownCount(phrase="shape", count=2, region_ids=[region.region_id for region in regions])],
        "caption": "two shapes",
    }
    return ShownImage(**{**values, **fields})


def asked_row(row: ImageRow) -> ImageRow:
    """Add a question about the image, one about each of its first two regions, and a visual example.

    The first region is an example of the second. All labels go to review.
    """
    first, second = (region.region_id for region in row.regions[:2])

    def answer(question: str, region_id: str | None, text: str) -> Answer:
        label = Label(kind=LabelKind.ASK, text=text, decision=Decision.REVIEW)
        return Answer(question=question, region_id=region_id, answer=text, label=label)

    label = Label(kind=LabelKind.VISUAL_EXAMPLE, text=first, decision=Decision.REVIEW)
    example = Grounding(phrase=first, kind=label.kind, region_ids=[second], label=label)
    answers = [
        answer("How many shapes?", None, "three"),
        answer("What colour is {region}?", first, "red\n(a dark one)"),
        answer("What colour is {region}?", second, "blue"),
    ]
    return row.model_copy(update={"groundings": [*row.groundings, example], "answers": answers})


def older_config(config: str) -> str:
    """Return the configuration of a review from before answers were shown."""
    older, num_fields = re.subn(
        r' *<Header value="Questions[^>]*>\s*<TextArea name="answers"[^>]*>\n', "", config
    )
    assert num_fields == 1
    return older


def edited(shown: ShownImage, seed: int | None = None, **texts: str) -> list[dict[str, Any]]:
    """Return a result as a reviewer might leave it: captions of regions replaced in order, or at random."""
    result = result_of(shown)
    for (_, text), entry in zip(
        texts.items(), [entry for entry in result if entry["from_name"] == "brief_caption"], strict=False
    ):
        entry["value"] = {**entry["value"], "text": [text]}
    if seed is not None:
        chance = random.Random(seed)
        for entry in result:
            if entry["from_name"] == "brief_caption" and chance.random() < 0.5:
                entry["value"] = {**entry["value"], "text": [f"edited {seed}"]}
    return result
