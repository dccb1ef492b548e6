"""The application in this process: answers, every refusal, what it says about itself."""

from __future__ import annotations

import io
import math
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from _artifacts import CLASSES, colours, detector, encoded, picture
from _client import ask, error, send, started
from PIL import Image

from otoyol.errors import OtoyolError, SpecError
from otoyol.serve import Limits, open_engine
from otoyol.serve.prepare import prepare


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    path = colours(tmp_path_factory.mktemp("serve") / "colours.onnx")
    with started(path, max_bytes=4000, max_pixels=10_000, queue=3) as (app, service):
        yield app, service


@pytest.fixture
def app(service):
    return service[0]


def softmax(*logits):
    parts = [math.exp(value) for value in logits]
    return [part / sum(parts) for part in parts]


def by_hand(colour):
    """ImageNet's normalisation and a mean over pixels of one colour, then softmax: by hand."""
    means = [(c / 255 - m) / s for c, m, s in zip(colour, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    return softmax(*means)


@pytest.mark.parametrize(("kind", "name"), [("image/png", "PNG"), ("image/webp", "WEBP"), ("image/jpeg", "JPEG")])
def test_classes_with_probabilities_by_hand(app, kind, name):
    colour = (200, 60, 120)
    response = send(app, picture(colour, kind=name), kind)
    assert response.status_code == 200
    page = response.json()
    assert page["model"] == "colours"
    wanted = dict(zip(CLASSES, by_hand(colour), strict=True))
    assert [row["label"] for row in page["classes"]] == sorted(wanted, key=wanted.get, reverse=True)
    assert {row["label"]: row["index"] for row in page["classes"]} == {"red": 0, "green": 1, "blue": 2}
    tolerance = 1e-6 if name == "PNG" else 0.01  # the others lose a level or two
    for row in page["classes"]:
        assert row["probability"] == pytest.approx(wanted[row["label"]], abs=tolerance)


def test_only_the_best_that_are_asked_for(app):
    page = send(app, picture((0, 255, 0)), path="/v1/predict?top=1").json()
    assert [row["label"] for row in page["classes"]] == ["green"]


def test_a_form_gives_the_same_answer(app):
    data = picture((10, 20, 230))
    form = ask(app, "POST", "/v1/predict", files={"image": ("x.png", data, "image/png")})
    assert form.status_code == 200
    assert form.json() == send(app, data).json()


def test_a_graph_that_normalises_by_itself_is_sent_pixels(tmp_path):
    with started(colours(tmp_path / "pixels.onnx", "nhwc", gain=1 / 255)) as (app, _):
        page = send(app, picture((200, 60, 120))).json()
    wanted = dict(zip(CLASSES, softmax(200 / 255, 60 / 255, 120 / 255), strict=True))
    assert {row["label"]: row["probability"] for row in page["classes"]} == pytest.approx(wanted, abs=1e-6)


def test_boxes_are_in_pixels_of_the_image_that_was_sent(tmp_path):
    with started(detector(tmp_path / "found.onnx")) as (app, _):  # 20×40; a 160×40 image is scaled by 1/4 to 10×40
        page = send(app, picture((1, 2, 3), (160, 40))).json()
        everything = send(app, picture((1, 2, 3), (160, 40)), path="/v1/predict?min_score=0").json()
    assert (page["model"], page["width"], page["height"]) == ("found", 160, 40)
    rows = [(row["label"], row["index"], round(row["score"], 6), row["box"]) for row in page["boxes"]]
    assert rows == [("dog", 1, 0.9, [0, 0, 40, 40]), ("cat", 0, 0.6, [32, 16, 80, 40])]  # cut at the image's edge
    assert len(everything["boxes"]) == 3


def test_an_image_for_a_detector_is_fitted_and_filled_with_the_mean(tmp_path):
    about = open_engine(detector(tmp_path / "found.onnx"), 1).metadata
    found = prepare(picture((255, 0, 0), (80, 20)), about, 10_000)
    assert found.array.shape == (3, 20, 40) and found.scale == (0.5, 0.5)
    red = (1 - np.array([0.485, 0, 0]) - np.array([0, 0.456 + 1, 0.406 + 1])) / [0.229, 0.224, 0.225]
    assert np.allclose(found.array[:, :10], red[:, None, None], atol=1e-5)
    assert np.abs(found.array[:, 10:]).max() <= 0.5 / 255 / 0.224 + 1e-6  # the nearest level to the mean


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_image_whose_mode_fits_is_not_copied(tmp_path, monkeypatch, mode):
    about = open_engine(colours(tmp_path / "colours.onnx"), 1).metadata
    values = np.random.default_rng(1).integers(0, 256, (8, 8, 3) if mode == "RGB" else (8, 8), dtype=np.uint8)
    data = encoded(Image.fromarray(values))
    found = prepare(data, about, 10_000).array
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("copied"))
    assert np.array_equal(prepare(data, about, 10_000).array, found)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    by_hand = (np.broadcast_to(values if mode == "RGB" else values[..., None], (8, 8, 3)) / 255 - mean) / std
    assert np.allclose(found, by_hand.transpose(2, 0, 1), atol=1e-5)


REFUSED = [
    ("no type", {"content": picture((1, 2, 3))}, 415, "content-type"),
    ("a type that is not ours", {"content": b"GIF89a", "headers": {"content-type": "image/gif"}}, 415, "content-type"),
    ("nothing", {"content": b"", "headers": {"content-type": "image/png"}}, 422, "image"),
    ("text", {"content": b"hello" * 9, "headers": {"content-type": "image/png"}}, 422, "image"),
    ("half an image", {"content": picture((1, 2, 3))[:50], "headers": {"content-type": "image/png"}}, 422, "image"),
    ("a gif called png", {"content": picture((1, 2, 3), kind="GIF"), "headers": {"content-type": "image/png"}}, 422,
     "image"),
    ("too many bytes", {"content": b"x" * 4001, "headers": {"content-type": "image/png"}}, 413, "content-length"),
    ("too many pixels", {"content": picture((1, 2, 3), (101, 100)), "headers": {"content-type": "image/png"}}, 413,
     "image.pixels"),
    ("a strip that would be scaled to 640,000 pixels",
     {"content": picture((1, 2, 3), (10_000, 1)), "headers": {"content-type": "image/png"}}, 413, "image.shape"),
    ("a form without the field", {"files": {"photo": ("x.png", b"x", "image/png")}}, 422, "form"),
    ("a form of text", {"files": {"image": (None, "text")}}, 422, "form"),
    ("two files", {"files": [("image", ("a.png", b"x", "image/png")), ("image", ("b.png", b"x", "image/png"))]}, 422,
     "form"),
    ("a file of another type", {"files": {"image": ("x.txt", b"x", "text/plain")}}, 415, "form.image.content-type"),
    ("a large file", {"files": {"image": ("x.png", b"x" * 4001, "image/png")}}, 413, "body"),
    ("a form without a boundary", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "form"),
    ("a form that ends early", {"content": b'--b\r\ncontent-disposition: form-data; name="image"; filename="x"\r\n\r\n',
     "headers": {"content-type": "multipart/form-data; boundary=b"}}, 422, "form"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused(app, request_, status, field):
    response = ask(app, "POST", "/v1/predict", **request_)
    told = error(response)
    assert (response.status_code, told["field"]) == (status, field)
    assert told["allowed"] and str(told["given"]) in told["message"]


@pytest.mark.parametrize("query", ["top=0", "top=x", "top=1001"])
def test_a_query_out_of_bounds(app, query):
    response = send(app, picture((1, 2, 3)), path=f"/v1/predict?{query}")
    assert (response.status_code, error(response)["field"]) == (422, "query.top")


def test_wrong_path_and_wrong_method(app):
    missing, method = ask(app, "GET", "/v2/predict"), ask(app, "GET", "/v1/predict")
    assert (missing.status_code, error(missing)["field"]) == (404, "path")
    assert (method.status_code, error(method)["field"], error(method)["allowed"]) == (405, "method", "POST")


def test_a_body_of_unknown_length_is_bounded_too(app):
    async def unannounced():
        for _ in range(1000):
            yield b"x" * 1000

    response = send(app, unannounced())
    assert (response.status_code, error(response)["field"]) == (413, "body")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bombs():
    """Files of a few hundred bytes that stand for 2.5 to 900 million pixels."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    yield "png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    frame = io.BytesIO()
    Image.new("RGB", (2, 2)).save(frame, "WEBP", lossless=True)
    body = frame.getvalue()[12:]
    edge = (16_384 - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + edge + edge
    still = bytes(6) + (1).to_bytes(3, "little") * 2 + bytes(4) + body
    frames = b"ANIM" + struct.pack("<I", 6) + bytes(6) + b"ANMF" + struct.pack("<I", len(still)) + still
    content = b"WEBP" + extended + frames
    yield "webp", b"RIFF" + struct.pack("<I", len(content)) + content
    small = encoded(Image.new("RGB", (8, 8)), "JPEG")
    at = small.index(b"\xff\xc0")
    yield "jpeg", small[: at + 5] + struct.pack(">HH", 50_000, 50_000) + small[at + 9 :]


@pytest.mark.parametrize(("kind", "data"), bombs())
def test_decompression_bombs_are_refused_by_their_header(app, kind, data, monkeypatch):
    loaded = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: loaded.append(self))
    response = send(app, data, f"image/{kind}")
    assert (response.status_code, error(response)["field"]) == (413, "image.pixels")
    assert loaded == []


def test_an_image_within_the_bounds_of_pixels_is_decoded(app):
    assert send(app, picture((1, 2, 3), (100, 100))).status_code == 200


def test_the_engines_own_failure_is_the_answer_of_its_batch_alone(service, monkeypatch):
    app, behind = service
    running = threading.Event()

    def broken(images):
        running.set()
        raise RuntimeError("no memory")

    monkeypatch.setattr(behind._batcher, "_run", broken)
    failed = send(app, picture((1, 2, 3)))
    assert (failed.status_code, error(failed)["field"]) == (500, "model")
    assert running.is_set()
    monkeypatch.undo()
    assert send(app, picture((1, 2, 3))).status_code == 200


@pytest.mark.parametrize("path", ["/v1/predict", "/metrics"])
def test_what_nobody_has_foreseen_is_the_same_json(service, monkeypatch, caplog, path):
    app, behind = service

    def broken(*_):
        raise LookupError("a secret path")

    monkeypatch.setattr(behind, "answer", broken)
    monkeypatch.setattr(behind.metrics, "text", broken)
    response = send(app, picture((1, 2, 3))) if path == "/v1/predict" else ask(app, "GET", path)
    told = error(response)
    assert (response.status_code, told["field"], told["given"]) == (500, "service", "LookupError")
    assert response.headers["content-type"] == "application/json" and "secret" not in response.text
    assert "a secret path" in caplog.text  # the log says it
    monkeypatch.undo()
    assert behind.inside == 0 and send(app, picture((1, 2, 3))).status_code == 200


def test_what_is_not_finite_is_no_answer(tmp_path):
    with started(colours(tmp_path / "nan.onnx", gain=float("nan"))) as (app, _):
        response = send(app, picture((1, 2, 3)))
    assert (response.status_code, error(response)["given"]) == (500, "an output that is not finite")


def test_openapi_tells_bodies_answers_and_errors(app):
    page = ask(app, "GET", "/openapi.json").json()
    predict = page["paths"]["/v1/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"image/jpeg", "image/png", "image/webp", "multipart/form-data"}
    assert set(predict["responses"]) >= {"200", "408", "413", "415", "422", "500", "503", "504"}
    reference = predict["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
    assert set(page["components"]["schemas"][reference]["required"]) == {"model", "classes"}
    assert {"/healthz", "/readyz", "/metrics", "/v1/model"} <= set(page["paths"])


def test_the_answers_fit_the_openapi_document(app):
    import jsonschema

    page = ask(app, "GET", "/openapi.json").json()
    schemas = {"components": page["components"]}
    for response, name in ((send(app, picture((9, 8, 7))), "Classes"), (send(app, b"x"), "Problem")):
        jsonschema.validate(response.json(), {"$ref": f"#/components/schemas/{name}", **schemas})
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({}, {"$ref": f"#/components/schemas/{name}", **schemas})


def test_nothing_is_loaded_from_elsewhere(app):
    assert ask(app, "GET", "/docs").status_code == ask(app, "GET", "/redoc").status_code == 404


def test_health_and_readiness(service):
    app, behind = service
    assert ask(app, "GET", "/healthz").status_code == ask(app, "GET", "/readyz").status_code == 200
    behind.draining = True
    try:
        assert (ask(app, "GET", "/healthz").status_code, ask(app, "GET", "/readyz").status_code) == (200, 503)
        refused = send(app, picture((1, 2, 3)))
        assert (refused.status_code, refused.headers["retry-after"], error(refused)["given"]) == (503, "1", "stopping")
    finally:
        behind.draining = False


def test_what_is_served(app):
    page = ask(app, "GET", "/v1/model").json()
    assert (page["task"], page["classes"], page["height"], page["limits"]["max_bytes"]) == (
        "classification", list(CLASSES), 8, 4000,
    )  # fmt: skip


def test_metrics_count_what_was_answered(tmp_path):
    with started(colours(tmp_path / "counted.onnx")) as (app, _):
        for data in (picture((1, 2, 3)), picture((3, 2, 1)), b"x"):
            send(app, data)
        lines = dict(
            line.rsplit(" ", 1) for line in ask(app, "GET", "/metrics").text.splitlines() if not line.startswith("#")
        )
    assert lines['otoyol_requests_total{code="200"}'] == "2.0"
    assert lines['otoyol_requests_total{code="422"}'] == "1.0"
    assert lines["otoyol_request_seconds_count"] == "3.0"
    assert lines["otoyol_batch_images_sum"] == "2.0"
    assert (lines["otoyol_requests_inside"], lines["otoyol_queue_images"]) == ("0.0", "0.0")


@pytest.mark.parametrize(
    ("field", "value"), [("queue", 0), ("timeout_s", 0.0), ("max_bytes", -1), ("max_wait_ms", math.inf),
                       ("max_pixels", 178_956_971), ("unknown", 1)]
)  # fmt: skip
def test_limits_are_checked(field, value):
    with pytest.raises(SpecError, match=field):
        Limits(**{field: value})


def test_artifacts_that_cannot_be_served(tmp_path):
    with pytest.raises(SpecError, match="artifact"):
        open_engine(tmp_path / "absent.onnx", 1)
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(SpecError, match=r"artifact: got text\.onnx; allowed: an ONNX file that ONNX Runtime loads"):
        open_engine(tmp_path / "text.onnx", 1)
    with pytest.raises(SpecError, match=r"artifact\.classes: got 2 names; allowed: 3"):
        open_engine(_fixed(tmp_path / "names.onnx", classes=("a", "b")), 1)
    with pytest.raises(SpecError, match=r"artifact\.task: got features"):
        open_engine(colours(tmp_path / "taps.onnx", task="features", outputs=("logits",)), 1)
    with pytest.raises(SpecError, match=r"artifact\.inputs"):
        open_engine(_layout(tmp_path / "layout.onnx"), 1)
    with (
        pytest.raises(OtoyolError, match="does not run on 1 images"),
        started(colours(tmp_path / "size.onnx", height=9), max_batch=2),
    ):
        pass


def _fixed(path: Path, **about) -> Path:
    return colours(path, **about)


def _layout(path: Path) -> Path:
    """A graph that reads pixels and says that it reads normalised floats."""
    import onnx

    from otoyol.deploy.metadata import read_props, write_props

    model = onnx.load(str(colours(path, "nhwc")))
    write_props(model, read_props(model).model_copy(update={"layout": "nchw"}))
    onnx.save(model, str(path))
    return path
