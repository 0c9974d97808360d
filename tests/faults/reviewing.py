"""Push, review and pull, with a real service and PostgreSQL, while both and Label Studio fail."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from commands import Commands
from ledger import Findings
from postgres_server import postgres_binaries, postgres_running
from record import Segment
from review_bench import make_review_dataset
from review_harm import PROCESSES, ReviewHarm
from review_parts import ServiceProcess
from studios import RealStudio, Studio, fake_studio

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from schemas.images import ImageRow

NUM_IMAGES = 24
FAULTS_A_SEGMENT = 40
ENDS_WITHIN_S = 400.0


class Reviewing:
    """Segments of reviews. `studio`: the real Label Studio; None: the fake."""

    def __init__(self, stop_s: float | None, studio: RealStudio | None = None) -> None:
        self._stop_s, self._studio = stop_s, studio

    def run(self, segment: Segment, chance: random.Random, folder: Path, limit: int) -> None:
        """Review a dataset under at most `limit` faults, merge it, and check each step."""
        dataset, made = make_review_dataset(folder, NUM_IMAGES)
        rows = {row.image_id: row for row in made}
        wanted = segment.num_injected + min(limit, FAULTS_A_SEGMENT)
        corrections = review(
            segment, chance, folder, dataset, rows, self._studio, self._stop_s, wanted, segment.findings
        )
        commands = Commands(segment, chance, folder, self._stop_s, wanted)
        merge(commands, str(dataset), corrections, folder / "merged", set(rows), segment.findings)


def review(
    segment: Segment,
    chance: random.Random,
    folder: Path,
    dataset: Path,
    rows: Mapping[str, ImageRow],
    real: RealStudio | None,
    stop_s: float | None,
    wanted: int,
    findings: Findings,
) -> list[dict[str, Any]]:
    """Review `rows` of a dataset until `wanted` faults were injected in the segment; returns the corrections.

    Every image is one LsTask, and its edited caption one correction.
    """
    binaries = postgres_binaries()
    if binaries is None:
        raise RuntimeError("PostgreSQL is not installed")

    def tell(kind: str) -> bool:
        if segment.num_injected < wanted:
            segment.injected[kind] += 1
            return True
        return False

    with (
        postgres_running(binaries) as postgres,
        _studio(real, chance, tell) as studio,
        _serving(folder, postgres.url, studio.url, dataset) as service,
    ):
        most = int((wanted - segment.num_injected) * (PROCESSES if real is None else 1))
        harm = ReviewHarm(service, postgres, studio, segment, chance, most, stop_s)
        asked = _Review(service, rows, f"push-{segment.number}-{dataset.name}")
        harm.during(lambda: asked.push(dataset))
        if real is None:
            studio.annotate(rows, asked.project_id, service)
        else:
            harm.during(lambda: studio.annotate(rows, asked.project_id, service))
        corrections: list[dict[str, Any]] = harm.during(asked.pull)
        findings.once(set(rows), studio.images(asked.project_id))
        edits = [entry for entry in corrections if entry["action"] == "recaptioned"]
        findings.once(set(rows), Counter(entry["image_id"] for entry in edits))
        return corrections


def merge(
    commands: Commands,
    dataset: str,
    corrections: list[dict[str, Any]],
    out: Path,
    reviewed: set[str],
    findings: Findings,
) -> Path:
    """Merge the corrections under faults: each is in the next version once. Returns their file."""
    file = out.with_name(f"{out.name}.jsonl")
    file.write_text("".join(f"{json.dumps(entry)}\n" for entry in corrections))
    commands.disturb("merge", out, ["dataset", "merge", dataset, "--corrections", str(file)], most=3)
    findings.invalid += validate_dataset(str(out))
    edited = Counter(
        row.image_id
        for row in open_dataset(str(out)).rows()
        for region in row.regions
        if region.brief_caption == "seen"
    )
    findings.once(reviewed, edited)
    return file


@contextmanager
def _studio(real: RealStudio | None, chance: random.Random, tell: Callable[[str], bool]) -> Iterator[Studio]:
    if real is None:
        with fake_studio(chance, tell) as fake:
            yield fake
    else:
        real.start()
        yield real


@contextmanager
def _serving(folder: Path, database_url: str, studio_url: str, dataset: Path) -> Iterator[ServiceProcess]:
    url = database_url.replace("postgresql:", "postgresql+psycopg:")
    service = ServiceProcess(folder, url, studio_url, [folder, dataset])
    try:
        yield service
    finally:
        service.stop()


class _Review:
    """A review as its clients see it. `key`: of its push, which is sent again until it is answered."""

    def __init__(self, service: ServiceProcess, rows: Mapping[str, ImageRow], key: str) -> None:
        self._service, self._rows, self._key = service, rows, key
        self._page = ""
        self.project_id = 0

    def push(self, dataset: Path) -> None:
        """Push once, and wait until all is open."""
        headers, body = {"Idempotency-Key": self._key}, {"dataset": str(dataset)}
        asked = self._service.ask("POST", "/v1/reviews", json=body, headers=headers)
        self._page = f"/v1/reviews/{asked['id']}"
        self._until(lambda: self._service.ask("GET", self._page)["state"] == "open")
        self.project_id = self._service.ask("GET", self._page)["project_id"]

    def pull(self) -> list[dict[str, Any]]:
        """Pull until every image is reviewed; returns the corrections."""

        def is_reviewed() -> bool:
            with suppress(httpx.HTTPStatusError):
                self._service.ask("POST", f"{self._page}/pull")
            review = self._service.ask("GET", self._page)
            return bool(review["annotations"].get("submitted", 0) >= len(self._rows))

        self._until(is_reviewed)
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            parameters = {"cursor": cursor} if cursor else {}
            page = self._service.ask("GET", f"{self._page}/corrections", params=parameters)
            found += page["items"]
            if (cursor := page["next_cursor"]) is None:
                return found

    def _until(self, is_over: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + ENDS_WITHIN_S
        while not is_over():
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"the review did not go on: {self._service.ask('GET', self._page)}")
            time.sleep(0.1)
