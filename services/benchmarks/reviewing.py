"""How long a person needs to review an image in Label Studio, measured by a scripted reviewer in Chromium.

Two tasks: confirm an image of 12 right captions, and correct the one wrong caption of another. The reviewer
goes through the list of regions; for each, it finds the box, reads the caption and compares. To find the box
it points at the entry (`mouse`), goes to the next box by key (`keys`), or looks at its close-up (`closeups`).
Without a turn of the wheel it sees what the window of 1366 x 768 shows.
"""

import functools
import http.server
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

from fo1_data.errors import RunError
from schemas.images import ImageRow
from services.benchmarks.review_place import label_studio
from services.benchmarks.reviewer_hand import Hand
from services.benchmarks.reviewer_scenes import NUM_REGIONS, WRONG, write_scenes
from services.label_studio.convert import ls_task
from services.label_studio.labelling_config import label_config
from services.label_studio.server import USERNAME
from services.label_studio.shown import fields_of
from services.label_studio.shown_from_rows import shown_image

WINDOW = {"width": 1366, "height": 768}
WAYS = ("mouse", "keys", "closeups")
_RIGHT_WORD = "dotted"
_READY = """
last => {
  const r = window.Htx?.annotationStore?.selected?.regionStore?.regions;
  return r && Htx.task?.id != last && r?.length > 0 && r.every(x => x.shapeRef && x.parent?.stageRef)
    && document.querySelectorAll('.lsf-outliner-item').length > 0;
}
"""
_WORD_AT = """
(field, index) => {
  const style = getComputedStyle(field), pen = document.createElement('canvas').getContext('2d');
  pen.font = style.font;
  const words = field.value.split(' ');
  const before = pen.measureText(words.slice(0, index).join(' ') + ' ').width;
  return parseFloat(style.paddingLeft) + before + pen.measureText(words[index]).width / 2;
}
"""


def measure_reviewing(
    num_tasks: int = 20, ways: Sequence[str] = WAYS, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Return the figures of each way, for `num_tasks` of each task, in a Label Studio started for it.

    Raises RunError.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise RunError("Chromium is absent: the scripted reviewer needs a browser")
    with (
        tempfile.TemporaryDirectory(prefix="fo1-bench-") as folder,
        label_studio(None, None, Path(folder)) as ((url, token), started),
        _images(Path(folder) / "images") as (images, image_url),
        sync_playwright() as playwright,
    ):
        rows = write_scenes(images, num_tasks)
        password = started.running.password if started is not None else ""
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        figures = {}
        for way in ways:
            project = _make_project(url, token, rows, image_url)
            page = browser.new_page(viewport=WINDOW)  # type: ignore[arg-type]
            page.set_default_timeout(60_000)
            _log_in(page, url, password)
            figures[way] = _review_all(page, f"{url}/projects/{project}/data?labeling=1", way, 2 * num_tasks)
            page.close()
            say(f"{way}: {figures[way]}")
        browser.close()
    return figures


@contextmanager
def _images(folder: Path) -> Iterator[tuple[Path, str]]:
    """Serve a new folder on loopback; yield it and its address."""
    folder.mkdir()

    class Silent(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            """Let Label Studio's page read the image."""
            self.send_header("Access-Control-Allow-Origin", "*")
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    handler = functools.partial(Silent, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield folder, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _make_project(url: str, token: str, rows: Sequence[ImageRow], image_url: str) -> int:
    shown = [shown_image(row) for row in rows]
    config = label_config(set().union(*(fields_of(part) for part in shown)))
    tasks = [ls_task(part, part.image_id, f"{image_url}/{part.image_id}.png", "fo1-tiny") for part in shown]
    headers = {"Authorization": f"Token {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=120) as http_client:
        body = {"title": "reviewing", "label_config": config, "show_collab_predictions": True}
        project = http_client.post("/api/projects", json=body).raise_for_status().json()["id"]
        made = http_client.post(f"/api/projects/{project}/import", json=tasks).raise_for_status().json()
    if made["prediction_count"] != len(tasks):
        raise RunError("Label Studio has lost the predictions of its tasks: measure again")
    return int(project)


def _log_in(page: Page, url: str, password: str) -> None:
    page.goto(f"{url}/user/login/")
    page.fill("input[name=email]", USERNAME)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")


def _review_all(page: Page, address: str, way: str, num_tasks: int) -> dict[str, Any]:
    hands: dict[bool, list[Hand]] = {False: [], True: []}
    page.goto(address)
    last = None
    for number in range(num_tasks):
        page.wait_for_function(_READY, arg=last)
        last = page.evaluate("Htx.task.id")
        hand = Hand(page)
        has_wrong = _review(hand, way)
        start = time.monotonic()
        hand.press("Control+Enter") if way != "mouse" else hand.click(
            page.get_by_test_id("bottombar-submit-button")
        )
        if number + 1 < num_tasks:
            page.wait_for_function(_READY, arg=last)
        hand.wait_from(start)
        hands[has_wrong].append(hand)
    return {"confirm": _figures(hands[False]), "correct": _figures(hands[True])}


def _review(hand: Hand, way: str) -> bool:
    """Check the boxes of the task on the page in turn, and correct a wrong caption; True if there was one."""
    page = hand.page
    found = False
    hand.bring_to_view(page.locator(".konvajs-content").first, page.locator(".lsf-main-view").first)
    for number in range(1, NUM_REGIONS + 1):
        index = page.locator(f".lsf-outliner-item__index:text-is('{number}')")
        entry = page.locator(".lsf-outliner-item").filter(has=index)
        hand.bring_to_view(entry, page.locator(".lsf-outliner-tree"))
        if way == "mouse":
            hand.point(entry)
        elif way == "keys":
            hand.press("Alt+.")
        else:
            closeups = page.locator(".fo1-closeups")
            hand.bring_to_view(closeups.locator("span").nth(number - 1), closeups)
        field = entry.locator("textarea, input").first
        text = field.input_value()
        hand.compare(text)
        if WRONG in text:
            found = True
            hand.double_click(field, field.evaluate(_WORD_AT, text.split().index(WRONG)))
            hand.write(_RIGHT_WORD)
            hand.press("Enter")
            hand.corrected_s = hand.person_s
    return found


def _figures(hands: Sequence[Hand]) -> dict[str, float]:
    corrected = [hand.corrected_s for hand in hands if hand.corrected_s is not None]
    return {
        "tasks": len(hands),
        **({"corrected_after_s": round(mean(corrected), 1)} if corrected else {}),
        "person_s": round(mean(hand.person_s for hand in hands), 1),
        "inputs": round(mean(hand.num_inputs for hand in hands), 1),
        "pointings": round(mean(hand.counts["pointings"] for hand in hands), 1),
        "scrolls": round(mean(hand.counts["scrolls"] for hand in hands), 1),
        "waited_s": round(mean(hand.waited_s for hand in hands), 1),
    }


def reviewing_summary(figures: dict[str, Any]) -> str:
    """Return the figures in a line for each way."""
    return "\n".join(
        f"reviewing    {way}: confirm an image of {NUM_REGIONS} regions in {part['confirm']['person_s']} s"
        f" and {part['confirm']['inputs']} inputs; correct the wrong caption after"
        f" {part['correct'].get('corrected_after_s')} s, whole image {part['correct']['person_s']} s;"
        f" the page's own waiting {part['confirm']['waited_s']} s"
        for way, part in figures.items()
    )
