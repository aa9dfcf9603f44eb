# SPDX-License-Identifier: MIT
#
# What bash offers: bash ask.bash HOW WORD... prints the candidates for the last
# word. HOW is a script to source, or "package": then the package
# bash-completion looks for it in $XDG_DATA_DIRS.

how=$1
shift
if test "$how" = package; then
    # shellcheck disable=SC1091 # of the system
    . /usr/share/bash-completion/bash_completion
    if declare -F _completion_loader >/dev/null; then
        _completion_loader dreambooth || test $? -eq 124 || exit 1
    else
        _comp_load dreambooth || exit 1
    fi
else
    # shellcheck disable=SC1090 # the script to be tested
    . "$how" || exit 1
fi
# Files are left to readline: it is asked for by compopt, which works for keys
# that are pressed only.
compopt() {
    local word=${COMP_WORDS[COMP_CWORD]}
    case $2 in
    dirnames) mapfile -t COMPREPLY < <(compgen -d -- "${word#=}") ;;
    default) mapfile -t COMPREPLY < <(compgen -f -- "${word#=}") ;;
    esac
}
function=$(complete -p dreambooth | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
test -n "$function" || exit 1
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"$function" dreambooth "${COMP_WORDS[COMP_CWORD]}" \
    "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
