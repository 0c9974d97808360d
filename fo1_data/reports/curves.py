"""Curves as inline SVG, with both axes shares from 0 to 1: reliability, risk and coverage.

Colours come from the page's CSS classes, so that they follow its theme. Every text is escaped; nothing is
fetched.
"""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 290, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 18, 10, 32

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
    """One curve as an SVG element. `most_y`: the top of the y axis; `diagonal`: also draw the line x = y;
    `dots`: mark each point, with a tooltip; a single point is always marked."""
    if not points:
        return '<p class="nothing">Nothing to show.</p>'
    values = ", ".join(f"{x:.2f} {y:.3f}" for x, y in points[:: max(1, len(points) // 8)])
    label = escape(f"{y_name} by {x_name}: {values}")
    parts = [f'<svg class="chart curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
    for step in range(5):
        share = step / 4
        x, y = _to_svg(share, share * most_y, most_y)
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="last" x="{_LEFT - 4}" y="{y + 3:.1f}">{_percent(share * most_y)}</text>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 19}">{_percent(share)}</text>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 5}">{escape(x_name)}</text>')
    if diagonal:
        (x0, y0), (x1, y1) = _to_svg(0, 0, most_y), _to_svg(1, 1, most_y)
        parts.append(f'<line class="ideal" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>')
    svg_points = [_to_svg(x, y, most_y) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in svg_points)
    parts.append(f'<polyline class="line" points="{path}"/>')
    if dots or len(points) == 1:
        for (x, y), (cx, cy) in zip(points, svg_points, strict=True):
            tooltip = escape(f"{x_name} {_percent(x)}: {y_name} {_percent(y)}")
            circle = f'<circle class="dot-mark" cx="{cx:.1f}" cy="{cy:.1f}" r="3">'
            parts.append(f"{circle}<title>{tooltip}</title></circle>")
    return "".join([*parts, "</svg>"])


def top_of_axis(points: Points) -> float:
    """The smallest round share that is not below any point."""
    most = max((y for _, y in points), default=1.0)
    return next((top for top in (0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8) if most <= top), 1.0)


def thinned(points: Points, most: int = 160) -> list[tuple[float, float]]:
    """About `most` of the points, evenly spaced, always with the last one."""
    step = max(1, -(-len(points) // most))
    return [*points[::step], *([points[-1]] if points and (len(points) - 1) % step else [])]


def _to_svg(x: float, y: float, most_y: float) -> tuple[float, float]:
    """A point of the axes in SVG units."""
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    return _LEFT + width * x, _TOP + height * (1 - min(1.0, y / most_y))


def _percent(share: float) -> str:
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or value == round(value) else f"{value:.1f} %"
