"""The whole loop under faults: label, calibrate, route, push, review, pull, merge, train, label again.

The model is the bundled one, and every step is the command itself. Each result is compared with what the same
commands make undisturbed of the same corpus and the same corrections: rows, and the bytes of the weights.
"""

import random
from pathlib import Path

from commands import LABELLING, TRAINING, Commands
from injectors import Clock, small_disk
from ledger import Findings, check_labelled, check_rows, check_trained
from made_corpus import make_scenes
from record import Segment
from reviewing import merge, review
from studios import RealStudio

from fo1_data.confidence.review_cost import is_for_people
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from schemas.images import ImageRow

NUM_IMAGES = 12
DISK_KIB = 192 * 1024
ASKED = 12  # labels that people are asked about
STEPS = 8
_LABELS = ["--labels", "brief_caption,ground", "--proposals", "corpus", "--address", "in-process"]
_SHARDS = ["--shard-size", "5"]
_TRAINING = {
    "steps": STEPS, "batch_images": 2, "questions_per_image": 4, "warmup_steps": 0, "learning_rate": "1e-3",
    "threads": 1, "save_every": 2, "validate_every": 4, "measured_images": 2, "validation_share": 0.2,
}  # fmt: skip
# How many faults each step has at most.
LABELLING_FAULTS, VERSION_FAULTS, REVIEW_FAULTS, TRAINING_FAULTS = 14, 4, 24, 20


class WholeLoop:
    """Segments of the whole loop. `studio`: the real Label Studio; None: the fake."""

    def __init__(self, stop_s: float | None, clock: Clock, studio: RealStudio | None = None) -> None:
        self._stop_s, self._clock, self._studio = stop_s, clock, studio

    def run(self, segment: Segment, chance: random.Random, folder: Path, limit: int) -> None:
        """Go through the loop once under at most `limit` faults, and check each step."""
        corpus = make_scenes(folder / "corpus", chance, NUM_IMAGES)
        settings = folder / "training.toml"
        settings.write_text("".join(f"{name} = {value}\n" for name, value in _TRAINING.items()))
        with small_disk(folder / "disk", DISK_KIB) as disk:
            hurt = Commands(segment, chance, folder, self._stop_s, limit, self._clock, disk)
            calm = Commands(segment, chance, folder / "undisturbed")
            steps = _Steps(
                corpus, settings, disk or folder, folder / "undisturbed", hurt, calm, segment.findings
            )
            steps.label("labelled", "fo1-tiny")
            people = steps.route()
            self._clock.jump(0)
            wanted = min(limit, segment.num_injected + REVIEW_FAULTS)
            routed = steps.place / "routed"
            corrections = review(
                segment, chance, folder, routed, people, self._studio, self._stop_s, wanted, steps.findings
            )
            file = merge(hurt, str(routed), corrections, steps.place / "merged", set(people), steps.findings)
            steps.check_merged(file)
            steps.train()
            steps.label("again", str(steps.place / "trained"))
            self._clock.jump(0)


class _Steps:
    """The steps, in `place` under faults, and in `calm_place` without."""

    def __init__(
        self,
        corpus: Path,
        settings: Path,
        place: Path,
        calm_place: Path,
        hurt: Commands,
        calm: Commands,
        findings: Findings,
    ) -> None:
        self._corpus, self._settings, self.place, self._calm_place = corpus, settings, place, calm_place
        self._hurt, self._calm, self.findings = hurt, calm, findings
        calm_place.mkdir()

    def label(self, name: str, model: str) -> None:
        """Label the corpus; a model that was trained here is taken for both, as its weights are equal."""
        command = ["label", str(self._corpus), "--model", model, *_LABELS, *_SHARDS]
        out, calm_out = self.place / name, self._calm_place / name
        self._hurt.disturb("labelling", out, command, LABELLING_FAULTS, LABELLING)
        self._calm.disturb("labelling", calm_out, command, 0)
        self.findings.add(check_labelled(self._corpus, str(out), str(calm_out)))

    def route(self) -> dict[str, ImageRow]:
        """Calibrate by the gold of the corpus and route; returns the rows that people are asked about."""
        for place, commands in ((self.place, self._hurt), (self._calm_place, self._calm)):
            file, labelled = place / "calibration.json", str(place / "labelled")
            gold = str(self._corpus / "annotations.jsonl")
            commands.disturb("calibration", file, ["calibrate", labelled, "--gold", gold], VERSION_FAULTS)
            more = ["--calibration", str(file), "--review-budget", str(ASKED)]
            commands.disturb("routing", place / "routed", ["route", labelled, *more], VERSION_FAULTS)
        routed, calm = str(self.place / "routed"), str(self._calm_place / "routed")
        self.findings.invalid += validate_dataset(routed)
        check_rows(routed, calm, self.findings)
        rows = list(open_dataset(routed).rows())
        return {row.image_id: row for row in rows if _is_asked(row)}

    def check_merged(self, corrections: Path) -> None:
        """Compare with the corrections merged undisturbed."""
        command = ["dataset", "merge", str(self._calm_place / "routed"), "--corrections", str(corrections)]
        self._calm.disturb("merge", self._calm_place / "merged", command, 0)
        check_rows(str(self.place / "merged"), str(self._calm_place / "merged"), self.findings)

    def train(self) -> None:
        """Train on the corrected dataset."""
        command = ["train", str(self.place / "merged"), "--stage", "2", "--config", str(self._settings)]
        out, calm_out = self.place / "trained", self._calm_place / "trained"
        self._hurt.disturb("training", out, command, TRAINING_FAULTS, TRAINING)
        self._calm.disturb("training", calm_out, command, 0)
        check_trained(out, calm_out, self.findings)


def _is_asked(row: ImageRow) -> bool:
    parts = [*row.groundings, *row.counts, *row.answers]
    labels = [label for region in row.regions for label in region.labels] + [part.label for part in parts]
    return any(map(is_for_people, labels))
