#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The completion scripts in the shells that they are for: each is installed,
# loaded as its shell does it, and asked what it offers. Every flag that a
# command's --help-all has must be among it.

set -u
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0
dreambooth=$BUILD_DIR/dreambooth
here=$SRC_DIR/test/completion
export HOME="$temp/home" XDG_DATA_DIRS="$temp/stage/share:/usr/share"
unset XDG_CONFIG_HOME XDG_DATA_HOME BASH_COMPLETION_USER_DIR
mkdir -p "$HOME" "$temp/here/photos" "$temp/here/phones"
cd "$temp/here" || exit 1
touch photo.png model.safetensors
offered=$temp/offered
# fish completes what it finds.
PATH="$temp/stage/bin:$PATH"

good() {
    passed=$((passed + 1))
}

bad() { # WHAT
    echo "failed: $1"
    sed 's/^/    /' "$offered" | head -n 40
    failed=$((failed + 1))
}

# Whether there is a shell to ask.
have() { # SHELL
    command -v "$1" >/dev/null && return
    if test "${CI-}" = true; then
        : >"$offered"
        bad "$1 is not there"
    else
        echo "left out: completion in $1, for want of it"
    fi
    return 1
}

ask() { # HOW WORD...: the candidates for the last word, one a line
    how=$1
    shift
    case $how in
    bash)
        bash --norc "$here/ask.bash" \
            "$temp/stage/share/bash-completion/completions/dreambooth" "$@"
        ;;
    bash-package) bash --norc "$here/ask.bash" package "$@" ;;
    zsh)
        zsh -f "$here/ask.zsh" "$temp/stage/share/zsh/site-functions" "$*"
        ;;
    fish)
        fish --private -c 'complete -C $argv[1]' "$*" | cut -f 1
        ;;
    esac 2>&1 | sed '/^$/d' | sort -u >"$offered"
}

# The last word of a command line is completed to all of these and, with a ! in
# front, not to those.
offers() { # "CANDIDATES" WORD...
    wanted=$1
    shift
    ask "$shell" "$@"
    for candidate in $wanted; do
        case $candidate in
        !*) ! grep -qxF -e "${candidate#!}" "$offered" ;;
        *) grep -qxF -e "$candidate" "$offered" ;;
        esac || {
            bad "$shell, $*: $candidate"
            return
        }
    done
    good
}

# A folder may have a slash behind it.
offers_paths() { # "CANDIDATES" WORD...
    wanted=$1
    shift
    ask "$shell" "$@"
    sed 's,/$,,' "$offered" >"$temp/paths"
    # shellcheck disable=SC2086 # a list of words
    if printf '%s\n' $wanted | sort | cmp -s - "$temp/paths"; then
        good
    else
        bad "$shell, $*: $wanted"
    fi
}

# Neither files nor words.
offers_nothing() { # WORD...
    ask "$shell" "$@"
    if grep -q . "$offered"; then
        bad "$shell, $*: nothing"
    else
        good
    fi
}

all_flags() { # COMMAND: as --help-all has them
    "$dreambooth" "$1" --help-all |
        sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p' | tr '\n' ' '
}

check_shell() { # NAME of the way to ask
    shell=$1
    offers "train tokenize !sample" dreambooth t
    offers "train sample identifier tokenize info init completion version help" \
        dreambooth ""
    for command in $commands; do
        offers "$(all_flags "$command")" dreambooth "$command" --
    done
    offers "--steps !--out" dreambooth train model --s
    offers "--no-prior !--prior" dreambooth identifier --
    offers "center random" dreambooth train --crop ""
    offers "random !center" dreambooth train --crop r
    offers "euler-ancestral !ddim" dreambooth sample model --sampler e
    offers "f32 f16 bf16" dreambooth init --precision ""
    offers "zsh !bash !fish" dreambooth completion z
    offers "bash zsh fish" dreambooth completion ""
    offers "info init identifier !train" dreambooth help i
    offers_paths "photos phones" dreambooth train --instance-dir pho
    offers_paths "photos phones photo.png" dreambooth sample --out pho
    offers_paths "model.safetensors" dreambooth info --quiet --threads 3 mod
    offers_paths "photos phones" dreambooth init --seed 3 pho
    offers_nothing dreambooth sample model --prompt ""
    offers_nothing dreambooth tokenize model pho
    offers_nothing dreambooth train --steps ""
    offers_nothing dreambooth frobnicate --s
}

if ! "$MAKE" -C "$BUILD_DIR/.." --no-print-directory install \
    prefix="$temp/stage" exec_prefix="$temp/stage" libdir="$temp/stage/lib" \
    includedir="$temp/stage/include" mandir="$temp/stage/man" \
    datarootdir="$temp/stage/share" >"$offered" 2>&1; then
    bad "make install"
fi
commands=$("$dreambooth" --help |
    sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | tr '\n' ' ')

if have bash; then
    check_shell bash
    if test -f /usr/share/bash-completion/bash_completion; then
        shell=bash-package
        offers "train tokenize !sample" dreambooth t
        offers "center random" dreambooth train --crop ""
    else
        echo "left out: the package bash-completion, for want of it"
    fi
    shell=bash
    offers "center random" dreambooth train --crop =
    offers "random !center" dreambooth train --crop = r
    offers_paths "photos phones" dreambooth train --instance-dir = pho
    offers_paths "model.safetensors" dreambooth info --threads = 3 mod
    offers_nothing dreambooth tokenize model -- --
fi
if have zsh; then
    check_shell zsh
    offers "random !center" dreambooth train --crop=r
fi
if have fish; then
    check_shell fish
    offers "--crop=random !--crop=center" dreambooth train --crop=r
fi

# Where the command cannot be run, and where something runs it for us.
install_apart() { # MAKE-ARGUMENTS...
    rm -rf "$temp/apart"
    "$MAKE" -C "$BUILD_DIR/.." --no-print-directory install \
        prefix="$temp/stage" exec_prefix="$temp/stage" \
        libdir="$temp/stage/lib" includedir="$temp/stage/include" \
        DESTDIR="$temp/apart" "$@" >"$offered" 2>&1
}

if install_apart CROSS_COMPILING=yes &&
    test "$(grep -c '^left out: completion' "$offered")" -eq 1 &&
    test -z "$(find "$temp/apart" -name '*dreambooth.fish')"; then
    good
else
    bad "a cross build without EMULATOR"
fi
if install_apart CROSS_COMPILING=yes EMULATOR=env \
    zshcompletiondir=/elsewhere &&
    cmp -s "$temp/apart/elsewhere/_dreambooth" \
        "$temp/stage/share/zsh/site-functions/_dreambooth"; then
    good
else
    bad "a cross build with EMULATOR"
fi

echo "$passed passed, $failed failed"
test $failed -eq 0
