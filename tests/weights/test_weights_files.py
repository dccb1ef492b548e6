"""Files: wrappers, damage and malice."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from otoyol import OtoyolError, WeightsError
from otoyol.nn import build
from otoyol.weights import export, load, read, save_safetensors

DESIGN = "resnet18@depths=1-1-1-1,head=3"


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return build(DESIGN)


def loaded(path: Any, model: Any, **options: Any) -> None:
    """Load into a fresh network and compare."""
    fresh = build(DESIGN)
    load(fresh, path, **options)
    assert all(torch.equal(a, b) for a, b in zip(fresh.state_dict().values(), model.state_dict().values(), strict=True))


def test_safetensors_round_trip(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_safetensors(model, path)
    loaded(path, model)
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata()["otoyol.spec"] == DESIGN
    assert read(path).spec == model.spec
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.safetensors"]  # no temporary file is left


def test_custom_designs_and_long_ones_keep_their_spec(tmp_path: Path) -> None:
    specs = [build(f"custom@depths=1-1,widths=8-{w},head=3").spec for w in (8, 12)]
    ones, fours = "-".join("1" * 16), "-".join("4" * 16)
    base = build(f"custom@depths={ones},widths={fours},strides={ones},head=3,stem.widths=4").spec
    block = "norm.act/" + ".".join(["conv3", "norm", "act"] * 7 + ["conv3"]) + "/"
    stages = tuple({"depth": 1, "width": 4, "block": block} for _ in range(16))
    specs += [base.model_copy(update={"stages": stages, "family": "my_net"})]
    for index, spec in enumerate(specs):
        path = tmp_path / f"{index}.safetensors"
        net = build(spec)
        save_safetensors(net, path)
        again = read(path).spec
        assert again is not None
        assert again.model_copy(update={"family": spec.family}) == spec
        load(build(spec), path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("wrap", "unwrapped"),
    [
        (lambda s: s, ()),
        (lambda s: {"state_dict": s, "epoch": 3}, ("state_dict",)),
        (lambda s: {"model": s, "optimizer": {"lr": 0.1}}, ("model",)),
        (lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}, ("state_dict", "module.")),
        (lambda s: {f"_orig_mod.{k}": v for k, v in s.items()}, ("_orig_mod.",)),
    ],
)
def test_torch_files_and_their_wrappers(model: Any, tmp_path: Path, wrap: Any, unwrapped: Any, legacy: bool) -> None:
    path = tmp_path / "net.pth"
    torch.save(wrap(dict(model.state_dict())), path, _use_new_zipfile_serialization=not legacy)
    loaded(path, model)
    assert read(path).unwrapped == unwrapped


def test_several_networks_in_one_file(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    state = dict(model.state_dict())
    torch.save({"model": {k: v * 0 for k, v in state.items()}, "model_ema": state}, path)
    with pytest.raises(WeightsError, match="several networks: model, model_ema; say which by wrapper="):
        read(path)
    loaded(path, model, wrapper="model_ema")
    with pytest.raises(WeightsError, match="wrapper: got 'best'; allowed: model, model_ema"):
        read(path, wrapper="best")


class Toucher:
    """A harmless bomb: unpickling it creates a marker file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_pickle_bomb_does_not_go_off(tmp_path: Path, form: str) -> None:
    marker, path = tmp_path / "marker", tmp_path / "net.pth"
    content = {"state_dict": {"conv1.weight": torch.ones(1)}, "args": Toucher(marker)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content["args"], protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightsError) as caught:
        load(build(DESIGN), path)
    assert not marker.exists()
    assert "net.pth" in str(caught.value) and "not unpickled" in str(caught.value)
    pickle.loads(pickle.dumps(content["args"]))  # the bomb is live: this sets it off
    assert marker.exists()


@pytest.mark.parametrize("keep", [0, 4, 9, 100, 5000, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_truncated_files(model: Any, tmp_path: Path, kind: str, keep: float) -> None:
    path = tmp_path / f"net.{kind}"
    if kind == "safetensors":
        save_safetensors(model, path)
    else:
        torch.save(dict(model.state_dict()), path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if 0 < keep < 1 else int(keep)])
    with pytest.raises(WeightsError, match=f"net.{kind}"):
        load(build(DESIGN), path)


DAMAGE = [
    b"",
    b"hello, world",
    b"\x80\x02garbage",
    b"PK\x03\x04garbage",
    b"\xff" * 8 + b"{",
    b"\x10" + b"\0" * 7 + b"{" * 16,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_other_files(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "odd"
    path.write_bytes(damage)
    with pytest.raises(WeightsError, match="odd"):
        read(path)


def test_no_file_a_folder_and_no_tensors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        read(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="cannot read"):
        read(tmp_path)
    with pytest.raises(WeightsError, match="the checkpoint is empty"):
        read({})
    with pytest.raises(WeightsError, match="these are none: epoch"):
        read({"epoch": 3})
    path = tmp_path / "list.pth"
    torch.save([torch.ones(2)], path)
    with pytest.raises(WeightsError, match="not a list"):
        read(path)


def test_a_spec_in_the_metadata_that_cannot_be_read(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, path, {"otoyol.spec": "resnet51"})
    with pytest.raises(WeightsError, match="names a design that cannot be read: family: got resnet51"):
        read(path)


def test_foreign_safetensors_load_too(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file(export(model, "torchvision"), path)
    loaded(path, model, source="torchvision")


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_safetensors_header_may_begin_like_a_pickle(tmp_path: Path, protocol: int) -> None:
    """Lengths 640 and 1152 are the bytes 80 02 and 80 04, with which pickles begin."""
    length, path = 128 + 256 * protocol, tmp_path / "net.safetensors"
    text = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    path.write_bytes(length.to_bytes(8, "little") + text + b"\0\0\x80?")
    assert path.read_bytes()[:2] == bytes([0x80, protocol])
    assert read(path).tensors["a"].item() == 1.0


def test_nothing_to_save_and_nowhere_to_save(model: Any, tmp_path: Path) -> None:
    with torch.device("meta"):
        empty = build(DESIGN)
    with pytest.raises(WeightsError, match="no values to save"):
        save_safetensors(empty, tmp_path / "net.safetensors")
    with pytest.raises(OtoyolError, match="cannot write"):
        save_safetensors(model, tmp_path / "none" / "net.safetensors")
    assert list(tmp_path.iterdir()) == []
