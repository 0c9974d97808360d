"""The OpenAPI document describes what the service answers."""

from pathlib import Path
from typing import Any

from factories import make_count, make_dataset, make_row
from running_service import make_settings, run_app
from test_dashboard import a_job
from test_datasets_api import registered

from schemas.labels import Decision
from services.jobs.states import JobState


async def test_every_member_of_an_answer_is_documented(tmp_path: Path, home: Path) -> None:
    row = make_row(0, num_regions=2, decisions=[Decision.REVIEW], folder=tmp_path / "images")
    row.counts = [make_count(row.regions)]
    make_dataset(tmp_path / "ds", [row])
    async with run_app(make_settings(home, ray_address="http://127.0.0.1:9")) as service:
        schemas = service.app.openapi()["components"]["schemas"]

        def undocumented(value: Any, schema: dict[str, Any], at: str) -> list[str]:
            schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
            if "anyOf" in schema:
                tried = [undocumented(value, option, at) for option in schema["anyOf"]]
                return min(tried, key=len)
            if isinstance(value, list):
                return [path for part in value for path in undocumented(part, schema.get("items", {}), at)]
            if not isinstance(value, dict) or schema.get("additionalProperties") is True:
                return []
            members = schema.get("properties", {})
            free = [f"{at}.{name}" for name in value if name not in members]
            inner = [
                undocumented(value[name], members[name], f"{at}.{name}") for name in value if name in members
            ]
            return free + [path for paths in inner for path in paths]

        dataset = await registered(service, tmp_path / "ds")
        await a_job(service, tmp_path, JobState.RUNNING)
        paths = {
            "DatasetDetail": f"/v1/datasets/{dataset['id']}",
            "Page_DatasetView_": "/v1/datasets",
            "Page_SampleView_": f"/v1/datasets/{dataset['id']}/samples",
            "SampleView": f"/v1/datasets/{dataset['id']}/samples/{row.image_id}",
            "Page_JobView_": "/v1/jobs",
        }
        for name, path in paths.items():
            answer = (await service.client.get(path)).json()
            assert undocumented(answer, {"$ref": f"#/components/schemas/{name}"}, name) == []
        job = (await service.client.get("/v1/jobs")).json()["items"][0]
        assert (job["progress"]["images"], job["counts"]["images"]) == (3, 3)
