# SPDX-License-Identifier: MIT
"""What pyproject.toml cannot say: the version, which configure.ac has, and the
type stub, which is made of the library's tables (without the library there is
none in the package, and the package works nonetheless).
"""

import pathlib
import re
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent


def version():
    """Of configure.ac, or of the package that this was unpacked from."""
    configure, packed = HERE.parents[1] / "configure.ac", HERE / "PKG-INFO"
    if configure.exists():
        found = re.search(r"AC_INIT\(\[libdreambooth\],\s*\[(.+?)\]",
                          configure.read_text())
    else:
        found = re.search(r"^Version: (.+)$", packed.read_text(), re.M)
    return found.group(1)


class BuildWithStub(build_py):
    def run(self):
        super().run()
        sys.path.insert(0, str(HERE))
        try:
            import stub
        except ImportError as reason:
            print(f"no type stub: {reason}", file=sys.stderr)
            return
        target = pathlib.Path(self.build_lib, "dreambooth", "__init__.pyi")
        target.write_text(stub.text())


setup(version=version(), cmdclass={"build_py": BuildWithStub})
