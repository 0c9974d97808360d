"""Small checkpoints with random weights in the released layout, for tests that need no real model."""

import json
from pathlib import Path
from typing import Any

import torch

from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.configuration import Fo1Config, parse_config
from fo1_data.model.model_weights import empty_model
from fo1_data.model.modeling import Fo1Model

_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<ground>",
    "</ground>",
    "<objects>",
    "</objects>",
    "<think>",
    "</think>",
    *(f"<region{i}>" for i in range(100)),
]


def byte_alphabet() -> list[str]:
    """The printable stand-ins of byte-level BPE, one per byte (GPT-2's table)."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + index) for index in range(len(rest))]


def raw_config(**changes: Any) -> dict[str, Any]:
    """`config.json` of a checkpoint small enough for any test."""
    return {
        "architectures": ["OmChatQwen25VLForCausalLM"],
        "model_type": "omchat_qwen2_5_vl",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]},
        "tie_word_embeddings": True,
        "vocab_size": 256 + len(_SPECIAL) + 9,
        "vision_config": {
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [0, 1],
            "window_size": 112,
            "patch_size": 14,
        },
        "mm_apply_region_layer_norm": True,
        "mm_region_hidden_size": 40 + 4 * 8,
        "aux_image_aspect_ratio": "dynamic",
        **changes,
    }


OVERRIDES = {
    "dim_embed": [8, 8, 12, 12],
    "depths": [1, 1, 1, 1],
    "num_heads": [2, 2, 2, 2],
    "num_groups": [2, 2, 2, 2],
    "window_size": 12,
    "fpn_channels": 8,
}


def write_random_checkpoint(folder: Path, seed: int = 0, spread: float = 0.3, **changes: Any) -> Path:
    """A whole checkpoint folder: weights, configuration, tokenizer, preprocessing."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = raw_config(**changes)
    vocabulary = {token: index for index, token in enumerate(byte_alphabet())}
    added = {
        str(256 + index): {
            "content": token,
            "special": True,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "single_word": False,
        }
        for index, token in enumerate(_SPECIAL)
    }
    documents = {
        "config.json": raw,
        "tiny_overrides.json": OVERRIDES,
        "vocab.json": vocabulary,
        "tokenizer_config.json": {
            "tokenizer_class": "Qwen2Tokenizer",
            "added_tokens_decoder": added,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "bos_token": None,
        },
        "preprocessor_config.json": {
            "min_pixels": 3136,
            "max_pixels": 200_000,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "image_processor_type": "Qwen2VLImageProcessor",
        },
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    save_checkpoint(random_model(parse_config(raw, OVERRIDES), seed, spread), folder, folder)
    return folder


def random_model(config: Fo1Config, seed: int = 0, spread: float = 0.3) -> Fo1Model:
    """A model with random weights large enough that answers differ from question to question."""
    generator = torch.Generator().manual_seed(seed)
    model = empty_model(config).to_empty(device="cpu")
    for parameter in model.parameters():
        with torch.no_grad():
            if parameter.ndim == 1:
                parameter.copy_(1 + 0.1 * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
    return model.eval()
