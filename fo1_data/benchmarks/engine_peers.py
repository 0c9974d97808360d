"""The speed of the engine against transformers' `generate`, as a competent user would call it.

All answer the same questions about the same images, in turns: engine, shared prefix, left-padded, and again.
The best turn of each counts. On a CPU the time is processor time, which other work on the machine hardly
changes; on a GPU it is the time until the device is done.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from fo1_data.benchmarks.transformers_generate import generate_left_padded, generate_on_shared_prefix
from fo1_data.benchmarks.workload import Workload
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.model.prompts import question_text

Answers = list[list[int]]


def compare_with_generate(
    checkpoint: Checkpoint, workload: Workload, num_images: int, rounds: int = 2
) -> dict[str, Any]:
    """Ratios of the engine to both ways, over the first images of the workload.

    `peers_equal` says whether all answers are equal, token for token.
    """
    ways: dict[str, Callable[[], Answers]] = {
        "engine": lambda: _ask_engine(checkpoint, workload, num_images),
        "shared_prefix": lambda: _generate(checkpoint, workload, num_images, generate_on_shared_prefix),
        "left_padded": lambda: _generate(checkpoint, workload, num_images, generate_left_padded),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, Answers] = {}
    for _ in range(rounds):
        for name, answer in ways.items():
            started_s = _clock_s(checkpoint)
            answers[name] = answer()
            seconds[name].append(_clock_s(checkpoint) - started_s)
    num_regions = sum(len(boxes) for _, boxes in workload.images[:num_images]) * len(workload.kinds)
    best = {name: min(times) for name, times in seconds.items()}
    return {
        "ratio_shared_prefix": best["shared_prefix"] / best["engine"],
        "ratio_left_padded": best["left_padded"] / best["engine"],
        "peers_equal": all(other == answers["engine"] for other in answers.values()),
        "peers": {
            "images": num_images,
            "clock": "device" if checkpoint.model.device.type == "cuda" else "processor",
            "questions_per_s": {name: num_regions / best_s for name, best_s in best.items()},
            "seconds": seconds,
        },
    }


def _ask_engine(checkpoint: Checkpoint, workload: Workload, num_images: int) -> Answers:
    engine = Fo1Engine(checkpoint)
    questions = [
        Question(image, question_text(kind, region=region), max_new_tokens=workload.max_new_tokens)
        for image in engine.open(workload.images[:num_images])
        for kind in workload.kinds
        for region in range(image.num_regions)
    ]
    return [answer.token_ids for answer in engine.ask(questions)]


def _generate(
    checkpoint: Checkpoint, workload: Workload, num_images: int, way: Callable[..., Answers]
) -> Answers:
    answers = []
    for image, boxes in workload.images[:num_images]:
        questions = [
            question_text(kind, region=region) for kind in workload.kinds for region in range(len(boxes))
        ]
        answers += way(checkpoint, image, boxes, questions, workload.max_new_tokens)
    return answers


def _clock_s(checkpoint: Checkpoint) -> float:
    if checkpoint.model.device.type == "cuda":
        torch.cuda.synchronize(checkpoint.model.device)
        return time.perf_counter()
    return time.process_time()
