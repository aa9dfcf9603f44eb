#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A new option is a row of its table. This adds two to the sampler's and one to
# the trainer's, in a copy of the source tree, builds what hangs on that, and
# looks for them everywhere: --help, the command itself, the completion of three
# shells, the manual, Python with its stub, Lua. Nothing else is changed. A run
# that was begun before the option was there goes on after it, and is then refused
# by the library that does not know it.

. "$SRC_DIR/test/checks.sh"
tree=$temp/tree

# A command that must say each of the extended regular expressions.
says() { # WHAT "PATTERN ..." COMMAND...
    what=$1 patterns=$2
    shift 2
    if ! "$@" >"$temp/said" 2>&1; then
        bad "$what" "$temp/said"
        return
    fi
    for pattern in $patterns; do
        grep -Eq -e "$pattern" "$temp/said" || {
            bad "$what says $pattern" "$temp/said"
            return
        }
    done
    good
}

refuses() { # PATTERN COMMAND...
    pattern=$1
    shift
    ! "$@" >"$temp/refused" 2>&1 && grep -q -e "$pattern" "$temp/refused"
}

if test "$SHARED" != yes; then
    echo "left out: all of it, for want of a shared library"
    finish
fi

# The copy, with what is built, as if it were built there ----------------------

folder=$(sed -n -e 's/[.]/[.]/g' -e 's/^srcdir = //p' "$BUILD_DIR/../config.mk")
mkdir -p "$tree/build" "$tree/test" "$tree/doc"
for part in Makefile ChangeLog configure configure.ac config.mk.in build-aux \
    include lib src bindings doc/man doc/examples test/symbols.txt; do
    test ! -e "$SRC_DIR/$part" || cp -pR "$SRC_DIR/$part" "$tree/$part"
done
cp -p "$BUILD_DIR/../config.mk" "$BUILD_DIR/../config.status" "$tree/"
for part in "$BUILD_DIR"/*; do
    case $part in
        */test | */sanitize | */clang | */lua) ;;
        *) cp -pR "$part" "$tree/build/" ;;
    esac
done
chmod -R u+w "$tree"
find "$tree/build" -name '*.d' -exec \
    sed -i "s#\(^\| \)$folder/#\1#g" {} +

build() {
    "$MAKE" -C "$tree" -j2 srcdir=. CFLAGS="$CFLAGS -O0" all
}

# The built folder whose library and command are run.
here=$tree/build
dreambooth() {
    env LD_LIBRARY_PATH="$here" "$here/dreambooth" "$@"
}

# A run before ----------------------------------------------------------------

cd "$temp" || exit 1
check "vocabulary" "$SRC_DIR/doc/demo/make-vocabulary.sh" vocabulary
check "a model" dreambooth init "$SRC_DIR/doc/demo/config" \
    --tokenizer vocabulary --out model
train() {
    dreambooth train model --instance-prompt "a [V] robot" \
        --instance-dir photos --size 32 --out run --resume "$@"
}
mkdir photos
check "a photo" dreambooth sample model --prompt "a robot" --steps 1 \
    --size 32 --out photos/photo.png
check "a run" train --steps 1 --checkpoint-every 1

# The rows --------------------------------------------------------------------

cat >"$temp/rows" <<'END_OF_ROWS'
    {.name = "paint-twice",
     .type = DB_OPTION_BOOL,
     .offset = FIELD(paint_twice),
     .help = "made up for a test: draw it over again"},
    {.name = "brush",
     .type = DB_OPTION_CHOICE,
     .offset = FIELD(brush),
     .default_text = "broad",
     .choices = brush_names,
     .placeholder = "KIND",
     .help = "made up for a test: what it is painted with"},
END_OF_ROWS
sed -i -e '/^static const struct db_option rows/{
i\static const char *const brush_names[] = {"broad", "pointed", NULL};\n
r '"$temp/rows"'
}' "$tree/lib/sample/options.c"
sed -i 's/^struct db_sampler_settings {/&\n    bool paint_twice;\n    int brush;/' \
    "$tree/lib/sample/options.h"
sed -i 's/^static const struct db_option rows\[\] = {/&\
    {.name = "patience", .type = DB_OPTION_BOOL, .offset = FIELD(flip),\
     .help = "made up for a test"},/' "$tree/lib/train/options.c"

check "the build" build
mv "$temp/log" "$temp/built"
says "which compiles what hangs on the table" 'CC.*lib/sample/options.c' \
    cat "$temp/built"
check "and nothing of the command" \
    sh -c '! grep -E "CC +(src|doc)/" "$1"' sh "$temp/built"

# Where they must be ----------------------------------------------------------

says "--help" '--paint-twice --brush.KIND broad pointed' \
    dreambooth sample --help
check "the command" dreambooth sample model --prompt "a robot" \
    --steps 1 --size 32 --out drawn.png --paint-twice --brush pointed
check "the run goes on" train --steps 2
check "from where it was" test -d run/checkpoints/step-000002
check "but not with another value" \
    refuses 'option "patience" is "true" now' train --steps 3 --patience
here=$BUILD_DIR
check "nor by a library that does not know it" \
    refuses 'of a newer version, with "patience"' train --steps 3
here=$tree/build

for shell in bash zsh fish; do
    says "completion of $shell" 'paint-twice brush broad pointed' \
        dreambooth completion $shell
done

if test -d "$tree/build/doc/man"; then
    says "the manual" 'paint.{1,2}twice brush draw.it.over.again pointed' \
        cat "$tree/build/doc/man/man1/dreambooth-sample.1"
else
    missing "the manual" "a command that runs here"
fi

# The bindings, which nothing was done to --------------------------------------

export DREAMBOOTH_LIBRARY="$tree/build/libdreambooth.so"
export PYTHONPATH="$tree/bindings/python" PYTHONDONTWRITEBYTECODE=1
export LUA_PATH="$tree/bindings/lua/?.lua;;"

cat >"$temp/look.py" <<'END_OF_PYTHON'
import pydoc
import sys

import dreambooth

names = dir(dreambooth.Sampler)
assert "paint_twice" in names and "brush" in names, names
help_text = pydoc.plain(pydoc.render_doc(dreambooth.Sampler))
assert "draw it over again" in help_text, help_text
sampler = dreambooth.Model.open(sys.argv[1]).sampler(brush="pointed")
assert sampler.brush == "pointed" and sampler.paint_twice is False
sampler.paint_twice = True
assert sampler.paint_twice is True
END_OF_PYTHON
for python in python3 /usr/bin/python3 none; do
    $python -c 'import cffi, numpy' 2>/dev/null && break
done
if test "$python" != none; then
    check "Python" $python "$temp/look.py" model
    says "Python's stub" 'paint_twice:.bool brush:.*broad.*pointed' \
        $python "$tree/bindings/python/stub.py"
else
    missing "Python" "python3 with cffi and numpy"
fi

cat >"$temp/look.lua" <<'END_OF_LUA'
local dreambooth = require "dreambooth"

local rows = {}
for _, row in ipairs(dreambooth.options "sampler") do
    rows[row.name] = row
end
assert(rows["paint-twice"].type == "boolean")
assert(table.concat(rows.brush.choices, " ") == "broad pointed")
local model = assert(dreambooth.context():open(arg[1]))
local sampler = assert(model:sampler {brush = "pointed"})
assert(sampler.brush == "pointed" and sampler.paint_twice == false)
sampler.paint_twice = true
assert(sampler.paint_twice == true)
END_OF_LUA
if command -v luajit >/dev/null; then
    check "Lua" luajit "$temp/look.lua" model
else
    missing "Lua" luajit
fi

finish
