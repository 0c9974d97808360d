"""`fo1 bench pipeline`: the overhead of Ray, against the same steps in one process without Ray.

Both label the same generated scenes with the same settings, one labeller and the same number of threads, each
in a process of its own. The compared time is that of the labelling: from the first shard to the written
manifest. The times to start Ray and to load the model are reported separately.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fo1_data.cli.bench.history import HistoryOption, emit_figures
from fo1_data.cli.output import JsonOption, say
from fo1_data.errors import RunError
from fo1_data.plurals import counted


def pipeline(
    context: typer.Context,
    count: Annotated[int, typer.Option(min=2, help="Generated scenes to label.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 0,
    labels: Annotated[str, typer.Option(help="Label kinds.")] = "brief_caption,grounded_caption",
    shard_size: Annotated[int, typer.Option(min=1, help="Images per shard.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each; the fastest of each counts.")] = 1,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a run's images/s on Ray against the same steps in one process."""
    from fo1_data.synthetic.gold import write_scenes

    with tempfile.TemporaryDirectory(prefix="fo1-bench-") as scratch:
        folder = Path(scratch)
        corpus = folder / "scenes"
        say(f"drawing {count} scenes")
        write_scenes(corpus, count=count, seed=seed)
        settings = {"corpus": str(corpus), "labels": labels, "shard_size": shard_size, "actors": "1"}
        runs: dict[str, list[dict[str, float]]] = {"in-process": [], "ray": []}
        for number in range(rounds):
            for backend, timings in runs.items():
                say(f"labelling the scenes: {backend}, {number + 1} of {rounds}")
                out = folder / f"{backend}-{number}"
                timings.append(_timed_run({**settings, "out": str(out)}, backend))
    best = {backend: min(timings, key=lambda run: run["labelling_s"]) for backend, timings in runs.items()}
    document = _document(count, best, runs)
    emit_figures(context, document, as_json, _text(document), history)


def _timed_run(settings: dict[str, Any], backend: str) -> dict[str, float]:
    """The timings of a run in a fresh process, so that no run has the caches or the memory of another."""
    command = [sys.executable, "-m", "fo1_data.cli.bench.pipeline", backend, json.dumps(settings)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RunError(f"the run ({backend}) ended with exit code {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _document(count: int, best: dict[str, dict[str, float]], runs: dict[str, Any]) -> dict[str, Any]:
    in_process, on_ray = best["in-process"], best["ray"]
    return {
        "images": count,
        "overhead": round(on_ray["labelling_s"] / in_process["labelling_s"] - 1, 4),
        "ray": {"images_per_s": round(count / on_ray["labelling_s"], 3), **on_ray},
        "in_process": {"images_per_s": round(count / in_process["labelling_s"], 3), **in_process},
        "runs": runs,
    }


def _text(document: dict[str, Any]) -> str:
    ray, in_process = document["ray"], document["in_process"]
    return "\n".join(
        [
            f"on Ray: {ray['images_per_s']:.2f} images/s (without {ray['ray_start_s']:.1f} s to start Ray "
            f"and {ray['model_start_s']:.1f} s to start labeller and model)",
            f"in one process: {in_process['images_per_s']:.2f} images/s "
            f"(without {in_process['model_start_s']:.1f} s to load the model)",
            f"overhead: {document['overhead']:.1%} on {counted(document['images'], 'image')}",
        ]
    )


def _run_here(backend: str, settings: dict[str, Any]) -> dict[str, float]:
    """Label in this process; returns the seconds of each part of the run."""
    from contextlib import redirect_stdout

    from fo1_data.config import load_run
    from fo1_data.runs.in_process import run_in_process
    from fo1_data.runs.watcher import Unwatched

    config = load_run(None, settings)
    started_s = time.perf_counter()
    marks: dict[str, float] = {}

    class Stopwatch(Unwatched):
        def reached(self, step: str) -> None:
            marks[step] = time.perf_counter() - started_s

    with redirect_stdout(sys.stderr):
        if backend == "ray":
            from actors.run import run_labelling

            run_labelling(config, Stopwatch())
        else:
            run_in_process(config, Stopwatch())
    ray_start_s = marks.get("ray_started", marks["listed"]) - marks["listed"]
    return {
        "labelling_s": round(marks["finished"] - marks["model_loaded"], 3),
        "listing_s": round(marks["listed"], 3),
        "ray_start_s": round(ray_start_s, 3),
        "model_start_s": round(marks["model_loaded"] - marks["listed"] - ray_start_s, 3),
    }


if __name__ == "__main__":
    print(json.dumps(_run_here(sys.argv[1], json.loads(sys.argv[2]))))
