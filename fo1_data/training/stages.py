"""The weights that each training stage trains.

Stage 1, region-language alignment: the region encoder, the projectors, and the embeddings of the tokens
that VLM-FO1 adds (region indices and grounding marks); everything else is frozen. Stage 2, perception
instruction tuning: also the language model with all its embeddings, or adapters of it, and chosen parts of
both encoders. (VLM-FO1, arXiv 2509.25916, section 4.)
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fo1_data.errors import ConfigError
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import PromptTokenizer
from fo1_data.training.adapters import add_adapters, is_adapter
from fo1_data.training.settings import Stage, TrainConfig

_EMBEDDINGS = "language_model.embed_tokens.weight"
_HEAD = "lm_head.weight"  # only if it is not tied to the embeddings
_STAGE_1 = ("region_encoder.", "region_projector.", "image_projector.", _EMBEDDINGS, _HEAD)
_NEW_TOKENS = ("<ground>", "</ground>", "<objects>", "</objects>")


def choose_parameters(
    model: Fo1Model, tokenizer: PromptTokenizer, stage: Stage, config: TrainConfig
) -> dict[str, nn.Parameter]:
    """Freeze the weights that the stage does not train, add adapters if set, and return the trained weights.

    In stage 1, and with adapters, the embedding rows of the original tokens get no gradient, so they stay
    unchanged to the bit. Raises ConfigError if an auxiliary part matches no weight, or if adapters are set
    for stage 1.
    """
    if stage == 1 and config.lora_rank:
        raise ConfigError("lora_rank is for stage 2: stage 1 does not train the language model")
    prefixes: tuple[str, ...] = _STAGE_1
    if stage == 2:
        prefixes += _tower_prefixes(model, "vision_tower_aux.", config.auxiliary_parts, "auxiliary_parts")
        prefixes += _tower_prefixes(model, "vision_tower.", config.primary_parts, "primary_parts")
        if config.lora_rank:
            add_adapters(model.language_model, config.lora_rank)
        else:
            prefixes += ("language_model.",)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(prefixes) or is_adapter(name))
    if stage == 1 or config.lora_rank:
        rows = torch.zeros(model.config.text.vocab_size, 1)
        rows[new_token_ids(tokenizer)] = 1
        _train_rows(model.language_model.embed_tokens.weight, rows)
        if not model.config.text.tie_word_embeddings:
            _train_rows(model.lm_head.weight, rows)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def new_token_ids(tokenizer: PromptTokenizer) -> list[int]:
    """Ids of the tokens that VLM-FO1 adds to the vocabulary of its language model."""
    return [*tokenizer.special.regions, *map(tokenizer.token_id, _NEW_TOKENS)]


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to matrices and kernels, not to norms, biases and embeddings."""
    return parameter.ndim > 1 and name not in (_EMBEDDINGS, _HEAD)


def _tower_prefixes(model: Fo1Model, tower: str, parts: Sequence[str], setting: str) -> tuple[str, ...]:
    """The starts of the names of the parts of a tower. Raises ConfigError if one of them names no weight."""
    prefixes = tuple(f"{tower}{part}" for part in parts)
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name, _ in model.named_parameters()):
            raise ConfigError(f"{setting}: no weight of this encoder starts with {prefix}")
    return prefixes


def _train_rows(weight: Tensor, rows: Tensor) -> None:
    """Multiply the gradient of `weight` (V, D) by `rows` (V, 1), 1 for the rows to train."""
    weight.register_hook(lambda gradient: gradient * rows.to(gradient))
