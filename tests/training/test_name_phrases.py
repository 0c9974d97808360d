"""Names of boxes become phrases that mean all boxes of that name."""

import numpy as np
import pytest

from fo1_data.training.samples.image_labels import ImageLabels, LabelTrust, with_names_as_phrases
from fo1_data.training.samples.question_draw import draw_questions
from schemas.corpus import CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind


def region(caption: str | None, label: str | None = None) -> CorpusRegion:
    return CorpusRegion(box_xyxy=(0.0, 0.0, 4.0, 4.0), caption=caption, label=label)


def test_each_name_means_all_boxes_of_that_name() -> None:
    labels = ImageLabels([region("cell"), region(None, "plate"), region("cell")])
    labels = with_names_as_phrases(labels)

    answers = {
        question.label_key[2]: question.answer_boxes
        for question in draw_questions(labels, [5, 6, 7], np.random.default_rng(0), 20)
        if question.kind is LabelKind.GROUND and question.label_key is not None
    }

    assert answers == {"cell": (0, 2), "plate": (1,)}


def test_an_existing_phrase_stays_as_it_is() -> None:
    labels = ImageLabels(
        [region("Cell"), region("plate")], [CorpusPhrase(text="cell", region_indices=[0, 1])]
    )
    assert [phrase.text for phrase in with_names_as_phrases(labels).phrases] == ["cell", "plate"]


def test_case_is_ignored_and_the_least_trusted_name_decides_the_trust() -> None:
    human, unsure = LabelTrust(human=True), LabelTrust(human=False, confidence=0.3)
    trust = {
        (LabelKind.BRIEF_CAPTION, 0, None): human,
        (LabelKind.BRIEF_CAPTION, 2, None): unsure,
        (LabelKind.BRIEF_CAPTION, 1, None): human,
    }
    labels = with_names_as_phrases(ImageLabels([region("Dog"), region("cat"), region("dog")], trust=trust))
    assert [(phrase.text, phrase.region_indices) for phrase in labels.phrases] == [
        ("Dog", [0, 2]),
        ("cat", [1]),
    ]
    for kind in (LabelKind.GROUND, LabelKind.COUNT):
        assert (labels.trust[kind, None, "Dog"], labels.trust[kind, None, "cat"]) == (unsure, human)


def test_a_name_from_gold_and_from_a_person_is_gold() -> None:
    trust = {(LabelKind.BRIEF_CAPTION, 0, None): LabelTrust(human=True)}
    labels = with_names_as_phrases(ImageLabels([region("dog"), region(None, "dog")], trust=trust))
    assert (LabelKind.GROUND, None, "dog") not in labels.trust


@pytest.mark.parametrize("unnamed", [None, region(None), region("")])
def test_with_an_unnamed_box_no_name_becomes_a_phrase(unnamed: CorpusRegion | None) -> None:
    assert with_names_as_phrases(ImageLabels([region("cell"), unnamed])).phrases == ()
