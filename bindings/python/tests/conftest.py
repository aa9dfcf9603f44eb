# SPDX-License-Identifier: MIT
"""A small model with random weights and drawn photos, made once for all tests."""

import os
import pathlib
import subprocess

import numpy
import pytest

import dreambooth

SOURCE = pathlib.Path(os.environ.get("SRC_DIR",
                                     pathlib.Path(__file__).parents[3]))
DEMO = SOURCE / "doc" / "demo"
# What all runs here have in common, as options of the trainer.
RUN = dict(instance_prompt="a [V] robot", class_prompt="a robot",
           class_images=2, class_steps=2, steps=6, size=32, seed=1,
           learning_rate=1e-3, checkpoint_every=2)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Has vocabulary/, model/ and photos/."""
    folder = tmp_path_factory.mktemp("small")
    subprocess.run([DEMO / "make-vocabulary.sh", folder / "vocabulary"],
                   check=True)
    model = dreambooth.Model.init(DEMO / "config", folder / "vocabulary", 5)
    model.save(folder / "model")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(3):
        rows, columns = numpy.mgrid[0:48, 0:48].astype(numpy.uint8)
        pixels = numpy.stack([rows * 5, columns * 5, rows * 0 + number * 80], 2)
        dreambooth.Image(pixels).write(photos / f"{number}.png")
    return folder


@pytest.fixture
def model(folder):
    return dreambooth.Model.open(folder / "model", threads=1)


@pytest.fixture
def trainer(model, folder, tmp_path):
    trainer = model.trainer(**RUN, out=tmp_path / "out")
    trainer.add(folder / "photos")
    return trainer


def weights(out):
    """The bytes of a result, by file."""
    files = sorted(pathlib.Path(out).glob("*/*.safetensors"))
    assert files
    return {path.relative_to(out): path.read_bytes() for path in files}
