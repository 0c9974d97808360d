"""The program of faults itself: a dozen faults in one process, and that it would find what it looks for."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fo1_data.runs.in_process import IN_PROCESS

TESTS = Path(__file__).resolve().parents[1]
FOLDERS = [TESTS / "faults", TESTS / "actors", TESTS / "services", TESTS / "services" / "review", TESTS]
NUM_FAULTS = 12


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of the program, which are no package."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(folder))


def inject(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TESTS / "faults" / "inject.py"), "--seed", "5", "--folder", str(folder)]
    paths = os.pathsep.join(map(str, [TESTS.parent, *FOLDERS]))
    return subprocess.run(
        [*command, "--only", "one process", *options],
        env={**os.environ, "PYTHONPATH": paths, "QUICK_IMAGE_S": "0.05"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dozen_faults_in_one_process_cost_nothing(tmp_path: Path) -> None:
    ended = inject(tmp_path, "--faults", str(NUM_FAULTS))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    last = ended.stdout.splitlines()[-1]
    assert re.fullmatch(r"\d+ faults \(.+\): 0 lost, 0 doubled, 0 changed, 0 invalid", last)
    assert int(last.split()[0]) >= NUM_FAULTS
    again = inject(tmp_path, "--faults", str(NUM_FAULTS))
    assert again.stdout.splitlines() == [last]
    one_more = inject(tmp_path, "--faults", "1000", "--segments", "1")
    assert len(one_more.stdout.splitlines()) == 2, one_more.stdout


@pytest.mark.usefixtures("program")
def test_a_process_whose_clock_jumps_can_wait(tmp_path: Path) -> None:
    from injectors import FAKETIME, Clock

    if not FAKETIME:
        pytest.skip("no libfaketime: clocks do not jump")
    clock = Clock(tmp_path / "clock")
    for seconds in (0, 3600, -3600):
        clock.jump(seconds)
        program = (
            "import time; now = time.monotonic(); time.sleep(0.05); assert time.monotonic() - now >= 0.05"
        )
        environment = {**os.environ, **clock.environment}
        assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == 0


@pytest.mark.usefixtures("program")
def test_what_is_lost_doubled_or_changed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ledger
    from label_driver import label
    from ledger import Findings, check_labelled, check_rows
    from made_corpus import make_corpus

    corpus = make_corpus(tmp_path / "corpus", random.Random(1), 8)
    other = make_corpus(tmp_path / "other-corpus", random.Random(2), 8)
    for name, place in (("calm", corpus), ("same", corpus), ("other", other)):
        label(str(place), str(tmp_path / name), IN_PROCESS)
    calm = str(tmp_path / "calm")
    assert not check_labelled(corpus, str(tmp_path / "same"), calm)
    changed = check_labelled(corpus, str(tmp_path / "other"), calm)
    assert len(changed.changed) >= 8
    assert not changed.lost
    (corpus / "900.png").write_bytes((corpus / "001.png").read_bytes())
    assert check_labelled(corpus, str(tmp_path / "same"), calm).lost == ["900.png"]
    (corpus / "900.png").unlink()
    with (corpus / "annotations.jsonl").open("a") as lines:
        lines.write(
            '{"image": "000.png", "width": 24, "height": 40, "regions": [{"box_xyxy": [1, 2, 9, 9]}]}\n'
        )
    (lost,) = check_labelled(corpus, str(tmp_path / "same"), calm).lost
    assert lost.startswith("annotations: ")

    same = Findings()
    check_rows(str(tmp_path / "same"), calm, same)
    assert not same
    read, doubled = ledger.comparable, Findings()
    monkeypatch.setattr(ledger, "comparable", lambda out: [*read(out), read(out)[0]])
    check_rows(str(tmp_path / "same"), calm, doubled)
    assert doubled.doubled == [read(tmp_path / "same")[0]["image_id"]]
