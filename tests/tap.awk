# Turns TAP into lines "ok", "bad" or "skip", a tab, and the case's name with the skip's reason.
# Set status to the exit status of the program that wrote it.
function emit(kind, text) {
    print kind "\t" text
    seen++
}
function trim(text) {
    gsub(/^[ \t-]+|[ \t]+$/, "", text)
    return text
}
/^1\.\.[0-9]+/ {
    planned += substr($1, 4)
    has_plan = 1
    if (match($0, /# *[Ss][Kk][Ii][Pp]/) && $1 == "1..0") # a whole suite
        emit("skip", "all of it: " trim(substr($0, RSTART + RLENGTH)))
    next
}
/^(not )?ok( |$)/ {
    text = $0
    sub(/^(not )?ok *[0-9]*/, "", text)
    if (match(text, /# *[Ss][Kk][Ii][Pp]/)) {
        name = trim(substr(text, 1, RSTART - 1))
        reason = trim(substr(text, RSTART + RLENGTH))
        if (name == "") { # cmocka: the name stands where others give a reason
            name = reason
            reason = before
        }
        emit("skip", name ": " (reason == "" ? "no reason given" : reason))
    } else if ($1 == "ok")
        emit("ok", trim(text))
    else {
        emit("bad", trim(text))
        bad++
    }
    before = ""
    next
}
/^#/ { next }
NF { before = $0 }
END {
    if (status == 124 || status == 137)
        emit("bad", "ran out of time")
    else if (has_plan && seen < planned)
        emit("bad", "ended with status " status " after " seen " of " planned " cases")
    else if (status != 0 && !bad)
        emit("bad", "ended with status " status)
    else if (!seen)
        emit("bad", "ran no case at all")
}
