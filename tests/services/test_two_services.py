"""Two services of one user on one machine: each has a Ray of its own, which only this machine can reach."""

import asyncio
import base64
import json
import shutil
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest
from factories import encode, make_boxes, make_image
from running_service import Running, make_settings, run_app

WITHIN_S = 280


def listening(service: Running) -> set[tuple[str, str]]:
    """What the service's Ray and everything on it listens on: the process and the address."""
    record = service.context.cluster._local.find()
    found = set()
    if record is not None:
        head = psutil.Process(record.pid)
        for process in (head, *head.children(recursive=True)):
            try:
                sockets = process.net_connections("inet")
                name = " ".join(process.cmdline()[:4])
            except psutil.Error:
                continue
            found |= {(name, entry.laddr.ip) for entry in sockets if entry.status == psutil.CONN_LISTEN}
    return found


def is_loopback(address: str) -> bool:
    return ip_address(address.removeprefix("::ffff:")).is_loopback


async def label(service: Running, corpus: Path, out: Path) -> str:
    body: dict[str, Any] = {
        "corpus": str(corpus),
        "out": str(out),
        "labels": ["brief_caption"],
        "proposals": "corpus",
    }
    body["vocabulary"] = [f"word {number}" for number in range(20_000)]  # more than a shell word can hold
    answer = await service.client.post("/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_each_has_a_ray_of_its_own_on_loopback(tmp_path: Path) -> None:
    picture, boxes = tmp_path / "corpus" / "0.png", make_boxes(2)
    picture.parent.mkdir()
    picture.write_bytes(encode(make_image(boxes=boxes)))
    regions = [{"box_xyxy": box, "label": "thing"} for box in boxes]
    corpus = picture.with_name("annotations.jsonl")
    corpus.write_text(json.dumps({"image": "0.png", "width": 64, "height": 48, "regions": regions}))
    homes = [make_settings(tmp_path / name / "home", storage_roots=[str(tmp_path)]) for name in "ab"]
    async with run_app(homes[0]) as first, run_app(homes[1]) as second:
        services = (first, second)
        try:
            jobs = [await label(service, corpus, tmp_path / f"out-{n}") for n, service in enumerate(services)]
            states: list[str] = []
            sockets: set[tuple[str, str]] = set()
            async with asyncio.timeout(WITHIN_S):
                while set(states) != {"succeeded"}:
                    assert not {"failed", "cancelled"} & set(states), states
                    sockets |= listening(first) | listening(second)
                    await asyncio.sleep(1.0)
                    found = zip(services, jobs, strict=True)
                    answers = [await service.client.get(f"/v1/jobs/{job_id}") for service, job_id in found]
                    states = [answer.json()["state"] for answer in answers]
                question = {"image": base64.b64encode(picture.read_bytes()).decode(), "boxes_xyxy": boxes[:1]}
                while (await first.client.post("/v1/predict", json=question)).status_code == 503:
                    pass
                sockets |= listening(first)
            folders = [service.context.cluster._local._folder for service in services]
            assert folders[0] != folders[1]
            assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 2
            open_to_others = [
                str(path)
                for settings in homes
                for path in (settings.home, *settings.home.rglob("*"))
                if path.stat().st_mode & 0o077
            ]
            assert open_to_others == []
        finally:
            for service in services:
                await service.context.cluster.stop_local()
                shutil.rmtree(service.context.cluster._local._folder, ignore_errors=True)
    names = " ".join(name for name, _ in sockets)
    assert all(part in names for part in ("gcs_server", "raylet", "ServeReplica"))
    assert "ray.util.client.server" not in names
    assert [entry for entry in sockets if not is_loopback(entry[1])] == []
