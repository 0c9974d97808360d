"""Whether a calibration is of the labels it is to be used on: the same model, proposer and questions.

Signals of another checkpoint, other boxes or another wording mean something else: a confidence from them
would be made up, and a guarantee void.
"""

from dataclasses import dataclass

from fo1_data.errors import CalibrationError
from schemas.calibration import Calibration
from schemas.dataset import Manifest
from schemas.images import ImageRow


@dataclass(frozen=True)
class Labelled:
    """Who labelled, as far as it is known; None is compared with nothing."""

    model_sha256: str | None = None
    proposer: str | None = None
    proposer_sha256: str | None = None
    prompts_version: str | None = None


def labelled_by(manifest: Manifest) -> Labelled:
    """Who labelled a finished dataset."""
    known = manifest.fingerprint_entries or {}

    def told(name: str) -> str | None:
        value = known.get(name)
        return value if isinstance(value, str) else None

    return Labelled(
        model_sha256=manifest.model.sha256 if manifest.model else told("model_sha256"),
        proposer=manifest.proposer,
        proposer_sha256=told("proposer_sha256"),
        prompts_version=told("prompts_version"),
    )


def mismatches(calibration: Calibration, labelled: Labelled) -> list[str]:
    """What differs, one phrase each; empty where the calibration fits."""
    names = {
        "model_sha256": "model",
        "proposer": "proposer",
        "proposer_sha256": "proposer's weights",
        "prompts_version": "wording of the questions",
    }
    found = []
    for field, name in names.items():
        made_for, used_on = getattr(calibration, field), getattr(labelled, field)
        if made_for is not None and used_on is not None and made_for != used_on:
            found.append(f"{name} {made_for[:16]} -> {used_on[:16]}")
    return found


def check_match(calibration: Calibration, labelled: Labelled, force: bool = False) -> str | None:
    """None where the calibration fits. Else CalibrationError, or with `force` a warning to be shown."""
    differing = mismatches(calibration, labelled)
    if not differing:
        return None
    told = f"the calibration was made for other labels ({'; '.join(differing)})"
    if not force:
        raise CalibrationError(f"{told}: run fo1 calibrate on labels of this run, or take --force")
    return f"{told}: confidences may be wrong, and no error is guaranteed"


def covers(calibration: Calibration, row: ImageRow) -> bool:
    """Whether a row was labelled by the model, proposer and questions of the calibration, as far as it says.

    A calibration that names no model, or no wording, covers no row that names one.
    """
    known = row.provenance
    named = [
        (calibration.model_sha256, known.model_sha256),
        (calibration.prompts_version, known.prompts_version),
    ]
    if any(made_for is None and used_on is not None for made_for, used_on in named):
        return False
    labelled = Labelled(known.model_sha256, known.proposer, prompts_version=known.prompts_version)
    return not mismatches(calibration, labelled)
