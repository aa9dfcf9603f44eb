# SPDX-License-Identifier: MIT
"""The handles, called as in C: what a function does, the C manual says."""

from __future__ import annotations

import os
from typing import (TYPE_CHECKING, Any, Iterable, Iterator, Mapping,
                    NamedTuple, Union)

import numpy

from ._guard import Guard
from ._handle import Closable, Handle, attribute_name
from ._library import bytes_of, error, errors, ffi, lib, text_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

    Path = Union[str, bytes, os.PathLike[str]]


class Context(Closable):
    """Memory, threads, kernels and log of everything that is made in it.

    Contexts are independent of each other. Calls in one context wait for each
    other; cancel() alone does not wait. Without the option threads there is one
    for each processor, as in the command."""

    _kind = "context"

    def __init__(self, **options: Any) -> None:
        out = ffi.new("dreambooth_context **")
        status = lib.dreambooth_context_new(out)
        if status != 0:
            raise error(status, "a context cannot be made")
        self._pointer, self._guard = out[0], Guard(out[0])
        self._finalizer = self._guard.own(self, lib.dreambooth_context_free,
                                          out[0])
        self.options.update({"threads": _processors(), **options})

    def cancel(self) -> None:
        """Stops the call that is running, and all later ones, with
        CancelledError. Any thread may call this, and a signal's handler."""
        lib.dreambooth_context_cancel(self._live())

    def clear_cancel(self) -> None:
        """Takes that back."""
        lib.dreambooth_context_clear_cancel(self._live())


def _processors():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


class _InContext:
    """What is made in a context: one that is given, or one of its own."""

    @classmethod
    def _new(cls, function, context, *arguments, **options):
        context = context or Context()
        context.options.update(options)
        made = cls.__new__(cls)
        made._context = context
        return made._make(context._guard, f"{cls._kind}_{function}", context,
                          *arguments)

    @property
    def context(self) -> Context:
        """The context that it was made in."""
        return self._context


class Image(_InContext, Handle):
    """A picture: 8-bit RGB. numpy.asarray(image) are its pixels, [height,
    width, 3], to be read and written without a copy.

    It is made of a path, the bytes of a JPEG or PNG file, an array [height,
    width, 3] of uint8, a picture of Pillow's or another Image."""

    _kind = "image"

    def __init__(self, source: Any, context: Context | None = None) -> None:
        context = context or Context()
        self._context = context
        if isinstance(source, (str, os.PathLike)):
            made = ("read", bytes_of(source))
        elif isinstance(source, (bytes, bytearray)):
            made = ("decode", ffi.NULL, ffi.from_buffer(source), len(source))
        else:
            array = _pixels(source)
            height, width, _ = array.shape
            made = ("new", width, height,
                    ffi.from_buffer("unsigned char[]", array))
        self._make(context._guard, f"image_{made[0]}", context, *made[1:])

    @classmethod
    def new(cls, width: int, height: int,
            context: Context | None = None) -> Self:
        """A black picture, whose pixels can then be written."""
        return cls._new("new", context, width, height, ffi.NULL)

    @classmethod
    def from_array(cls, array: Any, context: Context | None = None) -> Self:
        """A picture of an array [height, width, 3] of uint8."""
        return cls(array, context)

    @classmethod
    def sheet(cls, images: Iterable[Any], columns: int = 0, margin: int = 0,
              context: Context | None = None) -> Self:
        """Pictures in a grid."""
        images = [image if isinstance(image, Image) else Image(image)
                  for image in images]
        pointers = ffi.new("dreambooth_image *[]",
                           [image._live() for image in images])
        return cls._new("sheet", context, pointers, len(images), columns,
                        margin)

    def square(self, size: int) -> Image:
        """What training makes of a photo."""
        return _image(self, "image_square", self, size)

    def write(self, path: Path, texts: Mapping[str, str] | None = None) -> None:
        """Writes a PNG file, with the texts of a dictionary in it."""
        pairs = [(bytes_of(key), bytes_of(text))
                 for key, text in (texts or {}).items()]
        chars = [[ffi.new("char[]", text) for text in column]
                 for column in zip(*pairs)] or [[], []]
        keys, values = (ffi.new("char *[]", column) for column in chars)
        self._call("write", bytes_of(path), keys, values, len(pairs), long=True)

    @property
    def width(self) -> int:
        """In pixels."""
        return self._ask("width")

    @property
    def height(self) -> int:
        """In pixels."""
        return self._ask("height")

    @property
    def __array_interface__(self) -> dict[str, Any]:
        pixels = int(ffi.cast("uintptr_t", self._ask("pixels")))
        return {"shape": (self.height, self.width, 3), "typestr": "|u1",
                "data": (pixels, False), "version": 3}

    def to_pil(self) -> Any:
        """A copy as a picture of Pillow's."""
        import PIL.Image

        return PIL.Image.fromarray(numpy.asarray(self))

    def _repr_png_(self):
        return self.to_pil()._repr_png_()

    def __repr__(self):
        return f"<dreambooth.Image {self.width} x {self.height}>"


def _pixels(source):
    """An array [height, width, 3] of uint8, of an array or of Pillow's."""
    if hasattr(source, "getexif") and hasattr(source, "convert"):
        from PIL import ImageOps

        source = ImageOps.exif_transpose(source).convert("RGB")
    array = numpy.asarray(source)
    if array.dtype != numpy.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise errors["InvalidError"](
            f"an array {list(array.shape)} of {array.dtype} is no picture: it "
            "takes [height, width, 3] of uint8", lib.DREAMBOOTH_EINVAL)
    return numpy.ascontiguousarray(array)


def _image(handle, function, *arguments):
    """An image that a function of another handle gives."""
    image = Image.__new__(Image)
    image._context = handle.context
    return image._make(handle._guard, function, *arguments)


class Model(_InContext, Closable):
    """A text-to-image model: a folder in the form of diffusers."""

    _kind = "model"

    @classmethod
    def open(cls, folder: Path, context: Context | None = None,
             **options: Any) -> Self:
        """A model with its weights; options are the context's."""
        return cls._new("open", context, bytes_of(folder), **options)

    @classmethod
    def describe(cls, path: Path, context: Context | None = None,
                 **options: Any) -> Self:
        """A model without its weights."""
        return cls._new("describe", context, bytes_of(path), **options)

    @classmethod
    def init(cls, config_folder: Path, tokenizer_folder: Path | None = None,
             seed: int = 0, context: Context | None = None,
             **options: Any) -> Self:
        """A new model with random weights."""
        return cls._new("init", context, bytes_of(config_folder),
                        bytes_of(tokenizer_folder), seed, **options)

    def save(self, folder: Path, precision: str | None = None) -> None:
        """Writes the model's folder, as "f32", "f16" or "bf16"."""
        self._call("save", bytes_of(folder), bytes_of(precision), long=True)

    def trainer(self, **options: Any) -> Trainer:
        """Trainer(model, ...)."""
        return Trainer(self, **options)

    def sampler(self, **options: Any) -> Sampler:
        """Sampler(model, ...)."""
        return Sampler(self, **options)

    def __repr__(self):
        return f"<dreambooth.Model {self.path}>"


class Tokenizer(_InContext, Closable):
    """CLIP's tokenizer: texts to token ids and back."""

    _kind = "tokenizer"

    @classmethod
    def open(cls, folder: Path, context: Context | None = None) -> Self:
        """The tokenizer of a model's folder."""
        return cls._new("open", context, bytes_of(folder))

    def encode(self, text: str) -> NDArray[numpy.int32]:
        """The ids as an array of int32."""
        text, count = text.encode("utf-8", "replace"), ffi.new("size_t *")
        self._call("encode", text, len(text), ffi.NULL, 0, count)
        ids = numpy.empty(count[0], numpy.int32)
        self._call("encode", text, len(text),
                   ffi.from_buffer("int32_t[]", ids), len(ids), count)
        return ids

    def encode_padded(self, text: str,
                      length: int | None = None) -> NDArray[numpy.int32]:
        """What a text encoder takes: ids with start, end and padding."""
        text = text.encode("utf-8", "replace")
        ids = numpy.empty(length or self.prompt_length, numpy.int32)
        self._call("encode_padded", text, len(text),
                   ffi.from_buffer("int32_t[]", ids), len(ids), ffi.NULL)
        return ids

    def decode(self, ids: Any) -> str:
        """The text of ids."""
        ids = numpy.ascontiguousarray(ids, numpy.int32)
        length = ffi.new("size_t *")
        values = ffi.from_buffer("int32_t[]", ids)
        self._call("decode", values, len(ids), ffi.NULL, 0, length)
        text = ffi.new("char[]", length[0] + 1)
        self._call("decode", values, len(ids), text, len(text), length)
        return ffi.buffer(text, length[0])[:].decode("utf-8", "replace")

    def token(self, id: int) -> str | None:
        """A token as vocab.json spells it; None for an id that is none."""
        return text_of(self._ask("token", id))

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are."""
        return self._ask("vocabulary_size")

    @property
    def prompt_length(self) -> int:
        """How many ids a prompt has for the model, padding included."""
        return self._ask("prompt_length")

    def __len__(self) -> int:
        return self.vocabulary_size


class Pick(NamedTuple):
    """A picked identifier, its token ids and the model's prior for it."""

    word: str
    explanation: str
    ids: NDArray[numpy.int32]
    prior: float


class Identifier(_InContext, Closable):
    """A picker of rare words to bind a subject to, from a Model (which ranks
    them by its prior) or a Tokenizer."""

    _kind = "identifier"

    def __init__(self, source: Model | Tokenizer, **options: Any) -> None:
        function = "new_for_model" if isinstance(source, Model) else "new"
        self._context = source.context
        self._make(source._guard, f"identifier_{function}", source)
        self.options.update(options)

    def pick(self) -> list[Pick]:
        """Picks as many as the option count says."""
        return self._call("pick", then=self._picked, long=True)

    def _picked(self, _):
        asks = [getattr(lib, f"dreambooth_identifier_{name}") for name in
                ("word", "explanation", "ids", "prior")]
        picks = []
        for index in range(lib.dreambooth_identifier_count(self._pointer)):
            word, explanation = (text_of(ask(self._pointer, index))
                                 for ask in asks[:2])
            count = ffi.new("size_t *")
            ids = ffi.unpack(asks[2](self._pointer, index, count), count[0])
            picks.append(Pick(word, explanation, numpy.array(ids, numpy.int32),
                              asks[3](self._pointer, index)))
        return picks

    def check(self, word: str) -> list[str]:
        """What speaks against a word: a list of lines, empty for a good one."""
        out = ffi.new("const char **")
        return self._call("check", bytes_of(word), out,
                          then=lambda _: text_of(out[0]).splitlines())


class Progress(NamedTuple):
    """How far something is; a line for people by str()."""

    stage: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.stage}: {self.done} of {self.total}"


class Step:
    """The facts of one step, by attribute."""

    def __init__(self, handle):
        self._handle = handle
        for name in handle._step_facts():
            setattr(self, attribute_name(name), handle._get(name))

    def __repr__(self) -> str:
        facts = (f"{name}={value!r}" for name, value in vars(self).items()
                 if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(facts)})"


class TrainerStep(Step):
    """A step of training."""


class SamplerStep(Step):
    """A step of drawing."""

    def preview(self, index: int = 0) -> Image:
        """What the picture looks like by now."""
        return self._handle.preview(index)


class _Stepwise(_InContext, Closable):
    """What runs step by step: `for step in ...`, or whole by run()."""

    def __init__(self, model: Model, **options: Any) -> None:
        self._model, self._context = model, model.context
        self._make(model._guard, f"{self._kind}_new", model)
        self.options.update(options)

    @property
    def model(self) -> Model:
        """The model it was made of."""
        return self._model

    @classmethod
    def _step_facts(cls):
        """The names of the facts that each step has."""
        return [name for name in cls._facts
                if not name.startswith(("plan.", "class-images."))]

    def __iter__(self) -> Self:
        return self

    def __next__(self):
        step = self.step()
        if step is None:
            raise StopIteration
        return step

    def _drive(self, progress, total):
        """Takes all steps, behind tqdm's bar if that is wanted and there is."""
        bar = _bar(progress, total=total, unit="step")
        last = None
        for last in self:
            if bar is not None:
                bar.total = getattr(last, "total_steps", bar.total)
                bar.update(last.step - bar.n)
                bar.set_postfix({name: value for name, value in
                                 vars(last).items() if name == "loss"})
        if bar is not None:
            bar.close()
        return last


def _bar(wanted, **options):
    if not wanted:
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(**options)


class Trainer(_Stepwise):
    """Teaches a model a subject: DreamBooth. Options are keywords and
    attributes; `for step in trainer` trains, and is where steps are to be seen.
    """

    _kind = "trainer"

    def add(self, *photos: Any) -> None:
        """Adds photos: a folder (then there is no other), or whatever an Image
        can be made of."""
        for photo in photos:
            if isinstance(photo, (str, os.PathLike)) and os.path.isdir(photo):
                self._call("add_folder", bytes_of(photo))
            else:
                if not isinstance(photo, Image):
                    photo = Image(photo, self.context)
                self._call("add_image", photo)

    def plan(self) -> dict[str, Any]:
        """What the run will take, by name: memory, disk, ..."""
        self._call("plan", long=True)
        return {attribute_name(name[5:]): self._get(name)
                for name in self._facts if name.startswith("plan.")}

    def prepare(self) -> Iterator[Progress]:
        """Does what comes before step 1, and tells how far it is; step() does
        what is left of it."""
        while self._call("prepare", long=True) != lib.DREAMBOOTH_DONE:
            done = self.class_images_done
            total = done + self.class_images_missing
            yield Progress("class images" if total else "checks", done, total)

    def step(self) -> TrainerStep | None:
        """Takes a step and gives its facts; None when there is none left."""
        for _ in self.prepare():
            pass
        if self._call("step", long=True) == lib.DREAMBOOTH_DONE:
            return None
        return TrainerStep(self)

    def run(self, progress: bool = False) -> TrainerStep | None:
        """Takes all steps that are left; gives the last one's facts."""
        bar = _bar(progress, unit="image", desc="class images")
        for message in self.prepare():
            if bar is not None:
                bar.total = message.total
                bar.update(message.done - bar.n)
        if bar is not None:
            bar.close()
        return self._drive(progress, self.steps)

    def checkpoint(self) -> None:
        """Writes a checkpoint now."""
        self._call("checkpoint", long=True)


class Sampler(_Stepwise):
    """Draws. Options are keywords and attributes; run() gives the pictures,
    `for step in sampler` takes the steps one by one."""

    _kind = "sampler"

    def step(self) -> SamplerStep | None:
        """Calls the UNet once; None when the pictures were finished before."""
        before = self._get("step")
        self._call("step", long=True)
        step = SamplerStep(self)
        return step if step.step > before else None

    def run(self, progress: bool = False) -> list[Image]:
        """Takes all steps that are left; gives the pictures."""
        self._drive(progress, None)
        return self.images()

    def image(self, index: int = 0) -> Image:
        """A finished picture."""
        return _image(self, "sampler_image", self, index)

    def images(self) -> list[Image]:
        """All pictures, when they are finished."""
        return [self.image(index) for index in range(self.count)]

    def preview(self, index: int = 0) -> Image:
        """What a picture of the present batch looks like by now."""
        return _image(self, "sampler_preview", self, index)

    def write(self, path: Path, index: int = 0) -> None:
        """Writes a finished picture with its settings as a PNG file."""
        self._call("write", index, bytes_of(path), long=True)

    def latents(self) -> NDArray[numpy.float32]:
        """The latents of the present batch: float32, [images, channels,
        height, width]."""
        shape = ffi.new("int64_t[4]")
        self._call("latents", shape, ffi.NULL, 0)
        values = numpy.empty(list(shape), numpy.float32)
        self._call("latents", shape, ffi.from_buffer("float[]", values),
                   values.size)
        return values


def tokenize(model: Tokenizer | Path, text: str) -> NDArray[numpy.int32]:
    """The token ids of a text, to a Tokenizer or a model's folder."""
    if not isinstance(model, Tokenizer):
        model = Tokenizer.open(model)
    return model.encode(text)
