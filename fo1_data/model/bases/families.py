"""The families of bases, by `model_type`: the one place that lists them, and says why others are refused.

Imports neither torch nor transformers.
"""

from fo1_data.model.bases.family import BaseFamily
from fo1_data.model.bases.paddleocr_vl import PADDLEOCR_VL
from fo1_data.model.bases.qwen2_5_vl import QWEN2_5_VL
from fo1_data.model.bases.qwen3_vl import QWEN3_VL

FAMILIES: tuple[BaseFamily, ...] = (QWEN2_5_VL, QWEN3_VL, PADDLEOCR_VL)
# The family of the released VLM-FO1: of configurations that name none.
RELEASED = QWEN2_5_VL

_LINEAR = (
    "most of its layers have linear attention, whose state questions cannot share as they share a prefix"
)
_CONVOLUTIONS = "layers that are convolutions over tokens, whose state questions cannot share"
_TILES = "it sees tiles of an image, not the image as one map"
# Families that were looked at, and why none of them can carry regions here.
REFUSED = {
    "qwen3_5": _LINEAR,
    "qwen3_5_moe": _LINEAR,
    "qwen4_exp": _LINEAR,
    "lfm2_vl": _CONVOLUTIONS,
    "lfm3_vl": _CONVOLUTIONS,
    "internvl": _TILES,
    "smolvlm": _TILES,
    "idefics3": _TILES,
    "molmo2": _TILES,
    "gemma3": "it squeezes an image into a square of 256 tokens, so boxes lose their shapes",
}


def family_of_checkpoint(model_type: str) -> BaseFamily | None:
    """The family of a VLM-FO1 checkpoint; None if its `model_type` is not one of a VLM-FO1."""
    return next((family for family in FAMILIES if family.checkpoint_type == model_type), None)


def family_of_base(model_type: str) -> BaseFamily | None:
    """The family of a base; None if it is not known."""
    return next((family for family in FAMILIES if family.base_type == model_type), None)


def why_refused(model_type: str) -> str:
    """Why a base of this `model_type` is refused, in one line that names what is known."""
    known = ", ".join(family.base_type for family in FAMILIES)
    reason = REFUSED.get(model_type)
    if reason is None:
        return f"model_type {model_type} is not a base that is known here; known: {known}"
    return f"{model_type} cannot carry regions: {reason}; bases that can: {known}"
