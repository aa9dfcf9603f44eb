# SPDX-License-Identifier: MIT
"""Names: options, facts, errors, help and types, all from the library."""

import ast
import copy
import importlib.util
import inspect
import pathlib
import pickle
import pydoc
import subprocess
import sys

import numpy
import pytest

import dreambooth

HANDLES = [dreambooth.Context, dreambooth.Identifier, dreambooth.Sampler,
           dreambooth.Trainer]
HERE = pathlib.Path(__file__).parent


def test_every_option_is_an_attribute_with_help():
    for cls in HANDLES:
        text = pydoc.render_doc(cls, renderer=pydoc.plaintext)
        assert cls._options
        for row in cls._options.values():
            name = row.name.replace("-", "_")
            assert name in dir(cls) and row.help in text
            assert row.name == "count" or \
                name in inspect.signature(cls).parameters


def test_methods_have_the_comments_of_c():
    assert "One optimiser step" in dreambooth.Trainer.step.__doc__
    assert dreambooth.Model.open.__doc__.startswith("A model with its weights")


def test_values_have_the_types_of_their_options(trainer):
    trainer.learning_rate = numpy.float32(0.25)
    trainer.steps = numpy.int64(7)
    trainer.flip = True
    trainer.crop = "random"
    trainer.class_prompt = None
    found = (trainer.learning_rate, trainer.steps, trainer.flip, trainer.crop,
             trainer.class_prompt, trainer.instance_prompt)
    assert repr(found) == "(0.25, 7, True, 'random', None, 'a [V] robot')"
    trainer.learning_rate = "1e-7"
    assert trainer.learning_rate == 1e-7
    for number in (5e-6, 0.1, 1 / 3, 1e-300 ** 0.5):
        trainer.learning_rate = number
        assert trainer.learning_rate == number


def test_options_are_a_mapping(trainer):
    options = trainer.options
    assert options["learning-rate"] == options["learning_rate"] == 1e-3
    options.update(steps=9, batch=2)
    assert (trainer.steps, dict(options)["batch"]) == (9, 2)
    del options["steps"], options["class-prompt"]
    assert (trainer.steps, trainer.class_prompt) == (800, None)
    assert set(trainer.facts) > {"loss", "plan.memory"}
    with pytest.raises(KeyError, match="unknown"):
        options["stpes"]


def test_unknown_names_are_told_with_a_suggestion(model, trainer):
    for mistake in (lambda: trainer.learning_rat,
                    lambda: setattr(trainer, "learning_rat", 1),
                    lambda: model.trainer(learning_rat=1)):
        with pytest.raises(AttributeError, match="learning-rate") as caught:
            mistake()
        assert isinstance(caught.value, dreambooth.Error)
        assert caught.value.name == "DREAMBOOTH_ENOTFOUND"
    for name in ("loss", "step"):
        with pytest.raises(AttributeError):
            setattr(trainer, name, 3)
    with pytest.raises(KeyError):
        model.facts["record.identifier"]


def test_facts_of_a_model(model, folder):
    assert model.path == str(folder / "model") and model.size == 64
    facts = dict(model.facts)
    assert facts["part.1.name"] == "unet" and facts["part.1.bytes"] > 1e6
    described = dreambooth.Model.describe(folder / "model" / "unet")
    assert described.parts == 1 and not hasattr(described, "size")


def test_errors_are_also_what_python_would_raise(model, trainer, tmp_path):
    cases = [
        (FileNotFoundError, "ENOTFOUND",
         lambda: dreambooth.Model.open(tmp_path / "nowhere")),
        (ValueError, "EINVAL", lambda: setattr(trainer, "steps", 0)),
        (ValueError, "EFORMAT", lambda: dreambooth.Image(b"no picture")),
        (MemoryError, "ELIMIT",
         lambda: dreambooth.Model.open(model.path, memory_limit=1000)),
        (RuntimeError, "ESTATE", lambda: model.sampler().image(0)),
        (OSError, "EIO", lambda: dreambooth.Image.new(1, 1).write(tmp_path)),
    ]
    for kind, name, mistake in cases:
        with pytest.raises(kind) as caught:
            mistake()
        problem = caught.value
        assert isinstance(problem, dreambooth.Error), problem
        assert problem.name == f"DREAMBOOTH_{name}" and problem.status < 0
        assert str(problem) and "\n" not in str(problem)
        again = pickle.loads(pickle.dumps(problem))
        assert (str(again), again.name) == (str(problem), problem.name)
    with pytest.raises(TypeError):
        trainer.steps = 1.5
    with pytest.raises(ValueError, match="null"):
        trainer.instance_prompt = "a\0b"


def test_every_status_has_its_exception():
    codes = {name for name in dir(dreambooth._library.lib)
             if name.startswith("DREAMBOOTH_E")}
    found = {f"DREAMBOOTH_{row[0]}" for row in dreambooth._library._ERRORS}
    assert codes == found


def test_handles_cannot_be_copied_but_can_be_closed(model):
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(model)
    with model.sampler(prompt="a dog") as sampler:
        assert sampler.prompt == "a dog"
    with pytest.raises(RuntimeError, match="closed"):
        sampler.prompt
    sampler.close()
    with dreambooth.Context(threads=2) as context:
        assert context.threads == 2
    with pytest.raises(RuntimeError, match="closed"):
        context.threads


def test_handles_keep_alive_what_they_were_made_of(folder):
    sampler = dreambooth.Model.open(folder / "model").sampler(steps=1, size=16)
    sampler.model.close()
    sampler.context.close()
    assert sampler.run()[0].width == 16


def test_warnings_and_notes(folder, model, tmp_path, caplog):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "notes.txt").write_text("not a photo")
    (mixed / "0.png").write_bytes((folder / "photos" / "0.png").read_bytes())
    trainer = model.trainer(instance_prompt="a [V] robot", size=32, steps=1)
    trainer.add(mixed)
    with caplog.at_level("INFO"), \
            pytest.warns(dreambooth.DreamboothWarning, match="notes.txt") as caught:
        trainer.run()
    assert caught[0].filename == __file__
    assert "identifier" in caplog.text


def test_the_library_describes_itself():
    assert dreambooth.build_info("version") == dreambooth.__version__
    with pytest.raises(KeyError):
        dreambooth.build_info("colour")


def test_a_library_that_is_not_there():
    for named in ("/nowhere/libdreambooth.so.0", "libc.so.6"):
        ran = subprocess.run(
            [sys.executable, "-c", "import dreambooth"], text=True,
            capture_output=True, env={"DREAMBOOTH_LIBRARY": named,
                                      "PYTHONPATH": ":".join(sys.path)})
        assert ran.returncode == 1
        assert "ImportError: " in ran.stderr and named in ran.stderr


# The type stub


@pytest.fixture(scope="module")
def stub():
    spec = importlib.util.spec_from_file_location("stub",
                                                  HERE.parent / "stub.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.text()


def names_in(body):
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign):
            yield node.target.id


def test_the_stub_says_what_there_is(stub):
    tree = ast.parse(stub)
    assert set(dreambooth.__all__) <= set(names_in(tree.body))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in classes:
        cls = getattr(dreambooth, node.name, None)
        if cls is None or issubclass(cls, (dreambooth.Error, dreambooth.Step)):
            continue
        members = {name for name, member in vars(cls).items()
                   if not name.startswith("_")}
        listed = set(names_in(node.body))
        assert members <= listed, node.name
        assert all(hasattr(cls, name) for name in listed)


def test_the_stub_by_mypy(stub, tmp_path):
    pytest.importorskip("mypy", reason="the type stub, for want of mypy")
    package = tmp_path / "dreambooth"
    package.mkdir()
    (package / "py.typed").touch()
    (package / "__init__.pyi").write_text(stub)
    (tmp_path / "use.py").write_text(
        "import dreambooth\n"
        "trainer = dreambooth.Model.open('m').trainer(steps=3)\n"
        "trainer.learning_rate = 1e-3\n"
        "losses: list[float] = [step.loss for step in trainer]\n"
        "trainer.learning_rat = 1\n")
    ran = subprocess.run([sys.executable, "-m", "mypy", "--strict", "use.py"],
                         cwd=tmp_path, text=True, capture_output=True)
    assert "use.py:5: error" in ran.stdout and "Found 1 error" in ran.stdout, \
        ran.stdout + ran.stderr


def test_identifier(model):
    picker = dreambooth.Identifier(model, count=3, seed=3)
    picks = picker.pick()
    assert len(picks) == picker.options["count"] == 3
    assert all(pick.ids.dtype == numpy.int32 and pick.prior >= 0
               and pick.word in pick.explanation for pick in picks)
    assert picks[0].word == dreambooth.Identifier(model, count=3,
                                                  seed=3).pick()[0].word
    assert picker.check("robot") and not picker.check(picks[0].word)
    tokenizer = dreambooth.Tokenizer.open(model.path)
    assert dreambooth.Identifier(tokenizer).pick()[0].prior == -1


def test_tokenizer(folder):
    tokenizer = dreambooth.Tokenizer.open(folder / "model")
    ids = tokenizer.encode("a photo of the robot")
    assert ids.dtype == numpy.int32 and len(ids) == 5
    assert (dreambooth.tokenize(folder / "model", "a photo of the robot")
            == ids).all()
    assert tokenizer.decode(ids).strip() == "a photo of the robot"
    padded = tokenizer.encode_padded("a photo of the robot")
    assert len(padded) == tokenizer.prompt_length == 77
    assert (padded[1:6] == ids).all()
    assert tokenizer.token(int(ids[0])) == "a</w>"
    assert tokenizer.token(len(tokenizer)) is None
    assert tokenizer.encode("").shape == (0,) and tokenizer.decode([]) == ""
