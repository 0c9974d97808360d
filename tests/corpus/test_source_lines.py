"""One line per source says what it holds and what of it was rejected, and why."""

import json
from pathlib import Path

from corpus_samples import coco, put, voc, write_lines

from fo1_data.corpus.readers import load_listing
from fo1_data.corpus.source_lines import source_lines
from schemas.sources import ContentKind, SourceCounts

_IMAGES = ContentKind.IMAGES


def lines_of(corpus: Path) -> list[str]:
    return source_lines(load_listing(str(corpus)).sources)


def test_boxes_of_an_image_that_is_not_listed(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    annotations = [*coco()["annotations"], *[{"image_id": 17, "bbox": [1, 2, 3, 4]}] * 3]
    (tmp_path / "instances.json").write_text(json.dumps(coco(annotations=annotations)))
    assert lines_of(tmp_path / "instances.json") == [
        "instances.json: 2 boxes, 1 caption of 2 images attached; 3 boxes name image 17, which is not "
        "listed; 1 box has a class without a name (the class 7): the number is the label"
    ]


def test_several_reasons(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_lines(path, [3, {"image": "a.jpg"}, *[{"regions": [{}]}] * 4])
    (line,) = lines_of(path)
    assert line.startswith("x.jsonl: 1 image attached; rejected: 5 images, 4 boxes (")
    assert line.endswith("; 2 more)")


def test_a_stale_file_name_is_noted(tmp_path: Path) -> None:
    put(tmp_path, "JPEGImages/a.jpg", "JPEGImages/b.jpg")
    put(tmp_path, "Annotations/a.xml", data=voc("a.jpg"))
    put(tmp_path, "Annotations/b.xml", data=voc("a.jpg"))
    assert lines_of(tmp_path) == [
        "Annotations: 2 boxes, 2 sidecars of 2 images attached; 1 file names another image in <filename> "
        "(b.xml: a.jpg); read as of the image that is named like the file"
    ]


def test_videos_of_many_sources_are_no_images() -> None:
    attached = {ContentKind.IMAGES: 2, ContentKind.TRACKS: 1}
    sources = [SourceCounts(source=f"/x/{n}", found=attached, attached=attached, videos=1) for n in range(22)]
    lines = source_lines(sources)
    assert lines[0] == "0: 1 track of 1 image and 1 video attached"
    assert lines[-1] == "2 more sources: 2 tracks of 2 images and 2 videos attached"


def test_many_sources_end_with_a_sum() -> None:
    sources = [
        SourceCounts(source=f"/x/{n}.tar", found={ContentKind.IMAGES: 2}, attached={ContentKind.IMAGES: 2})
        for n in range(30)
    ]
    bad = SourceCounts(
        source="/x/bad.tar",
        found={ContentKind.SIDECARS: 1},
        rejected={ContentKind.SIDECARS: 1},
        rejects=1,
        reasons=["1.json without an image"],
    )
    lines = source_lines([*sources, bad])
    assert lines[0] == "bad.tar: nothing attached; 1.json without an image"
    assert lines[-1] == "11 more sources: 22 images attached"
