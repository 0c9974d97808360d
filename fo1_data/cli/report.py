"""`fo1 report`: shows a dataset on one HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fo1_data.cli.evaluate import MATCH_HELP, Match, read_gold
from fo1_data.cli.output import JsonOption, emit
from fo1_data.plurals import counted

if TYPE_CHECKING:
    from fo1_data.evaluation.faults import Faults
    from fo1_data.judging.correctness import Judged
    from fo1_data.judging.texts import CaptionMatch
    from schemas.images import ImageRow


def report(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="Folder or URL of a finished dataset, or a folder of fo1 train."),
    ],
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
    """Write a self-contained page: images with boxes and captions, distributions, rejects with reasons.

    Of a folder of fo1 train: its curves, figures and settings.
    """
    from fo1_data.errors import ConfigError
    from fo1_data.reports.training_page import is_training_run, refuse_part_of_run, write_training_page
    from fo1_data.storage.addresses import local_path

    refuse_part_of_run(folder)
    local = local_path(out)
    if local is not None and local.is_dir():
        raise ConfigError(f"--out {out} is a folder: name a file, such as {local / 'report.html'}")
    if is_training_run(folder):
        num_steps = write_training_page(Path(folder), out)
        emit(
            {"report": out, "steps": num_steps},
            as_json,
            f"{out} shows {counted(num_steps, 'step')} of {folder}",
        )
        return
    from fo1_data.reports.page import write_report

    judge = _GoldJudge(gold, folder, caption_match) if gold else None
    shown = write_report(
        folder,
        out,
        images,
        judge=judge.find_faults if judge else None,
        judge_labels=judge.judge_labels if judge else None,
        check=judge.check if judge else None,
    )
    document: dict[str, Any] = {"report": out, "images_shown": shown}
    text = f"{out} shows {counted(shown, 'image')} of {folder}"
    if judge is not None:
        document["gold"] = {"images": judge.num_rows, "with_gold": judge.num_paired}
        text += f"; gold covers {judge.num_paired} of {counted(judge.num_rows, 'image')}"
    emit(document, as_json, text)


class _GoldJudge:
    """Compares rows with gold, and counts the rows that have gold."""

    def __init__(self, gold: str, folder: str, caption_match: Match) -> None:
        from fo1_data.dataset.reader import open_dataset
        from fo1_data.judging.matching import GoldIndex

        entries = read_gold(gold, open_dataset(folder))
        self._gold, self._num_gold = gold, len(entries)
        self._index = GoldIndex(entries)
        self._caption_match: CaptionMatch = caption_match.value
        self.num_rows = self.num_paired = 0

    def find_faults(self, row: "ImageRow") -> "Faults | None":
        from fo1_data.evaluation.faults import find_faults

        pair = self._index.pair(row)
        return find_faults(pair, self._caption_match) if pair else None

    def judge_labels(self, row: "ImageRow") -> "list[Judged]":
        from fo1_data.judging.correctness import judge_pairs

        pair = self._index.pair(row)
        self.num_rows += 1
        self.num_paired += pair is not None
        return judge_pairs([pair], self._caption_match) if pair else []

    def check(self) -> None:
        """Raise UsageError if no row has gold."""
        from fo1_data.errors import UsageError
        from fo1_data.judging.matching import nothing_matches

        if self.num_rows and not self.num_paired:
            raise UsageError(f"--gold {self._gold}: {nothing_matches(self.num_rows, self._num_gold)}")
