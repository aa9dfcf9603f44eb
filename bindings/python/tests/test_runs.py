# SPDX-License-Identifier: MIT
"""Whole runs: the command's results, killed and resumed, step by step."""

import os
import pathlib
import subprocess
import sys
import types

import numpy
import pytest

import dreambooth
from conftest import RUN, weights

COMMAND = pathlib.Path(os.environ.get("BUILD_DIR", ""), "dreambooth")


def flags(options):
    return [f"--{name.replace('_', '-')}={value}"
            for name, value in options.items()]


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The result of a run that nothing has stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    trainer = dreambooth.Model.open(folder / "model").trainer(**RUN, out=out)
    trainer.add(folder / "photos")
    assert trainer.run().step == RUN["steps"]
    return out


@pytest.mark.skipif(not COMMAND.is_file(), reason="there is no BUILD_DIR")
def test_the_command_gives_the_same(folder, whole, tmp_path):
    out = tmp_path / "out"
    subprocess.run([COMMAND, "train", folder / "model", "--quiet",
                    "--instance-dir", folder / "photos", "--out", out,
                    *flags(RUN)], check=True)
    assert weights(out) == weights(whole)
    picture = dict(prompt="a [V] robot", steps=3, size=32, seed=7)
    subprocess.run([COMMAND, "sample", whole, "--quiet", "--out",
                    tmp_path / "a.png", *flags(picture)], check=True)
    image, = dreambooth.Model.open(whole).sampler(**picture).run()
    assert (numpy.asarray(image) ==
            numpy.asarray(dreambooth.Image(tmp_path / "a.png"))).all()


def test_steps(trainer, whole):
    stages = list(trainer.prepare())
    assert [str(stage) for stage in stages][-1] == "class images: 2 of 2"
    steps = list(trainer)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    for step in steps:
        assert step.loss == pytest.approx(step.loss_instance + step.loss_prior)
        assert step.gradient_norm > 0 and step.seconds > 0
    assert trainer.loss == steps[-1].loss and "loss=" in repr(steps[-1])
    assert trainer.step() is None and trainer.run() is None
    assert weights(trainer.out) == weights(whole)
    with pytest.raises(RuntimeError, match="started"):
        trainer.steps = 3


def test_photos_of_every_kind_give_the_same(trainer, folder, model, tmp_path):
    pillow = pytest.importorskip("PIL.Image",
                                 reason="Pillow's pictures, for want of it")
    photos = folder / "photos"
    other = model.context
    trainer = model.trainer(**RUN, out=tmp_path / "other")
    trainer.add(photos / "0.png", dreambooth.Image(photos / "1.png", other),
                pillow.open(photos / "2.png"))
    first = trainer.step()
    again = dreambooth.Model.open(folder / "model").trainer(**RUN)
    again.class_dir = pathlib.Path(trainer.out, "class")
    again.add(photos)
    assert again.step().loss == first.loss


def test_killed_and_resumed(folder, whole, tmp_path):
    out = tmp_path / "out"
    script = ("import dreambooth, os, sys\n"
              "from conftest import RUN\n"
              "model = dreambooth.Model.open(sys.argv[1])\n"
              "trainer = model.trainer(**RUN, out=sys.argv[3])\n"
              "trainer.add(sys.argv[2])\n"
              "for step in trainer:\n"
              "    if step.step == 5:\n"
              "        os.kill(os.getpid(), 9)\n")
    ran = subprocess.run([sys.executable, "-c", script, folder / "model",
                          folder / "photos", out],
                         env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    assert ran.returncode == -9
    trainer = dreambooth.Model.open(folder / "model").trainer(
        **RUN, out=out, resume=True)
    trainer.add(folder / "photos")
    assert [step.step for step in trainer] == [5, 6]
    assert weights(out) == weights(whole)


def test_drawing_step_by_step(model):
    options = dict(prompt="a robot", steps=3, size=32, seed=7, count=2)
    sampler = model.sampler(**options)
    seen = []
    for step in sampler:
        preview = step.preview()
        latents = sampler.latents()
        seen.append((step.step, step.total_steps, preview.width))
    assert seen == [(number, 6, 32) for number in range(1, 7)]
    assert latents.shape == (1, 4, 8, 8) and latents.dtype == numpy.float32
    images = sampler.images()
    assert (numpy.asarray(images[1]) == numpy.asarray(preview)).all()
    whole = model.sampler(**options).run()
    assert all((numpy.asarray(a) == numpy.asarray(b)).all()
               for a, b in zip(images, whole))
    assert sampler.step() is None and list(sampler) == []


def test_the_plan(trainer, tmp_path):
    plan = trainer.plan()
    assert plan["memory"] == trainer.plan_memory > plan["parameters"] > 0
    assert plan["recompute"] is False
    assert not (tmp_path / "out").exists()


def test_the_bar(trainer, monkeypatch):
    seen = []

    class Bar:
        def __init__(self, total=None, **_):
            self.total, self.n = total, 0

        def update(self, count):
            self.n += count
            seen.append((self.n, self.total))

        def set_postfix(self, facts):
            assert "loss" in facts

        def close(self):
            seen.append("closed")

    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto",
                        types.SimpleNamespace(tqdm=Bar))
    trainer.run(progress=True)
    assert seen.count("closed") == 2 and (2, 2) in seen and (6, 6) in seen
