"""otoyol studio: the workbench page, served on this machine alone until Ctrl-C."""

from __future__ import annotations

import socket
import sys
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

from otoyol.cli.latency import Tables
from otoyol.cli.options import Lang, option
from otoyol.cli.words import language, word
from otoyol.errors import MissingExtraError, OtoyolError, SpecError

HOST = "127.0.0.1"
PORT = 8377


def studio(
    spec: Annotated[str, option("studio_spec")] = "resnet50",
    /,
    *,
    port: Annotated[int, option("port", "--port")] = PORT,
    table: Annotated[tuple[Path, ...], option("tables", "--table")] = (),
    runs: Annotated[Path | None, option("studio_runs", "--runs")] = None,
    open: Annotated[bool, option("open", "--open")] = False,
    lang: Lang = None,
) -> None:
    from otoyol.cli.inputs import label, read_spec

    try:
        import uvicorn

        from otoyol.web import Later, make_app
    except ModuleNotFoundError as error:
        if error.name in ("uvicorn", "fastapi", "starlette"):
            raise MissingExtraError(error.name, "studio") from None
        raise
    tongue = language(lang)
    design = label(read_spec(spec))
    tables = Tables(table)
    scorers = Later({where: partial(tables.scorer, where) for where in tables})
    app = make_app(scorers, folder=runs)
    listening = _listen(port)
    address = f"http://{HOST}:{listening.getsockname()[1]}/#v=1&spec={design}" + f"&lang={lang}" * bool(lang)
    for note in tables.notes(tongue):
        sys.stderr.write(note + "\n")
    sys.stdout.write(word("studio.ready", tongue, address=address) + "\n")
    sys.stdout.flush()
    if scorers:
        Thread(target=scorers.prepare, daemon=True).start()
    if open:
        import webbrowser

        webbrowser.open(address)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
    )  # fmt: skip
    _serve(uvicorn.Server(config), listening)


def _listen(port: int) -> socket.socket:
    """A listening socket; 0 takes a free port. Raises OtoyolError where the port is taken."""
    if not 0 <= port <= 65_535:
        raise SpecError("port", port, "a whole number from 0 to 65535")
    # By its protocol asyncio knows that it may send small answers at once (TCP_NODELAY).
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise OtoyolError(f"cannot listen on {HOST}:{port}: {error.strerror}; --port 0 takes a free one") from None
    return listening


def _serve(server: Any, listening: socket.socket) -> None:
    """Until Ctrl-C, which is how this ends well."""
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()
