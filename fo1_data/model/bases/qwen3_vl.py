"""Qwen3-VL (arXiv 2511.21631), dense models. Imports neither torch nor transformers.

Its first language layers add features of its tower at the image's tokens (DeepStack), its rotary frequencies
are interleaved, and queries and keys have norms. A chat begins with the user's turn.
"""

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
    rope_of,
    thousandths,
)

if TYPE_CHECKING:
    from fo1_data.model.bases.vision_tower import VisionTower

_ROPE_THETA = 5e5


@dataclass(frozen=True, kw_only=True)
class DeepVisionConfig(VisionConfig):
    """Its ViT. num_position_embeddings: of a square grid. deepstack_visual_indexes: the blocks whose states
    become features for the first layers of the language model, in the order of these layers."""

    num_position_embeddings: int
    deepstack_visual_indexes: tuple[int, ...]
    patch_size: int = 16
    hidden_act: str = "gelu_pytorch_tanh"

    @property
    def num_deep(self) -> int:
        return len(self.deepstack_visual_indexes)


def _build_tower(config: DeepVisionConfig) -> "VisionTower":
    from fo1_data.model.bases.qwen3_vit import DeepVisionTransformer

    return DeepVisionTransformer(config)


def _read_text(raw: Mapping[str, Any]) -> TextConfig:
    values = raw["text_config"]
    options = {
        "is_interleaved": True,
        "norms_heads": True,
        "has_qkv_bias": bool(values.get("attention_bias")),
    }
    tie = {"tie_word_embeddings": raw.get("tie_word_embeddings", False)}
    settings = {"rope_theta": _ROPE_THETA, **values, **rope_of(values), **options, **tie}
    text: TextConfig = pick(TextConfig, settings, head_width="head_dim")
    return text


def _read_vision(raw: Mapping[str, Any]) -> DeepVisionConfig:
    vision: DeepVisionConfig = pick(DeepVisionConfig, raw["vision_config"])
    return vision


QWEN3_VL = BaseFamily(
    base_type="qwen3_vl",
    checkpoint_type="fo1_qwen3_vl",
    architecture="Fo1Qwen3VLForConditionalGeneration",
    read_text=_read_text,
    read_vision=_read_vision,
    build_tower=_build_tower,
    markup=ChatMarkup(
        before_image="<|im_start|>user\n<|vision_start|>",
        after_image="<|vision_end|>",
        text_only="<|im_start|>user",
        turn_end="<|im_end|>\n<|im_start|>assistant\n",
        end_of_turn="<|im_end|>",
    ),
    images=ImageDefaults(
        min_pixels=256 * 256, max_pixels=4096 * 4096, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    ),
    weight_prefixes=(
        ("model.visual.", "vision_tower."),
        ("model.language_model.", "language_model."),
        ("lm_head.", "lm_head."),
    ),
    to_checkpoint_config=dict,
    box_frame=thousandths,
)
