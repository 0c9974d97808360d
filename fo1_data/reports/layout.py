"""How much room the card of an image takes: estimates in CSS pixels, for a window of about 1400 pixels.

The page uses them for three choices: whether a card takes the whole width or half of it, how high its picture
is, and how many phrases and regions it lists before a button shows the rest. So that a card with two captions
is not as high as one with fifty, and none is mostly empty. Narrow windows have one column (report.css).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Inner widths of a card over the whole width and over half of it.
_WIDE_PX, _HALF_PX = 1200, 555
_HALF_PICTURE_PX = 300
# The picture's share of a half card, if the texts beside it are at most so high.
_HALF_LAYOUTS = ((0.66, 150), (0.52, 480))
_PICTURE_HEIGHTS_PX = range(560, 259, -20)
_PICTURE_SHARE = 0.58
# The texts of a wide card may be this high, and this much higher than its picture.
_LOWEST_WIDE_PX, _MORE_PX = 440, 60
_CHARACTER_PX, _LINE_PX, _GAP_PX = 7.4, 22, 9
# Below a picture are its address and facts.
_FACTS_PX = 2 * _LINE_PX
# Beside the words of a region are its number, and its decision and confidence.
_NUMBER_PX, _TRUST_PX = 50, 70
_COLUMN_PX = 340
_LEAST_LISTED = 6
_PHRASE_ROWS = 4


@dataclass(frozen=True)
class CardLayout:
    """`half`: the card takes half the width. `picture_share`, `picture_px`: the greatest share of the card's
    width and the greatest height of its picture. `num_phrases`, `num_regions`: how many are listed at first.
    """

    half: bool
    picture_share: float
    picture_px: int
    num_phrases: int
    num_regions: int


@dataclass(frozen=True)
class CardTexts:
    """The texts of a card. `regions`: for each region the texts on lines of their own; `routed`: whether
    decisions stand beside them."""

    caption: str
    phrases: Sequence[str]
    regions: Sequence[Sequence[str]]
    routed: bool

    def area_px2(self) -> float:
        """About what the texts take with the gaps between them, however they are broken into lines."""
        lengths_px = sum(map(_phrase_px, self.phrases)) + len(self.caption) * _CHARACTER_PX
        for region in self.regions:
            lengths_px += _NUMBER_PX + sum(map(len, region)) * _CHARACTER_PX
        return lengths_px * (_LINE_PX + _GAP_PX)

    def top_px(self, width_px: float, num_phrases: int) -> float:
        """The height of the caption and the phrases."""
        caption_px = min(5, _lines(self.caption, width_px)) * _LINE_PX + _GAP_PX if self.caption else 0
        rows = math.ceil(sum(map(_phrase_px, self.phrases[:num_phrases])) / width_px)
        return caption_px + rows * (_LINE_PX + _GAP_PX)

    def region_px(self, texts: Sequence[str], width_px: float) -> float:
        """The height of a region: at most 5 lines, as report.css has it."""
        words_px = width_px - _NUMBER_PX - (_TRUST_PX if self.routed else 0)
        lines = sum(_lines(text, words_px) for text in texts)
        return min(5, max(1, lines)) * _LINE_PX + _GAP_PX

    def regions_px(self, width_px: float) -> float:
        """The height of all regions in columns, in a place of `width_px`."""
        num_columns = _num_columns(width_px)
        return sum(self.region_px(texts, width_px / num_columns) for texts in self.regions) / num_columns

    def num_within(self, width_px: float, room_px: float) -> int:
        """How many regions have room; all, if only one or two would be left over."""
        num_columns = _num_columns(width_px)
        used_px = 0.0
        for number, texts in enumerate(self.regions):
            used_px += self.region_px(texts, width_px / num_columns) / num_columns
            if used_px > room_px and number >= _LEAST_LISTED:
                return number if len(self.regions) - number > 2 else len(self.regions)
        return len(self.regions)


def lay_out(image_wh: tuple[int, int], texts: CardTexts) -> CardLayout:
    """The layout in which the least of the card is empty."""
    aspect = image_wh[0] / image_wh[1]
    num_phrases, num_regions = len(texts.phrases), len(texts.regions)
    for share, highest_px in _HALF_LAYOUTS:
        width_px = _HALF_PX - min(_HALF_PX * share, _HALF_PICTURE_PX * aspect)
        if texts.top_px(width_px, num_phrases) + texts.regions_px(width_px) <= highest_px:
            return CardLayout(True, share, _HALF_PICTURE_PX, num_phrases, num_regions)
    most_used, layout = -1.0, CardLayout(False, _PICTURE_SHARE, 0, num_phrases, num_regions)
    for picture_px in _PICTURE_HEIGHTS_PX:
        picture_width_px = min(_WIDE_PX * _PICTURE_SHARE, picture_px * aspect)
        view_px = min(picture_px, picture_width_px / aspect) + _FACTS_PX
        width_px = _WIDE_PX - picture_width_px
        num_phrases = _num_in_rows(texts.phrases, width_px, _PHRASE_ROWS)
        top_px = texts.top_px(width_px, num_phrases)
        height_px = max(view_px, top_px + texts.regions_px(width_px))
        used = (picture_width_px * view_px + texts.area_px2()) / (_WIDE_PX * height_px)
        if used > most_used:
            num_regions = texts.num_within(width_px, max(view_px, _LOWEST_WIDE_PX) + _MORE_PX - top_px)
            layout = CardLayout(False, _PICTURE_SHARE, picture_px, num_phrases, num_regions)
            most_used = used
    return layout


def _num_columns(width_px: float) -> int:
    return max(1, int(width_px // _COLUMN_PX))


def _lines(text: str, width_px: float) -> int:
    return max(1, math.ceil(len(text) * _CHARACTER_PX / max(80, width_px)))


def _phrase_px(phrase: str) -> float:
    return (len(phrase) + 3) * _CHARACTER_PX + 36


def _num_in_rows(phrases: Sequence[str], width_px: float, num_rows: int) -> int:
    """How many phrases fill `num_rows` rows; all, if only one or two would be left over."""
    used_px, number = 0.0, 0
    for number, phrase in enumerate(phrases, 1):
        used_px += min(width_px, _phrase_px(phrase))
        if used_px > num_rows * width_px:
            return number - 1 if len(phrases) - number >= 2 else len(phrases)
    return number
