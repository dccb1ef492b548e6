"""Sending a folder to a hub on the loopback and fetching it back; what the hub refuses, and a hub that is not there."""

from __future__ import annotations

import pytest
import torch
from _hub import Hub, running

import otoyol
from otoyol.errors import OtoyolError, SpecError, WeightsError
from otoyol.share import pack, pull, push
from otoyol.share.source import from_weights

TINY = "custom@block=basic,depths=1-1,widths=8-16,strides=1-2,stem=cifar,input=3x16x16,head=3"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No token and no cache of whoever runs the tests."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN", False)


@pytest.fixture
def folder(tmp_path):
    return pack(from_weights(otoyol.parse(TINY), None), tmp_path / "made", onnx=False).path


def test_there_and_back_again(folder, tmp_path):
    (folder / "notes.txt").write_text("mine")
    with running(Hub()) as hub:
        hub.repos["someone/tiny"] = {".gitattributes": b"", "elsewhere.bin": b"not asked for"}
        url = push(folder, "someone/tiny", endpoint=hub.url)
        sent = hub.repos["someone/tiny"]
        assert url.startswith(f"{hub.url}/someone/tiny/commit/") and hub.private == {"someone/tiny": True}
        found = pull("someone/tiny", tmp_path / "fetched", endpoint=hub.url)
    names = {"model.safetensors", "spec.json", "config.json", "README.md", "SHA256SUMS"}
    assert set(sent) == {*names, ".gitattributes", "elsewhere.bin"}
    assert {path.name for path in found.path.iterdir()} == names
    assert all((found.path / name).read_bytes() == (folder / name).read_bytes() == sent[name] for name in names)
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(otoyol.load(found.path)(x), otoyol.load(folder)(x))


def test_what_was_changed_on_the_way_is_not_kept(folder, tmp_path):
    with running(Hub()) as hub:
        push(folder, "someone/tiny", endpoint=hub.url)
        hub.repos["someone/tiny"]["spec.json"] += b" "
        with pytest.raises(WeightsError, match=r"spec\.json is not what SHA256SUMS says"):
            pull("someone/tiny", tmp_path / "fetched", endpoint=hub.url)
        with pytest.raises(OtoyolError, match="someone/absent: the hub answers 404"):
            pull("someone/absent", tmp_path / "fetched", endpoint=hub.url)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["made"]


def test_nothing_is_sent_that_cannot_be_loaded(folder):
    (folder / "spec.json").write_text("{}")
    with running(Hub()) as hub:
        with pytest.raises(WeightsError, match="SHA256SUMS"):
            push(folder, "someone/tiny", endpoint=hub.url)
        assert hub.asked == []


def test_a_hub_that_wants_a_token(folder, monkeypatch):
    with running(Hub(token="hf_secret")) as hub:
        with pytest.raises(OtoyolError, match="token"):
            push(folder, "someone/tiny", endpoint=hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        push(folder, "someone/tiny", endpoint=hub.url)
        assert "model.safetensors" in hub.repos["someone/tiny"]


def test_a_hub_that_is_not_there(folder, tmp_path, monkeypatch):
    with running(Hub()) as hub:
        pass
    for call in (lambda: push(folder, "a/b", endpoint=hub.url), lambda: pull("a/b", tmp_path / "x", endpoint=hub.url)):
        with pytest.raises(OtoyolError, match=r"^hub: a/b is not reached: "):
            call()
    with pytest.raises(SpecError, match=r"repo: got \.\./x"):
        pull("../x", tmp_path / "x", endpoint=hub.url)
    with pytest.raises(SpecError, match="out: got"):
        pull("a/b", folder, endpoint=hub.url)


def test_offline_by_choice(folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OtoyolError, match="hub: a/b is not reached"):
        push(folder, "a/b", endpoint="http://127.0.0.1:9")
