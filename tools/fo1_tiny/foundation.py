"""The checkpoint folder of an untrained fo1-tiny: configuration, tokenizer, image settings, random weights.

The tokenizer is a byte-level BPE in Qwen2's file layout. It is trained on the words of the questions and
of the scenes' captions, so that each of them is one token; other words are split into parts or bytes.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer
from torch import nn

from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.choice_question import CHOICES, choice_question
from fo1_data.model.configuration import load_config
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import question_text
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from schemas.labels import LabelKind

WIDTH = 128
CONFIG = {
    "architectures": ["OmChatQwen25VLForCausalLM"],
    "model_type": "omchat_qwen2_5_vl",
    "license": "Apache-2.0",
    "torch_dtype": "float32",
    "hidden_size": WIDTH,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": 4096,
    "rope_scaling": {"type": "mrope", "mrope_section": [8, 4, 4]},
    "tie_word_embeddings": True,
    "vision_config": {
        "model_type": "qwen2_5_vl",
        "hidden_act": "silu",
        "out_hidden_size": WIDTH,
        "tokens_per_second": 2,
        "in_chans": 3,
        "in_channels": 3,
        "spatial_patch_size": 14,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "depth": 4,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "fullatt_block_indexes": [1, 3],
    },
    "mm_projector_type": "identity",
    "mm_projector_aux_type": "mlp2x_gelu",
    "mm_hidden_size": WIDTH,
    "mm_region_hidden_size": 384,
    "mm_roi_output_size": 7,
    "mm_apply_position_embedding": True,
    "mm_pos_embedding_strategy": "bbox_based",
    "mm_use_vision_tower_region_feature": True,
    "mm_use_vt_region_feature_only": False,
    "mm_region_feature_combination": "concat",
    "mm_apply_region_layer_norm": True,
    "mm_use_simpleFPN_for_vt": True,
    "mm_use_region_index_token": True,
    "mm_num_region_tokens": 100,
    "aux_image_size": 640,
    "aux_image_aspect_ratio": "dynamic",
    "fo1_long_edge_limit_px": 640,
}
OVERRIDES = {
    "dim_embed": [32, 64, 96, 128],
    "depths": [2, 2, 2, 1],
    "num_heads": [2, 4, 6, 8],
    "num_groups": [2, 4, 6, 8],
    "patch_size": [7, 3, 3, 3],
    "patch_stride": [4, 2, 2, 2],
    "patch_padding": [3, 1, 1, 1],
    "patch_prenorm": [False, True, True, True],
    "window_size": 12,
    "fpn_channels": 16,
}
PREPROCESSOR = {
    "min_pixels": 3136,
    "max_pixels": 313600,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
}
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
ADDED = ["<ground>", "</ground>", "<objects>", "</objects>", "<think>", "</think>"]
_QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_foundation(folder: Path, seed: int = 0) -> Fo1Model:
    """Write the folder and return the model, with random weights by `seed`."""
    torch.manual_seed(seed)
    with TemporaryDirectory() as settings:
        source = Path(settings)
        write_settings(source)
        model = Fo1Model(load_config(source))
        initialise(model)
        save_checkpoint(model, source, folder)
    return model


def write_settings(folder: Path) -> None:
    """Write configuration, tokenizer and image settings."""
    vocabulary = write_tokenizer(folder)
    ids = {name: vocabulary[token] for name, token in _NAMED_IDS.items()}
    _write_json(folder / "config.json", {**CONFIG, "vocab_size": len(vocabulary), **ids})
    _write_json(folder / "tiny_overrides.json", OVERRIDES)
    _write_json(folder / "preprocessor_config.json", PREPROCESSOR)


_NAMED_IDS = {
    "eos_token_id": "<|im_end|>",
    "pad_token_id": "<|endoftext|>",
    "bos_token_id": "<|endoftext|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "vision_token_id": "<|vision_pad|>",
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
}


def write_tokenizer(folder: Path) -> dict[str, int]:
    """Train and write the tokenizer; returns the vocabulary (token to id)."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(_QWEN2_WORDS), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = BpeTrainer(
        vocab_size=4096, min_frequency=2, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.model.save(str(folder))
    vocabulary = dict(tokenizer.get_vocab())
    added = [*SPECIAL, *ADDED, *(f"<region{index}>" for index in range(100)), "<regionfeat>"]
    first = len(vocabulary)
    vocabulary |= {token: first + offset for offset, token in enumerate(added)}
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(vocabulary, added))
    return vocabulary


def _texts() -> list[str]:
    texts = [
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|im_start|>assistant\n"
    ]
    texts += [question_text(kind, phrase="circle", region=1) for kind in LabelKind if kind != LabelKind.ASK]
    texts += [choice_question("circle", options) for options in (CHOICES, CHOICES[::-1])]
    for seed in range(30_000_000, 30_000_120):
        gold = gold_of(make_scene(seed), "")
        texts += [phrase.text for phrase in gold.phrases]
        for region in gold.regions or []:
            texts += [region.caption or "", region.detailed_caption or "", f" {region.label}"]
    return [part for text in texts for part in (text, f" {text}")]


def _tokenizer_config(vocabulary: dict[str, int], added: list[str]) -> dict[str, object]:
    entry = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(vocabulary[token]): {"content": token, **entry, "special": token in SPECIAL}
            for token in added
        },
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "errors": "replace",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": False,
        "model_max_length": 4096,
        "tokenizer_class": "Qwen2Tokenizer",
    }


def initialise(model: nn.Module) -> None:
    """Draw weights by fan-in, embeddings with std 0.1: the usual 0.02 is too small for layers this narrow."""
    for part in model.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
        elif isinstance(part, nn.Conv2d | nn.Conv3d):
            fan_in = part.weight[0].numel()
            nn.init.normal_(part.weight, std=(0.5 if part.groups > 1 else 1.0) * fan_in**-0.5)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.1)
        if isinstance(part, nn.Linear | nn.Conv2d | nn.Conv3d) and part.bias is not None:
            nn.init.zeros_(part.bias)


def _write_json(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
