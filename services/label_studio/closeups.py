"""Close-ups of the boxes of an image, as the HTML that Label Studio shows beside it.

With them a reviewer compares a box with its caption without looking for it in the image, and reads what is
small there. Each is a part of the one image, cut by the browser: nothing is made or stored. They have the
numbers of the list of regions. Boxes: absolute pixels of the EXIF-oriented image. Pure functions.
"""

import html

from schemas.regions import Box
from services.label_studio.shown import ShownImage

_MAX_WIDTH_PX, _MAX_HEIGHT_PX = 200, 54
_MAX_CLOSEUPS = 300
# How much around a box is shown: this share of its shorter side, at least so many pixels of the image.
_MARGIN, _MIN_MARGIN_PX = 0.15, 2.0


def closeups_html(shown: ShownImage, image_url: str) -> str:
    """Return the close-ups of the first boxes, in the order of the list; a text if there are no boxes."""
    if not shown.regions:
        return "No boxes."
    width, height = shown.picture_wh
    size = f'width="{width}" height="{height}"'
    image = f'<image id="fo1-picture" href="{html.escape(image_url)}" {size}/>'
    parts = [
        f"<span><b>{number}</b>{_part(shown.in_picture(region.box_xyxy))}</span>"
        for number, region in enumerate(shown.regions[:_MAX_CLOSEUPS], start=1)
    ]
    return f'<svg width="0" height="0"><defs>{image}</defs></svg>{"".join(parts)}'


def _part(box_xyxy: Box) -> str:
    x_min, y_min, x_max, y_max = box_xyxy
    margin = max(_MIN_MARGIN_PX, _MARGIN * min(x_max - x_min, y_max - y_min))
    width, height = x_max - x_min + 2 * margin, y_max - y_min + 2 * margin
    zoom = min(_MAX_WIDTH_PX / width, _MAX_HEIGHT_PX / height)
    view = f"{x_min - margin:.2f} {y_min - margin:.2f} {width:.2f} {height:.2f}"
    size = f'width="{max(1.0, width * zoom):.0f}" height="{max(1.0, height * zoom):.0f}"'
    return f'<svg viewBox="{view}" {size}><use href="#fo1-picture"/></svg>'
