"""A dataset published as columns is the one that its rows give, one by one."""

import hashlib
from collections.abc import Sequence

import pytest
from accepted_parts import accepted_part
from factories import make_dataset, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from routed_labels import ROUTED_ROWS

from fo1_data.dataset.columns_to_rows import columns_to_rows
from fo1_data.dataset.parquet_files import encode_rows
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import rows_to_batch
from fo1_data.dataset.versions.accepted_columns import accepted_rows
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.dataset.versions.publish import kept_part, label_filter, publish
from schemas.images import EncodedImage, ImageRow

PLAIN = [make_row(seed, 1, embed=True) for seed in range(3)]


def embedded(rows: Sequence[ImageRow]) -> list[ImageRow]:
    """The rows under ids of their own, each with bytes whose hash is the id."""
    made = []
    for number, row in enumerate(rows):
        data = f"{number}".encode()
        update = {"image_id": hashlib.sha256(data).hexdigest(), "image": EncodedImage(bytes=data)}
        made.append(row.model_copy(update=update))
    return made


@settings(max_examples=12, deadline=None)
@given(st.lists(ROUTED_ROWS, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_published_rows_are_those_that_records_give(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[ImageRow],
    only_accepted: bool,
    include_unreviewed: bool,
) -> None:
    folder = tmp_path_factory.mktemp("published")
    make_dataset(folder / "d", embedded(rows), rows_a_shard=2)
    options = {"only_accepted": only_accepted, "include_unreviewed": include_unreviewed}
    published = publish(str(folder / "d"), str(folder / "out"), **options)
    keeps, expected, num_left_out = label_filter(**options), [], 0
    for row in open_dataset(str(folder / "d")).rows():
        num_dropped = sum(label.is_unreviewed and not keeps(label) for label in row.all_labels())
        num_left_out += num_dropped
        if only_accepted:
            part = accepted_part(row, include_unreviewed=include_unreviewed)
            expected += [part] if part is not None else []
        else:
            expected.append(kept_part(row, keeps) if num_dropped else row)
    files = open_dataset(str(folder / "out")).data_files()
    assert [(folder / "out" / file.path).read_bytes() for file in files] == [encode_rows(expected)] * len(
        files
    )
    assert bool(files) == bool(expected)
    assert published.unreviewed_left_out == num_left_out


@settings(max_examples=12, deadline=None)
@given(st.lists(ROUTED_ROWS, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_a_caption_of_a_model_stays_with_its_phrases(
    rows: list[ImageRow], model_captions: bool, include_unreviewed: bool
) -> None:
    options = (model_captions, include_unreviewed)
    kept = [part for row in rows if (part := accepted_part(row, *options)) is not None]
    assert columns_to_rows(accepted_rows(rows_to_batch(rows), *options)) == kept


@settings(max_examples=10, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 2), min_size=1, max_size=30),
    splits=st.lists(st.sampled_from(("train", "test")), min_size=30, max_size=30),
    cut=st.integers(1, 30),
)
def test_batches_are_cut_into_files_as_their_rows_are(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], splits: list[str], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("writer")
    source = make_dataset(folder / "d", PLAIN)
    rows = [
        PLAIN[seed].model_copy(update={"split": split}) for seed, split in zip(seeds, splits, strict=False)
    ]
    manifests = []
    for name in ("rows", "batches"):
        writer = VersionWriter(str(folder / name), source, {"copy": "all"}, file_bytes=20_000)
        if name == "rows":
            for row in rows:
                writer.add(row)
        else:
            for start in range(0, len(rows), cut):
                writer.add_batch(rows_to_batch(rows[start : start + cut]))
        manifests.append(writer.seal("1"))
    assert manifests[0].files == manifests[1].files
    assert manifests[0].counts == manifests[1].counts
