"""The ways to answer a workload that `fo1 bench engine` compares, and the time that each takes.

The plain loop computes everything anew for each question. Both ways of transformers' `generate` are what a
competent user would write: they answer all questions about an image in one call. All begin with decoded
pixels and end with token ids.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy.typing as npt
from PIL import Image

from fo1_data.benchmarks.device_limits import work_clock_s
from fo1_data.benchmarks.plain_loop import answer_alone
from fo1_data.benchmarks.transformers_generate import generate_left_padded, generate_on_shared_prefix
from fo1_data.benchmarks.transformers_towers import encode_by_transformers
from fo1_data.benchmarks.workload import Workload
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import OpenImage, Question
from fo1_data.model.prompts import question_text

Answers = list[list[int]]
Generate = Callable[[Checkpoint, Image.Image, npt.NDArray[Any], list[str], int], Answers]
PEERS: dict[str, Generate] = {
    "shared_prefix": generate_on_shared_prefix,
    "left_padded": generate_left_padded,
    # With the towers of transformers too, as without this project.
    "shared_prefix_own_towers": partial(generate_on_shared_prefix, encode=encode_by_transformers),
}

SHARED_PREFIX_PEERS = ("shared_prefix", "shared_prefix_own_towers")


@dataclass
class Timing:
    """Answers as token ids in order of image, kind and region, and what they took.

    seconds: wall time. work_s: seconds of `work_clock_s`.
    """

    answers: Answers = field(default_factory=list)
    seconds: float = 0.0
    work_s: float = 0.0

    @property
    def questions_per_work_s(self) -> float:
        return len(self.answers) / self.work_s

    def share_equal(self, answers: Answers) -> float:
        """The share of its answers that equal these, token for token; these may be more."""
        return sum(map(list.__eq__, self.answers, answers)) / len(self.answers)


def time_way(checkpoint: Checkpoint, parts: Iterator[Answers], most_s: float) -> Timing:
    """Run a way part after part; after `most_s` seconds of wall time no further part is begun."""
    device, timing = checkpoint.model.device, Timing()
    started_s, work_started_s = time.perf_counter(), work_clock_s(device)
    for answers in parts:
        timing.answers += answers
        timing.work_s = work_clock_s(device) - work_started_s
        timing.seconds = time.perf_counter() - started_s
        if timing.seconds > most_s:
            break
    return timing


def loop_parts(checkpoint: Checkpoint, workload: Workload) -> Iterator[Answers]:
    """The plain loop, a question a part."""
    for image, boxes in workload.images:
        for question in _questions(workload, len(boxes)):
            yield [answer_alone(checkpoint, image, boxes, question, workload.max_new_tokens)]


def peer_parts(checkpoint: Checkpoint, workload: Workload, peer: str) -> Iterator[Answers]:
    """One of PEERS, an image a part."""
    for image, boxes in workload.images:
        questions = _questions(workload, len(boxes))
        yield PEERS[peer](checkpoint, image, boxes, questions, workload.max_new_tokens)


def engine_parts(engine: Fo1Engine, workload: Workload) -> Iterator[Answers]:
    """The engine, all images in one part."""
    opened = engine.open(workload.images)
    answers = [answer.token_ids for answer in engine.ask(engine_questions(opened, workload))]
    engine.close(opened)
    yield answers


def engine_questions(
    opened: Sequence[OpenImage], workload: Workload, max_new_tokens: int | None = None
) -> list[Question]:
    """The questions of a workload about its open images, in order of image, kind and region."""
    return [
        Question(image, text, max_new_tokens=max_new_tokens or workload.max_new_tokens)
        for image in opened
        for text in _questions(workload, image.num_regions)
    ]


def _questions(workload: Workload, num_regions: int) -> list[str]:
    return [question_text(kind, region=region) for kind in workload.kinds for region in range(num_regions)]
