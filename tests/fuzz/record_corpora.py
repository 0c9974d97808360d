"""Corpora of records: the project's own, those of the Hugging Face hub, WebDataset, Parquet, and tracks."""

import io
import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from changed_bytes import changed_anywhere
from made_corpora import (
    Made,
    Marks,
    Put,
    a_box,
    changed_document,
    image_files,
    json_bytes,
    lines_bytes,
    put_at,
    put_in_records,
    some_images,
    tar_bytes,
)


def own_record(name: str, chance: random.Random, marks: Marks) -> dict[str, Any]:
    """A record of the project's own form with all that it may say."""
    num = chance.randint(0, 3)
    regions = []
    for _ in range(num):
        x, y, width, height = a_box(chance)
        region: dict[str, Any] = {"box_xyxy": [x, y, x + width, y + height], "label": marks.next()}
        for key in ("caption", "detailed_caption", "text"):
            if chance.random() < 0.3:
                region[key] = marks.next()
        regions.append(region)
    indices = list(range(num))
    return {
        "image": name,
        "width": 100,
        "height": 80,
        "regions": regions,
        "caption": chance.choice((marks.next(), [marks.next(), marks.next()])),
        "phrases": [{"text": marks.next(), "region_indices": indices} for _ in range(chance.randint(0, 2))],
        "counts": [{"text": marks.next(), "count": num}] if chance.random() < 0.3 else [],
        "answers": [{"question": marks.next(), "answer": "yes", "region_index": None}],
        "id": name,
        "meta": {"url": "http://h/x"},
    }


def hub_record(name: str, chance: random.Random, marks: Marks) -> dict[str, Any]:
    """A record of an image folder's `metadata` with its objects, as a list or as an object of lists."""
    boxes = [list(a_box(chance)) for _ in range(chance.randint(0, 3))]
    categories = [marks.next() for _ in boxes]
    columns = {"bbox": boxes, "categories": categories, "area": [1.0 for _ in boxes]}
    rows = [{"bbox": box, "category": word} for box, word in zip(boxes, categories, strict=True)]
    return {"file_name": name, "objects": chance.choice((columns, rows)), "text": marks.next()}


def track_record(chance: random.Random, marks: Marks) -> dict[str, Any]:
    """A line of `tracks.jsonl`."""
    frames = sorted(chance.sample(range(9), chance.randint(1, 4)))
    tracks = [
        {
            "id": str(number),
            "label": marks.next(),
            "frames": frames,
            "boxes_xyxy": [[1, 2, 30, 40]] * len(frames),
        }
        for number in range(chance.randint(0, 3))
    ]
    return {"video": "v", "width": 100, "height": 80, "fps": 10, "num_frames": 9, "tracks": tracks}


def records(chance: random.Random) -> tuple[str, Made]:
    """A list of records: JSON lines or a JSON list."""
    names, marks = some_images(chance), Marks()
    make = chance.choice((own_record, hub_record))
    document = changed_document([make(name, chance, marks) for name in names], chance)
    put = put_in_records(document)
    if make is own_record and chance.random() < 0.3:
        name, (data, is_damaged) = "list.json", json_bytes(document, chance)
    else:
        name, (data, is_damaged) = "list.jsonl", lines_bytes(document, chance)
        name = chance.choice(("annotations.jsonl", "list.jsonl", "metadata.jsonl"))
    corpus = chance.choice(("", name))
    files = {name: data, **image_files(names, chance)}
    return "records", Made(files, corpus, put, is_damaged=is_damaged)


def tracks(chance: random.Random) -> tuple[str, Made]:
    """`tracks.jsonl` beside the frames of its video."""
    document = changed_document([track_record(chance, Marks())], chance)
    data, is_damaged = lines_bytes(document, chance)
    put = list(put_at(document, "*", "tracks", "*"))
    frames = image_files([f"v/{number:03d}.png" for number in range(9)], chance)
    made = Made({"tracks.jsonl": data, **frames}, chance.choice(("", "tracks.jsonl")), put)
    made.is_damaged = is_damaged
    return "tracks", made


def webdataset(chance: random.Random) -> tuple[str, Made]:
    """A tar of images with sidecars, in any order, now and then doubled or without their image."""
    marks, members, put = Marks(), [], list[Put]()
    for number in range(chance.randint(1, 4)):
        key = chance.choice((f"{number:03d}", f"d/{number}", "same"))
        record = changed_document([own_record("x.png", chance, marks)], chance)
        for value in record[:1]:
            members.append((f"{key}.json", json.dumps(value, default=str).encode()))
        caption = marks.next()
        put += [Put(str(number), frozenset([caption])), *put_in_records(record[:1])]
        members.append((f"{key}.{chance.choice(('txt', 'caption'))}", caption.encode()))
        members.append((f"{key}.{chance.choice(('jpg', 'png', 'left.jpg'))}", b"not opened"))
    if chance.random() < 0.3:
        chance.shuffle(members)
    data, is_damaged = tar_bytes(members), chance.random() < 0.1
    if is_damaged:
        place = chance.randrange(len(data))
        data = chance.choice(
            (data[:place], data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :])
        )
    made = Made({"x.tar": data}, chance.choice(("", "x.tar")), put, is_damaged=is_damaged)
    return "WebDataset", made


def parquet(chance: random.Random) -> tuple[str, Made]:
    """A Parquet list of records; a column that Arrow cannot hold is left out."""
    names, marks = some_images(chance), Marks()
    rows = changed_document([own_record(name, chance, marks) for name in names], chance)
    rows = [row for row in rows if isinstance(row, dict)] or [own_record(names[0], chance, marks)]
    columns: dict[str, pa.Array] = {}
    for key in dict.fromkeys(str(key) for row in rows for key in row):
        values = [row.get(key) for row in rows]
        try:
            columns[key] = pa.array(values)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, UnicodeError):
            continue
    buffer = io.BytesIO()
    try:
        pq.write_table(pa.table(columns), buffer)
    except (pa.ArrowException, ValueError, TypeError):
        return "Parquet", Made({"list.parquet": b"PAR1", "a.png": b""}, is_damaged=True)
    put = put_in_records(pa.table(columns).to_pylist())
    files = {"list.parquet": buffer.getvalue(), **image_files(names, chance)}
    made = Made(files, chance.choice(("", "list.parquet")), put)
    if chance.random() < 0.2:
        files["list.parquet"], made.is_damaged = changed_anywhere(files["list.parquet"], chance), True
    return "Parquet", made
