"""Curves of shares against shares (0 to 1) as inline SVG: reliability, risk and coverage. Loads nothing.

Colours come from the page's CSS classes, so that they follow its theme; every text is escaped.
"""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 290, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 10, 32

Points = Sequence[tuple[float, float]]


def curve_chart(
    points: Points,
    x_name: str,
    y_name: str,
    *,
    most_y: float = 1.0,
    diagonal: bool = False,
    dots: bool = False,
) -> str:
    """One curve. `most_y`: the top of the y axis; `diagonal`: also the line where both are equal."""
    if not points:
        return '<p class="nothing">Nothing to show.</p>'
    told = escape(f"{y_name} by {x_name}: " + ", ".join(f"{x:.2f} {y:.3f}" for x, y in _few(points)))
    parts = [f'<svg class="chart curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">']
    for step in range(5):
        share = step / 4
        x, y = _place(share, share * most_y, most_y)
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="last" x="{_LEFT - 4}" y="{y + 3:.1f}">{_percent(share * most_y)}</text>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 19}">{_percent(share)}</text>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 5}">{escape(x_name)}</text>')
    if diagonal:
        (x0, y0), (x1, y1) = _place(0, 0, most_y), _place(1, 1, most_y)
        parts.append(f'<line class="ideal" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>')
    placed = [_place(x, y, most_y) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts.append(f'<polyline class="line" points="{path}"/>')
    if dots:
        for (x, y), (px, py) in zip(points, placed, strict=True):
            tip = escape(f"{x_name} {_percent(x)}: {y_name} {_percent(y)}")
            parts.append(
                f'<circle class="dot-mark" cx="{px:.1f}" cy="{py:.1f}" r="3"><title>{tip}</title></circle>'
            )
    return "".join([*parts, "</svg>"])


def top_of_axis(points: Points) -> float:
    """The least round share that no point is above."""
    most = max((y for _, y in points), default=1.0)
    return next((top for top in (0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8) if most <= top), 1.0)


def thinned(points: Points, most: int = 160) -> list[tuple[float, float]]:
    """At most `most` of the points, evenly, the last one kept."""
    step = max(1, -(-len(points) // most))
    return [*points[::step], *([points[-1]] if points and (len(points) - 1) % step else [])]


def _place(x: float, y: float, most_y: float) -> tuple[float, float]:
    wide, tall = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    return _LEFT + wide * x, _TOP + tall * (1 - min(1.0, y / most_y))


def _percent(share: float) -> str:
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or value == round(value) else f"{value:.1f} %"


def _few(points: Points) -> Points:
    return points[:: max(1, len(points) // 8)]
