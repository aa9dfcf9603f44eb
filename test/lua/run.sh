#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The Lua binding from a staged install, in LuaJIT and in Lua 5.4: its functions
# one by one, with the collector at work all the time too; the same run as by the
# command, to the same bits; and a run that is killed and goes on. Then what is
# said of it: the rockspec, the style.

. "$SRC_DIR/test/checks.sh"
dreambooth=$BUILD_DIR/dreambooth
demo=$SRC_DIR/doc/demo
binding=$SRC_DIR/bindings/lua
cd "$temp" || exit 1
unset LUA_PATH LUA_CPATH LUA_INIT DREAMBOOTH_LIBRARY
unset OPENBLAS_NUM_THREADS
export VERSION SRC_DIR

# Whether a tool is there. Where all tools must be, its lack is a failure.
have() { # COMMAND WHAT-IS-LEFT-OUT
    command -v "$1" >/dev/null 2>&1 && return
    echo "left out: $2, for want of $1"
    test "${CI-}" = true && failed=$((failed + 1))
    return 1
}

# Adds the numbers that a Lua program says last.
count() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >log 2>&1; then
        passed=$((passed + $(sed -n '$s/ passed, .*//p' log)))
    else
        echo "failed: $what"
        sed 's/^/    /' log
        failed=$((failed + 1))
    fi
}

if test "$SHARED" = no; then
    echo "left out: Lua, for want of a shared library"
    echo "0 passed, 0 failed"
    exit 0
fi

# Installed as it would be, with nothing but the soname to find the library by.
prefix=/opt/dreambooth
lua_make() {
    "$MAKE" -C "$BUILD_DIR/.." --no-print-directory "$@" \
        DESTDIR="$temp/stage" prefix=$prefix exec_prefix=$prefix \
        datarootdir=$prefix/share libdir=$prefix/lib
}
check "make install-lua" lua_make install-lua
root=$temp/stage$prefix
mkdir -p "$root/lib"
cp "$BUILD_DIR"/libdreambooth.so.? "$root/lib"
export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}"

# A model, photos, and the command's own run -----------------------------------

check "vocabulary" "$demo/make-vocabulary.sh" vocabulary
mkdir photos
check "photos" "$BUILD_DIR/doc/demo/draw" subject photos 3 48
check "model" "$dreambooth" init "$demo/config" --tokenizer vocabulary \
    --seed 5 --out model
check "the command trains" "$dreambooth" train model --instance-dir photos \
    --instance-prompt "a [V] robot" --class-prompt "a robot" \
    --class-images 3 --class-steps 2 --steps 12 --size 32 --seed 1 \
    --learning-rate 1e-3 --checkpoint-every 2 --out whole --quiet
check "and draws" "$dreambooth" sample whole --prompt "a [V] robot" --steps 4 \
    --size 32 --seed 7 --out command.png --quiet

# A file, so that the process that is started in the background is Lua's own.
cat >train <<'END'
exec "$1" "$2/example.lua" model photos "$3" "a [V] robot" "a robot" \
    class-images=3 class-steps=2 steps=12 size=32 seed=1 learning-rate=1e-3 \
    checkpoint_every=2
END

same_result() { # OUT
    for file in whole/*/*.safetensors whole/class/*.png; do
        cmp "$file" "$1/${file#whole/}" || return 1
    done
    cut -d , -f 1-4 whole/metrics.csv >wanted.csv
    cut -d , -f 1-4 "$1/metrics.csv" | cmp - wanted.csv
}

# Starts a run, and sends it SIGNAL when PATH is there.
interrupt() { # SIGNAL PATH OUT
    sh ./train "$lua" "$binding" "$3" >log 2>errors &
    pid=$!
    until test -e "$2" || ! kill -0 $pid 2>/dev/null; do
        sleep 0.02
    done
    kill "-$1" $pid 2>/dev/null
    wait $pid 2>/dev/null
}

one_lua() { # COMMAND
    lua=$1
    count "$lua, function by function" "$lua" "$SRC_DIR/test/lua/test.lua"
    count "$lua with the collector at work" "$lua" "$SRC_DIR/test/lua/test.lua" \
        stress
    check "$lua draws the command's image" cmp command.png binding.png
    check "$lua trains" sh ./train "$lua" "$binding" "$lua-run"
    check "$lua comes to the command's bits" same_result "$lua-run"
    interrupt KILL "$lua-killed/class/class-00000.png" "$lua-killed"
    interrupt KILL "$lua-killed/checkpoints/step-000002" "$lua-killed"
    check "$lua was killed" test ! -e "$lua-killed/model_index.json"
    interrupt INT "$lua-killed/checkpoints/step-000004" "$lua-killed"
    check "$lua was interrupted between steps" grep -q 'interrupted!' errors
    check "$lua goes on" sh ./train "$lua" "$binding" "$lua-killed"
    check "$lua comes to the same bits" same_result "$lua-killed"
    DREAMBOOTH_LIBRARY=/nowhere/lib.so "$lua" -e 'require "dreambooth"' 2>errors
    check "$lua says which library is not there" grep -q /nowhere/lib.so errors
    check "$lua takes the library by its path" env -u LD_LIBRARY_PATH \
        DREAMBOOTH_LIBRARY="$BUILD_DIR/libdreambooth.so" \
        "$lua" -e 'require "dreambooth"'
}

if have luajit "LuaJIT"; then
    export LUA_PATH="$root/share/lua/5.1/?.lua"
    one_lua luajit
fi
if test ! -e "$root/lib/lua/5.4/dreambooth/core.so"; then
    have lua5.4-headers "the C module"
elif have lua5.4 "Lua 5.4"; then
    export LUA_PATH="$root/share/lua/5.4/?.lua" \
        LUA_CPATH="$root/lib/lua/5.4/?.so"
    one_lua lua5.4
fi
unset LUA_PATH LUA_CPATH

# What is said of it -----------------------------------------------------------

if have luarocks "the rock"; then
    check "luarocks lint" luarocks lint "$binding"/dreambooth-scm-1.rockspec
    cp -r "$binding" rock
    chmod -R u+w rock
    rock() {
        cd rock && luarocks --tree="$temp/rocks" make \
            DREAMBOOTH_INCDIR="$SRC_DIR/include" DREAMBOOTH_LIBDIR="$BUILD_DIR"
    }
    test -d "$root/lib/lua" && check "luarocks make" rock
fi
if have luacheck "luacheck"; then
    check "luacheck" luacheck --std max --max-line-length 80 "$binding" \
        "$SRC_DIR/test/lua"
fi

check "make uninstall-lua" lua_make uninstall-lua
check "leaves nothing" test -z "$(find "$root" -name '*.lua' -o \
    -name core.so -o -path '*/lua/*/dreambooth')"

finish
