"""Qwen2's byte-level BPE tokenizer from the files of a checkpoint, by the `tokenizers` library alone.

Reads `tokenizer.json`, or `vocab.json` with `merges.txt`, and the added tokens of `tokenizer_config.json` and
`added_tokens.json`. transformers' `Qwen2Tokenizer` gives the same ids, but takes a second to import.
"""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from fo1_data.errors import CheckpointError
from fo1_data.storage.json_text import parse_object

# Where Qwen2 cuts a text before it pairs bytes: contractions, words, single digits, punctuation, line ends.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PANIC = "PanicException"


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer of a checkpoint folder.

    Raises CheckpointError if files are missing or broken, or if an added token cannot have its id.
    """
    try:
        tokenizer = _read_vocabulary(folder)
        added = _read_added_tokens(folder)
        for token_id, token in sorted(added.items()):
            tokenizer.add_special_tokens([token]) if token.special else tokenizer.add_tokens([token])
            if tokenizer.token_to_id(token.content) != token_id:
                raise ValueError(f"the added token {token.content} has no place at id {token_id}")
    except BaseException as error:
        # `tokenizers` raises plain exceptions, and of some files a panic, which is none.
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder}: the tokenizer does not load: {reason}") from error
    return tokenizer


def _read_vocabulary(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer(BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.normalizer = normalizers.NFC()
    cut = pre_tokenizers.Split(Regex(_WORDS), behavior="isolated")
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, bytes_of])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _read_added_tokens(folder: Path) -> dict[int, AddedToken]:
    """Added tokens by id, those of `tokenizer_config.json` with their options."""
    listed = _read_json(folder / "added_tokens.json")
    tokens = {int(token_id): AddedToken(content, normalized=False) for content, token_id in listed.items()}
    described = _read_json(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    for token_id, options in described.items():
        names = ("lstrip", "rstrip", "single_word", "normalized", "special")
        chosen = {name: bool(options[name]) for name in names if name in options}
        tokens[int(token_id)] = AddedToken(options["content"], **chosen)
    return tokens


def _read_json(path: Path) -> dict[str, Any]:
    return parse_object(path.read_bytes()) if path.is_file() else {}
