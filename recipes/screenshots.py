"""Pictures of the studio for README and docs: python recipes/screenshots.py [FOLDER]

The page is served on a free port of this machine and opened in headless Chromium (playwright, with the system's
browser): the overview with a pinned baseline, an exploration under budgets, and a probe beside its design; light and
dark, in English and, but for the last, in Turkish. A probe of ten steps on the embedded digits is run for the last. The
PNGs have 128 colours, so that a clone does not grow by megabytes. About a minute.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from otoyol.spec.files import json_text, write_bytes, write_text
from otoyol.web import make_app

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDTH, COLOURS = 1280, 128
PROBED = ("cifar_resnet20", "cifar_resnet20@block=basic-v2")

# Name → languages, the address behind #, what is there once the picture is whole, and the window's height.
VIEWS = {
    "overview": (
        ("en", "tr"),
        "spec=resnet50@block=bottleneck-v2,attention=se&pin=resnet50&view=overview",
        "#view-overview .panel-block svg", 1000,
    ),
    "explore": (
        ("en", "tr"),
        "spec=resnet50&pin=resnet34&view=explore&space=classification&count=1500&budgets=macs<=4.1e9 params<=26M",
        "table.front tbody button", 1480,
    ),
    "runs": (("en",), f"spec={PROBED[1]}&view=runs&figure=grad_in&files=probe.json", ".panel-runs canvas", 1220),
}  # fmt: skip


def probes(folder: Path) -> None:
    """What `otoyol probe` writes, of two designs."""
    from otoyol.probe import probe, verdict

    runs = [probe(design, steps=10, seed=0, jacobian_steps=0) for design in PROBED]
    facts = {"runs": [run.to_mapping() for run in runs], "verdict": verdict(runs, "en")}
    write_text(folder / "probe.json", json_text(facts))


@contextmanager
def serving(runs: Path) -> Iterator[str]:
    """The studio's address while it is served from a thread."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(make_app(folder=runs), log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def picture(page: Page, wait: str) -> bytes:
    """The page as PNG of few colours."""
    page.wait_for_selector(wait)
    page.wait_for_function("() => document.querySelector('.panel-figures .figures dd')?.textContent")
    page.wait_for_timeout(400)  # charts are painted in the next frame
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    out = io.BytesIO()
    image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        probes(Path(runs))
        launched: Any = playwright.chromium.launch(executable_path=browser, args=root)
        with serving(Path(runs)) as address:
            for name, (langs, state, wait, height) in VIEWS.items():
                for lang, theme in product(langs, ("light", "dark")):
                    page = launched.new_page(viewport={"width": WIDTH, "height": height})
                    page.goto(f"{address}/#v=1&{state}&lang={lang}&theme={theme}")
                    path = folder / f"studio-{name}-{lang}-{theme}.png"
                    write_bytes(path, picture(page, wait))
                    page.close()
                    print(f"{path} {path.stat().st_size / 1024:.0f} KiB", flush=True)
        launched.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
