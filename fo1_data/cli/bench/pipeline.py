"""`fo1 bench pipeline`: what Ray costs, beside the same steps in one process without it.

Both label the same generated scenes with the same settings, one labeller, as many threads; each in a
process of its own. What is compared is the labelling itself: from the first shard taken to the
manifest written. Starting Ray and loading the model are stated apart.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.errors import RunError


def pipeline(
    count: Annotated[int, typer.Option(min=2, help="Generated scenes to label.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 0,
    labels: Annotated[str, typer.Option(help="Label kinds.")] = "brief_caption,grounded_caption",
    shard_size: Annotated[int, typer.Option(min=1, help="Images of a shard.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each; the fastest of each counts.")] = 1,
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
        for turn in range(rounds):
            for where, found in runs.items():
                say(f"labelling them: {where}, {turn + 1} of {rounds}")
                out = folder / f"{where}-{turn}"
                found.append(_timed_run({**settings, "out": str(out)}, where))
    best = {where: min(found, key=lambda run: run["labelling_s"]) for where, found in runs.items()}
    document = _compared(count, best, runs)
    emit(document, as_json, _told(document))


def _timed_run(settings: dict[str, Any], where: str) -> dict[str, float]:
    """One run in a fresh process, so that neither finds the other's caches warm or memory full."""
    command = [sys.executable, "-m", "fo1_data.cli.bench.pipeline", where, json.dumps(settings)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RunError(f"the run ({where}) ended with exit code {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _compared(count: int, best: dict[str, dict[str, float]], runs: dict[str, Any]) -> dict[str, Any]:
    alone, on_ray = best["in-process"], best["ray"]
    return {
        "images": count,
        "overhead": round(on_ray["labelling_s"] / alone["labelling_s"] - 1, 4),
        "ray": {"images_per_s": round(count / on_ray["labelling_s"], 3), **on_ray},
        "in_process": {"images_per_s": round(count / alone["labelling_s"], 3), **alone},
        "runs": runs,
    }


def _told(document: dict[str, Any]) -> str:
    ray, alone = document["ray"], document["in_process"]
    return "\n".join(
        [
            f"on Ray: {ray['images_per_s']:.2f} images/s (start of Ray {ray['ray_start_s']:.1f} s, "
            f"of labeller and model {ray['model_start_s']:.1f} s, apart)",
            f"in one process: {alone['images_per_s']:.2f} images/s "
            f"(model {alone['model_start_s']:.1f} s, apart)",
            f"overhead: {document['overhead']:.1%} on {document['images']} images",
        ]
    )


def _run_here(where: str, settings: dict[str, Any]) -> dict[str, float]:
    """Label in this process; seconds of each part of the run."""
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
        if where == "ray":
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
