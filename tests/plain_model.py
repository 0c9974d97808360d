"""VLM-FO1 written a second time, as plainly as possible: what the golden tensors of this project come from.

It shares no code with `fo1_data`: transformers' own ViT, DaViT and language model, torchvision's RoIAlign
on upsampled and joined maps, one image and one question at a time, the whole prompt run again for every
token, no cache. It follows the paper (arXiv 2509.25916) and reads a checkpoint in the released layout.
Only the options of `fo1_data/model/configuration.py` that the released checkpoint uses are here: boxes'
sine embedding, a simple pyramid on the last ViT map, tied embeddings.

Shapes: gh x gw the ViT's patches, T = gh * gw / 4 image tokens, N boxes, D the language model's width.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torchvision.ops import roi_align
from transformers import Florence2VisionConfig, Qwen2Tokenizer, Qwen2VLImageProcessorPil
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import (
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLVisionConfig,
)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLTextModel,
)

IMAGE_ID, REGION_ID = -200, -300
_VIT = "model.vision_tower.image_tower."
_DAVIT = "model.vision_tower_aux.image_tower."
_REGIONS = "model.object_vp_extractor."
_DAVIT_NAMES = [
    (r"^(convs\.\d)\.proj\.", r"\1.conv."),
    (r"\.conv([12])\.fn\.dw\.", r".conv\1."),
    (r"\.(?:window|channel)_attn\.norm\.", ".norm1."),
    (r"\.(window|channel)_attn\.fn\.", r".\1_attn."),
    (r"\.ffn\.norm\.", ".norm2."),
    (r"\.ffn\.fn\.net\.", ".ffn."),
]


class PlainModel:
    """A checkpoint folder, float32 on the CPU."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        davit = json.loads((folder / "tiny_overrides.json").read_text())
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Qwen2Tokenizer.from_pretrained(str(folder))
        self.patches = Qwen2VLImageProcessorPil.from_pretrained(str(folder))
        self.vit = _vit(self.config["vision_config"], self._part(_VIT))
        self.davit = _davit(davit, self._part(_DAVIT))
        towers = ("model.vision_tower", "model.mm_projector", _REGIONS)
        text = {k: v for k, v in self._part("model.").items() if not f"model.{k}".startswith(towers)}
        self.language_model = _language_model(self.config, text)
        self.stop_id = self.tokenizer.convert_tokens_to_ids("<|im_end|>")

    def _part(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.weights.items() if k.startswith(prefix)}

    @torch.no_grad()
    def encode(self, image: Image.Image, boxes_xyxy: np.ndarray) -> dict[str, Tensor]:
        """Every tensor of one image that no question changes, by its golden name."""
        tensors = self._prepare(image, boxes_xyxy)
        _, rows, columns = tensors["image_grid_thw"][0].tolist()
        out = self.vit(tensors["pixel_values"], grid_thw=tensors["image_grid_thw"], output_hidden_states=True)
        order = _window_order(
            rows // 2, columns // 2, self.config["vision_config"].get("window_size", 112) // 28
        )
        blocks = self.config["vision_config"]["fullatt_block_indexes"]
        for level, block in enumerate(blocks):
            tensors[f"vit_level{level}"] = _to_map(out.hidden_states[block + 1], order, rows, columns)
        tensors["vit_merger_window_order"] = out.pooler_output[order]
        tensors["image_embeds"] = self._project("model.mm_projector.", out.pooler_output)
        hidden = tensors["aux_image"][None]
        for level, (conv, stage) in enumerate(zip(self.davit.convs, self.davit.blocks, strict=True)):
            hidden = conv(hidden)
            for block in stage:
                hidden = block(hidden)
            tensors[f"davit_level{level}"] = hidden
        if len(boxes_xyxy):
            self._encode_regions(tensors, (rows * 14, columns * 14), len(blocks))
        return tensors

    def _prepare(self, image: Image.Image, boxes_xyxy: np.ndarray) -> dict[str, Tensor]:
        width, height = image.size
        shrink = min(1.0, 2048 / max(width, height))
        limited = max(28, int(width * shrink)), max(28, int(height * shrink))
        if limited != image.size:
            image = image.resize(limited, Image.Resampling.BICUBIC)
        factors = torch.tensor([limited[0] / width, limited[1] / height]).repeat(2)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255.0
        mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        patches = self.patches(images=image, return_tensors="pt")
        _, rows, columns = patches["image_grid_thw"][0].tolist()
        corners = torch.tensor(limited, dtype=torch.float32).repeat(2)
        boxes = (torch.from_numpy(boxes_xyxy).float() * factors).clamp(min=0).minimum(corners)
        to_vit = torch.tensor([columns * 14 / limited[0], rows * 14 / limited[1]]).repeat(2)
        return {
            "pixel_values": patches["pixel_values"],
            "image_grid_thw": patches["image_grid_thw"],
            "aux_image": (pixels - mean[:, None, None]) / spread[:, None, None],
            "aux_boxes": boxes,
            "vt_boxes": boxes * to_vit,
        }

    def _encode_regions(self, tensors: dict[str, Tensor], vit_hw: tuple[int, int], num_maps: int) -> None:
        finest = tensors["davit_level0"]
        joined = torch.cat(
            [
                F.interpolate(
                    tensors[f"davit_level{level}"], finest.shape[-2:], mode="bilinear", align_corners=False
                )
                for level in range(4)
            ],
            dim=1,
        )
        tensors["hfre_aux_pooled"] = _pool(joined, tensors["aux_boxes"], 1 / 4)
        pooled = []
        for level, (features, stride) in enumerate(
            zip(self._pyramid(tensors[f"vit_level{num_maps - 1}"]), (3.5, 7, 14, 28), strict=True)
        ):
            tensors[f"fpn_level{level}"] = features
            pooled.append(_pool(features, tensors["vt_boxes"], 1 / stride))
        tensors["hfre_vt_pooled"] = torch.cat(pooled, dim=-1)
        for part in ("aux", "vt"):
            features = tensors[f"hfre_{part}_pooled"]
            if self.config["mm_apply_region_layer_norm"]:
                norm = self._part(f"{_REGIONS}{part}_region_norm.")
                features = F.layer_norm(features, features.shape[-1:], norm["weight"], norm["bias"])
            tensors[f"hfre_{part}_normed"] = features
        features = torch.cat([tensors["hfre_aux_normed"], tensors["hfre_vt_normed"]], dim=-1)[0]
        tensors["region_features"] = features + _sines(tensors["vt_boxes"], vit_hw, features.shape[-1])
        tensors["region_embeds"] = self._project("model.mm_projector_aux.", tensors["region_features"])

    def _pyramid(self, features: Tensor) -> list[Tensor]:
        weights = self._part(f"{_REGIONS}simple_fpn.")

        def grown(x: Tensor, name: str) -> Tensor:
            return F.conv_transpose2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2)

        def normed(x: Tensor, name: str) -> Tensor:
            x = x.permute(0, 2, 3, 1)
            x = F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)
            return x.permute(0, 3, 1, 2)

        def refined(x: Tensor, first: str, second: str) -> Tensor:
            for name, padding in ((first, 0), (second, 1)):
                x = normed(F.conv2d(x, weights[f"{name}.weight"], padding=padding), f"{name}.norm")
            return x

        fourfold = F.gelu(normed(grown(features, "simfp_1.0"), "simfp_1.1"))
        return [
            refined(grown(fourfold, "simfp_1.3"), "simfp_1.4", "simfp_1.5"),
            refined(grown(features, "simfp_2.0"), "simfp_2.1", "simfp_2.2"),
            refined(features, "simfp_3.0", "simfp_3.1"),
            refined(F.max_pool2d(features, 2), "simfp_4.1", "simfp_4.2"),
        ]

    def _project(self, name: str, features: Tensor) -> Tensor:
        weights = self._part(name)
        if not weights:
            return features
        hidden = F.gelu(F.linear(features, weights["0.weight"], weights["0.bias"]))
        return F.linear(hidden, weights["2.weight"], weights["2.bias"])

    @torch.no_grad()
    def answer(self, encoded: dict[str, Tensor], question: str, max_new_tokens: int) -> dict[str, Tensor]:
        """Every tensor of one question, by its golden name without the prompt's number."""
        ids = self._prompt_ids(len(encoded["aux_boxes"]), question)
        embeds, positions = self._embed(ids, encoded)
        hidden = self._states(embeds, positions)
        tensors = {
            "input_ids": torch.tensor([ids]),
            "inputs_embeds": embeds[None],
            "position_ids": positions[:, None],
            "rope_deltas": torch.tensor([[int(positions.max()) + 1 - len(embeds)]]),
            "last_hidden_state": hidden[None],
            "logits_last8": self._logits(hidden[-8:])[None],
        }
        tokens: list[int] = []
        margins: list[float] = []
        while len(tokens) < max_new_tokens and (not tokens or tokens[-1] != self.stop_id):
            best = self._logits(self._states(embeds, positions)[-1]).topk(2)
            tokens.append(int(best.indices[0]))
            margins.append(float(best.values[0] - best.values[1]))
            embeds = torch.cat([embeds, self._embedding(tokens[-1:])])
            positions = torch.cat([positions, positions.max().expand(3, 1) + 1], dim=1)
        return {**tensors, "generated_ids": torch.tensor(tokens), "generated_margin": torch.tensor(margins)}

    def _prompt_ids(self, num_boxes: int, question: str) -> list[int]:
        regions = "".join(f"<region{i}>\0" for i in range(num_boxes))
        text = (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
            f"<|vision_start|>\0<|vision_end|>{chr(10) if num_boxes else ''}{regions}\n"
            f"{question}<|im_end|>\n<|im_start|>assistant\n"
        )
        ids: list[int] = []
        for number, piece in enumerate(text.split("\0")):
            ids += ([] if number == 0 else [IMAGE_ID] if number == 1 else [REGION_ID]) + (
                self.tokenizer(piece, add_special_tokens=False)["input_ids"]
            )
        return ids

    def _embed(self, ids: list[int], encoded: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings (L, D) and positions (3, L)."""
        _, rows, columns = (encoded["image_grid_thw"][0] // torch.tensor([1, 2, 2])).tolist()
        parts: list[Tensor] = []
        positions: list[Tensor] = []
        following = region = 0
        for index in ids:
            if index == IMAGE_ID:
                parts.append(encoded["image_embeds"])
                cells = torch.cartesian_prod(torch.arange(1), torch.arange(rows), torch.arange(columns))
                positions.append(cells.T + following)
                following += max(rows, columns)
                continue
            if index == REGION_ID:
                parts.append(encoded["region_embeds"][region][None])
                region += 1
            else:
                parts.append(self._embedding([index]))
            positions.append(torch.full((3, 1), following))
            following += 1
        return torch.cat(parts), torch.cat(positions, dim=1)

    def _embedding(self, ids: list[int]) -> Tensor:
        return self.weights["model.embed_tokens.weight"][ids]

    def _states(self, embeds: Tensor, positions: Tensor) -> Tensor:
        out = self.language_model(
            inputs_embeds=embeds[None], position_ids=positions[:, None], use_cache=False
        )
        return out.last_hidden_state[0]

    def _logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.weights["model.embed_tokens.weight"])


def _vit(config: dict[str, Any], weights: dict[str, Tensor]) -> Any:
    model = Qwen2_5_VisionTransformerPretrainedModel._from_config(Qwen2_5_VLVisionConfig(**config))
    model.load_state_dict(weights)
    return model.eval()


def _davit(config: dict[str, Any], weights: dict[str, Tensor]) -> Any:
    names = ("depths", "num_heads", "num_groups", "window_size")
    geometry = ("patch_size", "patch_stride", "patch_padding", "patch_prenorm")
    settings = {name: config[name] for name in (*names, *geometry) if name in config}
    model = Florence2VisionBackbone._from_config(
        Florence2VisionConfig(embed_dim=config["dim_embed"], drop_path_rate=0.0, **settings)
    )
    renamed = {}
    for name, weight in weights.items():
        for pattern, replacement in _DAVIT_NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = weight
    model.load_state_dict(renamed)
    return model.eval()


def _language_model(config: dict[str, Any], weights: dict[str, Tensor]) -> Any:
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    settings = {name: config[name] for name in (*names, "num_key_value_heads", "rms_norm_eps")}
    rope = {"rope_type": "default", "rope_theta": config["rope_theta"]}
    rope |= {"mrope_section": config["rope_scaling"]["mrope_section"]}
    absent = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    model = Qwen2_5_VLTextModel._from_config(
        Qwen2_5_VLTextConfig(**settings, rope_parameters=rope, use_sliding_window=False, **absent)
    )
    model.load_state_dict(weights)
    return model.eval()


def _window_order(rows: int, columns: int, window: int) -> list[int]:
    """Raster indices of merged tokens, window after window."""
    return [
        row * columns + column
        for top in range(0, rows, window)
        for left in range(0, columns, window)
        for row in range(top, min(top + window, rows))
        for column in range(left, min(left + window, columns))
    ]


def _to_map(state: Tensor, order: list[int], rows: int, columns: int) -> Tensor:
    """(gh * gw, C) in window order to (1, C, gh, gw); four patches that are merged lie together."""
    raster = torch.zeros(1, state.shape[-1], rows, columns)
    for place, index in enumerate(order):
        row, column = divmod(index, columns // 2)
        square = state[4 * place : 4 * place + 4].T.view(-1, 2, 2)
        raster[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = square
    return raster


def _pool(features: Tensor, boxes: Tensor, scale: float) -> Tensor:
    """(1, C, H, W) and boxes (N, 4) to (1, N, C)."""
    return roi_align(features, [boxes], 7, scale, sampling_ratio=-1, aligned=False).mean((2, 3))[None]


def _sines(boxes: Tensor, image_hw: tuple[int, int], width: int) -> Tensor:
    """(N, width): cy, cx, w and h of each box over the image's sides, as sines and cosines in turn."""
    height, width_px = image_hw
    x0, y0, x1, y1 = boxes.unbind(1)
    values = ((y0 + y1) / 2 / height, (x0 + x1) / 2 / width_px, (x1 - x0) / width_px, (y1 - y0) / height)
    num = width // 4
    sines = torch.zeros(len(boxes), 4, num)
    for part, value in enumerate(values):
        for channel in range(num):
            angle = value * 2 * math.pi / 10000 ** (2 * (channel // 2) / num)
            sines[:, part, channel] = angle.cos() if channel % 2 else angle.sin()
    return sines.flatten(1)
