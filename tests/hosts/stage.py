"""A cluster over several hosts with a corpus in its store, on which runs are disturbed and measured.

The time that the hosts leave a run: when the hosts that are up, at the speed of the undisturbed run, have
labelled as many images as the corpus has. What a lost host had begun counts for nothing. That a lost host is
not known to be lost at once is no excuse: a run that takes this time wastes nothing.
"""

import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hosts import Network
from PIL import Image
from ray_hosts import BUCKET, QUICK, ROOT, SCRIPTS, Driver, RayHosts, StoreHost, wait_for
from run_probes import comparable

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.synthetic.gold import write_scenes

WORKERS = ("a", "b", "c")
SHARD_SIZE = 8
CORPUS = f"s3://{BUCKET}/corpus"
ENDS_WITHIN_S = 400


@dataclass(frozen=True)
class Outcome:
    """What a run came to. Times are seconds from the first driver's start; `left_s`: see above."""

    name: str
    exit_codes: list[int]
    took_s: float
    left_s: float
    rows: int
    is_equal: bool
    problems: list[str]
    said: list[str]


@dataclass(frozen=True)
class Usual:
    """The undisturbed run: its rows, and the images that a host labels in a second."""

    rows: list[dict[str, Any]]
    images_per_s: float


class Stage:
    """The cluster, its corpus, and the run in work.

    bundled: label generated scenes by `fo1 label` with its own model and detector, not by quick labellers.
    """

    def __init__(
        self, network: Network, store: StoreHost, ray: RayHosts, num_images: int, bundled: bool = False
    ) -> None:
        self.network, self.store, self.ray, self._num_images = network, store, ray, num_images
        self.usual: Usual | None = None
        self._bundled = bundled
        put = put_scenes if bundled else put_corpus
        put(store, num_images)

    def begin(self, name: str, driver_on: str = "head") -> None:
        """Start a run into a folder of its own."""
        self._name, self._driver_on = name, driver_on
        self._drivers: list[Driver] = []
        self._changes: list[tuple[float, str, float]] = []
        self.begin_again()

    def begin_again(self) -> None:
        """Start a driver with the command of the run."""
        command = [sys.executable, str(QUICK / "quick_driver.py"), CORPUS, self._out]
        if self._bundled:
            command = [str(SCRIPTS / "fo1"), "label", CORPUS, "--out", self._out]
        command += ["--actors", str(len(WORKERS)), "--shard-size", str(SHARD_SIZE)]
        settings = {**self.ray.settings, "PYTHONPATH": f"{ROOT}:{QUICK}", "RAY_ADDRESS": self.ray.address}
        self._drivers.append(Driver(self.network.host(self._driver_on), command, settings))

    def wait_for_shards(self, share: float) -> None:
        """Wait until so much of the run is done."""
        least = share * self._num_images / SHARD_SIZE
        done = f"{self._out.removeprefix(f's3://{BUCKET}/')}/.run/shards/"
        wait_for(lambda: len(self.store.keys(done)) >= least or self.driver.ended, ENDS_WITHIN_S, "a shard")

    def changed(self, host: str, speed: float) -> None:
        """From now on the host has this share of its usual speed."""
        self._changes.append((time.monotonic() - self._drivers[0].started_s, host, speed))

    @property
    def driver(self) -> Driver:
        """The driver that was started last."""
        return self._drivers[-1]

    def finish(self) -> Outcome:
        """Wait for the driver, and compare what the run wrote with what the undisturbed one did."""
        code = self.driver.wait(ENDS_WITHIN_S)
        first = self._drivers[0]
        took_s = self.driver.ended_s - first.started_s
        rows = comparable(self._out) if code == 0 else []
        if self.usual is None:
            self.usual = Usual(rows, self._num_images / (took_s - first.labelling_s) / len(WORKERS))
        return Outcome(
            name=self._name,
            exit_codes=[driver.wait(ENDS_WITHIN_S) for driver in self._drivers],
            took_s=round(took_s, 1),
            left_s=round(self._left_s(first.labelling_s), 1),
            rows=len(rows),
            is_equal=rows == self.usual.rows and not list(open_dataset(self._out).rejects()),
            problems=validate_dataset(self._out) if code == 0 else ["not finished"],
            said=[f"{at:6.1f} {line}" for driver in self._drivers for at, line in driver.said],
        )

    def _left_s(self, began_s: float) -> float:
        assert self.usual is not None
        speeds = dict.fromkeys(WORKERS, 1.0)
        now_s, left = began_s, float(self._num_images)
        for at, host, speed in [*self._changes, (float("inf"), "", 0.0)]:
            rate = self.usual.images_per_s * sum(speeds.values())
            if rate * (at - now_s) >= left:
                return now_s + left / rate
            left -= max(0.0, rate * (at - now_s))
            now_s = max(now_s, at)
            speeds[host] = speed
        return float("inf")

    @property
    def _out(self) -> str:
        return f"s3://{BUCKET}/out-{self._name}"


def put_corpus(store: StoreHost, num_images: int) -> None:
    """Put the corpus into the store."""
    for index in range(num_images):
        store.client.put_object(Bucket=BUCKET, Key=f"corpus/{index:04d}.png", Body=_picture(index))


def put_scenes(store: StoreHost, num_images: int) -> None:
    """Put a corpus of scenes that the bundled model has not seen into the store, without its captions."""
    with TemporaryDirectory() as folder:
        scenes = Path(folder) / "scenes"
        write_scenes(scenes, num_images, seed=920_000_000, num_objects=(10, 10))
        for file in (scenes / "images").iterdir():
            store.client.put_object(Bucket=BUCKET, Key=f"corpus/{file.name}", Body=file.read_bytes())


def _picture(index: int) -> bytes:
    """A small image that no other number gives."""
    file = io.BytesIO()
    Image.new("RGB", (24 + index % 50, 40), (index * 5 % 256, index * 37 % 256, index % 256)).save(
        file, "PNG"
    )
    return file.getvalue()
