"""The studio under load: python benchmarks/studio_load.py [--clients 200] [--seconds 60] [--think 2.0]

`otoyol studio` in a process of its own; this process is its clients, each with a connection that it keeps. A client
asks what a page asks, waits for the answer, thinks (exponentially distributed, ``--think`` seconds in the mean) and
asks again: mostly a design that nobody has asked for before, as a slider gives it; now and then the files of the page,
a design that cannot be built with its nearest ones, and a sample of a space. First, on the idle server, what is
hostile: how long the server takes to refuse it (its own clock, the header Server-Timing; bar 10 ms), and to find that
nothing near can be built (bar 50 ms). The bars under load: no error, and memory that does not grow. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

REFUSED_MS = 10.0
LOOKED_MS = 50.0  # for what can be built near by: hundreds of designs are tried, beside the moves of others
GROWTH = 1.05  # resident memory of the last third over that of the middle third
WARM = 15.0  # seconds in which clients come one by one and caches fill; not counted
OVERVIEW = ["figures", "block", "stages", "road"]  # what the first view asks of every design
PAGE_FILES = (
    "/", "/static/js/main.js", "/static/css/studio.css", "/static/vendor/echarts.js", "/api/words/en", "/api/choices",
)  # fmt: skip
SPACE = b'{"spec": "resnet50", "space": "text", "text": "'
NEAREST = "/api/nearest"  # which refuses nothing: it finds no design
WRONG = "resnet50@groups=7,norm=group,norm.groups=48,act=tanh,shortcut=E,stem=shallow,head.pool=most,attention=sse"
DEEP = f"resnet50@depths={'-'.join('2' * 16)},widths={'-'.join(16 * ['64'])},strides={'-'.join('1' * 16)},"
DEEP += f"dilations={'-'.join('1' * 16)},groups=7,norm=group,norm.groups=48"
BLOCKS = ("basic", "basic-v2", "bottleneck", "bottleneck-v2")
ATTENTION = ("none", "se", "eca", "cbam")


class Answer(NamedTuple):
    """``server_ms`` is what the server says it took."""

    status: int
    body: bytes
    server_ms: float


class Client:
    """One connection, opened again where the server has closed it. Answers to requests in HTTP/1.1 with lengths."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        fields = {"host": f"127.0.0.1:{self.port}", "content-length": str(len(body))}
        fields |= {"content-type": "application/json"} | (headers or {})
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        told = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:]) if key}
        answer = await reader.readexactly(int(told.get("content-length", 0)))
        if told.get("connection") == "close":
            self.close()
        spent = told.get("server-timing", "app;dur=nan").partition("dur=")[2]
        return Answer(int(lines[0].split()[1]), answer, float(spent))

    def close(self) -> None:
        if self.streams:
            self.streams[1].close()
        self.streams = None


def some_design(rng: random.Random) -> str:
    """A design that is most likely new."""
    depths = "-".join(str(rng.randint(1, 12)) for _ in range(4))
    widths = "-".join(str(8 * rng.randint(2, 40)) for _ in range(4))
    return f"resnet50@block={rng.choice(BLOCKS)},attention={rng.choice(ATTENTION)},depths={depths},widths={widths}"


def question(rng: random.Random) -> tuple[str, str, str, dict[str, Any] | None, int]:
    """Kind, method, path, body and the status that is right."""
    what = rng.random()
    if what < 0.90:
        return "design", "POST", "/api/design", {"spec": some_design(rng), "parts": OVERVIEW}, 200
    if what < 0.97:
        return "file", "GET", rng.choice(PAGE_FILES), None, 200
    if what < 0.98:
        return "refused", "POST", "/api/design", {"spec": "resnet50@depths=1000000000-1-1-1"}, 422
    if what < 0.995:
        return "nearest", "POST", "/api/nearest", {"spec": "resnet50@groups=7"}, 200
    return "explore", "POST", "/api/explore", {"spec": "resnet50", "count": 500, "seed": rng.randrange(10**6)}, 200


HOSTILE: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "body of 10 MB": ("/api/design", b" ", {"content-length": "10000000"}),
    "depth of 10^9": ("/api/design", b'{"spec": "resnet50@depths=1000000000-1-1-1"}', {}),
    "unknown field": ("/api/design", b'{"spec": "resnet50", "surprise": 1}', {}),
    "60 kB of brackets": ("/api/design", b"[" * 60_000, {}),
    "NaN": ("/api/design", b'{"spec": "resnet50", "batch": NaN}', {}),
    "spec of 60 kB": ("/api/design", b'{"spec": "' + b"a" * 60_000 + b'"}', {}),
    "text of 4 kB in a block": ("/api/design", b'{"spec": "resnet50@block=' + b"conv3." * 600 + b'"}', {}),
    "space of brackets": ("/api/explore", SPACE + b"[" * 290 + b'"}', {}),
    "space of 290 entries": ("/api/explore", SPACE + b"[" + b"1," * 290 + b']"}', {}),
    "another content type": ("/api/design", b"{}", {"content-type": "text/plain"}),
    "another host": ("/api/design", b"{}", {"host": "evil.example"}),
    "another origin": ("/api/design", b"{}", {"origin": "https://evil.example"}),
    "another file": ("/api/run", b'{"name": "../../etc/passwd"}', {}),
    "two wrong fields": (NEAREST, b'{"spec": "resnet50@groups=7,norm=group,norm.groups=48"}', {}),
    "two wrong fields, deep": (NEAREST, b'{"spec": "' + DEEP.encode() + b'"}', {}),
    "eight wrong fields": (NEAREST, b'{"spec": "' + WRONG.encode() + b'"}', {}),
}  # fmt: skip


async def hostile(port: int, rounds: int) -> dict[str, Any]:
    """The server's milliseconds for every kind of refusal: median and worst."""
    found: dict[str, Any] = {}
    for name, (path, body, headers) in HOSTILE.items():
        times = []
        for _ in range(rounds):
            client = Client(port)
            answer = await client.ask("POST", path, body, headers)
            client.close()
            told = json.loads(answer.body)
            refused = 400 <= answer.status < 500 and told["error"]["message"]
            if not (told == {"offers": []} if path == NEAREST else refused):
                raise SystemExit(f"{name}: answered {answer.status} {answer.body[:200]!r}")
            times.append(answer.server_ms)
        found[name] = {"status": answer.status, "median_ms": round(statistics.median(times), 2), "worst_ms": max(times)}
        print(
            f"refused {name:24s} {answer.status} {statistics.median(times):6.2f} ms, worst {max(times):.2f}", flush=True
        )
    return found


async def load(port: int, pid: int, clients: int, seconds: float, think: float, seed: int) -> dict[str, Any]:
    """``clients`` for ``seconds`` after a warm-up, and the server's resident memory second by second."""
    times: dict[str, list[float]] = defaultdict(list)
    server: dict[str, list[float]] = defaultdict(list)
    errors: Counter[str] = Counter()
    start = time.monotonic() + WARM
    end = start + seconds

    async def one(number: int) -> None:
        rng = random.Random(seed * 100_003 + number)
        client = Client(port)
        await asyncio.sleep(rng.uniform(0, WARM / 3))
        while time.monotonic() < end:
            kind, method, path, body, wanted = question(rng)
            began = time.monotonic()
            try:
                answer = await client.ask(method, path, json.dumps(body).encode() if body else b"")
                if answer.status != wanted:
                    errors[f"{kind}: {answer.status}"] += 1
                elif start <= began:
                    times[kind].append((time.monotonic() - began) * 1e3)
                    server[kind].append(answer.server_ms)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                errors[f"{kind}: {type(error).__name__}"] += 1
                client.close()
            await asyncio.sleep(rng.expovariate(1 / think) if think else 0)
        client.close()

    memory: list[float] = []

    async def watch() -> None:
        while time.monotonic() < end:
            if time.monotonic() >= start:
                memory.append(resident_mib(pid))
            await asyncio.sleep(1)

    await asyncio.gather(watch(), *(one(number) for number in range(clients)))
    everything = sorted(value for values in times.values() for value in values)
    third = max(1, len(memory) // 3)
    middle, last = statistics.median(memory[third : 2 * third] or memory), statistics.median(memory[-third:])
    return {
        "requests": len(everything), "per_second": round(len(everything) / seconds, 1), "errors": dict(errors),
        **{f"p{share}_ms": round(at(everything, share / 100), 1) for share in (50, 95, 99)},
        "worst_ms": round(everything[-1], 1),
        "kinds": {
            kind: {"requests": len(values), "p50_ms": round(at(values, 0.5), 1), "p99_ms": round(at(values, 0.99), 1),
                   "server_p50_ms": round(at(server[kind], 0.5), 2)}
            for kind, values in sorted(times.items())
        },
        "memory_mib": {"first": memory[0], "middle_third": middle, "last_third": last, "most": max(memory)},
    }  # fmt: skip


def slowest(refusals: dict[str, Any], of: Callable[[str], bool]) -> float:
    """The longest median of the kinds whose path is ``of`` them."""
    return max(row["median_ms"] for name, row in refusals.items() if of(HOSTILE[name][0]))


def at(values: list[float], share: float) -> float:
    """The quantile, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--think", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=30, help="refusals of each kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    command = [sys.executable, "-m", "otoyol", "studio", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            address = next(word for word in words if word.startswith("http"))
            port = urlsplit(address).port
            assert port is not None
            refusals = asyncio.run(hostile(port, given.rounds))
            found = asyncio.run(load(port, process.pid, given.clients, given.seconds, given.think, given.seed))
        finally:
            process.terminate()
    for kind, values in found["kinds"].items():
        print(
            f"{kind:8s} {values['requests']:6d} requests, p50 {values['p50_ms']:.1f} ms, p99 {values['p99_ms']:.1f} ms"
        )
    grown = found["memory_mib"]["last_third"] / found["memory_mib"]["middle_third"]
    bars = {
        "no_error": not found["errors"],
        "flat_memory": grown <= GROWTH,
        "refused_within_10_ms": slowest(refusals, lambda path: path != NEAREST) <= REFUSED_MS,
        "looked_within_50_ms": slowest(refusals, lambda path: path == NEAREST) <= LOOKED_MS,
    }
    figures = {
        "clients": given.clients, "seconds": given.seconds, "think_s": given.think, **found,
        "memory_growth": round(grown, 4), "refused": refusals, "bars": bars,
    }  # fmt: skip
    print(json.dumps(figures))
    if not all(bars.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
