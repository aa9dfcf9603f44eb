#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The Python binding's own tests (bindings/python/tests) on the library of the
# build tree, and the package as pip makes it of the source tree.

set -u
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM

passed=0
failed=0
left_out=0

check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "failed: $what"
        sed 's/^/    /' log
        failed=$((failed + 1))
    fi
}

leave_out() { # WHAT REASON
    echo "left out: $1, for want of $2"
    test "${CI-}" != true
    exit
}

test "$SHARED" = yes || leave_out "the Python binding" "a shared library"
for python in "${PYTHON-}" /usr/bin/python3 python3; do
    test -n "$python" && "$python" -c 'import cffi, numpy, pytest' \
        2>"$temp/log" && break
    python=
done
test -n "$python" || leave_out "the Python binding" \
    "Python with cffi, numpy and pytest (python3-cffi python3-numpy \
python3-pytest python3-pil)"

# A copy, as pip builds beside the sources, which may be read-only.
mkdir "$temp/bindings"
cp "$SRC_DIR/configure.ac" "$temp/"
cp -r "$SRC_DIR/bindings/python" "$temp/bindings/"
chmod -R u+w "$temp/bindings"
export DREAMBOOTH_LIBRARY="$BUILD_DIR/libdreambooth.so"
export PYTHONDONTWRITEBYTECODE=1 TMPDIR="$temp"
unset PYTEST_ADDOPTS
cd "$temp" || exit 1

# What is tested is the package as pip installs it, where there is pip.
if "$python" -c 'import setuptools, pip
assert int(setuptools.__version__.split(".")[0]) >= 61
try: import wheel
except ImportError: import setuptools.command.bdist_wheel' 2>log; then
    "$python" -m pip install -q --no-build-isolation --no-deps --no-index \
        --disable-pip-version-check --target site ./bindings/python >log 2>&1
    check "pip install" test -s site/dreambooth/__init__.py
    check "with a type stub" grep -q 'learning_rate: float' \
        site/dreambooth/__init__.pyi
    check "of our version" test -d site/dreambooth-"$VERSION".dist-info
    export PYTHONPATH="$temp/site"
else
    echo "left out: pip install, for want of pip and a new setuptools"
    left_out=1
    export PYTHONPATH="$temp/bindings/python"
fi

count() { # WORD: of pytest's last line
    sed -n "\$s/.*\\b\\([0-9][0-9]*\\) $1.*/\\1/p" log
}

"$python" -m pytest -q -p no:cacheprovider -rs bindings/python/tests >log 2>&1
status=$?
of_pytest=$(count passed)
passed=$((passed + ${of_pytest:-0}))
if test $status -ne 0; then
    cat log
    of_pytest=$(count failed)
    failed=$((failed + ${of_pytest:-1}))
fi
sed -n 's/^SKIPPED \[[0-9]*\] [^:]*:[0-9]*: \(.*\)/left out: \1/p' log
grep -q '^SKIPPED ' log && left_out=1
# Where all is to be tested, nothing may be missing.
test "${CI-}" = true && failed=$((failed + left_out))

echo "$passed passed, $failed failed"
test "$failed" -eq 0
