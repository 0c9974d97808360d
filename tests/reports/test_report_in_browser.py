"""The report in a real browser: boxes lie on their pixels, pointing and filters work, nothing is fetched."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import make_dataset, make_row
from playwright.sync_api import Browser, Page, Route, sync_playwright

from fo1_data.reports.page import write_report
from schemas.images import ImageRow
from schemas.labels import Decision

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZES = [(320, 200), (64, 48), (90, 400), (700, 500)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[ImageRow]:
    folder = tmp_path_factory.mktemp("images")
    decisions = [Decision.REVIEW, Decision.ACCEPT]
    rows = [
        make_row(i, 5, w, h, folder=folder, decisions=decisions if i == 0 else ())
        for i, (w, h) in enumerate(SIZES)
    ]
    rows[1].caption = "the only zebra"
    # The output of a model that does not stop.
    rows[2].caption = "word " * 300
    rows[2].regions[0].brief_caption = rows[2].regions[0].labels[0].text = "endless" * 100
    rows[2].groundings[0].phrase = "x" * 500
    return rows


@pytest.fixture(scope="module")
def report(rows: list[ImageRow], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    make_dataset(folder / "d", rows)
    write_report(str(folder / "d"), str(folder / "report.html"))
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is absent: CI installs it first")
        pytest.skip("Chromium is absent: the report is not rendered")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 390], ids=["wide", "narrow"])
def page(request: pytest.FixtureRequest, report: Path, browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))

    def only_the_page(route: Route) -> None:
        if route.request.url != report.as_uri():
            wrong.append(route.request.url)
        route.continue_()

    page.route("**/*", only_the_page)
    page.goto(report.as_uri())
    yield page
    page.close()
    assert wrong == []


def test_boxes_lie_on_their_pixels(page: Page, rows: list[ImageRow]) -> None:
    for row in rows:
        stage = page.locator(f'.stage[data-image-id="{row.image_id}"]')
        picture = stage.locator("img").bounding_box()
        assert picture is not None
        scale_x, scale_y = picture["width"] / row.width, picture["height"] / row.height
        assert scale_x == pytest.approx(scale_y, rel=0.02)
        for region in row.regions:
            drawn = stage.locator(f'.box[data-regions="{region.index}"] .line').evaluate(
                "e => { const b = e.getBBox(), m = e.getScreenCTM();"
                " const x = v => m.a * v + m.e, y = v => m.d * v + m.f;"
                " return [x(b.x), y(b.y), x(b.x + b.width), y(b.y + b.height)] }"
            )
            offset = page.evaluate("[scrollX, scrollY]")
            x0, y0, x1, y1 = region.box_xyxy
            expected = [
                picture["x"] + x0 * scale_x, picture["y"] + y0 * scale_y,
                picture["x"] + x1 * scale_x, picture["y"] + y1 * scale_y,
            ]  # fmt: skip
            assert offset == [0, 0]
            assert drawn == pytest.approx(expected, abs=1.0)


def test_the_picture_under_a_box_has_the_boxs_colour(page: Page, rows: list[ImageRow]) -> None:
    """The factory fills the last region with one colour: the thumbnail shows it where the box is drawn."""
    row = rows[3]
    stage = page.locator(f'.stage[data-image-id="{row.image_id}"]')
    x0, y0, x1, y1 = row.regions[-1].box_xyxy
    share = [(x0 + x1) / 2 / row.width, (y0 + y1) / 2 / row.height]
    red, green, blue = stage.locator("img").evaluate(
        "(img, [x, y]) => { const c = document.createElement('canvas');"
        " c.width = img.naturalWidth; c.height = img.naturalHeight; const d = c.getContext('2d');"
        " d.drawImage(img, 0, 0);"
        " return [...d.getImageData(x * c.width, y * c.height, 1, 1).data].slice(0, 3) }",
        share,
    )
    assert (red, green, blue) == pytest.approx((128, 0, 128), abs=12)


def test_pointing_marks_box_and_caption_together(page: Page, rows: list[ImageRow]) -> None:
    article = page.locator("article.image").first
    article.locator('.region[data-regions="2"]').focus()
    assert article.locator(".box.on").evaluate_all("es => es.map(e => e.dataset.regions)") == ["2"]
    assert article.locator(".badge.on").all_text_contents() == ["2"]
    page.keyboard.press("ArrowDown")
    assert article.locator(".box.on").evaluate_all("es => es.map(e => e.dataset.regions)") == ["3"]
    article.locator(".chip").first.hover()
    assert article.locator(".region.on .dot").all_text_contents() == ["0"]


def test_filters_show_only_matches(page: Page) -> None:
    page.fill("#filter", "ZEBRA only")
    assert page.locator("article.image:visible").count() == 1
    assert page.locator("#shown").inner_text() == "1 of the 4 shown"
    page.fill("#filter", "nothing like it")
    assert page.locator("#none-left").is_visible()
    page.fill("#filter", "")
    page.select_option("#decision", "review")
    assert page.locator("article.image:visible").count() == 1


def test_long_texts_stay_in_their_places(page: Page) -> None:
    for article in page.locator("article.image").all():
        outer, inner = article.bounding_box(), article.locator(".said-of-it").bounding_box()
        assert outer is not None
        assert inner is not None
        assert inner["y"] + inner["height"] <= outer["y"] + outer["height"]
        for part in article.locator(".said-of-it > *").all():
            box = part.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= outer["y"] + outer["height"]


def test_nothing_is_wider_than_the_window_and_the_theme_changes(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
