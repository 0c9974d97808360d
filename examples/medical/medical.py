"""DICOM files from a folder to a dataset, a picture, a report and structured reports, by public commands.

    .venv/bin/python examples/medical/medical.py OUT

Takes a CT of a head and an X-ray of a chest that the package pydicom-data carries, puts them into `OUT/files`
under the name of a patient, and labels them under two windows with the bundled model: its words mean nothing
on photographs, but every step is that of a real checkpoint. `OUT/shown.png` shows what was labelled.
"""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import data_store
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

NAMES = ("693_UNCR.dcm", "RG1_UNCR.dcm")
# The CT by the window of its file and by that of bone; an X-ray knows no Hounsfield units.
RUNS = {"file": ["--limit", "2"], "bone": ["--limit", "1", "--window", "bone"]}
HEIGHT = 320


def main(out: Path) -> None:
    """Run every step; the last line says what was made."""
    files = out / "files" / "Doe^Jane"
    files.mkdir(parents=True)
    for name in NAMES:
        shutil.copy(next(Path(data_store.__file__).parent.rglob(name)), files / name)
    shown = []
    for name, options in RUNS.items():
        labelled = out / name
        run("label", files, "--out", labelled, "--address", "in-process", "--max-proposals", "6", *options)
        run("dataset", "validate", labelled)
        shown += [picture_of(row) for row in rows_of(labelled)]
    run("report", out / "file", "--out", out / "report.html")
    run(
        "dataset", "export", out / "file", "--format", "dicom-sr", "--dicom-files", files, "--out", out / "sr"
    )
    beside(shown).save(out / "shown.png")
    left = [path for path in out.rglob("*") if path.is_file() and files not in path.parents]
    named = [path for path in left if b"Doe^Jane" in path.read_bytes()]
    print(f"{len(left)} files made, {len(named)} of them name the folder; look at {out / 'shown.png'}")


def run(*arguments: object) -> None:
    """A command of `fo1`; ends the example where it fails."""
    subprocess.run([sys.executable, "-m", "fo1_data.cli.main", *map(str, arguments)], check=True)


def rows_of(dataset: Path) -> list[dict]:
    """The rows of a dataset."""
    return [row for path in sorted(dataset.glob("data/*.parquet")) for row in pq.read_table(path).to_pylist()]


def picture_of(row: dict) -> Image.Image:
    """The picture of a row with its boxes and the window that it was shown by."""
    with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
        shown = image.convert("RGB")
    draw = ImageDraw.Draw(shown)
    for region in row["regions"]:
        draw.rectangle(region["box_xyxy"], outline="orange", width=max(2, shown.height // 200))
    shown.thumbnail((10_000, HEIGHT))
    facts = json.loads(row["meta"])["dicom"]
    text = f"{facts['window_from']} {facts['window'][0]:g}/{facts['window'][1]:g}"
    ImageDraw.Draw(shown).text((6, 6), text + (", turned" if facts.get("inverted") else ""), fill="orange")
    return shown


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one height in a row."""
    whole = Image.new("RGB", (sum(picture.width for picture in pictures), HEIGHT))
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width
    return whole


if __name__ == "__main__":
    main(Path(sys.argv[1]))
