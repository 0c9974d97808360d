"""The engine: a session on open images whose prefixes all questions share.

`open` encodes images once; `ask` answers any number of questions about them as one batch and may be
called again with questions made from earlier answers; `close` frees them. Prefixes are prefilled
when first asked about and kept within a bound on memory; one that fell out is made again. Answers
equal those of each question asked alone, whatever the batch's make-up and order.

Not thread-safe: one engine, one caller.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.asked import Asked
from fo1_data.model.engine.compact_features import FeatureProjection
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.memory import default_budget, is_out_of_memory
from fo1_data.model.engine.prefix_cache import PrefixCache
from fo1_data.model.engine.question_batch import QuestionBatch
from fo1_data.model.modeling import EncodedImage, Fo1Model
from fo1_data.model.processing import PreparedImage
from fo1_data.model.prompts import MAX_REGIONS
from fo1_data.model.region_fusion import PromptEmbeds, embed_prompt


@dataclass(frozen=True)
class OpenImage:
    """An image being asked about. Its boxes lie in chunks of at most 100, each a prompt of its own.

    chunk_starts[c] is the index of chunk c's first box in the image's list. Text-only sessions have
    one chunk without boxes. region_features: (R, 8), each region's look in a few numbers.
    """

    number: int
    num_regions: int
    chunk_starts: tuple[int, ...]
    prompts: tuple[PromptEmbeds, ...] = field(repr=False)
    prefix_numbers: tuple[int, ...]
    region_features: np.ndarray = field(repr=False)

    def regions_in(self, chunk: int) -> int:
        """How many boxes a chunk's prompt shows."""
        ends = (*self.chunk_starts[1:], self.num_regions)
        return ends[chunk] - self.chunk_starts[chunk]

    def locate(self, region: int) -> tuple[int, int]:
        """A box's index in the image to (chunk, index in the chunk's prompt)."""
        chunk = region // MAX_REGIONS
        return chunk, region - self.chunk_starts[chunk]


@dataclass(frozen=True)
class Question:
    """A question about one chunk of an open image. `<regionK>` in `text` counts within the chunk.

    given: token ids that the answer starts with: they are scored, and greedy choice goes on after them.
    `max_new_tokens` counts them too: with as many, the answer is scored alone.
    hidden_regions: indices in the chunk whose features this question may not see: their keys are left
    out of its attention. What stands later in the prefix has seen them, so this is an approximation.
    watched: token ids whose log-probabilities are kept at the first chosen token.
    last_token: a token that ends the answer, as the end of turn does.
    """

    image: OpenImage
    text: str
    chunk: int = 0
    max_new_tokens: int = 256
    given: tuple[int, ...] = ()
    hidden_regions: tuple[int, ...] = ()
    watched: tuple[int, ...] = ()
    last_token: int | None = None


class Fo1Engine:
    """VLM-FO1 answering questions about open images.

    `max_bytes` bounds what prefixes and tails hold together (default: a share of the device's free
    memory); `num_slots` bounds the questions in flight.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, max_bytes: int | None = None, num_slots: int | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self.model = checkpoint.model
        self.max_bytes = max_bytes if max_bytes is not None else default_budget(self.model.device)
        self._slots_wanted = num_slots or (256 if self.model.device.type == "cuda" else 128)
        self._cache = PrefixCache(self.model, self.max_bytes // 3)
        self._next_number = 0
        self._open: dict[int, OpenImage] = {}
        self._project = FeatureProjection(self.model.config.text.hidden_size, self.model.device)

    @torch.inference_mode()
    def open(self, images: Sequence[tuple[Image.Image | None, np.ndarray]]) -> list[OpenImage]:
        """Encode RGB images with their boxes (R, 4) in their own pixels; None for text alone.

        Raises MemoryError where a single image does not fit the device.
        """
        prepared = [
            self.checkpoint.processor.prepare(image, boxes) if image is not None else None
            for image, boxes in images
        ]
        return self.open_prepared(prepared)

    @torch.inference_mode()
    def open_prepared(self, prepared: Sequence[PreparedImage | None]) -> list[OpenImage]:
        """As `open`, for images that `ImageProcessor.prepare` has made ready (on any thread)."""
        encoded = self._encode([image for image in prepared if image is not None])
        waiting = iter(encoded)
        return [self._admit(image, next(waiting) if image is not None else None) for image in prepared]

    def close(self, images: Iterable[OpenImage]) -> None:
        """Forget images and free their prefixes; closing twice is harmless."""
        for image in images:
            self._open.pop(image.number, None)
            for number in image.prefix_numbers:
                self._cache.drop(number)

    def _encode(self, images: list[PreparedImage]) -> list[EncodedImage]:
        """Encode in groups whose activations fit a third of the budget."""
        encoded: list[EncodedImage] = []
        for group in _groups_by_cost(
            images, [_activation_bytes(i, self.model) for i in images], self.max_bytes // 3
        ):
            encoded += self._encode_or_halve(group)
        return encoded

    def _encode_or_halve(self, images: list[PreparedImage]) -> list[EncodedImage]:
        try:
            return self.model.encode_images(images)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(images) == 1:
                raise MemoryError(
                    f"an image of {images[0].aux_image.shape[-1]} px width does not fit the device"
                ) from error
        middle = len(images) // 2
        return self._encode_or_halve(images[:middle]) + self._encode_or_halve(images[middle:])

    def _admit(self, image: PreparedImage | None, encoded: EncodedImage | None) -> OpenImage:
        num_regions = len(encoded.region_embeds) if encoded is not None else 0
        starts = tuple(range(0, max(num_regions, 1), MAX_REGIONS))
        prompts = []
        for start in starts:
            part = None
            if encoded is not None:
                part = EncodedImage(encoded.image_embeds, encoded.region_embeds[start : start + MAX_REGIONS])
            count = len(part.region_embeds) if part is not None else 0
            ids = self.checkpoint.tokenizer.prefix_ids(count, has_image=encoded is not None)
            prompts.append(embed_prompt(self.model, ids, part, image.grid_hw if image is not None else None))
        numbers = tuple(range(self._next_number, self._next_number + len(starts)))
        self._next_number += len(starts)
        features = self._project(encoded.region_embeds) if encoded is not None else self._project.none()
        opened = OpenImage(numbers[0], num_regions, starts, tuple(prompts), numbers, features)
        self._open[opened.number] = opened
        return opened

    @torch.inference_mode()
    def ask(self, questions: Sequence[Question]) -> list[Generation]:
        """Answer all questions greedily; answers come in the order of the questions.

        Raises MemoryError where a single question does not fit the device.
        """
        closed = [question.image.number for question in questions if question.image.number not in self._open]
        if closed:
            raise ValueError(f"asked about an image that is not open (number {closed[0]})")
        asked = [self._make(order, question) for order, question in enumerate(questions)]
        prompts = {q.image.prefix_numbers[q.chunk]: q.image.prompts[q.chunk] for q in questions}
        slots = self._slots_wanted
        done: dict[int, Generation] = {}
        while len(done) < len(asked):
            rest = [one for one in asked if one.order not in done]
            try:
                self._run(rest, prompts, slots, done)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if slots == 1:
                    raise MemoryError("a single question does not fit the device") from error
                slots = max(slots // 2, 1)
                self._cache.clear()
                for one in rest:
                    one.restart()
        for answer in done.values():
            answer.text = self.checkpoint.tokenizer.decode(answer.token_ids)
            answer.ends = self.checkpoint.tokenizer.ends(answer.token_ids)
        return [done[order] for order in range(len(asked))]

    def _make(self, order: int, question: Question) -> Asked:
        image, chunk = question.image, question.chunk
        if question.max_new_tokens < max(1, len(question.given)):
            raise ValueError(f"{len(question.given)} tokens are given, {question.max_new_tokens} allowed")
        ends = (self.checkpoint.tokenizer.special.end_of_turn, question.last_token)
        is_whole = bool(question.given) and question.given[-1] in ends
        return Asked(
            order=order,
            prefix=image.prefix_numbers[chunk],
            num_regions=image.regions_in(chunk),
            start=image.prompts[chunk].next_position,
            tail_ids=self.checkpoint.tokenizer.tail_ids(question.text),
            max_new_tokens=len(question.given) if is_whole else question.max_new_tokens,
            given=question.given,
            hidden=tuple(image.prompts[chunk].region_places[region] for region in question.hidden_regions),
            watched=question.watched,
            last_token=question.last_token,
        )

    def _run(
        self, asked: list[Asked], prompts: dict[int, PromptEmbeds], slots: int, done: dict[int, Generation]
    ) -> None:
        """Drive questions through a batch of slots until all have ended."""
        by_prefix: dict[int, list[Asked]] = {}
        for one in asked:
            by_prefix.setdefault(one.prefix, []).append(one)
        waiting = deque(one for group in by_prefix.values() for one in group)
        slots = min(
            slots,
            max(
                1,
                self.max_bytes
                // 3
                // (self._cache.bytes_a_token * max(a.capacity + len(a.first_ids) for a in asked)),
            ),
        )
        batch = QuestionBatch(self.model, self.checkpoint.tokenizer.special, slots)
        stacked: set[int] = set()
        refill = max(1, slots // 4)
        while waiting or batch.active:
            if waiting and (slots - len(batch.active) >= refill or not batch.active):
                taken = self._take(waiting, batch, prompts, slots)
                if taken:
                    needed = {one.prefix for one in (*batch.active, *taken)}
                    if not needed <= stacked:
                        batch.use_stack(
                            self._cache.stack({number: prompts[number] for number in sorted(needed)})
                        )
                        stacked = needed
                    batch.admit(taken)
            for one in batch.step():
                done[one.order] = one.generation

    def _take(
        self, waiting: deque[Asked], batch: QuestionBatch, prompts: dict[int, PromptEmbeds], slots: int
    ) -> list[Asked]:
        """Questions for the free slots, as long as the prefixes stacked for them stay within their share."""
        taken: list[Asked] = []
        prefixes = {one.prefix for one in batch.active}
        limit = self.max_bytes // 3 // self._cache.bytes_a_token
        while waiting and len(batch.active) + len(taken) < slots:
            together = prefixes | {waiting[0].prefix}
            padded = len(together) * max(len(prompts[number].embeds) for number in together)
            if padded > limit and prefixes:
                break
            prefixes = together
            taken.append(waiting.popleft())
        return taken


def _activation_bytes(image: PreparedImage, model: Fo1Model) -> int:
    """A generous estimate of what encoding an image takes for a moment, in bytes."""
    config = model.config
    cells = image.aux_image.shape[-1] * image.aux_image.shape[-2] // 16
    patches = image.grid_hw[0] * image.grid_hw[1]
    auxiliary = cells * config.auxiliary.dim_embed[0] * 12
    primary = patches * (config.vision.hidden_size * 10 + config.vision.intermediate_size * 2)
    return 4 * (auxiliary + primary)


def _groups_by_cost(images: list[PreparedImage], costs: list[int], limit: int) -> list[list[PreparedImage]]:
    """Consecutive images together while their costs stay within the limit; always at least one a group."""
    groups: list[list[PreparedImage]] = []
    total = 0
    for image, cost in zip(images, costs, strict=True):
        if not groups or total + cost > limit:
            groups.append([])
            total = 0
        groups[-1].append(image)
        total += cost
    return groups
