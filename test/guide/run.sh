#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs every block of code in the guide and the README, as a reader would who
# has installed the library: page by page, each in a folder where a small model
# and drawn photos have the names that the text uses, and where small.c makes
# long runs short. A block in "text" is output or a layout, and is not run.

. "$SRC_DIR/test/checks.sh"
. "$SRC_DIR/test/install/stage.sh"
here=$SRC_DIR/test/guide
languages="sh c cpp cmake meson python lua text"

if test "$SHARED" = no; then
    echo "left out: the guide, for want of a shared library"
    echo "0 passed, 0 failed"
    exit 0
fi
if ! stage >"$temp/log" 2>&1; then
    bad "make install"
    exit 1
fi

# What a reader has -----------------------------------------------------------

unset DREAMBOOTH_CONFIG DREAMBOOTH_LIBRARY LUA_PATH LUA_CPATH LUA_INIT
export XDG_CONFIG_HOME="$temp/config" OPENBLAS_NUM_THREADS=1
export PATH="$root/bin:$PATH" LD_LIBRARY_PATH="$root/lib"
export PKG_CONFIG_PATH="$temp/pkgconfig${PKG_CONFIG_PATH+:$PKG_CONFIG_PATH}"
export PYTHONPATH="$SRC_DIR/bindings/python" PYTHONDONTWRITEBYTECODE=1
export LUA_PATH="$SRC_DIR/bindings/lua/?.lua;;"
export CC CXX CFLAGS LDFLAGS

# small.c, once for programs and once as the library that a binding opens.
make_small() { # FILE LIBRARIES...
    file=$1
    shift
    # shellcheck disable=SC2046,SC2086 # lists of words
    $CC $CFLAGS -shared -fPIC -o "$temp/$file" "$here/small.c" \
        $(pkg-config --cflags libdreambooth) "$@" -ldl $LDFLAGS
}

# shellcheck disable=SC2046
{
    cd "$temp" && make_model_and_photos stable-diffusion-v1-5 photos 5 &&
        make_small small.so &&
        make_small library.so -Wl,--no-as-needed \
            $(pkg-config --libs libdreambooth)
} >"$temp/log" 2>&1 || {
    bad "a model, photos and small.c"
    exit 1
}

find_python() {
    for python in "${PYTHON-}" /usr/bin/python3 python3; do
        test -n "$python" && "$python" -c 'import cffi, numpy' 2>/dev/null &&
            return
    done
    python=no-python
}
find_python

# One block -------------------------------------------------------------------

# Each gets the block's file and the program to be made, in the page's folder.
run_sh() {
    LD_PRELOAD="$temp/small.so" sh -e "$1"
}
build() { # SOURCE PROGRAM COMPILER...
    source=$1 program=$2
    shift 2
    # shellcheck disable=SC2046,SC2086
    "$@" $CFLAGS -Wall -Wextra -Werror -I"$here" -o "$program" "$source" \
        $(pkg-config --cflags --libs libdreambooth) $LDFLAGS &&
        LD_PRELOAD="$temp/small.so" "$program" </dev/null
}
run_c() {
    # shellcheck disable=SC2086
    if grep -q '^int main(' "$1"; then
        build "$1" "$2" $CC -std=c11
    else
        build "$here/statements.c" "$2" $CC -std=c11 -DBLOCK="\"$1\""
    fi
}
run_cpp() {
    # shellcheck disable=SC2086
    build "$1" "$2" $CXX -std=c++17 -pthread
}
run_cmake() {
    cp "$1" CMakeLists.txt && cmake -S . -B "$2" && cmake --build "$2"
}
run_meson() {
    cp "$1" meson.build && meson setup "$2" && meson compile -C "$2"
}
run_python() {
    DREAMBOOTH_LIBRARY="$temp/library.so" "$python" "$1"
}
run_lua() {
    DREAMBOOTH_LIBRARY="$temp/library.so" luajit "$1"
}

# What a block needs beside what the build has: by its language, or by a first
# line "# needs TOOL".
lacks() { # LANGUAGE FILE
    case $1 in
        sh) tool=$(sed -n '1s/^# needs \([a-z0-9]*\).*/\1/p' "$2") ;;
        cpp) tool=${CXX:-c++} ;;
        cmake | meson) tool=$1 ;;
        python) tool=$python ;;
        lua) tool=luajit ;;
        *) tool= ;;
    esac
    test -n "$tool" && ! command -v "${tool%% *}" >/dev/null 2>&1
}

missing=
run_block() { # PAGE FILE
    line=$(basename "$2" | sed 's/^0*//; s/\..*//')
    language=${2##*.}
    test "$language" != text || return
    if lacks "$language" "$2"; then
        case $missing in
            *" $tool "*) ;;
            *) echo "left out: parts of the guide, for want of $tool" ;;
        esac
        missing="$missing $tool "
        test "${CI-}" != true || failed=$((failed + 1))
    elif "run_$language" "$2" "./program-$line" \
        >"$temp/log" 2>&1; then
        good
    else
        bad "$1:$line"
    fi
}

# One page --------------------------------------------------------------------

run_page() { # PAGE RESULT...: files that must be there then
    page=$1
    shift
    name=$(echo "$page" | tr '/' '-')
    mkdir -p "$temp/blocks/$name" "$temp/work/$name"
    # shellcheck disable=SC2086 # a list of words
    "$here/blocks.pl" "$SRC_DIR/$page" "$temp/blocks/$name" $languages \
        >"$temp/log" || bad "$page has blocks that cannot be run"
    cd "$temp/work/$name" || exit 1
    ln -s "$temp/stable-diffusion-v1-5" "$temp/photos" .
    cp "$SRC_DIR"/doc/examples/*.c "$SRC_DIR"/doc/examples/*.cpp .
    for block in "$temp/blocks/$name"/*; do
        test -f "$block" && run_block "$page" "$block"
    done
    for result; do
        : >"$temp/log"
        if test -s "$result"; then good; else bad "$page made no $result"; fi
    done
}

# Links between pages, and from them into the tree.
check_links() { # PAGE
    folder=$SRC_DIR/$(dirname "$1")
    sed 's/](/\n](/g' "$SRC_DIR/$1" |
        sed -n 's/^](\([^):#]*\)[)#].*/\1/p' | while read -r target; do
        test -z "$target" || test -e "$folder/$target" || echo "$target"
    done >"$temp/log"
    if test -s "$temp/log"; then bad "links of $1"; else good; fi
}

# Options that the text names outside of blocks; of the tables of other people's
# options, the column that is ours.
check_options() { # PAGE
    awk -F'|' '/^ *```/ { inside = !inside; next }
        inside { next }
        NF > 1 && FILENAME ~ /coming-from/ { print $3; next }
        { print }' "$SRC_DIR/$1" | sed 's/]([^)]*)//g' |
        grep -o -e '--[a-z][a-z_-]*[a-z]' | grep -v _ | sort -u >"$temp/named"
    if grep -v -x -F -f "$temp/options" "$temp/named" >"$temp/log"; then
        bad "options that $1 names and nobody has"
    else
        good
    fi
}

for command in train sample identifier tokenize info init version; do
    dreambooth $command --help-all
done | grep -o -e '^  --[a-z-]*' | tr -d ' ' | sort -u >"$temp/options"

check_links README.md
run_page README.md my-dog/model_index.json my-cat/model_index.json
for path in "$SRC_DIR"/doc/guide/*.md; do
    page=doc/guide/$(basename "$path")
    check_links "$page"
    case $page in
        */embedding.md | */python.md | */lua.md) ;; # speak of other tools
        *) check_options "$page" ;;
    esac
    case $page in
        */first-subject.md) run_page "$page" my-dog/samples.png beach.png ;;
        *) run_page "$page" ;;
    esac
done

finish
