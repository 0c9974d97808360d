"""Names of boxes as phrases to point at."""

import numpy as np
import pytest

from fo1_data.training.samples.questions import Known, Trust, draw_questions, with_names_as_phrases
from schemas.corpus import CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind


def region(caption: str | None, label: str | None = None) -> CorpusRegion:
    return CorpusRegion(box_xyxy=(0.0, 0.0, 4.0, 4.0), caption=caption, label=label)


def test_each_name_means_all_boxes_of_that_name_and_is_asked_for() -> None:
    known = Known([region("cell"), region(None, "plate"), region("cell")])
    known = with_names_as_phrases(known)

    asked = {
        one.rests_on[2]: one.named
        for one in draw_questions(known, [5, 6, 7], np.random.default_rng(0), 20)
        if one.kind is LabelKind.GROUND and one.rests_on is not None
    }

    assert asked == {"cell": (0, 2), "plate": (1,)}


def test_what_is_known_as_a_phrase_stays_as_it_is() -> None:
    known = Known([region("Cell"), region("plate")], [CorpusPhrase(text="cell", region_indices=[0, 1])])
    assert [one.text for one in with_names_as_phrases(known).phrases] == ["cell", "plate"]


def test_case_splits_no_name_and_the_weakest_word_decides_what_it_counts() -> None:
    human, unsure = Trust(human=True), Trust(human=False, confidence=0.3)
    trust = {
        (LabelKind.BRIEF_CAPTION, 0, None): human,
        (LabelKind.BRIEF_CAPTION, 2, None): unsure,
        (LabelKind.BRIEF_CAPTION, 1, None): human,
    }
    known = with_names_as_phrases(Known([region("Dog"), region("cat"), region("dog")], trust=trust))
    assert [(one.text, one.region_indices) for one in known.phrases] == [("Dog", [0, 2]), ("cat", [1])]
    for kind in (LabelKind.GROUND, LabelKind.COUNT):
        assert (known.trust[kind, None, "Dog"], known.trust[kind, None, "cat"]) == (unsure, human)


def test_names_that_gold_and_a_person_gave_count_as_gold() -> None:
    trust = {(LabelKind.BRIEF_CAPTION, 0, None): Trust(human=True)}
    known = with_names_as_phrases(Known([region("dog"), region(None, "dog")], trust=trust))
    assert (LabelKind.GROUND, None, "dog") not in known.trust


@pytest.mark.parametrize("unnamed", [None, region(None), region("")])
def test_a_box_without_a_name_leaves_open_where_the_others_are(unnamed: CorpusRegion | None) -> None:
    assert with_names_as_phrases(Known([region("cell"), unnamed])).phrases == ()
