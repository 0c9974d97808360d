"""Tiny bases shaped like a family: transformers' own classes, random weights, fo1-tiny's words.

The tokenizer is that of fo1-tiny with the special tokens of the family in place of VLM-FO1's.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer

from fo1_data.model.bases.families import family_of_base
from fo1_data.model.bases.family import ChatMarkup
from fo1_data.model.checkpoint_folder import BUNDLED, find_checkpoint
from fo1_data.model.tokenizer_files import read_tokenizer

_SIDE_PX = 96
_TEXT = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "max_position_embeddings": 4096,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [8, 4, 4]}
_VISION = {"hidden_size": 64, "intermediate_size": 128}
_IMAGES: Mapping[str, Mapping[str, Any]] = {
    "qwen3_vl": {
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": 16,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": _SIDE_PX**2, "longest_edge": 2 * _SIDE_PX**2},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
    "paddleocr_vl": {
        "image_processor_type": "PaddleOCRVLImageProcessor",
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 1,
        "size": {"shortest_edge": 84**2, "longest_edge": 2 * 84**2},
    },
}
_SPECIAL = {
    "qwen3_vl": (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ),
    "paddleocr_vl": (
        "<unk>",
        "<|begin_of_sentence|>",
        "</s>",
        "<|IMAGE_START|>",
        "<|IMAGE_END|>",
        "<|IMAGE_PLACEHOLDER|>",
        "<|video_pad|>",
    ),
}
FAMILIES = tuple(_SPECIAL)


def markup_of(family: str) -> ChatMarkup:
    """How the family writes a chat."""
    found = family_of_base(family)
    assert found is not None
    return found.markup


def write_tokenizer(folder: Path, family: str) -> None:
    """The files of a base besides its weights: tokenizer, settings of images, model card."""
    source = find_checkpoint(BUNDLED)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(source / name, folder / name)
    first = len(json.loads((source / "vocab.json").read_text()))
    flags = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
    added = {
        str(first + place): {"content": token, "special": True, **flags}
        for place, token in enumerate(_SPECIAL[family])
    }
    settings = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps(_IMAGES[family], indent=1))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA tiny base, see tools/tiny_base.\n")


def id_of(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that the tokenizer has."""
    number = tokenizer.token_to_id(token)
    assert number is not None
    return number


def tiny_model(folder: Path, family: str, seed: int) -> Any:
    """A new model for the tokenizer in the folder."""
    tokenizer = read_tokenizer(folder)
    ids = [id_of(tokenizer, token) for token in _SPECIAL[family]]
    *_, start, end, image, video = ids
    names = {"vision_start_token_id": start, "vision_end_token_id": end}
    names |= {"image_token_id": image, "video_token_id": video}
    text = {**_TEXT, "vocab_size": tokenizer.get_vocab_size(with_added_tokens=True)}
    torch.manual_seed(seed)
    return _BUILDERS[family](text, names)


def _qwen3_vl(text: dict[str, Any], names: dict[str, int]) -> Any:
    text["rope_parameters"] = {**_ROPE, "mrope_interleaved": True}
    vision = {
        **_VISION,
        "depth": 4,
        "num_heads": 4,
        "out_hidden_size": _TEXT["hidden_size"],
        "num_position_embeddings": (_SIDE_PX // 16) ** 2,
        "deepstack_visual_indexes": [0, 1, 2],
        "patch_size": 16,
    }
    kind: Any = transformers.Qwen3VLConfig
    config = kind(text_config=text, vision_config=vision, tie_word_embeddings=True, **names)
    return transformers.Qwen3VLForConditionalGeneration(config)


def _paddleocr_vl(text: dict[str, Any], names: dict[str, int]) -> Any:
    text["rope_parameters"] = _ROPE
    vision = {
        **_VISION,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 84,
        "patch_size": 14,
    }
    kind: Any = transformers.PaddleOCRVLConfig
    config = kind(text_config=text, vision_config=vision, tie_word_embeddings=True, **names)
    return transformers.PaddleOCRVLForConditionalGeneration(config)


_BUILDERS = {"qwen3_vl": _qwen3_vl, "paddleocr_vl": _paddleocr_vl}
