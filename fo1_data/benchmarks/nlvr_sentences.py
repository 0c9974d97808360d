"""NLVR's human-written sentences, as far as grounded phrases can decide them.

`python -m fo1_data.benchmarks.nlvr_sentences phrases NLVR/annotations.jsonl OUT.jsonl` writes the corpus with
the colour-and-shape phrases of each image's sentence as phrases to ground ("yellow block" as `yellow square`,
"blue item" as `blue object`). Label and evaluate it with `fo1 label OUT.jsonl --proposals corpus --labels
ground --out DATASET` and `fo1 evaluate DATASET --gold NLVR/annotations.jsonl`; gold is the regions that have
all words of the phrase. `... truth DATASET` then decides the sentences that only count one phrase ("There are
two blue circles") and compares with the verdicts of people. Sentences about towers, about the boxes inside
the image or about touching cannot be decided from regions; they count as not decided.
"""

import argparse
import json
import re
from pathlib import Path

from fo1_data.dataset.reader import open_dataset
from schemas.images import ImageRow

_SHAPES = {"block": "square", "item": "object"}
_PHRASE = re.compile(r"\b(black|blue|yellow) (circle|square|triangle|block|item|object)s?\b")
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven")
_NUMBERS = {word: number for number, word in enumerate(_WORDS)}
_COUNTING_SENTENCE = re.compile(
    r"there (?:is|are) (?P<bound>exactly|only|at least|atleast|at most)? ?(?P<number>a|\w+) "
    r"(?P<phrase>(?:black|blue|yellow) (?:circle|square|triangle|block|item|object)s?)\s*\.?"
)


def phrases_of(sentence: str) -> list[str]:
    """The distinct colour-and-shape phrases of a sentence, in its order."""
    phrases = [f"{colour} {_SHAPES.get(shape, shape)}" for colour, shape in _PHRASE.findall(sentence.lower())]
    return list(dict.fromkeys(phrases))


def holds(sentence: str, counts: dict[str, int]) -> bool | None:
    """Whether a counting sentence is true for `counts` (by phrase); None if it is not a counting sentence."""
    match, phrases = _COUNTING_SENTENCE.fullmatch(sentence.lower().strip()), phrases_of(sentence)
    if match is None or len(phrases) != 1 or phrases[0] not in counts:
        return None
    number = 1 if match["number"] == "a" else _number(match["number"])
    if number is None:
        return None
    count = counts[phrases[0]]
    if match["bound"] in ("at least", "atleast") or match["number"] == "a":
        return count >= number
    return count <= number if match["bound"] == "at most" else count == number


def _number(word: str) -> int | None:
    return int(word) if word.isdigit() else _NUMBERS.get(word)


def write_phrases(annotations: Path, out: Path) -> int:
    """Write the corpus with phrases to `out`; returns how many sentences have a phrase."""
    num_with_phrases = 0
    with out.open("w", encoding="utf-8") as file:
        for line in annotations.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            phrases = phrases_of(entry["meta"].get("sentence") or "")
            num_with_phrases += bool(phrases)
            entry["image"] = str((annotations.parent / entry["image"]).resolve())
            file.write(json.dumps(entry | {"phrases": [{"text": phrase} for phrase in phrases]}) + "\n")
    return num_with_phrases


def count_right(rows: list[ImageRow]) -> dict[str, int]:
    """How many sentences were decided, and how many of these as people did."""
    decided = right = 0
    for row in rows:
        meta = json.loads(row.meta or "{}")
        counts = {grounding.phrase: len(grounding.region_ids) for grounding in row.groundings}
        verdict = holds(meta.get("sentence") or "", counts)
        decided += verdict is not None
        right += verdict is not None and verdict == meta["sentence_label"]
    return {"sentences": len(rows), "decided": decided, "as_people_said": right}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    phrases = commands.add_parser("phrases")
    phrases.add_argument("annotations", type=Path)
    phrases.add_argument("out", type=Path)
    truth = commands.add_parser("truth")
    truth.add_argument("dataset")
    arguments = parser.parse_args()
    if arguments.command == "phrases":
        num_sentences = write_phrases(arguments.annotations, arguments.out)
        print(json.dumps({"sentences_with_phrases": num_sentences}))
    else:
        print(json.dumps(count_right(list(open_dataset(arguments.dataset).rows()))))
