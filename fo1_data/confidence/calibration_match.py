"""Checks that a calibration fits the labels it is used on: the same model, proposer and questions.

Signals of another checkpoint, of other boxes or of another wording have another meaning: a confidence
computed from them would be wrong, and a guarantee void.
"""

from dataclasses import dataclass

from fo1_data.errors import CalibrationError
from schemas.calibration import Calibration
from schemas.dataset import Manifest
from schemas.images import Provenance


@dataclass(frozen=True)
class LabelOrigin:
    """What made the labels: model, proposer and wording. A None field is not compared."""

    model_sha256: str | None = None
    proposer: str | None = None
    proposer_sha256: str | None = None
    prompts_version: str | None = None


def origin_of(manifest: Manifest) -> LabelOrigin:
    """The origin of a finished dataset's labels."""
    entries = manifest.fingerprint_entries or {}

    def text_entry(name: str) -> str | None:
        value = entries.get(name)
        return value if isinstance(value, str) else None

    return LabelOrigin(
        model_sha256=manifest.model.sha256 if manifest.model else text_entry("model_sha256"),
        proposer=manifest.proposer,
        proposer_sha256=text_entry("proposer_sha256"),
        prompts_version=text_entry("prompts_version"),
    )


def mismatches(calibration: Calibration, origin: LabelOrigin) -> list[str]:
    """What differs, one phrase for each; empty if the calibration fits."""
    names = {
        "model_sha256": "model",
        "proposer": "proposer",
        "proposer_sha256": "proposer's weights",
        "prompts_version": "wording of the questions",
    }
    differing = []
    for field, name in names.items():
        made_for, used_on = getattr(calibration, field), getattr(origin, field)
        if made_for is not None and used_on is not None and made_for != used_on:
            differing.append(f"{name} {made_for[:16]} -> {used_on[:16]}")
    return differing


def check_match(calibration: Calibration, origin: LabelOrigin, force: bool = False) -> str | None:
    """Returns None if the calibration fits, else a warning to show if `force` is set.

    Raises CalibrationError if it does not fit and `force` is not set.
    """
    differing = mismatches(calibration, origin)
    if not differing:
        return None
    problem = f"the calibration was made for other labels ({'; '.join(differing)})"
    if not force:
        raise CalibrationError(f"{problem}: run fo1 calibrate on labels of this run, or pass --force")
    return f"{problem}: confidences may be wrong, and no error is guaranteed"


def covers(calibration: Calibration, provenance: Provenance) -> bool:
    """Whether the model, proposer and questions of the calibration labelled a row of this provenance.

    Compares only what both record, with one exception: a calibration that records no model, or no wording,
    covers no row that records one.
    """
    recorded = [
        (calibration.model_sha256, provenance.model_sha256),
        (calibration.prompts_version, provenance.prompts_version),
    ]
    if any(made_for is None and used_on is not None for made_for, used_on in recorded):
        return False
    proposer = provenance.proposer
    made_for = calibration.proposer or ""
    # A row names what gave its own boxes; `auto` is the corpus or the detector in brackets.
    if made_for.startswith("auto (") and proposer in ("corpus", made_for[len("auto (") : -1]):
        proposer = made_for
    origin = LabelOrigin(provenance.model_sha256, proposer, prompts_version=provenance.prompts_version)
    return not mismatches(calibration, origin)
