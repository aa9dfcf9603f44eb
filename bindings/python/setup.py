# SPDX-License-Identifier: MIT
"""What pyproject.toml cannot say: the version, which configure.ac has, and the
type stub, which is made of the library's tables (without the library there is
none in the package, and the package works nonetheless). With the library itself
in the package (make-wheel) a wheel is for its architecture, and any Python 3.
"""

import pathlib
import re
import sys

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # before setuptools 70
    from wheel.bdist_wheel import bdist_wheel

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


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return (HERE / "dreambooth" / "libdreambooth.so.0").exists()


class AnyPython(bdist_wheel):
    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(version=version(), license="MIT", distclass=WithLibrary,
      cmdclass={"build_py": BuildWithStub, "bdist_wheel": AnyPython})
