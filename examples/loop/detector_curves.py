"""Draws what the detector learned. Needs matplotlib, which this project does not install.

python examples/loop/detector_curves.py FIGURES.json picture.png [--title TEXT]

FIGURES.json is what `detector.py` prints.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

COLOUR = "#0b6e99"


def draw(rounds: list[dict[str, Any]], picture: Path, title: str) -> None:
    """Two panels of held-out figures against the number of images whose boxes the detector has learned."""
    figure, (found, given) = pyplot.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    images = [round_["images"] for round_ in rounds]
    for name, caption, dash in (("recall", "IoU 0.5", "-"), ("recall_75", "IoU 0.75", "--")):
        shares = [round_[name] for round_ in rounds]
        found.plot(images, shares, dash, marker="o", color=COLOUR, label=caption, markersize=5)
    found.set_title("share of the boxes found, held out", fontsize=10)
    found.set_ylim(0, 1.02)
    found.legend(frameon=False, loc="lower right")
    shares = [round_["precision"] for round_ in rounds]
    given.plot(images, shares, "-", marker="o", color=COLOUR, markersize=5)
    given.set_title("share of its boxes that are right, held out", fontsize=10)
    given.set_ylim(0, 1.02)
    for axis in (found, given):
        axis.set_xlabel("images with all boxes drawn")
        axis.grid(alpha=0.25)
    figure.suptitle(title, fontsize=11)
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Read the figures and draw them."""
    parser = argparse.ArgumentParser(description="Curves of the detector in the loop.")
    parser.add_argument("figures", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--title", default="The detector, trained on the boxes of more images in each round")
    arguments = parser.parse_args()
    draw(json.loads(arguments.figures.read_text("utf-8")), arguments.picture, arguments.title)


if __name__ == "__main__":
    main()
