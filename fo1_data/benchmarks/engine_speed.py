"""`fo1 bench engine`: the engine against a plain loop and transformers' `generate`, on equal weights.

All answer one question of each kind for every region of an image, from decoded pixels to token ids. Engine
and peers take turns over the same images, and the best turn of each counts; the loop answers once. Rates of
engine and loop are by wall time; stages, and the ratios to the peers, by `work_clock_s`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from fo1_data.benchmarks.device_limits import measure_limits
from fo1_data.benchmarks.engine_stages import StagedRun, run_in_stages, split_ask
from fo1_data.benchmarks.engine_ways import (
    PEERS,
    SHARED_PREFIX_PEERS,
    Answers,
    Timing,
    engine_parts,
    loop_parts,
    peer_parts,
    time_way,
)
from fo1_data.benchmarks.engine_work import shares_of_limits, work_of
from fo1_data.benchmarks.history import this_machine
from fo1_data.benchmarks.operations import windowed
from fo1_data.benchmarks.workload import Workload
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.step_graphs import Graphs
from fo1_data.plurals import counted

# Forms of the engine: the name of its figures in the document, and its options.
ENGINE: dict[str, dict[str, Any]] = {"engine": {}}
ENGINE_AND_EAGER = ENGINE | {"engine_eager": {"graphs": Graphs.OFF}}


@dataclass
class EngineBench:
    """A measurement that ends within a time. `skipped` of its document says which parts did not fit.

    Engines are kept between runs, as a labeller keeps its own.

    loop_images: loop and peers answer for the first of the images only. engines: the forms to measure.
    rounds: turns of engine and peers. seconds: the wall time for everything. warms_up: first run the loop and
    the engines on a short question; on a GPU the engines on everything, because a step is captured when it
    is first met. compares_threads: measure the engine with one and with two threads. report: called with
    messages. save: called with the document after each part.
    """

    checkpoint: Checkpoint
    workload: Workload
    loop_images: int
    engines: dict[str, dict[str, Any]] = field(default_factory=lambda: ENGINE)
    rounds: int = 2
    seconds: float = float("inf")
    warms_up: bool = True
    compares_threads: bool = False
    report: Callable[[str], None] = lambda _: None
    save: Callable[[dict[str, Any]], None] = lambda _: None
    document: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        windowed(self.checkpoint.config)
        self._ends_s = time.perf_counter() + self.seconds
        self._few = replace(self.workload, images=self.workload.images[: self.loop_images])
        self._device, self._dtype = self.checkpoint.model.device, self.checkpoint.model.dtype

        self._engines = {
            name: Fo1Engine(self.checkpoint, **options) for name, options in self.engines.items()
        }

    def run(self) -> dict[str, Any]:
        """Measure everything and return the document of `fo1 bench engine --json`."""
        if self.warms_up:
            self._warm_up()
        machine = this_machine()
        self.document |= {
            "kinds": [kind.value for kind in self.workload.kinds],
            "model": self.checkpoint.name,
            "images": len(self.workload.images),
            "regions": len(self.workload.images[0][1]),
            "device": str(self._device),
            "device_name": (machine.gpu if self._device.type == "cuda" else None) or machine.cpu,
            "dtype": str(self._dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "limits": measure_limits(self._device, self._dtype),
            "skipped": {},
        }
        runs = [self._measure_engine(name, engine) for name, engine in self._engines.items()]
        self._measure_loop(runs[0])
        self._measure_peers(runs[0])
        if self.compares_threads:
            self._compare_threads()
        self.save(self.document)
        return self.document

    @property
    def _left_s(self) -> float:
        return self._ends_s - time.perf_counter()

    def _fits(self, part: str, expected_s: float) -> bool:
        """Whether a part that probably takes so long can still run; if not, it is among the skipped ones."""
        if expected_s <= self._left_s:
            return True
        self.document["skipped"][part] = (
            f"would take about {expected_s:.0f} s, and {max(self._left_s, 0):.0f} s are left"
        )
        return False

    def _warm_up(self) -> None:
        """Run all ways once: the first calls also pay for lazy imports, kernels and memory pools."""
        self.report("warming up")
        short = replace(self.workload, images=self.workload.images[:1], max_new_tokens=4)
        next(loop_parts(self.checkpoint, short))
        for engine in self._engines.values():
            next(engine_parts(engine, self.workload if self._device.type == "cuda" else short))

    def _measure_engine(self, name: str, engine: Fo1Engine) -> StagedRun:
        """A form of the engine over all images, by stages, with its shares of the device's limits."""
        images = counted(len(self.workload.images), "image")
        self.report(f"{name}: {images}, {counted(self.workload.num_regions, 'region')}")
        run = run_in_stages(engine, self.workload)
        stages = run.stages
        if self._fits(f"{name}, stages", 8 * run.seconds):
            stages |= split_ask(engine, self.workload, run)
        engine.close(run.opened)
        work = work_of(self.checkpoint, self.workload, run.prepared, run.answers, engine.num_slots)
        self.document[name] = {
            "regions_per_s": self.workload.num_regions / run.seconds,
            "images_per_s": len(self.workload.images) / run.seconds,
            "tokens_per_s": sum(map(len, run.answers)) / run.seconds,
            "seconds": run.seconds,
            **stages,
            "eager_reason": engine.eager_reason,
            "share_of_limits": shares_of_limits(work, stages, self.document["limits"]),
        }
        self.document["tokens_an_answer"] = float(np.mean([*map(len, run.answers)]))
        self.save(self.document)
        return run

    def _measure_loop(self, run: StagedRun) -> None:
        """The plain loop, for a minute or a quarter of the time left; at least one question."""
        self.report(f"plain loop: at most {counted(self.loop_images, 'image')}")
        timing = time_way(
            self.checkpoint, loop_parts(self.checkpoint, self._few), min(60.0, self._left_s / 4)
        )
        rate = len(timing.answers) / len(self.workload.kinds) / timing.seconds
        self.document |= {
            "ratio": self.document["engine"]["regions_per_s"] / rate,
            "answers_equal": timing.share_equal(run.answers) == 1,
            "loop": {"regions_per_s": rate, "questions": len(timing.answers), "seconds": timing.seconds},
        }
        self.save(self.document)

    def _measure_peers(self, run: StagedRun) -> None:
        """Engine and peers in turns."""
        turns: dict[str, list[Timing]] = {"engine": [], **{peer: [] for peer in PEERS}}
        if len(self._few.images) == len(self.workload.images):
            work_s = sum(run.stages[stage] for stage in ("prepare_s", "encode_s", "ask_s"))
            turns["engine"].append(Timing(run.answers, run.seconds, work_s))
        for number in range(self.rounds):
            for name, timings in turns.items():
                if len(timings) > number or not self._fits_turn(name, timings):
                    continue
                self.report(
                    f"{name}: {counted(self.loop_images, 'image')}, turn {number + 1} of {self.rounds}"
                )
                timings.append(time_way(self.checkpoint, self._parts(name), self._left_s))
                self._compare(turns)
                self.save(self.document)

    def _parts(self, name: str) -> Iterator[Answers]:
        if name == "engine":
            return engine_parts(self._engines[name], self._few)
        return peer_parts(self.checkpoint, self._few, name)

    def _fits_turn(self, name: str, timings: list[Timing]) -> bool:
        """Whether there is time for this way's first image, or for a turn as long as its first."""
        if timings:
            return timings[0].seconds <= self._left_s
        loop, num_images = self.document["loop"], len(self.workload.images)
        questions_an_image = self.workload.num_regions * len(self.workload.kinds) / num_images
        # Left-padded prompts run whole for each question, as in the loop.
        loop_s = loop["seconds"] / loop["questions"] * questions_an_image
        shared_s = 3 / self.document["engine"]["images_per_s"]
        expected_s = {"left_padded": loop_s} | dict.fromkeys(SHARED_PREFIX_PEERS, shared_s)
        return self._fits(name, expected_s.get(name, 0.0))

    def _compare(self, turns: dict[str, list[Timing]]) -> None:
        """Put the ratios of the peers measured so far into the document."""
        best = {
            name: max(timings, key=lambda timing: timing.questions_per_work_s)
            for name, timings in turns.items()
            if timings
        }
        engine = best.pop("engine")
        shares = {peer: timing.share_equal(engine.answers) for peer, timing in best.items()}
        rates = {name: timing.questions_per_work_s for name, timing in [("engine", engine), *best.items()]}
        self.document |= {
            **{f"ratio_{peer}": rates["engine"] / rates[peer] for peer in best},
            "peers_equal": all(share == 1 for share in shares.values()),
            "peers": {
                "images": self.loop_images,
                "clock": "device" if self._device.type == "cuda" else "processor",
                "questions_per_s": rates,
                "share_of_answers_equal": shares,
                "seconds": {name: [timing.work_s for timing in timings] for name, timings in turns.items()},
            },
        }

    def _compare_threads(self) -> None:
        """`ratio_two_threads`: the engine with two threads to one, by wall time, in turns."""
        before, seconds = torch.get_num_threads(), {1: float("inf"), 2: float("inf")}
        if not self._fits("two threads", 4 * self.document["engine"]["seconds"]):
            return
        self.report("engine: one and two threads")
        for threads in (1, 2, 1, 2):
            torch.set_num_threads(threads)
            timing = time_way(self.checkpoint, self._parts("engine"), self._left_s)
            seconds[threads] = min(seconds[threads], timing.seconds)
        torch.set_num_threads(before)
        self.document["ratio_two_threads"] = seconds[1] / seconds[2]
