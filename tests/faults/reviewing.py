"""Push, review, pull and merge, with a real service and PostgreSQL, while both and Label Studio fail.

Label Studio is the fake of the tests behind a port: it can lose and repeat answers where the real one cannot
be made to. The reviewer is a script: it edits one caption of every image; its webhooks are doubled, shuffled,
lost.
"""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from fake_label_studio import FakeLabelStudio
from injectors import hold, kill
from ledger import Findings
from postgres_server import PostgresServer, postgres_binaries, postgres_running
from record import Segment
from review_bench import make_review_dataset
from review_parts import ServiceProcess, serving_fake
from review_samples import edited

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from schemas.images import ImageRow
from services.label_studio.shown_from_rows import shown_image

NUM_IMAGES = 24
FAULTS_A_SEGMENT = 40
PROCESSES = 0.5  # the share of a segment's faults that processes take
FAILING = 0.1  # the share of requests to Label Studio that fail while there are faults
ENDS_WITHIN_S = 300.0
_STUDIO = {
    "refuse": "Label Studio away",
    "500": "Label Studio failed",
    "500-taken": "Label Studio took it and failed",
    "timeout-taken": "Label Studio took it, answer lost",
    "timeout-late": "Label Studio took it late",
}


class Reviewing:
    """Segments of reviews."""

    loop = "push, review, pull, merge"

    def __init__(self, stop_s: float | None) -> None:
        self._stop_s = stop_s

    def run(self, segment: Segment, chance: random.Random, folder: Path, limit: int) -> None:
        """Review a dataset under at most `limit` faults, merge it, and check each step."""
        binaries = postgres_binaries()
        if binaries is None:
            segment.stories.append("skipped: PostgreSQL is not installed")
            return
        dataset, rows = make_review_dataset(folder, NUM_IMAGES)
        fake = FakeLabelStudio()
        with postgres_running(binaries) as postgres, serving_fake(fake) as studio:
            service = ServiceProcess(
                folder, postgres.url.replace("postgresql:", "postgresql+psycopg:"), studio
            )
            try:
                wanted = min(limit, FAULTS_A_SEGMENT)
                review = _Review(service, fake, rows, segment, chance, wanted)
                harm = _ReviewHarm(service, postgres, segment, chance, wanted, self._stop_s)
                harm.during(lambda: review.push(dataset))
                review.annotate()
                corrections = harm.during(review.pull)
                fake.fault = lambda request: None
                segment.findings = review.check(corrections)
                harm.merge(dataset, corrections, folder, segment.findings)
            finally:
                service.stop()


class _Review:
    """A review by a script."""

    def __init__(
        self,
        service: ServiceProcess,
        fake: FakeLabelStudio,
        rows: list[ImageRow],
        segment: Segment,
        chance: random.Random,
        wanted: int,
    ) -> None:
        self._service, self._fake, self._chance, self._segment = service, fake, chance, segment
        self._rows = {row.image_id: row for row in rows}
        self._wanted = wanted
        self._page = ""
        fake.fault = self._fault

    def _fault(self, request: httpx.Request) -> str | None:
        if self._segment.num_injected >= self._wanted or self._chance.random() >= FAILING:
            return None
        kind = self._chance.choice(list(_STUDIO))
        self._segment.injected[_STUDIO[kind]] += 1
        return kind

    def push(self, dataset: Path) -> None:
        """Push once: the request is sent again with its key until it is answered, then until all is open."""
        key = {"Idempotency-Key": f"push-{self._segment.number}"}
        asked = self._service.ask("POST", "/v1/reviews", json={"dataset": str(dataset)}, headers=key)
        self._page = f"/v1/reviews/{asked['id']}"
        self._until(lambda: self._service.ask("GET", self._page)["state"] == "open")

    def annotate(self) -> None:
        """Everybody's work, and webhooks as a bad network brings them."""
        self._fake.finish_late()
        posts = []
        for task in list(self._fake.tasks.values()):
            row = self._rows[task["data"]["image_id"]]
            number = self._fake.annotate(task, edited(shown_image(row), a="seen"))
            posts.append((number, task["id"]))
        self._chance.shuffle(posts)
        for webhook in list(self._fake.webhooks.values()):
            for number, task_id in posts:
                times = self._chance.choice((0, 1, 2))
                payload = {"action": "ANNOTATION_CREATED", "annotation": {"id": number, "task": task_id}}
                for _ in range(times):
                    with suppress(httpx.HTTPError):
                        path = httpx.URL(webhook["url"]).path
                        self._service.api.post(path, json=payload, headers=webhook["headers"])
                if times != 1 and self._segment.num_injected < self._wanted:
                    self._segment.injected["webhook lost" if not times else "webhook doubled"] += 1
            if self._segment.num_injected < self._wanted:
                self._segment.injected["webhooks shuffled"] += 1

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

    def check(self, corrections: list[dict[str, Any]]) -> Findings:
        """Every image is one LsTask, and its edited caption one correction."""
        findings = Findings()
        images = set(self._rows)
        findings.once(images, Counter(task["data"]["image_id"] for task in self._fake.tasks.values()))
        edits = [entry for entry in corrections if entry["action"] == "recaptioned"]
        findings.once(images, Counter(entry["image_id"] for entry in edits))
        return findings

    def _until(self, is_over: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + ENDS_WITHIN_S
        while not is_over():
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"the review did not go on: {self._service.ask('GET', self._page)}")
            time.sleep(0.1)


class _ReviewHarm:
    """Hurts the service and its database while something else is done."""

    def __init__(
        self,
        service: ServiceProcess,
        postgres: PostgresServer,
        segment: Segment,
        chance: random.Random,
        wanted: int,
        stop_s: float | None,
    ) -> None:
        self._service, self._postgres, self._segment = service, postgres, segment
        self._chance, self._wanted, self._stop_s = chance, wanted, stop_s
        self._over, self._num_hurt = threading.Event(), 0

    def during(self, work: Callable[[], Any]) -> Any:
        """Do the work, and harm beside it."""
        self._service.start()
        self._over.clear()
        harm = threading.Thread(target=self._go_on)
        harm.start()
        try:
            return work()
        finally:
            self._over.set()
            harm.join()

    def merge(
        self, dataset: Path, corrections: list[dict[str, Any]], folder: Path, findings: Findings
    ) -> None:
        """Merge the corrections, killed at a random moment: each is in the next version once."""
        file, out = folder / "corrections.jsonl", folder / "merged"
        file.write_text("".join(f"{json.dumps(entry)}\n" for entry in corrections))
        command = [sys.executable, "-m", "fo1_data.cli.main", "dataset", "merge", str(dataset)]
        command += ["--corrections", str(file), "--out", str(out)]
        for deadly in (True, False):
            merging = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if deadly and self._segment.num_injected < self._wanted:
                time.sleep(self._chance.uniform(1.0, 8.0))
                self._segment.injected["merge killed"] += kill(psutil.Process(merging.pid))
            _, told = merging.communicate(timeout=ENDS_WITHIN_S)
            if merging.returncode == 0:
                break
            if not deadly:
                raise RuntimeError(f"merge failed: {told[-300:]}")
        findings.invalid += validate_dataset(str(out))
        merged = list(open_dataset(str(out)).rows())
        edited_rows = Counter(
            row.image_id for row in merged for region in row.regions if region.brief_caption == "seen"
        )
        findings.once({row.image_id for row in open_dataset(str(dataset)).rows()}, edited_rows)

    def _go_on(self) -> None:
        while not self._over.wait(self._chance.uniform(0.3, 4.0)):
            if self._num_hurt >= self._wanted * PROCESSES:
                return
            process = self._service.process
            if process is None or process.poll() is not None:
                continue
            service = psutil.Process(process.pid)
            kind, hurt = self._chance.choice(
                (
                    ("service killed", partial(kill, service)),
                    ("service stopped", partial(hold, service, self._seconds())),
                    ("PostgreSQL killed", self._kill_postgres),
                    ("PostgreSQL stopped", self._hold_postgres),
                )
            )
            if hurt():
                self._num_hurt += 1
                self._segment.injected[kind] += 1

    def _seconds(self) -> float:
        return self._stop_s or self._chance.uniform(0.2, 2.0)

    def _postmaster(self) -> psutil.Process:
        return psutil.Process(int((self._postgres.folder / "data" / "postmaster.pid").read_text().split()[0]))

    def _kill_postgres(self) -> bool:
        processes = [self._postmaster(), *self._postmaster().children()]
        for process in processes:
            kill(process)
        psutil.wait_procs(processes, timeout=10)
        self._postgres.start()
        return True

    def _hold_postgres(self) -> bool:
        processes = [self._postmaster(), *self._postmaster().children()]
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGSTOP)
        time.sleep(self._seconds())
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
        return True
