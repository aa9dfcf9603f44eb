#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The command as people use it, on a small model that it makes itself: the main
# job, stopping and going on, the same bits whatever the threads, and each kind
# of wrong input, which must give one clear line and the right exit code.

set -u
temp=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$temp"; rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0
dreambooth=$BUILD_DIR/dreambooth
draw=$BUILD_DIR/doc/demo/draw
demo=$SRC_DIR/doc/demo
# The configuration of whoever runs this is none of our business.
export DREAMBOOTH_CONFIG=
unset XDG_CONFIG_HOME NO_COLOR
cd "$temp" || exit 1

good() {
    passed=$((passed + 1))
}

bad() { # WHAT
    echo "failed: $1"
    sed 's/^/    /' log errors 2>/dev/null
    failed=$((failed + 1))
}

check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >check.log 2>&1; then
        good
    else
        bad "$what"
        sed 's/^/    /' check.log
    fi
}

# A command that must say PATTERN (an extended regular expression) on stdout.
says() { # PATTERN ARGUMENTS...
    pattern=$1
    shift
    if "$dreambooth" "$@" >log 2>errors && grep -Eq -e "$pattern" log; then
        good
    else
        bad "dreambooth $* (wanted: $pattern)"
    fi
}

# One that must fail with CODE and one line on stderr that has PATTERN.
refuses() { # CODE PATTERN ARGUMENTS...
    code=$1 pattern=$2
    shift 2
    "$dreambooth" "$@" >log 2>errors
    status=$?
    if test $status -eq "$code" && test "$(wc -l <errors)" -eq 1 &&
        grep -Eq -e "^dreambooth: .*$pattern" errors; then
        good
    else
        bad "dreambooth $* (exit code $status, wanted $code and: $pattern)"
    fi
}

# One that must succeed with one line of warning or note that has PATTERN.
warns() { # PATTERN ARGUMENTS...
    pattern=$1
    shift
    if "$dreambooth" "$@" >log 2>errors &&
        test "$(wc -l <errors)" -eq 1 && grep -Eq -e "$pattern" errors; then
        good
    else
        bad "dreambooth $* (wanted: $pattern)"
    fi
}

narrow() { # at most 80 columns
    ! grep -q '.\{81\}' "$1"
}

# What it says of itself ------------------------------------------------------

says '^dreambooth [0-9]+\.[0-9]+' --version
check "in one line" test "$(wc -l <log)" -eq 1
says '^backends +.*reference' --version --verbose
says '^compiler +[A-Za-z]' version
says '"backends": ".*reference' version --json
says 'dreambooth train MODEL'
check "first steps in 80 columns" narrow log
says '^  train ' --help
check "--help in 80 columns" narrow log
commands=$(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' log)
check "nine commands" test "$(echo "$commands" | wc -l)" -eq 9
for command in $commands; do
    says "^Usage: dreambooth $command" "$command" --help
    check "$command --help in 80 columns" narrow log
    says '^  130 ' "$command" --help-all
    check "$command --help-all in 80 columns" narrow log
    "$dreambooth" "$command" --help >one
    says "^Usage: dreambooth $command" help "$command"
    check "help $command is the same" cmp one log
done
refuses 2 'did you mean train' help trian
refuses 2 'SHELL: "tcsh" is not known' completion tcsh
refuses 2 'SHELL is missing' completion

# A model and photos ----------------------------------------------------------

check "vocabulary" "$demo/make-vocabulary.sh" vocabulary
mkdir photos
check "photos" "$draw" subject photos 3 48
says 'random weights' init "$demo/config" --tokenizer vocabulary --seed 5 \
    --out model
check "the same seed" "$dreambooth" init "$demo/config" \
    --tokenizer=vocabulary --seed=5 --out=model2 --quiet
check "quiet" test ! -s check.log
check "gives the same model" diff -r model model2
refuses 2 'is not empty' init "$demo/config" --tokenizer vocabulary --out model
says '^unet  .* F16$' info "$(
    "$dreambooth" init "$demo/config" --tokenizer vocabulary --out half \
        --precision f16 >/dev/null && echo half
)"
says '^together ' info model
says '^diffusion_pytorch_model.safetensors.* F32$' info \
    model/unet/diffusion_pytorch_model.safetensors
says '^count +7 of 75$' tokenize model "a photo of the robot on grass"
says '^tokens  a</w> robot</w>$' tokenize vocabulary "a robot"
says '^ids     [0-9]+$' tokenize model -- "-"
says '^identifier ' identifier model --count 3 --seed 3
cp log first
says '^identifier ' identifier model --count 3 --seed 3
check "the same identifiers" cmp first log
says ' -  ' identifier vocabulary --no-prior --count 2
says 'not a good identifier' identifier vocabulary --check robot

# For scripts: JSON -----------------------------------------------------------

# What a command prints with --json, but for the blanks; it must parse where
# there is a program that can.
json() { # PATTERN ARGUMENTS...
    keys=$1
    shift
    says '^}$' "$@" --json
    check "silence on stderr" test ! -s errors
    if command -v python3 >/dev/null; then
        check "$* --json parses" python3 -m json.tool log
    fi
    tr -d '\n' <log | sed 's/  *//g' >one-line
    check "$* --json has $keys" grep -Eq -e "$keys" one-line
}

json '^\{"path":"model","parts":\[\{"name":"text_encoder","parameters":[0-9]+,"tensors":[0-9]+,"bytes":[0-9]+,"precision":"F32"\},.*\],"size":64,"prompt-length":77,"scheduler":"[A-Za-z]*"\}$' \
    info model
json '"parts":\[\{"name":"unet",[^]]*\}\]\}$' info model/unet
json '^\{"text":"arobot","ids":\[[0-9]+,[0-9]+\],"tokens":\["a</w>","robot</w>"\],"count":2,"room":75,"dropped":0\}$' \
    tokenize model "a robot"
json '"text":"\\"d\\u00f6g\\""|"text":"\\"dög\\""' tokenize model '"dög"'
json '"text":"\\\\\\t"' tokenize model "$(printf '\\\t')"
json '"text":"a�b"' tokenize model "$(printf 'a\377b')"
json '^\{"identifiers":\[(\{"word":"[a-z]+","ids":\[[0-9]+\],"prior":[0-9.e-]+,"explanation":"[^}]*"\},?){3}\]\}$' \
    identifier model --count 3
json '"prior":null' identifier vocabulary --no-prior --count 1
json '^\{"word":"robot","good":false,"findings":\["[^]]*"\]\}$' \
    identifier vocabulary --check robot
"$dreambooth" tokenize model "$(awk 'BEGIN { for (i = 0; i < 80; i++)
    printf "robot " }')" --json >log 2>errors
check "what is dropped" grep -q '"dropped": 5' log
check "with a warning" grep -q '^dreambooth: warning: ' errors
refuses 3 'nowhere' info nowhere --json
check "no JSON with an error" test ! -s log

# The configuration file ------------------------------------------------------

# Each file that is wrong gives one line with its name and the line's number.
configured() { # PATTERN TEXT ARGUMENTS...
    pattern=$1
    printf '%b' "$2" >some.conf
    shift 2
    refuses 2 "some\.conf:$pattern" "$@" --config some.conf
}

draws() { # SIZE ARGUMENTS...: a picture of this size
    size=$1
    shift
    rm -f drawn.png
    "$dreambooth" sample model --prompt a --steps 1 --out drawn.png "$@" \
        >log 2>errors
    # The width stands in bytes 16 to 19 of a PNG file.
    check "sample $* draws $size pixels: $(cat errors)" test \
        "$(od -An -tu1 -j16 -N4 drawn.png | awk '{ print 256 * $3 + $4 }')" \
        -eq "$size"
}

mkdir -p home/.config elsewhere
export HOME="$temp/home"
printf '# Mine\n\nsize = 16\n[train]\nsize=24 # not ours\n[sample]\n' \
    >home/.config/dreambooth.conf
echo 'size = 20' >elsewhere/dreambooth.conf
printf '\357\273\277 size\t=  "28"# quoted\r\n[info]\r\njson = no\r\n' >other.conf
draws 64
unset DREAMBOOTH_CONFIG
draws 16
draws 32 --size 32
draws 64 --no-config
draws 28 --config other.conf
draws 28 --no-config --config other.conf
draws 32 --config other.conf --size=32
XDG_CONFIG_HOME="$temp/elsewhere" draws 20
XDG_CONFIG_HOME=elsewhere draws 16
DREAMBOOTH_CONFIG=other.conf draws 28
DREAMBOOTH_CONFIG='' draws 64
warns 'options are read from .*home/\.config/dreambooth\.conf' tokenize model a \
    --verbose
export DREAMBOOTH_CONFIG=
printf '[sample]\nprompt = "a \\"robot\\" \\\\ #1" # plain\nsteps = 1\nsize=16\n' \
    >some.conf
says 'some.png' sample model --config some.conf --out some.png
if command -v strings >/dev/null; then
    check "quotes in values" grep -qF 'a "robot" \ #1' some.png
fi
refuses 2 'MODEL is missing' sample --config some.conf
refuses 2 '--prompt TEXT is missing' sample model
configured '1: unknown option stpes; did you mean steps' 'stpes = 3' info model
configured '2: unknown option prompt;' '[train]\nprompt = a' info model
configured '1: unknown section smaple; did you mean sample' '[smaple]' info model
configured '1: option steps: "ten".*whole number' 'steps = ten' sample model \
    --prompt a
configured '3: option "steps": "0".*whole number' '\n\nsteps = 0' sample model \
    --prompt a
configured '2: option crop: "left"' '[train]\ncrop = left' info model
configured '1: there is no backend "blsa"' 'backend = blsa' info model
configured '1: option memory-limit: "much".*500M' 'memory_limit = much' info \
    model
configured '1: size of 31 pixels' 'size = 31' train model --instance-dir photos \
    --instance-prompt "a jr robot" --out wrong
configured '1: --out photos is a folder' 'out = photos' sample model --prompt a
configured '1: option --seed: "x"' 'seed = x' init "$demo/config" \
    --tokenizer vocabulary --out other
configured '1: model is not empty' 'out = model' init "$demo/config" \
    --tokenizer vocabulary
configured '2: --class-dir and' '[train]\nclass-dir = photos' train model \
    --instance-dir photos --instance-prompt "a jr robot" --out wrong
configured '1: .*command line only' 'help = yes' info model
configured '1: .*name = value' 'steps 3' info model
configured '1: .*name = value' -- info model
configured '1: .*value is missing' 'steps =  # none' info model
configured '1: .*quote is missing' 'prompt = "a' info model
configured '1: .*more behind' 'prompt = "a" b' info model
configured '1: .*backslash' 'prompt = "a\\n"' info model
configured '1: .*stands alone' '[train' info model
configured '1: .*stands alone' '[train] steps = 3' info model
configured '2: .*not UTF-8' 'steps = 3\nprompt = \0377' info model
configured '1: .*control' 'prompt = \0033[1m' info model
configured '1: .*NUL' 'steps = 3\0000' info model
refuses 2 'nowhere: there is no such' info model --config nowhere
refuses 2 '"": there is no such' info model --config=
refuses 2 'photos: this is a folder' info model --config photos
refuses 2 'photos.*\.png:1: .*UTF-8' info model --config photos/robot-1.png
DREAMBOOTH_CONFIG=nowhere
refuses 2 'nowhere: there is no such' info model
DREAMBOOTH_CONFIG=
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "%050d", i }' >digits
(printf 'steps = ' && head -c 900000 digits) >huge.conf
refuses 2 'huge.conf:1: option steps: "0*1?"' sample model --prompt a \
    --config huge.conf
check "not all of it" test "$(wc -c <errors)" -lt 300
tr 0-9 a-j <digits >huge.conf
refuses 2 'huge.conf:1: ' info model --config huge.conf
check "not all of it" test "$(wc -c <errors)" -lt 300
cat digits digits >huge.conf
refuses 2 'huge.conf: this is larger' info model --config huge.conf
# What broken files do to commands that read none.
says '^dreambooth' version --config nowhere
says '^Usage' info --help --config nowhere

# Terminals -------------------------------------------------------------------

escape=$(printf '\033')

on_terminal() { # ARGUMENTS...: what is shown, in the file log
    script -qec "'$dreambooth' $*" /dev/null >log 2>&1 </dev/null
}

check "colours where they are asked for" test \
    "$("$dreambooth" info nowhere --color=always 2>&1 | grep -c "$escape")" -eq 1
refuses 3 'nowhere' info nowhere --color auto
check "none in a file" test "$(grep -c "$escape" errors)" -eq 0
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    export TERM=xterm
    on_terminal info nowhere
    check "colours on a terminal" grep -q "$escape\[1;31m" log
    on_terminal info nowhere --color=never
    check "none with --color=never" test "$(grep -c "$escape" log)" -eq 0
    draw="sample model --prompt a --steps 3 --size 32 --out shown.png"
    on_terminal "$draw"
    check "progress on a terminal" grep -q 'drawing step.* of 3' log
    on_terminal "$draw" --quiet
    check "none with --quiet" test ! -s log
    export NO_COLOR=1
    on_terminal "$draw"
    check "progress with NO_COLOR" grep -q 'drawing step.* of 3' log
    check "without colours" test "$(grep -c "$escape\[1" log)" -eq 0
    on_terminal info nowhere --color=always
    check "--color=always beats NO_COLOR" grep -q "$escape\[1;31m" log
    export NO_COLOR=
    on_terminal info nowhere
    check "an empty NO_COLOR is none" grep -q "$escape\[1;31m" log
    unset NO_COLOR
    export TERM=dumb
    on_terminal "$draw"
    check "nothing of the kind on a dumb terminal" test \
        "$(grep -c "$escape\|drawing" log)" -eq 0
    on_terminal info nowhere
    check "nor colours" test "$(grep -c "$escape" log)" -eq 0
elif test "${CI-}" = true; then
    bad "there is no script, to have a terminal"
else
    echo "left out: what is shown on a terminal, for want of script"
fi
"$dreambooth" sample model --prompt a --steps 3 --size 32 --out shown.png \
    >log 2>errors
check "no progress in a file" test ! -s errors

# Drawing ---------------------------------------------------------------------

sample() { # THREADS OUT ARGUMENTS...
    threads=$1 out=$2
    shift 2
    "$dreambooth" sample model --prompt "a dog" --negative-prompt "small" \
        --steps 4 --guidance-scale 7.5 --seed 7 --size 32 \
        --threads "$threads" --out "$out" "$@"
}

for sampler in ddpm ddim pndm euler-ancestral; do
    check "sample by $sampler" sample 1 one.png --sampler $sampler
    check "by two threads" sample 2 two.png --sampler $sampler
    check "the same bits" cmp one.png two.png
done
check "torch's noise" sample 2 torch.png --rng torch --sampler pndm
check "which is another" test "$(cksum <torch.png)" != "$(cksum <one.png)"
check "width, height, eta" sample 2 wide.png --width 48 --height 32 \
    --sampler ddim --eta 0.5
check "three images" sample 2 many.png --count 3
check "of these names" test -s many-0.png -a -s many-1.png -a -s many-2.png
check "three images on a sheet" sample 2 sheet.png --count 3 --sheet
check "of this name" test -s sheet.png
warns '\[V\] is taken as written' sample model --prompt "a [V] dog" --steps 1 \
    --size 16 --out v.png
words=$(awk 'BEGIN { for (i = 0; i < 80; i++) printf "robot " }')
warns 'longer than .* tokens' sample model --prompt "$words" --steps 1 \
    --size 16 --out long.png
warns 'longer' tokenize model "$words"

# Training, stopping, going on ------------------------------------------------

train() { # OUT ARGUMENTS...
    out=$1
    shift
    "$dreambooth" train model --instance-dir photos \
        --instance-prompt "a [V] robot" --class-prompt "a robot" \
        --class-images 3 --class-steps 2 --steps 12 --size 32 --seed 1 \
        --learning-rate 1e-3 --checkpoint-every 2 --out "$out" --quiet "$@"
}

same_result() { # OUT
    for file in whole/*/*.safetensors; do
        cmp "$file" "$1/${file#whole/}" || return 1
    done
}

check "dry run" train whole --dry-run
cp check.log dry
check "tells memory" grep -q '^memory, about' dry
check "and time" grep -q '^time, about' dry
check "and writes nothing" test ! -e whole
check "dry run as JSON" train whole --dry-run --json
tr -d '\n ' <check.log >one-line
for key in memory parameters gradients moments activations images disk \
    checkpoint seconds steps step-seconds class-images class-image-seconds; do
    check "its $key" grep -Eq "[{,]\"$key\":[0-9.e-]+[,}]" one-line
done
check "its recompute" grep -q '"recompute":false,' one-line
refuses 2 'json goes with --dry-run' train model --instance-dir photos \
    --instance-prompt "a [V] robot" --out whole --json
check "train" train whole --threads 1
check "is a result" test -s whole/model_index.json -a -s whole/dreambooth.json
check "with metrics" test "$(wc -l <whole/metrics.csv)" -eq 13
refuses 2 'earlier run.*resume' train model --instance-dir photos \
    --instance-prompt "a [V] robot" --class-prompt "a robot" \
    --class-images 3 --class-steps 2 --steps 12 --size 32 --seed 1 \
    --learning-rate 1e-3 --checkpoint-every 2 --out whole --identifier jr
says 'identifier  ' info whole
json '"record":\{.*"identifier":"[a-z]+".*"steps":12[,}].*\}\}$' info whole
check "draw what was learned" "$dreambooth" sample whole --quiet \
    --prompt "a [V] robot" --steps 1 --size 32 --out robot.png
check "without a word" test ! -s check.log

# Waits for a file of a run that we started, or for its end.
wait_for() { # PID PATH
    until test -e "$2" || ! kill -0 "$1" 2>/dev/null; do
        sleep 0.02
    done
}

# Starts a training run in the background, so that $! is the command's own.
start() { # OUT ARGUMENTS...
    out=$1
    shift
    "$dreambooth" train model --instance-dir photos \
        --instance-prompt "a [V] robot" --class-prompt "a robot" \
        --class-images 3 --class-steps 2 --steps 12 --size 32 --seed 1 \
        --learning-rate 1e-3 --checkpoint-every 2 --out "$out" --quiet "$@" \
        >log 2>errors &
    pid=$!
}

# Killed among the class images, and again after some steps.
start killed
wait_for $pid killed/class/class-00000.png
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
start killed --resume
wait_for $pid killed/checkpoints/step-000004
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
check "killed before its end" test ! -e killed/model_index.json
check "goes on after kill -9" train killed --resume
check "to the same bits" same_result killed

# The first signal keeps the step that was reached.
start stopped --resume
wait_for $pid stopped/checkpoints/step-000002
kill -TERM $pid 2>/dev/null
wait $pid
check "stopped by SIGTERM" test $? -eq 143
check "says how to go on" grep -q '^dreambooth: .*--resume$' errors
check "in one line" test "$(wc -l <errors)" -eq 1
check "goes on after SIGTERM" train stopped --resume
check "to the same bits" same_result stopped

# Wrong input -----------------------------------------------------------------

a_run() { # CODE PATTERN ARGUMENTS...: what is given last holds
    code=$1 pattern=$2
    shift 2
    refuses "$code" "$pattern" train model --instance-dir photos \
        --instance-prompt "a jr robot" --steps 1 --size 32 --out wrong --quiet \
        "$@"
}

refuses 2 'did you mean train' trian
refuses 2 'unknown command' frobnicate
refuses 2 'behind a command' --steps 3
refuses 2 'did you mean --steps' sample model --stpes 3
refuses 2 'did you mean --guidance-scale' sample model --guidance 3
refuses 2 'unknown option --xyzzy' sample model --xyzzy 3
refuses 2 'unknown option -x' sample model -x
refuses 2 'needs a value' sample model --prompt
refuses 2 'needs a value' sample model --prompt --steps 3
refuses 2 'takes no value' train model --no-resume=1
refuses 2 'whole number' sample model --prompt a --steps ten
refuses 2 'whole number' sample model --prompt a --steps 0 --size 32
refuses 2 'did you mean euler-ancestral' sample model --prompt a \
    --sampler eular-ancestral
refuses 2 'MODEL is missing' sample --prompt a
refuses 2 '--prompt TEXT is missing' sample model
refuses 2 'too many' tokenize model a photo
refuses 2 '--out DIR is missing' train model --instance-dir photos \
    --instance-prompt "a jr robot"
refuses 2 'such as 500M' sample model --prompt a --memory-limit much
refuses 2 'precision' init "$demo/config" --tokenizer vocabulary --out other \
    --precision f8
check "before anything is made" test ! -e other
a_run 2 'multiples' --size 31
refuses 3 'nowhere' sample nowhere --prompt a
refuses 3 'nowhere' info nowhere
refuses 3 'nowhere' tokenize nowhere a
refuses 3 'nowhere' init nowhere --out other
refuses 3 'cannot write into nowhere' sample model --prompt a \
    --out nowhere/a.png
a_run 3 'nowhere' --instance-dir nowhere
refuses 2 'is a folder' sample model --prompt a --out photos
a_run 2 'same folder' --class-prompt "a robot" --class-dir photos
mkdir empty
a_run 3 'empty' --instance-dir empty
refuses 4 'memory' train model --instance-dir photos --instance-prompt a \
    --size 32 --out wrong --memory-limit 10M
refuses 4 'memory' sample model --prompt a --size 32 --memory-limit 4M

# A picture cut short; a text file among photos.
cp -r photos cut
head -c 700 photos/robot-1.png >cut/robot-1.png
a_run 3 'cut/robot-1.png' --instance-dir cut
printf '\377\330\377\340\000\020JFIF' >cut/robot-1.png
a_run 3 'cut/robot-1.png' --instance-dir cut
cp -r photos mixed
echo "not a photo" >mixed/notes.txt
warns 'mixed/notes.txt: skipped' train model --instance-dir mixed \
    --instance-prompt "a jr robot" --steps 1 --size 32 --out mixed-out --quiet

# A model whose weights lack a tensor, are cut short, or whose JSON is broken.
weights=unet/diffusion_pytorch_model.safetensors
cp -r model lacking
LC_ALL=C sed 's/"conv_in\.weight"/"conv_in.weighs"/' model/$weights \
    >lacking/$weights
refuses 3 'conv_in\.weigh' sample lacking --prompt a --size 32
cp -r model short
head -c 100000 model/$weights >short/$weights
refuses 3 'diffusion_pytorch_model.safetensors' info short
cp -r model broken
echo '{' >broken/vae/config.json
refuses 3 'vae/config.json' sample broken --prompt a
refuses 3 'vae/config.json' info broken
refuses 3 'vae/config.json' train broken --instance-dir photos \
    --instance-prompt "a jr robot" --out wrong
rm broken/vae/config.json
refuses 3 'vae/config.json' sample broken --prompt a
check "nothing came of the wrong runs" test ! -e wrong/model_index.json

# A disk that fills up: a small file system of our own, where we may have one.
mkdir disk
if mount -t tmpfs -o size=12m none disk 2>/dev/null; then
    refuses 4 'space|disk' train model --instance-dir photos \
        --instance-prompt "a jr robot" --steps 4 --size 32 \
        --checkpoint-every 1 --out disk/full --quiet
    dd if=/dev/zero of=disk/filler bs=1M 2>/dev/null
    refuses 4 'space|disk' sample model --prompt a --steps 1 --size 32 \
        --out disk/a.png
    check "no half picture" test ! -e disk/a.png
    umount disk
else
    echo "left out: a full disk, for want of the right to mount one"
fi
if test -w /dev/full; then
    "$dreambooth" --help >/dev/full 2>errors
    check "a full standard output" test $? -eq 1 -a -s errors
fi

echo "$passed passed, $failed failed"
test $failed -eq 0
