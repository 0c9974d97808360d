"""Annotations set aside, as the API and the dashboard show them and take them in; no Label Studio needed."""

import re
from pathlib import Path
from typing import Any

import httpx
from review_samples import make_shown
from running_service import Running, make_settings, run_app

from schemas.reviews import ReviewOptions
from services.database.review_tables import Review, ReviewItem
from services.label_studio.convert import result_of
from services.label_studio.fields import ProjectFields, parse_fields
from services.label_studio.labelling_config import CONFIG
from services.review.inbox.annotations import write_annotation
from services.review.inbox.belief import Origin

PAGE = "/v1/reviews/rev_0123456789"


async def a_review(service: Running, folder: Path) -> None:
    """A review with four annotations: as it was shown, blank, in bulk, and one that nobody can read."""
    shown = make_shown()
    unedited = result_of(shown)
    fields = parse_fields(CONFIG)
    documents: list[dict[str, Any]] = [
        {"result": unedited, "lead_time": 4.0},
        {"result": [], "lead_time": 4.0},
        {"result": unedited},
        {"result": [7], "lead_time": 4.0},
    ]
    async with service.context.database.writing() as session:
        review = Review(
            id="rev_0123456789", key="0123456789abcdef", dataset=str(folder), title="<b>scenes</b>",
            state="open", label_studio_url="http://label-studio.test", project_id=3,
            model_version="fo1-tiny", options=ReviewOptions(),
        )  # fmt: skip
        session.add(review)
        await session.flush()
        for number, document in enumerate(documents, 1):
            item = ReviewItem(
                review_id=review.id, image_id=f"{number:064d}", fo1_key=f"key-{number}", lane="review",
                doubt=0.5, state="sent", ls_task_id=number, shown=shown.packed(),
            )  # fmt: skip
            session.add(item)
            await session.flush()
            document = {**document, "id": 10 + number, "updated_at": "2026-01-02T03:04:05.000006Z"}
            origin = Origin(ProjectFields(fields, fields))
            await write_annotation(session, review, item, document, "ann@example.org", None, origin)


async def test_the_api_lists_them_and_takes_them_in(tmp_path: Path, home: Path) -> None:
    async with run_app(make_settings(home)) as service:
        await a_review(service, tmp_path)
        review = (await service.client.get(PAGE)).json()
        assert review["annotations"] == {"submitted": 1, "set_aside": 2, "unreadable": 1}
        assert [part["kind"] for part in review["set_aside"]] == ["unreadable", "in_bulk", "not_begun"]
        first = (await service.client.get(f"{PAGE}/set-aside", params={"limit": 2})).json()
        rest = await service.client.get(
            f"{PAGE}/set-aside", params={"limit": 2, "cursor": first["next_cursor"]}
        )
        (blank,) = rest.json()["items"]
        assert blank["effects"] == {"deleted": 2, "recaptioned": 1, "wrong": 1}
        assert blank["url"] == "http://label-studio.test/projects/3/data?task=2&annotation=12"
        only = await service.client.get(f"{PAGE}/set-aside", params={"kind": "in_bulk"})
        assert [part["ls_annotation_id"] for part in only.json()["items"]] == [13]

        async def take_in(body: dict[str, Any], scope: str = "review") -> httpx.Response:
            return await service.client.post(f"{PAGE}/take-in", json=body, headers=service.bearer(scope))

        assert (await take_in({"annotations": [12]}, "label")).status_code == 403
        assert (await take_in({})).status_code == 422
        assert (await take_in({"annotations": [12], "kind": "in_bulk"})).status_code == 422
        unreadable = await take_in({"annotations": [14]})
        assert unreadable.status_code == 409
        assert "cannot be taken in: it cannot be understood" in unreadable.json()["detail"]
        assert (await take_in({"annotations": [11, 12]})).status_code == 409
        taken = (await take_in({"kind": "in_bulk"})).json()
        assert (taken["taken_in"], taken["annotations"]["submitted"]) == (1, 2)
        assert (await take_in({"kind": "in_bulk"})).json()["taken_in"] == 0
        assert (await take_in({"annotations": [12]})).json()["corrections"]["deleted"] == 2


async def test_the_dashboard_shows_them_with_a_button(tmp_path: Path, home: Path) -> None:
    async with run_app(make_settings(home)) as service:
        await a_review(service, tmp_path)
        client = service.client
        page = f"{PAGE.removeprefix('/v1')}/set-aside"
        await client.post("/login", data={"key": service.keys["read"]})
        assert "Take in" not in (await client.get(page)).text
        await client.post("/login", data={"key": service.keys["review"]})
        assert "3 annotations set aside" in (await client.get("/reviews")).text
        shown = (await client.get(page)).text
        assert "<b>scenes</b>" not in shown
        assert "it was not begun with the prediction" in shown
        assert "2 deleted" in shown
        assert shown.count("Take in all 1") == 2
        form = {"token": re.findall(r'name="token" value="([^"]+)"', shown)[0], "annotation": "12"}
        forged = await client.post(page.replace("set-aside", "take-in"), data={**form, "token": "x"})
        assert forged.status_code == 403
        answer = await client.post(page.replace("set-aside", "take-in"), data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, page)
        assert "it was not begun" not in (await client.get(page)).text
        review = (await client.get(PAGE)).json()
        assert review["annotations"] == {"submitted": 2, "set_aside": 1, "unreadable": 1}
        assert review["corrections"]["deleted"] == 2
