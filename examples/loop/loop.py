"""Label, review, learn, label again: one run of the loop on real images, by public commands only.

    .venv/bin/python examples/loop/loop.py CORPUS OUT [--seed 0] [--selection routing] [--reviewer file]

Starts from `fo1-tiny`. Each round labels all parts, calibrates on the part that was named beforehand, merges
the corrections so far, routes, asks the reviewer, merges the answers, publishes the accepted labels and
trains on them. The reviewer answers from the gold, by a file of corrections or in a real Label Studio through
its own API. A second call continues a run where it stopped. After each round, the figures are written to
`rounds.json` in the run's folder.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import answers
import figures
import httpx
import label_studio
from detector import add_options, say, start
from steps import StepError, Steps

HERE = Path(__file__).parent


class LoopRun:
    """One run with a seed and a selection, in its own folder. The runs of a seed share the first steps."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self.settings = settings
        shared = settings.out / f"seed-{settings.seed}"
        self.folder: Path = shared / f"{settings.selection}-{settings.reviewer}"
        self.shared = Steps(shared / "start", say)
        self.steps = Steps(self.folder, say)
        self.data: Path = shared / "start"
        self.corrections: list[dict[str, Any]] = []
        self.rounds: list[dict[str, Any]] = []

    def run(self) -> None:
        """All rounds, then the figures of the last model."""
        settings = self.settings
        split, detected = start(settings, self.shared)
        self.gold = {part: answers.Gold(self.data / "gold" / part) for part in ("pool", "held")}
        for number in range(settings.rounds + 1):
            steps = self.steps if number else self.shared
            self.rounds.append(self._round(number, steps, last=number == settings.rounds))
            self._write({"split": split, "detector": detected})

    def _round(self, number: int, labelling: Steps, last: bool) -> dict[str, Any]:
        model = "fo1-tiny" if number == 0 else str(self._model(number))
        num_answers = len(self.corrections)
        calibration = self._label_and_calibrate(number, labelling, model)
        document: dict[str, Any] = {
            "round": number,
            "answers_so_far": num_answers,
            "held": self._held_out_figures(number, labelling),
        }
        pool = labelling.folder / f"pool-{number}"
        if self.corrections:
            pool = self._merged(f"known-{number}", pool, answers.restated(self.corrections))
        routed = self.folder / f"routed-{number}"
        budget = ["--review-budget", self.settings.budget] if self.settings.selection == "routing" else []
        self.steps.run(f"route-{number}", "route", pool, "--calibration", calibration, *self._guarantee(),
                       *budget, "--seed", self.settings.seed, out=routed)  # fmt: skip
        boxes = answers.captioned_boxes(routed, self.gold["pool"])
        selected = answers.select(
            boxes, self.settings.selection, self.settings.budget, self.settings.seed + number
        )
        selected_ids = {box.region_id for box in selected}
        document["pool"] = {
            "naming": figures.naming([box for box in boxes if not box.by_person]),
            "acceptance": figures.acceptance([box for box in boxes if box.region_id not in selected_ids]),
            "seen_before": sum(box.by_person for box in boxes),
        }
        if last:
            return document
        corrections, source = self._review(number, routed, selected, boxes)
        self.corrections += corrections
        changed = sum(correction["action"] == "recaptioned" for correction in corrections)
        document["people"] = figures.review_effort(selected, changed)
        document["people"]["share"] = figures.share(len(selected), len(boxes))
        self._learn(number, routed, source, model)
        return document

    def _label_and_calibrate(self, number: int, steps: Steps, model: str) -> Path:
        for part in ("pool", "check", "held"):
            labels = "brief_caption,ground" if part == "held" else "brief_caption"
            # No validation or test split: a whole part is used to learn from, or to measure on.
            steps.run(f"label-{part}-{number}", "label", self.data / part, "--proposals", "corpus",
                      "--validation-share", 0, "--test-share", 0,
                      "--model", model, "--labels", labels, "--second-questions", "none",
                      "--address", "in-process", out=steps.folder / f"{part}-{number}")  # fmt: skip
        calibration = steps.folder / f"calibration-{number}.json"
        steps.run(f"calibrate-{number}", "calibrate", steps.folder / f"check-{number}",
                  "--gold", self.data / "gold" / "check", out=calibration)  # fmt: skip
        return calibration

    def _held_out_figures(self, number: int, steps: Steps) -> dict[str, Any]:
        """Figures of the held-out part, routed with the same guarantee and measured against its gold."""
        dataset, routed = steps.folder / f"held-{number}", steps.folder / f"held-routed-{number}"
        calibration = steps.folder / f"calibration-{number}.json"
        steps.run(
            f"route-held-{number}",
            "route",
            dataset,
            "--calibration",
            calibration,
            *self._guarantee(),
            out=routed,
        )
        scores = steps.run(f"evaluate-{number}", "evaluate", routed, "--gold", self.data / "gold" / "held")
        boxes = answers.captioned_boxes(routed, self.gold["held"])
        return {
            "naming": figures.naming(boxes),
            "acceptance": figures.acceptance(boxes),
            "grounding_f1": scores["groundings"]["f1"],
            "absent_rejected": scores["groundings"]["absent_rejected"],
        }

    def _guarantee(self) -> list[str | float]:
        settings = self.settings
        return ["--max-error", settings.max_error, "--confidence-level", settings.confidence_level]

    def _merged(self, name: str, dataset: Path, corrections: list[dict[str, Any]]) -> Path:
        lines = self.folder / f"{name}.jsonl"
        answers.write_lines(lines, corrections)
        self.steps.run(
            f"merge-{name}", "dataset", "merge", dataset, "--corrections", lines, out=self.folder / name
        )
        return self.folder / name

    def _review(
        self,
        number: int,
        routed: Path,
        selected: list[answers.CaptionedBox],
        boxes: list[answers.CaptionedBox],
    ) -> tuple[list[dict[str, Any]], str | Path]:
        """The corrections for the selected captions, and the source of them that `merge` reads."""
        lines = self.folder / f"corrections-{number}.jsonl"
        if self.settings.reviewer == "file":
            answers.write_lines(lines, answers.corrections(selected, number))
            return answers.load_lines(lines), lines
        review = self.steps.run(f"push-{number}", "review", "push", routed, "--asked-only")
        reviewer = label_studio.Reviewer({box.region_id: box.gold_name for box in boxes})
        self.steps.once(f"annotate-{number}", lambda: reviewer.annotate(review["project_id"]))
        self.steps.run(f"pull-{number}", "review", "pull", routed)
        pulled = self.steps.once(
            f"corrections-{number}", lambda: {"corrections": label_studio.corrections_of(review["id"])}
        )
        corrections: list[dict[str, Any]] = pulled["corrections"]
        if {correction["region_id"] for correction in corrections} != {box.region_id for box in selected}:
            raise StepError(f"{routed}: the corrections are not about the {len(selected)} selected captions")
        return corrections, "service"

    def _learn(self, number: int, routed: Path, source: str | Path, model: str) -> None:
        """Merge the corrections, publish the accepted labels, and train the last model on them."""
        reviewed, published = self.folder / f"reviewed-{number}", self.folder / f"published-{number}"
        self.steps.run(f"merge-{number}", "dataset", "merge", routed, "--corrections", source, out=reviewed)
        self.steps.run(
            f"publish-{number}", "dataset", "publish", reviewed, "--only", "accepted", out=published
        )
        validation = ["--validation", self.data / "gold" / "tune"] if self.settings.tune else []
        self.steps.run(f"train-{number}", "train", published, "--stage", 2, "--model", model, "--config",
                       self.settings.training, "--steps", self.settings.steps, *validation,
                       out=self.folder / f"model-{number + 1}")  # fmt: skip

    def _model(self, number: int) -> Path:
        """The model that a round begins with: the best on the part to tune on, if there is such a part."""
        last = self.folder / f"model-{number}"
        return last / "best" if self.settings.tune else last

    def _write(self, shared: dict[str, Any]) -> None:
        settings = {
            key: str(value) if isinstance(value, Path) else value
            for key, value in vars(self.settings).items()
        }
        seconds = {"run": self.steps.seconds(), "shared": self.shared.seconds()}
        document = {"settings": settings, **shared, "seconds": seconds, "rounds": self.rounds}
        (self.folder / "rounds.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """The options of a run."""
    options = argparse.ArgumentParser(description="One run of the loop on real images.")
    add_options(options)
    options.add_argument("--selection", choices=["routing", "random", "least-confident"], default="routing")
    options.add_argument("--reviewer", choices=["file", "label-studio"], default="file")
    options.add_argument("--budget", type=int, default=24, help="captions to ask people about in a round")
    options.add_argument("--steps", type=int, default=120, help="training steps of a round")
    options.add_argument("--training", type=Path, default=HERE / "train.toml")
    options.add_argument("--max-error", type=float, default=0.1)
    options.add_argument("--confidence-level", type=float, default=0.9)
    return options


def main() -> None:
    """Run the loop. If a command fails, the program ends with that command's message."""
    settings = parser().parse_args()
    missing = [name for name in label_studio.REQUIRED_VARIABLES if name not in os.environ]
    if settings.reviewer == "label-studio" and missing:
        sys.exit(f"{', '.join(missing)}: export the values that make label-studio and make serve print")
    try:
        LoopRun(settings).run()
    except (StepError, httpx.HTTPError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
