"""A trained checkpoint goes out: its card, and the Hub, from which it loads again."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server import TOKEN, hub_server

from fo1_data.errors import CheckpointError
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.model_card import model_card
from fo1_data.training.run import train
from fo1_data.training.settings import TrainConfig

CONFIG = TrainConfig(
    steps=1, batch_images=2, questions_per_image=6, measured_images=2, validation_share=0.2, threads=1,
    device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("private-place")
    scenes = write_scenes(folder / "shapes", 12, 70, (3, 4))
    train([str(scenes)], 1, "fo1-tiny", folder / "tuned", CONFIG)
    return folder / "tuned"


def fo1(url: str, home: Path, *arguments: object, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        # The client gives up after 10 s by default, which a busy machine takes.
        "HF_HUB_ETAG_TIMEOUT": "120",
        "HF_HUB_DOWNLOAD_TIMEOUT": "120",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-c", "from fo1_data.cli.main import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)


def test_a_card_says_data_figures_settings_and_licence(trained: Path) -> None:
    for folder in (trained, trained / "best"):
        card = (folder / "README.md").read_text()
        assert card == model_card(folder)
        assert card.startswith('---\nlicense: other\nlicense_name: "Apache-2.0"\nlibrary_name: fo1-data\n')
        assert "`annotations.jsonl`, a corpus with gold" in card
        assert "| validation | caption | " in card
        assert "| `steps` | 1 |" in card
        assert "private-place" not in card


def test_a_pushed_checkpoint_loads_by_its_name(trained: Path, tmp_path: Path) -> None:
    with hub_server() as server:
        pushed = fo1(
            server.url, tmp_path, "model", "push", trained, "--repo", "team/tuned", "--private", "--json"
        )
        assert pushed.returncode == 0, pushed.stderr
        document: dict[str, Any] = json.loads(pushed.stdout)
        assert document["repo"] == "team/tuned"
        assert document["commit"].startswith(f"{server.url}/team/tuned/commit/")
        assert "team/tuned" in server.private
        files = server.files["team/tuned"]
        assert files["model.safetensors"] == (trained / "model.safetensors").read_bytes()
        assert {"README.md", "config.json", "vocab.json"} <= set(files)
        private = b"private-place"
        assert not [
            name for name, data in files.items() if private in data or "/" in name or name == "training.pt"
        ]
        info = fo1(server.url, tmp_path, "model", "info", "team/tuned", "--json")
        assert info.returncode == 0, info.stderr
        assert json.loads(info.stdout)["missing"] == []


def test_what_cannot_be_pushed_is_one_line(trained: Path, tmp_path: Path) -> None:
    with hub_server() as server:
        refused = fo1(
            server.url, tmp_path, "model", "push", trained, "--repo", "team/tuned", token="hf_other"
        )
        wrong = fo1(server.url, tmp_path, "model", "push", trained, "--repo", "not a name")
        nothing = fo1(server.url, tmp_path, "model", "push", tmp_path, "--repo", "team/tuned")
    with socket.socket() as bound:  # nobody listens, and nobody else gets its port
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        gone = fo1(url, tmp_path, "model", "push", trained, "--repo", "team/tuned")
    assert [done.returncode for done in (refused, gone, wrong, nothing)] == [1, 1, 2, 2]
    for done, text in (
        (refused, "the Hub did not take the checkpoint"),
        (gone, "the Hub did not take the checkpoint: [Errno 111] Connection refused"),
        (wrong, "--repo not a name"),
        (nothing, "no "),
    ):
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("fo1: ")]
        assert text in line
        assert "Traceback" not in done.stderr


def test_a_folder_that_no_run_wrote_has_no_card(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a folder of `fo1 train`"):
        model_card(tmp_path)
