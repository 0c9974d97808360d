"""Second questions on open prefixes: they add to a label's signals and change nothing else."""

import math
from pathlib import Path

import numpy as np
import pytest

from fo1_data.confidence.signals import SIGNALS
from fo1_data.labelling.image_labeller import ImageLabeller
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.jobs import RunConfig
from schemas.labels import Label, LabelKind
from schemas.setting_values import SecondQuestion

ASKED_BY = {
    SecondQuestion.ASK_BACK: {"ask_back_hit", "ask_back_others", "ask_back_probability"},
    SecondQuestion.ABSENCE: {"absence_probability", "absence_agreement"},
    SecondQuestion.BLIND: {"blind_drop"},
}
EVERY = ",".join(ASKED_BY)
SECOND = set().union(*ASKED_BY.values())
LABELS = "brief_caption,grounded_caption,ground,count,ocr"


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[CorpusImage]:
    folder: Path = tmp_path_factory.mktemp("scenes")
    entries = []
    for seed in range(70, 73):
        scene = make_scene(seed, (2, 4), corruption=0.5)
        path = folder / f"{seed}.png"
        scene.image.save(path)
        entries.append(gold_of(scene, str(path)))
    return entries


def _rows(entries: list[CorpusImage], **settings: object) -> list[ImageRow]:
    given = {"corpus": "scenes", "out": "unused", "proposals": "corpus", "labels": LABELS}
    limits = {"vocabulary": "circle", "max_new_tokens": 24}
    config = RunConfig.model_validate({**given, **limits, **settings})
    rows, rejects = ImageLabeller(config).label_entries(entries)
    assert rejects == []
    return rows


@pytest.fixture(scope="module")
def asked_of_all(entries: list[CorpusImage]) -> list[ImageRow]:
    return _rows(entries, unsure_below=1.0, second_questions=EVERY)


def _answered(rows: list[ImageRow]) -> list[Label]:
    return [label for row in rows for label in row.answered_labels()]


def _signals(label: Label) -> dict[str, float]:
    return {signal.name: signal.value for signal in label.signals}


def _without_second(rows: list[ImageRow]) -> list[object]:
    return [
        (label.kind, label.text, [s.name for s in label.signals if s.name not in SECOND])
        for label in _answered(rows)
    ]


def test_each_kind_of_label_has_its_signals(asked_of_all: list[ImageRow]) -> None:
    labels = _answered(asked_of_all)
    assert {label.kind for label in labels} == {LabelKind(kind) for kind in LABELS.split(",")}
    for label in labels:
        values = _signals(label)
        assert len(values) == len(label.signals), "no name twice"
        assert set(values) <= set(SIGNALS)
        assert all(SIGNALS[name].low <= value <= SIGNALS[name].high for name, value in values.items())
        expected = {
            SecondQuestion.ASK_BACK: label.kind is LabelKind.BRIEF_CAPTION,
            SecondQuestion.BLIND: label.kind.per_region and values["num_tokens"] > 0,
            SecondQuestion.ABSENCE: not label.kind.per_region,
        }
        for question, names in ASKED_BY.items():
            assert names & set(values) == (names if expected[question] else set()), label.kind
        assert ("feature_0" in values) == label.kind.per_region
        assert {"logprob_min", "num_tokens"} <= set(values)
        assert "objectness" not in values, "boxes were given"
        assert ("caption_elsewhere" in values) == (not label.kind.per_region)
        assert ("area_share" in values) == (label.kind.per_region or values["num_named"] > 0)


def test_only_what_names_regions_by_a_phrase_is_compared_with_captions(entries: list[CorpusImage]) -> None:
    regions = [
        one.model_copy(update={"example": not place}) for place, one in enumerate(entries[0].regions or [])
    ]
    marked = entries[0].model_copy(update={"regions": regions})
    kinds = {"labels": "brief_caption,visual_example,ask", "question": "How many?"}
    (row,) = _rows([marked], second_questions="none", **kinds)
    told = [*(part.label for part in row.groundings), *(answer.label for answer in row.answers)]
    assert [label.kind for label in told] == [LabelKind.VISUAL_EXAMPLE, LabelKind.ASK]
    assert all("caption_elsewhere" not in _signals(label) for label in told)


def test_what_was_said_stays_and_a_second_question_can_be_left_out(
    entries: list[CorpusImage], asked_of_all: list[ImageRow]
) -> None:
    for wanted in ("none", "absence", "ask_back,blind"):
        rows = _rows(entries, second_questions=wanted, unsure_below=1.0)
        assert _without_second(rows) == _without_second(asked_of_all)
        left = set().union(*(ASKED_BY[SecondQuestion(name)] for name in wanted.split(",") if name != "none"))
        found = {name for label in _answered(rows) for name in _signals(label)} & SECOND
        assert found == left


def test_only_unsure_labels_are_asked_about(entries: list[CorpusImage], asked_of_all: list[ImageRow]) -> None:
    least = sorted(math.exp(_signals(label)["logprob_min"]) for label in _answered(asked_of_all))
    below = least[len(least) // 3] + 1e-3
    rows = _rows(entries, unsure_below=below, second_questions=EVERY)
    asked = 0
    for label, fully in zip(_answered(rows), _answered(asked_of_all), strict=True):
        values, every = _signals(label), _signals(fully)
        second = SECOND & set(values)
        unsure = values["truncated"] or (
            min(
                math.exp(values["logprob_min"]),
                values.get("region_prob_min", 1),
                1 - values.get("left_out_prob_max", 0),
            )
            < below
        )
        assert second == (SECOND & set(every) if unsure else set())
        for name in second:
            assert values[name] == pytest.approx(every[name], abs=1e-4)
        asked += bool(second)
    assert 0 < asked < len(_answered(rows))


@pytest.mark.parametrize("batch_images", [1, 3])
def test_signals_do_not_depend_on_the_batch(
    entries: list[CorpusImage], asked_of_all: list[ImageRow], batch_images: int
) -> None:
    rows = _rows(entries[::-1], second_questions=EVERY, unsure_below=1.0, batch_images=batch_images)[::-1]
    for label, other in zip(_answered(rows), _answered(asked_of_all), strict=True):
        assert (label.kind, label.text) == (other.kind, other.text)
        assert _signals(label) == pytest.approx(_signals(other), abs=1e-4)


def test_over_a_hundred_boxes_are_asked_about_in_their_own_chunk(entries: list[CorpusImage]) -> None:
    (entry,) = entries[:1]
    many = [
        region.model_copy(update={"box_xyxy": tuple(np.array(region.box_xyxy) + shift)})
        for shift in np.linspace(0, 2, 104)
        for region in (entry.regions or [])[:1]
    ]
    crowded = entry.model_copy(update={"regions": many, "phrases": entry.phrases[:2]})
    (row,) = _rows([crowded], labels="brief_caption,ground", unsure_below=1.0, max_new_tokens=16)
    assert len(row.regions) == len(many) > 100
    for label in row.answered_labels():
        expected = ASKED_BY[SecondQuestion.ABSENCE] if label.kind is LabelKind.GROUND else {"ask_back_hit"}
        assert expected <= set(_signals(label))


def test_features_are_alike_for_the_same_box_only(entries: list[CorpusImage]) -> None:
    entry = entries[0]
    first, *others = entry.regions or []
    doubled = entry.model_copy(update={"regions": [first, *others, first]})
    (row,) = _rows([doubled], labels="brief_caption", second_questions="none")
    features = np.array(
        [[value for name, value in _signals(label).items() if name.startswith("feature_")]
         for label in row.answered_labels()]
    )  # fmt: skip
    assert features.shape == (len(row.regions), 8)
    assert features[0] == pytest.approx(features[-1], abs=1e-5)
    distances = np.linalg.norm(features[1:-1] - features[0], axis=1)
    assert distances.min() > 1e-2
    assert np.abs(features).max() < 4
