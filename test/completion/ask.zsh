# SPDX-License-Identifier: MIT
#
# What zsh offers: zsh -f ask.zsh FOLDER LINE prints the candidates for the last
# word of LINE; the script lies in FOLDER as _dreambooth. A terminal of our own
# types the line and presses Tab; what would be shown is printed instead.

zmodload zsh/zpty || exit 1
zpty asked zsh -f -i
zpty -w asked "PS1= PS2= RPS1=; stty -echo; cd ${(q)PWD}; fpath=(${(q)1} \$fpath)"
zpty -w asked "source ${(q)0:A:h}/shell.zsh; print ready"
zpty -r asked said $'*ready\r\n*'
zpty -w -n asked "$2"$'\t'
zpty -r asked said $'*<end>*' || exit 1
said=${said#*<begin>}
print -r -- ${${said%%<end>*}//$'\r'/}
zpty -d asked
