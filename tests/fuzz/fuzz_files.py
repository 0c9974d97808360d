"""Files that the project wrote, or that people write for it: each is read, or refused in one line."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from factories import make_dataset
from fuzz_target import Broken, Runner, check
from made_corpora import damaged
from odd_values import ODD_TEXTS, change, changed_text, num_changes

from fo1_data.confidence.calibration import fit_kind
from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.confidence.judged_kind import JudgedKind
from fo1_data.config import load_run
from fo1_data.corpus.forms.track_files import read_track_file
from fo1_data.dataset.corrections.sources import read_corrections
from fo1_data.dataset.done_shards import DoneShards
from fo1_data.dataset.manifest import find_manifest
from fo1_data.errors import Fo1Error
from fo1_data.labelling.word_lists import read_phrases
from fo1_data.proposals.file_boxes import FileBoxes
from fo1_data.storage.store import open_store
from fo1_data.training.settings import load_train_config
from schemas.calibration import Calibration
from schemas.corrections import Correction, CorrectionAction, CorrectionValue
from schemas.labels import LabelKind

Reader = Callable[[Path], Any]


@contextmanager
def files(folder: Path) -> Iterator[Runner]:
    make_dataset(folder / "dataset")
    shard = next((folder / "dataset" / ".run" / "shards").iterdir())
    manifest = json.loads((folder / "dataset" / "manifest.json").read_text())
    kinds: list[tuple[str, Any, Reader]] = [
        ("manifest.json", manifest, lambda path: find_manifest(open_store(str(path.parent)))),
        ("corrections.jsonl", _corrections(), lambda path: read_corrections(str(path))),
        ("boxes.jsonl", _boxes(), lambda path: FileBoxes(str(path))),
        ("gt.txt", _mot(), _read_tracks),
        ("tracks.jsonl", _tracks(), _read_tracks),
        ("run.toml", _toml(), lambda path: load_run(str(path))),
        (
            "train.toml",
            "epochs = 2\nlearning_rate = 1e-4\nbatch_size = 4\n",
            lambda path: load_train_config(str(path)),
        ),
        ("phrases.txt", "a cat\nthe red dog\n", lambda path: read_phrases(str(path))),
        ("calibration.json", _calibration(), lambda path: read_calibration(str(path))),
        (f".run/shards/{shard.name}", json.loads(shard.read_text()), _read_marker),
    ]

    def run(chance: random.Random) -> str:
        name, sample, read = chance.choice(kinds)
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_changed(sample, name, chance))
        outcomes = [_outcome(name, read, path) for _ in range(2)]
        check(outcomes[0] == outcomes[1], "two ways:", outcomes)
        return outcomes[0].partition(":")[0]

    yield run


def _outcome(name: str, read: Reader, path: Path) -> str:
    try:
        read(path)
    except Fo1Error as error:
        check("\n" not in str(error) and len(str(error)) < 20_000, "not one line:", error)
        return f"refused: {error}"
    except Broken:
        raise
    return "read"


def _changed(sample: Any, name: str, chance: random.Random) -> bytes:
    """A sample after some changes: of its structure if it is JSON, else of its text."""
    times = num_changes(chance)
    if isinstance(sample, str):
        for _ in range(times):
            lines = sample.split("\n")
            place = chance.randrange(len(lines))
            lines[place] = chance.choice(
                (changed_text(lines[place], chance), chance.choice(ODD_TEXTS), lines[-1])
            )
            sample = "\n".join(lines)
        return damaged(sample, chance)[0]
    document = json.loads(json.dumps(sample))
    change(document, chance, times)
    is_lines = name.endswith("jsonl") and isinstance(document, list)
    lines = [json.dumps(part, default=str) for part in (document if is_lines else [document])]
    if chance.random() < 0.02:
        lines[:1] = [chance.choice(("[" * 30_000, '{"a":' * 30_000, "9" * 6000, "\x00"))]
    return damaged("\n".join(lines), chance)[0]


def _corrections() -> list[Any]:
    value = CorrectionValue(text="a cat")
    box = CorrectionValue(box_xyxy=(1.0, 2.0, 3.0, 4.0))
    common = {"image_id": "ab" * 32, "at": "2026-01-02T03:04:05.000006Z", "annotator": "ann"}
    parts = [
        Correction(
            action=CorrectionAction.RECAPTIONED, region_id="r", kind="brief_caption", after=value, **common
        ),
        Correction(action=CorrectionAction.ADDED, after=box, **common),
        Correction(
            action=CorrectionAction.VERDICT, region_id="r", kind="brief_caption", right=True, **common
        ),
    ]
    return [part.model_dump(mode="json", exclude_none=True) for part in parts]


def _boxes() -> list[Any]:
    return [
        {"image": "a.png", "width": 10, "height": 8, "boxes": [[1, 2, 3, 4]]},
        {"image": "b.png", "regions": [{"box_xyxy": [1, 2, 3, 4], "label": "cat"}]},
        {"image": "b.png", "box_xyxy": [1, 2, 3, 4]},
    ]


def _mot() -> str:
    return "".join(f"{frame},{number},10,20,30,40,1,1,0.9\n" for frame in (1, 2, 3) for number in (1, 2))


def _tracks() -> list[Any]:
    track = {
        "id": "1",
        "label": "cat",
        "frames": [0, 2],
        "boxes_xyxy": [[1, 2, 3, 4]] * 2,
        "scores": [0.5, 1],
    }
    return [{"video": "v.mp4", "width": 10, "height": 8, "fps": 10, "num_frames": 3, "tracks": [track]}]


def _toml() -> str:
    return (
        'corpus = "/c"\nout = "/o"\nlabels = ["brief_caption", "detect"]\nvocabulary = ["cat"]\n'
        'shard_size = 8\ntile_px = "auto"\n'
        'actors = "1:2"\nmax_error = 0.05\naudit = 0.1\nbands = [3, 2, 1]\nstretch = "minmax"\n'
    )


def _calibration() -> Any:
    """A fitted calibration of captions."""
    names = [f"{number:064x}" for number in range(40)]
    every = np.ones(len(names), dtype=bool)
    right = np.arange(len(names)) % 3 > 0
    signals = [{"logprob_min": -float(number % 7), "margin_min": number / 40} for number in range(len(names))]
    kind = fit_kind(
        JudgedKind(names, signals, every, right, every, every, ~every), families=["logistic"], num_folds=2
    )
    calibration = Calibration(
        created_at="2026-01-01T00:00:00Z",
        model_sha256="ab" * 32,
        proposer="corpus",
        prompts_version="1",
        dataset="dataset",
        gold="gold.jsonl",
        caption_match="exact",
        seed=0,
        kinds={LabelKind.BRIEF_CAPTION: kind},
    )
    return calibration.model_dump(mode="json")


def _read_tracks(path: Path) -> Any:
    return read_track_file(str(path), is_gold=True)


def _read_marker(path: Path) -> Any:
    shards = DoneShards(open_store(str(path.parents[2])), ".run")
    shards.load()
    return list(shards.reports())
