# SPDX-License-Identifier: MIT
"""What all handles share: options and facts by attribute, made from the
library's tables, calls under the context's guard, and an owner for the C
object. A new row in a table is a new attribute here.
"""

from __future__ import annotations

import collections.abc
import inspect
import operator
import re
from typing import TYPE_CHECKING, Any, Mapping, MutableMapping

from ._library import bytes_of, comments, errors, ffi, lib, tables, text_of

if TYPE_CHECKING:
    from typing_extensions import Self

TYPES = {"boolean": bool, "integer": int, "real": float, "text": str,
         "choice": str}


def attribute_name(name):
    """learning-rate, loss.prior: learning_rate, loss_prior."""
    return re.sub("[-.]", "_", name)


def _to_text(row, value):
    """What the library reads as the value of an option."""
    if value is None or isinstance(value, (str, bytes)):
        return bytes_of(value)
    kind = row.type
    if kind == "boolean":
        return b"yes" if value else b"no"
    if kind == "integer":
        return str(operator.index(value)).encode()
    if kind == "real":
        return repr(float(value)).encode()
    return bytes_of(value)


def _from_text(row, text):
    kind = row.type if row is not None else "text"
    if kind == "boolean":
        return text in ("true", "yes", "1")
    if kind == "text":
        return text or None
    return TYPES.get(kind, str)(text)


def _default(row):
    if row.type in ("text", "boolean") and not row.default:
        return None if row.type == "text" else False
    return _from_text(row, row.default)


def describe(row):
    """A line of help for an option or fact."""
    words = row.help + (f" ({row.unit})" if row.unit else "")
    if row.is_fact:
        return f"{words}; {row.type}, to be read"
    default = f"; default: {row.default}" if row.default else ""
    return f"{words}; {row.range}{default}"


def _attribute(row):
    def get(self):
        return self._get(row.name)

    def put(self, value):
        self._set(row.name, value)

    get.row = row
    return property(get, None if row.is_fact else put, doc=describe(row))


def _signature(cls):
    """That of __init__ with the options in place of **options."""
    parameters = []
    for parameter in inspect.signature(cls.__init__).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            parameters += [inspect.Parameter(
                attribute_name(row.name), parameter.KEYWORD_ONLY,
                default=_default(row)) for row in cls._options.values()]
        else:
            parameters.append(parameter)
    return inspect.Signature(parameters[1:])


class Handle:
    """An object of the library."""

    _kind = ""
    _options, _facts = {}, {}

    def __init_subclass__(cls):
        if not cls._kind or "_kind" not in vars(cls):
            return
        cls._options, cls._facts = tables(cls._kind)
        cls.__signature__ = _signature(cls)
        for row in (*cls._options.values(), *cls._facts.values()):
            name = attribute_name(row.name)
            if name.islower() and not hasattr(cls, name):
                setattr(cls, name, _attribute(row))
        for name, member in vars(cls).items():
            function = f"dreambooth_{cls._kind}_{name}"
            member = getattr(member, "__func__", member)
            if inspect.isfunction(member) and function in comments:
                member.__doc__ = (f"{inspect.cleandoc(member.__doc__ or '')}"
                                  f"\n\n{function}():\n{comments[function]}")

    # Life

    def _make(self, guard, function, *arguments):
        """Makes the C object by a function that gives it as its first
        argument."""
        out = ffi.new(f"dreambooth_{self._kind} **")
        free = getattr(lib, f"dreambooth_{self._kind}_free")

        def own(_):
            self._guard, self._pointer = guard, out[0]
            self._finalizer = guard.own(self, free, out[0])

        call(guard, f"dreambooth_{function}", out, *arguments, then=own,
             long=True)
        return self

    def _live(self):
        if self._pointer is None:
            raise errors["StateError"](f"this {type(self).__name__} is closed")
        return self._pointer

    def __reduce__(self):
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled")

    # Calls

    def _call(self, name, *arguments, **how):
        return call(self._guard, f"dreambooth_{self._kind}_{name}", self,
                    *arguments, **how)

    def _ask(self, name, *arguments):
        """A question about what never changes: it need not wait its turn."""
        function = getattr(lib, f"dreambooth_{self._kind}_{name}")
        return function(self._live(), *arguments)

    def _get(self, name):
        out = ffi.new("const char **")
        text = self._named("get_text", name, out, then=lambda _: text_of(out[0]))
        return _from_text(self._row(name), text)

    def _set(self, name, value):
        row = self._row(name)
        if row is None:
            self._get(name)  # fails, with a suggestion
        self._named("set", name, _to_text(row, value))

    def _named(self, function, name, *arguments, **how):
        try:
            return self._call(function, name.encode(), *arguments, **how)
        except errors["NotFoundError"] as problem:
            if self._row(name) is not None and not self._row(name).is_fact:
                raise
            raise errors["UnknownNameError"](str(problem)) from None

    def _row(self, name):
        pattern = re.sub(r"\.\d+\.", ".N.", name)
        return self._options.get(name.replace("_", "-")) or \
            self._facts.get(pattern)

    # Names

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self._get(name.replace("_", "-"))

    def __setattr__(self, name, value):
        member = getattr(type(self), name, None)
        if name.startswith("_") or member is not None and not callable(member):
            object.__setattr__(self, name, value)
        else:
            self._set(name.replace("_", "-"), value)

    @property
    def options(self) -> MutableMapping[str, Any]:
        """All options by the names they have in C."""
        return Options(self, self._options)

    @property
    def facts(self) -> Mapping[str, Any]:
        """All facts by the names they have in C."""
        return Facts(self, self._facts)


class Closable(Handle):
    """A handle that can be closed before the garbage collector comes: by
    close(), or at the end of a `with` block."""

    def close(self) -> None:
        """Frees it now, or at the end of the call that is running."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Facts(collections.abc.Mapping):
    """Values by name; an unknown name is a KeyError."""

    def __init__(self, handle, rows):
        self._handle, self._rows = handle, rows

    def __getitem__(self, name):
        return self._handle._get(name)

    def __iter__(self):
        for name in self._rows:
            if ".N." in name:  # one of each part
                yield from (name.replace(".N.", f".{number}.")
                            for number in range(self["parts"]))
            elif "KEY" not in name:
                yield name

    def __len__(self):
        return sum(1 for _ in self)

    def __repr__(self):
        return repr(dict(self))


class Options(Facts, collections.abc.MutableMapping):
    """Values by name, to be set as well; `del` brings the default back."""

    def __setitem__(self, name, value):
        self._handle._set(name, value)

    def __delitem__(self, name):
        row = self._handle._row(name)
        self[name] = None if row is None else _default(row)


def call(guard, function, *arguments, then=None, long=False):
    """Calls a function of the library that gives a status. Handles among the
    arguments stand for their C objects; then(status) is done before anybody
    else may call, for results that do not last."""
    function = getattr(lib, function)

    def work():
        status = guard.checked(function(*(
            argument._live() if isinstance(argument, Handle) else argument
            for argument in arguments)))
        return status if then is None else then(status)

    return guard.call(work, long)
