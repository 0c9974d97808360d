"""Runs on a real local Ray, disturbed: the dataset is that of an undisturbed run in one process."""

import random
import threading
from pathlib import Path

import psutil
import pytest
from quick_labeller import FACTORY
from run_probes import comparable, done_markers, labeller_processes, rejected, wait_until

from actors.run import run_labelling
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import CheckpointError, ClusterError
from fo1_data.runs.shard_labeller import LabellerSettings, ShardLabeller
from fo1_data.runs.watcher import Unwatched
from schemas.dataset import Manifest
from schemas.jobs import RunConfig
from schemas.progress import RunProgress

pytestmark = pytest.mark.usefixtures("ray_here")


def settings(corpus: Path, out: Path, **more: object) -> RunConfig:
    values = {"corpus": str(corpus), "out": str(out), "shard_size": 4, "actors": "2", **more}
    return RunConfig.model_validate(values)


class Watching(Unwatched):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[RunProgress] = []
        self.notes: list[str] = []

    def show(self, progress: RunProgress) -> None:
        self.seen.append(progress)

    def note(self, message: str) -> None:
        self.notes.append(message)


def run_while(config: RunConfig, disturb: threading.Thread, watcher: Watching) -> Manifest:
    """Run while another thread disturbs; both are over at the end."""
    disturb.start()
    try:
        return run_labelling(config, watcher, FACTORY)
    finally:
        disturb.join(timeout=60)
        assert not disturb.is_alive()


def test_gives_the_rows_of_a_run_in_one_process(
    small_corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    watcher = Watching()
    manifest = run_labelling(settings(small_corpus, tmp_path / "out"), watcher, FACTORY)
    assert comparable(tmp_path / "out") == comparable(undisturbed)
    assert rejected(tmp_path / "out") == rejected(undisturbed) == [("030-broken.png", "decode", "unreadable")]
    assert manifest.counts.images == 46
    assert manifest.counts.rejected == 1
    assert [file.path for file in manifest.files] == ["data/train-00000.parquet", "rejects.parquet"]
    last = watcher.seen[-1]
    assert (last.state, last.images, last.images_total) == ("succeeded", 48, 48)
    assert last.images_per_s is not None
    assert last.images_per_s > 0


def test_killing_labellers_at_random_moments_changes_nothing(
    small_corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out, draw = tmp_path / "out", random.Random(7)
    killed: list[int] = []

    def kill_four() -> None:
        for _ in range(4):
            target = 1 + draw.randrange(3) + done_markers(out)
            wait_until(lambda target=target: done_markers(out) >= min(target, 11) and labeller_processes())
            victim = draw.choice(labeller_processes())
            victim.kill()
            victim.wait(10)
            killed.append(victim.pid)

    watcher = Watching()
    config = settings(small_corpus, out, file_rows=8)
    manifest = run_while(config, threading.Thread(target=kill_four), watcher)
    assert len(set(killed)) == 4
    data_files = [file.path for file in manifest.files if file.path.startswith("data/")]
    assert data_files == [f"data/train-{index:05d}.parquet" for index in range(0, 12, 2)]
    assert comparable(out) == comparable(undisturbed)
    assert rejected(out) == rejected(undisturbed)


def test_killing_all_labellers_at_once_changes_nothing(
    small_corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def kill_all() -> None:
        wait_until(lambda: done_markers(out) >= 2 and len(labeller_processes()) == 2)
        for process in labeller_processes():
            process.kill()

    watcher = Watching()
    run_while(settings(small_corpus, out), threading.Thread(target=kill_all), watcher)
    assert any("lost the labeller on" in note for note in watcher.notes)
    assert comparable(out) == comparable(undisturbed)


def test_a_labeller_that_stands_still_does_not_hold_up_the_run(
    small_corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out, stopped = tmp_path / "out", []

    def stop_one() -> None:
        wait_until(lambda: done_markers(out) >= 4 and len(labeller_processes()) == 2)
        stopped.append(labeller_processes()[0])
        stopped[0].suspend()

    watcher = Watching()
    run_while(settings(small_corpus, out), threading.Thread(target=stop_one), watcher)
    stopped[0].wait(20)  # its work is done by the other: it is released
    assert any("is overdue at the labeller on" in note for note in watcher.notes)
    assert not any("lost the labeller" in note for note in watcher.notes)
    assert comparable(out) == comparable(undisturbed)


def test_an_image_that_kills_its_worker_every_time_ends_in_the_rejects(
    small_corpus: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FO1_TEST_KILL_ON", "013.png")
    out = tmp_path / "out"
    run_labelling(settings(small_corpus, out, max_tries=2), None, FACTORY)
    assert rejected(out) == [
        ("013.png", "worker", "worker_lost"),
        ("030-broken.png", "decode", "unreadable"),
    ]
    others = [row for row in comparable(undisturbed) if not row["uri"].endswith("013.png")]
    assert comparable(out) == others

    monkeypatch.delenv("FO1_TEST_KILL_ON")
    manifest = run_labelling(settings(small_corpus, out, replay_rejects=True), None, FACTORY)
    assert manifest.version == "2"
    assert comparable(out) == comparable(undisturbed)
    assert rejected(out) == rejected(undisturbed)


def test_an_image_that_kills_its_reader_ahead_takes_no_other_with_it(
    small_corpus: Path, tmp_path: Path
) -> None:
    """No shard may lose a try to the shard that is read beside it: one try is all that an image has."""
    pictures = sorted(small_corpus.rglob("*.png"))[:6]
    names = ["000.png", "001.png", "002-dies-ahead.png", "003.png", "004.png", "005.png"]
    for picture, name in zip(pictures, names, strict=True):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        (tmp_path / "corpus" / name).write_bytes(picture.read_bytes())
    watcher = Watching()
    config = settings(tmp_path / "corpus", tmp_path / "out", shard_size=1, actors="1", max_tries=1)
    run_labelling(config, watcher, FACTORY)
    assert any("lost the labeller on" in note for note in watcher.notes)
    assert rejected(tmp_path / "out") == []
    uris = {uri for row in comparable(tmp_path / "out") for uri in row["uris"]}
    assert {Path(uri).name for uri in uris} == set(names)


def test_a_late_write_of_a_lost_labeller_changes_nothing(small_corpus: Path, tmp_path: Path) -> None:
    from fo1_data.corpus.readers import load_listing
    from fo1_data.corpus.shards import plan_shards
    from fo1_data.dataset.shard_files import WriteOptions

    config = settings(small_corpus, tmp_path / "out")
    manifest = run_labelling(config, None, FACTORY)
    before = [(file.path, file.sha256) for file in manifest.files]
    shard = plan_shards(load_listing(config.corpus).entries, config.shard_size)[0]  # type: ignore[arg-type]
    late = ShardLabeller(LabellerSettings(config, FACTORY)).label_shard(shard, "late", WriteOptions())
    assert late.try_id != "late"
    dataset = open_dataset(config.out)
    assert [(file.path, file.sha256) for file in dataset.manifest.files] == before
    assert not list((tmp_path / "out" / ".run").rglob("*late*"))


def test_labellers_that_fit_no_node_are_one_line(small_corpus: Path, tmp_path: Path) -> None:
    config = settings(small_corpus, tmp_path / "out", gpus_per_actor=64.0)
    with pytest.raises(ClusterError, match=r"can hold 0 of the 2 labellers .* 64 GPU") as caught:
        run_labelling(config, None, FACTORY)
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_load_ends_the_run_as_what_it_is(small_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model: nowhere"):
        run_labelling(settings(small_corpus, tmp_path / "out", model="nowhere"), None, FACTORY)


def test_an_error_that_cannot_be_unpickled_is_told_as_that_error(small_corpus: Path, tmp_path: Path) -> None:
    told = r"cannot load the model: quick_labeller\.TwoPartError: layer 3 has the shape 7 x 7"
    with pytest.raises(ClusterError, match=told):
        run_labelling(settings(small_corpus, tmp_path / "out", model="misshapen"), None, FACTORY)


def test_the_pool_grows_to_its_most_and_lets_go_of_the_idle(
    small_corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def hold_the_first_until_others_are_there() -> None:
        wait_until(lambda: done_markers(out) >= 1)
        (first,) = labeller_processes()[:1]
        first.suspend()
        try:
            wait_until(lambda: len(labeller_processes()) > 1)
        finally:
            first.resume()

    config = settings(small_corpus, out, actors="1:3")
    run_while(config, threading.Thread(target=hold_the_first_until_others_are_there), Watching())
    assert comparable(out) == comparable(undisturbed)
    wait_until(lambda: not labeller_processes(psutil.Process()))
