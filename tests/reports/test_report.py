"""The report page: its content, that it fetches nothing, and that every text is escaped."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from factories import make_answer, make_count, make_dataset, make_reject, make_row

from fo1_data.corpus.images import InputLimits
from fo1_data.errors import DatasetError
from fo1_data.evaluation.faults import Faults
from fo1_data.reports.page import render_report, write_report
from fo1_data.reports.pictures import MOST_REGIONS
from schemas.images import ImageRow
from schemas.labels import Decision

NASTY = '</script><img src=x onerror="alert(1)">&"\'<b>'


class Page(HTMLParser):
    """Tags with their attributes, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


def rendered(address: Path, num_images: int = 48) -> Page:
    return Page(render_report(str(address), num_images, InputLimits())[0])


@pytest.fixture
def rows(tmp_path: Path) -> list[ImageRow]:
    rows = [make_row(i, folder=tmp_path / "images", decisions=[Decision.ACCEPT]) for i in range(6)]
    rows[0].counts = [make_count(rows[0].regions)]
    rows[0].answers = [make_answer()]
    return rows


def test_it_shows_images_captions_figures_and_rejects(tmp_path: Path, rows: list[ImageRow]) -> None:
    rejects = [make_reject(f"broken-{i}.png") for i in range(11)]
    make_dataset(tmp_path / "d", rows, rejects)
    assert write_report(str(tmp_path / "d"), str(tmp_path / "out" / "r.html")) == 6
    page = Page((tmp_path / "out" / "r.html").read_text())
    assert len(page.of_class("image")) == 6
    assert len(page.of_class("box")) == 12
    for text in ("red square", "What colour?", "a red square", "truncated", "broken-0.png", "3 more in"):
        assert text in page.text
    pictures = [attrs["src"] or "" for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) == 6
    assert all(source.startswith("data:image/jpeg;base64,") for source in pictures)
    assert "Apache-2.0" in page.text


def test_it_fetches_nothing(tmp_path: Path, rows: list[ImageRow]) -> None:
    make_dataset(tmp_path / "d", rows)
    html = render_report(str(tmp_path / "d"), 48, InputLimits())[0]
    for tag, attrs in Page(html).tags:
        for name in ("src", "href", "data", "action", "srcset"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert "url(" not in html
    assert "@import" not in html


def test_every_text_is_escaped(tmp_path: Path, rows: list[ImageRow]) -> None:
    row = rows[0]
    region = row.regions[0]
    region.brief_caption = region.detailed_caption = region.text = region.source_label = NASTY
    region.labels[0].text = NASTY
    row.caption = row.groundings[0].phrase = row.counts[0].phrase = NASTY
    row.answers[0].question = row.answers[0].answer = NASTY
    reject = make_reject(NASTY, reason=NASTY, message=NASTY)
    make_dataset(tmp_path / "d", rows, [reject])
    plain = rendered(tmp_path / "d")
    assert NASTY in plain.text
    assert [attrs for _, attrs in plain.tags if "onerror" in attrs] == []
    assert sum(tag == "script" for tag, _ in plain.tags) == 1
    assert sum(tag == "img" for tag, _ in plain.tags) == 6


def test_the_choice_of_images_does_not_depend_on_their_order(tmp_path: Path, rows: list[ImageRow]) -> None:
    make_dataset(tmp_path / "a", rows)
    make_dataset(tmp_path / "b", rows[::-1])
    shown = [
        {attrs["data-image-id"] for attrs in rendered(tmp_path / name, 3).of_class("stage")} for name in "ab"
    ]
    assert len(shown[0]) == 3
    assert shown[0] == shown[1]
    html = [render_report(str(tmp_path / "a"), 3, InputLimits())[0] for _ in range(2)]
    assert html[0] == html[1]
    assert rendered(tmp_path / "a", 0).of_class("stage") == []


def test_a_missing_image_is_reported_and_the_others_are_shown(tmp_path: Path, rows: list[ImageRow]) -> None:
    Path(rows[2].uri).unlink()
    make_dataset(tmp_path / "d", rows)
    page = rendered(tmp_path / "d")
    assert sum(tag == "img" for tag, _ in page.tags) == 5
    assert len(page.of_class("missing")) == 1
    assert re.search(r"image [0-9a-f]{16} cannot be had", page.text)


def test_an_empty_dataset_has_a_report(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d", [], [make_reject()])
    page = rendered(tmp_path / "d")
    assert "No images to show" in page.text
    assert "truncated" in page.text


def test_a_folder_without_a_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no dataset"):
        write_report(str(tmp_path), str(tmp_path / "r.html"))


def test_with_gold_the_worst_images_come_first_with_the_corrections_of_gold(
    tmp_path: Path, rows: list[ImageRow]
) -> None:
    make_dataset(tmp_path / "d", rows)
    wrong = {rows[2].image_id: ["a beige bar"], rows[4].image_id: ["one", "two"]}

    def judge(row: ImageRow) -> Faults:
        texts = wrong.get(row.image_id)
        return Faults(regions={0: texts} if texts else {}, num_judged=4)

    html, num_shown = render_report(str(tmp_path / "d"), 2, InputLimits(), judge)
    page = Page(html)
    order = [attrs["data-image-id"] for attrs in page.of_class("stage")]
    assert (num_shown, order) == (2, [rows[4].image_id, rows[2].image_id])
    assert "gold: a beige bar" in page.text
    assert "2 wrong" in page.text
    assert "labels judged" in page.text
    assert "labels judged" not in rendered(tmp_path / "d").text


def test_an_image_of_many_regions_is_drawn_in_part_and_says_so(tmp_path: Path) -> None:
    boxes = [(float(x), float(y), x + 6.0, y + 6.0) for y in range(0, 240, 8) for x in range(0, 240, 8)]
    row = make_row(1, width=240, height=240, boxes=boxes, folder=tmp_path / "images")
    row.groundings[0].region_ids = [region.region_id for region in row.regions]
    make_dataset(tmp_path / "dataset", [row])

    page = Page(render_report(str(tmp_path / "dataset"), 1, InputLimits())[0])

    drawn = page.of_class("box")
    assert len(drawn) == MOST_REGIONS < len(boxes)
    assert "900 regions, 500 drawn" in page.text
    assert "900 regions" in next(text for text in page.text.splitlines() if row.groundings[0].phrase in text)
    assert int(drawn[0]["data-regions"] or -1) != int(drawn[-1]["data-regions"] or -1)


def test_an_image_too_large_to_decode_has_a_thumbnail_read_by_windows(tmp_path: Path) -> None:
    pytest.importorskip("rasterio", reason="needs the extra geo")
    row = make_row(1, width=640, height=480, folder=tmp_path / "images")
    make_dataset(tmp_path / "dataset", [row])

    html, _ = render_report(str(tmp_path / "dataset"), 1, InputLimits(max_pixels=10_000))

    assert "data:image/jpeg;base64," in html
