# SPDX-License-Identifier: MIT
#
# Read by the zsh that ask.zsh types into: the candidates of a completion are
# printed, one a line, and nothing is inserted.

autoload -Uz compinit
compinit -u -D
zstyle ':completion:*' list-colors ''

# The candidates are what compadd would add; where it is asked to store them,
# it is left alone.
compadd() {
    local -a found
    local option
    for option in "$@"; do
        [[ $option != (-|--) ]] || break
        if [[ $option == -[OAD]* ]]; then
            builtin compadd "$@"
            return
        fi
    done
    builtin compadd -O found "$@"
    builtin compadd "$@"
    option=$?
    (( ! $#found )) || print -rl -- $found
    return option
}

tell() {
    print "<begin>"
    _main_complete
    print "<end>"
    compstate[insert]= compstate[list]=
}
zle -C tell complete-word tell
bindkey '^I' tell
