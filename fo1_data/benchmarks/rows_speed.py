"""What a row costs in the commands that go through all rows, in builds side by side.

    python -m fo1_data.benchmarks.rows_speed TREE... [--rows 1000,4000] [--commands evaluate,calibrate]

Each TREE is a folder with the source of a build, such as `git worktree add --detach old COMMIT` makes; the
first one is compared with. Every build labels the same 40 scenes of three regions and writes its rows again
under other image ids: each copy of an image has four bytes behind its end, so that its id is the hash of its
file. Then the builds run each command in turns, on one thread, in processes of their own. The figures are
processor seconds of a whole command, start included, and the microseconds that one more row takes: the
difference between two sizes. Results are not compared: builds differ in the columns and figures they have.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NUM_SCENES = 40
# Written by every build, in its own form of a dataset. Arguments: rows to write, folder.
_COPY = """
import json, sys
from hashlib import sha256
from pathlib import Path
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.writer import open_run
from schemas.corpus import CorpusImage, Shard
from schemas.regions import make_region_id
count, folder = int(sys.argv[1]), Path(sys.argv[2])
rows = list(open_dataset(str(folder / "labelled")).rows())
lines = (folder / "scenes" / "annotations.jsonl").read_text().splitlines()
gold = {Path(line["image"]).name: line for line in map(json.loads, lines)}
pictures, gold_lines, copies = folder / "copies" / "images", [], []
pictures.mkdir(parents=True)
for number in range(count):
    row = rows[number % len(rows)]
    name = f"{number:07d}.png"
    picture = folder / "scenes" / gold[Path(row.uri).name]["image"]
    data = picture.read_bytes() + number.to_bytes(4, "big")
    (pictures / name).write_bytes(data)
    image_id, uri = sha256(data).hexdigest(), str(pictures / name)
    old_ids = [region.region_id for region in row.regions]
    text = row.model_dump_json().replace(row.image_id, image_id)
    for old, region in zip(old_ids, row.regions):
        text = text.replace(old, make_region_id(image_id, region.box_xyxy))
    copy = type(row).model_validate_json(text)
    image = copy.image.model_copy(update={"path": uri})
    copies.append(copy.model_copy(update={"uri": uri, "uris": [uri], "image": image}))
    gold_lines.append(json.dumps({**gold[Path(row.uri).name], "image": "images/" + name}) + "\\n")
(folder / "copies" / "annotations.jsonl").write_text("".join(gold_lines))
run = open_run(str(folder / "rows"), {"made": count}, {"labels": ["brief_caption", "ground", "count"]})
for index in range(0, count, 4000):
    part = copies[index : index + 4000]
    images = [CorpusImage(uri=row.uri) for row in part]
    run.write_shard(Shard(shard_id=f"{index:08d}", index=index // 4000, images=images), part, [], "once")
if hasattr(run, "seal"):
    run.seal("made")
else:
    with run.lease() as lease:
        run.finalise(name="made", model=None, lease=lease)
"""
# The command line, with a clock around it.
_RUN = """
import atexit, json, resource, sys, time
def tell():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps([time.process_time(), peak]), file=sys.stderr)
atexit.register(tell)
from fo1_data.cli.main import main
sys.argv[0] = "fo1"
main()
"""
_LABEL = (
    "label {f}/scenes --out {f}/labelled --address in-process --proposals corpus --labels {kinds} "
    "--vocabulary circle"
)
_KINDS = "brief_caption,ground,count"
_ROUTE = "route {f}/rows --calibration {f}/calibrate --max-error 0.1 --audit 0.05 --out {f}/route"
COMMANDS = {
    "evaluate": "evaluate {f}/rows --gold {f}/copies --json",
    "calibrate": "calibrate {f}/rows --gold {f}/copies --out {f}/calibrate",
    "route": _ROUTE,
    "publish": "dataset publish {f}/route --out {f}/publish",
    "publish-accepted": "dataset publish {f}/route --only accepted --out {f}/publish-accepted",
    "coco": "dataset export {f}/rows --format coco --out {f}/coco",
    "messages": "dataset export {f}/rows --format messages --profile trl --out {f}/messages",
    "yolo": "dataset export {f}/rows --format yolo --out {f}/yolo",
    "webdataset": "dataset export {f}/rows --format webdataset --out {f}/webdataset",
    "parent": "label {f}/copies --parent {f}/rows --out {f}/parent --address in-process --proposals corpus",
}


def python(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python with the source of a build, on one thread, whatever lies in the working folder.

    Ends this program if it fails.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-P", *words], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        sys.exit(f"{tree}, {' '.join(words[2:])}: {done.stderr.strip()[-2000:]}")
    return done


def prepare(tree: Path, num_rows: int, folder: Path) -> None:
    """Scenes, their labels, and a dataset of so many rows with its gold, in `folder`."""
    names = {"f": folder, "kinds": _KINDS}
    objects = "--min-objects 3 --max-objects 3 --corruption 0.6"
    scenes = f"scenes --count {NUM_SCENES} --seed 70000 {objects} --out {folder}/scenes"
    for line in (scenes, _LABEL.format(**names)):
        python(tree, "-c", _RUN, *line.split())
    python(tree, "-c", _COPY, str(num_rows), str(folder))


def timed(tree: Path, command: str, folder: Path) -> tuple[float, int, str]:
    """Processor seconds, the largest memory in MiB, and what was printed."""
    done = python(tree, "-c", _RUN, *COMMANDS[command].format(f=folder).split())
    seconds, peak = json.loads(done.stderr.splitlines()[-1])
    return seconds, peak, done.stdout


def figures(trees: list[Path], sizes: list[int], commands: list[str], work: Path) -> dict[str, Any]:
    """By command and tree: seconds and peak memory by number of rows."""
    found: dict[str, Any] = {name: {str(tree): {} for tree in trees} for name in commands}
    for num_rows in sizes:
        folders = {tree: work / f"{number}-{num_rows}" for number, tree in enumerate(trees)}
        for tree, folder in folders.items():
            folder.mkdir()
            prepare(tree, num_rows, folder)
        for name in commands:
            for tree, folder in folders.items():
                seconds, peak, _ = timed(tree, name, folder)
                found[name][str(tree)][num_rows] = [round(seconds, 3), peak]
                print(f"{name}, {num_rows} rows, {tree}: {seconds:.2f} s, {peak} MiB", flush=True)
    return found


def row_us(by_size: Mapping[int, list[float]]) -> float | None:
    """Microseconds that one more row takes between the smallest and the largest size."""
    if len(by_size) < 2:
        return None
    few, many = min(by_size), max(by_size)
    return 1e6 * (by_size[many][0] - by_size[few][0]) / (many - few)


def main() -> None:
    """Measure the builds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", type=Path, nargs="+")
    parser.add_argument("--rows", default="1000,4000")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--work", type=Path, help="a folder for the datasets, kept")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.rows.split(",")]
    commands = arguments.commands.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        found = figures(arguments.trees, sizes, commands, work)
    for name, by_tree in found.items():
        costs = [row_us(by_size) for by_size in by_tree.values()]
        cells = [f"{tree} {cost:,.0f} us a row" for tree, cost in zip(by_tree, costs, strict=True) if cost]
        ratio = f": {costs[0] / costs[-1]:.2f} times" if len(costs) > 1 and costs[0] and costs[-1] else ""
        print(f"{name}: {', '.join(cells)}{ratio}")


if __name__ == "__main__":
    main()
