"""PaddleOCR-VL (arXiv 2510.14528): small, and trained to read text. Imports neither torch nor transformers.

A chat is plain words between special tokens, as its first release writes it. Its own code keeps the projector
from the vision tower to the language model apart; here it is the tower's last part.
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
)

if TYPE_CHECKING:
    from fo1_data.model.bases.vision_tower import VisionTower

_TEXT_DEFAULTS = {"rope_theta": 5e5, "rms_norm_eps": 1e-5, "head_dim": 128}
_START = "<|begin_of_sentence|>User:"


@dataclass(frozen=True, kw_only=True)
class SquareVisionConfig(VisionConfig):
    """Its ViT. image_size: side in pixels of the square that positions were learnt for."""

    image_size: int = 384
    layer_norm_eps: float = 1e-6
    temporal_patch_size: int = 1
    hidden_act: str = "gelu_pytorch_tanh"


def _build_tower(config: SquareVisionConfig) -> "VisionTower":
    from fo1_data.model.bases.paddleocr_vit import ProjectedVisionTransformer

    return ProjectedVisionTransformer(config)


def _text_settings(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """At the top level in released checkpoints, apart where transformers 5 wrote them."""
    return raw.get("text_config") or raw


def _read_text(raw: Mapping[str, Any]) -> TextConfig:
    values = _text_settings(raw)
    if values.get("use_bias"):
        raise TypeError("use_bias is true; supported: false")
    tie = raw.get("tie_word_embeddings", values.get("tie_word_embeddings", True))
    options = {"has_qkv_bias": False, "tie_word_embeddings": tie}
    text: TextConfig = pick(
        TextConfig, {**_TEXT_DEFAULTS, **values, **rope_of(values), **options}, head_width="head_dim"
    )
    return text


def _read_vision(raw: Mapping[str, Any]) -> SquareVisionConfig:
    values = {**raw["vision_config"], "out_hidden_size": _text_settings(raw)["hidden_size"]}
    values.pop("temporal_patch_size", None)  # of its videos
    vision: SquareVisionConfig = pick(
        SquareVisionConfig,
        values,
        depth="num_hidden_layers",
        num_heads="num_attention_heads",
        in_channels="num_channels",
    )
    return vision


PADDLEOCR_VL = BaseFamily(
    base_type="paddleocr_vl",
    checkpoint_type="fo1_paddleocr_vl",
    architecture="Fo1PaddleOCRVLForConditionalGeneration",
    read_text=_read_text,
    read_vision=_read_vision,
    build_tower=_build_tower,
    markup=ChatMarkup(
        before_image=f"{_START} <|IMAGE_START|>",
        after_image="<|IMAGE_END|>",
        text_only=_START,
        turn_end="\nAssistant: ",
        end_of_turn="</s>",
    ),
    images=ImageDefaults(
        min_pixels=384 * 384,
        max_pixels=1536 * 1536,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    ),
    weight_prefixes=(
        ("mlp_AR.", "vision_tower.projector."),
        ("model.projector.", "vision_tower.projector."),
        ("model.visual.", "vision_tower."),
        ("visual.", "vision_tower."),
        ("model.language_model.", "language_model."),
        ("model.", "language_model."),
        ("lm_head.", "lm_head."),
    ),
    to_checkpoint_config=dict,
    unused_prefixes=tuple(
        f"{start}vision_model.{part}"
        for start in ("visual.", "model.visual.")
        for part in ("head.", "embeddings.packing_position_embedding.")
    ),
)
