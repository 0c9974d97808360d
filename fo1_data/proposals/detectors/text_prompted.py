"""Detectors that look for what a text names: Grounding DINO, OWL-ViT and their kin.

Each takes so many tokens at once; more words than that are asked about in several runs over the image, whose
boxes are united. A full stop separates words in Grounding DINO's text, so that it is left out of a word.
"""

import inspect
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.proposals.detections import Detections, merge_twins, unite
from fo1_data.proposals.detectors.forward import LoadedCheckpoint, Tensors, frame_hw, in_batches, tensors_of
from fo1_data.proposals.detectors.prompts import cut_to_fit, in_groups, refuse_long_words

_GROUNDING_DINO = ("grounding-dino", "mm-grounding-dino")
_OWL = ("owlvit", "owlv2")


class TextPromptedDetector:
    """A loaded zero-shot detector; a box is named by the word that it was found for."""

    default_score_floor = 0.1
    default_nms_iou = 0.7

    def __init__(self, loaded: LoadedCheckpoint, sha256: str, licence: str | None) -> None:
        self.sha256, self.licence = sha256, licence
        self._loaded = loaded
        self._tokenizer = loaded.processor.tokenizer
        config = loaded.model.config
        self._joins_words = config.model_type in _GROUNDING_DINO
        self._most_tokens = _most_tokens(config)
        # OWL reads every word by itself.
        self._takes_any_number = config.model_type in _OWL
        self._fit = lru_cache(maxsize=10_000)(self._cut)
        self._groups = lru_cache(maxsize=1_000)(self._make_groups)

    def refuse_words(self, words: Sequence[str]) -> None:
        """Raise ConfigError for a word that the detector does not take as a whole."""
        cleaned = {word: self._clean(word) for word in words}
        refuse_long_words(self._loaded.spec, cleaned, self._count_tokens, self._most_tokens)

    @torch.inference_mode()
    def detect(self, images: list[Image.Image], words: Sequence[Sequence[str]]) -> list[Detections]:
        """One detection for each box and run over the image."""
        asked = [
            (place, group) for place, of_image in enumerate(words) for group in self._groups(tuple(of_image))
        ]
        prepared = [self._prepare(images[place], group) for place, group in asked]
        frames = [
            frame_hw(self._loaded.processor, images[place], inputs)
            for (place, _), inputs in zip(asked, prepared, strict=True)
        ]
        found = in_batches(
            prepared,
            lambda inputs, at: self._forward(inputs, asked[at[0]][1], [frames[i] for i in at]),
            [group for _, group in asked],
        )
        by_image: list[list[Detections]] = [[] for _ in images]
        for (place, _), detections in zip(asked, found, strict=True):
            by_image[place].append(detections)
        return [unite(parts) for parts in by_image]

    def _make_groups(self, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The words that are asked about in each run over an image."""
        if self._takes_any_number:
            return [words]

        def count(group: Sequence[str]) -> int:
            return self._count_tokens([self._fit(word) for word in group])

        return [tuple(group) for group in in_groups(words, count, self._most_tokens)]

    def _clean(self, word: str) -> str:
        return (" ".join(word.replace(".", " ").split()) or "?") if self._joins_words else word

    def _cut(self, word: str) -> str:
        return cut_to_fit(self._clean(word), self._count_tokens, self._most_tokens)

    def _count_tokens(self, texts: Sequence[str]) -> int:
        """The tokens of the longest text that the processor makes of the words."""
        if self._joins_words:
            made = [". ".join(text.lower() for text in texts) + "."]
        elif self._takes_any_number:
            made = list(texts)
        else:  # OmDet-Turbo reads the words one by one, and all of them in a sentence.
            made = [*texts, f"Detect {', '.join(texts)}."]
        ids = self._tokenizer(made, padding=False, truncation=False)["input_ids"]
        return max(len(each) for each in ids)

    def _prepare(self, image: Image.Image, words: Sequence[str]) -> Tensors:
        processor = self._loaded.processor
        texts = [[self._fit(word) for word in words]]
        return tensors_of(processor(images=[image], text=texts, return_tensors="pt"))

    def _forward(
        self, inputs: Tensors, words: Sequence[str], frames_hw: list[tuple[float, float]]
    ) -> list[Detections]:
        device = self._loaded.device
        inputs = {key: tensor.to(device) for key, tensor in inputs.items()}
        outputs = self._loaded.model(**inputs)
        post_process = self._loaded.processor.post_process_grounded_object_detection
        options = {
            "input_ids": inputs.get("input_ids"),
            "text_labels": [list(words)] * len(frames_hw),
            "threshold": 0.0,
            "text_threshold": 1.0,
            "nms_threshold": 1.0,
        }
        parameters = inspect.signature(post_process).parameters
        options = {name: value for name, value in options.items() if name in parameters}
        results = post_process(outputs, target_sizes=torch.tensor(frames_hw, device=device), **options)
        names = [self._names(result, outputs, inputs, words, at) for at, result in enumerate(results)]
        return [_read(result, of_image) for result, of_image in zip(results, names, strict=True)]

    def _names(
        self, result: dict[str, Any], outputs: Any, inputs: Tensors, words: Sequence[str], at: int
    ) -> list[str] | None:
        if not self._joins_words:
            return result["text_labels"]
        places = self._places_of_words(inputs["input_ids"][at].tolist(), len(words))
        if places is None:
            return None
        logits = outputs.logits[at][:, : len(inputs["input_ids"][at])].float().cpu()
        kept = outputs.logits[at].sigmoid().amax(-1).cpu() > 0
        best = torch.stack([logits[:, of_word].amax(1) for of_word in places], 1).argmax(1)
        return [words[index] for index in best[kept].tolist()]

    def _places_of_words(self, ids: list[int], num_words: int) -> list[list[int]] | None:
        """The places of each word's tokens in Grounding DINO's text; None if they cannot be told apart."""
        end = self._tokenizer.convert_tokens_to_ids(".")
        special = set(self._tokenizer.all_special_ids) - {self._tokenizer.unk_token_id}
        places: list[list[int]] = [[]]
        for place, token in enumerate(ids):
            if token == end:
                places.append([])
            elif token not in special:
                places[-1].append(place)
        places = places[:-1]
        return places if len(places) == num_words and all(places) else None


def _most_tokens(config: Any) -> int:
    if config.model_type in _GROUNDING_DINO:
        return int(config.max_text_len)
    return int(config.text_config.max_position_embeddings)


def _read(result: dict[str, Any], names: list[str] | None) -> Detections:
    boxes = as_boxes(result["boxes"].float().cpu().numpy())
    scores = result["scores"].float().cpu().numpy().astype(np.float32)
    return merge_twins(Detections(boxes, scores, names))
