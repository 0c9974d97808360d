"""Routing of columns gives what routing of rows gives, for every kind, source, decision and setting."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from factories import make_answer, make_count, make_dataset, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_labels import made_kind
from routed_labels import ROUTED_ROWS

from fo1_data.confidence.calibration import fit_kind
from fo1_data.confidence.calibration_file import write_calibration
from fo1_data.confidence.model_fit import FAMILIES
from fo1_data.confidence.open_labels import labels_of_batch, labels_of_rows, open_parts, open_places
from fo1_data.confidence.review_plan import ReviewPlan
from fo1_data.confidence.route_dataset import route_dataset
from fo1_data.confidence.routed_batch import RoutedBatch
from fo1_data.confidence.routing import Router
from fo1_data.confidence.signal_columns import signal_matrix, signals_of
from fo1_data.dataset.counting import count_rows
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.dataset.parquet_files import encode_rows
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import rows_to_batch
from fo1_data.dataset.rows import table_to_rows
from schemas.calibration import Acceptance, Calibration, RoutingSettings
from schemas.dataset import Manifest
from schemas.images import ImageRow
from schemas.labels import LabelKind, Signal

VERSION_1 = str(Path(__file__).parents[1] / "dataset/version_1")
KINDS = (LabelKind.BRIEF_CAPTION, LabelKind.GROUND, LabelKind.ASK, LabelKind.COUNT)
ROWS = st.lists(ROUTED_ROWS, min_size=1, max_size=3)
SETTINGS = st.builds(
    RoutingSettings,
    max_error=st.sampled_from((None, 0.2, 0.4)),
    audit=st.sampled_from((0.0, 0.3, 1.0)),
    review_budget=st.sampled_from((None, 0, 3, 0.4)),
    whole_images=st.booleans(),
    seed=st.integers(0, 3),
)


RULES = {
    kind: Acceptance(threshold=0.3, most_labels=1 + place % 2, only_accepted_before=place < 2, explanation="")
    for place, kind in enumerate((*KINDS, LabelKind.OCR))
}
RULES[LabelKind.DETECT] = Acceptance(threshold=None, explanation="nothing can be accepted")


@cache
def calibration() -> Calibration:
    """Of some kinds, made for the labels of one model; two kinds cover only what was accepted before."""
    kinds = {
        kind: fit_kind(made_kind(seed, 60), seed, families=[family], num_folds=2)
        for seed, (kind, family) in enumerate(zip(KINDS, 2 * list(FAMILIES), strict=True))
    }
    for kind in KINDS[:2]:
        kinds[kind].scope = "accepted_before"
    return Calibration(
        created_at="2026-01-01T00:00:00Z",
        model_sha256="ab" * 32,
        proposer=None,
        prompts_version=None,
        dataset="d@1",
        gold="g",
        caption_match="exact",
        seed=0,
        kinds=kinds,
    )


def stored(rows: Sequence[ImageRow]) -> list[ImageRow]:
    """The rows as they are read: numbers are float32."""
    return list(table_to_rows(rows_to_batch(rows)))


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_columns_of_a_batch_are_those_of_its_rows(rows: list[ImageRow]) -> None:
    rows, batch = stored(rows), rows_to_batch(rows)
    columns = LabelColumns(batch, corpus_too=True)
    of_batch = labels_of_batch(batch, columns, open_places(columns))
    of_rows = labels_of_rows(rows, open_parts(rows))
    for name in ("image_ids", "provenances", "keys", "subjects", "texts"):
        assert getattr(of_batch, name) == getattr(of_rows, name)
    for name in ("rows", "kinds", "confidence", "decisions", "is_stale", "is_absent"):
        np.testing.assert_array_equal(getattr(of_batch, name), getattr(of_rows, name))
    names = [*of_rows.signals.trust_names(), "feature_0", "absent"]
    expected = signal_matrix([signals_of(part.label) for _, part in open_parts(rows)], names)
    for signals in (of_batch.signals, of_rows.signals):
        np.testing.assert_array_equal(signals.matrix(names), expected)
        np.testing.assert_array_equal(signals.features(), of_rows.signals.features())
        for place, (_, part) in enumerate(open_parts(rows)):
            assert signals.of_label(place) == signals_of(part.label)


@settings(max_examples=25, deadline=None)
@given(ROWS, SETTINGS, st.booleans(), st.booleans())
def test_a_routed_batch_is_that_of_the_routed_rows(
    rows: list[ImageRow], chosen: RoutingSettings, forced: bool, is_calibrated: bool
) -> None:
    rows, batch = stored(rows), rows_to_batch(rows)
    router = Router(RoutingSettings(), calibration() if is_calibrated else None, KINDS, forced=forced)
    router.settings, router.acceptances = chosen, RULES if chosen.max_error is not None else {}
    plan, plan_of_rows = ReviewPlan(router), ReviewPlan(router)
    plan.add(RoutedBatch(batch, router).labels)
    expected = [row.model_copy(deep=True) for row in rows]
    router.score_rows(expected)
    assert stored(expected) == list(table_to_rows(RoutedBatch(batch, router).scored().batch))
    for row in expected:
        plan_of_rows.add_rows([row])
    reviewed = plan_of_rows.choose() if chosen.review_budget is not None else None
    assert reviewed is None or reviewed == plan.choose()
    router.decide_rows(expected, reviewed)
    routed = RoutedBatch(batch, router).decided(reviewed)
    assert routed.batch.equals(rows_to_batch(expected))
    assert routed.is_changed == (rows != expected)


def test_the_first_coordinates_of_a_feature_count_by_their_numbers() -> None:
    row = make_row(0, 1)
    row.groundings = []
    row.regions[0].labels[0].signals = [
        Signal(name=f"feature_{number}", value=number) for number in (9, 2, 10, 1, 4, 3, 5, 6, 7, 8)
    ]
    features = labels_of_rows([row], open_parts([row])).signals.features()
    assert features.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]


@pytest.mark.parametrize("budget", [None, 5])
def test_a_routed_dataset_holds_the_routed_rows(tmp_path: Path, budget: int | None) -> None:
    rows = [make_row(seed, seed % 4, embed=seed % 2 == 0) for seed in range(8)]
    for row in rows[3:]:
        row.counts, row.answers = [make_count(row.regions)], [make_answer()]
    make_dataset(tmp_path / "d", rows, rows_a_shard=3)
    write_calibration(calibration(), str(tmp_path / "calibration.json"))
    chosen = RoutingSettings(max_error=0.4, audit=0.5, review_budget=budget)
    arguments = (chosen, str(tmp_path / "calibration.json"), True)
    _check_routed(str(tmp_path / "d"), tmp_path / "once", *arguments)
    manifest = _check_routed(str(tmp_path / "once"), tmp_path / "twice", *arguments)
    for file in manifest.files:
        assert (tmp_path / "once" / file.path).read_bytes() == (tmp_path / "twice" / file.path).read_bytes()


def test_an_older_dataset_is_routed_in_the_columns_of_today(tmp_path: Path) -> None:
    _check_routed(VERSION_1, tmp_path / "out", RoutingSettings(audit=0.5, review_budget=3), None, False)


def _check_routed(
    address: str, out: Path, chosen: RoutingSettings, calibration_file: str | None, force: bool
) -> Manifest:
    """Route a dataset, and compare its files with those of its rows routed one by one."""
    manifest, _ = route_dataset(address, str(out), chosen, calibration_file, force)
    dataset = open_dataset(address)
    router = Router(chosen, calibration() if calibration_file else None, KINDS, forced=force)
    of_files = [list(dataset.rows_of(file)) for file in dataset.data_files()]
    plan = ReviewPlan(router)
    for rows in of_files:
        router.score_rows(rows)
        plan.add_rows(rows)
    reviewed = plan.choose() if chosen.review_budget is not None else None
    for rows, file in zip(of_files, dataset.data_files(), strict=True):
        router.decide_rows(rows, reviewed)
        assert (out / file.path).read_bytes() == encode_rows(rows)
    assert manifest.counts == count_rows(row for rows in of_files for row in rows)
    return manifest
