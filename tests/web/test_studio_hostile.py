"""Requests that mean ill, or nothing: refused with a status and a sentence, before anything is worked on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from otoyol.web import guard, make_app

BASE = "http://127.0.0.1:8377"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "metrics.csv").write_bytes(b"step,loss\n1,\xff\n")
    return make_app(folder=folder)


def send(app: Any, path: str, body: Any = b"", method: str = "POST", headers: Any = None, base: str = BASE) -> Any:
    async def one() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, content=body, headers=JSON if headers is None else headers)

    answer = asyncio.run(one())
    plain = answer.headers.get("content-type") == "application/json"
    answer.told = answer.json().get("error", {}).get("message", "") if plain else ""  # type: ignore[attr-defined]
    return answer


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8377", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "localhost.", "",
             "0.0.0.0", "[::2]", "[::1].evil.example"],
)  # fmt: skip
def test_other_hosts_are_refused(app: Any, host: str) -> None:
    """DNS rebinding: a stranger's name that leads here names itself in Host."""
    for method, path in (("GET", "/"), ("POST", "/api/design")):
        answer = send(app, path, b"{}", method, {**JSON, "host": host})
        assert answer.status_code == 421
        assert "this page answers to" in answer.told


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:8377.evil.example"}, {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)  # fmt: skip
def test_other_pages_are_refused(app: Any, headers: dict[str, str]) -> None:
    answer = send(app, "/api/design", b'{"spec": "resnet18"}', headers={**JSON, **headers})
    assert answer.status_code == 403
    assert "from this page" in answer.told


@pytest.mark.parametrize(
    ("status", "method", "headers", "english", "turkish"),
    [
        (421, "GET", {"host": "evil.example"}, "this page answers to 127.0.0.1, [::1], localhost only",
         "bu sayfa yalnızca şu adlarla yanıt verir: 127.0.0.1, [::1], localhost"),
        (405, "PUT", {}, "methods GET, HEAD, POST", "yöntemler: GET, HEAD, POST"),
        (403, "POST", {"origin": "null"}, "questions come from this page or from no page",
         "sorular ya bu sayfadan gelmeli ya da hiçbir sayfadan gelmemeli"),
        (415, "POST", {"content-type": "text/plain"}, "a body of application/json",
         "application/json türünde bir gövde"),
        (413, "POST", {"content-length": "-1"}, "a body of at most 65536 bytes", "en çok 65536 baytlık bir gövde"),
    ],
)  # fmt: skip
def test_the_guard_speaks_the_readers_language(
    app: Any, status: int, method: str, headers: dict[str, str], english: str, turkish: str
) -> None:
    for accepted, words in (("en-GB", english), ("de,tr;q=0.1", english), ("tr-TR,tr;q=0.9", turkish)):
        answer = send(app, "/api/design", b"{}", method, {**JSON, **headers, "accept-language": accepted})
        assert (answer.status_code, answer.told) == (status, words)


def test_what_there_is_not_is_told_in_the_readers_language(app: Any) -> None:
    for lang, absent, wrong in (("en", "Not Found", "Method Not Allowed"),
                                ("tr", "Burada böyle bir şey yok", "Bu yönteme izin yok")):  # fmt: skip
        headers = {**JSON, "accept-language": lang}
        assert send(app, "/none", method="GET", headers=headers).told == absent
        assert send(app, "/api/design", method="GET", headers=headers).told == wrong


async def never() -> Any:
    await asyncio.sleep(60)


async def broken(*_: Any) -> None:
    raise RuntimeError("on purpose")


@pytest.mark.parametrize(
    ("method", "status", "words"),
    [("POST", 408, "0 sn içinde gelen bir gövde"),
     ("GET", 500, "otoyol studio içinde bir hata; ayrıntısı uçbiriminde")],
)  # fmt: skip
def test_late_bodies_and_errors_are_told_in_turkish(
    method: str, status: int, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.01)
    caplog.set_level("CRITICAL", "otoyol.web.guard")
    fields = {**JSON, "host": "localhost", "accept-language": "tr"}
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    sent: list[Any] = []

    async def told(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/", "headers": headers}
    asyncio.run(guard.Guard(broken)(scope, never, told))
    assert sent[0]["status"] == status
    assert json.loads(sent[1]["body"]) == {"error": {"message": words}}


def test_this_page_is_served(app: Any) -> None:
    headers = {**JSON, "origin": BASE, "sec-fetch-site": "same-origin"}
    assert send(app, "/api/design", b'{"spec": "resnet18"}', headers=headers).status_code == 200
    assert "access-control-allow-origin" not in send(app, "/", method="GET", headers={"origin": BASE}).headers


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
def test_other_content_types_are_refused(app: Any, kind: str | None) -> None:
    """What a form elsewhere could send without asking first."""
    answer = send(app, "/api/design", b'{"spec": "resnet18"}', headers={} if kind is None else {"content-type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.told


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(app: Any, method: str) -> None:
    assert send(app, "/api/design", b"{}", method).status_code == 405


async def pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 4096):
        yield b" " * 4096


@pytest.mark.parametrize("path", ["/api/design", "/api/explore", "/api/run", "/nothing"])
def test_large_bodies_are_refused(app: Any, path: str) -> None:
    for body in (b" " * 10_000_000, pieces(200_000)):
        answer = send(app, path, body)
        assert answer.status_code == 413
        assert "at most 65536 bytes" in answer.told
    lied = send(app, path, b"{}", headers={**JSON, "content-length": "-1"})
    assert lied.status_code == 413


HUGE = "a" * 60_000
DESIGN: list[tuple[Any, str]] = [
    ({"spec": "resnet50@depths=1000000000-1-1-1"}, "from 1 to 4096"),
    ({"spec": "resnet50@depths=4096-4096-4096-4096"}, "at most"),
    ({"spec": "resnet50@widths=" + "9" * 1000}, "whole numbers"),
    ({"spec": HUGE}, "spec"),
    ({"spec": "resnet50@block=" + "conv3." * 600}, "block"),
    ({"spec": "resnet50@" + ",".join(f"stage{i}.act=relu" for i in range(200))}, "stage"),
    ({"spec": "../../etc/passwd"}, "family"),
    ({"spec": "resnet50\0"}, "spec"),
    ({"spec": 5}, "spec"),
    ({}, "spec"),
    ({"spec": "resnet50", "surprise": 1}, "surprise"),
    ({"spec": "resnet50", "batch": 1e9}, "batch"),
    ({"spec": "resnet50", "batch": True}, "batch"),
    ({"spec": "resnet50", "parts": ["figures"] * 1000}, "parts"),
    ({"spec": "resnet50", "parts": ["__class__"]}, "parts"),
    ({"spec": "resnet50", "lang": "xx"}, "lang"),
    ({"spec": "resnet50", "block": [10**9, 0]}, "block"),
    ({"spec": "resnet50", "match": {"baseline": "resnet34", "equal": "flops"}}, "equal"),
    (b"[" * 60_000, "body: got data nested too deeply"),
    (b'{"spec":' * 8_000, "body: got data nested too deeply"),
    (b'{"spec": "resnet50", "batch": NaN}', "batch"),
    (b'{"spec": "resnet50", "batch": Infinity}', "batch"),
    (b'{"spec": "resnet50", "batch": ' + b"9" * 5_000 + b"}", "body"),
    (b'{"spec": "resnet50", "spec": "resnet18"}', "twice"),
    (b"\xff\xfe", "UTF-8"),
    (b"", "valid JSON"),
    (b"null", "a JSON object"),
    (b"[]", "a JSON object"),
]


@pytest.mark.parametrize(("body", "said"), DESIGN, ids=range(len(DESIGN)))
def test_hostile_designs_are_refused(app: Any, body: Any, said: str) -> None:
    answer = send(app, "/api/design", body if isinstance(body, bytes) else json.dumps(body).encode())
    assert answer.status_code == 422
    assert said in answer.told
    assert len(answer.content) < 3_000


RATES = ",".join(f"0.{i}" for i in range(100, 300))
EXPLORE: list[tuple[Any, str]] = [
    ({"count": 10**9}, "count"),
    ({"count": 5_001}, "from 1 to 5000"),
    ({"seed": -1}, "seed"),
    ({"space": "everything"}, "space"),
    ({"space": "text", "text": "[" * 4_000}, "at most 300"),
    ({"space": "text", "text": "a: &a [x]\nb: *a"}, "YAML without"),
    ({"space": "text", "text": "x" * 5_000}, "text"),
    ({"space": "text", "text": f"base: resnet18\nchoices: {{drop_path: [{RATES}]}}"}, "at most 128"),
    ({"space": "text", "text": "base: resnet18\ndepths: {low: 1, high: 1000000000}"}, "depths"),
    ({"space": "detection", "spec": "resnet50@input=3x225x225"}, "multiples of 32"),
    ({"budgets": ["macs<=1"] * 13}, "budgets"),
    ({"budgets": ["macs<=" + "9" * 300]}, "budgets"),
    ({"budgets": ["__import__('os')<=1"]}, "budget"),
    ({"latency": "yes"}, "latency"),
    ({"unknown": 1}, "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "said"), EXPLORE, ids=range(len(EXPLORE)))
def test_hostile_explorations_are_refused(app: Any, fields: dict[str, Any], said: str) -> None:
    answer = send(app, "/api/explore", json.dumps({"spec": "resnet18", **fields}).encode())
    assert answer.status_code == 422
    assert said in answer.told


def test_the_first_text_of_a_space_waits_for_no_import() -> None:
    """Loading PyYAML takes longer than refusing what it reads."""
    code = "import sys; from otoyol.web import make_app; make_app(); print('yaml' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "True"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "../metrics.csv"}, "a name of the listing"),
        ({"name": "/etc/passwd"}, "a name of the listing"),
        ({"name": "metrics.csv\0"}, "a name of the listing"),
        ({"name": "x" * 2_000}, "name"),
        ({"name": ["metrics.csv"]}, "name"),
        ({"name": "metrics.csv"}, "UTF-8"),
        ({"name": "result.json"}, "readable"),
        ({}, "name"),
    ],
)
def test_other_files_are_refused(app: Any, fields: dict[str, Any], said: str) -> None:
    answer = send(app, "/api/run", json.dumps(fields).encode())
    assert answer.status_code == 422
    assert said in answer.told


def test_without_a_folder_there_are_no_runs() -> None:
    bare = make_app()
    assert send(bare, "/api/runs", b"{}").json() == {"served": False, "files": [], "more": False}
    assert "--runs" in send(bare, "/api/run", b'{"name": "result.json"}').told


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/api/words/xx", "/openapi.json"]
)
def test_no_other_path_leads_anywhere(app: Any, path: str) -> None:
    assert send(app, path, method="GET").status_code == 404


def test_every_answer_carries_the_policy(app: Any) -> None:
    for answer in (
        send(app, "/", method="GET"), send(app, "/none", method="GET"), send(app, "/api/design", b"{"),
        send(app, "/", method="GET", headers={"host": "evil.example"}),
    ):  # fmt: skip
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
