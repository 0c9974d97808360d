"""`fo1 bench service`, reviews: the speed of pushing and pulling, and whether kills lose or double anything.

Against a real Label Studio, with a database of its own. Both sides of a comparison run right after each
other. Times in seconds, memory in MiB (peak of resident memory).
"""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.benchmarks.naive_way import naive_project, naive_seconds, naive_tasks
from services.benchmarks.own_process import in_process
from services.benchmarks.review_kills import measure_kills
from services.benchmarks.review_place import Place, label_studio
from services.benchmarks.review_work import (
    annotate,
    count_corrections,
    create_review,
    pull_changed,
    push_all,
    review_of,
    write_dataset,
)
from services.review.outbox.push import MAX_ITEMS


def measure_reviews(
    url: str | None = None,
    token: str | None = None,
    num_tasks: int = 10_000,
    kills: int = 50,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Return all figures. Without `url`, start a Label Studio for the measurement. Raises RunError.

    The baseline gets a twentieth of the tasks (at most 100); a tenth are annotated (at most 300).
    """
    num_naive, num_annotated = min(num_tasks // 20 + 1, 100), min(num_tasks // 10 + 1, 300)
    with (
        tempfile.TemporaryDirectory(prefix="fo1-bench-") as folder,
        label_studio(url, token, Path(folder)) as (address, server),
    ):
        place = Place(Path(folder) / "home", *address)
        say(f"label studio at {place.url}")
        pushed = _measure_push(place, Path(folder) / "many", num_tasks, num_naive)
        say(f"push: {pushed}")
        pulled = _measure_pull(place, pushed["review"], num_annotated)
        say(f"pull: {pulled}")
        killed = measure_kills(place, Path(folder) / "killed", kills, server, say) if kills else {}
    return {"push": pushed, "pull": pulled, "kills": killed}


def _measure_push(place: Place, dataset: Path, num_tasks: int, num_naive: int) -> dict[str, Any]:
    # In a process of its own, like everything that needs memory: a fork starts with its parent's memory.
    in_process(write_dataset, dataset, num_tasks, 1)
    review = asyncio.run(create_review(place, dataset))
    ours = in_process(push_all, place, review, MAX_ITEMS)
    naive = naive_seconds(place, tasks=naive_tasks(num_naive), project=naive_project(place))
    return {
        "review": review,
        "tasks": num_tasks,
        "tasks_per_s": num_tasks / ours["seconds"],
        "naive_tasks_per_s": num_naive / naive,
        "ratio": (num_tasks / ours["seconds"]) / (num_naive / naive),
        "peak_mib": ours["peak_mib"],
    }


def _measure_pull(place: Place, review: str, num_annotated: int) -> dict[str, Any]:
    project = asyncio.run(review_of(place, review)).project_id
    tasks = asyncio.run(annotate(place, project or 0, num_annotated))
    ours = in_process(pull_changed, place, review)
    corrections = asyncio.run(count_corrections(place, review))
    naive = naive_seconds(place, ids=tasks, project=project)
    return {
        "annotations": num_annotated,
        "corrections": corrections,
        "corrections_per_s": corrections / ours["seconds"],
        "annotations_per_s": num_annotated / ours["seconds"],
        "naive_annotations_per_s": num_annotated / naive,
        "ratio": naive / ours["seconds"],
        "peak_mib": ours["peak_mib"],
    }


def review_summary(figures: dict[str, Any]) -> str:
    """Return the figures in a few lines."""
    push, pull, kills = figures["push"], figures["pull"], figures["kills"]
    lines = [
        f"push         {push['tasks_per_s']:.1f} tasks/s, one SDK call each {push['naive_tasks_per_s']:.2f}"
        f" (x{push['ratio']:.0f}), {push['peak_mib']:.0f} MiB for {push['tasks']} tasks",
        f"pull         {pull['corrections_per_s']:.0f} corrections/s,"
        f" {pull['annotations_per_s']:.1f} annotations/s;"
        f" one SDK call each {pull['naive_annotations_per_s']:.1f} annotations/s (x{pull['ratio']:.1f})",
    ]
    if kills:
        lines.append(
            f"kills        {kills['killed_in_push']} while pushing, {kills['killed_in_pull']} while pulling,"
            f" {kills['label_studio_killed']} of Label Studio:"
            f" {kills['items_lost']} items lost, {kills['items_doubled']} doubled,"
            f" {kills['annotations_lost']} annotations lost, {kills['annotations_doubled']} doubled"
        )
    return "\n".join(lines)
