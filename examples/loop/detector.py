"""The detector in the loop: trained on the boxes of more images in each round, each time from the last one.

    .venv/bin/python examples/loop/detector.py CORPUS OUT [--seed 0] [--boxes 25] [options]

These are steps of `loop.py`, which finds them done. In the loop boxes are given, so its names do not depend
on them: they show what boxes that people draw are worth. The best weights are chosen on the images that were
named beforehand, and measured on the held-out part.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from split import prepare, take_boxes
from steps import StepError, Steps

BUNDLED = "fo1-tiny"


def start(settings: argparse.Namespace, steps: Steps) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Divide the corpus and train the detector; returns the split and the figures of the rounds."""
    parts = (settings.seed, settings.check, settings.pool, settings.shrink, settings.tune)
    split = steps.once(
        "split",
        lambda: prepare(settings.corpus, steps.folder, *parts),
        [str(settings.corpus.resolve()), *parts],
    )
    return split, detector_rounds(
        steps, steps.folder, settings.rounds, settings.boxes, settings.detector_steps
    )


def detector_rounds(
    steps: Steps, data: Path, num_rounds: int, images_a_round: int, training_steps: int
) -> list[dict[str, Any]]:
    """The held-out figures of the bundled detector and of each round's, with the images and boxes learned."""
    detector: str | Path = BUNDLED
    gold = data / "gold"
    rounds: list[dict[str, Any]] = []
    for number in range(1, num_rounds + 1 if images_a_round else 1):
        folder = steps.folder / f"detector-{number}"
        learned = steps.run(
            f"train-detector-{number}",
            *("train-detector", take_boxes(data, number * images_a_round), "--detector", detector),
            *("--validation", gold / "check", "--test", gold / "held"),
            *("--steps", training_steps, "--threads", 1),
            out=folder,
        )
        if not rounds:
            rounds.append({"round": 0, "images": 0, **learned["test_before"]})
        rounds.append({"round": number, "images": learned["images"], **learned["test"]})
        detector = folder
    return rounds


def add_options(options: argparse.ArgumentParser) -> None:
    """The options of the parts of a corpus and of the detector."""
    options.add_argument("corpus", type=Path, help="folder with an annotations.jsonl whose boxes have labels")
    options.add_argument("out", type=Path)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--pool", type=int, default=100, help="images to label, review and learn from")
    options.add_argument("--check", type=int, default=80, help="images named beforehand, to calibrate on")
    options.add_argument(
        "--tune", type=int, default=0, help="images named beforehand, to choose the best checkpoint by"
    )
    options.add_argument("--shrink", type=int, default=3, help="factor by which images are scaled down")
    options.add_argument(
        "--boxes", type=int, default=25, help="images a round to train the detector on; 0: do not"
    )
    options.add_argument("--detector-steps", type=int, default=100, help="its training steps of a round")


def say(line: str) -> None:
    """A line for the person who waits."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Train the detector and print its figures."""
    options = argparse.ArgumentParser(description="The detector in the loop.")
    add_options(options)
    settings = options.parse_args()
    try:
        _, rounds = start(settings, Steps(settings.out / f"seed-{settings.seed}" / "start", say))
    except StepError as error:
        sys.exit(str(error))
    print(json.dumps(rounds, indent=1))


if __name__ == "__main__":
    main()
