"""Times the stages of the engine over a workload: preparing, encoding, prefill and decoding."""

import time
from dataclasses import dataclass

from fo1_data.benchmarks.device_limits import work_clock_s
from fo1_data.benchmarks.engine_ways import Answers, engine_questions
from fo1_data.benchmarks.workload import Workload
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import OpenImage
from fo1_data.model.processing import PreparedImage


@dataclass(frozen=True)
class StagedRun:
    """A run of the engine over a workload.

    seconds: wall time. stages: `prepare_s`, `encode_s`, `ask_s` of `work_clock_s`. The images stay open.
    """

    answers: Answers
    seconds: float
    stages: dict[str, float]
    prepared: list[PreparedImage]
    opened: list[OpenImage]


def run_in_stages(engine: Fo1Engine, workload: Workload) -> StagedRun:
    """Answer the workload once, with a clock between the stages."""
    device = engine.model.device
    wall_started_s, started_s = time.perf_counter(), work_clock_s(device)
    prepared = [engine.checkpoint.processor.prepare(image, boxes) for image, boxes in workload.images]
    prepared_s = work_clock_s(device)
    opened = engine.open_prepared(prepared)
    encoded_s = work_clock_s(device)
    answers = [answer.token_ids for answer in engine.ask(engine_questions(opened, workload))]
    ended_s = work_clock_s(device)
    stages = {
        "prepare_s": prepared_s - started_s,
        "encode_s": encoded_s - prepared_s,
        "ask_s": ended_s - encoded_s,
    }
    return StagedRun(answers, time.perf_counter() - wall_started_s, stages, prepared, opened)


def split_ask(engine: Fo1Engine, workload: Workload, run: StagedRun) -> dict[str, float]:
    """`prefill_s` (prompts, questions and first tokens) and `decode_s` (all other tokens) of a run's `ask_s`.

    Asks twice more about the open images: for first tokens alone, and for whole answers. Prompts are cached
    by then, so that decoding is the difference; prefill is the rest of `ask_s`.
    """
    first_s, whole_s = (
        _ask_s(engine, workload, run.opened, longest) for longest in (1, workload.max_new_tokens)
    )
    decode_s = max(whole_s - first_s, 0.0)
    return {"prefill_s": max(run.stages["ask_s"] - decode_s, 0.0), "decode_s": decode_s}


def _ask_s(engine: Fo1Engine, workload: Workload, opened: list[OpenImage], longest: int) -> float:
    started_s = work_clock_s(engine.model.device)
    engine.ask(engine_questions(opened, workload, longest))
    return work_clock_s(engine.model.device) - started_s
