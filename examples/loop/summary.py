"""What the runs of a folder say together: tables for people, one document for programs.

    .venv/bin/python examples/loop/summary.py OUT [--aim 0.95]

Reads every `seed-*/SELECTION-REVIEWER/rounds.json`; writes `OUT/summary.json` and prints tables in Markdown.
Figures are means over seeds, with the least and the most.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from figures import needed, spread

ROUND_FIGURES: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "answers": lambda one: one["answers_so_far"],
    "right": lambda one: one["held"]["naming"]["right"],
    "grounding_f1": lambda one: one["held"]["grounding_f1"],
    "held_accepted_share": lambda one: one["held"]["acceptance"]["accepted_share"],
    "held_accepted_error": lambda one: one["held"]["acceptance"]["accepted_error"],
    "pool_accepted_share": lambda one: one["pool"]["acceptance"]["accepted_share"],
    "pool_accepted_error": lambda one: one["pool"]["acceptance"]["accepted_error"],
    "share_to_people": lambda one: one["people"]["share"] if "people" in one else None,
    "changed": lambda one: one["people"]["changed"] if "people" in one else None,
}


def read_runs(out: Path) -> list[dict[str, Any]]:
    """The documents of all runs, each with its `name`."""
    found = []
    for path in sorted(out.glob("seed-*/*/rounds.json")):
        document = json.loads(path.read_text("utf-8"))
        found.append({**document, "name": f"{path.parent.parent.name} {path.parent.name}"})
    return found


def summarise(runs: Sequence[dict[str, Any]], aim: float) -> dict[str, Any]:
    """By selection: each round's figures over the seeds, and the answers needed to reach the aim."""
    found: dict[str, Any] = {"aim": aim, "selections": {}}
    for selection in dict.fromkeys(run["settings"]["selection"] for run in runs):
        of_it = [run for run in runs if run["settings"]["selection"] == selection]
        longest = max(len(run["rounds"]) for run in of_it)
        by_round = []
        for number in range(longest):
            there = [run["rounds"][number] for run in of_it if number < len(run["rounds"])]
            figures = {name: spread([of(one) for one in there]) for name, of in ROUND_FIGURES.items()}
            by_round.append({**figures, "seeds": len(there)})
        reached = {run["name"]: needed(run["rounds"], aim) for run in of_it}
        found["selections"][selection] = {"rounds": by_round, "answers_to_aim": reached}
    errors = [
        (run["name"], one["round"], part, one[part]["acceptance"]["accepted_error"])
        for run in runs
        for one in run["rounds"]
        for part in ("pool", "held")
        if one[part]["acceptance"]["accepted_error"] is not None
    ]
    bound = max((run["settings"]["max_error"] for run in runs), default=None)
    above = [one for one in errors if bound is not None and one[3] > bound]
    found["acceptance"] = {"bound": bound, "measured": len(errors), "above": above}
    return found


def tables(summary: dict[str, Any]) -> str:
    """The summary as Markdown."""
    lines = []
    for selection, one in summary["selections"].items():
        lines += [f"**{selection}**", "", f"| round | {' | '.join(ROUND_FIGURES)} | seeds |"]
        lines.append("|" + " --- |" * (len(ROUND_FIGURES) + 2))
        for number, figures in enumerate(one["rounds"]):
            cells = [told(figures[name]) for name in ROUND_FIGURES]
            lines.append(f"| {number} | {' | '.join(cells)} | {figures['seeds']} |")
        lines += ["", f"answers until {summary['aim']}: {one['answers_to_aim']}", ""]
    lines.append(f"accepted error: {summary['acceptance']}")
    return "\n".join(lines)


def told(value: dict[str, float] | None) -> str:
    """Mean, and the span where the seeds differ."""
    if value is None:
        return "-"
    mean = f"{value['mean']:.3f}".rstrip("0").rstrip(".") if value["mean"] % 1 else f"{value['mean']:.0f}"
    return mean if value["least"] == value["most"] else f"{mean} [{value['least']:.3g}, {value['most']:.3g}]"


def main() -> None:
    """Read, write, print."""
    parser = argparse.ArgumentParser(description="Tables of the loop's runs.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--aim", type=float, default=0.95)
    given = parser.parse_args()
    summary = summarise(read_runs(given.out), given.aim)
    (given.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(tables(summary))


if __name__ == "__main__":
    main()
