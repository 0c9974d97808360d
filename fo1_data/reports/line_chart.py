"""Several series over the steps of a run as inline SVG, with a legend.

Colours come from the page's CSS classes, so that they follow its theme. Every text is escaped; nothing is
fetched.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from fo1_data.reports.curves import Points, thinned

WIDTH, HEIGHT = 460, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 26, 34
_TICKS = 4


@dataclass(frozen=True)
class Series:
    """A named line of (step, value). `style`: its CSS class."""

    name: str
    points: Points
    style: str = ""


def line_chart(series: Sequence[Series], y_name: str, *, top: float | None = None) -> str:
    """The series as an SVG element. `top`: a value to show at least up to; None: all of them."""
    drawn = [part for part in series if part.points]
    if not drawn:
        return '<p class="nothing">Nothing to show.</p>'
    last_step = max(1.0, *(step for part in drawn for step, _ in part.points))
    top = _round_up(max(value for part in drawn for _, value in part.points) if top is None else top)
    label = escape("; ".join(f"{part.name}: {part.points[-1][1]:.3g}" for part in drawn))
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_name)}, {label}"'
    parts = [f'<svg class="chart curve" {box}>']
    for tick in range(_TICKS + 1):
        share = tick / _TICKS
        x, y = _to_svg(share, share)
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="last" x="{_LEFT - 5}" y="{y + 3:.1f}">{share * top:.3g}</text>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 20}">{share * last_step:,.0f}</text>')
    parts.append(f'<text class="tick" x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 5}">step</text>')
    legend_x = float(_LEFT)
    for part in drawn:
        svg_points = [
            _to_svg(step / last_step, min(1.0, value / top)) for step, value in thinned(part.points)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in svg_points)
        parts.append(f'<polyline class="line {part.style}" points="{path}"/>')
        if len(svg_points) == 1:
            (x, y), *_ = svg_points
            parts.append(f'<circle class="dot-mark {part.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        parts.append(f'<line class="line {part.style}" x1="{legend_x}" x2="{legend_x + 16}" y1="9" y2="9"/>')
        parts.append(f'<text class="first" x="{legend_x + 20}" y="12">{escape(part.name)}</text>')
        legend_x += 34 + 5.6 * len(part.name)
    return "".join([*parts, "</svg>"])


def _round_up(value: float) -> float:
    """The next number of the form 1, 2 or 5 times a power of ten."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999)


def _to_svg(x_share: float, y_share: float) -> tuple[float, float]:
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    return _LEFT + width * x_share, _TOP + height * (1 - y_share)
