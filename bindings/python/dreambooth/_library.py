# SPDX-License-Identifier: MIT
"""The C library: loaded, declared by its own declarations, with its errors.

Nothing is generated or written down twice: the library hands out its header as
text, which cffi reads, comments become help, and its tables name all options.
"""

from __future__ import annotations

import collections
import errno
import os
import pathlib
import re
import sys
from typing import Any

import cffi

OLDEST = (0, 1)  # the first version with all that is called here
NAME = "libdreambooth.so.0"


def _places():
    """Where the library may be, best first."""
    named = os.environ.get("DREAMBOOTH_LIBRARY")
    if named:
        return [named]
    bundled = pathlib.Path(__file__).with_name(NAME)
    beside = pathlib.Path(sys.prefix, "lib", NAME)
    return [str(path) for path in (bundled, beside) if path.exists()] + [NAME]


def _open(ffi, places):
    reasons = []
    for place in places:
        try:
            return place, ffi.dlopen(place)
        except OSError as reason:
            reasons.append(str(reason))
    raise ImportError(
        "libdreambooth cannot be loaded: install it (make install and ldconfig,"
        f" or a package), or let DREAMBOOTH_LIBRARY name the file {NAME} ("
        + "; ".join(reasons) + ")")


def _load():
    first = cffi.FFI()
    first.cdef("const char *dreambooth_version(void);"
               "const char *dreambooth_declarations(void);"
               "void openblas_set_num_threads(int);"
               "void MKL_Set_Num_Threads(int);"
               "void bli_thread_set_num_threads(long);")
    place, library = _open(first, _places())
    try:
        version = first.string(library.dreambooth_version()).decode()
        text = first.string(library.dreambooth_declarations()).decode()
    except AttributeError as reason:
        raise ImportError(f"{place} is no libdreambooth, or one that is older "
                          f"than this package: {reason}") from None
    numbers = re.findall(r"\d+", version)
    if tuple(map(int, numbers[:2])) < OLDEST:
        raise ImportError(f"{place} is version {version}; this package needs "
                          f"{'.'.join(map(str, OLDEST))} or later")
    for settle in ("openblas_set_num_threads", "MKL_Set_Num_Threads",
                   "bli_thread_set_num_threads"):
        # As the command does: threads are the library's own.
        getattr(library, settle, int)(1)
    ffi = cffi.FFI()
    ffi.cdef(text)
    return ffi, ffi.dlopen(place), place, version, text


ffi, lib, path, version, _declarations = _load()


def text_of(pointer):
    """A Python text of a C one; None of NULL."""
    if pointer == ffi.NULL:
        return None
    return ffi.string(pointer).decode("utf-8", "surrogateescape")


def bytes_of(value):
    """What a `const char *` takes: of a text, a path or None."""
    if value is None:
        return ffi.NULL
    value = os.fspath(value)
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if b"\0" in value:
        raise ValueError("embedded null character")
    return value


# Comments --------------------------------------------------------------------

def _comments():
    """The comment before each function, by the function's name."""
    found = {}
    declared = r"/\*((?:[^*]|\*(?!/))*)\*/\s*[\w\s*]*?\b(dreambooth_\w+)\("
    for comment, name in re.findall(declared, _declarations):
        lines = (line.strip(" *") for line in comment.splitlines())
        found[name] = "\n".join(lines).strip()
    return found


comments = _comments()

# Tables ----------------------------------------------------------------------

Row = collections.namedtuple(
    "Row", "name type range choices default unit help advanced is_fact",
    defaults=("", "", "", "", "", "no", False))


def _ask(function, *question):
    """The text of an ..._info() function; None where there is none."""
    answer = ffi.new("char[]", 1024)
    if function(*question, answer, len(answer)) != 0:
        return None
    return text_of(answer)


def build_info(field):
    """How the library was built: "version", "blas", "cpu" and so on."""
    answer = _ask(lib.dreambooth_build_info, field.encode())
    if answer is None:
        raise KeyError(field)
    return answer


def _rows(function, handle, fields, **more):
    index = 0
    while _ask(function, handle, index, b"name") is not None:
        yield Row(**{field: _ask(function, handle, index, field.encode())
                     for field in fields}, **more)
        index += 1


def tables(handle):
    """The options and the facts of a kind of handle, by name."""
    handle = handle.encode()
    options = _rows(lib.dreambooth_option_info, handle, Row._fields[:-1])
    facts = _rows(lib.dreambooth_fact_info, handle,
                  ("name", "type", "unit", "help"), is_fact=True)
    return ({row.name: row for row in options},
            {row.name: row for row in facts})


# Errors ----------------------------------------------------------------------

class Error(Exception):
    """An error of the library: its text, .status and .name, such as
    "DREAMBOOTH_EINVAL"."""

    status: int = lib.DREAMBOOTH_EINTERNAL
    name: Any

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        if status is not None:
            self.status = status
        self.name = text_of(lib.dreambooth_status_name(self.status))

    def __str__(self):
        return str(self.args[0])


class DreamboothWarning(UserWarning):
    """A warning of the library."""


# The status, the class of its errors, what else such an error is, its errno.
_ERRORS = [
    ("ENOMEM", "NoMemoryError", (MemoryError,), None),
    ("ELIMIT", "MemoryLimitError", (MemoryError,), None),
    ("EINVAL", "InvalidError", (ValueError,), None),
    ("EIO", "ReadWriteError", (OSError,), errno.EIO),
    # An option or fact that there is none of, by attribute or by key.
    ("ENOTFOUND", "UnknownNameError", (AttributeError, KeyError), None),
    ("ENOTFOUND", "NotFoundError", (FileNotFoundError,), errno.ENOENT),
    ("EFORMAT", "FormatError", (ValueError,), None),
    ("EUNSUPPORTED", "UnsupportedError", (NotImplementedError,), None),
    ("ECANCELLED", "CancelledError", (), None),
    ("ENONFINITE", "NonFiniteError", (FloatingPointError,), None),
    ("ENOSPACE", "NoSpaceError", (OSError,), errno.ENOSPC),
    ("ESTATE", "StateError", (RuntimeError,), None),
    ("EINTERNAL", "InternalError", (SystemError,), None),
]


def _error_class(status, name, bases, number):
    members = {"__doc__": f"DREAMBOOTH_{status} as an exception.",
               "__module__": __package__,
               "status": getattr(lib, f"DREAMBOOTH_{status}")}
    if number is not None:
        members["errno"] = number
    return type(name, (Error, *bases), members)


errors = {row[1]: _error_class(*row) for row in _ERRORS}
_by_status = {kind.status: kind for kind in errors.values()}


def error(status, text):
    """The exception for a status."""
    return _by_status.get(status, Error)(text, status)
