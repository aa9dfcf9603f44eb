# SPDX-License-Identifier: MIT
"""The package's type stub, made at build time of the classes as they are and of
the library's tables: `python3 stub.py` prints it.
"""

import inspect

import dreambooth
from dreambooth._handle import TYPES, attribute_name

HEAD = f'''\
# Made of the tables of libdreambooth {dreambooth.version}.
import os
from typing import Any, Iterable, Iterator, Literal, Mapping, MutableMapping, NamedTuple

import numpy
from numpy.typing import NDArray
from typing_extensions import Self

Path = str | bytes | os.PathLike[str]
__version__: str
path: str
version: str
def build_info(field: str) -> str: ...
def tokenize{{}}
'''
STEPS = {"TrainerStep": dreambooth.Trainer, "SamplerStep": dreambooth.Sampler}
# What **options stands for in methods of these names; else the context's.
OPTIONS = {"trainer": dreambooth.Trainer, "sampler": dreambooth.Sampler}


def row_type(row, given=False):
    """The type of a value as it comes, or as it may be given."""
    if row.type == "choice":
        return f"Literal[{', '.join(map(repr, row.choices.split()))}]"
    if row.type == "text" and not row.is_fact:
        return "Path | None" if given else "str | None"
    return TYPES.get(row.type, str).__name__


def signature(function, options=()):
    """As in the source, with the options in place of **options."""
    found = inspect.signature(function)
    words = []
    for parameter in found.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and options:
            words += ["*"] + [f"{attribute_name(row.name)}: "
                              f"{row_type(row, given=True)} = ..."
                              for row in options]
        else:
            words.append(str(parameter).replace("'", ""))
    return f"({', '.join(words)}) -> {found.return_annotation}: ..."


def property_lines(name, member):
    row = getattr(member.fget, "row", None)
    if row is not None and not row.is_fact and row.type != "text":
        yield f"{name}: {row_type(row)}"
        return
    kinds = [row_type(row), row_type(row, given=True)] if row else \
        [inspect.signature(member.fget).return_annotation] * 2
    yield "@property"
    yield f"def {name}(self) -> {kinds[0]}: ..."
    if member.fset is not None:
        yield f"@{name}.setter"
        yield f"def {name}(self, value: {kinds[1]}) -> None: ..."


def member_lines(cls, name, member):
    function = getattr(member, "__func__", member)
    if isinstance(member, property):
        yield from property_lines(name, member)
    elif inspect.isfunction(function) and "return" in function.__annotations__:
        of = OPTIONS.get(name, cls if name == "__init__" else
                         dreambooth.Context)
        if isinstance(member, classmethod):
            yield "@classmethod"
        options = getattr(of, "_options", {}).values()
        yield f"def {name}{signature(function, options)}"


def class_lines(cls):
    for name, kind in vars(cls).get("__annotations__", {}).items():
        yield f"{name}: {getattr(kind, '__forward_arg__', kind)}"
    if cls.__name__ in STEPS:
        steps = STEPS[cls.__name__]
        yield from (f"{attribute_name(name)}: {row_type(steps._facts[name])}"
                    for name in steps._step_facts())
    if hasattr(cls, "step"):
        kind = inspect.signature(cls.step).return_annotation.split(" | ")[0]
        yield f"def __next__(self) -> {kind}: ..."
    members = dict(vars(cls))
    if getattr(cls, "_options", None):
        members["__init__"] = cls.__init__  # which takes them
    for name, member in members.items():
        yield from member_lines(cls, name, member)


def classes():
    """The public ones, each after what it is made of."""
    found = []
    for name in dreambooth.__all__:
        public = getattr(dreambooth, name)
        if inspect.isclass(public):
            found += [cls for cls in reversed(public.__mro__)
                      if cls.__module__.startswith("dreambooth")
                      and cls not in found]
    return found


def text():
    lines = [HEAD.format(signature(dreambooth.tokenize))]
    for cls in classes():
        bases = ", ".join(base.__name__ for base in cls.__bases__)
        lines.append(f"class {cls.__name__}({bases}):".replace(
            "(tuple)", "(NamedTuple)"))
        lines += [f"    {line}" for line in class_lines(cls)] or ["    ..."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(text(), end="")
