"""A second model behind a server that speaks OpenAI's chat protocol, such as vLLM or SGLang.

One request a region, several at a time. A request that may succeed later (no connection, a timeout, 408, 409,
429, 5xx) is tried again after a growing wait, or after the server's `Retry-After`. Answers are at temperature
0. The key comes from the environment and is sent nowhere else.
"""

import base64
import io
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any
from urllib.parse import urldefrag

import httpx

from fo1_data.errors import ConfigError, RunError
from fo1_data.opinions.regions import INSTRUCTIONS, RegionQuestion, crop_of

KEY_VARIABLE = "FO1_SECOND_OPINION_KEY"
_TIMEOUT_S = 120.0
_MAX_TRIES = 6
_LONGEST_WAIT_S = 30.0
_AT_ONCE = 8
_MAX_TOKENS = 64
_LATER = (408, 409, 425, 429)


class ServerModel:
    """The model `NAME` of a server: `https://HOST/v1#NAME`; without a name, the one that the server has.

    wait: called with seconds before a request is tried again; by default a wait that ends when another
    question has failed. Raises ConfigError where the server refuses the key or does not name one model,
    RunError where it cannot be reached.
    """

    def __init__(self, address: str, wait: Callable[[float], object] | None = None) -> None:
        self._url, model = urldefrag(address)
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        key = os.environ.get(KEY_VARIABLE)
        self._http = httpx.Client(
            base_url=self._url.rstrip("/"),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=_TIMEOUT_S,
            limits=httpx.Limits(max_connections=_AT_ONCE),
        )
        self._model = model or self._only_model()

    def answer(self, questions: Sequence[RegionQuestion]) -> list[str | None]:
        """See `SecondModel.answer`. None where the server refuses a picture (400, 413, 422).

        The first question to fail ends the others.
        """
        self._stopped.clear()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="second-opinion") as pool:
            answers = [pool.submit(self._answer_one, question) for question in questions]
            try:
                for answer in as_completed(answers):
                    answer.result()
                return [answer.result() for answer in answers]
            except BaseException:
                self._stopped.set()
                for answer in answers:
                    answer.cancel()
                raise

    def _answer_one(self, question: RegionQuestion) -> str | None:
        body = {
            "model": self._model,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": _data_url(question)}},
                        {"type": "text", "text": INSTRUCTIONS[question.kind]},
                    ],
                }
            ],
            "max_tokens": _MAX_TOKENS,
            "temperature": 0,
        }
        response = self._send("POST", "/chat/completions", body)
        if response.status_code in (400, 413, 422):
            return None
        return _text_of(self._document(response))

    def _only_model(self) -> str:
        models = self._document(self._send("GET", "/models")).get("data")
        listed = models if isinstance(models, list) else []
        names = [str(model.get("id")) for model in listed if isinstance(model, dict)]
        if len(names) != 1:
            known = ", ".join(names[:5]) or "none"
            raise ConfigError(f"{self._url} has these models: {known}; name one: {self._url}#MODEL")
        return names[0]

    def _send(self, method: str, path: str, body: object = None) -> httpx.Response:
        """The response, after as many tries as it takes."""
        problem = ""
        for number in range(_MAX_TRIES):
            if self._stopped.is_set():
                break
            delay_s = min(_LONGEST_WAIT_S, 2.0**number)
            try:
                response = self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                problem = str(error) or type(error).__name__
            else:
                if response.status_code not in _LATER and response.status_code < 500:
                    self._refuse(response)
                    return response
                problem = f"it answers {response.status_code}"
                delay_s = _retry_after_s(response, delay_s)
            if number + 1 < _MAX_TRIES:
                self._wait(delay_s)
        raise RunError(
            f"the second opinion at {self._url} cannot be had after {_MAX_TRIES} tries ({problem}): run "
            "again when it answers"
        )

    def _refuse(self, response: httpx.Response) -> None:
        """Raise ConfigError for what is the same for every question."""
        status = response.status_code
        if status in (401, 403):
            raise ConfigError(f"{self._url} refuses the key ({status}): set {KEY_VARIABLE}")
        if status in (404, 405) or 300 <= status < 400:
            raise ConfigError(
                f"{self._url} does not serve the model ({status}): --second-opinion takes the address of an "
                "OpenAI-compatible server, such as http://127.0.0.1:8000/v1#MODEL"
            )

    def _document(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise RunError(f"{self._url} answers no JSON object: is it OpenAI-compatible?")
        return document


def _text_of(document: dict[str, Any]) -> str | None:
    """The first choice's text; None if it has none."""
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content.strip() if isinstance(content, str) else None


def _data_url(question: RegionQuestion) -> str:
    buffer = io.BytesIO()
    crop_of(question).save(buffer, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _retry_after_s(response: httpx.Response, otherwise_s: float) -> float:
    """The server's wait in seconds, bounded; dates count as not given."""
    text = response.headers.get("retry-after", "")
    return min(_LONGEST_WAIT_S, float(text)) if text.isdigit() else otherwise_s
