"""Rows as gold: settled labels only, a person's before a model's, each answer with its own trust."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from factories import make_answer, make_count, make_label, make_row
from PIL import Image

pytest.importorskip("torch")

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.human_labels import human_label
from fo1_data.dataset.pixels import read_uri
from fo1_data.errors import InputReject
from fo1_data.training.samples.image_labels import LabelTrust, with_names_as_phrases
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.open_examples import make_prompt_view, open_example, row_to_example
from fo1_data.training.samples.question_draw import draw_questions
from fo1_data.training.samples.row_gold import row_to_gold
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


def phrases_by_text(gold):
    return {phrase.text: phrase.region_indices for phrase in gold.phrases}


@pytest.mark.parametrize("person_first", [True, False])
@pytest.mark.parametrize("spelled", ["dog", "Dog"])
def test_a_persons_label_of_a_phrase_is_not_replaced_by_a_models(row, person_first, spelled):
    parts = [
        pointing(row, "dog", [1, 2], LabelKind.DETECT, by_ada(LabelKind.DETECT, "dog")),
        pointing(row, spelled, [0], LabelKind.GROUND, confidence=0.99),
    ]
    row.groundings = parts if person_first else parts[::-1]
    gold, trust = row_to_gold(row)
    assert phrases_by_text(gold) == {"dog": [1, 2]}
    assert trust[LabelKind.GROUND, None, "dog"].human


def test_of_two_labels_of_models_the_more_confident_is_taken(row):
    row.groundings = [
        pointing(row, "dog", [0], LabelKind.DETECT, confidence=0.9),
        pointing(row, "dog", [1], confidence=0.4),
        pointing(row, "dog", [2], confidence=0.95, decision=Decision.REVIEW),
        pointing(row, "dog", [2], LabelKind.GROUNDED_CAPTION, confidence=1.0),
    ]
    gold, trust = row_to_gold(row)
    assert phrases_by_text(gold) == {"dog": [0]}
    assert trust[LabelKind.GROUND, None, "dog"] == LabelTrust(False, 0.9)


COLUMNS = {
    LabelKind.BRIEF_CAPTION: ("brief_caption", "caption"),
    LabelKind.DETAILED_CAPTION: ("detailed_caption", "detailed_caption"),
    LabelKind.OCR: ("text", "text"),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("decision", [None, *Decision])
def test_a_text_that_waits_for_review_is_not_gold(row, kind, decision):
    column, gold_field = COLUMNS[kind]
    region = row.regions[0]
    region.labels = [make_label(kind, "answer", decision)]
    setattr(region, column, "answer")
    waits = decision is Decision.REVIEW
    gold, trust = row_to_gold(row)
    assert getattr(gold.regions[0], gold_field) == (None if waits else "answer")
    assert ((kind, 0, None) in trust) is not waits
    # The corpus' own text is settled, and gold.
    if kind is LabelKind.BRIEF_CAPTION:
        region.source_caption = "source"
    else:
        region.labels.insert(0, make_label(kind, "source", source=Source.CORPUS))
    assert getattr(row_to_gold(row)[0].regions[0], gold_field) == ("source" if waits else "answer")


def test_a_class_that_a_person_changed_replaces_the_corpus_class(row):
    for region in row.regions[:2]:
        region.source_label, region.box_source = "cat", Source.CORPUS
    row.regions[2].source_label = "cat"  # a detector's name is no class
    row.groundings = [
        pointing(row, "dog", [0], LabelKind.DETECT, by_ada(LabelKind.DETECT, "dog")),
        pointing(row, "lion", [1], LabelKind.DETECT),
    ]
    assert [region.label for region in row_to_gold(row)[0].regions] == ["dog", "cat", None]


def view_of(example, seed, shuffle):
    image, entry = open_example(example, InputLimits())
    return make_prompt_view(
        image.rgb,
        entry,
        example.trust,
        np.random.default_rng(seed),
        TrainConfig(shuffle_boxes=shuffle, box_jitter=0),
    )


def test_every_question_has_the_trust_of_its_label(row):
    ids = [region.region_id for region in row.regions]
    answers = [make_answer(ids[index]) for index in (0, 1)]
    answers = [answer.model_copy(update={"question": "What is {region}?"}) for answer in answers]
    answers.append(make_answer())
    for confidence, answer in zip((0.1, 0.2, 0.3), answers, strict=True):
        answer.label.confidence = confidence
    example = pointing(row, ids[2], [0], LabelKind.VISUAL_EXAMPLE, confidence=0.4)
    count = make_count(row.regions, "shape")
    count.label.confidence = 0.6
    row = row.model_copy(
        update={
            "answers": answers,
            "groundings": [example, pointing(row, "dog", [0], confidence=0.5)],
            "counts": [count],
        }
    )
    view = view_of(row_to_example(row), 1, shuffle=True)
    questions = draw_questions(view.labels, range(3), np.random.default_rng(0), 50)
    trust = {
        (question.kind, question.text): view.labels.trust_of(question.label_key) for question in questions
    }
    boxes = [region.box_xyxy for region in view.labels.regions]
    position = [boxes.index(region.box_xyxy) for region in row.regions]
    assert None not in trust.values()

    def confidences(kind, words):
        return {value.confidence for (other, text), value in trust.items() if other is kind and words in text}

    assert confidences(LabelKind.ASK, f"What is <region{position[0]}>?") == {0.1}
    assert confidences(LabelKind.ASK, f"What is <region{position[1]}>?") == {0.2}
    assert confidences(LabelKind.ASK, "What colour?") == {0.3}
    assert confidences(LabelKind.VISUAL_EXAMPLE, f"<region{position[2]}>") == {0.4}
    assert confidences(LabelKind.GROUND, "dog") == confidences(LabelKind.COUNT, "dog") == {0.5}
    assert confidences(LabelKind.GROUND, "shape") == confidences(LabelKind.COUNT, "shape") == {0.6}
    # The presence question has the trust of the phrase's label.
    assert confidences(LabelKind.ASK, "dog") == {0.5}


def test_a_phrase_with_another_count_than_its_regions_is_not_counted(row):
    seven = make_count(row.regions, "dog").model_copy(update={"count": 7, "region_ids": []})
    row = row.model_copy(update={"groundings": [pointing(row, "dog", [0])], "counts": [seven]})
    view = view_of(row_to_example(row), 0, shuffle=False)
    kinds = {
        question.kind for question in draw_questions(view.labels, range(3), np.random.default_rng(0), 50)
    }
    assert LabelKind.GROUND in kinds
    assert LabelKind.COUNT not in kinds


def test_an_image_in_an_archive_is_opened_and_a_changed_one_is_not(tmp_path):
    row = make_row(1, folder=tmp_path / "images")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(row.uri, "a.png")
    uri = f"{tmp_path}/x.tar::a.png"
    packed = row.model_copy(update={"uri": uri, "uris": [uri], "image": EncodedImage(path=uri)})
    image, _ = open_example(row_to_example(packed), InputLimits())
    assert image.image_id == row.image_id
    assert read_uri(uri, InputLimits()) == Path(row.uri).read_bytes()
    Path(row.uri).write_bytes((tmp_path / "x.tar").read_bytes())
    with pytest.raises(InputReject, match="another image now"):
        open_example(row_to_example(row), InputLimits())


def described_row(row, **of_label):
    row.caption = "a dog and a dog near a big cat here"
    for phrase, places in (("big cat", [2]), ("a dog", [0]), ("a dog", [1])):
        row.groundings.append(pointing(row, phrase, places, LabelKind.GROUNDED_CAPTION, **of_label))
    return row


def caption_questions(row, seed=1):
    """The questions for a grounded caption, the trust in their answers, and the position of each box."""
    view = view_of(row_to_example(row), seed, shuffle=True)
    questions = draw_questions(view.labels, range(len(row.regions)), np.random.default_rng(0), 50)
    boxes = [region.box_xyxy for region in view.labels.regions]
    positions = [boxes.index(region.box_xyxy) for region in row.regions]
    captions = [question for question in questions if question.kind is LabelKind.GROUNDED_CAPTION]
    return captions, [view.labels.trust_of(question.label_key) for question in captions], positions


def test_an_images_caption_is_trained_with_its_grounded_phrases(row):
    (question,), (trust,), (a, b, c) = caption_questions(described_row(row, confidence=0.7))
    assert question.answer == (
        f"<ground>a dog</ground><objects><region{a}></objects> and "
        f"<ground>a dog</ground><objects><region{b}></objects> near a "
        f"<ground>big cat</ground><objects><region{c}></objects> here"
    )
    assert trust == LabelTrust(human=False, confidence=0.7)


def test_a_persons_caption_has_their_trust_and_an_unsettled_one_is_not_trained(row):
    described = described_row(row)
    described.groundings[0].label.decision = Decision.REVIEW
    assert caption_questions(described)[0] == []
    label = by_ada(LabelKind.GROUNDED_CAPTION, described.caption)
    described.caption_label = label
    (question,), (trust,), _ = caption_questions(described)
    assert trust.human
    assert "<ground>big cat" not in question.answer


def test_a_phrase_that_waits_for_review_is_not_used_as_absent(row):
    row.groundings = [pointing(row, "whale", [0], decision=Decision.REVIEW)]
    gold, _ = row_to_gold(row)
    assert phrases_by_text(gold) == {"whale": None}
    book = PhraseBook([CorpusImage(uri="b", phrases=[CorpusPhrase(text=text) for text in ("whale", "ship")])])
    absent = book.draw_absent(gold, np.random.default_rng(0), 5, 0.5)
    assert [phrase.text for phrase in absent] == ["ship"]


def test_names_are_no_phrases_if_not_all_boxes_are_shown():
    boxes = [(float(n), 0.0, n + 4.0, 4.0) for n in range(130)]
    entry = CorpusImage(uri="a", regions=[CorpusRegion(box_xyxy=box, caption="cell") for box in boxes])
    for count, phrases in ((100, ["cell"]), (130, [])):
        cut = entry.model_copy(update={"regions": entry.regions[:count]})
        rgb = Image.new("RGB", (140, 8))
        view = make_prompt_view(rgb, cut, {}, np.random.default_rng(0), TrainConfig())
        assert [phrase.text for phrase in with_names_as_phrases(view.labels).phrases] == phrases
