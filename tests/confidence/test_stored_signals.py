"""Signals read from a dataset when they are asked for are those that stand in the labels."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_labels import made_row, write_dataset, write_gold
from routed_labels import ROUTED_ROWS

from fo1_data.confidence.judged_kind import by_kind, own_signals
from fo1_data.confidence.stored_signals import StoredSignals
from fo1_data.corpus.readers import load_gold
from fo1_data.dataset.label_parts import label_parts
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.reader import open_dataset
from fo1_data.judging.correctness import judge_pairs
from fo1_data.judging.matching import pair_rows
from schemas.images import ImageRow

VERSION_1 = str(Path(__file__).parents[1] / "dataset/version_1")


@settings(max_examples=10, deadline=None)
@given(st.lists(ROUTED_ROWS, min_size=1, max_size=3, unique_by=lambda row: row.image_id), st.data())
def test_the_signals_of_labels_are_found(
    tmp_path_factory: pytest.TempPathFactory, rows: list[ImageRow], data: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("signals") / "d"
    write_dataset(out, rows, rows_per_shard=1)
    dataset = open_dataset(str(out))
    parts = [part for row in dataset.rows() for part in label_parts(row)]
    asked = data.draw(st.permutations(parts))[: data.draw(st.integers(0, len(parts)))]
    assert StoredSignals(dataset)(asked) == own_signals(asked)


def test_an_older_dataset_has_its_signals() -> None:
    dataset = open_dataset(VERSION_1)
    parts = [part for row in dataset.rows() for part in label_parts(row)]
    assert StoredSignals(dataset)(parts) == own_signals(parts)


def test_judged_light_rows_are_fitted_like_rows(tmp_path: Path) -> None:
    rows = [made_row(number) for number in range(12)]
    write_dataset(tmp_path / "d", rows)
    dataset = open_dataset(str(tmp_path / "d"))
    gold = load_gold(str(write_gold(tmp_path / "gold.jsonl", rows))).entries
    light, full = (
        judge_pairs(pair_rows(of_dataset, gold), "exact")
        for of_dataset in (light_rows(dataset, pixels=False), dataset.rows())
    )
    made, expected = by_kind(light, read_signals=StoredSignals(dataset)), by_kind(full)
    assert made.keys() == expected.keys()
    for kind, judged in expected.items():
        assert made[kind].tables == judged.tables
        assert made[kind].image_ids == judged.image_ids
        assert made[kind].right.tolist() == judged.right.tolist()
