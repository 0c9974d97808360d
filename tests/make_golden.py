"""Makes `tests/model/golden`: a tiny checkpoint of random weights, and what `plain_model` computes with it.

The layout is that of `fo1 model verify --golden`. Run it after a change of the checkpoint's layout only:

    python tests/make_golden.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from plain_model import PlainModel
from random_checkpoint import raw_config, write_random_checkpoint
from safetensors.torch import save_file
from torch import Tensor

GOLDEN = Path(__file__).parent / "model" / "golden"
NUM_NEW_TOKENS = 24
# Below this gap between the two best logits another machine could choose another token.
LEAST_MARGIN = 1e-2

# By name: width, height, boxes, questions.
CASES: dict[str, tuple[int, int, list[list[float]], list[str]]] = {
    "boxes": (
        100,
        75,
        [
            [0, 0, 100, 75],
            [10.5, 20.25, 60, 44],
            [-12, -5, 130, 40],
            [30, 30, 30, 30],
            [50, 60, 20, 10],
            [99.5, 74.5, 100, 75],
        ],
        ["Provide a brief description for <region1>.", "Where is it?"],
    ),
    "no_boxes": (50, 84, [], ["How many are there?"]),
}


def compute_case(
    model: PlainModel, image: Image.Image, boxes_xyxy: np.ndarray, questions: list[str]
) -> dict[str, Tensor]:
    """All golden tensors of an image, its boxes (N, 4) in its pixels and questions."""
    encoded = model.encode(image, boxes_xyxy)
    tensors = {
        "image_u8": torch.from_numpy(np.array(image)),
        "boxes_xyxy": torch.from_numpy(boxes_xyxy).double(),
        **encoded,
    }
    for number, question in enumerate(questions):
        answer = model.answer(encoded, question, NUM_NEW_TOKENS)
        tensors |= {f"p{number}.{name}": tensor for name, tensor in answer.items()}
    return tensors


def write_case(model: PlainModel, name: str, folder: Path) -> None:
    width, height, boxes, questions = CASES[name]
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    boxes_xyxy = np.array(boxes, np.float64).reshape(-1, 4)
    tensors = compute_case(model, Image.fromarray(pixels), boxes_xyxy, questions)
    prompts = []
    for number, question in enumerate(questions):
        margin = float(tensors[f"p{number}.generated_margin"].min())
        assert margin > LEAST_MARGIN, f"{name}: the two best tokens differ by {margin}; take another seed"
        ids = tensors[f"p{number}.generated_ids"].tolist()
        prompts.append({"text": question, "generated_ids": ids, "min_margin": margin})
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps({"id": name, "prompts": prompts}, indent=1) + "\n")


def main() -> None:
    torch.set_num_threads(1)
    vision = {**raw_config()["vision_config"], "depth": 4, "fullatt_block_indexes": [1, 3]}
    write_random_checkpoint(GOLDEN / "model", seed=1, spread=0.4, vision_config=vision)
    model = PlainModel(GOLDEN / "model")
    (GOLDEN / "cases").mkdir(exist_ok=True)
    for name in CASES:
        write_case(model, name, GOLDEN / "cases")
    index = {"n_new_tokens": NUM_NEW_TOKENS, "cases": [{"id": name} for name in CASES]}
    (GOLDEN / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
