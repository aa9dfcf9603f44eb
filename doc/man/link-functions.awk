# SPDX-License-Identifier: MIT
#
# Makes each function's name in a page that mandoc wrote a link to its entry, in
# the page of its handle, and gives the entry that name as its id. mandoc gives
# the id to whatever comes first, and takes a reference to a function's page for
# one to a file.
#
# awk -f link-functions.awk LINKS PAGE, where LINKS has lines "FUNCTION PAGE".

FNR == NR {
    place[$1] = $2 ".3.html#" $1
    next
}

{
    print entry(linked(bare($0)))
}

# FOUND without what matches the two.
function without(found, before, behind) {
    sub(before, "", found)
    sub(behind, "", found)
    return found
}

# Without mandoc's own ids and links of functions.
function bare(line,   out, found, name) {
    while (match(line, / id="[^"]*"|<a class="permalink" href="#[^"]*"><code class="Fn">[^<]*<\/code><\/a>/)) {
        found = substr(line, RSTART, RLENGTH)
        if (found ~ /^ id/) {
            name = without(found, "^ id=\"", "(~[0-9]*)?\"$")
            found = name in place ? "" : found
        } else {
            name = without(found, "^.*class=\"Fn\">", "</code></a>$")
            found = name in place ? "<code class=\"Fn\">" name "</code>" : found
        }
        out = out substr(line, 1, RSTART - 1) found
        line = substr(line, RSTART + RLENGTH)
    }
    return out line
}

function linked(line,   out, found, name) {
    while (match(line, /<code class="Fn">[^<]*<\/code>|href="[^"#]*\.3\.html"/)) {
        found = substr(line, RSTART, RLENGTH)
        if (found ~ /^href/) {
            name = without(found, "^href=\"", "\\.3\\.html\"$")
            found = name in place ? "href=\"" place[name] "\"" : found
        } else {
            name = without(found, "^<code class=\"Fn\">", "</code>$")
            if (name in place)
                found = "<a href=\"" place[name] "\">" found "</a>"
        }
        out = out substr(line, 1, RSTART - 1) found
        line = substr(line, RSTART + RLENGTH)
    }
    return out line
}

function entry(line,   name) {
    if (match(line, /^ *<dt[^>]*><a href="[^"#]*#[^"]*"><code class="Fn">/)) {
        name = without(substr(line, 1, RLENGTH), "^[^#]*#", "\".*$")
        sub(/<dt/, "<dt id=\"" name "\"", line)
    }
    return line
}
