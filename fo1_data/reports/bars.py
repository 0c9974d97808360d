"""Small charts as inline SVG, and the counting behind them. Escapes every text; loads nothing.

Colours come from the page's CSS classes (`bar`, `axis`, `value`), so that they follow its theme.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 290, 140
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 18, 24


@dataclass(frozen=True)
class Bar:
    """One bar: the label under it, its value, and what a tooltip says."""

    label: str
    value: int
    hint: str = ""


def whole_number_bars(counts: Counter[int], most_bars: int = 24) -> list[Bar]:
    """Bars of whole numbers from the least to the greatest; evenly joined where there are too many."""
    if not counts:
        return []
    low, high = min(counts), max(counts)
    step = max(1, math.ceil((high - low + 1) / most_bars))
    bars = []
    for start in range(low, high + 1, step):
        value = sum(counts[number] for number in range(start, start + step))
        label = str(start) if step == 1 else f"{start}–{start + step - 1}"
        bars.append(Bar(label, value))
    return bars


def share_bars(counts: Counter[int], num_bins: int) -> list[Bar]:
    """Bars of shares of 1 in `num_bins` equal bins; `counts` has the bins' numbers from 0."""
    edges = [round(100 * number / num_bins) for number in range(num_bins + 1)]
    return [Bar(f"{edges[number]}–{edges[number + 1]} %", counts[number]) for number in range(num_bins)]


def bin_of_share(share: float, num_bins: int) -> int:
    """The bin of a share from 0 to 1; what lies outside goes to the end bins."""
    return min(num_bins - 1, max(0, int(share * num_bins)))


def bar_chart(bars: Sequence[Bar], what: str) -> str:
    """A column chart as an SVG element. `what` names the bars' values ("images"), in tooltips too."""
    if not bars or not any(bar.value for bar in bars):
        return '<p class="nothing">Nothing to show.</p>'
    top = max(bar.value for bar in bars)
    slot = (WIDTH - _LEFT - _RIGHT) / len(bars)
    height = HEIGHT - _TOP - _BOTTOM
    told = escape(_read_out(bars, what))
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">']
    labelled = _labelled(bars, slot)
    for number, bar in enumerate(bars):
        tall = max(height * bar.value / top, 1.5 if bar.value else 0)
        x, y = _LEFT + number * slot, _TOP + height - tall
        centre = x + slot / 2
        width = min(max(slot - 2, 1), 44)
        tip = escape(f"{bar.label}: {bar.value:,} {what}")
        parts.append(
            f'<g><title>{tip}</title><rect class="hit" x="{x:.1f}" y="{_TOP}" width="{slot:.1f}" '
            f'height="{height}"/><rect class="bar" x="{centre - width / 2:.1f}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{tall:.1f}" rx="2"/>'
        )
        if bar.value and (bar.value == top or len(bars) <= 10):
            parts.append(f'<text class="value" x="{centre:.1f}" y="{y - 4:.1f}">{_short(bar.value)}</text>')
        if number in labelled:
            half = 3 * len(bar.label)
            place, at = ("tick", centre)
            if centre < half:
                place, at = "first", x
            elif centre > WIDTH - half:
                place, at = "last", x + slot
            parts.append(f'<text class="{place}" x="{at:.1f}" y="{HEIGHT - 8}">{escape(bar.label)}</text>')
        parts.append("</g>")
    base = _TOP + height
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base}" y2="{base}"/></svg>')
    return "".join(parts)


def _labelled(bars: Sequence[Bar], slot: float) -> set[int]:
    """The bars whose labels fit side by side (a character is about 6 units wide)."""
    longest = max(len(bar.label) for bar in bars)
    every = max(1, math.ceil((longest * 6 + 8) / slot))
    return set(range(0, len(bars), every))


def _short(value: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= 10 * size:
            return f"{value / size:.0f}{letter}"
        if value >= size:
            return f"{value / size:.1f}{letter}"
    return str(value)


def _read_out(bars: Sequence[Bar], what: str) -> str:
    told = ", ".join(f"{bar.label}: {bar.value}" for bar in bars if bar.value)
    return f"{what}. {told}"
