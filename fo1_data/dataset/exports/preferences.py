"""Corrections as training data: `preferences.jsonl`, `hard_negatives.jsonl` and `images/`.

    preferences     {"prompt": [...], "chosen": [...], "rejected": [...], "images": [path], "kind", ...}
                    the conversational preference form of TRL (DPO, reward models), text without placeholder
    hard_negatives  {"image": path, "kind", "box_xyxy", "text" (what was wrong), "right" (what is so), ...}

Only what people have changed is written; an image that was confirmed as it was gives nothing. In preferences
reserved tokens of a text are broken up, as in messages; hard negatives are data and hold texts as they are.
"""

import json
from itertools import chain
from typing import Any

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.corrections.track_rows import said_of_regions
from fo1_data.dataset.corrections.tracks import Statement, correct_tracks
from fo1_data.dataset.exports.names import names_of
from fo1_data.dataset.exports.preference_pairs import Preference, RowDiff
from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.pixels import suffix_of_bytes, upright, with_bytes
from fo1_data.dataset.reader import Dataset
from fo1_data.errors import DatasetError
from fo1_data.model.reserved_tokens import broken_up
from fo1_data.storage.store import Store
from schemas.images import ImageRow


def export_preferences(
    dataset: Dataset, store: Store, limits: InputLimits, image_root: str = ""
) -> dict[str, int]:
    """Write both files and the images they name; returns how many pairs, negatives and images.

    Raises DatasetError if the dataset holds no corrections.
    """
    history = dataset.history()
    if not history.corrections:
        raise DatasetError(f"{dataset.store.url} holds no corrections: merge some first")
    by_image, of_tracks = history.by_image(), _said_of_tracks(dataset, history)
    pairs: list[str] = []
    negatives: list[str] = []
    images = 0
    names = names_of(dataset)

    def diff_of(row: ImageRow) -> RowDiff:
        original = history.originals[row.image_id]
        said = said_of_regions(original, of_tracks.get(row.image_id, []))
        return RowDiff(original, row, [*by_image.get(row.image_id, []), *said])

    def changed(row: ImageRow) -> bool:
        diff = diff_of(row)
        return any(True for _ in diff.preferences()) or any(True for _ in diff.hard_negatives())

    rows = (row for row in dataset.rows() if row.image_id in history.originals and changed(row))
    for row, stored in with_bytes(rows, limits):
        data = upright(row, stored, limits)
        path = f"images/{names.stem(row, 'images')}.{suffix_of_bytes(data)}"
        store.write_bytes(path, data)
        path = image_root + path
        images += 1
        diff = diff_of(row)
        pairs += [_line(_pair(example, path, row)) for example in diff.preferences()]
        image_fields = {"image": path, "image_id": row.image_id, "split": row.split}
        negatives += [_line({**image_fields, **example}) for example in diff.hard_negatives()]
    store.write_bytes("preferences.jsonl", "".join(pairs).encode())
    store.write_bytes("hard_negatives.jsonl", "".join(negatives).encode())
    return {"preferences": len(pairs), "hard_negatives": len(negatives), "images": images}


def _said_of_tracks(dataset: Dataset, history: CorrectionHistory) -> dict[str, list[Statement]]:
    """What corrections of tracks say of the rows of their keyframes, by image."""
    by_video = history.by_video()
    every = int(dataset.manifest.config.get("track_every") or 1)
    said: dict[str, list[Statement]] = {}
    for video in chain(dataset.videos(), history.other_videos.values()) if by_video else ():
        tracks, of_video = history.track_originals.get(video.video_id, []), by_video.get(video.video_id, [])
        for image_id, statements in correct_tracks(video, tracks, of_video, every=every).statements.items():
            said.setdefault(image_id, []).extend(statements)
    return said


def _pair(preference: Preference, path: str, row: ImageRow) -> dict[str, Any]:
    def message(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": broken_up(text)}]

    return {
        "prompt": message("user", preference.question),
        "chosen": message("assistant", preference.chosen),
        "rejected": message("assistant", preference.rejected),
        "images": [path],
        "kind": preference.kind,
        "image_id": row.image_id,
        "split": row.split,
    }


def _line(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
