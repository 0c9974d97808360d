"""The engine: a session on open images, whose prefixes all questions share.

`open` encodes images once. `ask` answers any number of questions about them as one batch; call it again with
questions that follow from earlier answers. `close` frees the images. A prefix is prefilled when a question
first needs it, cached within a memory bound, and prefilled again if it was evicted. An answer does not depend
on the other questions of the batch or on their order.

Not thread-safe: use an engine from one thread at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from PIL import Image

from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.active_question import ActiveQuestion
from fo1_data.model.engine.compact_features import FeatureProjection
from fo1_data.model.engine.decoding import Decoding
from fo1_data.model.engine.encoding import encode_or_halve, groups_within
from fo1_data.model.engine.encoding_threads import Encoding, EncodingThreads
from fo1_data.model.engine.fused_decoder import FusedDecoder
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.memory import MemoryBudget, default_budget, is_refused_allocation
from fo1_data.model.engine.prefix_cache import PrefixCache
from fo1_data.model.engine.question_batch import QuestionBatch
from fo1_data.model.engine.questions import OpenImage, Question
from fo1_data.model.engine.schedule import Schedule
from fo1_data.model.engine.shapes import Shapes
from fo1_data.model.engine.step_graphs import Graphs, StepGraphs, graphs_for
from fo1_data.model.engine.tail_pass import TailPass
from fo1_data.model.engine.tails import Tails
from fo1_data.model.engine.token_choice import TokenChooser
from fo1_data.model.engine.token_figures import TokenFigures
from fo1_data.model.modeling import ImageFeatures
from fo1_data.model.processing import PreparedImage
from fo1_data.model.prompts import MAX_REGIONS
from fo1_data.model.region_fusion import embed_prompt

_STEPS_PER_COPY = 8


class Fo1Engine:
    """Answers questions about open images with VLM-FO1.

    max_bytes: limit on the memory of prefixes, tails and activations (default: a share of the device's
    available memory, see `default_budget`). num_slots: limit on the questions in flight. steps_per_copy: the
    decoding steps for which the host does not wait (default: 1 on a CPU, else 8); with more than one, steps
    have few different shapes. graphs: whether or how these steps run as graphs; `eager_reason` says why not.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        max_bytes: int | None = None,
        num_slots: int = 256,
        steps_per_copy: int | None = None,
        graphs: Graphs | StepGraphs = Graphs.AUTO,
    ) -> None:
        self.checkpoint = checkpoint
        self.model = checkpoint.model
        device = self.model.device
        self._steps_per_copy = steps_per_copy or (1 if device.type == "cpu" else _STEPS_PER_COPY)
        self._shapes = Shapes(is_exact=self._steps_per_copy == 1)
        self._graphs = graphs_for(device, graphs) if isinstance(graphs, Graphs) else graphs
        keeps_stack = self._graphs.eager_reason is None
        total = max_bytes if max_bytes is not None else default_budget(device)
        self.budget = MemoryBudget(total, keeps_stack)
        # Called after each question that is answered.
        self.on_answer: Callable[[], None] = lambda: None
        self.num_slots = num_slots
        decoder = FusedDecoder(self.model.language_model)
        self._cache = PrefixCache(self.model, decoder, self.budget, self._shapes, keeps_stack=keeps_stack)
        self._tails = Tails(self.model, self.budget.tails)
        self._pass = TailPass(self.model, decoder, self._tails)
        self._figures = TokenFigures(self.model, self.budget.decoder_pass)
        self._chooser = TokenChooser(self._figures, checkpoint.tokenizer.special, device)
        self._next_number = 0
        self._open: dict[int, OpenImage] = {}
        self._encoding_threads = EncodingThreads()
        self._project = FeatureProjection(self.model.config.text.hidden_size, device)

    @property
    def eager_reason(self) -> str | None:
        """Why decoding steps do not run as CUDA graphs; None if they do."""
        return self._graphs.eager_reason

    @torch.inference_mode()
    def open(self, images: Sequence[tuple[Image.Image | None, np.ndarray]]) -> list[OpenImage]:
        """Encode RGB images with their boxes (R, 4), in pixels of the image; None opens a text-only session.

        Raises MemoryError if one image does not fit on the device.
        """
        prepared = [
            self.checkpoint.processor.prepare(image, boxes) if image is not None else None
            for image, boxes in images
        ]
        return self.open_prepared(prepared)

    @torch.inference_mode()
    def open_prepared(self, prepared: Sequence[PreparedImage | None]) -> list[OpenImage]:
        """As `open`, for images that `ImageProcessor.prepare` has prepared (on any thread)."""
        features = iter(self.start_encoding([image for image in prepared if image is not None]).finish())
        return self._register_all(
            (image, next(features) if image is not None else None) for image in prepared
        )

    def start_encoding(self, prepared: Sequence[PreparedImage]) -> Encoding:
        """Begin to encode images, so that threads encode them while this one answers questions.

        Threads help during a block of `helping`; elsewhere `open_encoded` encodes.
        """
        groups = groups_within(self.budget.activations, self.model, prepared)
        return self._encoding_threads.start(partial(encode_or_halve, self.model), prepared, groups)

    @torch.inference_mode()
    def open_encoded(self, prepared: Sequence[PreparedImage], encoding: Encoding) -> list[OpenImage]:
        """As `open`, for images whose encoding was started. Raises MemoryError."""
        return self._register_all(zip(prepared, encoding.finish(), strict=True))

    def helping(self) -> AbstractContextManager[None]:
        """A block in which torch's threads on a CPU encode images apart, see `EncodingThreads`."""
        return self._encoding_threads.helping(self.model.device)

    @property
    def num_helpers(self) -> int:
        """How many threads encode while this one answers questions."""
        return self._encoding_threads.num_helpers

    def close(self, images: Iterable[OpenImage]) -> None:
        """Close images and free their prefixes. Closing an image twice is harmless."""
        for image in images:
            self._open.pop(image.number, None)
            for number in image.prefix_numbers:
                self._cache.drop(number)

    def _register_all(
        self, images: Iterable[tuple[PreparedImage | None, ImageFeatures | None]]
    ) -> list[OpenImage]:
        """Register images; none of them stays open if one cannot be. Raises MemoryError."""
        opened: list[OpenImage] = []
        try:
            for image, features in images:
                opened.append(self._register(image, features))
        except RuntimeError as error:
            self.close(opened)
            if not is_refused_allocation(error):
                raise
            raise MemoryError("the prompt of an image does not fit on the device") from error
        return opened

    def _register(self, image: PreparedImage | None, features: ImageFeatures | None) -> OpenImage:
        """Build the prompts of an image's chunks, and give the image and its prefixes their numbers."""
        num_regions = len(features.region_embeds) if features is not None else 0
        starts = tuple(range(0, max(num_regions, 1), MAX_REGIONS))
        prompts = []
        for start in starts:
            chunk = features.chunk(start, start + MAX_REGIONS) if features is not None else None
            num_boxes = len(chunk.region_embeds) if chunk is not None else 0
            ids = self.checkpoint.tokenizer.prefix_ids(num_boxes, has_image=chunk is not None)
            prompts.append(embed_prompt(self.model, ids, chunk, image.grid_hw if image is not None else None))
        numbers = tuple(range(self._next_number, self._next_number + len(starts)))
        self._next_number += len(starts)
        compact = self._project(features.region_embeds) if features is not None else self._project.none()
        opened = OpenImage(numbers[0], num_regions, starts, tuple(prompts), numbers, compact)
        self._open[opened.number] = opened
        return opened

    @torch.inference_mode()
    def ask(self, questions: Sequence[Question]) -> list[Generation]:
        """Answer all questions greedily; the answers are in the order of the questions.

        Raises MemoryError if one question does not fit on the device, and ValueError if an image is not
        open or a question forces more tokens than its limit.
        """
        pending = [self._start(order, question) for order, question in enumerate(questions)]
        num_slots = self.num_slots
        generations: dict[int, Generation] = {}
        while pending:
            try:
                for question in self._run(pending, num_slots):
                    generations[question.order] = question.generation
                    self.on_answer()
            except RuntimeError as error:
                if not is_refused_allocation(error):
                    raise
                if num_slots == 1:
                    raise MemoryError("one question does not fit on the device") from error
                num_slots = max(num_slots // 2, 1)
                self._cache.clear()
                self._tails.clear()
                self._graphs.clear()
            pending = [question for question in pending if question.order not in generations]
            for question in pending:
                question.restart()
        for generation in generations.values():
            generation.text = self.checkpoint.tokenizer.decode(generation.token_ids)
            generation.ends = self.checkpoint.tokenizer.ends(generation.token_ids)
        return [generations[order] for order in range(len(generations))]

    def _start(self, order: int, question: Question) -> ActiveQuestion:
        if question.image.number not in self._open:
            raise ValueError(
                f"the question is about an image that is not open (number {question.image.number})"
            )
        num_forced = len(question.forced_ids)
        if question.max_new_tokens < max(1, num_forced):
            raise ValueError(
                f"{num_forced} tokens are forced, but max_new_tokens is {question.max_new_tokens}"
            )
        stop_ids = (self.checkpoint.tokenizer.special.end_of_turn, question.stop_id)
        is_complete = num_forced > 0 and question.forced_ids[-1] in stop_ids
        return ActiveQuestion(
            order=order,
            question=question,
            tail_ids=self.checkpoint.tokenizer.tail_ids(question.text),
            max_new_tokens=num_forced if is_complete else question.max_new_tokens,
        )

    def _run(self, questions: Sequence[ActiveQuestion], num_slots: int) -> Iterator[ActiveQuestion]:
        """Schedule, run and choose until all questions are answered; yields each question when it is done."""
        limit = max(1, self.budget.tails // max(map(self._tail_bytes, questions)))
        num_slots = self._shapes.slots(min(num_slots, limit))
        max_prefix_tokens = self.budget.prefix_stack // self._cache.bytes_per_token
        schedule = Schedule(questions, num_slots, max_prefix_tokens, self._shapes)
        batch = QuestionBatch(self._pass)
        decoding = Decoding(
            self._pass,
            self._figures,
            self._shapes,
            self._graphs,
            self.checkpoint.tokenizer.special,
            self._chooser.list_ids_Z,
            self._steps_per_copy,
        )
        while schedule.waiting or batch.active:
            admitted = schedule.take(batch.active)
            if admitted:
                self._stack_prefixes(batch, admitted)
                self._chooser.choose_first(batch.admit(admitted))
            yield from batch.release()
            if batch.active and batch.stack is not None:
                self._chooser.record(batch.active, decoding.run(batch.active, batch.stack))

    def _stack_prefixes(self, batch: QuestionBatch, admitted: Sequence[ActiveQuestion]) -> None:
        """Give the batch a stack with the prefixes of its active and of the admitted questions."""
        prompts = {question.prefix_number: question.prompt for question in (*batch.active, *admitted)}
        if not batch.holds(prompts):
            batch.stack = self._cache.stack({number: prompts[number] for number in sorted(prompts)})

    def _tail_bytes(self, question: ActiveQuestion) -> int:
        """The most bytes that a question's tail and its padding take."""
        capacity = self._shapes.extent(question.capacity + self._steps_per_copy - 1)
        return self._cache.bytes_per_token * (capacity + len(question.input_ids))
