"""Qwen2.5-VL (arXiv 2502.13923), the base of the released VLM-FO1. Imports neither torch nor transformers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fo1_data.model.bases.family import (
    BaseFamily,
    ChatMarkup,
    ImageDefaults,
    TextConfig,
    VisionConfig,
    pick,
    resized_pixels,
    rope_of,
)

if TYPE_CHECKING:
    from fo1_data.model.bases.vision_tower import VisionTower

_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user"


@dataclass(frozen=True, kw_only=True)
class WindowedVisionConfig(VisionConfig):
    """Its ViT. fullatt_block_indexes: the blocks that attend over the whole image, the others within windows
    of `window_size` pixels."""

    fullatt_block_indexes: tuple[int, ...]
    window_size: int = 112

    @property
    def num_maps(self) -> int:
        return len(self.fullatt_block_indexes)


def _build_tower(config: WindowedVisionConfig) -> "VisionTower":
    from fo1_data.model.bases.qwen2_5_vit import VisionTransformer

    return VisionTransformer(config)


def _read_text(raw: Mapping[str, Any]) -> TextConfig:
    if raw.get("use_sliding_window"):
        raise TypeError("use_sliding_window is true; supported: false")
    text: TextConfig = pick(TextConfig, {**raw, **rope_of(raw)})
    return text


def _read_vision(raw: Mapping[str, Any]) -> WindowedVisionConfig:
    vision: WindowedVisionConfig = pick(WindowedVisionConfig, raw["vision_config"])
    return vision


def _to_checkpoint_config(base: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the language model at the top level, as in the released checkpoint."""
    rest = {name: value for name, value in base.items() if name != "text_config"}
    return {**(base.get("text_config") or {}), **rest}


QWEN2_5_VL = BaseFamily(
    base_type="qwen2_5_vl",
    checkpoint_type="omchat_qwen2_5_vl",
    architecture="OmChatQwen25VLForCausalLM",
    read_text=_read_text,
    read_vision=_read_vision,
    build_tower=_build_tower,
    markup=ChatMarkup(
        before_image=f"{_SYSTEM}\n<|vision_start|>",
        after_image="<|vision_end|>",
        text_only=_SYSTEM,
        turn_end="<|im_end|>\n<|im_start|>assistant\n",
        end_of_turn="<|im_end|>",
    ),
    images=ImageDefaults(
        min_pixels=56 * 56,
        max_pixels=28 * 28 * 1280,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    ),
    weight_prefixes=(
        ("model.visual.", "vision_tower."),
        ("visual.", "vision_tower."),
        ("model.language_model.", "language_model."),
        ("model.", "language_model."),
        ("lm_head.", "lm_head."),
    ),
    to_checkpoint_config=_to_checkpoint_config,
    box_frame=resized_pixels,
)
