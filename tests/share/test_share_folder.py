"""A network as a folder and back: the same outputs, every check, the card, timm's and torchvision's ways in."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import timm
import torch
import torchvision
import yaml
from safetensors.torch import load_file, save_file

import otoyol
from otoyol import nn as onn
from otoyol.cli.main import run
from otoyol.errors import SpecError, WeightsError
from otoyol.share import pack, read_folder
from otoyol.share.folder import About, sums_text
from otoyol.share.pack import Network
from otoyol.share.source import figures, from_weights

TINY = "custom@block=bottleneck-v2,depths=1-2,widths=8-16,strides=1-2,stem=cifar,input=3x16x16,head=3,attention=se"
CLASSES = ("a cat", "b|d", "ünlü")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def trained(text=TINY, **about):
    """A network whose weights and statistics are none that building gives."""
    torch.manual_seed(5)
    model = onn.build(text)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) * 0.1)
    fields = {"task": "classification", "classes": CLASSES, "mean": MEAN, "std": STD, "source": "a test",
              "metrics": {"accuracy": 0.75, "loss": 0.5}, **about}  # fmt: skip
    return Network(model.eval(), model.spec, About(**fields), (("data", "digits"), ("steps", "1,200")))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    network = trained()
    out = tmp_path_factory.mktemp("share") / "tiny"
    pack(network, out, measured={"bench.json": {"latency_ms.p50": 1.25}}, license="apache-2.0")
    return network, out


@pytest.fixture
def copy(made, tmp_path):
    """The folder again, to be spoilt, and without the export."""
    pack(made[0], tmp_path / "tiny", onnx=False)
    return tmp_path / "tiny"


def resum(folder):
    (folder / "SHA256SUMS").write_text(sums_text(folder))


IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_what_is_loaded_is_what_was_shared(made):
    network, folder = made
    before = torch.random.get_rng_state()
    model = otoyol.load(folder)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not model.training and model.spec == network.spec
    with torch.no_grad():
        assert torch.equal(model(IMAGES), network.model(IMAGES))
    assert {"model.safetensors", "spec.json", "config.json", "model.onnx", "README.md", "SHA256SUMS"} == {
        path.name for path in folder.iterdir()
    }
    assert read_folder(folder).about == network.about
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True)
    assert checked.returncode == 0 and checked.stdout.count(b": OK") == 4


def test_the_export_beside_it_gives_the_same(made):
    import onnxruntime

    network, folder = made
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = network.model(IMAGES).numpy()
    assert np.allclose(session.run(None, {"image": IMAGES.numpy()})[0], wanted, rtol=1e-4, atol=1e-5)
    props = session.get_modelmeta().custom_metadata_map
    assert json.loads(props["otoyol.classes"]) == list(CLASSES) and json.loads(props["otoyol.mean"]) == list(MEAN)


def test_a_spec_file_is_loaded_as_before(tmp_path):
    path = tmp_path / "net.yaml"
    otoyol.save(otoyol.parse(TINY), path)
    assert otoyol.load(path) == otoyol.parse(TINY)


def test_the_card(made):
    network, folder = made
    head, text = (folder / "README.md").read_text().removeprefix("---\n").split("---\n", 1)
    front = yaml.safe_load(head)
    assert (front["pipeline_tag"], front["license"], front["library_name"]) == (
        "image-classification", "apache-2.0", "otoyol",
    )  # fmt: skip
    assert front["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "name": "accuracy", "value": 0.75}]
    params = sum(parameter.numel() for parameter in network.model.parameters())
    assert f"| parameters | {params:,} |" in text
    assert "| accuracy | 0.75 |" in text and "steps 1,200" in text
    assert "bench.json" in text and "| latency\\_ms.p50 | 1.25 |" in text
    assert "b\\/d" not in head and "3 classes (a cat, b\\" in text
    from huggingface_hub import ModelCard

    assert ModelCard.load(folder / "README.md").data.eval_results[0].metric_value == 0.75


class Malicious:
    def __reduce__(self):
        return (open, ("it-ran", "w"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "old.pt", "deep/er/optimiser.PKL", "data.npy", "setup.py"])
def test_a_file_that_could_run_code_is_named_and_not_read(copy, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    path = copy / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        otoyol.load(copy)
    assert not (tmp_path / "it-ran").exists()


def test_a_pickle_by_the_name_of_safetensors_is_not_read(copy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (copy / "model.safetensors").write_bytes(pickle.dumps(Malicious()))
    resum(copy)
    with pytest.raises(WeightsError, match=r"model\.safetensors is no safetensors file"):
        otoyol.load(copy)
    torch.save(onn.build(TINY).state_dict(), copy / "model.safetensors")
    resum(copy)
    with pytest.raises(WeightsError, match=r"model\.safetensors is no safetensors file"):
        otoyol.load(copy)
    assert not (tmp_path / "it-ran").exists()


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def other_weights(folder, **changed):
    tensors = load_file(folder / "model.safetensors")
    tensors.update(changed)
    save_file(tensors, folder / "model.safetensors", {"otoyol.spec": TINY, "format": "pt"})


SPOILT = [
    (lambda f: flip(f / "model.safetensors"), False, "model.safetensors is not what SHA256SUMS says"),
    (lambda f: flip(f / "config.json"), False, "config.json is not what"),
    (lambda f: (f / "SHA256SUMS").write_text("0 ../../etc/passwd\n"), False, "SHA256SUMS says"),
    (lambda f: (f / "SHA256SUMS").unlink(), False, "has no SHA256SUMS"),
    (lambda f: (f / "spec.json").unlink(), False, "has no spec.json"),
    (lambda f: (f / "model.onnx").write_bytes(b"x"), False, "no line for model.onnx"),
    (lambda f: otoyol.save(otoyol.parse("resnet18"), f / "spec.json"), True, "another design"),
    (lambda f: (f / "config.json").write_text("[]"), True, "config.json: got"),
    (lambda f: (f / "config.json").write_text('{"otoyol": {"format": 2}}'), True, "config.json.otoyol"),
    (lambda f: other_weights(f, extra=torch.zeros(1)), True, "extra"),
    (lambda f: other_weights(f, **{"head.fc.bias": torch.zeros(4)}), True, "head.fc.bias"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "again", "told"), SPOILT, ids=[row[2] for row in SPOILT])
def test_what_does_not_fit_is_refused(copy, spoil, again, told):
    spoil(copy)
    if again:
        resum(copy)
    with pytest.raises((WeightsError, SpecError)) as caught:
        otoyol.load(copy)
    assert told in str(caught.value)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(SpecError, match="a folder that `otoyol share` has written"):
        otoyol.load(tmp_path)


def test_no_folder_is_replaced_unasked_and_none_is_left_half_written(made, copy, tmp_path):
    network, _ = made
    with pytest.raises(SpecError, match="--force"):
        pack(network, copy, onnx=False)
    pack(trained("custom@depths=1,widths=8,input=3x16x16,head=3"), copy, onnx=False, force=True)
    assert otoyol.load(copy).spec.stages[0].width == 8
    (copy / "thesis.tex").write_text("mine")
    with pytest.raises(SpecError, match=r"this one holds thesis\.tex"):
        pack(network, copy, onnx=False, force=True)
    with pytest.raises(SpecError, match="artifact"):
        pack(network, tmp_path / "wrong", artifact=tmp_path / "absent.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_an_export_of_another_design_is_refused(made, tmp_path):
    network = trained("custom@depths=1,widths=8,input=3x16x16,head=3")
    with pytest.raises(SpecError, match="artifact"):
        pack(network, tmp_path / "wrong", artifact=made[1] / "model.onnx")
    taken = pack(made[0], tmp_path / "right", artifact=made[1] / "model.onnx")
    assert (taken.path / "model.onnx").read_bytes() == (made[1] / "model.onnx").read_bytes()


def test_timm_reads_the_folder(made):
    network, folder = made
    onn.register_timm()
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.equal(model(IMAGES), network.model(IMAGES))
        features = timm.create_model(f"local-dir:{folder}", pretrained=True, features_only=True).eval()(IMAGES)
        wanted = network.model.forward_taps(IMAGES)
        fresh = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=7)
    assert [tuple(f.shape) for f in features] == [tuple(t.shape) for t in wanted.values()]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(wanted.values(), features, strict=True))
    assert fresh.num_classes == 7
    assert torch.equal(fresh.state_dict()["stem.conv1.weight"], network.model.state_dict()["stem.conv1.weight"])
    config = timm.data.resolve_data_config(model=model)
    assert (tuple(config["input_size"]), config["crop_pct"], tuple(config["mean"])) == ((3, 16, 16), 1.0, MEAN)
    assert model.pretrained_cfg["label_names"] == list(CLASSES)


def test_timm_takes_no_weights_but_safetensors(copy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (copy / "model.safetensors").rename(copy / "gone")
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Malicious()))
    onn.register_timm()
    with pytest.raises(SpecError, match="local-dir"):
        timm.create_model(f"local-dir:{copy}", pretrained=True)
    with pytest.raises(SpecError, match="pretrained"):
        timm.create_model("otoyol_design", spec=TINY, pretrained=True)
    with pytest.raises(SpecError, match="spec"):
        timm.create_model("otoyol_design")
    assert not (tmp_path / "it-ran").exists()


class Levels(torch.nn.Module):
    """A network's taps through torchvision's pyramid: what torchvision's detectors call a backbone."""

    def __init__(self, body, taps, out_channels):
        super().__init__()
        self.body, self.taps, self.out_channels = body, taps, out_channels
        self.fpn = torchvision.ops.FeaturePyramidNetwork([body.tap_channels[tap] for tap in taps], out_channels)

    def forward(self, x):
        return self.fpn(self.body.forward_taps(x, self.taps))


@pytest.mark.parametrize("kind", ["retinanet", "fasterrcnn"])
def test_a_shared_backbone_goes_into_torchvisions_detectors(made, kind):
    from torchvision.models.detection import FasterRCNN, RetinaNet
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    shared = otoyol.load(made[1])
    backbone = Levels(shared, ("C2", "C3"), 16)
    anchors = AnchorGenerator(((8,), (16,)), ((1.0,),) * 2)
    if kind == "retinanet":
        model = RetinaNet(backbone, 3, anchor_generator=anchors, min_size=32, max_size=32)
    else:
        pool = torchvision.ops.MultiScaleRoIAlign(["C2", "C3"], 7, 2)
        model = FasterRCNN(backbone, 3, rpn_anchor_generator=anchors, box_roi_pool=pool, min_size=32, max_size=32)
    targets = [{"boxes": torch.tensor([[2.0, 3.0, 20.0, 25.0]]), "labels": torch.tensor([1])}]
    losses = model.train()([torch.rand(3, 32, 32)], targets)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    gradient = shared.get_submodule("stem.conv1").weight.grad
    assert gradient is not None and gradient.abs().sum() > 0
    assert set(model.eval()([torch.rand(3, 32, 32)])[0]) == {"boxes", "labels", "scores"}


def test_our_detectors_start_from_a_shared_folder(made):
    from otoyol.detect import Detector, Start, build_detector

    network, folder = made
    choices = Detector(kind="retinanet", taps=("C2", "C3"), extra="none", channels=16, head_norm=None,
                       sizes=((8.0,), (16.0,)))  # fmt: skip
    start = Start(folder / "model.safetensors", source="otoyol")
    model = build_detector(network.spec, choices, classes=2, start=start)
    weights = network.model.state_dict()
    body = model.get_submodule("backbone.body").state_dict()
    assert body and all(torch.equal(value, weights[key]) for key, value in body.items())


def test_a_detector_comes_back_with_its_boxes(tmp_path):
    from otoyol.detect import Detector, build_detector

    torch.manual_seed(3)
    choices = Detector(kind="fcos", channels=16, head_norm=None, head_convs=1, min_size=32, max_size=32, score=0.0)
    spec = otoyol.parse("custom@depths=1-1-1-1,widths=8-8-16-16,input=3x32x32,head=0")
    model = build_detector(spec, choices, classes=2).eval()
    about = About(task="detection", classes=("cat", "dog"), mean=choices.mean, std=choices.std, metrics={"ap": 0.5},
                  detector=choices.model_dump(mode="json"))  # fmt: skip
    pack(Network(model, spec, about), tmp_path / "detector")
    again = otoyol.load(tmp_path / "detector")
    image = [torch.rand(3, 32, 32)]
    with torch.no_grad():
        ours, theirs = model(image)[0], again(image)[0]
    assert len(ours["boxes"]) and all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert "object-detection" in (tmp_path / "detector" / "README.md").read_text()


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OTOYOL_LANG", "en")
    theirs = torchvision.models.resnet18(weights=None)
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    (tmp_path / "bench.json").write_text(json.dumps({"latency_ms": {"ort": 7.5, "name": "x"}, "ok": True, "n": [1]}))
    words = ["resnet18", "--weights", str(tmp_path / "theirs.safetensors"), "--from", "torchvision", "--no-onnx"]
    out = tmp_path / "shared"
    assert run(["share", *words, "--out", str(out), "--measured", str(tmp_path / "bench.json"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["spec"], told["task"]) == ("resnet18", "classification") and "model.onnx" not in told["files"]
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(otoyol.load(out)(image), theirs.eval()(image), atol=1e-4)
    card = (out / "README.md").read_text()
    assert "| parameters | 11,689,512 |" in card  # torchvision's ResNet18_Weights.meta["num_params"]
    assert "| latency\\_ms.ort | 7.5 |" in card and "torchvision: theirs.safetensors" in card
    assert str(tmp_path) not in card + (out / "config.json").read_text()
    again = tmp_path / "again"
    assert run(["share", str(out / "model.safetensors"), "--out", str(again), "--no-onnx"]) == 0
    ours, first = (load_file(folder / "model.safetensors") for folder in (again, out))
    assert ours.keys() == first.keys() and all(torch.equal(ours[key], first[key]) for key in ours)
    capsys.readouterr()
    assert run(["share", "resnet18", "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("otoyol: out: got")
    assert run(["share", "pull", "a/b", "--out", str(out)]) == 2
    assert run(["share", "push", str(tmp_path), "a/b"]) == 2


def test_figures_of_a_file(tmp_path):
    (tmp_path / "a.json").write_text('{"a": {"b": 1, "c": "x", "d": true}, "e": null}')
    assert figures(tmp_path / "a.json") == {"a.b": 1}
    (tmp_path / "a.json").write_text('{"a": "b"}')
    with pytest.raises(SpecError, match="measured"):
        figures(tmp_path / "a.json")


def test_a_design_without_weights_says_so(tmp_path):
    pack(from_weights(otoyol.parse(TINY), None), tmp_path / "fresh", onnx=False)
    card = (tmp_path / "fresh" / "README.md").read_text()
    assert "as initialised" in card and "model-index" not in card and "## Accuracy" not in card


def test_importing_it_loads_nothing_heavy():
    code = "import sys, otoyol.share; print([m for m in ('torch', 'huggingface_hub', 'onnx') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_design_without_a_head_puts_out_its_maps(tmp_path, capsys):
    spec = "custom@block=basic,depths=1-1,widths=8-16,strides=1-2,stem=cifar,input=3x16x16,head=0,head.pool=none"
    assert run(["share", spec, "--out", str(tmp_path / "shared"), "--json"]) == 0, capsys.readouterr().err
    session = onnxruntime.InferenceSession(str(tmp_path / "shared" / "model.onnx"), providers=["CPUExecutionProvider"])
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        taps = otoyol.load(tmp_path / "shared").forward_taps(image)
    found = session.run(None, {"image": image.numpy()})
    assert [output.name.upper() for output in session.get_outputs()] == list(taps)
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(found, taps.values(), strict=True))
