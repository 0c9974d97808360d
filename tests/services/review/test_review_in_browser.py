"""A reviewer's browser: what is drawn is what was meant; what is edited arrives as corrections."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Pair
from factories import make_dataset
from PIL import Image
from playwright.sync_api import Page, expect
from review_bench import make_review_dataset, review_rows
from review_samples import asked_row

from fo1_data.corpus.images import image_id_of
from fo1_data.dataset.reader import open_dataset
from schemas.images import EncodedImage, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import Region, make_region_id
from services.review.inbox.boxes import STILL_PX

pytestmark = pytest.mark.timeout(600)
PATCH = (10.0, 5.0, 40.0, 25.0)


def open_task(page: Page, pair: Pair, project_id: int, task_id: int) -> None:
    """The labelling view of a task, its image loaded and its pre-annotations drawn."""
    page.goto(f"{pair.label_studio.url}/projects/{project_id}/data?task={task_id}")
    page.wait_for_function(
        "id => window.Htx?.task?.id == id && Htx.annotationStore.selected?.regionStore.regions.length > 0"
        " && [...document.images].some(i => i.src.includes('/v1/images/') && i.complete && i.naturalWidth)",
        arg=task_id,
    )
    page.wait_for_function(
        "(r => r?.shapeRef && r.parent?.stageRef)(Htx.annotationStore.selected.regionStore.regions[0])"
    )
    page.wait_for_function(
        "document.querySelector('.konvajs-content canvas')?.getBoundingClientRect().width > 50"
    )


def settled_place_of(page: Page, index: int) -> dict[str, float]:
    """As `place_of`, once the page has come to rest: Label Studio makes room for its tools after drawing."""
    last: dict[str, float] = {}
    for _ in range(40):
        found = place_of(page, index)
        if found == last:
            break
        last = found
        page.wait_for_timeout(500)
    return last


def place_of(page: Page, index: int) -> dict[str, float]:
    """Where region `index` is drawn: x, y, width, height in pixels of the window.

    Label Studio takes its stage down and up again while it makes room: asked until there is one.
    """
    found = page.wait_for_function(
        "index => { const r = Htx.annotationStore.selected?.regionStore.regions[index];"
        " if (!r?.shapeRef || !r.parent?.stageRef) return null;"
        " const s = r.parent.stageRef.container().getBoundingClientRect();"
        " const b = r.shapeRef.getClientRect({skipStroke: true, skipShadow: true});"
        " return {x: s.x + b.x, y: s.y + b.y, width: b.width, height: b.height} }",
        arg=index,
    )
    place: dict[str, float] = found.json_value()
    return place


def test_a_reviewer_edits_moves_and_submits(pair: Pair, page: Page, tmp_path: Path) -> None:
    dataset, rows = make_review_dataset(tmp_path, 1, 2)
    row = rows[0]
    review = pair.push(dataset)
    (task,) = pair.tasks(review["project_id"])
    open_task(page, pair, review["project_id"], task["id"])

    entries = page.locator(".lsf-outliner-item")
    assert entries.count() == 2
    captions = [entries.nth(place).locator("textarea, input").first for place in range(2)]
    assert [item.input_value() for item in captions] == [region.brief_caption for region in row.regions]
    captions[0].fill("a caption by hand")
    page.keyboard.press("Enter")
    entries.nth(1).locator(".lsf-outliner-item__index").click()
    drawn = settled_place_of(page, 1)
    page.mouse.move(drawn["x"] + drawn["width"] / 2, drawn["y"] + drawn["height"] / 2)
    page.mouse.down()
    page.mouse.move(drawn["x"] + drawn["width"] / 2 - 20, drawn["y"] + drawn["height"] / 2 - 10, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="submit", exact=False).first.click()
    pair.await_review(review["id"], annotations={"submitted": 1})

    found = pair.corrections(review["id"])
    caption = next(entry for entry in found if entry["action"] == "recaptioned")
    moved = next(entry for entry in found if entry["action"] == "moved")
    assert (caption["region_id"], caption["before"]["text"], caption["after"]["text"]) == (
        row.regions[0].region_id,
        row.regions[0].brief_caption,
        "a caption by hand",
    )
    assert moved["region_id"] == row.regions[1].region_id
    (old, new) = (moved[side]["box_xyxy"] for side in ("before", "after"))
    assert new[0] < old[0]
    assert new[2] - new[0] == pytest.approx(old[2] - old[0], abs=STILL_PX)
    assert {entry["action"] for entry in found} == {"recaptioned", "moved", "verdict"}
    assert caption["seconds"] > 0


def test_one_screen_shows_everything_and_keys_are_enough(pair: Pair, page: Page, tmp_path: Path) -> None:
    """At 1366 x 768: every box, its close-up and its caption, the doubtful one first with its reason."""
    (row,) = review_rows(1, tmp_path / "images", 8)
    worst = row.regions[5]
    worst.labels[0].confidence, worst.labels[0].reasons = 0.1, ["another region may be missing"]
    make_dataset(tmp_path / "d", [row])
    review = pair.push(tmp_path / "d")
    size = page.viewport_size
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(f"{pair.label_studio.url}/projects/{review['project_id']}/data?labeling=1")

    captions = page.locator(".lsf-outliner-item textarea")
    expect(captions).to_have_count(len(row.regions))
    expect(captions.first).to_have_value(worst.brief_caption or "")
    expect(page.locator(".fo1-closeups span")).to_have_count(len(row.regions))
    seen = [entry.bounding_box() for entry in [*captions.all(), *page.locator(".fo1-closeups span").all()]]
    for box in [*seen, *(settled_place_of(page, index) for index in range(len(row.regions)))]:
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 1366
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 768
    page.keyboard.press("Alt+.")
    expect(page.locator(".lsf-info")).to_contain_text("another region may be missing")
    page.keyboard.press("Enter")
    expect(captions.first).to_be_focused()
    page.keyboard.type(" by key")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    pair.await_review(review["id"], annotations={"submitted": 1})
    page.set_viewport_size(size or {"width": 1500, "height": 950})

    (caption,) = (e for e in pair.corrections(review["id"]) if e["action"] != "verdict")
    assert (caption["region_id"], caption["after"]["text"]) == (
        worst.region_id,
        f"{worst.brief_caption} by key",
    )


def test_answers_and_examples_in_the_browser(pair: Pair, page: Page, tmp_path: Path) -> None:
    """Left alone they change nothing; edited, deleted and ticked off they come back as corrections."""
    rows = [asked_row(row) for row in review_rows(2, tmp_path / "images")]
    make_dataset(tmp_path / "d", rows)
    review = pair.push(tmp_path / "d")
    tasks = {task["data"]["image_id"]: task["id"] for task in pair.tasks(review["project_id"])}
    open_task(page, pair, review["project_id"], tasks[rows[0].image_id])
    page.get_by_role("button", name="submit", exact=False).first.click()
    pair.await_review(review["id"], annotations={"submitted": 1})
    untouched = pair.corrections(review["id"])
    assert {(entry["action"], entry["right"]) for entry in untouched} == {("verdict", True)}
    assert [entry["kind"] for entry in untouched].count("ask") == 3

    open_task(page, pair, review["project_id"], tasks[rows[1].image_id])
    entries = page.get_by_test_id("htx-textbox-view")
    expect(entries).to_have_text(
        [
            "1. How many shapes? three",
            "2. What colour is box 1 (red square)? red (a dark one)",
            "3. What colour is box 2 (green circle)? blue",
        ],
        use_inner_text=True,  # a line break is a space there; before the page's styles arrive it is nothing
    )
    entries.nth(2).get_by_test_id("htx-textbox-edit-button").click()
    page.locator("textarea:focus").fill("3. What colour is box 2 (green circle)?\ngreen")
    page.keyboard.press("Shift+Enter")
    entries.nth(0).get_by_test_id("htx-textbox-delete-button").click()
    page.locator(".lsf-outliner-item").nth(1).locator(".lsf-outliner-item__index").click()
    page.locator("input[name='more like box 1 (red square)']").uncheck()
    page.get_by_role("button", name="submit", exact=False).first.click()
    pair.await_review(review["id"], annotations={"submitted": 2})

    found = [entry for entry in pair.corrections(review["id"]) if entry["image_id"] == rows[1].image_id]
    first, second = (region.region_id for region in rows[1].regions)
    asked = {entry["before"]["text"]: entry for entry in found if entry["kind"] == "ask"}
    assert asked["blue"]["action"] == "answered"
    assert (asked["blue"]["region_id"], asked["blue"]["after"]["text"]) == (second, "green")
    assert asked["three"]["right"] is False
    assert asked["red\n(a dark one)"]["right"] is True
    (example,) = (entry for entry in found if entry["kind"] == "visual_example")
    assert (example["action"], example["subject"], example["after"]) == (
        "regrounded",
        first,
        {"region_ids": []},
    )


def test_clicks_into_fields_say_nothing_and_a_copy_in_place_is_a_second_region(
    pair: Pair, page: Page, tmp_path: Path
) -> None:
    """Texts with line breaks survive in every field; the copy (Ctrl+D) gets a caption of its own."""
    (row,) = review_rows(1, tmp_path / "images", 1)
    texts = {
        LabelKind.BRIEF_CAPTION: "red\nsquare",
        LabelKind.DETAILED_CAPTION: "a first line\na second one",
        LabelKind.OCR: "STOP\nHERE",
    }
    labels = [Label(kind=kind, text=text, decision=Decision.REVIEW) for kind, text in texts.items()]
    brief, detailed, ocr = texts.values()
    columns = {"labels": labels, "brief_caption": brief, "detailed_caption": detailed, "text": ocr}
    region = row.regions[0].model_copy(update=columns)
    row = row.model_copy(update={"regions": [region], "groundings": [], "caption": "a scene\nof shapes"})
    make_dataset(tmp_path / "d", [row])
    review = pair.push(tmp_path / "d")
    (task,) = pair.tasks(review["project_id"])
    open_task(page, pair, review["project_id"], task["id"])

    entries = page.locator(".lsf-outliner-item")
    entries.first.locator(".lsf-outliner-item__index").click()
    for button in page.get_by_test_id("htx-textbox-edit-button").all():
        button.click()
        expect(page.locator("textarea:focus")).to_have_value(re.compile("\n"))
        page.keyboard.press("Tab")
    caption = entries.first.locator("textarea, input").first
    expect(caption).to_have_value(brief)
    caption.click()
    page.keyboard.press("Tab")
    expect(caption).to_have_value(brief)
    page.evaluate("document.activeElement.blur()")  # the keys are those of the region that is still chosen
    page.wait_for_function("Htx.annotationStore.selected.regionStore.selection.size == 1")
    page.keyboard.press("Control+d")
    expect(entries).to_have_count(2)
    captions = entries.locator("textarea, input")
    captions.last.fill("a shadow")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="submit", exact=False).first.click()
    pair.await_review(review["id"], annotations={"submitted": 1})

    found = pair.corrections(review["id"])
    first, second = region.region_id, f"{region.region_id}/2"
    of_first = [part for part in found if part.get("region_id") == first]
    assert [(part["action"], part["kind"], part["right"]) for part in of_first] == [
        ("verdict", kind, True) for kind in texts
    ]
    assert [part["right"] for part in found if part.get("kind") == "grounded_caption"] == [True]
    of_second = {
        part.get("kind") or part["action"]: part for part in found if part.get("region_id") == second
    }
    assert of_second["added"]["after"]["box_xyxy"] == pytest.approx(region.box_xyxy, abs=STILL_PX)
    assert of_second["brief_caption"]["after"]["text"] == "a shadow"


def test_what_the_browser_submits_unedited_changes_nothing(pair: Pair, page: Page, tmp_path: Path) -> None:
    """A huge image, shown in three views, with boxes at its borders and a hair wide: the browser's own
    arithmetic is in the loop."""
    data = _png(Image.new("L", (20_000, 3_000), 128))
    (tmp_path / "huge.png").write_bytes(data)
    boxes = [(0.0, 0.0, 20_000.0, 3_000.0), (19_999.0, 2_998.5, 20_000.0, 3_000.0), (0.0, 0.1, 0.3, 0.7),
             (1234.567, 89.01, 1239.125, 2345.678)]  # fmt: skip
    row = _row(data, str(tmp_path / "huge.png"), 20_000, 3_000, boxes, "  odd  text, „quoted“ <b>&amp;  ")
    make_dataset(tmp_path / "d", [row])
    review = pair.push(tmp_path / "d")
    tasks = pair.tasks(review["project_id"])
    assert len(tasks) == 3
    for number, task in enumerate(tasks, start=1):
        open_task(page, pair, review["project_id"], task["id"])
        page.get_by_role("button", name="submit", exact=False).first.click()
        pair.await_review(review["id"], annotations={"submitted": number})

    found = pair.corrections(review["id"])
    assert {entry["action"] for entry in found} == {"verdict"}
    assert len(found) == len(boxes)
    assert all(entry["right"] for entry in found)
    assert {entry["before"]["text"] for entry in found} == {row.regions[0].brief_caption}


def test_boxes_are_drawn_on_their_pixels_in_all_eight_orientations(
    pair: Pair, page: Page, tmp_path: Path
) -> None:
    """The picture's one red patch lies under the box of the upright frame, as the browser draws both."""
    rows = []
    for orientation in range(1, 9):
        data = _turned(orientation)
        path = tmp_path / f"{orientation}.jpg"
        path.write_bytes(data)
        rows.append(_row(data, str(path), 120, 80, [PATCH], "red patch", orientation))
    make_dataset(tmp_path / "d", rows)
    assert [row.orientation for row in open_dataset(str(tmp_path / "d")).rows()] == list(range(1, 9))
    review = pair.push(tmp_path / "d")
    tasks = {task["data"]["image_id"]: task["id"] for task in pair.tasks(review["project_id"])}
    for row in rows:
        open_task(page, pair, review["project_id"], tasks[row.image_id])
        drawn = settled_place_of(page, 0)
        image: dict[str, Any] = page.evaluate(
            "() => { const i = [...document.images].find(i => i.src.includes('/v1/images/'));"
            " return {width: i.naturalWidth, height: i.naturalHeight} }"
        )
        assert (image["width"], image["height"]) == (120, 80), row.orientation
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        for x, y, inside in _probes(drawn):
            red, green, _ = shot.getpixel((round(x), round(y)))  # type: ignore[misc]
            assert (red - green > 60) is inside, (row.orientation, x, y, inside)


def _probes(drawn: dict[str, float]) -> list[tuple[float, float, bool]]:
    """Points just inside and just outside the four sides of a drawn box."""
    x, y, w, h = (drawn[name] for name in ("x", "y", "width", "height"))
    middle_x, middle_y = x + w / 2, y + h / 2
    gap = 9
    return [
        (x + gap, middle_y, True), (x - gap, middle_y, False), (x + w - gap, middle_y, True),
        (x + w + gap, middle_y, False), (middle_x, y + gap, True), (middle_x, y - gap, False),
        (middle_x, y + h - gap, True), (middle_x, y + h + gap, False),
    ]  # fmt: skip


def _turned(orientation: int) -> bytes:
    """A JPEG that is 120 x 80 upright with a red patch at PATCH, stored turned, with its EXIF orientation."""
    upright = Image.new("RGB", (120, 80), (40, 120, 60))
    upright.paste((230, 20, 20), tuple(int(side) for side in PATCH))  # type: ignore[arg-type]
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if back is None else upright.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "JPEG", quality=98, exif=exif, subsampling=0)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _row(
    data: bytes,
    uri: str,
    width: int,
    height: int,
    boxes: list[tuple[float, float, float, float]],
    text: str,
    orientation: int = 1,
) -> ImageRow:
    image_id = image_id_of(data)
    regions = []
    for index, box in enumerate(boxes):
        label = Label(kind=LabelKind.BRIEF_CAPTION, text=text, decision=Decision.REVIEW)
        regions.append(
            Region(
                region_id=make_region_id(image_id, box),
                index=index,
                box_xyxy=box,
                box_source=Source.CORPUS,
                brief_caption=text,
                decision=Decision.REVIEW,
                labels=[label],
            )
        )
    return ImageRow(
        image_id=image_id,
        uri=uri,
        uris=[uri],
        corpus="made-up",
        split="train",
        image=EncodedImage(path=uri),
        width=width,
        height=height,
        orientation=orientation,
        regions=regions,
        decision=Decision.REVIEW,
    )
