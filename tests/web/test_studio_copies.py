"""Copies behind a balancer: whatever a copy was asked before, the same question gets the same bytes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from otoyol.web import make_app

PARTS = ["figures", "stages", "block", "taps", "highway", "memory", "code"]
DESIGN = {"spec": "resnetv2_50@attention=se", "parts": PARTS}
QUESTIONS: list[tuple[str, Any]] = [
    ("/api/design", DESIGN),
    ("/api/design", {**DESIGN, "lang": "tr", "batch": 8, "dtype": "bfloat16"}),
    ("/api/design", {"spec": "resnet50", "match": {"baseline": "resnet34", "equal": "macs"}}),
    ("/api/nearest", {"spec": "resnet18@groups=7"}),
    ("/api/explore", {"spec": "cifar_resnet20", "count": 60, "seed": 3, "budgets": ["macs<=60M"]}),
    ("/api/budgets", {"budgets": ["macs<=60M", "params>=1k"]}),
    ("/api/design", {"spec": "resnet50@depths=0-1-1-1"}),
]
FILES = ("/", "/static/js/main.js", "/static/vendor/echarts.js", "/api/words/tr", "/api/choices")


def answers(app: Any, questions: list[tuple[str, Any]]) -> list[tuple[int, bytes]]:
    async def all_of_them() -> list[tuple[int, bytes]]:
        transport = httpx.ASGITransport(app)
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://studio.example", headers=headers) as client:
            got = [await client.post(path, content=json.dumps(body)) for path, body in questions]
            got += [await client.get(path) for path in FILES]
        return [(answer.status_code, answer.content) for answer in got]

    return asyncio.run(all_of_them())


def test_copies_answer_alike() -> None:
    one, other = (make_app(hosts=("studio.example",)) for _ in range(2))
    first = answers(one, QUESTIONS)
    assert [status for status, _ in first] == [200] * 6 + [422] + [200] * len(FILES)
    assert answers(other, QUESTIONS[::-1])[: len(QUESTIONS)] == first[: len(QUESTIONS)][::-1]
    assert answers(one, QUESTIONS) == first


def test_a_copy_answers_to_its_own_names_alone() -> None:
    assert {status for status, _ in answers(make_app(hosts=("another.example",)), QUESTIONS[:2])} == {421}
