"""The comparison of readers: each row once, the same sample; ours goes on in mid-epoch."""

import gc

import numpy as np
import pytest
from factories import make_dataset, make_row

pytest.importorskip("torch")

from fo1_data.benchmarks import reading_speed
from fo1_data.dataset.publish import publish
from fo1_data.training.sample_stream import SampleStream

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
    theirs = [reading_speed._of_tar(one) for one in webdataset.WebDataset(tars, shardshuffle=False)]
    gc.collect()
    ours = {sample.boxes_xyxy.numpy().tobytes(): sample for sample in SampleStream([str(published)])}
    assert len(theirs) == len(ours) == 8
    for image, boxes, captions in theirs:
        sample = ours[boxes.tobytes()]
        assert np.array_equal(image, sample.image.numpy())
        assert captions == sample.captions


def test_a_stream_goes_on_in_mid_epoch_and_into_the_next(published):
    whole = [sample.place for sample in SampleStream([str(published)], stop=16)]
    assert whole == list(range(16))
    names = [sample.boxes_xyxy.numpy().tobytes() for sample in SampleStream([str(published)], stop=16)]
    rest = [
        sample.boxes_xyxy.numpy().tobytes() for sample in SampleStream([str(published)], start=5, stop=16)
    ]
    assert rest == names[5:]
    assert sorted(names[:8]) == sorted(names[8:])


def test_two_workers_of_a_loader_read_each_row_once(published):
    from torch.utils.data import DataLoader

    loader = DataLoader(SampleStream([str(published)]), batch_size=None, num_workers=2)
    assert sorted(sample.place for sample in loader) == list(range(8))


def test_a_reader_that_does_not_run_is_told_and_not_compared(published, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("not here")

    for name in ("_datasets", "_webdataset", "_ray_data"):
        monkeypatch.setattr(reading_speed, name, broken)
    figures = reading_speed.measure_readers(published, tmp_path)
    assert set(figures["rows_per_s"]) == {"fo1"}
    assert figures["rows"] == {"fo1": 8}
    assert figures["failed"]["ray_data"] == "RuntimeError: not here"
    assert figures["ratio_to_fastest"] is None
