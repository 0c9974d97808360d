"""Florence-2 as a detector: it writes boxes as text, four location tokens each.

Without words it is asked for all objects (`<OD>`), with words for these (`<CAPTION_TO_PHRASE_GROUNDING>`).
A location token stands for the middle of a thousandth of the image's width or height. The processor's own
reading rounds to whole pixels, so that the tokens are read here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from fo1_data.boxes import as_boxes, norm_to_xyxy
from fo1_data.proposals.detections import Detections, Scores, unite
from fo1_data.proposals.detectors.forward import LoadedCheckpoint, in_batches, tensors_of
from fo1_data.proposals.detectors.prompts import cut_to_fit, in_groups, refuse_long_words
from fo1_data.proposals.sought_words import DEFAULT_WORDS

MODEL_TYPE = "florence2"
_NUM_BINS = 1000
_MOST_ANSWER_TOKENS = 1024
# Longer captions are seldom grounded as a whole.
_MOST_WORD_TOKENS = 128
_LOCATION = re.compile(r"<loc_(\d+)>")


@dataclass(frozen=True)
class _Token:
    text: str
    probability: float

    @property
    def place(self) -> int | None:
        """The thousandth that a location token stands for; None for any other token."""
        location = _LOCATION.fullmatch(self.text)
        return int(location.group(1)) if location else None


class FlorenceDetector:
    """A loaded Florence-2. A score is the mean probability of a box's location tokens."""

    # Nothing but the model's own choice of words decides which boxes there are.
    default_score_floor = 0.0
    default_nms_iou = 0.7

    def __init__(self, loaded: LoadedCheckpoint, sha256: str, licence: str | None) -> None:
        self.sha256, self.licence = sha256, licence
        self._loaded = loaded
        self._special = set(loaded.processor.tokenizer.all_special_tokens)

    def refuse_words(self, words: Sequence[str]) -> None:
        """Raise ConfigError for a word that the model is not asked about as a whole."""
        texts = {word: word for word in words}
        refuse_long_words(self._loaded.spec, texts, self._count_tokens, _MOST_WORD_TOKENS)

    @torch.inference_mode()
    def detect(self, images: list[Image.Image], words: Sequence[Sequence[str]]) -> list[Detections]:
        """The boxes that the model writes for each image, in its order."""
        asked = [
            (place, group) for place, of_image in enumerate(words) for group in self._groups(tuple(of_image))
        ]
        prepared = [
            tensors_of(
                self._loaded.processor(images=[images[place]], text=[_prompt(group)], return_tensors="pt")
            )
            for place, group in asked
        ]
        # Where images are batched, a shorter answer is filled up, which changes no token of it.
        answers = in_batches(prepared, lambda inputs, _: self._generate(inputs))
        by_image: list[list[Detections]] = [[] for _ in images]
        for (place, group), answer in zip(asked, answers, strict=True):
            by_image[place].append(self._read(answer, group, images[place].size))
        return [unite(parts) for parts in by_image]

    def _groups(self, words: tuple[str, ...]) -> list[list[str]]:
        if words == DEFAULT_WORDS:
            return [[]]
        fitting = [cut_to_fit(word, self._count_tokens, _MOST_WORD_TOKENS) for word in words]
        return in_groups(fitting, self._count_tokens, _MOST_WORD_TOKENS)

    def _count_tokens(self, words: Sequence[str]) -> int:
        return len(self._loaded.processor.tokenizer(_caption(words), add_special_tokens=False)["input_ids"])

    def _generate(self, inputs: dict[str, torch.Tensor]) -> list[list[_Token]]:
        device, model = self._loaded.device, self._loaded.model
        chosen: list[torch.Tensor] = []

        def keep_probabilities(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            # Of the likeliest token, which is the one that is chosen; all logits would be gigabytes.
            chosen.append(logits.float().softmax(-1).amax(-1))
            return logits

        sequences = model.generate(
            **{key: tensor.to(device) for key, tensor in inputs.items()},
            max_new_tokens=min(_MOST_ANSWER_TOKENS, model.config.text_config.max_position_embeddings - 2),
            num_beams=1,
            early_stopping=False,
            do_sample=False,
            logits_processor=[keep_probabilities],
        )
        ids = sequences[:, -len(chosen) :]
        tokenizer = self._loaded.processor.tokenizer
        return [
            [
                _Token(token, probability)
                for token, probability in zip(tokenizer.convert_ids_to_tokens(row), of_row, strict=True)
            ]
            for row, of_row in zip(ids.tolist(), torch.stack(chosen, dim=1).tolist(), strict=True)
        ]

    def _read(self, answer: list[_Token], words: Sequence[str], image_wh: tuple[int, int]) -> Detections:
        by_fold = {word.casefold(): word for word in words}
        boxes, scores, labels = [], [], []
        for name, corners, score in self._boxes(answer):
            boxes.append([(corner + 0.5) / _NUM_BINS for corner in corners])
            scores.append(score)
            labels.append(by_fold.get(name.casefold(), name))
        scores_N: Scores = torch.tensor(scores, dtype=torch.float32).numpy()
        return Detections(norm_to_xyxy(as_boxes(boxes), image_wh), scores_N, labels)

    def _boxes(self, answer: list[_Token]) -> Iterator[tuple[str, list[int], float]]:
        """Each box with the words before it, its corners in thousandths, and its score."""
        words: list[str] = []
        name = ""
        corners: list[tuple[int, float]] = []
        for token in answer:
            place = token.place
            if place is None:
                corners = []
                if token.text not in self._special:
                    words.append(token.text)
                continue
            if words:
                name = self._loaded.processor.tokenizer.convert_tokens_to_string(words).strip(" ,.;")
                words = []
            corners.append((place, token.probability))
            if len(corners) == 4:
                yield name, [corner for corner, _ in corners], sum(share for _, share in corners) / 4
                corners = []


def _caption(words: Sequence[str]) -> str:
    return ". ".join(words) + "."


def _prompt(words: Sequence[str]) -> str:
    return f"<CAPTION_TO_PHRASE_GROUNDING>{_caption(words)}" if words else "<OD>"
