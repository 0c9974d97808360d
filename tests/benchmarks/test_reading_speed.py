"""The readers of the benchmark give each row once and the same samples; ours resumes within an epoch."""

import gc
import itertools
import shutil
import sys

import numpy as np
import pytest
from factories import make_dataset, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from fo1_data.benchmarks import reading_speed
from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.versions.publish import publish
from fo1_data.errors import DatasetError
from fo1_data.training.samples.row_groups import GroupCache, lane_windows, list_row_groups
from fo1_data.training.samples.source import open_source
from fo1_data.training.samples.stream import SampleStream
from fo1_data.training.workers import Workers

# WebDataset leaves its tars to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:Exception ignored in")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    make_dataset(folder / "d", [make_row(seed, folder=folder / "images") for seed in range(8)])
    publish(str(folder / "d"), str(folder / "pub"))
    return folder / "pub"


def test_the_tars_hold_the_same_samples_as_our_reader(published, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    tars = reading_speed.write_tars(published, tmp_path)
    assert len(tars) == 8
    entries = webdataset.WebDataset(tars, shardshuffle=False)
    theirs = [reading_speed.tar_entry_to_sample(entry) for entry in entries]
    gc.collect()
    ours = {sample.boxes_xyxy.tobytes(): sample for sample in SampleStream([str(published)])}
    assert len(theirs) == len(ours) == 8
    for image, boxes, captions in theirs:
        sample = ours[boxes.tobytes()]
        assert np.array_equal(image, sample.image)
        assert captions == sample.captions


def test_a_stream_resumes_within_an_epoch_and_continues_into_the_next(published):
    whole = [sample.place for sample in SampleStream([str(published)], stop=16)]
    assert whole == list(range(16))
    names = [sample.boxes_xyxy.tobytes() for sample in SampleStream([str(published)], stop=16)]
    rest = [sample.boxes_xyxy.tobytes() for sample in SampleStream([str(published)], start=5, stop=16)]
    assert rest == names[5:]
    assert sorted(names[:8]) == sorted(names[8:])


def test_two_workers_of_a_loader_read_each_row_once(published):
    from torch.utils.data import DataLoader

    loader = DataLoader(SampleStream([str(published)]), batch_size=None, num_workers=2)
    assert sorted(sample.place for sample in loader) == list(range(8))


def test_a_reader_that_fails_is_reported_and_not_compared(published, tmp_path, monkeypatch):
    for name in ("datasets", "webdataset", "ray", "ray.data", "streaming"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    figures = reading_speed.measure_readers(reading_speed.readers_of(published, tmp_path))
    assert set(figures["rows_per_s"]) == set(figures["processor_s_per_1000_rows"]) == {"fo1", "fo1_processes"}
    assert figures["rows"] == {"fo1": 8, "fo1_processes": 8}
    assert all(value > 0 for value in figures["rows_per_s"].values())
    assert figures["failed"]["ray_data"].startswith("ModuleNotFoundError: import of ray")
    assert figures["ratio_to_fastest"] is None


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=7),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(0, 20),
    st.integers(0, 30),
)
def test_lanes_give_each_row_once_per_epoch_and_resume(sizes, lanes, window, start, more):
    stream = SampleStream.__new__(SampleStream)
    stream._sizes, stream.epoch_rows, stream._window, stream._seed = sizes, sum(sizes), window, 1

    def entries_between(start, stop):
        """The entries of a loader, from its lanes in turn."""
        stream._start, stream._stop = start, stop
        epochs = range(start // stream.epoch_rows, -(-stop // stream.epoch_rows))
        by_lane = [
            list(itertools.chain(*(stream._lane(e, lane, lanes) for e in epochs))) for lane in range(lanes)
        ]
        return [entry for turn in itertools.zip_longest(*by_lane) for entry in turn if entry is not None]

    whole = entries_between(0, 2 * sum(sizes))
    assert [place for place, _ in whole] == list(range(2 * sum(sizes)))
    rows = [(g, row) for g, size in enumerate(sizes) for row in range(size)]
    for epoch in range(2):
        mine = whole[epoch * len(rows) : (epoch + 1) * len(rows)]
        assert sorted(tuple(row) for _, row in mine) == rows
    stop = min(start + more, 2 * sum(sizes))
    assert entries_between(min(start, stop), stop) == whole[min(start, stop) : stop]


def test_a_lane_reads_its_own_row_groups_and_caches_few(published):
    groups = list_row_groups(str(published))
    assert sum(group.num_rows for group in groups) == 8
    sizes = [100] * 20
    shares = [range(1000), range(1000, 2000)]
    windows = [np.concatenate(list(lane_windows(sizes, 4, 0, 0, share))) for share in shares]
    read = [set(window[:, 0].tolist()) for window in windows]
    assert len(read[0]) == len(read[1]) == 10
    assert not read[0] & read[1]
    cache = GroupCache(lambda group: group, 5)
    most = 0
    for group, _ in windows[0].tolist():
        assert cache[group] == group
        most = max(most, len(cache))
    assert most == 5


def test_processes_of_distributed_training_share_the_rows_also_through_loader_workers(published, monkeypatch):
    from torch.utils.data import DataLoader

    seen = []
    for rank in range(2):
        stream = stream_of_process(monkeypatch, rank, published)
        seen += [sample.place for sample in DataLoader(stream, batch_size=None, num_workers=1)]
    assert sorted(seen) == list(range(8))


def stream_of_process(monkeypatch, rank, published, **options):
    """The stream of one of two processes of distributed training."""
    with monkeypatch.context() as patch:
        patch.setattr(Workers, "__init__", lambda self: self.__dict__.update(rank=rank, num=2))
        return SampleStream([str(published)], **options)


@pytest.mark.parametrize("start", [2, 5, 6, 8, 11, 15])
def test_two_processes_of_two_workers_resume_from_equal_numbers_of_samples(published, monkeypatch, start):
    from torch.utils.data import DataLoader

    def samples_of(rank, start):
        """The samples of a process up to the end of the second epoch, in the order of its loader."""
        stream = stream_of_process(monkeypatch, rank, published, start=start, stop=16)
        loader = DataLoader(stream, batch_size=None, num_workers=2)
        samples = [(sample.place, sample.boxes_xyxy.tobytes()) for sample in loader]
        assert len(samples) == len(loader) == len(stream)
        return samples

    whole = [samples_of(rank, 0) for rank in range(2)]
    turns = [entry for turn in zip(*whole, strict=True) for entry in turn]
    assert [place for place, _ in turns] == list(range(16))
    assert sorted(name for _, name in turns[:8]) == sorted(name for _, name in turns[8:])
    assert len({name for _, name in turns}) == 8
    for rank in range(2):
        assert samples_of(rank, start) == turns[start + rank :: 2]


def test_a_loader_that_batches_in_its_workers_has_read_whole_turns_after_a_batch_of_each(published):
    from torch.utils.data import DataLoader

    stream = SampleStream([str(published)])
    loader = DataLoader(stream, batch_size=2, num_workers=2, collate_fn=list)
    places = [[sample.place for sample in batch] for batch in loader]
    assert places == [[0, 2], [1, 3], [4, 6], [5, 7]]


def test_limits_hold_and_damage_is_an_error(published, tmp_path):
    small = SampleStream([str(published)], limits=InputLimits(max_pixels=64 * 48))
    assert len(list(small)) == 8
    assert list(SampleStream([str(published)], limits=InputLimits(max_pixels=64 * 48 - 1))) == []
    broken = shutil.copytree(published, tmp_path / "broken")
    file = next((broken / "data").iterdir())
    data = file.read_bytes()
    file.write_bytes(data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :])
    for reading in (lambda: list(SampleStream([str(broken)])), lambda: read_all(str(broken))):
        with pytest.raises(DatasetError, match="cannot be read|damaged"):
            reading()
    file.write_bytes(data[:-20])
    for reading in (lambda: list(SampleStream([str(broken)])), lambda: open_source([str(broken)])):
        with pytest.raises(DatasetError, match="cannot be read"):
            reading()


def read_all(address):
    source = open_source([address])
    return [source.at(place) for place in range(len(source))]
