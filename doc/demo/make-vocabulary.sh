#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Writes a small vocabulary in the form of CLIP's: FOLDER/vocab.json and
# FOLDER/merges.txt with 768 tokens. It has the 256 bytes, the same at the end of
# a word, the words given below, two-letter words that mean nothing until there
# are enough, and the start and end tokens.

set -eu
folder=$1
mkdir -p "$folder"

words="of on in the dog robot photo grass beach night red blue small"

# Codes stand in the JSON as \uXXXX, so that this file needs no locale.
LC_ALL=C awk -v folder="$folder" -v words="$words" -v size=768 '
function token(code, suffix) {
    printf "%s\"\\u%04x%s\": %d", count ? ",\n" : "", code, suffix, count >vocab
    count++
}
function word(text) {
    printf ",\n\"%s\": %d", text, count >vocab
    count++
}
function merge(left, right) {
    if (count >= size - 2 || (left, right) in known)
        return
    known[left, right] = 1
    print left, right >merges
    word(left right)
}
# The bytes in the order of CLIP: those that print, then the others, which get
# codes from 256 on.
function bytes(suffix,    i, other) {
    for (i = 33; i < 256; i++)
        if (i < 127 || (i > 160 && i != 173))
            token(i, suffix)
    other = 256
    for (i = 0; i < 256; i++)
        if (!(i > 32 && i < 127) && !(i > 160 && i != 173))
            token(other++, suffix)
}
BEGIN {
    vocab = folder "/vocab.json"
    merges = folder "/merges.txt"
    count = 0
    printf "{" >vocab
    print "#version: 0.2" >merges
    bytes("")
    bytes("</w>")
    n = split(words, list, " ")
    for (i = 1; i <= n; i++) {
        left = substr(list[i], 1, 1)
        for (j = 2; j <= length(list[i]); j++) {
            end = j == length(list[i]) ? "</w>" : ""
            merge(left, substr(list[i], j, 1) end)
            left = left substr(list[i], j, 1) end
        }
    }
    letters = "bcdfghjklmnpqrstvwxz"
    for (i = 1; i <= 20; i++)
        for (j = 1; j <= 20; j++)
            merge(substr(letters, i, 1), substr(letters, 21 - j, 1) "</w>")
    word("<|startoftext|>")
    word("<|endoftext|>")
    print "\n}" >vocab
}'
