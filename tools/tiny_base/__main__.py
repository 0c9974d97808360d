"""A tiny base, trained from nothing: what docs/plug-and-play.md attaches regions to.

`python -m tools.tiny_base FOLDER` writes it as transformers does, with a `curve.jsonl` of its training. It
learns to look things up in lists, in plain text; it sees no pictures, regions or boxes. `--compare` lets
checkpoints answer such chats, `--chats` writes some for `fo1 train`.
"""

import argparse
from pathlib import Path

from tools.tiny_base.comparing import compare, write_chats
from tools.tiny_base.models import FAMILIES
from tools.tiny_base.practice import train

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family", choices=FAMILIES, default=FAMILIES[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", nargs="+", help="compare checkpoints on chats, in place of training")
    parser.add_argument("--chats", type=Path, help="write chats to this file, in place of training")
    parser.add_argument("--count", type=int, default=1000, help="of these chats")
    given = parser.parse_args()
    if given.compare:
        compare(given.folder, given.family, given.compare)
    elif given.chats:
        write_chats(given.folder, given.family, given.chats, given.count)
    else:
        train(given.folder, given.family, given.steps, given.batch, given.rate, given.seed)
