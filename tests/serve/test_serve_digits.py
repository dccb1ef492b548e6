"""What is served is what the torch module says, on real images, prepared as training's evaluation prepares them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _artifacts import encoded
from _client import send, started
from PIL import Image
from sklearn.datasets import load_digits

import otoyol
from otoyol import data
from otoyol.deploy.export import export_onnx

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    spec = otoyol.parse("custom@block=basic,depths=1-1,widths=8-16,strides=1-2,stem=cifar,input=3x24x20,head=10")
    model = otoyol.nn.build(spec)
    images = data.load("digits", spec.input, "train")
    x = torch.stack([images[i][0] for i in range(64)])
    with torch.no_grad():
        model(x)  # statistics of these images
        model.eval().head.fc.weight.mul_(30)
        model.head.fc.bias.sub_(model(x).mean(0))  # so that digits differ in what they are taken for
    return model


def test_served_answers_are_the_modules_on_digits(model, tmp_path):
    path = tmp_path / "digits.onnx"
    export_onnx(model, path, classes=NAMES)
    images = data.load("digits", model.spec.input, "test")
    chosen = range(0, len(images), 30)
    pixels = (load_digits().images * (255 / 16)).round().astype("uint8")[-len(images) :]
    with torch.no_grad():
        wanted = torch.softmax(model(torch.stack([images[i][0] for i in chosen])).double(), 1).numpy()
    assert len(set(wanted.argmax(1))) > 3
    with started(path, max_batch=4) as (app, _):
        for row, i in enumerate(chosen):
            page = send(app, encoded(Image.fromarray(pixels[i])), path="/v1/predict?top=10").json()
            served = np.empty(10)
            for entry in page["classes"]:
                assert entry["label"] == NAMES[entry["index"]]
                served[entry["index"]] = entry["probability"]
            assert np.allclose(served, wanted[row], rtol=0, atol=2e-5)
            assert page["classes"][0]["index"] == wanted[row].argmax()


@pytest.mark.parametrize("size", [(33, 50), (24, 20), (200, 31)])
def test_photographs_of_other_sizes_are_prepared_as_in_training(model, tmp_path, size):
    from otoyol.data.images import covered, pixels, prepared
    from otoyol.deploy.metadata import Metadata
    from otoyol.serve.prepare import prepare

    colours = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(colours)
    about = Metadata(task="classification", spec="resnet18", outputs=("logits",), height=24, width=20, opset=20)
    ours = prepare(encoded(picture), about, 10_000).array
    assert np.abs(ours - prepared(picture, model.spec.input, "x").numpy()).max() <= 1e-6
    whole = covered(pixels(picture, 3, "x"), model.spec.input, 0.8).permute(1, 2, 0).numpy()
    cropped = about.replaced(crop_share=0.8, layout="nhwc")
    assert np.array_equal(prepare(encoded(picture), cropped, 10_000).array, whole)
