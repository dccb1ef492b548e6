"""How much of the engine does the service keep? Images a second through HTTP ÷ the engine called directly.

    python benchmarks/serve.py [--spec resnet18] [--requests 10000] [--rounds 5] [--connections 32]

Three processes on the same cores: the service (`otoyol serve`, its own defaults), one that calls the same engine on the
same batches, and a client that sends JPEG images over kept connections and compares every answer. Rounds alternate
between them; a figure is the median over rounds. ``ratio`` is the service over the engine with images that were decoded
before, in the better of two settings: one run on all cores (``alone``) or a run on each core (``spread``). So HTTP,
decoding and scaling are all on the service's account; it is held to ``bar``. ``ratio_decoding`` is over a process that
decodes and runs by turns, as a script without threads would.

An answer is right if the five classes are those of the engine called directly, each probability within 1e-5; another
batch size may change the last digits, and may change the order of classes that are closer than that. An answer that
belongs to another image has to be seen: images differ in colour, and the classifier is set so that its answers to them
spread; ``near_pairs`` counts the pairs of images of which one's answer would pass for the other's, and has to be 0.

Memory is the service's resident set, read four times a second. It is flat if its median over the last third of the
rounds is at most 5 % above that of the second third. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BAR = 0.9
TOLERANCE = 1e-5
DISTINCT = 256  # images that differ
CALIBRATING = 64  # of them set the classifier's spread
SPREAD = 2.0  # standard deviation of a logit over images
GROWTH = 0.05  # of resident memory at most, from the second to the last third
SAMPLE_S = 0.25  # between two readings of it
RATES = ("alone", "spread", "decoding", "service")
HEAD = b"POST /v1/predict?top=5 HTTP/1.1\r\nhost: bench\r\ncontent-type: image/jpeg\r\ncontent-length: %d\r\n\r\n"


def make_images(folder: Path, size: int) -> None:
    """JPEG crops of a photograph, of several sizes around ``size`` and each in colours of its own."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    photo = Image.fromarray(load_sample_image("china.jpg"))
    rng = np.random.default_rng(0)
    for number in range(DISTINCT):
        side = int(rng.integers(min(size, *photo.size) // 2, min(2 * size, *photo.size)))
        left, top = (int(rng.integers(0, edge - side + 1)) for edge in photo.size)
        crop = np.asarray(photo.crop((left, top, left + side, top + side)), dtype=np.float32)
        part = rng.uniform(0.3, 0.9, 3)
        tinted = crop * part + rng.uniform(0, 255 * (1 - part))  # within 0 to 255, or two skies could be equally white
        Image.fromarray(tinted.astype(np.uint8)).save(folder / f"{number:03}.jpg", quality=90)


def make_artifact(path: Path, text: str, images: Path) -> None:
    """The network of ``text`` with weights of noise, as `otoyol export` would describe it, its classifier set so that
    logits vary by :data:`SPREAD` around 0 over the images: noise alone answers nearly the same to all of them."""
    import onnx

    from otoyol.deploy.metadata import Metadata, write_props
    from otoyol.measure.onnx_graph import OPSET, onnx_model
    from otoyol.spec import parse

    spec = parse(text)
    model = onnx.load_from_string(onnx_model(spec, 1)[0])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    last = model.graph.output[0]
    model.graph.node.append(onnx.helper.make_node("Identity", [last.name], ["logits"]))
    last.name = "logits"
    about = {"task": "classification", "spec": text, "outputs": ("logits",), "opset": OPSET}
    write_props(model, Metadata(**about, height=spec.input.height, width=spec.input.width))
    named = {tensor.name: tensor for tensor in model.graph.initializer}
    head = [node for node in model.graph.node if node.op_type == "Gemm"][-1]

    def put(place: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
        tensor = named[head.input[place]]
        values = change(onnx.numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    rng = np.random.default_rng(1)
    put(1, lambda weight: rng.standard_normal(weight.shape))  # timing's noise repeats itself, and so classes would
    onnx.save(model, str(path))
    logits = logits_of(path, sorted(images.glob("*.jpg"))[:CALIBRATING])
    gain = SPREAD / float((logits - logits.mean(0)).std())
    put(1, lambda weight: gain * weight)
    put(2, lambda bias: gain * (bias - logits.mean(0)))
    onnx.save(model, str(path))


def logits_of(artifact: Path, files: list[Path]) -> np.ndarray:
    """(images, classes), one image at a time."""
    from otoyol.serve.engine import open_engine
    from otoyol.serve.prepare import prepare

    engine = open_engine(artifact, 1)
    arrays = (prepare(path.read_bytes(), engine.metadata, 1 << 24).array for path in files)
    return np.stack([engine.run(array[None])[0][0] for array in arrays])


def direct(artifact: Path, images: Path, cores: int, batch: int) -> None:
    """The engine in a process of its own: writes what it answers, then times what each line of its input asks for.

    ``alone``: one caller, a run on all cores. ``spread``: a caller for each core, a run on one core each, as the
    service does. ``decode``: as ``alone``, and each image is decoded before.
    """
    from concurrent.futures import ThreadPoolExecutor

    import torch

    from otoyol.serve.answers import probabilities
    from otoyol.serve.engine import open_engine
    from otoyol.serve.prepare import prepare

    torch.set_num_threads(1)
    engines = {"alone": open_engine(artifact, cores), "spread": open_engine(artifact, 1)}
    for engine in engines.values():
        engine.warm_up(batch)
    files = [path.read_bytes() for path in sorted(images.glob("*.jpg"))]

    def decoded(data: bytes) -> np.ndarray:
        return prepare(data, engines["alone"].metadata, 1 << 24).array

    arrays = [decoded(data) for data in files]
    answers = np.stack([probabilities(engines["alone"].run(array[None])[0][0]) for array in arrays])
    np.save(artifact.with_suffix(".npy"), answers)
    print("ready", flush=True)
    with ThreadPoolExecutor(cores) as callers:
        for line in sys.stdin:
            what, count = line.split()
            engine = engines["spread" if what == "spread" else "alone"]

            def once(start: int, what: str = what, engine: Any = engine) -> None:
                chosen = [number % len(files) for number in range(start, start + batch)]
                parts = [decoded(files[n]) for n in chosen] if what == "decode" else [arrays[n] for n in chosen]
                engine.run(np.stack(parts))

            starts = range(0, int(count), batch)
            began = time.perf_counter()
            list(callers.map(once, starts)) if what == "spread" else [once(start) for start in starts]
            print((time.perf_counter() - began) / (len(starts) * batch), flush=True)


async def load(port: int, requests: list[bytes], count: int, connections: int) -> tuple[float, list[Any]]:
    """Seconds for ``count`` requests over kept connections, and (image, seconds, status, body) of each."""
    found: list[Any] = []
    numbers = iter(range(count))

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            image = number % len(requests)
            began = time.perf_counter()
            writer.write(requests[image])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            found.append((image, time.perf_counter() - began, int(head[9:12]), body))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return time.perf_counter() - began, found


def wrong(answers: np.ndarray, found: list[Any]) -> int:
    """How many answers are not what the engine says by itself."""
    count = 0
    for image, _, status, body in found:
        rows = json.loads(body)["classes"] if status == 200 else []
        count += not fits(answers[image], {row["index"]: row["probability"] for row in rows})
    return count


def fits(answer: np.ndarray, told: dict[int, float], tolerance: float = TOLERANCE) -> bool:
    """Whether five classes with their probabilities are the best of an answer."""
    least = np.sort(answer)[-5] - tolerance
    return len(told) == 5 and all(abs(answer[i] - p) <= tolerance and answer[i] >= least for i, p in told.items())


def near_pairs(answers: np.ndarray) -> int:
    """Pairs of images of which one's answer, itself off by as much as is allowed, would pass for the other's."""
    best = [{int(i): float(answer[i]) for i in np.argsort(answer)[-5:]} for answer in answers]
    pairs = ((one, other) for one in range(len(best)) for other in range(one))
    either = (fits(answers[a], best[b], 2 * TOLERANCE) or fits(answers[b], best[a], 2 * TOLERANCE) for a, b in pairs)
    return sum(either)


def growth(samples: list[float]) -> float:
    """From the median of the second third of the samples to that of the last; infinite where there are too few."""
    third = len(samples) // 3
    if not third:
        return float("inf")
    return statistics.median(samples[-third:]) / statistics.median(samples[third : 2 * third]) - 1


def watch(process: int, samples: list[float], ended: threading.Event) -> None:
    """Read a process's resident memory until told to end."""
    while not ended.wait(SAMPLE_S):
        samples.append(resident_mib(process))


def resident_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def client(port: int, images: Path, answers: Path, connections: int) -> None:
    """The client in a process of its own: a round for each line of its input."""
    requests = [HEAD % len(data) + data for path in sorted(images.glob("*.jpg")) for data in [path.read_bytes()]]
    right = np.load(answers)
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, found = asyncio.run(load(port, requests, int(line), connections))
        print(json.dumps({"seconds": seconds, "latencies": [row[1] for row in found],
                          "wrong": wrong(right, found), "answered": len(found)}), flush=True)  # fmt: skip


class Worker:
    """One of this file's processes, asked line by line."""

    def __init__(self, *words: object) -> None:
        command = [sys.executable, __file__, *map(str, words)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline().strip() == "ready"

    def ask(self, line: str) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", default="resnet18")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--options", default="", help="more options for otoyol serve")
    given = parser.parse_args()
    from otoyol.spec import parse

    each = -(-given.requests // given.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder, images = Path(name), Path(name) / "images"
        images.mkdir()
        artifact = folder / "model.onnx"
        make_images(images, parse(given.spec).input.height)
        make_artifact(artifact, given.spec, images)
        engine = Worker("direct", artifact, images, len(os.sched_getaffinity(0)), given.batch)
        words = ["--port", "0", "--max-batch", given.batch, "--quiet"]
        service = subprocess.Popen(
            [sys.executable, "-m", "otoyol", "serve", str(artifact), *map(str, words), *given.options.split()],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "OTOYOL_LANG": "en"},
        )  # fmt: skip
        assert service.stdout is not None
        port = service.stdout.readline().split("http://127.0.0.1:")[1].split(";")[0]
        asking = Worker("client", port, images, artifact.with_suffix(".npy"), given.connections)
        measure(engine, asking, each // 4)  # everything is loaded and has its place
        near = near_pairs(np.load(artifact.with_suffix(".npy")))
        rounds, samples, ended = [], [resident_mib(service.pid)], threading.Event()
        watching = threading.Thread(target=watch, args=(service.pid, samples, ended))
        watching.start()
        for number in range(given.rounds):
            rounds.append(measure(engine, asking, each))
            told = {key: round(rounds[-1][key], 1) for key in RATES}
            print(f"round {number + 1}: images a second {told}", flush=True)
        ended.set()
        watching.join()
        engine.end()
        asking.end()
        service.terminate()
        status = service.wait()
    latencies = np.sort(np.concatenate([row["latencies"] for row in rounds])) * 1e3
    rates = {key: statistics.median(row[key] for row in rounds) for key in RATES}
    ratios = [row["service"] / row["engine"] for row in rounds]
    figures = {
        "spec": given.spec, "cores": len(os.sched_getaffinity(0)), "max_batch": given.batch,
        "connections": given.connections,
        "requests": sum(row["answered"] for row in rounds), "wrong": sum(row["wrong"] for row in rounds),
        "ratio": round(statistics.median(ratios), 3), "ratio_low": round(min(ratios), 3),
        "ratio_high": round(max(ratios), 3), "bar": BAR,
        "ratio_decoding": round(statistics.median(row["service"] / row["decoding"] for row in rounds), 3),
        "images_per_second": {key: round(rate, 1) for key, rate in rates.items()},
        "p50_ms": round(float(np.quantile(latencies, 0.5)), 1), "p99_ms": round(float(np.quantile(latencies, 0.99)), 1),
        "rss_begin_mib": round(samples[0], 1), "rss_end_mib": round(samples[-1], 1),
        "rss_growth": round(growth(samples), 4), "rss_growth_bar": GROWTH, "near_pairs": near, "exit_status": status,
    }  # fmt: skip
    flat = growth(samples) <= GROWTH
    figures["ok"] = bool(figures["ratio"] >= BAR and flat and not near and not figures["wrong"] and not status)
    print(json.dumps(figures))
    return 0


def measure(engine: Worker, asking: Worker, count: int) -> dict[str, Any]:
    """One round, in images a second. The engine by itself is quicker told than the service, whose answers count."""
    few = max(count // 3, 64)
    alone, spread = 1 / engine.ask(f"alone {few}"), 1 / engine.ask(f"spread {few}")
    served = asking.ask(str(count))
    decoding = 1 / engine.ask(f"decode {few}")
    return {"alone": alone, "spread": spread, "engine": max(alone, spread), "decoding": decoding,
            "service": count / served["seconds"], **served}  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["direct"]:
        direct(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    elif sys.argv[1:2] == ["client"]:
        client(int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main())
