"""Routing from the dashboard: the slider shows what a bound accepts, and the button makes that version."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from dashboard_site import chromium_page, on_a_port
from made_up_labels import MODEL_SHA256, made_row, write_dataset
from running_service import make_settings, run_app
from test_dashboard import log_in, token_of
from test_datasets_api import indexed, registered
from test_operations import finished

from fo1_data.confidence.calibration import fit_kind
from fo1_data.confidence.judged_kind import JudgedKind
from fo1_data.confidence.signal_columns import signals_of
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import RunError
from schemas.calibration import Calibration
from schemas.labels import LabelKind
from services.operations.command import Command

NUM_ROWS = 160


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a labelled dataset and a calibration of its captions."""
    folder = tmp_path_factory.mktemp("routing")
    rows = [made_row(number) for number in range(NUM_ROWS)]
    write_dataset(folder / "dataset", rows)
    labels = [(row.image_id, region.labels[0]) for row in rows for region in row.regions]
    right = np.array([label.text.startswith("right") for _, label in labels])
    every = np.ones(len(labels), dtype=bool)
    judged = JudgedKind(
        [image_id for image_id, _ in labels], [signals_of(label) for _, label in labels],
        every, right, every, every, ~every,
    )  # fmt: skip
    calibration = Calibration(
        created_at="2026-01-01T00:00:00Z", model_sha256=MODEL_SHA256, proposer="corpus", prompts_version="1",
        dataset="dataset", gold="gold.jsonl", caption_match="exact", seed=0,
        kinds={LabelKind.BRIEF_CAPTION: fit_kind(judged, families=["logistic"], num_folds=2)},
    )  # fmt: skip
    (folder / "C.json").write_text(calibration.model_dump_json())
    return folder


@pytest.fixture(scope="module")
def site(made: Path) -> Iterator[Any]:
    """A service whose dataset is `made`; its address, keys and the dataset's id."""
    from types import SimpleNamespace

    settings = make_settings(made / "home", public_url=None)

    async def prepare() -> tuple[dict[str, str], str]:
        async with run_app(settings) as service:
            dataset = await registered(service, made / "dataset")
            return service.keys, dataset["id"]

    keys, dataset = asyncio.run(prepare())
    with on_a_port(settings) as url:
        yield SimpleNamespace(url=url, keys=keys, dataset=dataset)


def test_a_person_routes_with_the_slider(made: Path, site: Any) -> None:
    from playwright.sync_api import expect

    with chromium_page(site) as page:
        page.goto(f"{site.url}/datasets/{site.dataset}/routing")
        expect(page.locator("main")).to_contain_text("No calibration")
        page.get_by_label("Calibration").fill(str(made / "C.json"))
        page.get_by_role("button", name="Use").click()
        slider = page.get_by_label("Largest error")
        expect(slider).to_be_visible(timeout=120_000)
        points = json.loads(page.locator("#routing").get_attribute("data-curve"))["points"]
        slider.press("Home")
        expect(page.locator("#bound")).to_have_text("0.5 %")
        expect(page.locator("#told")).to_contain_text("Nothing can be accepted")
        slider.press("End")
        expect(page.locator("#bound")).to_have_text("40 %")
        expect(page.locator("#share")).to_have_text(f"{100 * points[-1]['accepted_share']:.0f} %")
        expect(page.locator("#told")).to_contain_text("at most 40 % with a probability of 90 %")
        page.get_by_label("New version in").fill(str(made / "routed"))
        page.locator("[name=audit]").fill("0")
        page.get_by_role("button", name="Route").click()
        link = page.locator("#routings .state.succeeded + .name a")
        expect(link).to_be_visible(timeout=120_000)
        expect(slider).to_be_visible()
        page.goto(f"{site.url}/datasets")
        expect(page.locator("main")).to_contain_text("version 2")
    counts = open_dataset(str(made / "routed")).manifest.counts
    assert counts.accepted == points[-1]["accepted"]


def test_what_cannot_be_routed_is_told(made: Path, site: Any) -> None:
    address = f"/datasets/{site.dataset}/routing"
    form = {"max_error": "0.2", "calibration": str(made / "C.json"), "out": str(made / "other")}
    with httpx.Client(base_url=site.url, headers={"Accept": "text/html"}) as client:
        client.post("/login", data={"key": site.keys["label"]})
        token = token_of(client.get(address).text)
        outside = client.get(address, params={"calibration": "/etc/passwd"})
        assert "cannot be used" in outside.text
        assert "no gold" not in outside.text
        nothing = client.get(address, params={"calibration": str(made / "none.json")})
        assert "cannot be used" in nothing.text
        assert client.post(address, data=form).status_code == 403
        send = {**form, "token": token}
        assert client.post(address, data={**send, "out": "/etc/x"}).status_code == 403
        assert client.post(address, data={**send, "out": str(made / "dataset")}).status_code == 409
        assert client.post(address, data={**send, "max_error": "2"}).status_code == 422
        client.cookies.clear()
        client.post("/login", data={"key": site.keys["read"]})
        token = token_of(client.get(address).text)
        assert client.post(address, data={**form, "token": token}).status_code == 403


async def test_a_dataset_is_routed_over_http(made: Path) -> None:
    async with run_app(make_settings(made / "home-http", public_url=None)) as service:
        dataset = await registered(service, made / "dataset")
        body = {"dataset": dataset["id"], "max_error": 0.3, "out": str(made / "routed-http")}
        without = await service.client.post("/v1/routings", json=body)
        assert (without.status_code, "made without one" in without.text) == (422, True)
        body["calibration"] = str(made / "C.json")
        headers = {"Idempotency-Key": "once"}
        answers = [await service.client.post("/v1/routings", json=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202], answers[0].text
        assert answers[0].json()["id"] == answers[1].json()["id"]
        routing = await finished(service, answers[0].json())
        assert (routing["error"], routing["result"]["counts"]["accepted"] > 0) == (None, True)
        version = (await service.client.get(f"/v1/datasets/{routing['result']['dataset_id']}")).json()
        assert version["address"] == body["out"]
        assert version["manifest"]["routing"]["max_error"] == 0.3
        async with log_in(service) as visitor:
            page = f"/operations/{routing['id']}"
            assert "See version 2" in (await visitor.get(page)).text
            await indexed(service, version["id"])
            assert (await service.client.delete(f"/v1/datasets/{version['id']}")).status_code == 204
            assert "no longer registered" in (await visitor.get(page)).text
        refused = {
            "out": {403: "/etc/x", 409: body["out"]},
            "calibration": {403: "/etc/passwd", 422: str(made / "none.json")},
            "max_error": {422: 1.0},
        }
        for field, values in refused.items():
            for status, value in values.items():
                changed = {**body, "out": str(made / "new"), field: value}
                answer = await service.client.post("/v1/routings", json=changed)
                assert answer.status_code == status, (field, answer.text)
        assert len((await service.client.get("/v1/operations")).json()["items"]) == 1


async def test_a_command_that_refuses_its_arguments_says_why(made: Path, tmp_path: Path) -> None:
    arguments = ["route", str(made / "dataset"), "--max-error", "0.1", "--out", str(made / "x")]
    with pytest.raises(RunError, match="needs --calibration|calibration"):
        await Command(arguments, tmp_path, [str(made), str(tmp_path)], public_only=True).run()
