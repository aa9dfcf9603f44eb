#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The main job from end to end, without a download: draws pictures of a subject,
# makes a small model with random weights, teaches it the subject with prior
# preservation, is stopped half way and goes on, draws, and joins everything in
# one sheet. `make demo` runs it.

set -eu
dreambooth=$BUILD_DIR/dreambooth
draw=$BUILD_DIR/doc/demo/draw
here=$SRC_DIR/doc/demo
work=$BUILD_DIR/demo
sheet=$work/sheet.png

# Shows a command as one would type it, and runs it.
show() {
    printf '$ dreambooth'
    for word; do
        case $word in
            *' '*) printf ' "%s"' "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    echo
}

run() {
    show "$@"
    "$dreambooth" "$@"
}

step() {
    echo
    echo "== $*"
}

rm -rf "$work"
mkdir -p "$work/photos"
cd "$work"

step "The photos: five pictures of a robot, which we draw ourselves"
"$draw" subject photos 5 128
ls photos

step "The model: a small one with random weights, which has seen nothing yet"
"$here/make-vocabulary.sh" vocabulary
run init "$here/config" --tokenizer vocabulary --seed 1 --out model
run info model

# [V] is a rare word that the trainer picks.
set -- train model --instance-dir photos \
    --instance-prompt "a photo of a [V] robot" \
    --class-prompt "a photo of a robot" --class-images 10 --class-steps 10 \
    --steps 300 --size 64 --batch 2 --learning-rate 1e-3 \
    --train-text-encoder --seed 1 --checkpoint-every 50 \
    --sample-every 60 --sample-steps 15 --sample-count 2 --out robot

step "What training will take"
run "$@" --dry-run

step "Training, which we stop half way, as if by Ctrl-C ..."
show "$@"
"$dreambooth" "$@" &
pid=$!
until test -d robot/checkpoints/step-000100 || ! kill -0 $pid 2>/dev/null; do
    sleep 0.2
done
kill -INT $pid 2>/dev/null || :
wait $pid || echo "(exit code $?)"

step "... and go on with: it comes to the same bits as if we had not stopped"
run "$@" --resume

step "Drawing the subject with what was learned"
run sample robot --prompt "a photo of a [V] robot" --steps 25 --seed 7 \
    --count 5 --batch 5 --out robot.png

step "Everything on one sheet"
"$draw" sheet "$sheet" 128 --row photos/*.png \
    --row robot/class/class-0000[0-4].png \
    --row robot/samples/step-*-00.png \
    --row robot-*.png --losses robot/metrics.csv
cat <<END

$sheet
shows, from the top: the photos; images of the class, drawn by the model before
training; what it drew for the subject after 60, 120, 180, 240 and 300 steps;
what it draws for it in the end; and the losses over the steps (orange: the
subject, blue: the class), which fall.

The drawings are noise with some colour to them, and that is as it should be:
this model started from random weights and was trained for a minute. It shows
that everything works, not how well. Point the same commands at a Stable
Diffusion 1.x model to see that.
END
