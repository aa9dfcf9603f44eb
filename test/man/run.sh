#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual as it is built: mandoc and man find nothing to complain of, every
# option, fact, function, command and column that the library and the command
# have is in its page, examples run, every reference leads somewhere, and lines
# fit 80 columns. Then the same for the tree of HTML.

. "$SRC_DIR/test/checks.sh"
built=$BUILD_DIR/doc/man
dreambooth=$BUILD_DIR/dreambooth
# As its reader gets it, whoever runs this.
export LC_ALL=C.UTF-8 MANWIDTH=80
unset MANPATH MANOPT MANROFFOPT

have() { # TOOL: else it is said what is left out
    command -v "$1" >/dev/null && return
    if test "${CI-}" = true; then
        check "$2 needs $1, which is not installed" false
    else
        echo "left out: $2, for want of $1"
    fi
    return 1
}

says_nothing() {
    ! "$@" 2>&1 | grep .
}

warns_of_nothing() {
    ! "$@" 2>&1 >/dev/null | grep .
}

# A prototype of one argument cannot be broken.
narrow() {
    ! grep '.\{81\}' "$1" | grep -v '^ *dreambooth_[a-z_]*([^,]*);$'
}

if test "${MANUAL-yes}" = no; then
    echo "left out: the manual, whose maker does not run here"
    finish
fi

# A copy, beside which a database may lie.
cp -R "$built" "$temp/man"
cd "$temp" || exit 1
real=$(grep -L '^\.so ' man/man[1-9]/*)
page_name() {
    basename "$1"
}

# What the tools say --------------------------------------------------------------

if have mandoc "mandoc -T lint"; then
    PATH=$PATH:/usr/sbin makewhatis "$temp/man" 2>/dev/null
    for page in $real; do
        check "mandoc -T lint: $(page_name "$page")" \
            env MANPATH="$temp/man" mandoc -T lint -W style "$page"
    done
fi
if have man "man --warnings"; then
    for page in $real; do
        check "man --warnings: $(page_name "$page")" warns_of_nothing \
            man --warnings -E UTF-8 -l "$page"
        man -l "$page" 2>/dev/null | col -bx >"$page.text"
        check "80 columns: $(page_name "$page")" narrow "$page.text"
    done
fi

# What is to be in the pages ------------------------------------------------------

source_of() { # PAGE
    echo "man/man${1##*.}/$1"
}

# Each line of the input is to be found in the page, at the begin of a line.
check_each() { # WHAT PAGE
    page=$(source_of "$2")
    while IFS= read -r line; do
        check "$1 in $2: $line" grep -Eq -e "$line" "$page"
    done <input
    check "$1 for $2: any" test -s input
}

# Options, facts and subcommands, as the library and the command tell them.
cat >ask.c <<'ASK'
#include <stdio.h>
#include <dreambooth/context.h>

static void list(int (*info)(const char *, size_t, const char *, char *, size_t),
                 const char *handle)
{
    char name[64];
    size_t i;

    for (i = 0; info(handle, i, "name", name, sizeof(name)) == 0; i++)
        puts(name);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        list(argv[1][0] == 'o' ? dreambooth_option_info : dreambooth_fact_info,
             argv[2]);
    return 0;
}
ASK
library=$BUILD_DIR/libdreambooth.so
dependencies=-Wl,-rpath,$BUILD_DIR
if ! test "$SHARED" = yes; then
    library=$BUILD_DIR/libdreambooth.a
    dependencies=$DEPENDENCY_LIBS
fi
# shellcheck disable=SC2086 # lists of words
check "a program that lists options" $CC $CFLAGS -I"$SRC_DIR/include" -o ask \
    ask.c "$library" $LDFLAGS $dependencies
for handle in context identifier sampler trainer; do
    ./ask option $handle | sed 's/^/^\\.It Cm /; s/$/( |$)/' >input
    check_each option dreambooth_$handle.3
done
for handle in context model sampler trainer; do
    ./ask fact $handle | sed 's/\./\\./g; s/^/^\\.It Cm /; s/$/( |$)/' >input
    check_each fact dreambooth_$handle.3
done

"$dreambooth" --help | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p' >commands
check "commands" test -s commands
while read -r command; do
    check "page of $command" test -s man/man1/dreambooth-"$command".1
    check "$command in dreambooth.1" grep -q "^.It Xr dreambooth-$command 1" \
        man/man1/dreambooth.1
    "$dreambooth" "$command" --help-all |
        sed -n 's/^  --\([a-z0-9-]*\).*/^\\.It Fl -\1( |$)/p' >input
    check_each option dreambooth-"$command".1
done <commands

# Functions: in NAME, in SYNOPSIS and described; and "man FUNCTION" finds them.
while read -r function; do
    link=man/man3/$function.3
    page=$(sed -n 's/^\.so //p' "$link" 2>/dev/null)
    check "link of $function" test -n "$page" -a -s "man/${page:-nowhere}"
    check "$function is named" grep -Eq "^\.Nm $function( ,)?$" "man/$page"
    check "$function is declared" grep -q "^\.Fo $function$" "man/$page"
    check "$function is described" grep -q "^\.It Fn $function$" "man/$page"
done <"$SRC_DIR/test/symbols.txt"
sort "$SRC_DIR/test/symbols.txt" >symbols
grep -l '^\.so ' man/man3/* | sed 's|.*/||; s|\.3$||' | sort >links
check "no link but those of functions" cmp symbols links

# Files: what a run leaves behind, and the columns of its metrics. Examples: all
# of the commands', with the words that they have for folders.
demo=$SRC_DIR/doc/demo
describes() { # WORD: as a term or in the text
    grep -Eq "^\.(It|Pq)? ?(Cm|Pa) (.* )?$1( |$)" man/man5/dreambooth-model.5
}

# The lines of the displays in EXAMPLES.
examples() { # PAGE
    awk '/^\.Sh/ { on = $2 == "EXAMPLES" } /^\.Ed/ { shown = 0 }
        on && shown { gsub(/\\e/, "\\"); print } /^\.Bd/ { shown = 1 }' \
        "$(source_of "$1")"
}

run_examples() { # COMMAND
    rm -rf work && mkdir work
    (cd work && ln -s ../model MODEL && ln -s ../photos ../my-vocabulary . &&
        ln -s "$demo/config" my-config && case $1 in
            train | dreambooth) ;;
            *) ln -s ../out my-dog ;;
        esac)
    page=dreambooth-$1.1
    test "$1" = dreambooth && page=dreambooth.1
    examples "$page" >work/script
    test -s work/script &&
        (cd work && DREAMBOOTH_CONFIG=$temp/small PATH=$BUILD_DIR:$PATH \
            sh -e ./script)
}

cat >small <<'SMALL'
[train]
steps = 1
size = 16
class-images = 1
class-steps = 1
checkpoint-every = 1
sample-steps = 1
[sample]
size = 16
steps = 1
SMALL

if test -x "$BUILD_DIR/doc/demo/draw"; then
    check "vocabulary" "$demo/make-vocabulary.sh" my-vocabulary
    mkdir photos
    check "photos" "$BUILD_DIR/doc/demo/draw" subject photos 2 32
    check "model" "$dreambooth" init "$demo/config" --tokenizer my-vocabulary \
        --out model
    check "run" env DREAMBOOTH_CONFIG="$temp/small" "$dreambooth" train model \
        --instance-dir photos --instance-prompt "a [V] robot" \
        --class-prompt "a robot" --rng torch --sample-every 1 \
        --sample-count 1 --train-text-encoder --quiet --out out
    (cd out && find . -type f | sed 's|.*/||; s/step-0*1-/step-000100-/' |
        sort -u) >files
    check "files" test -s files
    while read -r file; do
        check "$file in dreambooth-model.5" grep -q \
            "^\.\(It \)*Pa .*$(echo "$file" | sed 's/\./\\./g')" \
            man/man5/dreambooth-model.5
    done <files
    {
        head -n 1 out/metrics.csv | tr , '\n'
        sed -n 's/^  "\([a-z_]*\)":.*/\1/p' out/class/class-images.json
        sed -n 's/^ \{2,4\}"\([a-z_]*\)":.*/\1/p' out/checkpoints/*/state.json
    } | sort -u >words
    check "columns and keys" test -s words
    while read -r word; do
        check "$word in dreambooth-model.5" describes "$word"
    done <words
    sed '/^\(completion\|help\)$/d' commands >with_examples
    echo dreambooth >>with_examples
    while read -r command; do
        check "examples of $command" run_examples "$command"
    done <with_examples
    examples dreambooth.conf.5 >example.conf
    check "an example of a configuration file" test -s example.conf
    check "which is right" "$dreambooth" info model --config example.conf
else
    echo "left out: files and examples, for want of the demo's program"
fi

# Pieces of programs compile where their handles are at hand.
for page in dreambooth_model dreambooth_tokenizer dreambooth_image; do
    {
        echo '#include <stdio.h>'
        echo '#include <dreambooth/dreambooth.h>'
        echo 'void example(dreambooth_context *context,'
        echo '    dreambooth_tokenizer *tokenizer);'
        echo 'void example(dreambooth_context *context,'
        echo '    dreambooth_tokenizer *tokenizer) { (void)tokenizer;'
        examples $page.3
        echo '(void)context; }'
    } >$page.c
    # shellcheck disable=SC2086 # lists of words
    check "the example of $page.3" $CC -std=c11 $CFLAGS -Wall -Wextra -Werror \
        -fsyntax-only -I"$SRC_DIR/include" $page.c
done

# References ----------------------------------------------------------------------

# shellcheck disable=SC2086 # a list of paths
sed -n 's/.*Xr \([^ ]*\) \([1-9]\).*/\1.\2/p' $real | sort -u >references
check "references" test -s references
while read -r page; do
    check "$page is a page" test -s "$(source_of "$page")"
done <references

# HTML ----------------------------------------------------------------------------

if have mandoc "the tree of HTML"; then
    check "make html" "$SRC_DIR/doc/man/make-html" "$built" "$temp/html"
    for page in $real; do
        check "$(page_name "$page").html" test -s "html/$(page_name "$page").html"
    done
    for page in $real; do
        grep -o ' id="[^"]*"' "html/$(page_name "$page").html" | sort | uniq -d \
            >twice
        check "$(page_name "$page").html: each id once" cmp twice /dev/null
    done
    # What is linked to: files, and places in them.
    (cd html && for file in *.html; do
        echo "$file"
        grep -o ' id="[^"]*"' "$file" | sed "s|.*\"\(.*\)\"|$file#\1|"
    done; echo style.css) | sort -u >targets
    (cd html && for file in *.html; do
        grep -o 'href="[^"]*"' "$file" | sed 's/^href="//; s/"$//' |
            grep -v '^https://' | sed "s|^#|$file#|"
    done) | sort -u >wanted
    check "links" test -s wanted
    check "links all lead somewhere" says_nothing comm -13 targets wanted
    while read -r function; do
        check "$function is linked from the index" \
            grep -q "href=\"[a-z_]*\.3\.html#$function\"" html/index.html
    done <symbols
fi

finish
