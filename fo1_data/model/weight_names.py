"""Maps the names of weights between the released checkpoint and the modules of this package."""

import re

# The first prefix that matches applies, so a longer prefix comes before its own start.
_PREFIXES = (
    ("model.vision_tower_aux.image_tower.", "vision_tower_aux."),
    ("model.vision_tower.image_tower.", "vision_tower."),
    ("model.object_vp_extractor.", "region_encoder."),
    ("model.mm_projector_aux.", "region_projector."),
    ("model.mm_projector.", "image_projector."),
    ("model.", "language_model."),
    ("lm_head.", "lm_head."),
)

# DaViT: the reference wraps modules (`fn`, `net`, `dw`); transformers' blocks are flat.
_DAVIT_TO_OURS = (
    (re.compile(r"^(convs\.\d+)\.proj\."), r"\1.conv."),
    (re.compile(r"\.(conv[12])\.fn\.dw\."), r".\1."),
    (re.compile(r"\.(?:window|channel)_attn\.norm\."), ".norm1."),
    (re.compile(r"\.(window_attn|channel_attn)\.fn\."), r".\1."),
    (re.compile(r"\.ffn\.norm\."), ".norm2."),
    (re.compile(r"\.ffn\.fn\.net\."), ".ffn."),
)
_DAVIT_TO_RELEASED = (
    (re.compile(r"^(convs\.\d+)\.conv\."), r"\1.proj."),
    (re.compile(r"\.(conv[12])\."), r".\1.fn.dw."),
    (re.compile(r"\.(window_attn|channel_attn)\."), r".\1.fn."),
    (re.compile(r"\.spatial_block\.norm1\."), ".spatial_block.window_attn.norm."),
    (re.compile(r"\.channel_block\.norm1\."), ".channel_block.channel_attn.norm."),
    (re.compile(r"\.norm2\."), ".ffn.norm."),
    (re.compile(r"\.ffn\.(fc[12])\."), r".ffn.fn.net.\1."),
)


def to_ours(name: str) -> str | None:
    """A released name to this package's name; None if it belongs to no module of the model."""
    for theirs, ours in _PREFIXES:
        if name.startswith(theirs):
            rest = name[len(theirs) :]
            return ours + (davit_to_ours(rest) if ours == "vision_tower_aux." else rest)
    return None


def davit_to_ours(name: str) -> str:
    """The name of a weight within DaViT, in the reference's or in transformers' form, to this package's."""
    return _rewrite(name, _DAVIT_TO_OURS)


def to_released(name: str) -> str:
    """This package's name of a weight to the released name. Raises KeyError if the prefix is not ours."""
    for theirs, ours in _PREFIXES:
        if name.startswith(ours):
            rest = name[len(ours) :]
            return theirs + (_rewrite(rest, _DAVIT_TO_RELEASED) if ours == "vision_tower_aux." else rest)
    raise KeyError(name)


def _rewrite(name: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name
