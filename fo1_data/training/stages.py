"""Which weights a stage trains.

Stage 1, region-language alignment: the region encoder, the projectors, and the embeddings of the tokens
that VLM-FO1 adds (region indices and grounding marks); everything else is frozen. Stage 2, perception
instruction tuning: the language model with all its embeddings, or adapters of it, and chosen parts of the
auxiliary encoder, too. (VLM-FO1, arXiv 2509.25916, section 4.)
"""

import torch
from torch import Tensor, nn

from fo1_data.errors import ConfigError
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import PromptTokenizer
from fo1_data.training.adapters import add_adapters, is_adapter
from fo1_data.training.settings import Stage, TrainConfig

_EMBEDDINGS = "language_model.embed_tokens.weight"
_HEAD = "lm_head.weight"  # there where it is not the embeddings
_STAGE_1 = ("region_encoder.", "region_projector.", "image_projector.", _EMBEDDINGS, _HEAD)
_NEW_TOKENS = ("<ground>", "</ground>", "<objects>", "</objects>")


def choose_parameters(
    model: Fo1Model, tokenizer: PromptTokenizer, stage: Stage, config: TrainConfig
) -> dict[str, nn.Parameter]:
    """Freeze what the stage leaves alone and return what it trains, by name.

    In stage 1, and with adapters, the rows of old tokens get no gradient, so that they stay as they are to
    the bit. Adds the adapters. Raises ConfigError where an auxiliary part names nothing, or stage 1 is to
    train adapters.
    """
    if stage == 1 and config.lora_rank:
        raise ConfigError("lora_rank is for stage 2: stage 1 leaves the language model as it is")
    wanted: tuple[str, ...] = _STAGE_1
    if stage == 2:
        wanted += _auxiliary(model, config)
        if config.lora_rank:
            add_adapters(model.language_model, config.lora_rank)
        else:
            wanted += ("language_model.",)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(wanted) or is_adapter(name))
    if stage == 1 or config.lora_rank:
        rows = torch.zeros(model.config.text.vocab_size, 1)
        rows[new_token_ids(tokenizer)] = 1
        _only_rows(model.language_model.embed_tokens.weight, rows)
        if not model.config.text.tie_word_embeddings:
            _only_rows(model.lm_head.weight, rows)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def new_token_ids(tokenizer: PromptTokenizer) -> list[int]:
    """Ids of the tokens that VLM-FO1 adds to its language model's."""
    marks: list[int] = tokenizer.tokenizer.convert_tokens_to_ids(list(_NEW_TOKENS))  # type: ignore[assignment]
    return [*tokenizer.special.regions, *marks]


def decayed(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to matrices and kernels, not to norms, biases and embeddings."""
    return parameter.ndim > 1 and name not in (_EMBEDDINGS, _HEAD)


def _auxiliary(model: Fo1Model, config: TrainConfig) -> tuple[str, ...]:
    names = [name for name, _ in model.named_parameters() if name.startswith("vision_tower_aux.")]
    parts = tuple(f"vision_tower_aux.{part}" for part in config.auxiliary_parts)
    for part in parts:
        if not any(name.startswith(part) for name in names):
            raise ConfigError(f"auxiliary_parts: no weight of the auxiliary encoder starts with {part}")
    return parts


def _only_rows(weight: Tensor, rows: Tensor) -> None:
    weight.register_hook(lambda gradient: gradient * rows.to(gradient))
