"""`fo1 bench service`, reviews: what pushing and pulling cost, and whether kills lose or double anything.

Against a real Label Studio (a running one, or one that is started for it), on a database of its own. Each
side of a comparison runs in the same minute; the naive way is one call of label-studio-sdk a task. Work runs
in forked processes, so that their memory is theirs alone and they can be killed: what is killed is the whole
service with its loop over reviews. Label Studio itself is killed and started again too, where it was started
here. Times in seconds, memory in MiB (peak of resident memory).
"""

import asyncio
import hashlib
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from fo1_data.corpus.storage import open_store
from fo1_data.dataset.manifest import read_manifest
from fo1_data.dataset.writer import open_run
from schemas.corpus import CorpusImage, Shard
from schemas.dataset import ModelInfo
from schemas.images import EncodedImage, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import Region, make_region_id
from services.app import create_app
from services.database.engine import open_database
from services.database.migrate import migrate
from services.datasets import registry
from services.label_studio_server import install, start
from services.review import repository, service
from services.review.client import LabelStudio
from services.review.connection import LabelStudioLost
from services.review.convert import KEY, ls_task
from services.review.models import Review, ReviewedAnnotation
from services.review.pull import Pull
from services.review.push import BATCH_ITEMS, Push
from services.review.shown import shown_image
from services.settings import Settings

NUM_REGIONS = 10
ROWS_A_SHARD = 500
LONGEST_LIFE_S = 3.0


@dataclass(frozen=True)
class Place:
    """Where a measurement happens: the service's home and its Label Studio."""

    home: Path
    url: str
    token: str

    def settings(self) -> Settings:
        """The settings of the service there."""
        return Settings(
            home=self.home,
            label_studio_url=self.url,
            label_studio_token=self.token,  # type: ignore[arg-type]
            secret_key="a secret for measurements",  # type: ignore[arg-type]
            review_pull_every_s=0.5,
        )


def measure_reviews(
    url: str | None = None,
    token: str | None = None,
    num_tasks: int = 10_000,
    kills: int = 50,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """All figures. Without `url` a Label Studio is started for it. Raises RunError.

    The naive way gets a twentieth of the tasks (at most 100), people annotate a tenth (at most 300).
    """
    num_naive, num_annotated = min(num_tasks // 20 + 1, 100), min(num_tasks // 10 + 1, 300)
    with (
        tempfile.TemporaryDirectory(prefix="fo1-bench-") as folder,
        _label_studio(url, token, folder) as (found, server),
    ):
        place = Place(Path(folder) / "home", *found)
        say(f"label studio at {place.url}")
        pushed = _measure_push(place, Path(folder) / "many", num_tasks, num_naive)
        say(f"push: {pushed}")
        pulled = _measure_pull(place, pushed["review"], num_annotated)
        say(f"pull: {pulled}")
        killed = _measure_kills(place, Path(folder) / "killed", kills, server, say) if kills else {}
    return {"push": pushed, "pull": pulled, "kills": killed}


class _Server:
    """A Label Studio that was started here, and can be killed and started again on its data."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "label-studio"
        self.running = start(self._data)

    def kill_and_start(self) -> None:
        """No goodbye: what it was doing is cut off."""
        os.killpg(self.running.process.pid, signal.SIGKILL)
        self.running.process.wait()
        port = int(self.running.url.rpartition(":")[2])
        self.running = start(self._data, port, self.running.token, self.running.password)


@contextmanager
def _label_studio(url: str | None, token: str | None, folder: str) -> Any:
    if url is not None and token is not None:
        yield (url, token), None
        return
    server = _Server(Path(folder))
    try:
        yield (server.running.url, server.running.token), server
    finally:
        server.running.stop()


def make_rows(count: int, seed: int) -> list[ImageRow]:
    """Rows to be reviewed, of NUM_REGIONS regions each, whose images need not exist."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        image_id = hashlib.sha256(f"{seed} {number}".encode()).hexdigest()
        regions = [_region(image_id, index, chance) for index in range(NUM_REGIONS)]
        uri = f"memory://{image_id}.jpg"
        rows.append(
            ImageRow(
                image_id=image_id,
                uri=uri,
                uris=[uri],
                corpus="made-up",
                split="train",
                image=EncodedImage(path=uri),
                width=1000,
                height=800,
                regions=regions,
                decision=Decision.REVIEW,
            )
        )
    return rows


def _region(image_id: str, index: int, chance: random.Random) -> Region:
    x, y = chance.randrange(900), chance.randrange(700)
    box = (float(x), float(y), float(x + chance.randint(4, 100)), float(y + chance.randint(4, 100)))
    text = f"thing number {index} of a kind that has a caption of common length"
    label = Label(
        kind=LabelKind.BRIEF_CAPTION, text=text, confidence=chance.random(), decision=Decision.REVIEW,
        reasons=["low margin"],
    )  # fmt: skip
    return Region(
        region_id=make_region_id(image_id, box),
        index=index,
        box_xyxy=box,
        box_source=Source.MODEL,
        brief_caption=text,
        decision=Decision.REVIEW,
        labels=[label],
    )


def make_dataset(out: Path, count: int, seed: int) -> None:
    """A finished dataset of made-up rows."""
    run = open_run(str(out), {"seed": seed, "count": count}, {"corpus": "made-up"})
    rows = make_rows(count, seed)
    for index, begin in enumerate(range(0, count, ROWS_A_SHARD)):
        some = rows[begin : begin + ROWS_A_SHARD]
        images = [CorpusImage(uri=row.uri) for row in some]
        run.write_shard(Shard(shard_id=f"{index:05d}-{seed}", index=index, images=images), some, [], "try-0")
    run.finalise("made-up", ModelInfo(name="fo1-tiny", sha256="ab" * 32), "corpus")


async def _make(out: Path, count: int, seed: int) -> None:
    make_dataset(out, count, seed)


def _measure_push(place: Place, dataset: Path, num_tasks: int, num_naive: int) -> dict[str, Any]:
    # In a process of its own, like all that needs memory: a fork starts with what its parent holds.
    _in_process(_make, dataset, num_tasks, 1)
    review = asyncio.run(_ask(place, dataset))
    ours = _in_process(_push, place, review, BATCH_ITEMS)
    naive = _naive(place, tasks=_naive_tasks(num_naive), project=_project(place))
    return {
        "review": review,
        "tasks": num_tasks,
        "tasks_per_s": num_tasks / ours["seconds"],
        "naive_tasks_per_s": num_naive / naive,
        "ratio": (num_tasks / ours["seconds"]) / (num_naive / naive),
        "peak_mib": ours["peak_mib"],
    }


def _measure_pull(place: Place, review: str, num_annotated: int) -> dict[str, Any]:
    project = asyncio.run(_review(place, review)).project_id
    tasks = asyncio.run(_annotate(place, project or 0, num_annotated))
    ours = _in_process(_pull, place, review)
    corrections = asyncio.run(_count(place, review))
    naive = _naive(place, ids=tasks, project=project)
    return {
        "annotations": num_annotated,
        "corrections": corrections,
        "corrections_per_s": corrections / ours["seconds"],
        "annotations_per_s": num_annotated / ours["seconds"],
        "naive_annotations_per_s": num_annotated / naive,
        "ratio": naive / ours["seconds"],
        "peak_mib": ours["peak_mib"],
    }


def _measure_kills(
    place: Place, dataset: Path, kills: int, server: _Server | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Half the kills while pushing, half while pulling, at random moments; then what is lost or doubled."""
    chance = random.Random(7)
    count = 40 * max(kills, 1)
    _in_process(_make, dataset, count, 2)
    review = asyncio.run(_ask(place, dataset))
    in_push = sum(_killed(chance, place, review, "open") for _ in range((kills + 1) // 2))
    outages = _outage(place, server)
    _in_process(_push, place, review, 100)
    say(f"killed {in_push} times while pushing, Label Studio {outages} times")
    project = asyncio.run(_review(place, review)).project_id or 0
    wanted: list[int] = []
    in_pull = 0
    for _ in range(kills // 2):
        wanted += asyncio.run(_annotate(place, project, 6, skip=len(wanted)))
        in_pull += _killed(chance, place, review, None)
    outages += _outage(place, server)
    _in_process(_pull, place, review)
    keys = asyncio.run(_keys(place, project))
    said = asyncio.run(_said(place, review))
    return {
        "killed_in_push": in_push,
        "killed_in_pull": in_pull,
        "label_studio_killed": outages,
        "items": count,
        "items_lost": count - len(set(keys)),
        "items_doubled": len(keys) - len(set(keys)),
        "annotations": len(wanted),
        "annotations_lost": len(wanted) - len(set(said)),
        "annotations_doubled": len(said) - len(set(said)),
    }


def _killed(chance: random.Random, place: Place, review: str, end: str | None) -> int:
    """Kill the service at a random moment; 0 where the review had come to the state `end` by then."""
    process = _fork(_serve, place)
    time.sleep(chance.uniform(0.1, LONGEST_LIFE_S))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return int(asyncio.run(_review(place, review)).state != end)


def _outage(place: Place, server: _Server | None) -> int:
    """Kill Label Studio while the service works with it, and start it again; how often."""
    if server is None:
        return 0
    process = _fork(_serve, place)
    time.sleep(LONGEST_LIFE_S)
    server.kill_and_start()
    time.sleep(LONGEST_LIFE_S)
    process.kill()
    process.join()
    return 1


def _fork(work: Callable[..., Awaitable[None]], *arguments: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=_run, args=(work, arguments, None))
    process.start()
    return process


async def _serve(place: Place) -> None:
    """The service as it runs, but for its socket."""
    app = create_app(place.settings())
    async with app.router.lifespan_context(app):
        await asyncio.Event().wait()


def _in_process(work: Callable[..., Awaitable[None]], *arguments: Any) -> dict[str, float]:
    """Run the work in a process of its own: its seconds, and its peak of memory."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_run, args=(work, arguments, queue))
    process.start()
    found: dict[str, float] = queue.get()
    process.join()
    return found


def _run(work: Callable[..., Awaitable[None]], arguments: tuple[Any, ...], queue: Any) -> None:
    begin = time.perf_counter()
    asyncio.run(_awaited(work, arguments))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if queue is not None:
        queue.put({"seconds": time.perf_counter() - begin, "peak_mib": peak})


async def _awaited(work: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> None:
    await work(*arguments)


async def _ask(place: Place, dataset: Path) -> str:
    settings = place.settings()
    database = open_database(settings)
    await migrate(database)
    async with database.writing() as session:
        record = await registry.register(session, str(dataset), read_manifest(open_store(str(dataset))))
        review = await service.ask_for_push(session, settings, record, None, {})
    await database.dispose()
    return review.id


async def _push(place: Place, review: str, batch_items: int) -> None:
    database = open_database(place.settings())

    async def image_urls(of: Review) -> Callable[[str], str]:
        return lambda image_id: f"http://127.0.0.1:1/v1/images/{image_id}?grant={of.id}&signature={'0' * 64}"

    async with LabelStudio(place.url, place.token) as client:
        push = Push(database, client, image_urls, lambda of: None, batch_items=batch_items)
        while (await _review(place, review)).state != "open":
            try:
                await push.all(review)
            except LabelStudioLost:
                await asyncio.sleep(0.5)
    await database.dispose()


async def _pull(place: Place, review: str) -> None:
    database = open_database(place.settings())
    async with LabelStudio(place.url, place.token) as client:
        await Pull(database, client).changed(review)
    await database.dispose()


async def _review(place: Place, review: str) -> Review:
    database = open_database(place.settings())
    async with database.reading() as session:
        found = await repository.find_review(session, review)
    await database.dispose()
    assert found is not None
    return found


async def _count(place: Place, review: str) -> int:
    database = open_database(place.settings())
    async with database.reading() as session:
        counts = await repository.count_corrections(session, review)
    await database.dispose()
    return sum(counts.values())


async def _said(place: Place, review: str) -> list[int]:
    database = open_database(place.settings())
    async with database.reading() as session:
        items = await repository.items_in(session, review, "sent", 1_000_000)
        said: list[ReviewedAnnotation] = []
        for begin in range(0, len(items), 500):
            some = [item.id for item in items[begin : begin + 500]]
            said += await repository.annotations_of_items(session, some)
    await database.dispose()
    return [one.ls_annotation_id for one in said]


async def _keys(place: Place, project: int) -> list[str]:
    async with LabelStudio(place.url, place.token) as client:
        return [key for key, _, _ in await client.all_keys(project, KEY)]


async def _annotate(place: Place, project: int, count: int, skip: int = 0) -> list[int]:
    """Submit what was predicted, for `count` LsTasks of a project after the first `skip`; their ids."""
    headers = {"Authorization": f"Token {place.token}"}
    async with httpx.AsyncClient(base_url=place.url, headers=headers, timeout=120) as http:
        query: dict[str, Any] = {
            "project": project,
            "page_size": count,
            "page": skip // count + 1,
            "fields": "all",
        }
        answer = await http.get("/api/tasks", params={**query, "include": "id,predictions,result"})
        tasks = answer.raise_for_status().json()["tasks"]
        for task in tasks:
            body = {"result": task["predictions"][0]["result"], "lead_time": 5.0}
            (await http.post(f"/api/tasks/{task['id']}/annotations/", json=body)).raise_for_status()
    return [int(task["id"]) for task in tasks]


def _naive_tasks(count: int) -> list[dict[str, Any]]:
    rows = make_rows(count, 3)
    return [ls_task(shown_image(row), row.image_id, "http://127.0.0.1:1/x", "fo1-tiny") for row in rows]


def _project(place: Place) -> int:
    from services.review.labelling_config import CONFIG

    headers = {"Authorization": f"Token {place.token}"}
    body = {"title": "naive", "label_config": CONFIG}
    answer = httpx.post(f"{place.url}/api/projects", json=body, headers=headers, timeout=60)
    return int(answer.raise_for_status().json()["id"])


def _naive(place: Place, **given: Any) -> float:
    """Seconds of the naive way, by Label Studio's own interpreter."""
    code = Path(__file__).with_name("naive_label_studio.py")
    document = json.dumps({"url": place.url, "token": place.token, **given})
    command = [str(install().with_name("python")), str(code)]
    done = subprocess.run(command, input=document, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def reviews_told(found: dict[str, Any]) -> str:
    """The figures in a few lines for people."""
    push, pull, kills = found["push"], found["pull"], found["kills"]
    lines = [
        f"push         {push['tasks_per_s']:.1f} tasks/s, one SDK call a task {push['naive_tasks_per_s']:.2f}"
        f" (x{push['ratio']:.0f}), {push['peak_mib']:.0f} MiB for {push['tasks']} tasks",
        f"pull         {pull['corrections_per_s']:.0f} corrections/s,"
        f" {pull['annotations_per_s']:.1f} annotations/s;"
        f" one SDK call a task {pull['naive_annotations_per_s']:.1f} annotations/s (x{pull['ratio']:.1f})",
    ]
    if kills:
        lines.append(
            f"kills        {kills['killed_in_push']} while pushing, {kills['killed_in_pull']} while pulling,"
            f" {kills['label_studio_killed']} of Label Studio:"
            f" {kills['items_lost']} items lost, {kills['items_doubled']} doubled,"
            f" {kills['annotations_lost']} annotations lost, {kills['annotations_doubled']} doubled"
        )
    return "\n".join(lines)
