"""`fo1 report`: shows a dataset on one HTML page."""

from typing import TYPE_CHECKING, Annotated

import typer

from fo1_data.cli.evaluate import MATCH_HELP, Match, read_gold
from fo1_data.cli.output import JsonOption, emit
from fo1_data.plurals import counted

if TYPE_CHECKING:
    from fo1_data.reports.page import Judge
    from fo1_data.reports.trust import LabelJudge


def report(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset.")],
    out: Annotated[str, typer.Option("--out", help="HTML file to write.")] = "report.html",
    images: Annotated[int, typer.Option(min=0, help="Largest number of images to show.")] = 48,
    gold: Annotated[
        str | None,
        typer.Option(
            help="A corpus with gold. The page then shows wrong labels and how far confidences hold."
        ),
    ] = None,
    caption_match: Annotated[Match, typer.Option(help=MATCH_HELP)] = Match.EXACT,
    as_json: JsonOption = False,
) -> None:
    """Write a self-contained page: images with boxes and captions, distributions, rejects with reasons."""
    from fo1_data.reports.page import write_report

    judge, judge_labels = _judges_by(gold, caption_match) if gold else (None, None)
    shown = write_report(folder, out, images, judge=judge, judge_labels=judge_labels)
    emit(
        {"report": out, "images_shown": shown}, as_json, f"{out} shows {counted(shown, 'image')} of {folder}"
    )


def _judges_by(gold: str, caption_match: Match) -> "tuple[Judge, LabelJudge]":
    from fo1_data.evaluation.faults import Faults, find_faults
    from fo1_data.judging.correctness import Judged, judge_pairs
    from fo1_data.judging.matching import GoldIndex
    from schemas.images import ImageRow

    index = GoldIndex(read_gold(gold))

    def judge(row: ImageRow) -> Faults | None:
        pair = index.pair(row)
        return find_faults(pair, caption_match.value) if pair else None

    def judge_labels(row: ImageRow) -> list[Judged]:
        pair = index.pair(row)
        return judge_pairs([pair], caption_match.value) if pair else []

    return judge, judge_labels
