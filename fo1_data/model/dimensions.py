"""Whether the sizes that a configuration declares fit together, and are such that a model can have.

Most sizes are those of weights, and are compared with them; these are not, or would take time or memory
before anything is compared. Imports neither torch nor transformers.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fo1_data.model.configuration import Fo1Config

# A prompt names up to so many regions by their tokens.
LEAST_REGION_TOKENS, _MOST_REGION_TOKENS = 100, 10_000
_MOST_LAYERS, _MOST_CHANNELS, _MOST_TOKENS = 1024, 2**17, 2**22
_MOST_PATCH, _MOST_WINDOW, _MOST_BINS, _MOST_EDGE_PX, _MOST_CROP_PX = 64, 64, 32, 2**16, 2**26
_STAGES = 4
_STAGED = ("dim_embed", "depths", "num_heads", "num_groups")
_PATCHED = ("patch_size", "patch_stride", "patch_padding", "patch_prenorm")
_LAYERS = ("num_hidden_layers", "depth", "depths")
_CHANNELS = ("hidden_size", "intermediate_size", "out_hidden_size", "dim_embed", "fpn_channels", "head_width")
_SMALL = ("patch_size", "spatial_merge_size", "temporal_patch_size", "in_channels")


def misfits(config: "Fo1Config") -> Iterator[str]:
    """What is odd about the sizes of a configuration whose values are of the right types, in words."""
    for part in (config.text, config.vision, config.auxiliary, config.region):
        yield from _too_large(part)
    yield from _of_text(config.text)
    yield from _of_vision(config.vision)
    yield from _of_auxiliary(config.auxiliary)
    region = config.region
    if not LEAST_REGION_TOKENS <= region.num_region_tokens <= _MOST_REGION_TOKENS:
        yield f"mm_num_region_tokens is {region.num_region_tokens}, and prompts name {LEAST_REGION_TOKENS}"
    if region.roi_output_size > _MOST_BINS:
        yield f"mm_roi_output_size is {region.roi_output_size}, over {_MOST_BINS}"
    if not 1 <= config.long_edge_limit_px <= _MOST_EDGE_PX:
        yield f"fo1_long_edge_limit_px is {config.long_edge_limit_px}, not a side from 1 to {_MOST_EDGE_PX}"
    if isinstance(config.ocr_crop_min_pixels, int) and config.ocr_crop_min_pixels > _MOST_CROP_PX:
        yield f"fo1_ocr_crop_min_pixels is {config.ocr_crop_min_pixels}, over {_MOST_CROP_PX}"


def _too_large(part: Any) -> Iterator[str]:
    for names, most in ((_LAYERS, _MOST_LAYERS), (_CHANNELS, _MOST_CHANNELS), (_SMALL, _MOST_PATCH)):
        for name in names:
            value = getattr(part, name, None)
            values = value if isinstance(value, tuple) else (value,)
            if any(number is not None and number > most for number in values):
                yield f"{name} is {value}, over {most}"


def _of_text(text: Any) -> Iterator[str]:
    if text.vocab_size > _MOST_TOKENS:
        yield f"vocab_size is {text.vocab_size}, over {_MOST_TOKENS}"
    if text.head_width is None and text.hidden_size % text.num_attention_heads:
        heads = text.num_attention_heads
        yield f"hidden_size {text.hidden_size} is not divided by num_attention_heads {heads}"
    if text.num_attention_heads % text.num_key_value_heads:
        yield (
            f"num_attention_heads {text.num_attention_heads} is not divided by num_key_value_heads "
            f"{text.num_key_value_heads}"
        )
    if len(text.mrope_section) != 3:
        yield f"mrope_section {text.mrope_section} is not of time, height and width"


def _of_vision(vision: Any) -> Iterator[str]:
    if vision.hidden_size % vision.num_heads or vision.hidden_size // vision.num_heads % 4:
        yield (
            f"hidden_size {vision.hidden_size} of the ViT is not divided into num_heads {vision.num_heads} "
            "of a multiple of 4 channels"
        )
    for name in ("fullatt_block_indexes", "deepstack_visual_indexes"):
        blocks = getattr(vision, name, None)
        if blocks is not None and (len(set(blocks)) < len(blocks) or any(n >= vision.depth for n in blocks)):
            yield f"{name} {blocks} are not blocks of {vision.depth}, each once"
    if getattr(vision, "fullatt_block_indexes", None) == ():
        yield "fullatt_block_indexes is empty, and its maps are those of regions"
    window = getattr(vision, "window_size", None)
    if window is not None and window < vision.patch_size * vision.spatial_merge_size:
        yield f"window_size {window} of the ViT is less than an image token"


def _of_auxiliary(auxiliary: Any) -> Iterator[str]:
    for name in (*_STAGED, *_PATCHED):
        value = getattr(auxiliary, name)
        if len(value) != _STAGES:
            yield f"{name} {value} does not have {_STAGES} values"
            return
    for width, heads, groups in zip(
        auxiliary.dim_embed, auxiliary.num_heads, auxiliary.num_groups, strict=True
    ):
        if width % heads or width % groups:
            yield f"dim_embed {width} is not divided by num_heads {heads} and num_groups {groups}"
    sizes = zip(auxiliary.patch_size, auxiliary.patch_stride, auxiliary.patch_padding, strict=True)
    if any(stride > size or padding > size for size, stride, padding in sizes):
        yield "patch_stride or patch_padding is over patch_size"
    if auxiliary.window_size > _MOST_WINDOW:
        yield f"window_size {auxiliary.window_size} of the auxiliary tower is over {_MOST_WINDOW}"
