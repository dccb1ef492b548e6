"""A request's image: read within bounds of size, time and type, as the body itself or as a form's field ``image``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from otoyol.serve.limits import Limits
from otoyol.serve.prepare import TYPES
from otoyol.serve.refusal import Refusal

FORM = "multipart/form-data"
FIELD = "image"
FORM_ROOM = 1 << 16  # a form's boundaries and headers, beyond the image's own bytes
CLIENT_LEFT = 499  # nginx's status for it; nobody reads it but logs and metrics


async def read_image(request: Request, limits: Limits) -> bytes:
    """The bytes of the one image that the request sends.

    Raises Refusal: 408 for a client that is too slow, 411 to 415 for length, size and type, 422 for a form without an
    image.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*TYPES, FORM):
        raise Refusal(415, "content-type", kind or "nothing", ", ".join((*TYPES, FORM)))
    most = limits.max_bytes + (FORM_ROOM if kind == FORM else 0)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise Refusal(413, "content-length", int(length), f"at most {limits.max_bytes} bytes")
    try:
        async with asyncio.timeout(limits.read_timeout_s):
            if kind == FORM:
                data = await _form_image(request, most)
            else:
                data = b"".join([chunk async for chunk in _bounded(request, most)])
    except TimeoutError:
        given = f"a body that was not whole after {limits.read_timeout_s:g} s"
        raise Refusal(408, "body", given, "a body that is sent without long breaks") from None
    except ClientDisconnect:
        raise Refusal(CLIENT_LEFT, "body", "a connection that was closed", "a whole body") from None
    if len(data) > limits.max_bytes:
        raise Refusal(413, "body", f"{len(data)} bytes", f"at most {limits.max_bytes} bytes")
    if not data:
        raise Refusal(422, "image", "0 bytes", "an image")
    return data


async def _bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > most:
            raise Refusal(413, "body", f"more than {most} bytes", f"at most {most} bytes")
        yield chunk


async def _form_image(request: Request, most: int) -> bytes:
    parser = MultiPartParser(request.headers, _bounded(request, most), max_files=1, max_fields=0)  # type: ignore[arg-type]
    parser.spool_max_size = most  # in memory: nothing of a request ever lies on a disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        given = error.message if isinstance(error, MultiPartException) else "no boundary"
        raise Refusal(422, "form", given, f"one file in the field {FIELD}") from None
    file = form.get(FIELD)
    if not isinstance(file, UploadFile):
        raise Refusal(422, "form", ", ".join(form) or "nothing", f"one file in the field {FIELD}")
    kind = (file.content_type or "").partition(";")[0].strip().lower()
    try:
        if kind not in TYPES:
            raise Refusal(415, "form.image.content-type", kind or "nothing", ", ".join(TYPES))
        return await file.read()
    finally:
        await file.close()
