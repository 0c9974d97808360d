"""The client of OpenAI-compatible servers: what it sends, and what it does where the server fails."""

import time
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from fo1_data.errors import ConfigError, RunError
from fo1_data.opinions.regions import INSTRUCTIONS, RegionQuestion, crop_of
from fo1_data.opinions.server import KEY_VARIABLE, ServerModel
from schemas.labels import LabelKind
from tests.opinions.chat_server import ChatServer, chat_server

COLOURS = {(255, 0, 0): "red", (0, 0, 255): "blue"}


def centre_colour(picture: Image.Image, text: str) -> str:
    assert text == INSTRUCTIONS[LabelKind.BRIEF_CAPTION]
    middle = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
    return f" a {COLOURS[middle]} square\n"  # type: ignore[index]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(centre_colour) as running:
        yield running


def two_squares() -> Image.Image:
    image = Image.new("RGB", (200, 100), "white")
    image.paste("red", (10, 10, 60, 60))
    image.paste("blue", (120, 20, 170, 70))
    return image


def questions(count: int = 1) -> list[RegionQuestion]:
    image = two_squares()
    boxes = [(10.0, 10.0, 60.0, 60.0), (120.0, 20.0, 170.0, 70.0)]
    return [RegionQuestion(image, box, LabelKind.BRIEF_CAPTION) for box in boxes * count]


def test_each_region_is_answered_in_its_place(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    model = ServerModel(server.url)
    assert model.answer(questions(10)) == ["a red square", "a blue square"] * 10
    assert set(server.keys) == {"Bearer secret"}


def test_what_may_succeed_later_is_tried_again(server: ChatServer) -> None:
    waits: list[float] = []
    model = ServerModel(f"{server.url}#tiny", waits.append)
    server.refusals += [503, 429]
    assert model.answer(questions()[:1]) == ["a red square"]
    assert waits == [1.0, 7.0]


def test_a_picture_that_the_server_refuses_has_no_answer(server: ChatServer) -> None:
    model = ServerModel(f"{server.url}#tiny")
    server.refusals.append(413)
    assert sorted(model.answer(questions()), key=str) in (
        [None, "a blue square"],
        [None, "a red square"],
        ["a blue square", None],
        ["a red square", None],
    )


def test_a_server_that_stays_down_ends_the_run_with_one_line(server: ChatServer) -> None:
    waits: list[float] = []
    model = ServerModel(f"{server.url}#tiny", waits.append)
    server.refusals += [503] * 100
    with pytest.raises(RunError, match=r"cannot be had after 6 tries \(it answers 503\)"):
        model.answer(questions(8))
    assert server.asked <= 6 * 16


def test_a_question_that_waits_does_not_hold_up_the_refusal_of_another(server: ChatServer) -> None:
    model = ServerModel(f"{server.url}#tiny")
    server.refusals += [429, 401]
    started_s = time.monotonic()
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        model.answer(questions())
    assert time.monotonic() - started_s < 6, "it waited out the server's 7 seconds"


@pytest.mark.parametrize(("status", "message"), [(401, KEY_VARIABLE), (404, "does not serve the model")])
def test_what_is_wrong_for_every_question_is_a_setting(server: ChatServer, status: int, message: str) -> None:
    model = ServerModel(f"{server.url}#tiny")
    server.refusals += [status] * 2
    with pytest.raises(ConfigError, match=message):
        model.answer(questions())


def test_one_of_several_models_must_be_named(server: ChatServer) -> None:
    server.models = ["a", "b"]
    with pytest.raises(ConfigError, match=r"these models: a, b; name one"):
        ServerModel(server.url)


def test_an_answer_without_text_is_none() -> None:
    with chat_server(lambda *_: None) as server:
        assert ServerModel(server.url).answer(questions()) == [None, None]


def test_nobody_listens() -> None:
    with chat_server(centre_colour) as server:
        url = server.url
    with pytest.raises(RunError, match="cannot be had"):
        ServerModel(url, wait=lambda _: None)


def test_another_kind_of_server_is_told(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ServerModel(f"{server.url}#tiny")
    monkeypatch.setattr(httpx.Response, "json", lambda self: ["no", "object"])
    with pytest.raises(RunError, match="no JSON object"):
        model.answer(questions()[:1])


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((50.0, 40.0, 150.0, 60.0), (280, 56)),  # 120 x 24 with its margin, enlarged
        ((-5.0, -5.0, 400.0, 300.0), (200, 100)),  # clipped to the image
        ((199.5, 10.0, 199.9, 90.0), (13, 1024)),  # thin: enlarged no further than the largest side
    ],
)
def test_crops_are_inside_the_image_and_large_enough(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    crop = crop_of(RegionQuestion(two_squares(), box, LabelKind.OCR))
    assert crop.size == pytest.approx(size, abs=4)


ODD_ANSWERS = [{"choices": [None]}, {"choices": ["x"]}, {"choices": [[]]}, {"choices": [{"message": "x"}]}]


@pytest.mark.parametrize("document", ODD_ANSWERS)
def test_an_answer_of_another_form_is_none(server: ChatServer, document: object) -> None:
    model = ServerModel(f"{server.url}#tiny")
    server.documents.append(document)
    assert model.answer(questions()[:1]) == [None]


@pytest.mark.parametrize("document", [{"data": ["tiny"]}, {"data": [None]}, {"data": {}}])
def test_models_of_another_form_are_none(server: ChatServer, document: object) -> None:
    server.documents.append(document)
    with pytest.raises(ConfigError, match="none; name one"):
        ServerModel(server.url)
