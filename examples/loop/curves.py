"""Draws the curves of the loop's runs. Needs matplotlib, which this project does not install.

    python examples/loop/curves.py OUT picture.png [--title TEXT]

Lines are means over seeds; bands go from the lowest to the highest value.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from summary import ROUND_FIGURES, load_runs

# Colour, line style and marker of each selection.
STYLES = {
    "routing": ("#0b6e99", "-", "o"),
    "random": ("#c4571b", "--", "s"),
    "least-confident": ("#5b5b5b", ":", "^"),
}
PANELS = (
    ("right", "boxes named right, held out"),
    ("grounding_f1", "grounding F1, held out"),
    ("pool_accepted_share", "accepted of the unreviewed, training images"),
    ("pool_accepted_error", "error among the accepted, training images"),
)


def draw(runs: Sequence[dict[str, Any]], picture: Path, title: str) -> None:
    """Four panels of figures against the number of answers that people gave."""
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(15, 3.9), layout="constrained")
    for axis, (name, caption) in zip(axes, PANELS, strict=True):
        for selection, (colour, dash, mark) in STYLES.items():
            selected = [run for run in runs if run["settings"]["selection"] == selection]
            points = _points(selected, ROUND_FIGURES[name])
            if points:
                answers, low, mean, high = zip(*points, strict=True)
                axis.plot(answers, mean, dash, marker=mark, color=colour, label=selection, markersize=5)
                axis.fill_between(answers, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set_title(caption, fontsize=10)
        axis.set_xlabel("answers of people so far")
        axis.grid(alpha=0.25)
        axis.set_ylim(bottom=0)
    axes[0].axhline(0.95, color="#888888", linewidth=0.8)
    bound = max(run["settings"]["max_error"] for run in runs)
    axes[3].axhline(bound, color="#888888", linewidth=0.8)
    axes[3].set_ylim(0, bound * 1.3)
    axes[0].legend(frameon=False, loc="lower right")
    figure.suptitle(title, fontsize=11)
    figure.savefig(picture, dpi=110)


def _points(
    runs: Sequence[dict[str, Any]], figure: Callable[[dict[str, Any]], float | None]
) -> list[tuple[float, float, float, float]]:
    """(answers, lowest, mean, highest) of a figure, for each number of answers at which a run has it."""
    by_answers: dict[int, list[float]] = {}
    for run in runs:
        for round_ in run["rounds"]:
            value = figure(round_)
            if value is not None:
                by_answers.setdefault(round_["answers_so_far"], []).append(value)
    return [(answers, min(vs), sum(vs) / len(vs), max(vs)) for answers, vs in sorted(by_answers.items())]


def main() -> None:
    """Read the runs and draw them."""
    parser = argparse.ArgumentParser(description="Curves of the loop's runs.")
    parser.add_argument("out", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--title", default="The loop on real images: mean and span over seeds")
    arguments = parser.parse_args()
    draw(load_runs(arguments.out), arguments.picture, arguments.title)


if __name__ == "__main__":
    main()
