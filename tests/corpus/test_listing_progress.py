"""A person who waits for a listing sees how far it is."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from rich.console import Console

from fo1_data.cli.progress_lines import ProgressLines
from fo1_data.corpus.gathering import gather
from fo1_data.corpus.listing import Found, Item, Piece
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.readers import load_listing
from fo1_data.runs.listing_clock import shown_listing
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (ListingProgress(), "reading the corpus"),
        (ListingProgress(files_found=1), "1 file found"),
        (ListingProgress(1200, 7), "1,200 files found, 7 annotation files read"),
        (ListingProgress(20_000, 7, 12_400), "12,400 images listed"),
    ],
)
def test_the_text_says_what_the_listing_is_at(progress: ListingProgress, text: str) -> None:
    assert str(progress) == text


def test_the_counts_grow_while_images_are_listed() -> None:
    progress, seen = ListingProgress(), []

    def items() -> Iterator[Item]:
        for number in range(3):
            yield Found("x", {ContentKind.IMAGES: 1})
            yield Piece("x", CorpusImage(uri=f"/{number}.png"))
            seen.append(progress.images)

    gather(items(), progress=progress)
    assert seen == [1, 2, 3]


def test_a_folder_counts_its_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "notes.json"):
        (tmp_path / name).write_text("[]")
    progress = ListingProgress()
    load_listing(str(tmp_path), progress=progress)
    assert (progress.files_found, progress.annotation_files_read) == (3, 1)


def test_it_is_shown_while_the_listing_goes_on() -> None:
    shown, is_shown = [], Event()

    def show(text: str) -> None:
        shown.append(text)
        is_shown.set()

    with shown_listing(show, every_s=0.01) as progress:
        assert is_shown.wait(30)
        progress.images = 12_400
        is_shown.clear()
        assert is_shown.wait(30)
        is_shown.clear()
        assert is_shown.wait(30)
    assert "12,400 images listed" in shown


def test_without_a_terminal_it_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProgressLines(Console(stderr=True, soft_wrap=True))
    lines.show_listing("12,400 images listed")
    lines.show_listing("12,500 images listed")  # too soon
    assert capsys.readouterr().err == "12,400 images listed\n"
