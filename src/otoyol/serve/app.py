"""The service as an ASGI application: routes, errors as JSON, what is counted and logged of every request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Annotated, Any

from otoyol import __version__
from otoyol.errors import MissingExtraError
from otoyol.serve.answers import Boxes, Classes, Problem, boxes_json, classes_json
from otoyol.serve.body import FIELD, FORM, read_image
from otoyol.serve.limits import Limits
from otoyol.serve.log import log
from otoyol.serve.metrics import CONTENT_TYPE
from otoyol.serve.prepare import TYPES
from otoyol.serve.refusal import Refusal
from otoyol.serve.service import Service

try:
    from fastapi import FastAPI, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ModuleNotFoundError as error:
    raise MissingExtraError("fastapi", "serve") from error

PREDICT = "/v1/predict"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {
        **dict.fromkeys(TYPES, _BINARY),
        FORM: {"schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _BINARY["schema"]}}},
    },
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    408: {"description": "The request did not arrive in time."},
    413: {"description": "The body or the image is too large."},
    415: {"description": "The content type is none of those listed."},
    422: {"description": "There is no readable image, or a query parameter is out of bounds."},
    500: {"description": "The engine failed, or the service itself."},
    503: {"description": "The queue is full, or the service starts or stops; Retry-After says when to come again."},
    504: {"description": "There was no answer in time."},
}


def make_app(service: Service) -> ASGIApp:
    """The ASGI application of ``service``, which is started before and stopped afterwards."""
    metadata = service.engine.metadata
    app = FastAPI(
        title="otoyol serve", version=__version__,
        docs_url=None, redoc_url=None,  # they load scripts from elsewhere; /openapi.json does not
        description=f"{metadata.task} by {service.engine.name} ({metadata.spec})",
        exception_handlers={
            Refusal: _refused, HTTPException: _no_route, RequestValidationError: _bad_query, Exception: _failed,
        },
    )  # fmt: skip
    detects = metadata.task == "detection"
    answer = _boxes(service) if detects else _classes(service)
    app.add_api_route(
        PREDICT, answer, methods=["POST"], response_model=None, summary="What is in the image",
        responses={200: {"model": Boxes if detects else Classes},
                   **{code: {"model": Problem, **told} for code, told in _PROBLEMS.items()}},
        openapi_extra={"requestBody": _BODY},
    )  # fmt: skip
    for path, call, summary in (
        ("/healthz", _alive, "Whether the process answers"),
        ("/readyz", _readiness(service), "Whether it takes requests"),
        ("/metrics", _metrics(service), "Prometheus's text format"),
        ("/v1/model", _model(service), "What is served, and within which bounds"),
    ):
        app.add_api_route(path, call, methods=["GET"], response_model=None, summary=summary)
    return Observed(app, service)


def _classes(service: Service) -> Callable[..., Any]:
    async def predict(request: Request, top: Annotated[int, Query(ge=1, le=1000)] = 5) -> Response:
        """The ``top`` most probable classes, best first."""
        async with service.seat():
            outcome = await service.answer(await read_image(request, service.limits))
        return _json(classes_json(service.engine.name, outcome.output, service.engine.metadata.classes, top))

    return predict


def _boxes(service: Service) -> Callable[..., Any]:
    async def predict(request: Request, min_score: Annotated[float, Query(ge=0.0, le=1.0)] = 0.5) -> Response:
        """The objects of at least ``min_score``, best first; boxes in pixels of the image that was sent."""
        async with service.seat():
            image, output = await service.answer(await read_image(request, service.limits))
        return _json(boxes_json(service.engine.name, output, service.engine.metadata.classes, image, min_score))

    return predict


async def _alive() -> Response:
    return _json(b'{"status": "alive"}')


def _readiness(service: Service) -> Callable[..., Any]:
    async def ready() -> Response:
        if service.draining or not service.ready:
            return _json(b'{"status": "stopping"}' if service.draining else b'{"status": "starting"}', 503)
        return _json(b'{"status": "ready"}')

    return ready


def _metrics(service: Service) -> Callable[..., Any]:
    async def metrics() -> Response:
        return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})

    return metrics


def _model(service: Service) -> Callable[..., Any]:
    async def model() -> dict[str, Any]:
        limits: Limits = service.limits
        return {
            "model": service.engine.name,
            **service.engine.metadata.model_dump(mode="json", exclude={"versions", "outputs", "opset"}),
            "limits": limits.model_dump(include={"max_bytes", "max_pixels", "queue", "timeout_s"}),
        }

    return model


def _json(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)  # noqa: S101 (by registration)
    if refusal.__cause__ is not None:
        log("engine failed", logging.ERROR, error=str(refusal.__cause__))
    return _json(refusal.to_json(), refusal.status, refusal.headers)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (by registration)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        refusal = Refusal(405, "method", request.method, allowed)
    else:
        refusal = Refusal(error.status_code, "path", request.url.path, f"{PREDICT}; see /openapi.json")
    return _json(refusal.to_json(), refusal.status, dict(error.headers or {}))


async def _bad_query(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (by registration)
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    return _json(Refusal(422, field, first["input"], first["msg"].removeprefix("Input should be ")).to_json(), 422)


async def _failed(_: Request, error: Exception) -> Response:
    """What nobody has foreseen. The log has its words, which may tell more than a client should know."""
    refusal = Refusal(500, "service", type(error).__name__, "another try; the service's log says more")
    return _json(refusal.to_json(), refusal.status)


class Observed:
    """Around the application: every request is counted and logged, and no exception gets past."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:  # Starlette has answered by _failed already
            log("failed", logging.ERROR, path=scope["path"])
            logging.getLogger("otoyol.serve").exception("traceback")
        seconds = time.perf_counter() - began
        if scope["path"] == PREDICT:
            self.service.metrics.answered(status, seconds)
        level = logging.INFO if status < 400 else logging.WARNING
        log("request", level, method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1e3, 2))
