"""The history of benchmark figures: entries survive their file, and only like is compared with like."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fo1_data.benchmarks.history import (
    HistoryEntry,
    Machine,
    append_entry,
    compare,
    load_history,
    make_entry,
    this_machine,
)
from fo1_data.cli.main import app
from fo1_data.errors import ConfigError

MACHINE = Machine(cpu="a CPU", cores=2, memory_gib=8, gpu=None, torch="2.8.0")


def entry(rate: float, at: int, **fields: object) -> HistoryEntry:
    defaults: dict[str, object] = {
        "form": "engine",
        "settings": {"images": 4},
        "figures": {"ratio": 2.0, "engine": {"regions_per_s": rate}, "answers_equal": True, "kinds": ["ocr"]},
        "at": f"2026-01-{at:02d}T00:00:00Z",
        "commit": f"{at:012x}",
        "machine": MACHINE,
    }
    return HistoryEntry.model_validate(defaults | fields)


def test_entries_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "made" / "history.jsonl"
    entries = [entry(1.0, 1), make_entry("reader", {"count": 16}, {"rows_per_s": {"fo1": 3.5}}, None)]
    for written in entries:
        append_entry(path, written)
    assert load_history(path) == entries
    assert entries[1].machine == this_machine()
    assert this_machine().cores >= 1
    assert this_machine().torch


def test_the_last_two_comparable_runs_are_compared_figure_by_figure() -> None:
    newer_torch = MACHINE.model_copy(update={"torch": "2.9.0"})
    (comparison,) = compare([entry(9.0, 1), entry(2.0, 2), entry(3.0, 3, machine=newer_torch)])
    assert (comparison.before.at, comparison.after.at) == ("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")
    assert set(comparison.figures) == {"ratio", "engine.regions_per_s"}
    assert comparison.figures["engine.regions_per_s"].ratio == 1.5
    assert comparison.figures["ratio"].ratio == 1.0


@pytest.mark.parametrize(
    "other",
    [
        {"form": "reader"},
        {"settings": {"images": 16}},
        {"machine": MACHINE.model_copy(update={"gpu": "a GPU"})},
        {"machine": MACHINE.model_copy(update={"cores": 4})},
    ],
)
def test_another_form_setting_or_machine_is_not_compared(other: dict[str, object]) -> None:
    assert compare([entry(1.0, 1, **other), entry(2.0, 2)]) == []
    comparisons = compare([entry(1.0, 1), entry(1.0, 2, **other), entry(2.0, 3)])
    assert [(comparison.before.at[8:10], comparison.after.at[8:10]) for comparison in comparisons] == [
        ("01", "03")
    ]


@pytest.mark.parametrize(
    ("name", "after", "times_worse"),
    [
        ("regions_per_s", 5.0, 2.0),
        ("ratio_shared_prefix", 20.0, 0.5),
        ("encode_s", 20.0, 2.0),
        ("us_at_16", 5.0, 0.5),
        ("listing_bytes", 20.0, 2.0),
        ("threads", 20.0, None),
    ],
)
def test_the_name_of_a_figure_tells_what_is_worse(name: str, after: float, times_worse: float | None) -> None:
    (comparison,) = compare([entry(1, 1, figures={name: 10.0}), entry(1, 2, figures={name: after})])
    assert comparison.figures[name].times_worse == times_worse


def test_a_comparison_names_what_is_worse_than_the_tolerance(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    for written in (entry(10.0, 1), entry(8.0, 2)):
        append_entry(history, written)
    arguments = ["bench", "--compare", str(history), "--strict", "--tolerance"]
    strict, lax = (CliRunner().invoke(app, [*arguments, share]) for share in ("0.2", "0.3"))
    assert strict.exit_code == 1
    assert "worse by more than 20%:\n  engine engine.regions_per_s: 10 -> 8, ratio 0.800\n" in strict.stdout
    assert lax.exit_code == 0
    assert "nothing is worse by more than 30%" in lax.stdout


def test_a_figure_that_was_zero_has_no_ratio() -> None:
    (comparison,) = compare([entry(0.0, 1), entry(2.0, 2)])
    assert comparison.figures["engine.regions_per_s"].ratio is None


@pytest.mark.parametrize("content", ["not JSON\n", '{"form": "engine"}\n', "[]\n"])
def test_a_file_that_is_not_a_history_is_an_error_of_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not a history") as caught:
        load_history(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_history(tmp_path / "none.jsonl")


def test_bench_appends_to_the_history_and_compares_it(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    options = [
        "--images",
        "1",
        "--loop-images",
        "1",
        "--regions",
        "2",
        "--max-new-tokens",
        "4",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    for _ in range(2):
        arguments = ["bench", "engine", *options, "--history", str(history), "--json"]
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert load_history(history)[1].figures == json.loads(done.stdout)
    assert load_history(history)[0].settings["regions"] == 2
    compared = CliRunner().invoke(app, ["bench", "--compare", str(history), "--json"], catch_exceptions=False)
    (comparison,) = json.loads(compared.stdout)["comparisons"]
    assert comparison["figures"]["engine.regions_per_s"]["ratio"] > 0
    text = CliRunner().invoke(app, ["bench", "--compare", str(history)], catch_exceptions=False).stdout
    assert "engine.regions_per_s" in text
    assert "loop.regions_per_s" in text
