"""`fo1 plan`: checks a run of `fo1 label` and estimates its cost, without using a GPU."""

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.label import ConfigOption, further_pages_text, guess_text
from fo1_data.cli.output import JsonOption, emit, say
from fo1_data.cli.progress_lines import ProgressLines
from fo1_data.cli.run_options import with_run_options
from fo1_data.config import load_run
from fo1_data.errors import ClusterError, RunError, UsageError
from fo1_data.plurals import counted
from schemas.corpus import NOT_KEPT
from schemas.images import IGNORED
from schemas.jobs import RunConfig

if TYPE_CHECKING:
    from fo1_data.corpus.entry_list import EntryList
    from fo1_data.runs.plan import PlannedRun
    from fo1_data.runs.trial import Measured

# Only these are loaded to measure the time; larger models take too long to load.
_MEASURED_MODELS = ("fo1-tiny",)
_WAIT_S = 10.0


@with_run_options()
def plan(
    out: Annotated[
        str | None, typer.Option(help="Folder or URL that the dataset will be written to. Default: plan.")
    ] = None,
    config: ConfigOption = None,
    check: Annotated[int, typer.Option(min=0, help="Files to read and decode. 0: all of them.")] = 2000,
    measure: Annotated[
        bool | None,
        typer.Option(help="Label a few images to measure the time. Default: only with the bundled model."),
    ] = None,
    as_json: JsonOption = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Say before a run what it will cost and what is wrong. Labels nothing.

    Exit code 1 if a problem is found.
    """
    # A plan without a place for the dataset is checked as if it would go to ./plan.
    out = out or ("plan" if config is None else None)
    run = load_run(config, {**(settings or {}), "out": out})
    measures = run.model in _MEASURED_MODELS if measure is None else measure
    document = _plan(run, check or None, measures)
    emit(document, as_json, _summary(document))
    if document["problems"]:
        raise typer.Exit(1)


def _plan(run: RunConfig, num_checked: int | None, measures: bool) -> dict[str, Any]:
    from fo1_data.corpus.entry_list import EntryList
    from fo1_data.corpus.source_lines import source_lines
    from fo1_data.corpus.tracked_videos import is_tracked
    from fo1_data.runs.cost_estimate import estimate
    from fo1_data.runs.file_check import check_files
    from fo1_data.runs.listing_clock import shown_listing
    from fo1_data.runs.plan import images_text, list_corpus
    from fo1_data.runs.unasked_kinds import unasked_kinds
    from fo1_data.runs.video_cost import cost_of_videos

    say("checking the settings and listing the corpus")
    with ProgressLines() as lines, shown_listing(lines.show_listing) as progress:
        planned = list_corpus(run, progress)
    entries, units, run = planned.images, planned.shards.entries, planned.config
    unloadable = _unloadable(run)
    text = f"{images_text(planned)} in {counted(len(planned.shards), 'shard')}"
    say(f"{text}; reading files")
    files = check_files(entries, run, num_checked)
    cluster = _cluster(run)
    can_measure = measures and bool(entries) and unloadable is None
    videos = cost_of_videos(entries, run) if planned.num_videos else None
    images = EntryList(entry for entry in units if not is_tracked(entry)) if planned.num_videos else units
    sample = _measure(run, images) if can_measure and images else None
    tiles = _tiles(run, planned, can_measure)
    num_units = len(units) if planned.num_cut else None
    gpus = cluster.get("each_takes", {}).get("gpus", run.gpus_per_actor or 0.0)
    label_studio = check_label_studio()
    hours = estimate(entries, files, sample, run, gpus, num_units, videos)
    document = {
        "corpus": NOT_KEPT if planned.is_hidden else run.corpus,
        "images": len(entries),
        "not_listed": len(planned.listing_rejects),
        "sources": [source.model_dump(mode="json") for source in planned.sources],
        "shards": len(planned.shards),
        "tiles": tiles,
        "files": files.model_dump(mode="json"),
        "measured": sample.model_dump(mode="json") if sample is not None else None,
        "videos": videos.model_dump() | {"text": str(videos)} if videos is not None else None,
        "estimate": hours.model_dump(mode="json"),
        "cluster": cluster,
        "label_studio": label_studio,
    }
    for line in source_lines(planned.sources):
        say(line)
    if files.guessed_frames:
        say(guess_text(files.guessed_frames))
    if files.further_pages:
        say(further_pages_text(files.further_pages))
    problems = [*_problems(document), *unasked_kinds(run, entries)]
    if unloadable is not None and not any(unloadable in problem for problem in problems):
        problems.insert(0, unloadable)
    faults = [reject for reject in planned.listing_rejects if reject.reason != IGNORED]
    if run.strict and faults:
        problems.append(f"{counted(len(faults), 'part')} of the corpus rejected (--strict)")
    return {**document, "problems": problems}


def _tiles(run: RunConfig, planned: "PlannedRun", can_measure: bool) -> dict[str, Any]:
    """How images are cut into tiles; without tiles, whether they are needed, where that can be measured."""
    from fo1_data.runs.tile_choice import count_shrunk, suggest_tiles

    document: dict[str, Any] = {
        "tile_px": run.tile_side_px,
        "overlap_px": run.overlap_px or None,
        "images_cut": planned.num_cut,
        "tiles": planned.num_tiles,
        "images_shrunk": None,
        "choice": planned.choice.document() if planned.choice is not None else None,
        "text": str(planned.choice) if planned.choice is not None else None,
    }
    if run.tile_px is not None or planned.choice is not None:
        return document
    shrunk = count_shrunk(planned.images, run)
    document["images_shrunk"] = shrunk
    if shrunk and can_measure:
        say("looking at the largest images in windows, to see whether tiles are needed")
        choice, num_tiles = suggest_tiles(planned.images, run)
        document["choice"], document["text"] = choice.document() | {"tiles": num_tiles}, str(choice)
        if choice.tile_px is not None:
            times = num_tiles / len(planned.images)
            document["text"] += (
                f" (--tile-px {choice.tile_px}, or auto): {counted(num_tiles, 'tile')}, "
                f"{times:.1f} times as many pictures to label as now"
            )
    elif shrunk:
        document["text"] = (
            f"{counted(shrunk, 'image is', 'images are')} over 2,048 px and shrunk by the model, "
            "so that small things may be lost: --measure says whether tiles are needed"
        )
    return document


def _unloadable(run: RunConfig) -> str | None:
    """Why the model, the boxes or the device of a run on this machine cannot be used, or None."""
    from actors.cluster import LOCAL, chosen_address
    from fo1_data.labelling.model_files import ModelFiles
    from fo1_data.opinions.load import is_server, load_second_model
    from fo1_data.proposals.identity import is_detector
    from fo1_data.runs.in_process import IN_PROCESS
    from fo1_data.runs.trial import try_detectors

    loads_here = run.address == IN_PROCESS or chosen_address(run) == LOCAL
    try:
        ModelFiles(run, loads_here=loads_here).check()
        checkpoints = [name for name in (run.proposals, run.masks) if name and is_detector(name)]
        if loads_here and checkpoints:
            say(f"trying {' and '.join(checkpoints)} on an image")
            try_detectors(run)
        if run.second_opinion is not None and is_server(run.second_opinion):
            load_second_model(run.second_opinion)
    except (UsageError, RunError) as error:
        return str(error)
    return None


def _measure(run: RunConfig, entries: "EntryList") -> "Measured | None":
    from fo1_data.runs.trial import measure

    say(f"labelling a few images with {run.model} to measure the time")
    step = max(1, len(entries) // 4)
    return measure([entries[place] for place in range(0, len(entries), step)[:4]], run)


def _cluster(run: RunConfig) -> dict[str, Any]:
    from fo1_data.runs.in_process import IN_PROCESS

    if run.address == IN_PROCESS:
        return {"address": IN_PROCESS, "can_place": True, "nodes": []}
    from fo1_data.cli.label import require_ray

    require_ray()
    from actors.preflight import check_cluster

    say("checking the cluster")
    try:
        with redirect_stdout(sys.stderr):
            return check_cluster(run)
    except ClusterError as error:
        return {"address": run.address or "local", "can_place": False, "problem": str(error), "nodes": []}


def check_label_studio() -> dict[str, Any]:
    """Whether Label Studio answers, accepts the token and can show images, if it is configured."""
    url = os.environ.get("FO1_LABEL_STUDIO_URL")
    if not url:
        return {"configured": False}
    import httpx

    token = os.environ.get("FO1_LABEL_STUDIO_TOKEN", "")
    state: dict[str, Any] = {"configured": True, "url": url, "reachable": False, "token_good": False}
    try:
        with httpx.Client(base_url=url.rstrip("/"), timeout=_WAIT_S) as client:
            state["reachable"] = client.get("/health").is_success
            state["token_good"] = _token_is_good(client, token)
            state["images_load"] = _images_load(client)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        state["problem"] = f"{type(error).__name__}: {error}"
    return state


def _token_is_good(client: Any, token: str) -> bool:
    """Try a legacy token as it is, then a personal access token, exchanged for a short-lived one."""
    if not token:
        return False
    if client.get("/api/current-user/whoami", headers={"Authorization": f"Token {token}"}).is_success:
        return True
    exchange = client.post("/api/token/refresh", json={"refresh": token})
    if not exchange.is_success:
        return False
    bearer = {"Authorization": f"Bearer {exchange.json().get('access', '')}"}
    return bool(client.get("/api/current-user/whoami", headers=bearer).is_success)


def _images_load(client: Any) -> bool | None:
    """Whether the service that serves images to reviewers answers; None if FO1_PUBLIC_URL is not set."""
    public = os.environ.get("FO1_PUBLIC_URL")
    return bool(client.get(f"{public.rstrip('/')}/healthz").is_success) if public else None


def _problems(document: dict[str, Any]) -> list[str]:
    cluster, studio = document["cluster"], document["label_studio"]
    problems = []
    if "problem" in cluster:
        problems.append(cluster["problem"])
    elif not cluster["can_place"]:
        takes = cluster["each_takes"]
        problems.append(
            f"the cluster can hold {counted(cluster['labellers_that_fit'], 'labeller')} of "
            f"{takes['cpus']:g} CPU and {takes['gpus']:g} GPU, {cluster['labellers_asked_for']} are requested"
        )
    problems += [f"{node['address']}: {node['model']}" for node in cluster["nodes"] if node["model"] != "ok"]
    if studio["configured"]:
        failed = [name for name in ("reachable", "token_good", "images_load") if studio.get(name) is False]
        problems += [f"Label Studio at {studio['url']}: {name.replace('_', ' ')}: no" for name in failed]
    if document["files"]["checked"] and document["files"]["bad"] == document["files"]["checked"]:
        problems.append("none of the checked files is an image that can be labelled")
    return problems


def _summary(document: dict[str, Any]) -> str:
    files, hours, cluster = document["files"], document["estimate"], document["cluster"]
    lines = [
        f"{_images_text(document)} in {counted(document['shards'], 'shard')}, "
        f"{document['not_listed']:,} not listed",
        *([document["tiles"]["text"]] if document["tiles"]["text"] else []),
        *([document["videos"]["text"]] if document["videos"] is not None else []),
        f"{counted(files['checked'], 'file')} read: {files['bad']:,} bad, "
        f"{counted(files['duplicate_files'], 'exact duplicate')}",
        *(f"  {count} x {reason}" for reason, count in files["bad_by_reason"].items()),
        f"about {counted(hours['regions'], 'region')}, {counted(hours['labels'], 'label')}",
        f"labelling: {_hours(hours['wall_hours'])} with the requested actors, "
        f"{_hours(hours['gpu_hours'])} of GPU, {_hours(hours['cpu_hours'])} of CPU",
        f"review: {_hours(hours['review_hours_as_set'])} as set, "
        f"{_hours(hours['review_hours_if_all'])} for all",
        *(f"  {assumption}" for assumption in hours["assumptions"]),
        f"cluster {cluster['address']}: {'holds' if cluster['can_place'] else 'cannot hold'} the actors",
        f"Label Studio: {'configured' if document['label_studio']['configured'] else 'not configured'}",
    ]
    problems = document["problems"]
    return "\n".join([*lines, *[f"problem: {problem}" for problem in problems or ["none found"]]])


def _images_text(document: dict[str, Any]) -> str:
    """`3 images and 2 videos`; without videos, the images."""
    num_videos = document["videos"]["videos"] if document["videos"] is not None else 0
    num_images = document["images"] - num_videos
    images = counted(num_images, "image") if num_images or not num_videos else ""
    return " and ".join(part for part in (images, counted(num_videos, "video") if num_videos else "") if part)


def _hours(hours: float) -> str:
    return f"{hours * 60:.1f} min" if hours < 1 else f"{hours:.1f} h"
