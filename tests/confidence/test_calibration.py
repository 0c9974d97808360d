"""A calibration is reproducible, reports poor gold, and is refused for other labels."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_labels import made_kind, made_row, write_dataset, write_gold

from fo1_data.confidence.acceptance import accept_kind
from fo1_data.confidence.calibrate_dataset import calibrate_dataset
from fo1_data.confidence.calibration import fit_kind, predict
from fo1_data.confidence.calibration_file import read_calibration, write_calibration
from fo1_data.confidence.calibration_match import LabelOrigin, check_match, covers
from fo1_data.confidence.judged_kind import JudgedKind
from fo1_data.errors import CalibrationError
from schemas.calibration import BoostedTrees, Calibration, LogisticModel, Tree
from schemas.corrections import Correction, correction_line
from schemas.labels import Decision, LabelKind


def reordered(judged: JudgedKind, order: np.ndarray) -> JudgedKind:
    return JudgedKind(
        [judged.image_ids[index] for index in order],
        [judged.tables[index] for index in order],
        *(
            getattr(judged, name)[order]
            for name in ("has_verdict", "right", "certifies", "eligible", "missed")
        ),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Calibration]:
    folder = tmp_path_factory.mktemp("calibration")
    rows = [made_row(number) for number in range(160)]
    write_dataset(folder / "dataset", rows)
    gold = write_gold(folder / "gold.jsonl", rows)
    return folder / "dataset", gold, calibrate_dataset(str(folder / "dataset"), str(gold))


def test_the_same_labels_and_seed_give_the_same_file(made: tuple[Path, Path, Calibration]) -> None:
    dataset, gold, first = made
    again = calibrate_dataset(str(dataset), str(gold))
    assert again.kinds == first.kinds
    assert calibrate_dataset(str(dataset), str(gold), seed=1).kinds != first.kinds


def test_it_does_not_depend_on_the_order_of_rows(
    made: tuple[Path, Path, Calibration], tmp_path: Path
) -> None:
    rows = [made_row(number) for number in range(160)]
    write_dataset(tmp_path / "other", rows[::-1], rows_per_shard=23)
    assert calibrate_dataset(str(tmp_path / "other"), str(made[1])).kinds == made[2].kinds


def test_a_calibration_read_from_its_file_predicts_the_same(
    made: tuple[Path, Path, Calibration], tmp_path: Path
) -> None:
    calibration = made[2]
    sha256 = write_calibration(calibration, str(tmp_path / "C.json"))
    read, same_sha256 = read_calibration(str(tmp_path / "C.json"))
    assert (read, same_sha256) == (calibration, sha256)
    tables = [{"logprob_mean": -value, "margin_min": value} for value in np.linspace(0, 6, 30)]
    kind = LabelKind.BRIEF_CAPTION
    assert (predict(read.kinds[kind], tables) == predict(calibration.kinds[kind], tables)).all()


def test_confidence_separates_right_labels_from_wrong_ones(made: tuple[Path, Path, Calibration]) -> None:
    figures = made[2].kinds[LabelKind.BRIEF_CAPTION].figures
    assert figures.auroc is not None
    assert figures.auroc > 0.75
    assert figures.ece is not None
    assert figures.ece < 0.08


def test_held_out_images_do_not_take_part_in_the_fit() -> None:
    judged = made_kind(num_images=100)
    held_out = np.array([int(image_id[:4], 16) % 2 == 0 for image_id in judged.image_ids])
    kind = fit_kind(judged, held_out=held_out, num_folds=2)
    flipped = fit_kind(replace(judged, right=judged.right ^ held_out), held_out=held_out, num_folds=2)
    assert flipped.model == kind.model
    assert flipped.held_out.wrong == [not wrong for wrong in kind.held_out.wrong]


def test_labels_in_the_image_of_a_certifying_label_are_not_fitted_on() -> None:
    """Labels of one image depend on each other: reviewed labels of an audited, held-out image would leak."""
    made = made_kind(num_images=120)
    ids = made.image_ids
    held_out = np.array([int(image_id[:4], 16) % 2 == 0 for image_id in ids])
    mixed = held_out & np.array([int(image_id[4:8], 16) % 2 == 0 for image_id in ids])
    first = np.array([index == 0 or ids[index - 1] != image_id for index, image_id in enumerate(ids)])
    judged = replace(made, certifies=~held_out | (mixed & first))
    kind = fit_kind(judged, held_out=held_out, num_folds=2)
    assert kind.figures.labels == int((~mixed).sum())
    assert kind.figures.certified_images == len(set(np.array(ids)[mixed]))
    flipped = replace(judged, right=made.right ^ (mixed & ~first))
    assert fit_kind(flipped, held_out=held_out, num_folds=2) == kind


def test_if_every_image_is_held_out_nothing_certifies_what_it_trained() -> None:
    judged = made_kind(num_images=60)
    kind = fit_kind(judged, held_out=np.ones(len(judged.right), dtype=bool), num_folds=2)
    assert (kind.figures.labels, kind.figures.certified_labels) == (len(judged.right), 0)
    assert not kind.held_out.image
    rule = accept_kind(kind, 0.5, 0.1)
    assert rule.threshold is None
    assert "judge more images" in rule.explanation


@pytest.mark.parametrize("side", [True, False])
def test_one_sided_gold_gives_one_confidence_and_says_so(side: bool) -> None:
    judged = made_kind(num_images=150)
    kind = fit_kind(replace(judged, right=np.full(len(judged.right), side)))
    confidences = predict(kind, judged.tables[:20])
    assert len(set(confidences.tolist())) == 1
    assert (confidences[0] > 0.95) == side
    assert ("are right" if side else "are wrong") in (kind.figures.note or "")
    rule = accept_kind(kind, 0.05, 0.1)
    assert (rule.threshold is not None) == side
    assert side or "nothing can be accepted" in rule.explanation


def test_gold_of_one_image_fits_no_model() -> None:
    kind = fit_kind(made_kind(num_images=1, most=1))
    assert kind.model.family == "constant"
    assert accept_kind(kind, 0.1, 0.1).threshold is None


def test_gold_that_judges_nothing_is_refused(made: tuple[Path, Path, Calibration], tmp_path: Path) -> None:
    strangers = write_gold(tmp_path / "gold.jsonl", [made_row(900)])
    with pytest.raises(CalibrationError, match="is in the gold"):
        calibrate_dataset(str(made[0]), str(strangers))


def test_labels_sent_to_review_in_images_without_audit_still_limit_the_scope(tmp_path: Path) -> None:
    rows = [made_row(number, num_regions=1) for number in range(40)]
    verdicts = []
    for number, row in enumerate(rows):
        label = row.regions[0].labels[0]
        label.decision = Decision.AUDIT if number % 2 else Decision.REVIEW
        row.groundings[0].label.decision = Decision.AUDIT
        if number % 2:
            right = label.text.startswith("right")
            verdict = {"image_id": row.image_id, "at": "2026-01-01T00:00:00Z", "lane": "audit",
                       "action": "verdict", "right": right}  # fmt: skip
            of_caption = {"region_id": row.regions[0].region_id, "kind": label.kind}
            for about in (of_caption, {"subject": "first thing", "kind": "ground"}):
                verdicts.append(Correction.model_validate(verdict | about))
    write_dataset(tmp_path / "dataset", rows)
    gold = tmp_path / "verdicts.jsonl"
    gold.write_text("".join(correction_line(verdict) + "\n" for verdict in verdicts))
    calibration = calibrate_dataset(str(tmp_path / "dataset"), str(gold))
    assert {kind.value: calibrated.scope for kind, calibrated in calibration.kinds.items()} == {
        "brief_caption": "accepted_before", "ground": "all",
    }  # fmt: skip


def test_the_order_of_labels_hardly_changes_the_fit() -> None:
    judged = made_kind(num_images=90)
    order = np.random.default_rng(0).permutation(len(judged.right))
    order = order[np.argsort(np.array(judged.image_ids)[order], kind="stable")]
    kind, other = fit_kind(judged, num_folds=2), fit_kind(reordered(judged, order), num_folds=2)
    assert kind.figures.labels == other.figures.labels
    assert kind.figures.brier == pytest.approx(other.figures.brier, abs=0.01)


@pytest.mark.parametrize(
    ("used_on", "differs"),
    [
        ({"model_sha256": "ff" * 32}, "model"),
        ({"prompts_version": "2"}, "wording"),
        ({"proposer": "upn"}, "proposer"),
        ({"proposer_sha256": "ff" * 32}, "proposer's weights"),
    ],
)
def test_other_labels_are_refused_or_forced_with_a_warning(
    made: tuple[Path, Path, Calibration], used_on: dict[str, str], differs: str
) -> None:
    same = {
        "model_sha256": "ab" * 32, "proposer": "corpus", "proposer_sha256": "cd" * 32, "prompts_version": "1",
    }  # fmt: skip
    assert check_match(made[2], LabelOrigin(**same)) is None
    with pytest.raises(CalibrationError, match=differs):
        check_match(made[2], LabelOrigin(**{**same, **used_on}))
    assert differs in (check_match(made[2], LabelOrigin(**{**same, **used_on}), force=True) or "")
    assert check_match(made[2], LabelOrigin()) is None


@pytest.mark.parametrize(
    ("used_on", "covered"),
    [
        ({}, True),
        ({"proposer": "corpus"}, True),
        ({"proposer": "upn"}, False),
        ({"model_sha256": "ff" * 32}, False),
        ({"prompts_version": "2"}, False),
    ],
)
def test_a_row_that_another_model_labelled_is_not_covered(
    made: tuple[Path, Path, Calibration], used_on: dict[str, str], covered: bool
) -> None:
    row = made_row(3)
    row.provenance = row.provenance.model_copy(update=used_on)
    assert covers(made[2], row.provenance) == covered
    unnamed = made[2].model_copy(update={"model_sha256": None})
    assert not covers(unnamed, row.provenance)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"not json", b'{"schema_version": 99}', b"\xff\xfe"])
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "C.json"
    path.write_bytes(content)
    with pytest.raises(CalibrationError) as caught:
        read_calibration(str(path))
    assert "\n" not in str(caught.value)


def _each_defect(kind: dict[str, Any]) -> Iterator[None]:
    """Puts one defect after another into a calibrated kind, each alone."""
    column, tree = kind["columns"][0], kind["model"]["trees"][0]
    lists = [
        kind["model"]["weights"],
        kind["columns"],
        column["ranks"],
        tree["left"],
        kind["held_out"]["wrong"],
    ]
    for values in (*lists, kind["fit_labels"]["confidence"]):
        last = values.pop()
        yield
        values.append(last)
    inner = tree["feature"].index(max(tree["feature"]))
    replacements = [
        (tree["left"], inner, inner), (tree["right"], inner, 3), (tree["feature"], inner, 999),
        (column, "mean", float("nan")), (column, "knots", [1.0] + [0.0] * (len(column["knots"]) - 1)),
        (kind["held_out"]["confidence"], 0, 1.5), (kind["held_out"]["image"], 0, -1),
        (kind["map"], "scores", [0.0]), (kind["map"], "slope", 0),
    ]  # fmt: skip
    for container, key, value in replacements:
        before, container[key] = container[key], value
        yield
        container[key] = before


def test_numbers_that_do_not_fit_together_are_one_line(
    made: tuple[Path, Path, Calibration], tmp_path: Path
) -> None:
    """A file edited by hand is refused when it is read, so that nothing fails or loops for ever later."""
    kind = fit_kind(made_kind(num_images=60), families=["logistic"], num_folds=2)
    assert isinstance(kind.model, LogisticModel)
    sides = {"left": [1, 0, 0], "right": [2, 0, 0]}
    tree = Tree(feature=[0, -1, -1], threshold=[0.5, 0, 0], value=[0, 0.1, -0.1], **sides)
    boosted = BoostedTrees(intercept=0, weights=kind.model.weights, trees=[tree])
    kinds = {LabelKind.GROUND: kind.model_copy(update={"model": boosted})}
    calibration = made[2].model_copy(update={"kinds": kinds})
    document = calibration.model_dump(mode="json")
    path = tmp_path / "C.json"
    path.write_text(json.dumps(document))
    assert read_calibration(str(path))[0] == calibration
    num_refused = 0
    for _ in _each_defect(document["kinds"]["ground"]):
        path.write_text(json.dumps(document))
        with pytest.raises(CalibrationError, match="is not a calibration") as caught:
            read_calibration(str(path))
        assert "\n" not in str(caught.value)
        num_refused += 1
    assert num_refused == 15
    path.write_text(json.dumps(document))
    assert read_calibration(str(path))[0] == calibration


def test_unknown_keys_are_refused(made: tuple[Path, Path, Calibration], tmp_path: Path) -> None:
    document = made[2].model_dump(mode="json") | {"extra": 1}
    (tmp_path / "C.json").write_text(json.dumps(document))
    with pytest.raises(CalibrationError):
        read_calibration(str(tmp_path / "C.json"))


def test_a_calibration_for_auto_boxes_covers_rows_of_the_corpus_and_of_its_detector(
    made: tuple[Path, Path, Calibration],
) -> None:
    calibration = made[2].model_copy(update={"proposer": "auto (fo1-tiny)"})
    row = made_row(0)
    for proposer, covered in (("corpus", True), ("fo1-tiny", True), ("auto (fo1-tiny)", True), ("x", False)):
        row.provenance.proposer = proposer
        assert covers(calibration, row.provenance) is covered
