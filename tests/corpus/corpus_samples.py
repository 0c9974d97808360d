"""Small corpora of every form for tests of listing, and a helper that lists them."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from PIL import Image

from fo1_data.corpus.readers import load_listing
from schemas.corpus import CorpusImage
from schemas.images import Reject


def jpeg(width: int = 8, height: int = 6) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def put(folder: Path, *names: str, data: bytes | None = None) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg() if data is None else data)


def listed(corpus: Path | str, limit: int | None = None) -> tuple[list[CorpusImage], list[Reject]]:
    listing = load_listing(str(corpus), limit)
    assert all(reject.stage == "listing" and reject.reason != "unaccounted" for reject in listing.rejects)
    return listing.entries, listing.rejects


def names(corpus: Path | str, limit: int | None = None) -> list[str]:
    entries, rejects = listed(corpus, limit)
    assert not rejects
    return [entry.uri.rpartition("/")[2] for entry in entries]


def write_lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def coco(**change: Any) -> dict[str, Any]:
    document = {
        "images": [
            {"id": 5, "file_name": "a.jpg", "width": 8, "height": 6, "license": 3},
            {"id": 9, "file_name": "b.jpg"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 1, "area": 12},
            {"id": 2, "image_id": 5, "category_id": 7, "bbox": [0, 0, 1, 1], "caption": "a wheel"},
        ],
        "categories": [{"id": 2, "name": "car"}],
    }
    return document | change


def voc(name: str, box: str = "<xmin>1</xmin><ymin>2</ymin><xmax>3.5</xmax><ymax>4</ymax>") -> bytes:
    return (
        f"<annotation><folder>f</folder><filename>{name}</filename>"
        "<size><width>8</width><height>6</height><depth>3</depth></size>"
        f"<object><name>cat</name><difficult>1</difficult><bndbox>{box}</bndbox></object></annotation>"
    ).encode()


def write_tar(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]], mode: str = "w:") -> None:
    with tarfile.open(path, mode) as tar:
        for name, data in members.items() if isinstance(members, dict) else members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


SAMPLES = {
    "d/1.jpg": jpeg(8, 6),
    "d/1.json": json.dumps(
        {"caption": "a caption", "regions": [{"box_xyxy": [0, 0, 2, 2]}], "k": 1}
    ).encode(),
    "d/2.txt": b"a text\n",
    "d/2.cls": b"17",
    "d/2.PNG": jpeg(9, 6),
    "d/3.left.jpg": jpeg(10, 6),
    "d/3.right.jpg": jpeg(11, 6),
    "d/4.json": b"{broken",
    "d/4.jpg": jpeg(12, 6),
}
