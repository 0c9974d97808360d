"""`fo1 plan` over videos: opened and begun as they will be labelled."""

from pathlib import Path

from PIL import Image

from fo1_data.runs.file_check import FileCheck, check_files
from fo1_data.runs.plan import list_corpus
from schemas.jobs import RunConfig


def _check(corpus: Path) -> FileCheck:
    planned = list_corpus(RunConfig(corpus=str(corpus), out="made"))
    return check_files(planned.images, planned.config, None)


def _write_sequence(folder: Path) -> None:
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    (folder / "seqinfo.ini").write_text("[Sequence]\nseqLength=4\nframeRate=10\nimWidth=64\nimHeight=48\n")
    lines = [f"{frame},1,5,5,10,10,1,1,1\n" for frame in range(1, 5)] + ["2,2,20,20,9,9,1,1,1\n"]
    (folder / "gt/gt.txt").write_text("".join(lines))
    for number in range(1, 5):
        Image.new("RGB", (64, 48), (60 * number, 0, 0)).save(folder / f"img1/{number:06d}.png")


def test_the_boxes_of_given_tracks_are_those_of_their_keyframes(tmp_path: Path) -> None:
    _write_sequence(tmp_path)
    files = _check(tmp_path)
    assert (files.checked, files.bad, files.regions) == (1, 0, 4)
    assert files.total_bytes == sum(path.stat().st_size for path in (tmp_path / "img1").iterdir())


def test_a_video_that_cannot_be_read_is_bad(tmp_path: Path) -> None:
    _write_sequence(tmp_path / "a")
    (tmp_path / "a/img1/000001.png").write_bytes(b"no image")
    (tmp_path / "b.mp4").write_bytes(b"no video")
    files = _check(tmp_path)
    assert (files.checked, files.bad) == (2, 2)
    assert sum(files.bad_by_reason.values()) == 2
