"""The families of bases, by `model_type`: the one place that lists them, and says why others are refused.

Imports neither torch nor transformers.
"""

from fo1_data.model.bases.base import BaseFamily
from fo1_data.model.bases.qwen2_5_vl import QWEN2_5_VL

FAMILIES: tuple[BaseFamily, ...] = (QWEN2_5_VL,)
# The family of the released VLM-FO1: of configurations that name none.
RELEASED = QWEN2_5_VL


def family_of_checkpoint(model_type: str) -> BaseFamily | None:
    """The family of a VLM-FO1 checkpoint; None if its `model_type` is not one of a VLM-FO1."""
    return next((family for family in FAMILIES if family.checkpoint_type == model_type), None)


def family_of_base(model_type: str) -> BaseFamily | None:
    """The family of a base; None if it is not known."""
    return next((family for family in FAMILIES if family.base_type == model_type), None)
