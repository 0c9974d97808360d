"""NLVR's human sentences, as far as pointing can check them.

`python -m fo1_data.benchmarks.nlvr_sentences phrases NLVR/annotations.jsonl OUT.jsonl` writes the corpus with
the colour-and-shape phrases of each image's sentence as phrases to ground ("yellow block" as `yellow square`,
"blue item" as `blue object`). `fo1 label OUT.jsonl --proposals corpus --labels ground --out DATASET` and
`fo1 evaluate DATASET --gold NLVR/annotations.jsonl` do the rest, gold being the regions whose words the
phrase has. `... truth DATASET` then decides the sentences that say no more than how many there are of one
phrase ("There are two blue circles") and compares with the people's verdict.
Towers, boxes within the image and touching are beyond regions: those sentences count as not decided.
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
_COUNTED = re.compile(
    r"there (?:is|are) (?P<bound>exactly|only|at least|atleast|at most)? ?(?P<number>a|\w+) "
    r"(?P<phrase>(?:black|blue|yellow) (?:circle|square|triangle|block|item|object)s?)\s*\.?"
)


def phrases_of(sentence: str) -> list[str]:
    """The colour-and-shape phrases of a sentence, each once, in its order."""
    found = [f"{colour} {_SHAPES.get(shape, shape)}" for colour, shape in _PHRASE.findall(sentence.lower())]
    return list(dict.fromkeys(found))


def holds(sentence: str, numbers: dict[str, int]) -> bool | None:
    """Whether a counting sentence is true of `numbers` (phrase to count); None where it says other things."""
    said = _COUNTED.fullmatch(sentence.lower().strip())
    [phrase] = phrases_of(sentence) if said and len(phrases_of(sentence)) == 1 else [None]
    number = 1 if said and said["number"] == "a" else _number(said["number"]) if said else None
    if said is None or phrase is None or number is None or phrase not in numbers:
        return None
    has = numbers[phrase]
    if said["bound"] in ("at least", "atleast") or said["number"] == "a":
        return has >= number
    return has <= number if said["bound"] == "at most" else has == number


def _number(word: str) -> int | None:
    return int(word) if word.isdigit() else _NUMBERS.get(word)


def write_phrases(annotations: Path, out: Path) -> int:
    """Write the corpus beside its images' folder; returns how many sentences have a phrase."""
    kept = 0
    with out.open("w", encoding="utf-8") as file:
        for line in annotations.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            phrases = phrases_of(entry["meta"].get("sentence") or "")
            kept += bool(phrases)
            entry["image"] = str((annotations.parent / entry["image"]).resolve())
            file.write(json.dumps(entry | {"phrases": [{"text": phrase} for phrase in phrases]}) + "\n")
    return kept


def judge(rows: list[ImageRow]) -> dict[str, int]:
    """How many sentences were decided, and how many as people had it."""
    decided = right = 0
    for row in rows:
        meta = json.loads(row.meta or "{}")
        numbers = {one.phrase: len(one.region_ids) for one in row.groundings}
        verdict = holds(meta.get("sentence") or "", numbers)
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
    given = parser.parse_args()
    if given.command == "phrases":
        print(json.dumps({"sentences_with_phrases": write_phrases(given.annotations, given.out)}))
    else:
        print(json.dumps(judge(list(open_dataset(given.dataset).rows()))))
