"""Pieces of several sources become one entry per image; nothing is lost or doubled without being counted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.corpus.gathering import gather
from fo1_data.corpus.listing import Found, Item, Piece, Refused, contents_of
from fo1_data.corpus.places import listing_reject
from fo1_data.errors import CorpusError
from schemas.corpus import CorpusAnswer, CorpusCount, CorpusExample, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.sources import ContentKind

ONE_IMAGE = {ContentKind.IMAGES: 1}
BOXES = [(0.0, 0.0, 10.0, 10.0), (5.0, 5.0, 20.0, 20.0), (1.0, 2.0, 3.0, 4.0)]

regions = st.builds(
    CorpusRegion,
    box_xyxy=st.sampled_from(BOXES),
    label=st.sampled_from([None, "cat", "dog"]),
    caption=st.sampled_from([None, "a cat"]),
    text=st.sampled_from([None, "STOP"]),
)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    of_image = draw(st.none() | st.lists(regions, max_size=3))
    num = len(of_image or [])
    indices = st.lists(st.sampled_from(range(num)), unique=True) if num else st.just([])
    entry = CorpusImage(
        uri=draw(st.sampled_from(["/a.png", "/b.png"])),
        width=draw(st.sampled_from([None, 40, 80])),
        height=draw(st.sampled_from([None, 40, 80])),
        regions=of_image,
        caption=draw(st.sampled_from([None, "one", "two"])),
        phrases=[
            CorpusPhrase(text=text, region_indices=draw(st.none() | indices))
            for text in draw(st.lists(st.sampled_from(["red", "blue"]), unique=True))
        ],
        counts=[CorpusCount(text="cat", count=n) for n in draw(st.lists(st.integers(0, 2), max_size=1))],
    )
    return Piece(draw(st.sampled_from(["x.json", "y.json"])), entry)


@given(st.lists(pieces(), max_size=6))
def test_every_piece_is_attached_or_refused(given_pieces: list[Piece]) -> None:
    listing = gather(_items(*given_pieces))

    names = list(dict.fromkeys(piece.entry.name for piece in given_pieces))
    assert [entry.name for entry in listing.entries] == names
    for source in listing.sources:
        for kind, count in source.found.items():
            assert count == source.attached.get(kind, 0) + source.rejected.get(kind, 0)
    num_rejected = sum(sum(source.rejected.values()) for source in listing.sources)
    assert bool(listing.rejects) == bool(num_rejected)
    for entry in listing.entries:
        num_regions = len(entry.regions or [])
        for phrase in entry.phrases:
            assert all(0 <= index < num_regions for index in phrase.region_indices or [])
        texts = [phrase.text for phrase in entry.phrases]
        assert len(texts) == len(set(texts))


@given(pieces())
def test_a_piece_repeated_changes_nothing(piece: Piece) -> None:
    """Two equal boxes within one piece stay two; the same piece from a second source adds none."""
    once = gather(_items(piece))
    twice = gather(_items(piece, piece))
    assert twice.entries == once.entries
    assert not twice.rejects


def _items(*pieces: Piece) -> list[Item]:
    items: list[Item] = []
    for piece in pieces:
        items += [Found(piece.source, contents_of(piece.entry)), piece]
    return items


def _entry(**fields: Any) -> CorpusImage:
    return CorpusImage(uri="/a.png", **fields)


def test_boxes_and_phrases_of_two_lines_are_united() -> None:
    first = Piece("l.jsonl", _entry(regions=[CorpusRegion(box_xyxy=BOXES[0], label="x")]))
    second = Piece(
        "l.jsonl",
        _entry(
            regions=[CorpusRegion(box_xyxy=BOXES[1], label="y")],
            phrases=[CorpusPhrase(text="the y", region_indices=[0])],
        ),
    )
    (entry,) = gather(_items(first, second)).entries
    assert [region.label for region in entry.regions or []] == ["x", "y"]
    assert entry.phrases == [CorpusPhrase(text="the y", region_indices=[1])]


def test_labels_and_captions_of_one_box_are_united_and_other_labels_kept() -> None:
    first = Piece("instances.json", _entry(regions=[CorpusRegion(box_xyxy=BOXES[0], label="cat")]))
    second = Piece("captions.json", _entry(regions=[CorpusRegion(box_xyxy=BOXES[0], caption="a cat")]))
    third = Piece("pets.json", _entry(regions=[CorpusRegion(box_xyxy=BOXES[0], label="pet")]))
    pieces = (first, second, third)
    (entry,) = gather(_items(*pieces)).entries
    assert entry.regions == [
        CorpusRegion(box_xyxy=BOXES[0], label="cat", caption="a cat"),
        CorpusRegion(box_xyxy=BOXES[0], label="pet"),
    ]


def test_boxes_of_another_declared_size_are_scaled_or_refused() -> None:
    first = Piece("a", _entry(width=100, height=50, regions=[CorpusRegion(box_xyxy=BOXES[0])]))
    half = Piece("b", _entry(width=50, height=25, regions=[CorpusRegion(box_xyxy=(5.0, 5.0, 10.0, 10.0))]))
    other = Piece("c", _entry(width=50, height=50, regions=[CorpusRegion(box_xyxy=BOXES[2])]))
    listing = gather(_items(first, half, other))
    (entry,) = listing.entries
    assert [region.box_xyxy for region in entry.regions or []] == [BOXES[0], (10.0, 10.0, 20.0, 20.0)]
    (reject,) = listing.rejects
    assert "100 x 50 and 50 x 50" in reject.message
    assert next(s for s in listing.sources if s.source == "c").rejected == {ContentKind.BOXES: 1}


def test_an_absent_and_a_present_phrase_contradict() -> None:
    first = Piece("a", _entry(phrases=[CorpusPhrase(text="dog", region_indices=[])]))
    second = Piece(
        "b",
        _entry(
            regions=[CorpusRegion(box_xyxy=BOXES[0])],
            phrases=[CorpusPhrase(text="dog", region_indices=[0])],
        ),
    )
    listing = gather(_items(first, second))
    assert listing.entries[0].phrases == first.entry.phrases
    assert [reject.reason for reject in listing.rejects] == ["contradiction"]


def test_what_a_reader_found_and_forgot_is_a_reject() -> None:
    piece = Piece("a.json", _entry(regions=[CorpusRegion(box_xyxy=BOXES[0])]))
    listing = gather([Found("a.json", {ContentKind.IMAGES: 1, ContentKind.BOXES: 3}), piece])
    (reject,) = listing.rejects
    assert (reject.reason, reject.message) == ("unaccounted", "a.json: 2 boxes were not read")
    assert listing.sources[0].rejected == {ContentKind.BOXES: 2}


def test_a_reader_that_attaches_more_than_it_found_is_refused() -> None:
    piece = Piece("a.json", _entry(regions=[CorpusRegion(box_xyxy=BOXES[0])]))
    with pytest.raises(CorpusError, match=r"a\.json: its reader attached or rejected 1 more boxes"):
        gather([Found("a.json", {ContentKind.IMAGES: 1}), piece])


def test_shares_stay_shares_beside_a_source_without_boxes() -> None:
    pieces = [
        Piece("a", _entry(regions=[])),
        Piece("b", _entry(regions=[CorpusRegion(box_xyxy=(0.1, 0.1, 0.2, 0.2))], box_unit="share")),
    ]
    (entry,) = gather(_items(*pieces)).entries
    assert entry.box_unit == "share"


def test_the_answer_of_a_region_that_is_left_out_is_not_one_of_the_image() -> None:
    region = CorpusRegion(box_xyxy=BOXES[0])
    first = Piece("a", _entry(regions=[region]))
    answer = CorpusAnswer(question="what?", answer="a cat", region_index=0)
    second = Piece("b", _entry(regions=[region], box_unit="share", answers=[answer]))
    listing = gather(_items(first, second))
    assert listing.entries[0].answers == []
    assert listing.sources[1].rejected == {ContentKind.BOXES: 1, ContentKind.ANSWERS: 1}


def test_several_answers_to_one_question_stay_beside_a_second_source() -> None:
    answers = [CorpusAnswer(question="what?", answer=text) for text in ("a cat", "a kitten")]
    counts = [CorpusCount(text="cat", count=number) for number in (1, 2)]
    first = Piece("a", _entry(answers=answers, counts=counts))
    second = Piece("b", _entry(phrases=[CorpusPhrase(text="cat")], answers=answers[1:], counts=counts[1:]))
    for pieces in ((first, second), (second, first, Piece("c", _entry(id="7")))):
        listing = gather(_items(*pieces))
        found = sum((Counter(source.found) for source in listing.sources), Counter())
        rejected = sum((Counter(source.rejected) for source in listing.sources), Counter())
        assert found[ContentKind.ANSWERS] == 3
        assert len(listing.entries[0].answers) + rejected[ContentKind.ANSWERS] == 2
        assert len(listing.entries[0].counts) + rejected[ContentKind.COUNTS] == 2


@pytest.mark.parametrize(("caption", "num_rejected"), [("A dog", 1), ("A cat", 0), (None, 0)])
def test_phrases_of_another_caption_are_refused(caption: str | None, num_rejected: int) -> None:
    phrases = [CorpusPhrase(text="cat", region_indices=[0])]
    first = Piece("a", _entry(caption=caption))
    second = Piece(
        "b", _entry(caption="A cat", regions=[CorpusRegion(box_xyxy=BOXES[0])], caption_phrases=phrases)
    )
    listing = gather(_items(first, second))
    assert listing.entries[0].caption_phrases == ([] if num_rejected else phrases)
    assert listing.sources[1].rejected.get(ContentKind.PHRASES, 0) == num_rejected


def test_other_phrases_of_one_caption_are_refused_and_counted() -> None:
    region = CorpusRegion(box_xyxy=BOXES[0])
    texts = ("cat", "A cat")
    first, second = (
        Piece(text, _entry(caption="A cat", regions=[region],
                           caption_phrases=[CorpusPhrase(text=text, region_indices=[0])]))
        for text in texts
    )  # fmt: skip
    listing = gather(_items(first, second))
    assert [phrase.text for phrase in listing.entries[0].caption_phrases] == ["cat"]
    assert listing.sources[1].rejected == {ContentKind.PHRASES: 1}


def test_an_example_that_two_sources_give_is_one() -> None:
    regions = [CorpusRegion(box_xyxy=box) for box in BOXES[:2]]
    examples = [CorpusExample(region_index=0, region_indices=[1])]
    piece = Piece("a", _entry(regions=regions, examples=examples))
    assert gather(_items(piece, replace(piece, source="b"))).entries[0].examples == examples


def test_odd_meta_of_two_sources_is_kept() -> None:
    first = Piece("a", _entry(id="1", regions=[], meta={"captions": 3, "region_meta": "x", "also": "y"}))
    second = Piece("b", _entry(id="2", meta={"captions": ["a", {}], "site": 4}))
    (entry,) = gather(_items(first, second)).entries
    assert entry.meta is not None
    assert entry.meta["also"] == ["y", {"id": "2"}]
    assert entry.meta["region_meta"] == "x"
    assert entry.meta["site"] == 4


def test_a_limit_ends_the_reading_and_the_account() -> None:
    def items() -> Iterator[Item]:
        for name in ("/a.png", "/b.png", "/c.png"):
            yield Found("a", {ContentKind.IMAGES: 1})
            yield Piece("a", CorpusImage(uri=name))
            assert name != "/b.png", "read beyond the limit"

    listing = gather(items(), limit=2)
    assert [entry.uri for entry in listing.entries] == ["/a.png", "/b.png"]
    announced = [Found("a", {ContentKind.IMAGES: 3})]
    pieces = [Piece("a", CorpusImage(uri=name)) for name in ("/a.png", "/b.png", "/c.png")]
    listing = gather([*announced, *pieces], limit=2)
    assert listing.sources[0].found == listing.sources[0].attached == {ContentKind.IMAGES: 2}


# Of a list that says nothing but names, what lies beyond the limit is not read.
SAYING_MORE = pieces().filter(lambda piece: contents_of(piece.entry).total() > 1)


@given(st.lists(SAYING_MORE, max_size=8), st.integers(1, 3), st.booleans())
def test_an_image_within_a_limit_keeps_all_that_is_said_of_it(
    given_pieces: list[Piece], limit: int, announced: bool
) -> None:
    repeated = [replace(piece, may_repeat=True) for piece in given_pieces]
    items = _items(*repeated)
    if announced:
        items = [*(i for i in items if isinstance(i, Found)), *(i for i in items if isinstance(i, Piece))]
    whole, limited = gather(items), gather(items, limit)
    assert limited.entries == whole.entries[:limit]
    if len(whole.entries) <= limit:
        assert limited == whole


def test_rejects_beyond_a_limit_are_left_out_of_the_account() -> None:
    items: list[Item] = []
    for name in ("/a.png", "/b.png", "/a.png"):
        entry = CorpusImage(uri=name, caption="a cat")
        items += [Found("x", contents_of(entry)), Piece("x", entry, may_repeat=True)]
    lost = Refused("x", ONE_IMAGE, listing_reject("x:9", "bad_record", "x:9: not JSON"))
    listing = gather([*items, Found("x", ONE_IMAGE), lost], limit=1)
    assert listing.rejects == []
    assert listing.sources[0].found == listing.sources[0].attached == {"images": 2, "captions": 2}


def test_refused_content_is_counted_with_its_reason() -> None:
    reject = listing_reject(
        "a.json#annotations", "unknown_image", "3 boxes name image 17, which is not listed"
    )
    listing = gather(
        [Found("a.json", {ContentKind.BOXES: 3}), Refused("a.json", {ContentKind.BOXES: 3}, reject)]
    )
    assert listing.rejects == [reject]
    assert listing.sources[0].rejected == {ContentKind.BOXES: 3}
