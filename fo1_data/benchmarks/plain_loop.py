"""The baseline for the engine's speed and answers: each question alone, with everything computed anew.

For each question, the image and its regions are encoded, the whole prompt is prefilled, and the answer is
decoded token by token with transformers' own decoder and cache, in the way the reference model is used.
"""

from typing import Any

import numpy.typing as npt
import torch
from PIL import Image
from transformers import DynamicCache

from fo1_data.benchmarks.transformers_decoder import transformers_decoder
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.region_fusion import embed_prompt
from fo1_data.model.rotary import text_positions


@torch.inference_mode()
def answer_alone(
    checkpoint: Checkpoint,
    image: Image.Image | None,
    boxes_xyxy: npt.NDArray[Any],
    question: str,
    max_new_tokens: int = 256,
) -> list[int]:
    """Greedy token ids, with the end of turn if it was reached. boxes_xyxy: (R, 4), at most 100 boxes."""
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    prepared = checkpoint.processor.prepare(image, boxes_xyxy) if image is not None else None
    features = model.encode_images([prepared])[0] if prepared is not None else None
    ids = tokenizer.prefix_ids(len(boxes_xyxy), has_image=image is not None) + tokenizer.tail_ids(question)
    prompt = embed_prompt(model, ids, features, prepared.grid_hw if prepared is not None else None)

    decoder, cache = transformers_decoder(model), DynamicCache()
    embeds, positions, position = prompt.embeds[None], prompt.positions[:, None], prompt.next_position
    answer: list[int] = []
    while len(answer) < max_new_tokens:
        # The cache is a positional argument: its name depends on the version of transformers.
        out = decoder(None, None, positions.to(model.device), cache, inputs_embeds=embeds, use_cache=True)
        token = int(model.logits(out.last_hidden_state[:, -1]).argmax())
        answer.append(token)
        if token == tokenizer.special.end_of_turn:
            break
        embeds = model.embed_tokens(torch.tensor([[token]], device=model.device))
        positions = text_positions(position, 1)[:, None]
        position += 1
    return answer
