"""The configuration of a VLM-FO1 checkpoint, read from its folder and checked.

In `config.json`, the settings of the language model and the vision tower lie where the family of the base has
them (in the released one at the top level and under `vision_config`), and those of the region encoder at the
top level as `mm_*`. The released file has no dimensions of the auxiliary tower: the default is DaViT-large,
and `tiny_overrides.json` may change it.
Imports neither torch nor transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fo1_data.errors import CheckpointError
from fo1_data.model.bases.families import FAMILIES, RELEASED, family_of_base, family_of_checkpoint
from fo1_data.model.bases.family import BaseFamily, TextConfig, VisionConfig, check_values, pick
from fo1_data.model.dimensions import misfits
from fo1_data.storage.json_text import parse_object

# In `config.json` of a checkpoint that reads texts from crops.
OCR_CROP_MIN_PIXELS = "fo1_ocr_crop_min_pixels"


@dataclass(frozen=True)
class AuxiliaryConfig:
    """DaViT, as Florence-2 uses it; the defaults are DaViT-large."""

    dim_embed: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (1, 1, 9, 1)
    num_heads: tuple[int, ...] = (8, 16, 32, 64)
    num_groups: tuple[int, ...] = (8, 16, 32, 64)
    patch_size: tuple[int, ...] = (7, 3, 3, 3)
    patch_stride: tuple[int, ...] = (4, 2, 2, 2)
    patch_padding: tuple[int, ...] = (3, 1, 1, 1)
    patch_prenorm: tuple[bool, ...] = (False, True, True, True)
    window_size: int = 12


@dataclass(frozen=True)
class RegionConfig:
    """Options of the hybrid region encoder and the projectors."""

    roi_output_size: int = 7
    apply_position_embedding: bool = True
    pos_embedding_strategy: str = "bbox_based"
    region_feature_combination: str = "concat"
    apply_region_layer_norm: bool = False
    use_simple_fpn: bool = True
    fpn_channels: int = 512
    projector_type: str = "identity"
    projector_aux_type: str = "mlp2x_gelu"
    num_region_tokens: int = 100


@dataclass(frozen=True)
class Fo1Config:
    """The whole configuration. raw, raw_overrides: contents of `config.json` and `tiny_overrides.json`.

    ocr_crop_min_pixels: texts are read from crops of their boxes, enlarged to this area in pixels; None:
    from region features, as the released model does.
    """

    text: TextConfig
    vision: VisionConfig
    auxiliary: AuxiliaryConfig
    region: RegionConfig
    base: BaseFamily = RELEASED
    long_edge_limit_px: int = 2048
    licence: str | None = None
    ocr_crop_min_pixels: int | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    raw_overrides: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def auxiliary_width(self) -> int:
        """Channels of the auxiliary part of a region feature, from all DaViT levels."""
        return sum(self.auxiliary.dim_embed)

    @property
    def primary_width(self) -> int:
        """Channels of the primary part, from the four pyramid levels or from all maps of the vision tower."""
        if self.region.use_simple_fpn:
            return 4 * self.region.fpn_channels
        return self.vision.num_maps * self.vision.hidden_size

    @property
    def region_width(self) -> int:
        """Channels of a region feature before its projection (5888 in the released model)."""
        return self.auxiliary_width + self.primary_width


def load_config(folder: str | Path, settings: Mapping[str, Any] | None = None) -> Fo1Config:
    """Read and check a checkpoint's configuration. `settings`: take the place of those of `config.json`.

    Raises CheckpointError if a file is missing, is not JSON, or describes another kind of model.
    """
    folder = Path(folder)
    raw = {**_read_json(folder / "config.json", required=True), **(settings or {})}
    overrides = _read_json(folder / "tiny_overrides.json", required=False)
    return parse_config(raw, overrides, str(folder))


def parse_config(
    raw: dict[str, Any], overrides: dict[str, Any] | None = None, where: str = "config"
) -> Fo1Config:
    """Build and check a configuration from the contents of its files; `where` starts every error message."""
    overrides = overrides or {}
    base = _family(raw, where)
    licence = raw.get("license")
    try:
        config = Fo1Config(
            text=base.read_text(raw),
            vision=base.read_vision(raw),
            auxiliary=pick(AuxiliaryConfig, overrides),
            region=_region(raw, overrides),
            base=base,
            long_edge_limit_px=_whole(raw.get("fo1_long_edge_limit_px", 2048)),
            licence=licence if isinstance(licence, str) else None,
            ocr_crop_min_pixels=raw.get(OCR_CROP_MIN_PIXELS),
            raw=raw,
            raw_overrides=overrides,
        )
        for part in (config.text, config.vision, config.auxiliary, config.region):
            check_values(part)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        message = f"{where}: config.json lacks or misspells a setting: {_short(error)}"
        raise CheckpointError(message) from error
    odd = next(misfits(config), None)
    if odd is not None:
        raise CheckpointError(f"{where}: config.json or tiny_overrides.json: {_short(odd)}")
    _check(config, raw, where)
    return config


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"fo1_long_edge_limit_px is {value!r}")
    return value


def _read_json(path: Path, *, required: bool) -> dict[str, Any]:
    if not path.is_file():
        if required:
            raise CheckpointError(
                f"{path.parent}: no {path.name}, which every checkpoint folder in VLM-FO1's layout has"
            )
        return {}
    try:
        return parse_object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error


def _short(value: object) -> str:
    return " ".join(str(value).split())[:200].encode("utf-8", "backslashreplace").decode()


def _family(raw: dict[str, Any], where: str) -> BaseFamily:
    """The family of the base. Raises CheckpointError if this is the configuration of no VLM-FO1."""
    model_type = _short(raw.get("model_type", RELEASED.checkpoint_type))
    if family_of_base(model_type) is not None:
        raise CheckpointError(
            f"{where}: a base without regions ({model_type}); `fo1 model attach` makes a VLM-FO1 of it"
        )
    family = family_of_checkpoint(model_type)
    architectures = raw.get("architectures") or []
    architectures = architectures if isinstance(architectures, list) else [architectures]
    if family is None or (architectures and family.architecture not in architectures):
        known = ", ".join(family.checkpoint_type for family in FAMILIES)
        named = _short(", ".join(map(str, architectures))) or "none"
        raise CheckpointError(
            f"{where}: not a VLM-FO1 checkpoint (model_type {model_type}, architecture {named}; "
            f"known model types: {known})"
        )
    return family


def _region(raw: dict[str, Any], overrides: dict[str, Any]) -> RegionConfig:
    names = {
        "roi_output_size": "mm_roi_output_size",
        "apply_position_embedding": "mm_apply_position_embedding",
        "pos_embedding_strategy": "mm_pos_embedding_strategy",
        "region_feature_combination": "mm_region_feature_combination",
        "apply_region_layer_norm": "mm_apply_region_layer_norm",
        "use_simple_fpn": "mm_use_simpleFPN_for_vt",
        "projector_type": "mm_projector_type",
        "projector_aux_type": "mm_projector_aux_type",
        "num_region_tokens": "mm_num_region_tokens",
    }
    values = {ours: raw[theirs] for ours, theirs in names.items() if raw.get(theirs) is not None}
    if "fpn_channels" in overrides:
        values["fpn_channels"] = overrides["fpn_channels"]
    return RegionConfig(**values)


def _check(config: Fo1Config, raw: dict[str, Any], where: str) -> None:
    region, text, crop_pixels = config.region, config.text, config.ocr_crop_min_pixels
    if crop_pixels is not None and not (isinstance(crop_pixels, int) and crop_pixels > 0):
        named = _short(repr(crop_pixels))
        raise CheckpointError(f"{where}: {OCR_CROP_MIN_PIXELS} is {named}, not a number of pixels")
    allowed = {
        "mm_pos_embedding_strategy": (
            region.pos_embedding_strategy,
            {"bbox_based", "feature_map_based", "hybrid"},
        ),
        "mm_region_feature_combination": (region.region_feature_combination, {"concat", "concat_aux_pos"}),
        "mm_projector_type": (region.projector_type, {"identity", "linear", "mlp2x_gelu"}),
        "mm_projector_aux_type": (region.projector_aux_type, {"linear", "mlp2x_gelu"}),
        "aux_image_aspect_ratio": (raw.get("aux_image_aspect_ratio", "dynamic"), {"dynamic"}),
    }
    for name, (value, choices) in allowed.items():
        if not isinstance(value, str) or value not in choices:
            named = _short(repr(value))
            raise CheckpointError(f"{where}: {name} is {named}; supported: {', '.join(sorted(choices))}")
    declared = raw.get("mm_region_hidden_size")
    if declared is not None and declared != config.region_width:
        raise CheckpointError(
            f"{where}: mm_region_hidden_size is {declared}, but the towers give {config.region_width} "
            f"({config.auxiliary_width} auxiliary + {config.primary_width} primary)"
        )
    if raw.get("mm_use_vt_region_feature_only") or raw.get("mm_use_vision_tower_region_feature") is False:
        raise CheckpointError(
            f"{where}: only checkpoints that use both vision towers for regions are supported"
        )
    if sum(text.mrope_section) * 2 != text.head_dim:
        raise CheckpointError(
            f"{where}: mrope_section {text.mrope_section} does not fill a head of {text.head_dim}"
        )
    if config.vision.out_hidden_size != text.hidden_size and region.projector_type == "identity":
        raise CheckpointError(
            f"{where}: the ViT gives {config.vision.out_hidden_size} channels, the language model takes "
            f"{text.hidden_size}, and mm_projector_type is identity"
        )
