"""The gallery, an image and the jobs in a real browser: filters, counts, selection, zoom, saved views."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from dashboard_site import NUM_IMAGES, Site, chromium_page, log_in, open_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(site: Site) -> Iterator[Any]:
    with chromium_page(site) as opened:
        yield opened


def count_of(page: Any, name: str, value: str) -> int:
    """The number beside a choice of the filters."""
    return int(choice(page, name, value).locator("b").inner_text())


def choice(page: Any, name: str, value: str) -> Any:
    """A choice of the filters."""
    return page.locator(f"label.facet:has([name={name}][value='{value}'])")


def test_counts_beside_the_filters_are_what_they_leave(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{site.url}/datasets/{site.dataset}")
    total = page.locator("#total")
    expect(total).to_have_text(f"{NUM_IMAGES} of {NUM_IMAGES} images")
    for name, value in (("decision", "review"), ("split", "validation"), ("kind", "count")):
        expected = count_of(page, name, value)
        assert 0 < expected < NUM_IMAGES
        choice(page, name, value).click()
        expect(total).to_have_text(f"{expected} of {NUM_IMAGES} images")
        if expected <= 24:
            expect(page.locator(".gallery .sample")).to_have_count(expected)
    expect(page).to_have_url(re.compile(r"\?decision=review&kind=count&split=validation$"))
    page.get_by_role("link", name="Clear").click()
    expect(total).to_have_text(f"{NUM_IMAGES} of {NUM_IMAGES} images")


def test_the_range_of_confidences_filters_and_dims_the_histogram(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{site.url}/datasets/{site.dataset}")
    expect(page.locator("#histogram rect")).to_have_count(20)
    below = page.locator("#histogram rect title").all_text_contents()[:8]
    expected = sum(int(text.partition(": ")[2].split()[0]) for text in below)
    high = page.get_by_label("Highest confidence in percent")
    high.fill("40")
    expect(page.locator("#range")).to_have_text("0 to 40 %")
    expect(page.locator("#total b")).to_have_text(str(expected))
    expect(page.locator("#histogram rect.out")).to_have_count(12)
    assert "max_confidence=40" in page.url


def test_a_selection_outlives_filters_and_can_be_cleared(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{site.url}/datasets/{site.dataset}")
    bar = page.locator("#selection")
    expect(bar).to_be_hidden()
    page.locator(".sample .pick input").nth(0).check()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(bar).to_contain_text("2 selected")
    choice(page, "decision", "review").click()
    expect(page.get_by_role("link", name="Push to review", exact=True)).to_have_attribute(
        "href", re.compile("decision=review")
    )
    expect(bar).to_contain_text("2 selected")
    page.reload()
    expect(bar).to_contain_text("2 selected")
    bar.get_by_role("link", name="Push these to review").click()
    expect(page.locator("main")).to_contain_text("2 selected")
    page.go_back()
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()
    expect(page.locator(".sample.picked")).to_have_count(0)


def test_boxes_are_hidden_and_stay_hidden(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{site.url}/datasets/{site.dataset}")
    box = page.locator(".gallery svg .box").first
    expect(box).to_be_visible()
    page.get_by_label("boxes").uncheck()
    expect(box).to_be_hidden()
    page.reload()
    expect(page.get_by_label("boxes")).not_to_be_checked()
    page.keyboard.press("b")
    expect(box).to_be_visible()


def test_a_view_can_be_saved_and_its_link_survives_the_login(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{site.url}/datasets/{site.dataset}?decision=review&split=train")
    expect(page.locator("#total b")).not_to_be_empty()
    shown = page.locator("#total").inner_text()
    page.once("dialog", lambda dialog: dialog.accept("doubtful"))
    page.get_by_role("button", name="Save view").click()
    page.goto(f"{site.url}/datasets/{site.dataset}")
    page.get_by_label("Saved views").select_option("doubtful")
    expect(page).to_have_url(re.compile(r"\?decision=review&split=train$"))
    link = page.url
    page.get_by_role("button", name="Log out").click()
    page.goto(link)
    page.locator("[name=key]").fill(site.keys["admin"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(link)
    expect(page.locator("#total")).to_have_text(shown)


def test_the_images_of_a_view_follow_each_other(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{site.url}/datasets/{site.dataset}?decision=review&order=confidence")
    links = page.locator(".sample a").evaluate_all("all => all.map(a => a.pathname)")
    assert len(links) > 2
    page.locator(".sample a").first.click()
    for key, link in (("ArrowRight", links[0]), ("ArrowRight", links[1]), ("ArrowLeft", links[2])):
        expect(page).to_have_url(re.compile(f"{link}\\?"))
        page.wait_for_load_state()
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile(f"{links[1]}\\?"))
    page.wait_for_load_state()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(r"decision=review&order=confidence"))


def test_a_picture_is_zoomed_and_label_kinds_are_hidden(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{site.url}/datasets/{site.dataset}")
    page.locator(".sample a").first.click()
    svg = page.locator("#zoomed svg")
    expect(svg).to_have_attribute("viewBox", "0 0 320 240")
    page.get_by_role("button", name="Zoom in").click()
    expect(svg).not_to_have_attribute("viewBox", "0 0 320 240")
    width = float((svg.get_attribute("viewBox") or "").split()[2])
    svg.hover(position={"x": 50, "y": 50})
    page.mouse.wheel(0, -300)
    expect(page.locator("#zoomed.zoomed")).to_be_visible()
    page.wait_for_function(f"document.querySelector('#zoomed svg').viewBox.baseVal.width < {width} * 0.9")
    page.keyboard.press("0")
    expect(svg).to_have_attribute("viewBox", "0 0 320 240")
    chip = page.locator(".chip[data-kind=ground]")
    chip.hover()
    expect(page.locator("svg .drawn.on")).to_have_count(1)
    page.get_by_label("ground").uncheck()
    expect(chip).to_be_hidden()
    page.get_by_label("accept").uncheck()
    expect(page.locator("svg .drawn[data-decision=accept]").first).to_be_hidden()


def test_jobs_are_listed_by_state(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(site.url)
    expect(page.locator("#jobs .row")).to_have_count(6)
    page.get_by_label("Jobs by state").get_by_role("link", name="failed").click()
    expect(page.locator("#jobs .row")).to_have_count(1)
    page.locator("#jobs .row").click()
    expect(page.get_by_role("alert")).to_contain_text("no corpus at <b>here</b>")
    log_in(page, site)


def test_a_job_shows_its_speed_and_its_drivers_log(site: Site, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{site.url}/jobs/{site.jobs['running']}")
    expect(page.get_by_role("img", name="Images per second over time")).to_be_visible()
    expect(page.locator(".job-progress")).to_contain_text("12 of 36 images")
    page.goto(f"{site.url}/jobs/{site.jobs['failed']}")
    expect(page.locator("#log")).to_contain_text("12 of 36 images")


@pytest.mark.parametrize("path", ["/", "/datasets", "/datasets/{dataset}", "/jobs/{job}", "/reviews"])
def test_no_page_is_wider_than_a_narrow_screen(site: Site, page: Any, path: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    try:
        page.goto(site.url + path.format(dataset=site.dataset, job=site.jobs["running"]))
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    finally:
        page.set_viewport_size({"width": 1366, "height": 768})
