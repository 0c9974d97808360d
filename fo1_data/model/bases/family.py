"""A family of bases: all that this project needs to know about pre-trained VLMs of one kind.

A family says how its configuration is read, how its chats are written, how images are prepared, which vision
tower reads them, and what its weights are called. Options that families share, such as norms of queries and
keys, are fields of `TextConfig`, so that one decoder and one engine run them all. Imports neither torch nor
transformers.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from fo1_data.model.bases.vision_tower import VisionTower


# From the width and height of an image as the model sees it, in pixels, to those of the frame in which the
# model was taught to read and write boxes.
BoxFrame = Callable[[tuple[int, int]], tuple[int, int]]
_SPECIAL = re.compile(r"<\|[^|<>]*\|>|</?s>")


@dataclass(frozen=True)
class TextConfig:
    """The language model: a decoder with grouped queries and multimodal rotary positions.

    mrope_section: the rotary frequencies of a head for time, height and width; is_interleaved: they take
    turns along the head instead of following each other. head_width: channels of a head, where they are not
    hidden_size / num_attention_heads. has_qkv_bias: biases on queries, keys and values. norms_heads: RMSNorm
    on each query and key.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    mrope_section: tuple[int, ...]
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1e6
    hidden_act: str = "silu"
    max_position_embeddings: int = 128000
    tie_word_embeddings: bool = True
    pad_token_id: int | None = None
    head_width: int | None = None
    is_interleaved: bool = False
    has_qkv_bias: bool = True
    norms_heads: bool = False

    @property
    def head_dim(self) -> int:
        return self.head_width or self.hidden_size // self.num_attention_heads


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """What every family's vision tower has. `patch_size`: side in pixels of the resized image."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int
    patch_size: int = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2
    in_channels: int = 3
    hidden_act: str = "silu"

    @property
    def num_maps(self) -> int:
        """How many maps the tower gives at most; the last is that of the last block."""
        return 1

    @property
    def num_deep(self) -> int:
        """How many layers of the language model add features of the tower at the image's tokens."""
        return 0


@dataclass(frozen=True)
class ChatMarkup:
    """How a family writes a user's turn, and begins the answer.

    before_image, after_image: the text around the image's tokens, from the very start. text_only: the start
    of a turn without an image. turn_end: behind the question, up to the answer. end_of_turn: the token that
    ends the answer.
    """

    before_image: str
    after_image: str
    text_only: str
    turn_end: str
    end_of_turn: str

    @property
    def tokens(self) -> list[str]:
        """The special tokens of this markup."""
        whole = self.before_image + self.after_image + self.text_only + self.turn_end
        return list(dict.fromkeys([*_SPECIAL.findall(whole), self.end_of_turn]))


@dataclass(frozen=True)
class ImageDefaults:
    """What a `preprocessor_config.json` without these keys means: limits of the area in pixels, and the mean
    and deviation of each channel."""

    min_pixels: int
    max_pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class BaseFamily:
    """A family of bases.

    base_type: the `model_type` of its own checkpoints; checkpoint_type, architecture: those of a VLM-FO1 of
    it. read_text, read_vision: from the contents of a VLM-FO1's `config.json`; KeyError or TypeError where a
    setting is missing. build_tower: a new vision tower. weight_prefixes: from the start of the name of one of
    its own weights to the name in `Fo1Model`; the first that fits counts. unused_prefixes: of weights that
    its checkpoints have and its own code does not use. to_checkpoint_config: the contents of its own
    `config.json` to those of a VLM-FO1's, without regions. box_frame: of boxes in its own texts; None: it was
    not taught any.
    """

    base_type: str
    checkpoint_type: str
    architecture: str
    read_text: Callable[[Mapping[str, Any]], TextConfig]
    read_vision: Callable[[Mapping[str, Any]], VisionConfig]
    build_tower: Callable[[Any], "VisionTower"]
    markup: ChatMarkup
    images: ImageDefaults
    weight_prefixes: tuple[tuple[str, str], ...]
    to_checkpoint_config: Callable[[Mapping[str, Any]], dict[str, Any]]
    unused_prefixes: tuple[str, ...] = ()
    box_frame: BoxFrame | None = None


def resized_pixels(resized_wh: tuple[int, int]) -> tuple[int, int]:
    """The box frame of absolute pixels of the resized image."""
    return resized_wh


def thousandths(resized_wh: tuple[int, int]) -> tuple[int, int]:
    """The box frame of thousandths of either side."""
    return 1000, 1000


def pick(kind: Any, values: Mapping[str, Any], **renamed: str) -> Any:
    """Build a dataclass from the keys that are its fields; lists become tuples.

    renamed: the key of a field that has another name there. Keys whose value is None are left out.
    """
    keys = {name: renamed.get(name, name) for name in kind.__dataclass_fields__}
    fields = {name: values[key] for name, key in keys.items() if values.get(key) is not None}
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})


# Settings whose numbers may be 0, and those that may be any.
_FROM_0 = ("patch_padding", "mrope_section", "fullatt_block_indexes", "deepstack_visual_indexes")
_ANY = ("pad_token_id",)


def check_values(config: Any) -> None:
    """Raise TypeError for a value of another type than its field's, or a number that nothing can have."""
    for name, kind in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if not _fits(name, value, kind):
            raise TypeError(f"{name} is {value!r}")


def _fits(name: str, value: Any, kind: Any) -> bool:
    if get_origin(kind) is UnionType:
        return value is None or _fits(name, value, get_args(kind)[0])
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(name, part, get_args(kind)[0]) for part in value)
    if kind is int:
        return type(value) is int and (name in _ANY or value >= (name not in _FROM_0))
    if kind is float:
        return type(value) in (int, float) and 0 < value < math.inf
    return isinstance(value, kind)


def rope_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The `mrope_section` and, where it is stated, the `rope_theta` of a language model's settings.

    Raises KeyError without sections, TypeError if positions are scaled.
    """
    rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "mrope"):
        raise TypeError(f"rotary positions of type {kind}; supported: default")
    found = {"mrope_section": rope["mrope_section"]}
    theta = values.get("rope_theta", rope.get("rope_theta"))
    return found if theta is None else found | {"rope_theta": theta}
