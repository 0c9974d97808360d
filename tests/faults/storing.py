"""Labelling in one process into an object store that fails and lies, while drivers are killed and doubled."""

import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import psutil
from driving import Driver, LabellingRun
from injectors import Clock, hold, kill
from ledger import check_labelled
from lying_store import LyingStore, lying
from made_corpus import make_corpus
from moto.server import ThreadedMotoServer
from record import Segment

NUM_IMAGES = 32
FAULTS_A_SEGMENT = 40
RATES = (0.02, 0.05, 0.1, 0.2)
AN_HOUR_S = 3600
_KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


class StoreLabelling:
    """Segments of labelling into a bucket."""

    def __init__(self, clock: Clock, stop_s: float | None) -> None:
        self._clock, self._stop_s = clock, stop_s

    def run(self, segment: Segment, chance: random.Random, folder: Path, limit: int) -> None:
        """Label a corpus into a bucket under at most `limit` faults, and check the dataset."""
        corpus = make_corpus(folder / "corpus", chance, NUM_IMAGES)
        calm = LabellingRun(str(corpus), str(folder / "undisturbed"), {"QUICK_IMAGE_S": "0"})
        calm.finish(lambda driver: None)
        bucket = f"faults-{segment.number}"
        wanted = min(limit, FAULTS_A_SEGMENT)

        def tell(kind: str) -> bool:
            if segment.num_injected < wanted:
                segment.injected[kind] += 1
                return True
            return False

        with _moto() as real, lying(LyingStore(real, random.Random(chance.random()), tell)) as store:
            run = LabellingRun(
                str(corpus),
                f"s3://{bucket}/out",
                {**_KEYS, "AWS_ENDPOINT_URL": store.url, "QUICK_IMAGE_S": "0.05"},
                stories=segment.stories,
            )
            os.environ["AWS_ENDPOINT_URL"] = real  # of this process, which looks at the result
            boto3.client("s3", endpoint_url=real).create_bucket(Bucket=bucket)

            def hurt(driver: Driver) -> None:
                store.rate = chance.choice(RATES) if segment.num_injected < wanted else 0.0
                self._hurt(driver, run, chance, segment, wanted)

            run.finish(hurt)
            self._clock.jump(0)
            segment.findings = check_labelled(corpus, run.out, calm.out)

    def _hurt(
        self,
        driver: Driver,
        run: LabellingRun,
        chance: random.Random,
        segment: Segment,
        wanted: int,
    ) -> None:
        process = psutil.Process(driver.pid)
        while driver.poll() is None:
            time.sleep(chance.uniform(0.5, 4.0))
            if driver.poll() is not None or segment.num_injected >= wanted:
                return
            kind, harm = chance.choice(
                (
                    ("driver killed", lambda: kill(process)),
                    ("driver stopped", lambda: hold(process, self._stop_s or chance.uniform(0.2, 1.5))),
                    ("second driver", lambda: run.end(run.start()) is not None),
                    ("clock jumped an hour", lambda: self._clock.jump(chance.choice((-1, 1)) * AN_HOUR_S)),
                )
            )
            if harm():
                segment.injected[kind] += 1


@contextmanager
def _moto() -> Iterator[str]:
    """A server that speaks S3."""
    os.environ.update(_KEYS)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()
