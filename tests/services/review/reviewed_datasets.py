"""What Label Studio says of predictions, and a dataset after its review: for the tests of reviews."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import Pair

from fo1_data.dataset.reader import open_dataset
from services.label_studio.labelling_config import CONFIG
from services.label_studio.server import install


def problems_by_label_studio(tasks: list[dict[str, Any]], config: str = CONFIG) -> list[str]:
    """What the judgement of Label Studio's own package has against the predictions."""
    code = (
        "import json, sys; from label_studio_sdk.label_interface import LabelInterface\n"
        "given = json.load(sys.stdin); face = LabelInterface(given['config'])\n"
        "print(json.dumps([e for p in given['predictions']"
        " for e in face.validate_prediction(p, return_errors=True) or []]))"
    )
    predictions = [
        {name: entry[name] for name in ("model_version", "score", "result")}
        for task in tasks
        for entry in task["predictions"]
    ]
    done = subprocess.run(
        [str(install().with_name("python")), "-c", code],
        input=json.dumps({"config": config, "predictions": predictions}),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def merge_reviewed(pair: Pair, dataset: Path, corrections: str, out: Path) -> dict[str, Any]:
    environment = {**os.environ, "FO1_SERVICE_URL": pair.url, "FO1_API_KEY": pair.key}
    command = [sys.executable, "-m", "fo1_data.cli.main", "dataset", "merge", str(dataset)]
    command += ["--corrections", corrections, "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return {row.image_id: row for row in open_dataset(str(out)).rows()}
