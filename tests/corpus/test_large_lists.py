"""Lists of many images take little memory, and with a limit little time."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.corpus.gathering import gather
from fo1_data.corpus.listing import Found, Listing, PlainImage, WantedImages
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.readers import load_listing, read_items
from fo1_data.corpus.shards import plan_shards

LINES = st.lists(
    st.fixed_dictionaries(
        {"image": st.sampled_from([f"https://h/{number}.jpg" for number in range(5)])},
        optional={
            "caption": st.sampled_from(["a", "b"]),
            "counts": st.just([{"text": "cat", "count": 1}]),
            "regions": st.just([{"box_xyxy": [0, 0, 9, 9], "label": "cat"}]),
            "phrases": st.just([{"text": "the cat", "region_indices": [3]}]),
        },
    ),
    max_size=12,
)


def _as_coco(lines: list[dict[str, object]]) -> dict[str, object]:
    """The images of the lines, some with the same id or file, and annotations of other images."""
    images = [{"id": number % 7, "file_name": line["image"]} for number, line in enumerate(lines)]
    annotations = [{"image_id": number, "bbox": [1, 2, 3, 4], "category_id": 0} for number in range(9)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "cat"}]}


@pytest.mark.parametrize("form", ["jsonl", "list.json", "coco.json"])
@settings(max_examples=50, deadline=None)
@given(lines=LINES, limit=st.integers(1, 4))
def test_leaving_out_records_of_other_images_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, form: str, lines: list[dict[str, object]], limit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"records.{form}"
    if form == "jsonl":
        path.write_text("\n".join(["{", *map(json.dumps, lines), '{"image": 3}']))
    else:
        first = {"image": "https://h/0.jpg"}
        path.write_text(json.dumps(_as_coco(lines) if form == "coco.json" else [first, *lines, {"image": 3}]))

    def listed(wanted: WantedImages | None) -> Listing:
        return gather(read_items(str(path), ListingProgress(), wanted), limit, None, wanted)

    assert listed(WantedImages()) == listed(None)


def test_of_an_image_that_is_not_wanted_nothing_is_made(tmp_path: Path) -> None:
    record = {"caption": "a", "regions": [{"box_xyxy": [0, 0, 9, 9]}]}
    lines = [json.dumps({"image": f"https://h/{number}.jpg", **record}) for number in range(3)]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    wanted = WantedImages({"https://h/1.jpg"})
    items = list(read_items(str(tmp_path / "x.jsonl"), ListingProgress(), wanted))
    assert [type(item).__name__ for item in items] == ["Found", "Found", "Piece", "Found"]
    assert [bool(item.counts) for item in items if isinstance(item, Found)] == [False, True, False]


@pytest.mark.parametrize("form", ["txt", "jsonl"])
def test_an_address_takes_less_than_100_bytes(form: str, tmp_path: Path) -> None:
    """1,240 to 1,850 bytes before; bar 200."""
    path = tmp_path / f"x.{form}"
    number_of_images = 30_000
    with path.open("w") as file:
        for number in range(number_of_images):
            name = f"s3://bucket/train/part-{number // 1000:05d}/photo-{number:09d}.jpg"
            file.write((name if form == "txt" else json.dumps({"image": name})) + "\n")
    load_listing(str(path), limit=1)
    tracemalloc.start()
    listing = load_listing(str(path))
    shards = plan_shards(listing.entries, 32)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(shards.entries) == number_of_images
    assert peak_bytes < 100 * number_of_images


def test_a_source_that_names_images_twice_is_counted_twice() -> None:
    names = ["/a.jpg", "/b.jpg", "/a.jpg"]
    listing = gather([PlainImage("x.txt", name) for name in names])
    assert [entry.uri for entry in listing.entries] == ["/a.jpg", "/b.jpg"]
    (source,) = listing.sources
    assert source.found == source.attached == {"images": 3}
