"""What `fo1 label` says of rejected inputs at its end."""

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from fo1_data.runs.rejected_inputs import faults, frequent_reason, reasons_text


def fo1(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from fo1_data.cli.main import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_a_run_without_a_usable_image_is_an_error_with_its_reasons(tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    for name in ("a.png", "b.png"):
        (corpus / name).write_bytes(b"no image")
    (corpus / "c.jpg").write_bytes(b"")
    done = fo1("label", corpus, "--out", out, "--address", "in-process", "--json")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("fo1: ")]
    assert line.startswith("fo1: no image of the corpus could be used: ")
    assert "decode: not_an_image" in line
    assert f"{out}/rejects.parquet" in line
    assert sum(json.loads(done.stdout)["rejected_by_reason"].values()) == 3


def test_a_reason_of_over_half_of_the_inputs_is_named() -> None:
    reasons = {"fetch: not_found": 6, "decode: truncated": 1}
    assert frequent_reason(reasons, 5) is None
    assert frequent_reason(reasons, 4) == ("6 of 11 inputs were rejected for one reason (fetch: not_found)")
    assert frequent_reason({}, 4) is None
    assert faults(reasons | {"listing: ignored": 30}) == faults(reasons) == reasons
    assert reasons_text(reasons) == "6 x fetch: not_found, 1 x decode: truncated"


def test_the_end_names_the_reason_of_every_reject_and_a_kind_that_asks_nothing(tmp_path: Path) -> None:
    """Also of a box: its image is labelled."""
    Image.new("RGB", (80, 60), "navy").save(tmp_path / "a.png")
    regions = [{"box_xyxy": box} for box in ([5, 5, 40, 40], [50, 30, 50, 30])]
    (tmp_path / "a.jsonl").write_text(json.dumps({"image": "a.png", "regions": regions}) + "\n")
    options = ["--labels", "ground", "--address", "in-process"]
    done = fo1("label", tmp_path / "a.jsonl", "--out", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert ", 1 rejected (1 x box: no_area) in " in done.stdout
    assert "fo1: ground asks nothing: the corpus has no phrases" in done.stderr
