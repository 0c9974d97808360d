"""The speed of the engine against a plain loop, with the same weights and questions, in the same run.

Both answer one question of each kind for every region of every image, from decoded pixels to token ids. The
loop encodes the image and prefills the whole prompt for each question; the engine does both once for an
image. Resizing and patching (`ImageProcessor.prepare`) count for both. `engine_peers` compares with
transformers' `generate` too.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fo1_data.benchmarks.device_limits import measure_limits, stage_shares
from fo1_data.benchmarks.engine_peers import compare_with_generate
from fo1_data.benchmarks.plain_loop import answer_alone
from fo1_data.benchmarks.workload import Workload
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.model.prompts import question_text


def bench_engine(
    checkpoint: Checkpoint, workload: Workload, loop_images: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """Measure both and return the document of `fo1 bench engine --json`.

    The loop answers for the first `loop_images` images only; `answers_equal` compares their answers.
    `report` is called with progress messages.
    """
    _warm_up(checkpoint, workload)
    report(f"engine: {len(workload.images)} images, {workload.num_regions} regions")
    engine_answers, engine_s, stages = _run_engine(checkpoint, workload)
    report(f"plain loop: {loop_images} images")
    loop_answers, loop_s = _run_loop(checkpoint, workload, loop_images)
    report(f"transformers' generate: {loop_images} images")
    peers = compare_with_generate(checkpoint, workload, loop_images)
    loop_regions = sum(len(boxes) for _, boxes in workload.images[:loop_images])
    engine_rate = workload.num_regions / engine_s
    loop_rate = loop_regions / loop_s
    device = checkpoint.model.device
    document: dict[str, Any] = {
        "ratio": engine_rate / loop_rate,
        "answers_equal": engine_answers[: len(loop_answers)] == loop_answers,
        **peers,
        "engine": {
            "regions_per_s": engine_rate,
            "images_per_s": len(workload.images) / engine_s,
            "tokens_per_s": sum(map(len, engine_answers)) / engine_s,
            "seconds": engine_s,
            **stages,
        },
        "loop": {"regions_per_s": loop_rate, "images": loop_images, "seconds": loop_s},
        "kinds": [kind.value for kind in workload.kinds],
        "tokens_an_answer": float(np.mean([len(answer) for answer in engine_answers])),
        "model": checkpoint.name,
        "device": str(device),
        "dtype": str(checkpoint.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        limits = measure_limits(device, checkpoint.model.dtype)
        document["limits"] = limits
        document["share_of_limits"] = stage_shares(checkpoint, workload, engine_answers, stages, limits)
    return document


def _warm_up(checkpoint: Checkpoint, workload: Workload) -> None:
    """Run both once: the first calls also pay for lazy imports, kernels and memory pools."""
    image, boxes = workload.images[0]
    question = question_text(workload.kinds[0], region=0)
    answer_alone(checkpoint, image, boxes, question, 4)
    engine = Fo1Engine(checkpoint)
    opened = engine.open([(image, boxes)])
    engine.ask([Question(opened[0], question, max_new_tokens=4)])


def _run_engine(
    checkpoint: Checkpoint, workload: Workload
) -> tuple[list[list[int]], float, dict[str, float]]:
    """The answers in order of image, kind and region; all seconds; the seconds of encoding and asking."""
    engine = Fo1Engine(checkpoint)
    started_s = _clock_s(checkpoint)
    opened = engine.open(workload.images)
    encoded_s = _clock_s(checkpoint)
    questions = [
        Question(image, question_text(kind, region=region), max_new_tokens=workload.max_new_tokens)
        for image in opened
        for kind in workload.kinds
        for region in range(image.num_regions)
    ]
    answers = engine.ask(questions)
    ended_s = _clock_s(checkpoint)
    stages = {"encode_s": encoded_s - started_s, "ask_s": ended_s - encoded_s}
    return [answer.token_ids for answer in answers], ended_s - started_s, stages


def _run_loop(checkpoint: Checkpoint, workload: Workload, num_images: int) -> tuple[list[list[int]], float]:
    started_s = _clock_s(checkpoint)
    answers = [
        answer_alone(checkpoint, image, boxes, question_text(kind, region=region), workload.max_new_tokens)
        for image, boxes in workload.images[:num_images]
        for kind in workload.kinds
        for region in range(len(boxes))
    ]
    return answers, _clock_s(checkpoint) - started_s


def _clock_s(checkpoint: Checkpoint) -> float:
    """The clock after all work on the device has ended."""
    if checkpoint.model.device.type == "cuda":
        torch.cuda.synchronize(checkpoint.model.device)
    return time.perf_counter()
