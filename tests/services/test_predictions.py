"""Live predictions: what the labeller holds, how the service asks, what Label Studio gets."""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from factories import encode, make_dataset, make_image, make_row
from PIL import Image
from running_service import Running, make_settings, run_app
from test_datasets_api import registered

from fo1_data.labelling import live
from fo1_data.labelling.live import MAX_NEW_TOKENS, LiveLabeller, LiveProblem
from fo1_data.labelling.questions import QuestionPlan
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import Question
from schemas.labels import LabelKind
from schemas.live import LiveAnswer, LiveRequest
from schemas.regions import Region, make_region_id
from services.label_studio.fields import parse_fields
from services.label_studio.labelling_config import CONFIG
from services.label_studio.ml_protocol import parse_control_names, parse_gesture, question_for
from services.predictions.deployment import PredictorDeployment, stored_port
from services.predictions.service import Predictions

IMAGE = encode(make_image(1, 96, 64, [(8, 8, 40, 40), (50, 20, 80, 50)]))
IMAGE_ID = hashlib.sha256(IMAGE).hexdigest()
BASE64 = base64.b64encode(IMAGE).decode()


@pytest.fixture(scope="module")
def labeller() -> LiveLabeller:
    return LiveLabeller(max_cached_prefixes=3)


def asked(labeller: LiveLabeller, **more: Any) -> LiveAnswer:
    answer = labeller.answer([LiveRequest(image_id=IMAGE_ID, image_base64=BASE64, **more)])[0]
    assert isinstance(answer, LiveAnswer), answer
    return answer


def test_an_image_is_sent_once_and_its_boxes_stay_open(labeller: LiveLabeller) -> None:
    box = (8.0, 8.0, 40.0, 40.0)
    unknown = LiveRequest(image_id="0" * 64, boxes_xyxy=[box])
    assert labeller.answer([unknown]) == [LiveProblem(409, "the image is not held here: send its bytes")]
    first = asked(labeller, boxes_xyxy=[box])
    assert not first.warm
    assert first.regions[0].region_id == make_region_id(IMAGE_ID, box)
    again = labeller.answer([LiveRequest(image_id=IMAGE_ID, boxes_xyxy=[box])])[0]
    assert isinstance(again, LiveAnswer)
    assert again.warm
    assert again.regions[0].brief_caption == first.regions[0].brief_caption


def test_questions_in_one_batch_are_answered_as_if_alone(labeller: LiveLabeller) -> None:
    boxes = [(8.0, 8.0, 40.0, 40.0), (50.0, 20.0, 80.0, 50.0), (5.0, 5.0, 90.0, 60.0), (0.0, 0.0, 20.0, 20.0)]
    alone = [asked(labeller, boxes_xyxy=[box]).regions[0].brief_caption for box in boxes]
    requests = [LiveRequest(image_id=IMAGE_ID, boxes_xyxy=[box]) for box in boxes]
    bad = LiveRequest(image_id=IMAGE_ID, kinds=[LabelKind.GROUND])
    together = labeller.answer([requests[0], bad, *requests[1:]])
    assert isinstance(together.pop(1), LiveProblem)
    assert [answer.regions[0].brief_caption for answer in together if isinstance(answer, LiveAnswer)] == alone
    assert len(labeller._prefixes) == 3


def test_a_phrase_gets_regions_and_boxes_are_proposed(labeller: LiveLabeller) -> None:
    answer = asked(labeller, kinds=[LabelKind.GROUND, LabelKind.COUNT], phrases=["square"])
    assert answer.regions
    assert [grounding.phrase for grounding in answer.groundings] == ["square"]
    assert set(answer.groundings[0].region_ids) <= {region.region_id for region in answer.regions}
    assert answer.counts[0].phrase == "square"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"kinds": [LabelKind.ASK]}, "question"),
        ({"kinds": [LabelKind.DETECT]}, "phrases"),
        ({"boxes_xyxy": [(5.0, 5.0, 5.0, 9.0)]}, "no area"),
        ({"boxes_xyxy": [(500.0, 500.0, 600.0, 600.0)]}, "no box"),
    ],
)
def test_bad_questions_are_told(labeller: LiveLabeller, more: dict[str, Any], message: str) -> None:
    [answer] = labeller.answer([LiveRequest(image_id=IMAGE_ID, image_base64=BASE64, **more)])
    assert isinstance(answer, LiveProblem)
    assert (answer.status, message in answer.detail) == (422, True)


def test_what_is_no_image_is_told(labeller: LiveLabeller) -> None:
    request = LiveRequest(image_id="1" * 64, image_base64=base64.b64encode(b"no image").decode())
    [answer] = labeller.answer([request])
    assert isinstance(answer, LiveProblem)
    assert answer.status == 422


def test_a_question_that_does_not_fit_fails_no_other_caller(
    labeller: LiveLabeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(questions: Sequence[Question]) -> list[Generation]:
        if any(question.max_new_tokens == MAX_NEW_TOKENS + 1 for question in questions):
            raise MemoryError("one question does not fit on the device")
        return ask_all(questions)

    def plan(request: LiveRequest) -> QuestionPlan:
        planned = make_plan(request)
        is_large = request.question == "too large"
        return replace(planned, max_new_tokens=MAX_NEW_TOKENS + is_large)

    ask_all, make_plan = labeller._engine.ask, live._plan
    monkeypatch.setattr(labeller._engine, "ask", ask)
    monkeypatch.setattr(live, "_plan", plan)
    requests = [
        LiveRequest(image_id=IMAGE_ID, image_base64=BASE64, kinds=[LabelKind.ASK], question=question)
        for question in ("how many?", "too large", "which colour?")
    ]
    first, large, last = labeller.answer(requests)
    assert isinstance(first, LiveAnswer)
    assert isinstance(last, LiveAnswer)
    assert [part.question for part in (*first.answers, *last.answers)] == ["how many?", "which colour?"]
    assert isinstance(large, LiveProblem)
    assert (large.status, "does not fit" in large.detail) == (422, True)


def test_an_image_is_held_under_no_other_id_than_its_own(labeller: LiveLabeller) -> None:
    """Whoever asks by that id later would get answers about another image."""
    other = "2" * 64
    [answer] = labeller.answer([LiveRequest(image_id=other, image_base64=BASE64)])
    assert isinstance(answer, LiveProblem)
    assert (answer.status, "image_id" in answer.detail) == (422, True)
    [later] = labeller.answer([LiveRequest(image_id=other)])
    assert isinstance(later, LiveProblem)
    assert later.status == 409


class FakePredictor:
    """Answers like a Predictor that holds nothing at first: every box is 'a thing'."""

    def __init__(self) -> None:
        self.asked: list[LiveRequest] = []
        self.held: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = LiveRequest.model_validate_json(request.content)
        self.asked.append(asked)
        if asked.image_base64 is None and asked.image_id not in self.held:
            return httpx.Response(409, json={"detail": "not held"})
        self.held.add(asked.image_id)
        boxes = asked.boxes_xyxy or [(0.0, 0.0, 50.0, 50.0), (10.0, 10.0, 20.0, 20.0)]
        regions = [
            Region(
                region_id=make_region_id(asked.image_id, box),
                index=index,
                box_xyxy=box,
                box_source="model",  # type: ignore[arg-type]
                brief_caption=f"thing {index}",
            )
            for index, box in enumerate(boxes)
        ]
        answer = LiveAnswer(
            image_id=asked.image_id, width=96, height=64, regions=regions, groundings=[], counts=[],
            answers=[], caption=None, model="fo1-tiny", model_sha256="", warm=False, seconds=0.0,
        )  # fmt: skip
        return httpx.Response(200, content=answer.model_dump_json())


def with_fake(service: Running) -> FakePredictor:
    """The service asks a fake from here on."""
    fake = FakePredictor()
    context = service.context
    deployment = PredictorDeployment(context.settings, context.cluster)
    context.predictions = Predictions(deployment, httpx.MockTransport(fake))
    return fake


async def test_bytes_travel_only_where_they_are_needed(home: Path) -> None:
    async with run_app(make_settings(home, predict_url="http://predictor.test/predict")) as service:
        fake = with_fake(service)
        body = {"image": BASE64, "boxes_xyxy": [[1, 2, 30, 40]]}
        for _ in range(2):
            answer = await service.client.post("/v1/predict", json=body)
            assert answer.status_code == 200, answer.text
        assert [request.image_base64 is not None for request in fake.asked] == [False, True, False]
        for named, status in (
            ("0" * 64, 404),
            ("/etc/passwd", 403),
            ("http://169.254.169.254/", 403),
            ("é", 404),
        ):
            answer = await service.client.post("/v1/predict", json={"image": named})
            assert answer.status_code == status, (named, answer.text)
        (home.parent / "image.png").write_bytes(IMAGE)
        answer = await service.client.post("/v1/predict", json={"image": str(home.parent / "image.png")})
        assert answer.json()["image_id"] == IMAGE_ID


def test_the_port_of_a_predictor_is_found_whatever_a_kill_left(tmp_path: Path) -> None:
    path = tmp_path / "predict.json"
    for left in ("", "{", '{"port"', "[]", "{}"):
        path.write_text(left)
        port = stored_port(path)
        assert 0 < port < 2**16
        assert stored_port(path) == port
    path.unlink()
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(stored_port, [path] * 32))) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


async def test_the_wait_for_a_predictor_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.predictions.service.START_WITHIN_S", 0.0)
    async with run_app(make_settings(home, predict_url="http://predictor.test/predict")) as service:
        context = service.context
        for answer, word in ((404, "the model loads"), (None, "it does not answer")):

            def reply(request: httpx.Request, status: int | None = answer) -> httpx.Response:
                if status is None:
                    raise httpx.ConnectError("refused", request=request)
                return httpx.Response(status)

            deployment = PredictorDeployment(context.settings, context.cluster)
            context.predictions = Predictions(deployment, httpx.MockTransport(reply))
            refused = await service.client.post("/v1/predict", json={"image": BASE64})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert refused.json()["progress"] == word
            assert f"is starting ({word}; 0 s so far)" in refused.json()["detail"]


async def test_label_studio_gets_captions_for_what_was_drawn(home: Path) -> None:
    async with run_app(make_settings(home, predict_url="http://predictor.test/predict")) as service:
        fake = with_fake(service)
        password = httpx.BasicAuth("label-studio", service.keys["review"])
        assert (await service.client.get("/ml/health", headers={"Authorization": ""})).json()[
            "status"
        ] == "UP"
        setup = await service.client.post("/ml/setup", json={"project": "1"}, auth=password)
        assert setup.json() == {"model_version": "fo1-tiny"}
        drawn = {"x": 25.0, "y": 50.0, "width": 25.0, "height": 25.0, "rotation": 0}
        body = {
            "tasks": [{"id": 7, "data": {"image": f"data:image/png;base64,{BASE64}"}}],
            "label_config": CONFIG,
            "params": {"context": {"result": [{"type": "rectanglelabels", "value": drawn}]}},
        }
        answer = await service.client.post("/ml/predict", json=body, auth=password)
        assert answer.status_code == 200, answer.text
        box, caption = answer.json()["results"][0]["result"]
        assert fake.asked[-1].boxes_xyxy == [(24.0, 32.0, 48.0, 48.0)]
        assert box["id"] == caption["id"]
        assert {key: box["value"][key] for key in drawn} == pytest.approx(drawn)
        assert (box["from_name"], box["to_name"]) == ("box", "image")
        assert (caption["from_name"], caption["value"]["text"]) == ("brief_caption", ["thing 0"])
        clicked = {"type": "keypointlabels", "value": {"x": 15.6, "y": 23.4, "width": 0.5}}
        body["params"] = {"context": {"result": [clicked]}}
        result = (await service.client.post("/ml/predict", json=body, auth=password)).json()["results"][0][
            "result"
        ]
        assert [entry["value"].get("text") for entry in result] == [None, ["thing 1"]]
        flat = {"type": "rectanglelabels", "value": {**drawn, "width": 0.0}}
        asked = len(fake.asked)
        body["params"] = {"context": {"result": [flat]}}
        answer = await service.client.post("/ml/predict", json=body, auth=password)
        assert (answer.json()["results"][0]["result"], len(fake.asked)) == ([], asked)
        wrong = await service.client.post("/ml/predict", json=body, auth=("x", "wrong"))
        assert wrong.status_code == 401


async def test_what_was_drawn_in_a_view_of_a_large_image_is_asked_of_the_view(
    home: Path, tmp_path: Path
) -> None:
    boxes = [(100.0, 10.0, 140.0, 50.0), (5000.0, 12.0, 5040.0, 52.0)]
    row = make_row(1, width=6000, height=64, boxes=boxes, folder=tmp_path / "images")
    make_dataset(tmp_path / "dataset", [row])
    settings = make_settings(home, predict_url="http://predictor.test/predict", storage_roots=[str(tmp_path)])
    async with run_app(settings) as service:
        fake = with_fake(service)
        await registered(service, tmp_path / "dataset")
        url = f"http://here/v1/images/{row.image_id}?grant=g&view=4936,0,5105,64"
        drawn = {"x": 25.0, "y": 50.0, "width": 25.0, "height": 25.0, "rotation": 0}
        body = {
            "tasks": [{"id": 7, "data": {"image": url}}],
            "label_config": CONFIG,
            "params": {"context": {"result": [{"type": "rectanglelabels", "value": drawn}]}},
        }
        password = httpx.BasicAuth("label-studio", service.keys["review"])
        answer = await service.client.post("/ml/predict", json=body, auth=password)
        assert answer.status_code == 200, answer.text
    asked = fake.asked[-1]
    assert asked.boxes_xyxy == [(42.25, 32.0, 84.5, 48.0)]
    assert asked.image_base64 is not None
    with Image.open(io.BytesIO(base64.b64decode(asked.image_base64))) as view:
        whole = make_image(1, 6000, 64, boxes)
        assert view.convert("RGB").tobytes() == whole.crop((4936, 0, 5105, 64)).tobytes()


@pytest.mark.parametrize(
    ("place", "box"),
    [
        ({"x": 50, "y": 50, "width": 20, "height": 10, "rotation": 90}, (90.0, 50.0, 100.0, 90.0)),
        ({"x": 50, "y": 50, "width": 20, "height": 10, "rotation": None}, (100.0, 50.0, 140.0, 60.0)),
        ({"x": 70, "y": 60, "width": -20, "height": -10}, (100.0, 50.0, 140.0, 60.0)),
    ],
)
def test_a_turned_box_is_asked_about_where_it_lies(place: dict[str, Any], box: tuple[float, ...]) -> None:
    """In an image of 200 by 100 pixels: a turn keeps lengths in pixels, not in percent."""
    gesture = parse_gesture({"result": [{"type": "rectanglelabels", "value": place}]})
    question = question_for(gesture, 200, 100)
    assert question is not None
    assert question.boxes_xyxy == [pytest.approx(box)]


def test_what_label_studio_sends_is_not_trusted() -> None:
    for context in (
        None,
        {},
        {"result": 5},
        {"result": [None, {"value": 3}, {"type": "rectangle", "value": {}}]},
        {"result": [{"type": "rectangle", "value": {"x": 10**400, "y": 0, "width": 5, "height": 5}}]},
        {"result": [{"type": "keypoint", "value": {"x": 10**400, "y": 0}}]},
        {"result": [{"type": "keypoint", "value": {"x": float("nan"), "y": 0}}]},
        {"result": [{"type": "textarea", "value": {"text": ["\ud800"]}}]},
    ):
        assert parse_gesture(context).is_empty
    half = parse_gesture({"result": [{"type": "textarea", "value": {"text": ["a \udfff cat"]}}]})
    question = question_for(half, 100, 100)
    assert question is not None
    assert question.phrases == ["a  cat"]
    for config in (
        "",
        "<broken",
        '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>',
        "<View/>",
        "<View>\ud800</View>",
    ):
        assert not parse_fields(config)
        assert parse_control_names(config).box == "box"
    outside = parse_gesture(
        {"result": [{"type": "rectangle", "value": {"x": 200, "y": 0, "width": 5, "height": 5}}]}
    )
    assert question_for(outside, 100, 100) is None
    json.dumps(parse_control_names(CONFIG).__dict__)
