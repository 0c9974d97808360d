"""What rows teach: settled labels only, a person's before a model's, each answer with its own trust."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from factories import make_answer, make_count, make_label, make_row
from PIL import Image

pytest.importorskip("torch")

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.human_labels import human_label, with_caption_label
from fo1_data.dataset.pixels import read_uri
from fo1_data.errors import InputReject
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.open_examples import open_example, row_example, show
from fo1_data.training.samples.questions import Trust, draw_questions, with_names_as_phrases
from fo1_data.training.samples.row_gold import read_row
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import EncodedImage, Grounding
from schemas.labels import Decision, LabelKind, Source

AT = "2026-11-24T10:00:00Z"


def pointing(row, phrase, places, kind=LabelKind.GROUND, label=None, **of_label):
    ids = [row.regions[place].region_id for place in places]
    label = label or make_label(kind=kind, text=phrase, **of_label)
    return Grounding(phrase=phrase, kind=kind, region_ids=ids, label=label)


def by_ada(kind, text):
    return human_label(kind, text, "ada", AT)


@pytest.fixture
def row(tmp_path):
    made = make_row(3, num_regions=3, folder=tmp_path)
    return made.model_copy(update={"groundings": []})


def named(gold):
    return {phrase.text: phrase.region_indices for phrase in gold.phrases}


@pytest.mark.parametrize("person_first", [True, False])
@pytest.mark.parametrize("spelled", ["dog", "Dog"])
def test_a_persons_word_on_a_phrase_is_not_displaced_by_a_models(row, person_first, spelled):
    parts = [
        pointing(row, "dog", [1, 2], LabelKind.DETECT, by_ada(LabelKind.DETECT, "dog")),
        pointing(row, spelled, [0], LabelKind.GROUND, confidence=0.99),
    ]
    row.groundings = parts if person_first else parts[::-1]
    gold, trust = read_row(row)
    assert named(gold) == {"dog": [1, 2]}
    assert trust[LabelKind.GROUND, None, "dog"].human


def test_of_two_labels_of_models_the_surer_is_believed(row):
    row.groundings = [
        pointing(row, "dog", [0], LabelKind.DETECT, confidence=0.9),
        pointing(row, "dog", [1], confidence=0.4),
        pointing(row, "dog", [2], confidence=0.95, decision=Decision.REVIEW),
        pointing(row, "dog", [2], LabelKind.GROUNDED_CAPTION, confidence=1.0),
    ]
    gold, trust = read_row(row)
    assert named(gold) == {"dog": [0]}
    assert trust[LabelKind.GROUND, None, "dog"] == Trust(False, 0.9)


COLUMNS = {
    LabelKind.BRIEF_CAPTION: ("brief_caption", "caption"),
    LabelKind.DETAILED_CAPTION: ("detailed_caption", "detailed_caption"),
    LabelKind.OCR: ("text", "text"),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("decision", [None, *Decision])
def test_no_text_that_waits_for_review_is_taught(row, kind, decision):
    column, taught = COLUMNS[kind]
    region = row.regions[0]
    region.labels = [make_label(kind, "said", decision)]
    setattr(region, column, "said")
    waits = decision is Decision.REVIEW
    gold, trust = read_row(row)
    assert getattr(gold.regions[0], taught) == (None if waits else "said")
    assert ((kind, 0, None) in trust) is not waits
    # What came with the corpus is settled, and gold.
    if kind is LabelKind.BRIEF_CAPTION:
        region.source_caption = "given"
    else:
        region.labels.insert(0, make_label(kind, "given", source=Source.CORPUS))
    assert getattr(read_row(row)[0].regions[0], taught) == ("given" if waits else "said")


def test_a_class_that_people_have_changed_is_what_the_region_is_called(row):
    row.regions[0].source_label = row.regions[1].source_label = "cat"
    row.groundings = [
        pointing(row, "dog", [0], LabelKind.DETECT, by_ada(LabelKind.DETECT, "dog")),
        pointing(row, "lion", [1], LabelKind.DETECT),
    ]
    assert [region.label for region in read_row(row)[0].regions] == ["dog", "cat", None]


def shown_of(example, seed, shuffle):
    image, entry = open_example(example, InputLimits())
    return show(
        image.rgb,
        entry,
        example.trust,
        np.random.default_rng(seed),
        TrainConfig(shuffle_boxes=shuffle, box_jitter=0),
    )


def test_every_question_is_weighed_by_the_label_that_it_rests_on(row):
    ids = [region.region_id for region in row.regions]
    ask = [make_answer(ids[place]) for place in (0, 1)]
    ask = [one.model_copy(update={"question": "What is {region}?"}) for one in ask] + [make_answer()]
    for confidence, one in zip((0.1, 0.2, 0.3), ask, strict=True):
        one.label.confidence = confidence
    example = pointing(row, ids[2], [0], LabelKind.VISUAL_EXAMPLE, confidence=0.4)
    count = make_count(row.regions, "shape")
    count.label.confidence = 0.6
    row = row.model_copy(
        update={
            "answers": ask,
            "groundings": [example, pointing(row, "dog", [0], confidence=0.5)],
            "counts": [count],
        }
    )
    shown = shown_of(row_example(row), 1, shuffle=True)
    drawn = draw_questions(shown.known, range(3), np.random.default_rng(0), 50)
    found = {(one.kind, one.text): shown.known.trust_in(one) for one in drawn}
    place = [[one.box_xyxy for one in shown.known.regions].index(row.regions[n].box_xyxy) for n in range(3)]
    told = [(kind, text, trust.confidence) for (kind, text), trust in found.items() if trust is not None]
    assert len(told) == len(found)

    def confidences(kind, words):
        return {confidence for one, text, confidence in told if one is kind and words in text}

    assert confidences(LabelKind.ASK, f"What is <region{place[0]}>?") == {0.1}
    assert confidences(LabelKind.ASK, f"What is <region{place[1]}>?") == {0.2}
    assert confidences(LabelKind.ASK, "What colour?") == {0.3}
    assert confidences(LabelKind.VISUAL_EXAMPLE, f"<region{place[2]}>") == {0.4}
    assert confidences(LabelKind.GROUND, "dog") == confidences(LabelKind.COUNT, "dog") == {0.5}
    assert confidences(LabelKind.GROUND, "shape") == confidences(LabelKind.COUNT, "shape") == {0.6}
    # Is it in the image? Rests on the phrase's own label.
    assert confidences(LabelKind.ASK, "dog") == {0.5}


def test_a_count_that_the_named_regions_do_not_come_to_is_not_asked(row):
    seven = make_count(row.regions, "dog").model_copy(update={"count": 7, "region_ids": []})
    row = row.model_copy(update={"groundings": [pointing(row, "dog", [0])], "counts": [seven]})
    shown = shown_of(row_example(row), 0, shuffle=False)
    kinds = {one.kind for one in draw_questions(shown.known, range(3), np.random.default_rng(0), 50)}
    assert LabelKind.GROUND in kinds
    assert LabelKind.COUNT not in kinds


def test_an_image_in_an_archive_is_opened_and_a_changed_one_is_not(tmp_path):
    row = make_row(1, folder=tmp_path / "images")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(row.uri, "a.png")
    uri = f"{tmp_path}/x.tar::a.png"
    packed = row.model_copy(update={"uri": uri, "uris": [uri], "image": EncodedImage(path=uri)})
    image, _ = open_example(row_example(packed), InputLimits())
    assert image.image_id == row.image_id
    assert read_uri(uri, InputLimits()) == Path(row.uri).read_bytes()
    Path(row.uri).write_bytes((tmp_path / "x.tar").read_bytes())
    with pytest.raises(InputReject, match="another image now"):
        open_example(row_example(row), InputLimits())


def described_row(row, **of_label):
    row.caption = "a dog and a dog near a big cat here"
    for phrase, places in (("big cat", [2]), ("a dog", [0]), ("a dog", [1])):
        row.groundings.append(pointing(row, phrase, places, LabelKind.GROUNDED_CAPTION, **of_label))
    return row


def asked_caption(row, seed=1):
    """The question about the whole image, the trust in its answer, and where the row's boxes stand."""
    shown = shown_of(row_example(row), seed, shuffle=True)
    drawn = draw_questions(shown.known, range(len(row.regions)), np.random.default_rng(0), 50)
    boxes = [region.box_xyxy for region in shown.known.regions]
    places = [boxes.index(region.box_xyxy) for region in row.regions]
    found = [one for one in drawn if one.kind is LabelKind.GROUNDED_CAPTION]
    return found, [shown.known.trust_in(one) for one in found], places


def test_an_images_caption_is_taught_with_its_phrases_where_they_stand(row):
    (question,), (trust,), (a, b, c) = asked_caption(described_row(row, confidence=0.7))
    assert question.answer == (
        f"<ground>a dog</ground><objects><region{a}></objects> and "
        f"<ground>a dog</ground><objects><region{b}></objects> near a "
        f"<ground>big cat</ground><objects><region{c}></objects> here"
    )
    assert trust == Trust(human=False, confidence=0.7)


def test_a_persons_caption_counts_as_theirs_and_an_open_one_is_not_taught(row):
    described = described_row(row)
    described.groundings[0].label.decision = Decision.REVIEW
    assert asked_caption(described)[0] == []
    label = by_ada(LabelKind.GROUNDED_CAPTION, described.caption)
    described.meta = with_caption_label(described.meta, label)
    (question,), (trust,), _ = asked_caption(described)
    assert trust.human
    assert "<ground>big cat" not in question.answer


def test_a_phrase_that_waits_for_review_is_not_asked_for_as_absent(row):
    row.groundings = [pointing(row, "whale", [0], decision=Decision.REVIEW)]
    gold, _ = read_row(row)
    assert named(gold) == {"whale": None}
    book = PhraseBook([CorpusImage(uri="b", phrases=[CorpusPhrase(text=text) for text in ("whale", "ship")])])
    absent = book.absent(gold, np.random.default_rng(0), 5, 0.5)
    assert [one.text for one in absent] == ["ship"]


def test_names_of_boxes_that_are_not_all_shown_are_no_phrases():
    boxes = [(float(n), 0.0, n + 4.0, 4.0) for n in range(130)]
    entry = CorpusImage(uri="a", regions=[CorpusRegion(box_xyxy=box, caption="cell") for box in boxes])
    for count, phrases in ((100, ["cell"]), (130, [])):
        cut = entry.model_copy(update={"regions": entry.regions[:count]})
        shown = show(Image.new("RGB", (140, 8)), cut, {}, np.random.default_rng(0), TrainConfig())
        assert [one.text for one in with_names_as_phrases(shown.known).phrases] == phrases
