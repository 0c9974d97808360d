"""A reviewer's hand in a browser: does what a person does, counts it, and says how long a person takes.

The seconds are those of the keystroke-level model (Card, Moran and Newell, "The Keystroke-Level Model for
User Performance Time with Interactive Systems", 1980): a key 0.28 s, pointing 1.1 s, pressing or releasing a
mouse button 0.1 s, moving the hand between mouse and keyboard 0.4 s, and 1.35 s to compare or decide. Its
authors have no value for a turn of the wheel (taken as 1 s a screen) and for reading (0.25 s a word).
"""

import time
from collections import Counter

from playwright.sync_api import Locator, Page

from fo1_data.errors import RunError

KEY_S, POINT_S, BUTTON_S, HOME_S, DECIDE_S, SCROLL_S, WORD_S = 0.28, 1.1, 0.1, 0.4, 1.35, 1.0, 0.25
_SECONDS = {
    "keys": KEY_S,
    "pointings": POINT_S,
    "buttons": BUTTON_S,
    "changes_of_hand": HOME_S,
    "decisions": DECIDE_S,
    "scrolls": SCROLL_S,
    "words": WORD_S,
}
_SEES = """
(e, least) => {
  const r = e.getBoundingClientRect();
  let [x0, y0, x1, y1] = [r.left, r.top, r.right, r.bottom];
  for (let p = e.parentElement; p; p = p.parentElement) {
    if (getComputedStyle(p).overflow === 'visible') continue;
    const b = p.getBoundingClientRect();
    [x0, y0] = [Math.max(x0, b.left), Math.max(y0, b.top)];
    [x1, y1] = [Math.min(x1, b.right), Math.min(y1, b.bottom)];
  }
  const seen = Math.max(0, Math.min(x1, innerWidth) - Math.max(x0, 0))
    * Math.max(0, Math.min(y1, innerHeight) - Math.max(y0, 0));
  return seen >= least * r.width * r.height;
}
"""


class Hand:
    """Acts on a page and counts. `waited_s`: real seconds in which the page kept the person waiting.

    `corrected_s`: what the model's seconds were when the reviewer had corrected a caption.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.counts: Counter[str] = Counter()
        self.waited_s = 0.0
        self.corrected_s: float | None = None
        self._at_mouse = True

    @property
    def person_s(self) -> float:
        """Return the seconds of the model, without waiting."""
        return sum(seconds * self.counts[name] for name, seconds in _SECONDS.items())

    @property
    def num_inputs(self) -> int:
        """Return the number of clicks, keys and turns of the wheel; a key with modifiers counts once."""
        return self.counts["buttons"] // 2 + self.counts["presses"] + self.counts["scrolls"]

    def point(self, target: Locator) -> None:
        """Move the mouse to a target."""
        self._use(mouse=True)
        self.counts["pointings"] += 1
        target.hover()

    def click(self, target: Locator) -> None:
        """Point at a target and click it."""
        self.point(target)
        self.counts["buttons"] += 2
        target.click()

    def double_click(self, target: Locator, x: float) -> None:
        """Double-click a target, `x` pixels from its left side."""
        self.point(target)
        self.counts["buttons"] += 4
        target.dblclick(position={"x": x, "y": 8})

    def press(self, key: str) -> None:
        """Press a key; each modifier is a key of its own."""
        self._use(mouse=False)
        self.counts["keys"] += key.count("+") + 1
        self.counts["presses"] += 1
        self.page.keyboard.press(key)

    def write(self, text: str) -> None:
        """Type a text."""
        self._use(mouse=False)
        self.counts["keys"] += len(text)
        self.counts["presses"] += len(text)
        self.page.keyboard.type(text)

    def compare(self, text: str) -> None:
        """Read a text and compare it with the picture."""
        self.counts["words"] += len(text.split())
        self.counts["decisions"] += 1

    def bring_to_view(self, target: Locator, area: Locator, least: float = 0.9) -> None:
        """Turn the wheel over `area`, most of a screen each time, until this share of the target is seen."""
        turns = 0
        while not (target.count() and target.evaluate(_SEES, least)):
            if not turns:
                self.point(area)
            height = (area.bounding_box() or {"height": 0.0})["height"]
            self.page.mouse.wheel(0, 0.8 * min(height, self.page.viewport_size["height"]))  # type: ignore[index]
            self.page.wait_for_timeout(150)  # a wheel's turn has no end that could be waited for
            turns += 1
            if turns > 60:
                raise RunError("the page cannot be scrolled to what the reviewer looks for")
        self.counts["scrolls"] += turns

    def wait_from(self, start: float) -> None:
        """Count the seconds since `start` (of `time.monotonic`) as waiting."""
        self.waited_s += time.monotonic() - start

    def _use(self, *, mouse: bool) -> None:
        self.counts["changes_of_hand"] += self._at_mouse != mouse
        self._at_mouse = mouse
