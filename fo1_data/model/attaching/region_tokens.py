"""The tokens that VLM-FO1 adds: their places in the tokenizer, and their first embeddings.

A new row of an embedding is the mean of a few rows of the base, drawn by the seed. So no answer changes by
it: the logit of a mean of rows is never above the largest logit of these rows, and greedy decoding goes on as
the base alone would.
"""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from fo1_data.errors import CheckpointError
from fo1_data.model.bases.family import ChatMarkup
from fo1_data.model.prompts import MAX_REGIONS
from fo1_data.model.tokenizer_files import read_tokenizer
from fo1_data.storage.json_text import parse_json

REGION_TOKENS = (
    "<ground>",
    "</ground>",
    "<objects>",
    "</objects>",
    *(f"<region{i}>" for i in range(MAX_REGIONS)),
)
# Few, so that the new rows differ from each other about as much as those of the base.
_DRAWN_ROWS = 8


def extend_tokenizer(base: Path, markup: ChatMarkup, out: Path) -> int:
    """Write the base's tokenizer with the tokens of regions as `tokenizer.json`; returns how many ids the
    base's own tokens take, unused ones between them included.

    Raises CheckpointError if the base's tokenizer does not load, or lacks a token of the family's markup.
    """
    tokenizer = read_tokenizer(base)
    _refuse_missing(tokenizer, markup, base)
    num_ids = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    tokenizer.add_special_tokens(list(REGION_TOKENS))
    tokenizer.save(str(out / "tokenizer.json"))
    settings = _read_json(base / "tokenizer_config.json")
    described = dict(settings.get("added_tokens_decoder") or {})
    described |= {str(tokenizer.token_to_id(token)): _options(token) for token in REGION_TOKENS}
    text = json.dumps({**settings, "added_tokens_decoder": described}, indent=1, ensure_ascii=False)
    (out / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
    return num_ids


def num_rows_with_regions(num_rows: int, tokenizer: Tokenizer) -> int:
    """The rows of an embedding in which every token has one: the base's, and more where it has too few."""
    return max(num_rows, max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1)


def extended_rows(weight_VD: Tensor, num_own: int, num_rows: int, seed: int) -> Tensor:
    """An embedding, or an output head, with rows for new tokens behind its first `num_own` ones."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(num_own, (num_rows - num_own, _DRAWN_ROWS), generator=generator)
    means = torch.stack([weight_VD[rows].float().mean(0) for rows in drawn]) if len(drawn) else weight_VD[:0]
    return torch.cat((weight_VD[:num_own], means.to(weight_VD.dtype)))


def _refuse_missing(tokenizer: Tokenizer, markup: ChatMarkup, folder: Path) -> None:
    missing = [token for token in markup.tokens if tokenizer.token_to_id(token) is None]
    if missing:
        raise CheckpointError(
            f"{folder}: the tokenizer has no {', '.join(missing)}, which this family's chats need"
        )


def _options(token: str) -> dict[str, Any]:
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {"content": token, **flags, "special": True}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = parse_json(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    return document if isinstance(document, dict) else {}
