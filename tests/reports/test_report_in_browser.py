"""The report in a real browser: boxes lie on their pixels, pointing and filters work, nothing is fetched."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import make_dataset, make_row
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from fo1_data.reports.page import write_report
from fo1_data.reports.training_page import write_training_page
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
    # An image with more phrases and regions than its card lists at first.
    full = make_row(9, 40, 400, 300, folder=folder)
    full.groundings = [
        full.groundings[0].model_copy(update={"phrase": f"the {'very ' * (n % 5)}small thing {n}"})
        for n in range(60)
    ]
    return [*rows, full]


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


@pytest.fixture(params=[1400, 400], ids=["wide", "narrow"])
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
    assert page.locator("#shown").inner_text() == "1 of the 5 shown"
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


def card_of(page: Page, row: ImageRow) -> Locator:
    return page.locator("article.image", has=page.locator(f'[data-image-id="{row.image_id}"]'))


def test_chips_and_regions_are_whole_and_a_button_shows_the_rest(page: Page, rows: list[ImageRow]) -> None:
    card = card_of(page, rows[4])
    for part in page.locator(".chip:visible, .region:visible").all():
        cut = part.evaluate(
            "e => { const b = e.getBoundingClientRect();"
            " for (let p = e.parentElement; p; p = p.parentElement) {"
            "   const q = p.getBoundingClientRect();"
            "   const clips = getComputedStyle(p).overflowY !== 'visible';"
            "   if (clips && b.bottom > q.bottom + 1) return p.className }"
            " return '' }"
        )
        assert cut == ""
    for kind, total in (("chip", 60), ("region", 40)):
        listed = card.locator(f".{kind}:visible")
        assert 0 < listed.count() < total
        card.get_by_role("button", name=f"all {total}").click()
        assert listed.count() == total
    assert card.locator(".more:visible").count() == 0


def test_a_box_whose_region_is_not_listed_shows_its_region(page: Page, rows: list[ImageRow]) -> None:
    card = card_of(page, rows[4])
    region = card.locator('.region[data-regions="39"]')
    assert not region.is_visible()
    card.locator('.box[data-regions="39"]').dispatch_event("click")
    assert region.is_visible()
    assert region.evaluate("e => e === document.activeElement")


def test_no_card_is_mostly_empty_and_none_covers_another(page: Page) -> None:
    page.wait_for_function("document.querySelector('article.image').style.gridRowEnd || innerWidth < 1080")
    cards = []
    for card in page.locator("article.image").all():
        outer = card.bounding_box()
        assert outer is not None
        parts = [part.bounding_box() for part in card.locator(".stage, .facts, .said-of-it > *").all()]
        used = sum(part["width"] * part["height"] for part in parts if part)
        assert used > 0.4 * outer["width"] * outer["height"]
        x, y = outer["x"], outer["y"]
        cards.append((x, y, x + outer["width"], y + outer["height"]))
    for number, (x0, y0, x1, y1) in enumerate(cards):
        for other in cards[number + 1 :]:
            assert x1 <= other[0] or other[2] <= x0 or y1 <= other[1] or other[3] <= y0


def test_the_picture_stays_in_sight_beside_a_long_list(tmp_path: Path, browser: Browser) -> None:
    make_dataset(tmp_path / "d", [make_row(1, 300, 400, 300, folder=tmp_path / "images")])
    write_report(str(tmp_path / "d"), str(tmp_path / "report.html"))
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    page.get_by_role("button", name="all 300 regions").click()
    page.locator(".region").nth(250).scroll_into_view_if_needed()
    stage = page.locator(".stage").bounding_box()
    assert stage is not None
    assert 0 < stage["y"] < 900 - stage["height"]
    page.close()


def test_a_narrow_window_has_one_column_of_cards(report: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto(report.as_uri())
    for parts in ("section.cards, section > .cards, figure, article.image", ".cards > *"):
        boxes = [part.bounding_box() for part in page.locator(parts).all()]
        widths = {round(box["width"]) for box in boxes if box}
        assert len(widths) == 1
        assert min(widths) > 300
    page.close()


def test_filters_exist_only_for_what_differs(rows: list[ImageRow], tmp_path: Path, browser: Browser) -> None:
    same = [row.model_copy(update={"split": "train", "decision": None}) for row in rows[1:4]]
    make_dataset(tmp_path / "d", same)
    write_report(str(tmp_path / "d"), str(tmp_path / "report.html"))
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("select").count() == 0
    page.fill("#filter", "zebra")
    assert page.locator("article.image:visible").count() == 1
    page.close()


def test_thousands_of_regions_stay_quick(tmp_path: Path, browser: Browser) -> None:
    make_dataset(tmp_path / "d", [make_row(1, 3000, 2000, 1500, folder=tmp_path / "images")])
    write_report(str(tmp_path / "d"), str(tmp_path / "report.html"))
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator(".region:visible").count() < 100
    duration_ms = page.evaluate(
        "() => { const boxes = [...document.querySelectorAll('.box')].slice(0, 50);"
        " const start = performance.now();"
        " for (const box of boxes) {"
        "   box.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));"
        "   document.body.offsetHeight }"
        " return (performance.now() - start) / boxes.length }"
    )
    assert duration_ms < 200
    page.close()


def test_the_page_of_a_training_run_changes_its_theme(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "losses.jsonl").write_text('{"step": 1, "loss": 2.0, "learning_rate": 0.001}\n')
    (tmp_path / "training.json").write_text('{"stage": 2, "steps": 1, "batch_images": 4}')
    write_training_page(tmp_path, str(tmp_path / "training.html"))
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto((tmp_path / "training.html").as_uri())
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("button", name="Light")).to_be_visible()
    page.close()
    assert wrong == []
