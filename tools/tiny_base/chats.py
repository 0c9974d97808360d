"""Chats in plain text in which something is looked up in a list.

Shapes: B chats, L tokens of the longest.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fo1_data.model.tokenizer_files import read_tokenizer
from fo1_data.synthetic.scenes import make_scene
from fo1_data.synthetic.wording import brief_caption
from tools.tiny_base.models import markup_of

IGNORED = -100
_LETTERS = string.ascii_uppercase
_WORD = re.compile("\u0120[a-z]{2,}")  # a token of a whole word, with the space before it
_MOST_LETTERS, _MOST_WORDS, _TURNS = 4, 8, 4


@dataclass(frozen=True)
class Look:
    """Tokens from `start` to `end`, and the tokens from `first` to `last` that they should look at."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class Chat:
    """ids: of the whole chat. answers: where each answer starts and ends among them.

    keys: tokens of a value, or at which an answer is said, look at its key before them. values: tokens at
    which an answer is said look at the value in the list.
    """

    ids: list[int]
    answers: list[tuple[int, int]]
    keys: list[Look]
    values: list[Look]


@dataclass(frozen=True)
class Listing:
    """A list in which each value stands behind its key."""

    keys: Sequence[str]
    values: Sequence[str]

    def question(self, asked: int) -> str:
        """What asks for one of the values."""
        return f"Provide a brief description for {self.keys[asked]}."

    def __str__(self) -> str:
        return "\n".join(f" {key} {value}" for key, value in zip(self.keys, self.values, strict=True))


def captions_from(count: int, first_seed: int) -> list[str]:
    """Brief captions of as many generated objects."""
    scenes = (make_scene(seed, (1, 1), (96, 96)) for seed in range(first_seed, first_seed + count))
    return [brief_caption(scene.objects[0]) for scene in scenes]


class Chats:
    """Draws chats of a base whose tokenizer lies in the folder."""

    def __init__(self, folder: Path, family: str, captions: list[str]) -> None:
        self._tokenizer, self._markup, self._captions = read_tokenizer(folder), markup_of(family), captions
        self._words = sorted({word for caption in captions for word in caption.split()})
        words = {word[1:] for word in self._tokenizer.get_vocab() if _WORD.fullmatch(word)}
        self._keys = sorted(words.difference(self._words))

    def descriptions(self, rng: np.random.Generator) -> Listing:
        """One to four descriptions, each behind a letter."""
        count = int(rng.integers(1, _MOST_LETTERS + 1))
        values = [self._captions[int(number)] for number in rng.integers(len(self._captions), size=count)]
        return Listing(rng.permutation(list(_LETTERS))[:count].tolist(), values)

    def words(self, rng: np.random.Generator, most: int = _MOST_WORDS) -> Listing:
        """One word to `most`, each with one to three words of descriptions behind it."""
        keys = rng.choice(self._keys, int(rng.integers(1, most + 1)), replace=False).tolist()
        return Listing(keys, [" ".join(rng.choice(self._words, int(rng.integers(1, 4)))) for _ in keys])

    def practice(self, rng: np.random.Generator, step: int) -> Chat:
        """Half descriptions, half words, whose lists grow with the steps; several of each are asked for."""
        if rng.random() < 0.5:
            return self.chat(self.descriptions(rng), rng, _TURNS)
        return self.chat(self.words(rng, min(_MOST_WORDS, 2 + step // 50)), rng, _TURNS)

    def chat(self, listing: Listing, rng: np.random.Generator, turns: int = 1) -> Chat:
        """A chat about a list, which stands in the first turn. Each turn asks for another value of it."""
        ids, places = self._ids(f"{self._markup.text_only}\n"), list[tuple[int, int]]()
        answers, keys, values = list[tuple[int, int]](), list[Look](), list[Look]()
        for key, value in zip(listing.keys, listing.values, strict=True):
            ids += self._ids(f" {key}")
            start, end = len(ids), len(ids) + len(self._ids(f" {value}"))
            places.append((start, end))
            keys.append(Look(start, end, start - 1, start))
            ids += self._ids(f" {value}\n")
        for turn, asked in enumerate(rng.permutation(len(listing.keys))[:turns].tolist()):
            begin = f"{self._markup.text_only}\n" if turn else ""
            ids += self._ids(f"{begin}{listing.question(asked)}{self._markup.turn_end}")
            answer = self._ids(listing.values[asked] + self._markup.end_of_turn)
            start, end = len(ids) - 1, len(ids) + len(answer) - 2  # the end of the turn needs no look
            place = len(ids) - len(self._ids(f".{self._markup.turn_end}")) - 1
            answers.append((len(ids), len(ids) + len(answer)))
            keys.append(Look(start, end, place, place + 1))
            values.append(Look(start, end, *places[asked]))
            ids += answer
        return Chat(ids, answers, keys, values)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def batch_of(chats: list[Chat]) -> dict[str, Tensor]:
    """What a model of transformers takes: ids, labels and mask, each (B, L)."""
    longest = max(len(chat.ids) for chat in chats)
    ids_BL = torch.zeros((len(chats), longest), dtype=torch.long)
    labels_BL, mask_BL = torch.full_like(ids_BL, IGNORED), torch.zeros_like(ids_BL)
    for row, chat in enumerate(chats):
        ids_BL[row, : len(chat.ids)] = torch.tensor(chat.ids)
        mask_BL[row, : len(chat.ids)] = 1
        for start, end in chat.answers:
            labels_BL[row, start:end] = ids_BL[row, start:end]
    return {"input_ids": ids_BL, "labels": labels_BL, "attention_mask": mask_BL}


def looks_of(looks: list[list[Look]], length: int) -> Tensor:
    """(B, L, L) bool: what each token should look at. looks: of each chat."""
    wanted_BLL = torch.zeros((len(looks), length, length), dtype=torch.bool)
    for row, of_chat in enumerate(looks):
        for look in of_chat:
            wanted_BLL[row, look.start : look.end, look.first : look.last] = True
    return wanted_BLL
