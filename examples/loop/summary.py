"""Summarises the runs of a folder: a JSON document, and tables in Markdown.

    .venv/bin/python examples/loop/summary.py OUT [--aim 0.95]

Reads every `seed-*/SELECTION-REVIEWER/rounds.json`, writes `OUT/summary.json` and prints the tables. Figures
are means over seeds, with the lowest and the highest value.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from figures import answers_to_reach, spread

ROUND_FIGURES: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "answers": lambda round_: round_["answers_so_far"],
    "right": lambda round_: round_["held"]["naming"]["right"],
    "grounding_f1": lambda round_: round_["held"]["grounding_f1"],
    "held_accepted_share": lambda round_: round_["held"]["acceptance"]["accepted_share"],
    "held_accepted_error": lambda round_: round_["held"]["acceptance"]["accepted_error"],
    "pool_accepted_share": lambda round_: round_["pool"]["acceptance"]["accepted_share"],
    "pool_accepted_error": lambda round_: round_["pool"]["acceptance"]["accepted_error"],
    "share_to_people": lambda round_: round_["people"]["share"] if "people" in round_ else None,
    "changed": lambda round_: round_["people"]["changed"] if "people" in round_ else None,
}


def load_runs(out: Path) -> list[dict[str, Any]]:
    """The documents of all runs, each with its `name`."""
    runs = []
    for path in sorted(out.glob("seed-*/*/rounds.json")):
        document = json.loads(path.read_text("utf-8"))
        runs.append({**document, "name": f"{path.parent.parent.name} {path.parent.name}"})
    return runs


def summarise(runs: Sequence[dict[str, Any]], aim: float) -> dict[str, Any]:
    """By selection: the figures of each round over the seeds, and the number of answers to reach `aim`.

    `acceptance`: the errors of accepted labels that are above the guaranteed bound.
    """
    document: dict[str, Any] = {"aim": aim, "selections": {}}
    for selection in dict.fromkeys(run["settings"]["selection"] for run in runs):
        selected = [run for run in runs if run["settings"]["selection"] == selection]
        by_round = []
        for number in range(max(len(run["rounds"]) for run in selected)):
            rounds = [run["rounds"][number] for run in selected if number < len(run["rounds"])]
            figures = {name: spread([of(round_) for round_ in rounds]) for name, of in ROUND_FIGURES.items()}
            by_round.append({**figures, "seeds": len(rounds)})
        reached = {run["name"]: answers_to_reach(aim, run["rounds"]) for run in selected}
        document["selections"][selection] = {"rounds": by_round, "answers_to_aim": reached}
    errors = [
        (run["name"], round_["round"], part, round_[part]["acceptance"]["accepted_error"])
        for run in runs
        for round_ in run["rounds"]
        for part in ("pool", "held")
        if round_[part]["acceptance"]["accepted_error"] is not None
    ]
    bound = max((run["settings"]["max_error"] for run in runs), default=None)
    above = [entry for entry in errors if bound is not None and entry[3] > bound]
    document["acceptance"] = {"bound": bound, "measured": len(errors), "above": above}
    return document


def tables(summary: dict[str, Any]) -> str:
    """The summary as Markdown."""
    lines = []
    for selection, results in summary["selections"].items():
        lines += [f"**{selection}**", "", f"| round | {' | '.join(ROUND_FIGURES)} | seeds |"]
        lines.append("|" + " --- |" * (len(ROUND_FIGURES) + 2))
        for number, figures in enumerate(results["rounds"]):
            cells = [_cell(figures[name]) for name in ROUND_FIGURES]
            lines.append(f"| {number} | {' | '.join(cells)} | {figures['seeds']} |")
        lines += ["", f"answers until {summary['aim']}: {results['answers_to_aim']}", ""]
    lines.append(f"accepted error: {summary['acceptance']}")
    return "\n".join(lines)


def _cell(value: dict[str, float] | None) -> str:
    """The mean, with the span if the seeds differ."""
    if value is None:
        return "-"
    mean = f"{value['mean']:.3f}".rstrip("0").rstrip(".") if value["mean"] % 1 else f"{value['mean']:.0f}"
    return mean if value["least"] == value["most"] else f"{mean} [{value['least']:.3g}, {value['most']:.3g}]"


def main() -> None:
    """Read the runs, write the summary and print the tables."""
    parser = argparse.ArgumentParser(description="Tables of the loop's runs.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--aim", type=float, default=0.95)
    arguments = parser.parse_args()
    summary = summarise(load_runs(arguments.out), arguments.aim)
    (arguments.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(tables(summary))


if __name__ == "__main__":
    main()
