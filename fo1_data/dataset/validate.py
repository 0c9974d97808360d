"""Checks a finished dataset against its manifest: the bytes of every file, the sense of every row and track.

Each problem is one line: the file, the image if it is about one, and what is wrong. A file with other
bytes than listed is still checked if it can be read. Changes nothing.
"""

import hashlib
from collections.abc import Container, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fo1_data.dataset.arrow_columns import numpy_to_array
from fo1_data.dataset.counting import count_batch, count_row
from fo1_data.dataset.history import is_history_file
from fo1_data.dataset.layout import REJECTS, TRACKS, VIDEOS, is_table, split_and_index
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.dataset.row_batches import read_batches
from fo1_data.dataset.row_checks import doubtful_rows
from fo1_data.dataset.row_form import has_columns_of_rows
from fo1_data.dataset.row_problems import row_problems
from fo1_data.dataset.rows import record_to_row, table_to_rejects
from fo1_data.dataset.track_checks import table_problems
from fo1_data.dataset.tracked_regions import KeyedBoxes
from fo1_data.errors import DatasetError
from schemas.dataset import Counts, ManifestFile

MOST_PROBLEMS = 1_000
_BLOCK_BYTES = 2**22
_SMALL_BATCH_ROWS = 64
# What reading a damaged or strange file raises.
_UNREADABLE = (DatasetError, pa.ArrowException, ValueError, OSError)


def validate_dataset(address: str) -> list[str]:
    """All problems of the dataset at `address`, at most `MOST_PROBLEMS` lines.

    Raises DatasetError if there is no finished dataset.
    """
    problems: list[str] = []
    for problem in _problems(open_dataset(address)):
        if len(problems) == MOST_PROBLEMS:
            problems.append("more problems were found and are not listed")
            break
        problems.append(problem)
    return problems


def _problems(dataset: Dataset) -> Iterator[str]:
    for file in dataset.manifest.files:
        yield from _file_problems(dataset, file)
    yield from _unlisted(dataset)
    rows = _Rows(dataset)
    for file in dataset.data_files():
        yield from rows.problems(file)
    counts, whole = rows.counts, rows.whole
    for name, table in (("rejected", REJECTS), ("videos", VIDEOS), ("tracks", TRACKS)):
        try:
            num_rows = sum(_num_rows(batch, table) for batch in dataset.batches_of(table))
            counts = counts.model_copy(update={name: num_rows})
        except _UNREADABLE as error:
            whole = False
            yield f"{table}: cannot be read: {' '.join(str(error).split())[:300]}"
    if whole:
        try:
            yield from table_problems(dataset, rows.image_ids, rows.tracked)
        except _UNREADABLE as error:
            yield f"{TRACKS}: cannot be checked: {' '.join(str(error).split())[:300]}"
    if whole:
        yield from _count_problems(dataset.manifest.counts, counts)


def _num_rows(batch: pa.RecordBatch, table: str) -> int:
    """The rows of a batch of a table. Raises DatasetError if one of them is no reject."""
    if table == REJECTS:
        table_to_rejects(batch)
    return int(batch.num_rows)


class _Rows:
    """Checks the rows of files, one file after another.

    `counts`: of the rows so far. `whole`: every file could be read to its end. `tracked`: the regions that
    name a track.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._store = dataset.store
        self._seen: dict[str, str] = {}
        self.counts = Counts()
        self.whole = True
        self.tracked = KeyedBoxes()

    @property
    def image_ids(self) -> Container[str]:
        """The images of the rows so far."""
        return self._seen.keys()

    def problems(self, file: ManifestFile) -> Iterator[str]:
        """The problems of the rows of one file, in their order."""
        first = 1
        try:
            for batch, doubtful in self._checked(file):
                yield from self._batch_problems(file, batch, doubtful, first)
                first += batch.num_rows
        except _UNREADABLE as error:
            self.whole = False
            yield f"{file.path}: cannot be read: {' '.join(str(error).split())[:300]}"

    def _batch_problems(
        self, file: ManifestFile, batch: pa.RecordBatch, doubtful: npt.NDArray[np.bool_], first: int
    ) -> Iterator[str]:
        """`doubtful` (N,): the rows to be read as records. `first`: the number of the batch's first row."""
        sound = batch if not doubtful.any() else batch.filter(numpy_to_array(~doubtful))
        image_ids = iter(sound["image_id"].to_pylist() if len(sound) else [])
        for place, is_doubtful in enumerate(doubtful.tolist()):
            if is_doubtful:
                row = record_to_row(batch.slice(place, 1).to_pylist()[0])
                self.counts += count_row(row)
                image_id = row.image_id
            else:
                image_id = next(image_ids)
            where = f"{file.path}: image {image_id[:16] or f'of row {first + place}'}"
            if is_doubtful:
                yield from (f"{where}: {problem}" for problem in row_problems(row, _split(file)))
            if image_id in self._seen:
                yield f"{where}: also a row of {self._seen[image_id]}"
            self._seen[image_id] = file.path
        if has_columns_of_rows(batch.schema):
            self.tracked.see(batch)
        if len(sound):
            self.counts += count_batch(sound)

    def _checked(self, file: ManifestFile) -> Iterator[tuple[pa.RecordBatch, npt.NDArray[np.bool_]]]:
        """The rows of a file in batches, and which of them are to be read as records.

        From where a file cannot be read as columns on, these are all, in smaller batches: reading says why.
        """
        num_rows = 0
        try:
            for batch in read_batches(self._store, file.path):
                if not has_columns_of_rows(batch.schema):
                    break
                batch.validate(full=True)
                yield batch, doubtful_rows(batch, _split(file))
                num_rows += batch.num_rows
            else:
                return
        except _UNREADABLE:
            pass
        for batch in read_batches(self._store, file.path, _SMALL_BATCH_ROWS):
            rest = batch.slice(min(num_rows, batch.num_rows))
            num_rows -= batch.num_rows - rest.num_rows
            yield rest, np.ones(rest.num_rows, bool)


def _file_problems(dataset: Dataset, file: ManifestFile) -> Iterator[str]:
    digest, num_bytes = hashlib.sha256(), 0
    try:
        with dataset.store.open_input(file.path) as source:
            while block := source.read(_BLOCK_BYTES):
                digest.update(block)
                num_bytes += len(block)
    except FileNotFoundError:
        yield f"{file.path}: missing"
        return
    if num_bytes != file.num_bytes:
        yield f"{file.path}: {num_bytes} bytes, the manifest says {file.num_bytes}"
    elif digest.hexdigest() != file.sha256:
        yield f"{file.path}: its SHA-256 is not the manifest's: the file was changed or damaged"
    is_known = any(is_table(file.path, table) for table in (REJECTS, VIDEOS, TRACKS))
    if split_and_index(file.path) is None and not is_known and not is_history_file(file.path):
        yield f"{file.path}: neither a data file nor a table of rejects, videos or tracks"


def _unlisted(dataset: Dataset) -> Iterator[str]:
    listed = {file.path for file in dataset.manifest.files}
    for path in dataset.store.list("data"):
        if path not in listed:
            yield f"{path}: not listed in the manifest, and read by those who read the folder"


def _count_problems(declared: Counts, actual: Counts) -> Iterator[str]:
    for name, value in actual.model_dump().items():
        if name.endswith("_boxes") and not declared.knows_boxes:
            continue
        if value != getattr(declared, name):
            yield f"manifest.json: counts.{name} is {getattr(declared, name)}, the files hold {value}"


def _split(file: ManifestFile) -> str:
    place = split_and_index(file.path)
    return place[0] if place else ""
