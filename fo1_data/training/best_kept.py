"""The best checkpoint of a run, in `best/`, and the measurement that it was kept for. Imports no torch.

It may be newer than the state that a run resumes from, if the run was killed in between. It stays until a
measurement is better: the steps up to it are made again, but perhaps not all of them.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fo1_data.dataset.versions.lineage import LINEAGE
from fo1_data.errors import CheckpointError
from fo1_data.model.checksums import find_changed
from fo1_data.storage.json_text import parse_json
from fo1_data.training.events import SampleFigures
from fo1_data.training.layout import BEST, MEASURED

if TYPE_CHECKING:
    from fo1_data.training.trainer import Trainer


class Kept(NamedTuple):
    """The step after which a checkpoint was kept, and its figures on validation images."""

    step: int
    figures: SampleFigures


def load_kept(run: Path) -> Kept | None:
    """What is kept in a run's folder; None if nothing is, or nobody knows what."""
    try:
        record = parse_json((run / BEST / MEASURED).read_text("utf-8"))
        return Kept(record["step"], SampleFigures(**record["validation"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def refuse_damaged(run: Path) -> None:
    """Raise CheckpointError if what is kept is not as it was written."""
    if changed := find_changed(run / BEST):
        raise CheckpointError(
            f"{run / BEST} is damaged ({changed[0]} is not what was written): delete it, and the best of "
            "the measurements to come is kept"
        )


def forget_kept(run: Path) -> None:
    """Remove the record, before another checkpoint takes the place of the one that it is of."""
    (run / BEST / MEASURED).unlink(missing_ok=True)


def keep_best(run: Path, trainer: "Trainer", kept: Kept) -> None:
    """Keep a trainer's checkpoint, as it was measured; all workers must call it, the first one writes."""
    is_first = trainer.workers.is_first
    if is_first:
        forget_kept(run)
    trainer.save_checkpoint(run / BEST)
    if is_first:
        shutil.copyfile(run / LINEAGE, run / BEST / LINEAGE)
        (run / BEST / MEASURED).write_text(json.dumps(_record(kept)) + "\n", encoding="utf-8")


def best_line(run: Path, lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The best measurement of a run, as a line of its log: that of what is kept, else the best of the log."""
    validated = [line for line in lines if "validation" in line]
    kept = load_kept(run)
    if kept is None:
        return max(validated, key=lambda line: SampleFigures(**line["validation"]).score, default=None)
    record = _record(kept)
    return next((line for line in validated if record.items() <= line.items()), record)


def _record(kept: Kept) -> dict[str, Any]:
    return {"step": kept.step, "validation": kept.figures.document()}
