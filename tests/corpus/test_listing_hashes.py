"""Ids of shards and the hash of a listing never change: finished work of older versions stays valid."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fo1_data.corpus.readers import load_listing
from fo1_data.runs.plan import list_corpus
from schemas.jobs import RunConfig


def _text_list(path: Path) -> None:
    lines = [f"s3://bucket/part-{i // 100}/{i % 250:06d}.jpg" for i in range(400)]
    lines += [
        "",
        "  https://h.example/a b.jpg?x=1#y ",
        's3://b/"q"\\u.jpg',
        "s3://b/\x01\x7f\u00e9\u6f22.jpg",
    ]
    path.write_bytes("\n".join([*lines, "s3://b/clip.MP4.png"]).encode())


def _names(path: Path) -> None:
    names = (f"s3://b/{i % 70}.jpg" for i in range(100))
    lines = (json.dumps(name if i % 3 else {"image": name}) for i, name in enumerate(names))
    path.write_text("\n".join(lines))


def _records(path: Path) -> None:
    lines = ['{"image": "s3://b/0.jpg"}', "{not JSON"]
    for i in range(120):
        record: dict[str, Any] = {"image": f"s3://b/{i % 50}.jpg", "width": 640, "height": 480 + (i % 7 == 0)}
        record["regions"] = [
            {"box_xyxy": [1.5, 2, 30 + i % 3, 40], "label": "cat", "score": 0.5},
            {"box_xyxy": [1, None, 3, 1e300], "text": "x"},
        ]
        record["caption"] = f"c {i}"
        record["phrases"] = [{"text": "the cat", "region_indices": [i % 4]}]
        record["counts"] = [{"text": "cat", "count": i % 3}]
        record["meta"] = {"k": i, "f": 1e-7, "n": None}
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines))


def _coco(path: Path) -> None:
    images = [
        {"id": i, "file_name": f"https://h.example/{i}.jpg", "width": 10, "height": 10} for i in range(40)
    ]
    annotations = [
        {"id": i, "image_id": i % 43, "bbox": [1, 2, 3 + i % 5, 4], "category_id": i % 3} for i in range(90)
    ]
    categories = [{"id": i, "name": f"n{i}"} for i in range(3)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


# Of version 0.1: images, rejects, hash of the listing (its start), first and last shard of 32 images.
GOLDEN: dict[str, tuple[Callable[[Path], None], tuple[int, int, str, str, str]]] = {
    "list.txt": (_text_list, (404, 0, "3ca6981c6d9fb1fc", "34c457609bb21889", "c831e2d3dacda699")),
    "names.jsonl": (_names, (70, 0, "974bddc2a2429a4a", "f430d89d1efa19fb", "e532b8ed84043770")),
    "records.jsonl": (_records, (50, 131, "c3e24739ec2d12fc", "797e9c53548e5ff5", "08c3d86ead98f260")),
    "coco.json": (_coco, (40, 3, "9b631ac9b1aa68c7", "b0ab1aaaf8007ec5", "2bd35db2cc25f13a")),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_hashes_are_those_of_the_first_version(name: str, tmp_path: Path) -> None:
    write, expected = GOLDEN[name]
    write(tmp_path / name)
    planned = list_corpus(RunConfig(corpus=str(tmp_path / name), out="made", shard_size=32))
    shards = planned.shards
    found = (shards.listing_sha256[:16], shards[0].shard_id, shards[-1].shard_id)
    assert (planned.num_images, len(planned.listing_rejects), *found) == expected


def test_an_address_that_is_not_utf_8_is_a_reject(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"s3://b/\xff.jpg\ns3://b/a.jpg\n")
    listing = load_listing(str(tmp_path / "x.txt"))
    assert [entry.uri for entry in listing.entries] == ["s3://b/a.jpg"]
    (reject,) = listing.rejects
    assert reject.reason == "bad_record"
    assert reject.message.endswith("x.txt:1: the address 's3://b/\\udcff.jpg' is not UTF-8 text")
