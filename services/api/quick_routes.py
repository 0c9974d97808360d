"""Routes with a quick way: a function that answers what is plainly right without FastAPI's work.

Only successful answers come from a quick way. Whatever it does not answer goes the usual way, so that checks
and errors stay those of the endpoint.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from services.security.projects import PROJECT_HEADER

QuickWay = Callable[[Request], Awaitable[Response | None]]
_quick_ways: dict[Any, QuickWay] = {}


def quick_way(way: QuickWay) -> Callable[[Any], Any]:
    """Return a decorator of an endpoint that tries `way` first. `way` returns None: go the usual way."""

    def add(endpoint: Any) -> Any:
        _quick_ways[endpoint] = way
        return endpoint

    return add


class QuickRoute(APIRoute):
    """A route that tries the quick way of its endpoint first, if it has one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request of this route."""
        usual, quick = super().get_route_handler(), _quick_ways.get(self.endpoint)
        if quick is None:
            return usual

        async def handle(request: Request) -> Response:
            return await quick(request) or await usual(request)

        return handle


def key_of(request: Request) -> str | None:
    """Return the key that a request sends, if it is to work in its own project; else None."""
    headers = request.headers
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key if scheme == "Bearer" and PROJECT_HEADER not in headers else None
