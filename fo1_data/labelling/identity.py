"""The identity of a labeller: what a row's `provenance` and a run's fingerprint say about model and proposer.

Does not import torch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LabellerIdentity:
    """Names, weights (SHA-256, hex) and licences of the model and the proposer, and what else changes
    their output: the version of the prompts' wording, and the dtype. `proposer_licence`: None also for what
    is bundled. `masks_licence`: of the model that gives masks."""

    model_name: str
    model_sha256: str
    model_licence: str | None
    proposer_name: str
    proposer_sha256: str
    proposer_licence: str | None
    prompts_version: str
    dtype: str
    model_domain: str | None = None
    masks_licence: str | None = None


@dataclass(frozen=True)
class PreliminaryIdentity:
    """What is known of a `LabellerIdentity` before anything is loaded. None: only loading tells it."""

    model_sha256: str | None = None
    proposer_name: str | None = None
    proposer_sha256: str | None = None
    prompts_version: str | None = None
    dtype: str | None = None
