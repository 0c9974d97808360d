"""A calibration: the same for the same labels and seed, clear about poor gold, refused for other labels."""

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
from fo1_data.confidence.calibration import JudgedKind, fit_kind, predict, read_calibration, write_calibration
from fo1_data.confidence.calibration_match import Labelled, check_match, covers
from fo1_data.errors import CalibrationError
from schemas.calibration import BoostedTrees, Calibration, LogisticModel, Tree
from schemas.corrections import Correction, correction_line
from schemas.labels import Decision, LabelKind


def reordered(judged: JudgedKind, order: np.ndarray) -> JudgedKind:
    return JudgedKind(
        [judged.image_ids[place] for place in order],
        [judged.tables[place] for place in order],
        *(getattr(judged, name)[order] for name in ("known", "right", "certifies", "eligible")),
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
    write_dataset(tmp_path / "other", rows[::-1], rows_a_shard=23)
    assert calibrate_dataset(str(tmp_path / "other"), str(made[1])).kinds == made[2].kinds


def test_it_comes_back_from_its_file_and_predicts_the_same(
    made: tuple[Path, Path, Calibration], tmp_path: Path
) -> None:
    calibration = made[2]
    sha256 = write_calibration(calibration, str(tmp_path / "C.json"))
    read, same_sha256 = read_calibration(str(tmp_path / "C.json"))
    assert (read, same_sha256) == (calibration, sha256)
    tables = [{"logprob_mean": -value, "margin_min": value} for value in np.linspace(0, 6, 30)]
    kind = LabelKind.BRIEF_CAPTION
    assert (predict(read.kinds[kind], tables) == predict(calibration.kinds[kind], tables)).all()


def test_confidence_tells_right_from_wrong(made: tuple[Path, Path, Calibration]) -> None:
    figures = made[2].kinds[LabelKind.BRIEF_CAPTION].figures
    assert figures.auroc is not None
    assert figures.auroc > 0.75
    assert figures.ece is not None
    assert figures.ece < 0.08


def test_held_out_images_are_no_part_of_the_fit() -> None:
    judged = made_kind(num_images=100)
    held = np.array([int(image_id[:4], 16) % 2 == 0 for image_id in judged.image_ids])
    one = fit_kind(judged, held=held, num_folds=2)
    turned = JudgedKind(
        judged.image_ids, judged.tables, judged.known, judged.right ^ held, judged.certifies, judged.eligible
    )
    other = fit_kind(turned, held=held, num_folds=2)
    assert other.model == one.model
    assert other.held_out.wrong == [not wrong for wrong in one.held_out.wrong]


def test_what_stands_beside_a_certifying_label_trains_nothing() -> None:
    """Labels of one image depend on each other: reviewed ones of an audited, held-out image would leak."""
    made = made_kind(num_images=120)
    held = np.array([int(image_id[:4], 16) % 2 == 0 for image_id in made.image_ids])
    mixed = held & np.array([int(image_id[4:8], 16) % 2 == 0 for image_id in made.image_ids])
    first = np.array(
        [place == 0 or made.image_ids[place - 1] != one for place, one in enumerate(made.image_ids)]
    )
    judged = replace(made, certifies=~held | (mixed & first))
    one = fit_kind(judged, held=held, num_folds=2)
    assert one.figures.labels == int((~mixed).sum())
    assert one.figures.certified_images == len(set(np.array(made.image_ids)[mixed]))
    turned = fit_kind(replace(judged, right=made.right ^ (mixed & ~first)), held=held, num_folds=2)
    assert turned == one


def test_where_every_image_is_held_out_nothing_certifies_what_it_trained() -> None:
    judged = made_kind(num_images=60)
    found = fit_kind(judged, held=np.ones(len(judged.right), dtype=bool), num_folds=2)
    assert (found.figures.labels, found.figures.certified_labels) == (len(judged.right), 0)
    assert not found.held_out.image
    rule = accept_kind(found, 0.5, 0.1)
    assert rule.threshold is None
    assert "judge more images" in rule.told


@pytest.mark.parametrize("side", [True, False])
def test_one_sided_gold_gives_one_confidence_and_says_so(side: bool) -> None:
    judged = made_kind(num_images=150)
    judged = JudgedKind(judged.image_ids, judged.tables, judged.known, np.full(len(judged.right), side),
                        judged.certifies, judged.eligible)  # fmt: skip
    found = fit_kind(judged)
    told = predict(found, judged.tables[:20])
    assert len(set(told.tolist())) == 1
    assert (told[0] > 0.95) == side
    assert ("are right" if side else "are wrong") in (found.figures.note or "")
    rule = accept_kind(found, 0.05, 0.1)
    assert (rule.threshold is not None) == side
    assert side or "nothing can be accepted" in rule.told


def test_gold_of_one_image_does_not_fit() -> None:
    judged = made_kind(num_images=1, most=1)
    found = fit_kind(judged)
    assert found.model.family == "constant"
    assert accept_kind(found, 0.1, 0.1).threshold is None


def test_gold_that_judges_nothing_is_refused(made: tuple[Path, Path, Calibration], tmp_path: Path) -> None:
    strangers = write_gold(tmp_path / "gold.jsonl", [made_row(900)])
    with pytest.raises(CalibrationError, match="judges no label"):
        calibrate_dataset(str(made[0]), str(strangers))


def test_what_was_sent_to_people_in_images_nobody_audited_still_limits_the_scope(tmp_path: Path) -> None:
    rows = [made_row(number, num_regions=1) for number in range(40)]
    said = []
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
                said.append(Correction.model_validate(verdict | about))
    write_dataset(tmp_path / "dataset", rows)
    (tmp_path / "said.jsonl").write_text("".join(correction_line(one) + "\n" for one in said))
    found = calibrate_dataset(str(tmp_path / "dataset"), str(tmp_path / "said.jsonl"))
    assert {kind.value: one.scope for kind, one in found.kinds.items()} == {
        "brief_caption": "accepted_before", "ground": "all",
    }  # fmt: skip


def test_signals_in_any_order_of_labels_fit_alike() -> None:
    judged = made_kind(num_images=90)
    order = np.random.default_rng(0).permutation(len(judged.right))
    order = order[np.argsort(np.array(judged.image_ids)[order], kind="stable")]
    one, other = fit_kind(judged, num_folds=2), fit_kind(reordered(judged, order), num_folds=2)
    assert one.figures.labels == other.figures.labels
    assert one.figures.brier == pytest.approx(other.figures.brier, abs=0.01)


@pytest.mark.parametrize(
    ("used_on", "differs"),
    [
        ({"model_sha256": "ff" * 32}, "model"),
        ({"prompts_version": "2"}, "wording"),
        ({"proposer": "upn"}, "proposer"),
        ({"proposer_sha256": "ff" * 32}, "proposer's weights"),
    ],
)
def test_other_labels_are_refused_and_forced_with_a_warning(
    made: tuple[Path, Path, Calibration], used_on: dict[str, str], differs: str
) -> None:
    same = {
        "model_sha256": "ab" * 32, "proposer": "corpus", "proposer_sha256": "cd" * 32, "prompts_version": "1",
    }  # fmt: skip
    assert check_match(made[2], Labelled(**same)) is None
    with pytest.raises(CalibrationError, match=differs):
        check_match(made[2], Labelled(**{**same, **used_on}))
    assert differs in (check_match(made[2], Labelled(**{**same, **used_on}), force=True) or "")
    assert check_match(made[2], Labelled()) is None


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
def test_a_row_that_another_labelled_is_not_covered(
    made: tuple[Path, Path, Calibration], used_on: dict[str, str], covered: bool
) -> None:
    row = made_row(3)
    row.provenance = row.provenance.model_copy(update=used_on)
    assert covers(made[2], row) == covered
    unnamed = made[2].model_copy(update={"model_sha256": None})
    assert not covers(unnamed, row)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"not json", b'{"schema_version": 99}', b"\xff\xfe"])
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "C.json"
    path.write_bytes(content)
    with pytest.raises(CalibrationError) as caught:
        read_calibration(str(path))
    assert "\n" not in str(caught.value)


def _each_fault(kind: dict[str, Any]) -> Iterator[None]:
    """Makes one fault after another in a calibrated kind, each alone."""
    column, tree = kind["columns"][0], kind["model"]["trees"][0]
    lists = [
        kind["model"]["weights"],
        kind["columns"],
        column["ranks"],
        tree["left"],
        kind["held_out"]["wrong"],
    ]
    for one in (*lists, kind["fit_labels"]["confidence"]):
        last = one.pop()
        yield
        one.append(last)
    inner = tree["feature"].index(max(tree["feature"]))
    values = [
        (tree["left"], inner, inner), (tree["right"], inner, 3), (tree["feature"], inner, 999),
        (column, "mean", float("nan")), (column, "knots", [1.0] + [0.0] * (len(column["knots"]) - 1)),
        (kind["held_out"]["confidence"], 0, 1.5), (kind["held_out"]["image"], 0, -1),
        (kind["map"], "scores", [0.0]), (kind["map"], "slope", 0),
    ]  # fmt: skip
    for holder, place, value in values:
        before, holder[place] = holder[place], value
        yield
        holder[place] = before


def test_numbers_that_do_not_fit_together_are_one_line(
    made: tuple[Path, Path, Calibration], tmp_path: Path
) -> None:
    """A hand-edited file is refused when it is read: nothing of it may fail, or go on for ever, later."""
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
    for _ in _each_fault(document["kinds"]["ground"]):
        path.write_text(json.dumps(document))
        with pytest.raises(CalibrationError, match="no calibration") as caught:
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
