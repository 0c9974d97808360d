"""What people have corrected in a dataset, kept with it: `corrections/` in its folder.

    corrections/corrections.jsonl    every correction that was merged, this version's and those before
    corrections/originals.parquet    the rows they were made on, as they were before, without pixels

A later merge starts from the originals, so that corrections may come in any order and any number of
parts; and each pair of before and after is there to learn from. Both files are listed in the manifest.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.stored_rows import write_file, write_rows
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store
from schemas.corrections import Correction, correction_line, parse_corrections
from schemas.dataset import ManifestFile
from schemas.images import EncodedImage, ImageRow

FOLDER = "corrections"
CORRECTIONS = f"{FOLDER}/corrections.jsonl"
ORIGINALS = f"{FOLDER}/originals.parquet"


@dataclass
class CorrectionHistory:
    """The corrections of a dataset by their id, and the rows they were made on by image id."""

    corrections: dict[str, Correction] = field(default_factory=dict)
    originals: dict[str, ImageRow] = field(default_factory=dict)

    def add(self, corrections: Iterable[Correction]) -> list[Correction]:
        """Take corrections in; returns those that were not there yet."""
        new = {one.correction_id: one for one in corrections if one.correction_id not in self.corrections}
        self.corrections |= new
        return list(new.values())

    def by_image(self) -> dict[str, list[Correction]]:
        """The corrections of each image."""
        found: dict[str, list[Correction]] = {}
        for one in self.corrections.values():
            found.setdefault(one.image_id, []).append(one)
        return found

    def keep_original(self, row: ImageRow) -> None:
        """Keep a row as it is before its corrections, less its pixels."""
        self.originals[row.image_id] = without_pixels(row)

    def only(self, keep: Callable[[str], bool]) -> "CorrectionHistory":
        """The history of the images that `keep` says yes to."""
        return CorrectionHistory(
            {name: one for name, one in self.corrections.items() if keep(one.image_id)},
            {image_id: row for image_id, row in self.originals.items() if keep(image_id)},
        )


def without_pixels(row: ImageRow) -> ImageRow:
    """The row without its embedded image; the path stays."""
    return row.model_copy(update={"image": EncodedImage(path=row.image.path)})


def read_history(store: Store, files: Sequence[ManifestFile]) -> CorrectionHistory:
    """The history that a manifest's files list; empty where they list none. Raises DatasetError."""
    listed = {file.path for file in files}
    history = CorrectionHistory()
    try:
        if CORRECTIONS in listed:
            history.add(parse_corrections(store.read_bytes(CORRECTIONS).decode().split("\n")))
        if ORIGINALS in listed:
            for row in table_to_rows(pq.read_table(io.BytesIO(store.read_bytes(ORIGINALS)))):
                history.originals[row.image_id] = row
    except (FileNotFoundError, ValueError) as error:
        raise DatasetError(f"{store.address(FOLDER)} cannot be read: {error}") from error
    return history


def write_history(store: Store, history: CorrectionHistory) -> list[ManifestFile]:
    """Write a history, in the corrections' own order; what the manifest is to list. Nothing: no files."""
    if not history.corrections:
        return []
    ordered = sorted(history.corrections.values(), key=lambda one: (one.image_id, one.order))
    lines = "".join(f"{correction_line(one)}\n" for one in ordered)
    originals = [history.originals[image_id] for image_id in sorted(history.originals)]
    return [
        write_file(store, CORRECTIONS, lines.encode(), len(ordered)),
        write_rows(store, ORIGINALS, originals),
    ]


def is_history_file(path: str) -> bool:
    """True for the files of this module in a manifest's list."""
    return path in (CORRECTIONS, ORIGINALS)
