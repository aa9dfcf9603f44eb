#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The command of another machine beside that of this one, on the same model and
# photos: what they compute may differ by rounding, since their BLAS and libm
# add and round in other orders; what they write has the same form, and each goes
# on with what the other has written. build-aux/check-cross runs it.
#
# NATIVE and BUILD_DIR are the builds of this machine and of the other, EMULATOR
# runs the other's programs, SRC_DIR is the source. CC compiles for this machine.

set -u
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0
export OPENBLAS_NUM_THREADS=1
cd "$temp" || exit 1

here() {
    "$NATIVE/dreambooth" "$@"
}

there() {
    # shellcheck disable=SC2086 # a list of words
    $EMULATOR "$BUILD_DIR/dreambooth" "$@"
}

check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >log 2>&1; then
        passed=$((passed + 1))
        sed "s/^/      $what: /" log | grep ' differ by '
    else
        echo "failed: $what"
        sed 's/^/    /' log
        failed=$((failed + 1))
    fi
}

train() { # WHERE MODEL OUT ARGUMENTS...
    where=$1 model=$2 out=$3
    shift 3
    "$where" train "$model" --instance-dir photos --out "$out" --quiet \
        --instance-prompt "a jr robot" --size 32 --learning-rate 1e-4 \
        --train-text-encoder --checkpoint-every 1 --rng torch --seed 3 "$@"
}

draw() { # WHERE MODEL OUT
    "$1" sample "$2" --prompt "a jr robot" --size 32 --steps 2 --seed 5 \
        --out "$3" --quiet
}

# The losses in two metrics.csv agree to four digits, line by line.
same_losses() {
    paste -d, "$1" "$2" | awk -F, '
        NR > 1 { d = $2 - $9; n++; if (d * d > 1e-8 * $2 * $2) exit bad = 1 }
        END { exit bad || n != 2 }'
}

weights=unet/diffusion_pytorch_model.safetensors
other_weights=text_encoder/model.safetensors
demo=$SRC_DIR/doc/demo
# shellcheck disable=SC2086 # lists of words
check "the program that compares" ${CC:-cc} -o compare \
    "$SRC_DIR/test/cross/compare.c" $(pkg-config --cflags --libs libpng) -lm
mkdir photos
check "photos" "$NATIVE/doc/demo/draw" subject photos 3 48
check "vocabulary" "$demo/make-vocabulary.sh" vocabulary
for where in here there; do
    check "a model, $where" $where init "$demo/config" --tokenizer vocabulary \
        --seed 5 --out model-$where
done
# A rounding of log() or cos() in the last place of a double is seldom seen.
check "the same random weights" ./compare model-here/$weights \
    model-there/$weights 1e-7 1e-10
for where in here there; do
    check "training, $where" train $where model-here trained-$where --steps 2
done
for where in here there; do
    check "drawing, $where" draw $where trained-here $where.png
    check "drawing from what the other wrote, $where" draw $where trained-there \
        $where-2.png
done
check "the same losses" same_losses trained-here/metrics.csv \
    trained-there/metrics.csv
# Where a gradient is nought but for rounding, its sign is a matter of rounding,
# and AdamW goes a whole learning rate this way or that.
for name in $weights $other_weights; do
    check "the same weights" ./compare trained-here/$name trained-there/$name \
        5e-4 2e-6
done
check "the same picture" ./compare here.png there.png 2 0.1
check "the same picture again" ./compare here-2.png there-2.png 2 0.1
# Two steps there and two here: a checkpoint goes from machine to machine.
check "going on with the other's checkpoint" train here model-here \
    trained-there --steps 3 --resume
check "the other goes on with this one's" train there model-here trained-here \
    --steps 3 --resume
check "to the same weights" ./compare trained-here/$weights \
    trained-there/$weights 1e-3 4e-6
here info trained-there >of-here
there info trained-there >of-there
check "info says the same" cmp of-here of-there
here train --help >of-here
there train --help >of-there
check "so does --help" cmp of-here of-there
echo "$passed passed, $failed failed"
test "$failed" -eq 0
