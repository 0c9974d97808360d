"""`fo1 plan` accounts for every source of a corpus, and fails on rejected content if asked."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fo1_data.cli.main import app

CASES = Path(__file__).parents[1] / "cases"
PLAN = ["--address", "in-process", "--no-measure", "--json"]


def plan(corpus: Path, *options: str) -> tuple[int, dict[str, object], str]:
    result = CliRunner().invoke(app, ["plan", str(corpus), *PLAN, *options])
    return result.exit_code, json.loads(result.stdout), result.stderr


def test_sources_and_rejects_are_told() -> None:
    corpus = CASES / "coco-one-id-for-two-files" / "input" / "ann.json"
    exit_code, document, told = plan(corpus)
    (source,) = document["sources"]  # type: ignore[misc]
    assert (source["found"], source["attached"], source["rejected"]) == (
        {"images": 2, "boxes": 1},
        {"images": 2},
        {"boxes": 1},
    )
    assert "ann.json: 2 images attached; a.png and b.png both have the id 4, with 1 box" in told
    assert (exit_code, document["problems"]) == (0, [])
    exit_code, document, _ = plan(corpus, "--strict")
    assert (exit_code, document["problems"]) == (1, ["1 part of the corpus rejected (--strict)"])


def test_what_a_corpus_itself_leaves_out_is_no_fault(tmp_path: Path) -> None:
    """A sequence as MOT17 publishes it: boxes that are not scored, and detections of no track."""
    sequence = tmp_path / "MOT17-02"
    for name, text in (
        ("seqinfo.ini", "[Sequence]\nname=MOT17-02\nframeRate=30\nseqLength=2\nimWidth=64\nimHeight=48\n"),
        ("gt/gt.txt", "1,1,5,5,20,20,1,1,1\n2,1,6,5,20,20,1,1,1\n1,2,30,5,9,9,0,8,1\n"),
        ("det/det.txt", "1,-1,5,5,20,20,0.9\n2,-1,5,5,20,20,0\n"),
    ):
        (sequence / name).parent.mkdir(parents=True, exist_ok=True)
        (sequence / name).write_text(text)
    (sequence / "img1").mkdir()
    for number in (1, 2):
        Image.new("RGB", (64, 48)).save(sequence / "img1" / f"{number:06d}.jpg")
    exit_code, document, told = plan(tmp_path, "--strict")
    assert (exit_code, document["problems"]) == (0, [])
    assert "2 detections of no track are not read" in told
    assert "1 box of confidence 0" in told
    (sequence / "gt/gt.txt").write_text("1,1,5,5,20,20,1,1,1\nno line\n")
    exit_code, document, _ = plan(tmp_path, "--strict")
    assert (exit_code, document["problems"]) == (1, ["1 part of the corpus rejected (--strict)"])


def test_videos_are_told_apart_from_images(tmp_path: Path) -> None:
    """The line of the source and the summary, of a sequence of two images beside a single one."""
    sequence = tmp_path / "clip"
    (sequence / "img1").mkdir(parents=True)
    (sequence / "gt").mkdir()
    (sequence / "seqinfo.ini").write_text("[Sequence]\nframeRate=30\nseqLength=2\nimWidth=64\nimHeight=48\n")
    (sequence / "gt/gt.txt").write_text("1,1,5,5,20,20,1,1,1\n2,1,6,5,20,20,1,1,1\n")
    for number in (1, 2):
        Image.new("RGB", (64, 48)).save(sequence / "img1" / f"{number:06d}.jpg")
    _, document, told = plan(tmp_path)
    assert "gt.txt: 2 boxes, 1 track of 1 video attached" in told
    (source,) = document["sources"]  # type: ignore[misc]
    assert source["attached"] == {"images": 1, "boxes": 2, "tracks": 1}
    assert "videos" not in source
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    told = CliRunner().invoke(app, ["plan", str(tmp_path), *PLAN[:-1]]).output
    assert "\n1 image and 1 video in 2 shards, 0 not listed\n" in told
    frames = CliRunner().invoke(app, ["plan", str(tmp_path), *PLAN[:-1], "--tracker", "none"]).output
    assert "\n3 images in 1 shard, 0 not listed\n" in frames


def test_a_guessed_frame_is_told() -> None:
    _, document, told = plan(CASES / "yolo-turned-photograph" / "input")
    assert document["files"]["guessed_frames"] == 1  # type: ignore[index]
    assert "1 image is turned or mirrored" in told


def test_further_pages_are_told(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (80, 60), colour) for colour in ("navy", "gold", "red")]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.tif")
    for options in ([], ["--tile-px", "64"]):
        _, document, told = plan(tmp_path, "--proposals", "fo1-tiny", *options)
        assert document["files"]["further_pages"] == 1  # type: ignore[index]
        assert "1 file holds further pages or frames, which were not read" in told


def test_a_size_that_does_not_fit_is_a_bad_file() -> None:
    _, document, _ = plan(CASES / "coco-size-before-shrinking" / "input" / "ann.json")
    assert document["files"]["bad_by_reason"] == {"box: other_size": 1}  # type: ignore[index]


def corpus_of(folder: Path, **members: object) -> Path:
    """Three images of one box each and one without area; the third is a copy of the first."""
    lines = []
    for number, colour in enumerate(("navy", "gold", "navy")):
        Image.new("RGB", (80, 60), colour).save(folder / f"{number}.png")
        boxes = [[5, 5, 40, 40], [50, 30, 50, 30]]
        regions = [{"box_xyxy": box} for box in boxes]
        lines.append(json.dumps({"image": f"{number}.png", "regions": regions, **members}))
    (folder / "a.jsonl").write_text("\n".join(lines))
    return folder / "a.jsonl"


def test_boxes_of_the_corpus_are_counted_as_a_run_will_label_them(tmp_path: Path) -> None:
    _, document, _ = plan(corpus_of(tmp_path), "--labels", "brief_caption")
    assert document["estimate"]["regions"] == document["estimate"]["labels"] == 2  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "members", "told"),
    [
        (["ground"], {}, "ground asks nothing"),
        (["ground"], {"phrases": [{"text": "card"}]}, None),
        (["visual_example"], {}, "visual_example asks nothing"),
        (["detect,count", "--vocabulary", "@corpus"], {}, "detect and count ask nothing"),
        (["count", "--vocabulary", "@corpus"], {"counts": [{"text": "card", "count": 1}]}, None),
        (["count", "--vocabulary", "@corpus,dog"], {}, None),
    ],
)
def test_a_kind_that_asks_nothing_is_a_problem(
    options: list[str], members: dict[str, object], told: str | None, tmp_path: Path
) -> None:
    exit_code, document, _ = plan(corpus_of(tmp_path, **members), "--labels", *options)
    problems = document["problems"]
    assert isinstance(problems, list)
    if told is None:
        assert (exit_code, problems) == (0, [])
    else:
        assert exit_code == 1
        assert [problem for problem in problems if problem.startswith(told)] == problems
