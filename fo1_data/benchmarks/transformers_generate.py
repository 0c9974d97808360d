"""How a competent user would ask many questions about an image with transformers' own `generate`.

Both ways encode an image once and answer all questions about it in one greedy call. With a shared prefix,
the prompt up to the question is prefilled once, and its cache is repeated for the questions. Left-padded, all
prompts run whole. The image is encoded by the model's own towers, or by those of another `Encode`.

Shapes: n questions, P tokens of the prefix, Q tokens of the longest question, L tokens of a row so far.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from fo1_data.benchmarks.transformers_decoder import transformers_decoder
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.processing import PreparedImage
from fo1_data.model.region_fusion import PromptEmbeds, embed_prompt
from fo1_data.model.rotary import text_positions

# How an image becomes what the language model reads.
Encode = Callable[[Fo1Model, PreparedImage], ImageFeatures]

# What `generate` calls the cache: `cache` since transformers 5.24.
_STEP_PARAMETERS = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
_CACHE = "cache" if "cache" in _STEP_PARAMETERS else "past_key_values"


def encode_by_model(model: Fo1Model, image: PreparedImage) -> ImageFeatures:
    """As the engine encodes an image."""
    return model.encode_images([image])[0]


@torch.inference_mode()
def generate_on_shared_prefix(
    checkpoint: Checkpoint,
    image: Image.Image,
    boxes_xyxy: npt.NDArray[Any],
    questions: Sequence[str],
    max_new_tokens: int,
    encode: Encode = encode_by_model,
) -> list[list[int]]:
    """Greedy token ids of each question. boxes_xyxy: (R, 4), at most 100 boxes."""
    prompt = _prompt(checkpoint, image, boxes_xyxy, encode)
    cache = DynamicCache()
    transformers_decoder(checkpoint.model)(
        None, None, prompt.positions[:, None].to(checkpoint.model.device), cache,
        inputs_embeds=prompt.embeds[None], use_cache=True,
    )  # fmt: skip
    cache.batch_repeat_interleave(len(questions))
    tails_nQ, mask_nQ = _pad_left([checkpoint.tokenizer.tail_ids(question) for question in questions])
    prefix_nP = torch.ones(len(questions), len(prompt.embeds), dtype=torch.long)
    return _generate(
        checkpoint,
        prompt,
        max_new_tokens,
        num_input_ids=prefix_nP.shape[1] + tails_nQ.shape[1],
        # The ids of the prefix are not read: its keys and values are in the cache.
        input_ids=torch.cat((prefix_nP, tails_nQ), dim=1),
        attention_mask=torch.cat((prefix_nP, mask_nQ), dim=1),
        **{_CACHE: cache},
    )


@torch.inference_mode()
def generate_left_padded(
    checkpoint: Checkpoint,
    image: Image.Image,
    boxes_xyxy: npt.NDArray[Any],
    questions: Sequence[str],
    max_new_tokens: int,
    encode: Encode = encode_by_model,
) -> list[list[int]]:
    """Greedy token ids of each question. boxes_xyxy: (R, 4), at most 100 boxes."""
    prompt = _prompt(checkpoint, image, boxes_xyxy, encode)
    tails_nQ, mask_nQ = _pad_left([checkpoint.tokenizer.tail_ids(question) for question in questions])
    tails_nQD = checkpoint.model.embed_tokens(tails_nQ.to(checkpoint.model.device))
    longest = tails_nQ.shape[1]
    rows, masks = [], []
    for tail_QD, mask_Q in zip(tails_nQD, mask_nQ, strict=True):
        padding = longest - int(mask_Q.sum())
        rows.append(torch.cat((tail_QD[:padding], prompt.embeds, tail_QD[padding:])))
        masks.append(torch.cat((mask_Q[:padding], mask_Q.new_ones(len(prompt.embeds)), mask_Q[padding:])))
    return _generate(
        checkpoint,
        prompt,
        max_new_tokens,
        num_input_ids=0,
        inputs_embeds=torch.stack(rows),
        attention_mask=torch.stack(masks),
    )


def _prompt(
    checkpoint: Checkpoint, image: Image.Image, boxes_xyxy: npt.NDArray[Any], encode: Encode
) -> PromptEmbeds:
    prepared = checkpoint.processor.prepare(image, boxes_xyxy)
    features = encode(checkpoint.model, prepared)
    ids = checkpoint.tokenizer.prefix_ids(len(boxes_xyxy), has_image=True)
    return embed_prompt(checkpoint.model, ids, features, prepared.grid_hw)


def _pad_left(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Ids (n, Q) padded with 0 on the left, and their mask: 1 where there is a token."""
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def _generate(
    checkpoint: Checkpoint, prompt: PromptEmbeds, max_new_tokens: int, num_input_ids: int, **inputs: Any
) -> list[list[int]]:
    end_of_turn = checkpoint.tokenizer.special.end_of_turn
    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=end_of_turn, pad_token_id=end_of_turn
    )
    generator = _Generator(checkpoint.model, prompt)
    device = checkpoint.model.device
    inputs = {
        name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()
    }
    generate: Callable[..., Tensor] = generator.generate  # type: ignore[misc, assignment]
    answers_nL = generate(**inputs, generation_config=settings)
    return [_until(answer[num_input_ids:], end_of_turn) for answer in answers_nL.tolist()]


def _until(ids: list[int], last: int) -> list[int]:
    """The ids up to the first `last`, which is kept."""
    return ids[: ids.index(last) + 1] if last in ids else ids


class _Generator(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """The language model as `generate` wants it, with the positions of rows that start with one prompt."""

    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, model: Fo1Model, prompt: PromptEmbeds) -> None:
        decoder = transformers_decoder(model)
        super().__init__(decoder.config)
        # In lists, so that they are not registered as submodules.
        self._model, self._decoder = [model], [decoder]
        after = text_positions(prompt.next_position, 1)
        self._positions_3L = torch.cat((prompt.positions, after), dim=1).to(model.device)

    @property
    def device(self) -> torch.device:
        return self._model[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self._model[0].dtype

    def forward(  # type: ignore[no-untyped-def]
        self,
        input_ids=None,
        attention_mask=None,
        past_key_values=None,
        cache=None,
        inputs_embeds=None,
        logits_to_keep=1,
        **_,
    ) -> CausalLMOutputWithPast:
        past_key_values = past_key_values if cache is None else cache
        model = self._model[0]
        embeds = model.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if attention_mask is None:  # `generate` drops a mask without padding
            attention_mask = torch.ones(len(embeds), past_key_values.get_seq_length() + embeds.shape[1])
        positions_3nQ = self._positions(attention_mask.long())[..., -embeds.shape[1] :]
        out = self._decoder[0](
            None, attention_mask, positions_3nQ, past_key_values, inputs_embeds=embeds, use_cache=True
        )
        logits = model.logits(out.last_hidden_state[:, -1:])
        return CausalLMOutputWithPast(logits=logits, past_key_values=out.past_key_values)

    def _positions(self, mask_nL: Tensor) -> Tensor:
        """(3, n, L): a row's tokens take the prompt's positions, then the text positions that follow."""
        index_nL = (mask_nL.cumsum(dim=1) - 1).clamp(min=0)
        last = self._positions_3L.shape[1] - 1
        return self._positions_3L[:, index_nL.clamp(max=last)] + (index_nL - last).clamp(min=0)
