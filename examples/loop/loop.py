"""Label, review, learn, label again: one run of the loop on real images, by public commands only.

    .venv/bin/python examples/loop/loop.py CORPUS OUT [--seed 0] [--selection routing] [--reviewer file]

Starts from `fo1-tiny`. Each round: label the pool and the other parts; calibrate on the part that was named
beforehand; merge what people said so far; route; ask the reviewer, who answers from the gold (by a file of
corrections, or in a real Label Studio through its own API); merge; publish what is settled; train on it.
Run again it goes on where it stopped. Figures: `rounds.json` in the run's folder, written after each round.
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
from commands import StepError, Steps
from split import prepare

HERE = Path(__file__).parent


class Loop:
    """One run: a seed and a way to select, in a folder of its own; what all runs of a seed share is apart."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self.settings = settings
        shared = settings.out / f"seed-{settings.seed}"
        self.folder: Path = shared / f"{settings.selection}-{settings.reviewer}"
        self.shared = Steps(shared / "start", _say)
        self.steps = Steps(self.folder, _say)
        self.data: Path = shared / "start"
        self.said: list[dict[str, Any]] = []
        self.rounds: list[dict[str, Any]] = []

    def run(self) -> None:
        """All rounds, then the figures of the last model."""
        chosen = self.settings
        parts = (chosen.seed, chosen.check, chosen.pool, chosen.shrink)
        told = self.shared.once(
            "split",
            lambda: prepare(chosen.corpus, self.data, *parts),
            asked=[str(chosen.corpus.resolve()), *parts],
        )
        self.gold = {part: answers.Gold(self.data / "gold" / part) for part in ("pool", "held")}
        proposals = self._proposals()
        for number in range(chosen.rounds + 1):
            steps = self.steps if number else self.shared
            figures_of = self._round(number, steps, last=number == chosen.rounds)
            self.rounds.append(figures_of)
            self._write({"split": told, "proposals": proposals})

    def _round(self, number: int, labelling: Steps, last: bool) -> dict[str, Any]:
        model = "fo1-tiny" if number == 0 else str(self.folder / f"model-{number}")
        before = len(self.said)
        calibration = self._label_and_calibrate(number, labelling, model)
        found: dict[str, Any] = {
            "round": number,
            "answers_so_far": before,
            "held": self._held(number, labelling),
        }
        pool = labelling.folder / f"pool-{number}"
        if self.said:
            pool = self._merged(f"known-{number}", pool, answers.restated(self.said))
        routed = self.folder / f"routed-{number}"
        budget = ["--review-budget", self.settings.budget] if self.settings.selection == "routing" else []
        self.steps.run(f"route-{number}", "route", pool, "--calibration", calibration, *self._promise(),
                       *budget, "--seed", self.settings.seed, out=routed)  # fmt: skip
        boxes = answers.named_boxes(routed, self.gold["pool"])
        seen = sum(one.by_person for one in boxes)
        asked = answers.select(
            boxes, self.settings.selection, self.settings.budget, self.settings.seed + number
        )
        keys = {one.region_id for one in asked}
        found["pool"] = {
            "naming": figures.naming([one for one in boxes if not one.by_person]),
            "acceptance": figures.acceptance([one for one in boxes if one.region_id not in keys]),
            "seen_before": seen,
        }
        if last:
            return found
        told, corrections = self._reviewed(number, routed, asked, boxes)
        self.said += told
        changed = sum(one["action"] == "recaptioned" for one in told)
        found["people"] = figures.asked_of_people(asked, changed)
        found["people"]["share"] = figures.share(len(asked), len(boxes))
        self._learn(number, routed, corrections, model)
        return found

    def _label_and_calibrate(self, number: int, steps: Steps, model: str) -> Path:
        for part in ("pool", "check", "held"):
            labels = "brief_caption,ground" if part == "held" else "brief_caption"
            # All of a part is there to learn from, or to measure on.
            steps.run(f"label-{part}-{number}", "label", self.data / part, "--proposals", "corpus",
                      "--validation-share", 0, "--test-share", 0,
                      "--model", model, "--labels", labels, "--second-questions", "none",
                      "--address", "in-process", out=steps.folder / f"{part}-{number}")  # fmt: skip
        calibration = steps.folder / f"calibration-{number}.json"
        steps.run(f"calibrate-{number}", "calibrate", steps.folder / f"check-{number}",
                  "--gold", self.data / "gold" / "check", out=calibration)  # fmt: skip
        return calibration

    def _held(self, number: int, steps: Steps) -> dict[str, Any]:
        """Figures on the held-out part: routed by the same promise, measured against its gold."""
        dataset, routed = steps.folder / f"held-{number}", steps.folder / f"held-routed-{number}"
        calibration = steps.folder / f"calibration-{number}.json"
        steps.run(
            f"route-held-{number}",
            "route",
            dataset,
            "--calibration",
            calibration,
            *self._promise(),
            out=routed,
        )
        scores = steps.run(f"evaluate-{number}", "evaluate", routed, "--gold", self.data / "gold" / "held")
        boxes = answers.named_boxes(routed, self.gold["held"])
        return {
            "naming": figures.naming(boxes),
            "acceptance": figures.acceptance(boxes),
            "grounding_f1": scores["groundings"]["f1"],
            "absent_rejected": scores["groundings"]["absent_rejected"],
        }

    def _promise(self) -> list[str | float]:
        chosen = self.settings
        return ["--max-error", chosen.max_error, "--confidence-level", chosen.confidence_level]

    def _merged(self, name: str, dataset: Path, told: list[dict[str, Any]]) -> Path:
        lines = self.folder / f"{name}.jsonl"
        answers.write_lines(lines, told)
        self.steps.run(
            f"merge-{name}", "dataset", "merge", dataset, "--corrections", lines, out=self.folder / name
        )
        return self.folder / name

    def _reviewed(
        self, number: int, routed: Path, asked: list[answers.Named], boxes: list[answers.Named]
    ) -> tuple[list[dict[str, Any]], str | Path]:
        """What people say of the captions they are asked about, and what `merge` takes it from."""
        lines = self.folder / f"said-{number}.jsonl"
        if self.settings.reviewer == "file":
            answers.write_lines(lines, answers.corrections(asked, number))
            return answers.read_lines(lines), lines
        review = self.steps.run(f"push-{number}", "review", "push", routed, "--asked-only")
        reviewer = label_studio.Reviewer({one.region_id: one.gold for one in boxes})
        self.steps.once(f"annotate-{number}", lambda: reviewer.annotate(review["project_id"]))
        self.steps.run(f"pull-{number}", "review", "pull", routed)
        told = self.steps.once(f"said-{number}", lambda: {"said": label_studio.corrections_of(review["id"])})
        if {one["region_id"] for one in told["said"]} != {one.region_id for one in asked}:
            raise StepError(f"{routed}: what came back is not about the {len(asked)} captions asked about")
        said: list[dict[str, Any]] = told["said"]
        return said, "service"

    def _learn(self, number: int, routed: Path, corrections: str | Path, model: str) -> None:
        """Merge, publish what is settled, and train the last model on it."""
        reviewed, published = self.folder / f"reviewed-{number}", self.folder / f"published-{number}"
        self.steps.run(
            f"merge-{number}", "dataset", "merge", routed, "--corrections", corrections, out=reviewed
        )
        self.steps.run(
            f"publish-{number}", "dataset", "publish", reviewed, "--only", "accepted", out=published
        )
        self.steps.run(f"train-{number}", "train", published, "--stage", 2, "--model", model, "--config",
                       self.settings.training, "--steps", self.settings.steps,
                       out=self.folder / f"model-{number + 1}")  # fmt: skip

    def _proposals(self) -> dict[str, Any]:
        """How many of the held-out boxes the bundled detector finds: it is not trained."""
        dataset = self.shared.folder / "held-detected"
        self.shared.run("label-detected", "label", self.data / "held", "--proposals", "fo1-tiny",
                        "--labels", "brief_caption", "--second-questions", "none",
                        "--address", "in-process", out=dataset)  # fmt: skip
        gold = self.data / "gold" / "held"
        return dict(self.shared.run("evaluate-detected", "evaluate", dataset, "--gold", gold)["proposals"])

    def _write(self, more: dict[str, Any]) -> None:
        chosen = {
            key: str(value) if isinstance(value, Path) else value
            for key, value in vars(self.settings).items()
        }
        seconds = {"run": self.steps.seconds(), "shared": self.shared.seconds()}
        document = {"settings": chosen, **more, "seconds": seconds, "rounds": self.rounds}
        (self.folder / "rounds.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """The options of a run."""
    found = argparse.ArgumentParser(description="One run of the loop on real images.")
    found.add_argument("corpus", type=Path, help="folder with an annotations.jsonl whose boxes have labels")
    found.add_argument("out", type=Path)
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--selection", choices=["routing", "random", "least-confident"], default="routing")
    found.add_argument("--reviewer", choices=["file", "label-studio"], default="file")
    found.add_argument("--rounds", type=int, default=4)
    found.add_argument("--budget", type=int, default=24, help="captions people are asked about in a round")
    found.add_argument("--pool", type=int, default=100, help="images to label, review and learn from")
    found.add_argument("--check", type=int, default=80, help="images named beforehand, to calibrate on")
    found.add_argument("--steps", type=int, default=120, help="training steps of a round")
    found.add_argument("--training", type=Path, default=HERE / "train.toml")
    found.add_argument("--max-error", type=float, default=0.1)
    found.add_argument("--confidence-level", type=float, default=0.9)
    found.add_argument("--shrink", type=int, default=3, help="images are made so many times smaller")
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run; a command that fails ends it with the command's own words."""
    settings = parser().parse_args()
    missing = [name for name in label_studio.NEEDED if name not in os.environ]
    if settings.reviewer == "label-studio" and missing:
        sys.exit(f"{', '.join(missing)}: export what make label-studio and make serve print")
    try:
        Loop(settings).run()
    except (StepError, httpx.HTTPError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
