"""The prompt: a prefix for each image, a tail for each question, and the wording of each label kind.

The prefix ends with the last region feature; a tail starts with the newline behind it. This boundary lies at
a special token, so prefix and tail can be tokenised apart and give the ids of the whole prompt.
The wording must be that of the checkpoint's training (VLM-FO1's task templates); its version is
`prompts_version.PROMPTS_VERSION`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from tokenizers import Tokenizer

from fo1_data.errors import CheckpointError
from fo1_data.model.bases.families import RELEASED
from fo1_data.model.bases.family import ChatMarkup
from fo1_data.model.reserved_tokens import clean_phrase
from fo1_data.model.tokenizer_files import read_tokenizer
from schemas.labels import LabelKind

MAX_REGIONS = 100

# Placeholders for features in a list of ids; they are not ids of the vocabulary.
IMAGE_PLACEHOLDER = -200
REGION_PLACEHOLDER = -300

_CACHED_PIECES = 4096

_TEMPLATES = {
    LabelKind.BRIEF_CAPTION: "Provide a brief description for {region}.",
    LabelKind.DETAILED_CAPTION: "Provide a detailed description for {region}.",
    LabelKind.OCR: "Please provide the ocr results of {region} in the image.",
    LabelKind.GROUNDED_CAPTION: (
        "Briefly describe this image and detect all mentioned objects. Answer with grounded object indexes."
    ),
    LabelKind.DETECT: "Please detect {phrase} in this image. Answer the question with object indexes.",
    LabelKind.GROUND: "Please detect {phrase} in this image. Answer the question with object indexes.",
    LabelKind.COUNT: (
        "How many {phrase} are there in this image? Count each instance of the target object. "
        "Locate them with object indexes and then answer the question with the number of objects."
    ),
    LabelKind.VISUAL_EXAMPLE: (
        "Using the provided object {region} as a reference, identify all other objects of the same "
        "category in this image. Respond with object indexes."
    ),
}

# Asked about a crop of a text's box, by a checkpoint that reads texts so.
CROP_QUESTION = "Please provide the ocr results in the image."

# Stands for a region in a user's question.
REGION_PLACE = "{region}"
_BEFORE_MARK = re.compile(r" ([?.,;:!])")


def question_text(kind: LabelKind, *, phrase: str = "", region: int | None = None) -> str:
    """The question of a label kind, about `phrase` or about the region with this index in the prompt.

    Reserved tokens are removed from the phrase, so that text of a corpus cannot act as markup.
    """
    place = f"<region{region}>" if region is not None else ""
    return _TEMPLATES[kind].format(phrase=clean_phrase(phrase), region=place)


def own_question(question: str, *, region: int | None = None) -> str:
    """A user's question without reserved tokens, with the region's token in place of `{region}`."""
    parts = [clean_phrase(part) for part in question.split(REGION_PLACE)]
    place = f"<region{region}>" if region is not None else ""
    joined = f" {place} ".join(parts)
    return _BEFORE_MARK.sub(r"\1", " ".join(joined.split()))


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the tokens with a meaning for the engine. `regions[i]` is `<region{i}>`."""

    end_of_turn: int
    regions: tuple[int, ...]
    objects_open: int
    objects_close: int


class PromptTokenizer:
    """Builds prompts with the checkpoint's tokenizer, in the markup of its base, and decodes answers."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        num_region_tokens: int = MAX_REGIONS,
        markup: ChatMarkup = RELEASED.markup,
    ) -> None:
        self._tokenizer, self._turn_end = tokenizer, markup.turn_end
        self.special = SpecialIds(
            end_of_turn=self.token_id(markup.end_of_turn),
            regions=tuple(self.token_id(f"<region{i}>") for i in range(num_region_tokens)),
            objects_open=self.token_id("<objects>"),
            objects_close=self.token_id("</objects>"),
        )
        names = "|".join(re.escape(f"<region{i}>") for i in range(num_region_tokens))
        self._region_token = re.compile(f"({names})")
        # Most questions differ in their region alone.
        self._piece_ids = lru_cache(maxsize=_CACHED_PIECES)(self._encode)
        self._lengths: dict[int, int | None] = {}
        self._before_image = self._encode(markup.before_image)
        self._after_image = self._encode(markup.after_image)
        self._newline = self._encode("\n")
        self._text_only = self._encode(markup.text_only)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def prefix_ids(self, num_regions: int, *, has_image: bool = True) -> list[int]:
        """Ids that all questions about an image share, with placeholders for the image and the regions."""
        if not has_image:
            return list(self._text_only)
        ids = [*self._before_image, IMAGE_PLACEHOLDER, *self._after_image]
        if num_regions:
            ids += self._newline
        for index in range(num_regions):
            ids += [self.special.regions[index], REGION_PLACEHOLDER]
        return ids

    def tail_ids(self, question: str) -> list[int]:
        """Ids of a question, up to and with the markup that starts the answer."""
        # The tokenizer cuts a text at region tokens, so the pieces between them have ids of their own.
        pieces = self._region_token.split(f"\n{question}{self._turn_end}")
        return [token for piece in pieces for token in self._piece_ids(piece)]

    def decode(self, ids: list[int]) -> str:
        """Text of an answer, with special tokens but without the end of turn."""
        visible = [token for token in ids if token != self.special.end_of_turn]
        return str(self._tokenizer.decode(visible, skip_special_tokens=False))

    def ends(self, ids: list[int]) -> list[int]:
        """For each token, the length in characters of `decode(ids)` up to and with this token."""
        lengths = [self._length(token) for token in ids]
        if None in lengths:  # a character is split over several tokens
            return [len(self.decode(ids[: place + 1])) for place in range(len(ids))]
        return list(accumulate(length or 0 for length in lengths))

    def _length(self, token: int) -> int | None:
        """The number of characters of a token's text, or None if it holds a part of a character."""
        if token not in self._lengths:
            text = self.decode([token])
            self._lengths[token] = None if "\ufffd" in text else len(text)
        return self._lengths[token]

    def token_id(self, token: str) -> int:
        """The id of a token of the vocabulary. Raises CheckpointError if there is none."""
        index = self._tokenizer.token_to_id(token)
        if index is None:
            raise CheckpointError(f"the checkpoint's tokenizer has no token {token}")
        return int(index)

    def answer_ids(self, text: str) -> tuple[int, ...]:
        """Ids of an answer's text, which may contain special tokens, without an end of turn."""
        return tuple(self._encode(text))


def load_tokenizer(
    folder: str | Path, num_region_tokens: int = MAX_REGIONS, markup: ChatMarkup = RELEASED.markup
) -> PromptTokenizer:
    """Load the tokenizer of a checkpoint folder. Raises CheckpointError if files or tokens are missing."""
    tokenizer = read_tokenizer(Path(folder))
    try:
        return PromptTokenizer(tokenizer, num_region_tokens, markup)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from None
