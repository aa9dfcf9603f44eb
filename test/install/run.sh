#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs into a staging directory and does what a program that uses the
# library would: each example in doc/examples is compiled with nothing but what
# pkg-config says and then run on a small model; as C11 and as C++17, against
# the shared and the static library, and with the address sanitizer in the
# program alone. All kinds must come to the same bits. Then uninstalls and looks
# whether anything is left.

. "$SRC_DIR/test/checks.sh"
. "$SRC_DIR/test/install/stage.sh"

check "make install" stage
test $failed -eq 0 || exit 1
echo 'int main(void) { return 0; }' >"$temp/empty.c"

# Compiling -------------------------------------------------------------------

package() {
    PKG_CONFIG_PATH="$temp/pkgconfig${PKG_CONFIG_PATH+:$PKG_CONFIG_PATH}" \
        "$PKG_CONFIG" "$@" libdreambooth
}

check "pkg-config --validate" package --validate
check "pkg-config --modversion" test "$(package --modversion)" = "$VERSION"

# A second library directory has the archive alone, for linking statically.
mkdir -p "$temp/static"
cp "$root/lib/libdreambooth.a" "$temp/static/" 2>/dev/null

# Debian's OpenBLAS asks for Fortran's library when linked statically, which its
# package does not bring: then what configure found.
can_link() { # FLAGS...
    # shellcheck disable=SC2086 # lists of words
    $CC $CFLAGS -o "$temp/empty" "$temp/empty.c" -L"$temp/static" "$@" \
        $LDFLAGS >/dev/null 2>&1
}

libraries() { # KIND
    case $1 in
        static) echo "-L$temp/static $static_libs" ;;
        *) package --libs ;;
    esac
}

# With link-time optimisation the warnings are also of what is linked.
strict=-Werror
case $CFLAGS in
    *-flto*) strict= ;;
esac

# compile KIND SOURCE PROGRAM COMPILER-AND-FLAGS...
compile() {
    kind=$1 source=$2 program=$3
    shift 3
    # shellcheck disable=SC2046,SC2086 # lists of words
    "$@" $CFLAGS -Wall -Wextra $strict $(package --cflags) -o "$program" \
        "$source" -x none $(libraries "$kind") $LDFLAGS
}

# Running ---------------------------------------------------------------------

prompt="a [V] robot"
small="steps 4 size 32 class-images 2 class-steps 2"

# Each example's work in a folder of its own; $run is the folder with programs.
run_learn() {
    # shellcheck disable=SC2086 # a list of words
    "$run/learn" ../model ../photos "$prompt" "a robot" learned $small &&
        ! "$run/learn" nowhere ../photos "$prompt" "a robot" other 2>errors &&
        grep -q '^learn: .*nowhere' errors
}
run_learn_cpp() {
    # shellcheck disable=SC2086
    "$run/learn-cpp" ../model ../photos "$prompt" "a robot" learned-cpp $small &&
        ! "$run/learn-cpp" nowhere ../photos "$prompt" "a robot" other \
            2>errors &&
        grep -q '^learn: .*nowhere' errors
}
# Stopped by a key and by a signal; what was stopped goes on to its end.
step() { # OUT STEPS
    # shellcheck disable=SC2086
    exec "$run/step" ../model instance-dir ../photos \
        instance-prompt "$prompt" class-prompt "a robot" out "$1" $small \
        steps "$2" 2>bar
}
run_step() {
    printf wwwwwwwq | (step stepped 4) && grep -q 'stopped at step [1-3]' bar &&
        test ! -e stepped/model_index.json && (step stepped 4) </dev/null &&
        grep -q 'steps  *\[#*\] 4/4' bar || return 1
    rm bar
    (step signalled 1000000) </dev/null &
    until grep -qs 'steps  *\[' bar || ! kill -0 $!; do
        sleep 0.02
    done
    kill -TERM $! && wait $! && grep -q 'stopped at step [1-9]' bar
}
run_sample() {
    "$run/sample" ../model "$prompt" >robot.ppm 2>steps &&
        test "$(head -n 2 robot.ppm | tr '\n' ' ')" = "P6 64 64 " &&
        test "$(wc -c <robot.ppm)" -eq $((13 + 3 * 64 * 64)) &&
        grep -q '25 of 25' steps
}
run_identify() {
    "$run/identify" ../model robot >words &&
        test "$(grep -c ' encodes to ' words)" -eq 3 && grep -q '^robot:' words
}
run_backend() {
    "$run/backend" ../model "$prompt" >products &&
        grep -q '^[1-9][0-9]* matrix products' products
}
run_allocator() {
    "$run/allocator" ../model 100 >enough && grep -q ' takes ' enough &&
        grep -q '^0 bytes are left$' enough &&
        ! "$run/allocator" ../model 1 >few 2>errors &&
        grep -q '^allocator: DREAMBOOTH_ENOMEM' errors &&
        grep -q '^0 bytes are left$' few
}

same_weights() { # FOLDER...
    for folder; do
        for file in "$first/learned"/*/*.safetensors; do
            cmp "$file" "$folder/${file#"$first/learned/"}" || return 1
        done
    done
}

# try KIND C-COMPILER-AND-FLAGS...: compiles and runs all of doc/examples.
first=
try() {
    kind=$1
    shift
    run=$temp/$kind
    mkdir -p "$run"
    cd "$run" || exit 1
    for source in "$SRC_DIR"/doc/examples/*.c; do
        name=$(basename "$source" .c)
        check "$kind: compile $name.c" compile "$kind" "$source" "$name" "$@"
        check "$kind: run $name" "run_$name"
    done
    first=${first:-$run}
    check "$kind: the same weights" same_weights "$run/learned" "$run/stepped"
    check "$kind: the same picture" cmp "$first/robot.ppm" robot.ppm
    cd "$temp" || exit 1
}

export OPENBLAS_NUM_THREADS=1
cd "$temp" || exit 1
check "a model and photos" make_model_and_photos model photos 3
check "the installed command" "$root/bin/dreambooth" --version

export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}"
if test "$SHARED" = yes; then
    # shellcheck disable=SC2086 # CC may be of several words
    try shared $CC -std=c11
    if test -n "${CXX-}"; then
        # shellcheck disable=SC2086
        try shared-c++ $CXX -std=c++17 -x c++
        # shellcheck disable=SC2086
        check "compile learn.cpp" compile shared \
            "$SRC_DIR/doc/examples/learn.cpp" "$run/learn-cpp" $CXX -std=c++17
        cd "$run" || exit 1
        check "run learn.cpp" run_learn_cpp
        check "the same weights" same_weights "$run/learned-cpp"
        cd "$temp" || exit 1
    else
        missing "C++17" "a compiler"
    fi
    # The address sanitizer in the program, and not in the library.
    # shellcheck disable=SC2086
    if $CC -fsanitize=address -o empty empty.c >/dev/null 2>&1; then
        try sanitized $CC -std=c11 -g -fsanitize=address
    else
        missing "-fsanitize=address" "its library"
    fi
fi
unset LD_LIBRARY_PATH
if test "$STATIC" = yes; then
    # shellcheck disable=SC2046
    if can_link -static $(package --static --libs); then
        static_libs="-static $(package --static --libs)"
    elif can_link $(package --static --libs); then
        missing "cc -static" "all libraries' archives"
        static_libs=$(package --static --libs)
    else
        missing "pkg-config --static" "all libraries' archives"
        static_libs="-ldreambooth $DEPENDENCY_LIBS"
    fi
    # shellcheck disable=SC2086
    try static $CC -std=c11
fi

check "make uninstall" make_staged uninstall
find "$temp/stage" ! -type d >"$temp/left"
check "nothing is left: $(cat "$temp/left")" test ! -s "$temp/left"

finish
