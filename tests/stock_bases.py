"""Tiny random bases as transformers writes them, and their answers by transformers' own code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from random_checkpoint import byte_alphabet
from torch import Tensor

from fo1_data.model.prompts import IMAGE_PLACEHOLDER

_ROPE = {"rope_type": "default", "rope_theta": 1e4}
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
]

_PADDLE_SPECIAL = ["<unk>", "<|begin_of_sentence|>", "</s>", "<|IMAGE_START|>", "<|IMAGE_END|>"]
_PADDLE_SPECIAL += ["<|IMAGE_PLACEHOLDER|>"]


def _config(kind: Any, settings: dict[str, Any], names: list[str], **options: Any) -> Any:
    ids = {name: 256 + place for place, name in enumerate(names)}
    found = {
        "image_token_id": next(ids[name] for name in names if "image_pad" in name or "PLACEHOLDER" in name),
        "vision_start_token_id": next(
            ids[name] for name in names if "ision_start" in name or "IMAGE_START" in name
        ),
        "vision_end_token_id": next(
            ids[name] for name in names if "ision_end" in name or "IMAGE_END" in name
        ),
        "video_token_id": 255,
    }
    return kind(**settings, **found, **options)


def _qwen2_5_vl() -> Any:
    rope = {**_ROPE, "mrope_section": [2, 1, 1]}
    text = {**_TEXT, "vocab_size": 256 + len(_SPECIAL), "rope_parameters": rope, "use_sliding_window": False}
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
        "window_size": 56,
    }
    config = _config(
        transformers.Qwen2_5_VLConfig,
        {"text_config": text, "vision_config": vision},
        _SPECIAL,
        tie_word_embeddings=False,
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def _qwen3_vl() -> Any:
    rope = {**_ROPE, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text = {**_TEXT, "vocab_size": 300, "head_dim": 16, "rope_parameters": rope}
    vision = {
        "depth": 4,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 32,
        "num_position_embeddings": 36,
        "deepstack_visual_indexes": [0, 1, 3],
        "patch_size": 16,
    }
    config = _config(
        transformers.Qwen3VLConfig,
        {"text_config": text, "vision_config": vision},
        _SPECIAL,
        tie_word_embeddings=True,
    )
    return transformers.Qwen3VLForConditionalGeneration(config)


def _paddleocr_vl() -> Any:
    rope = {**_ROPE, "mrope_section": [4, 2, 2]}
    text = {**_TEXT, "vocab_size": 256 + len(_PADDLE_SPECIAL), "head_dim": 16, "rope_parameters": rope}
    vision = {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_attention_heads": 2,
        "image_size": 84,
        "patch_size": 14,
    }
    config = _config(
        transformers.PaddleOCRVLConfig,
        {"text_config": text, "vision_config": vision},
        _PADDLE_SPECIAL,
        tie_word_embeddings=False,
    )
    return transformers.PaddleOCRVLForConditionalGeneration(config)


# The model, the special tokens of its tokenizer, and its settings of images, by family.
BASES: dict[str, tuple[Callable[[], Any], list[str], dict[str, Any]]] = {
    "qwen2_5_vl": (
        _qwen2_5_vl,
        _SPECIAL,
        {
            "image_processor_type": "Qwen2VLImageProcessor",
            "patch_size": 14,
            "size": {"shortest_edge": 3136, "longest_edge": 50176},
        },
    ),
    "qwen3_vl": (
        _qwen3_vl,
        _SPECIAL,
        {
            "image_processor_type": "Qwen2VLImageProcessor",
            "patch_size": 16,
            "size": {"shortest_edge": 4096, "longest_edge": 65536},
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    ),
    "paddleocr_vl": (
        _paddleocr_vl,
        _PADDLE_SPECIAL,
        {
            "image_processor_type": "PaddleOCRVLImageProcessor",
            "patch_size": 14,
            "temporal_patch_size": 1,
            "size": {"shortest_edge": 3136, "longest_edge": 50176},
        },
    ),
}


def write_stock_base(family: str, folder: Path, seed: int = 0, spread: float = 0.3) -> Path:
    """A whole base: weights, configuration, tokenizer of single bytes, settings of images, model card."""
    build, special, images = BASES[family]
    model = build()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * drawn if parameter.ndim == 1 else spread * drawn)
        # Rows of no token, as released checkpoints have them: not trained.
        for table in (model.get_input_embeddings(), model.get_output_embeddings()):
            table.weight[256 + len(special) :] = 0
    model.save_pretrained(folder)
    names = [*byte_alphabet(), *special]
    flags = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
    added = {str(256 + i): {"content": token, "special": True, **flags} for i, token in enumerate(special)}
    documents = {
        "vocab.json": {token: index for index, token in enumerate(names[:256])},
        "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added},
        "preprocessor_config.json": images,
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A tiny base\n", encoding="utf-8")
    return folder


class StockModel:
    """A base as a user of transformers runs it: one prompt at a time."""

    def __init__(self, folder: Path) -> None:
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
        settings = json.loads((folder / "preprocessor_config.json").read_text())
        processor = getattr(transformers, f"{settings['image_processor_type']}Pil")
        self.images = processor.from_pretrained(folder)

    @torch.no_grad()
    def logits(self, ids: list[int], image: Image.Image | None) -> Tensor:
        """(P, V) of a prompt, in which the image's tokens stand for its placeholder."""
        return self.model(**self._inputs(ids, image)).logits[0]

    @torch.no_grad()
    def answer(
        self, ids: list[int], image: Image.Image | None, stop_id: int, max_new_tokens: int
    ) -> list[int]:
        """Greedy token ids, with the stop if it was reached."""
        inputs = self._inputs(ids, image)
        settings = transformers.GenerationConfig(
            do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=stop_id, pad_token_id=stop_id
        )
        whole = self.model.generate(**inputs, generation_config=settings)[0]
        return whole[inputs["input_ids"].shape[1] :].tolist()

    def patches(self, image: Image.Image) -> tuple[list[int], Tensor]:
        """The grid, and the patches (U, values) with those of each image token together."""
        prepared = self.images(images=image, return_tensors="pt")
        _, rows, columns = grid = prepared["image_grid_thw"][0].tolist()
        pixels = prepared["pixel_values"].flatten(1)
        if prepared["pixel_values"].ndim > 2:  # in raster order
            order = torch.arange(rows * columns).view(rows // 2, 2, columns // 2, 2).transpose(1, 2)
            pixels = pixels[order.flatten()]
        return grid, pixels

    def _inputs(self, ids: list[int], image: Image.Image | None) -> dict[str, Tensor]:
        if image is None:
            return {
                "input_ids": torch.tensor([ids]),
                "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
            }
        prepared = self.images(images=image, return_tensors="pt")
        num_tokens = int(prepared["image_grid_thw"].prod()) // 4
        place = ids.index(IMAGE_PLACEHOLDER)
        token = self.model.config.image_token_id
        whole = torch.tensor([[*ids[:place], *[token] * num_tokens, *ids[place + 1 :]]])
        return {
            "input_ids": whole,
            "attention_mask": torch.ones_like(whole),
            "mm_token_type_ids": (whole == token).int(),
            "pixel_values": prepared["pixel_values"],
            "image_grid_thw": prepared["image_grid_thw"],
        }


def copy_of(folder: Path, target: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(folder, target))
