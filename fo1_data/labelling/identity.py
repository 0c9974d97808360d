"""TODO-DOC."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class LabellerIdentity:
    """Who labels: what a row's `provenance` and a run's fingerprint say."""

    model_name: str
    model_sha256: str
    model_licence: str | None
    proposer_name: str
    proposer_sha256: str
    proposer_licence: str | None
    prompts_version: str
    dtype: str
