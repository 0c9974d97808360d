"""Bar charts as inline SVG, and the binning behind them. Every text is escaped; nothing is fetched.

Colours come from the page's CSS classes (`bar`, `axis`, `value`), so that they follow its theme.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from fo1_data.plurals import counted

WIDTH, HEIGHT = 290, 140
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 18, 24
# About how wide a character is.
_CHARACTER = 6


@dataclass(frozen=True)
class Bar:
    """A bar with the label under it."""

    label: str
    value: int


def whole_number_bars(counts: Counter[int], most_bars: int = 24) -> list[Bar]:
    """A bar for each whole number from the lowest to the highest; neighbours are merged if there are more
    than `most_bars`."""
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
    """Bars of `num_bins` equal bins from 0 % to 100 %. `counts`: values by the number of the bin, from 0."""
    edges = [round(100 * number / num_bins) for number in range(num_bins + 1)]
    return [Bar(f"{edges[number]}–{edges[number + 1]} %", counts[number]) for number in range(num_bins)]


def bins_of_shares(shares: npt.NDArray[np.float64], num_bins: int) -> Counter[int]:
    """How many shares from 0 to 1 are in each bin; values outside go to the first or the last bin."""
    numbers = np.clip(shares * num_bins, 0, num_bins - 1).astype(np.int64)
    return Counter(numbers.tolist())


def bar_chart(bars: Sequence[Bar], unit: str) -> str:
    """A bar chart as an SVG element. `unit` names one of what is counted ("image"), also in tooltips."""
    if not bars or not any(bar.value for bar in bars):
        return '<p class="nothing">Nothing to show.</p>'
    top = max(bar.value for bar in bars)
    slot = (WIDTH - _LEFT - _RIGHT) / len(bars)
    height = HEIGHT - _TOP - _BOTTOM
    description = escape(_description(bars, unit))
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{description}">']
    labelled = _bars_with_label(bars, slot)
    for number, bar in enumerate(bars):
        bar_height = max(height * bar.value / top, 1.5 if bar.value else 0)
        x, y = _LEFT + number * slot, _TOP + height - bar_height
        centre = x + slot / 2
        width = min(max(slot - 2, 1), 44)
        tooltip = escape(f"{bar.label}: {counted(bar.value, unit)}")
        parts.append(
            f'<g><title>{tooltip}</title><rect class="hit" x="{x:.1f}" y="{_TOP}" width="{slot:.1f}" '
            f'height="{height}"/><rect class="bar" x="{centre - width / 2:.1f}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{bar_height:.1f}" rx="2"/>'
        )
        value = _short(bar.value)
        fits = len(value) * _CHARACTER <= slot or len(bars) <= 10
        if bar.value and (bar.value == top or fits):
            parts.append(f'<text class="value" x="{centre:.1f}" y="{y - 4:.1f}">{value}</text>')
        if number in labelled:
            half_width = 3 * len(bar.label)
            css_class, label_x = "tick", centre
            if centre < half_width:
                css_class, label_x = "first", x
            elif centre > WIDTH - half_width:
                css_class, label_x = "last", x + slot
            label = escape(bar.label)
            parts.append(f'<text class="{css_class}" x="{label_x:.1f}" y="{HEIGHT - 8}">{label}</text>')
        parts.append("</g>")
    base = _TOP + height
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base}" y2="{base}"/></svg>')
    return "".join(parts)


def _bars_with_label(bars: Sequence[Bar], slot: float) -> set[int]:
    """The numbers of the bars whose labels fit side by side."""
    longest = max(len(bar.label) for bar in bars)
    step = max(1, math.ceil((longest * _CHARACTER + 8) / slot))
    return set(range(0, len(bars), step))


def _short(value: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= 10 * size:
            return f"{value / size:.0f}{letter}"
        if value >= size:
            return f"{value / size:.1f}{letter}"
    return str(value)


def _description(bars: Sequence[Bar], unit: str) -> str:
    """The chart in words, for screen readers."""
    values = ", ".join(f"{bar.label}: {bar.value}" for bar in bars if bar.value)
    return f"{unit}s. {values}"
