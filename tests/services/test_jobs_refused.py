"""What cannot work is told when a job is asked for, as a problem document, and nothing is queued."""

import json
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_row
from running_service import Running, make_settings, run_app

from fo1_data.dataset.lease import Lease
from fo1_data.errors import ConfigError
from fo1_data.runs.in_process import run_in_process
from fo1_data.storage.store import open_store
from schemas.jobs import RunConfig
from services.jobs.check import refuse_unplaceable
from services.jobs.opinion_servers import variables
from services.problems import Problem

HALF = "\\ud800"


async def refusal(service: Running, body: dict[str, Any], text: str | None = None) -> tuple[int, str]:
    content = json.dumps(body) if text is None else text
    answer = await service.client.post(
        "/v1/jobs", content=content, headers={"content-type": "application/json"}
    )
    if answer.status_code != 201:
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json()["detail"]
    return 201, answer.json()["id"]


def job_body(folder: Path, out: str = "out", **more: Any) -> dict[str, Any]:
    (folder / "corpus").mkdir(exist_ok=True)
    return {"corpus": str(folder / "corpus"), "out": str(folder / out), **more}


@pytest.fixture
def idle(home: Path) -> Any:
    """Settings of a service whose jobs stay queued: its Ray does not answer."""
    return make_settings(home, ray_address="http://127.0.0.1:9", reconcile_every_s=600)


async def test_half_of_a_surrogate_pair_is_told_wherever_it_is(tmp_path: Path, idle: Any) -> None:
    async with run_app(idle) as service:
        for field, value in {
            **dict.fromkeys(("corpus", "out", "name", "question", "phrases", "model", "parent"), "x@"),
            "vocabulary": ["a", "b@"],
            "unknown@": 1,
            "actors": "1@",
        }.items():
            body = job_body(tmp_path) | {field: value}
            status, detail = await refusal(service, {}, json.dumps(body).replace("@", HALF))
            assert status == 422, (field, detail)
        for path, text in (
            ("/ml/predict", f'{{"tasks": [{{"data": {{"image": "/x{HALF}"}}}}]}}'),
            ("/v1/predict", f'{{"image": "{HALF}"}}'),
            ("/v1/reviews", f'{{"dataset": "{HALF}"}}'),
        ):
            answer = await service.client.post(
                path, content=text, headers={"content-type": "application/json"}
            )
            assert 400 <= answer.status_code < 500, (path, answer.text)


async def test_a_folder_that_is_taken_is_told(tmp_path: Path, idle: Any) -> None:
    make_dataset(tmp_path / "merged", [make_row(1, folder=tmp_path / "images")])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("not a dataset")
    async with run_app(idle) as service:
        assert (await refusal(service, job_body(tmp_path)))[0] == 201
        for out in ("out", "out/inside", "."):
            status, detail = await refusal(service, job_body(tmp_path, out))
            assert (status, "is at work on" in detail) == (409, True), (out, detail)
        for out, words in {
            "merged": "begun under other settings",
            "notes": "no run of ours",
            "merged/x": "lies in",
        }.items():
            status, detail = await refusal(service, job_body(tmp_path, out))
            assert (status, words in detail) == (409, True), (out, detail)
        with Lease(open_store(str(tmp_path / "elsewhere"))):
            status, detail = await refusal(service, job_body(tmp_path, "elsewhere"))
            assert (status, "is being written" in detail) == (409, True), detail
        assert len((await service.client.get("/v1/jobs")).json()["items"]) == 1


async def test_a_run_is_continued_with_its_settings_only(tmp_path: Path, idle: Any, small_run: Any) -> None:
    async with run_app(idle) as service:
        status, detail = await refusal(service, {**small_run, "vocabulary": ["ring"]})
        assert (status, "vocabulary" in detail) == (409, True), detail
        assert (await refusal(service, {**small_run, "actors": "1"}))[0] == 201


@pytest.fixture
def small_run(tmp_path: Path) -> dict[str, Any]:
    """The settings of a finished run without an image that can be used."""
    body = job_body(tmp_path, "finished", labels=["brief_caption"], proposals="corpus")
    (tmp_path / "corpus" / "0.png").write_bytes(b"no image")
    run_in_process(RunConfig(**body))
    return body


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"actors": "3"}, "can never hold 3 labellers with 1 CPU and 1 GPU each: 2 fit"),
        ({"actors": "9", "gpus_per_actor": 0.25}, "9 labellers with 1 CPU and 0.25 GPU each: 8 fit"),
        ({"gpus_per_actor": 1.5}, "gpus_per_actor: a labeller reserves a share of one GPU, or whole GPUs"),
        ({"actors": "2", "gpus_per_actor": 1.0}, None),
        ({"actors": "16", "gpus_per_actor": 0.0}, None),
    ],
)
def test_what_the_cluster_can_never_hold_is_told(settings: dict[str, Any], words: str | None) -> None:
    config = RunConfig(corpus="/c", out="/o", **settings)
    nodes = [{"CPU": 16.0, "GPU": 2.0}]
    if words is None:
        refuse_unplaceable(config, nodes)
        return
    with pytest.raises(Problem) as refused:
        refuse_unplaceable(config, nodes)
    assert words in refused.value.detail


async def test_pictures_go_only_to_servers_that_the_operator_lists(tmp_path: Path, home: Path) -> None:
    listed = {"second_opinion_servers": ["http://vllm:8000/v1/"], "second_opinion_key": "hidden"}
    never = {"ray_address": "http://127.0.0.1:9", "reconcile_every_s": 600}
    async with run_app(make_settings(home, **listed, **never)) as service:
        for address in ("http://other/v1#tiny", "http://vllm:8000/v1@other#tiny", "http://vllm:8000"):
            status, detail = await refusal(service, job_body(tmp_path, second_opinion=address))
            assert (status, "one of http://vllm:8000/v1" in detail) == (403, True), (address, detail)
        status, _ = await refusal(service, job_body(tmp_path, second_opinion="http://vllm:8000/v1#tiny"))
        assert status == 201


def test_only_runs_that_ask_a_listed_server_get_its_key(home: Path) -> None:
    settings = make_settings(home, second_opinion_servers=["http://vllm/v1"], second_opinion_key="hidden")
    asks, asks_nobody, asks_here = (
        RunConfig(corpus="/c", out="/o", second_opinion=spec) for spec in ("http://vllm/v1#tiny", None, "/m")
    )
    assert variables(asks, settings) == {"FO1_SECOND_OPINION_KEY": "hidden"}
    assert variables(asks_nobody, settings) == variables(asks_here, settings) == {}
    with pytest.raises(ConfigError, match=r"\(none\): have the address added to FO1_SECOND_OPINION_SERVERS"):
        variables(asks, make_settings(home, second_opinion_key="hidden"))


@pytest.mark.parametrize("address", ["vllm:8000", "http://vllm/v1#tiny"])
def test_a_server_of_the_settings_is_an_address(home: Path, address: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a server"):
        make_settings(home, second_opinion_servers=[address])
