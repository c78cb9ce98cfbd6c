# Flattens a subset of YAML (JSON included) to lines of "path<TAB>value"; a.0.b is element 0 of
# list a, key b. In values, backslash, newline and tab are written \\ \n \t (for printf %b).
# Understood: block mappings and lists, plain and quoted scalars on one line, folded plain
# scalars, | and > blocks, flow collections over any number of lines, comments. Refused, with
# "line N: reason" on standard error and status 1: anchors, aliases, tags, tabs as indentation.

{ sub(/\r$/, ""); line[NR] = $0 }

END {
    total = NR
    at = 1
    if (line[1] ~ /^\357\273\277/) line[1] = substr(line[1], 4)
    for (i = 1; i <= total; i++) if (line[i] ~ /^(---|\.\.\.)[ ]*$/) line[i] = ""
    if (skip_blank()) {
        if (line[at] ~ /^[ ]*[\[{]/) node_value("", trim(line[at]), -1)
        else block("", indent_of(at), 0)
        if (skip_blank()) fail("this line belongs to nothing above it")
    }
}

function fail(reason) {
    print "line " (at > total ? total : at) ": " reason > "/dev/stderr"
    failed = 1
    exit 1
}

function trim(text) { gsub(/^[ ]+|[ ]+$/, "", text); return text }

function indent_of(number) { match(line[number], /^[ ]*/); return RLENGTH }

# Moves to the next line with content; false at the end of the text.
function skip_blank() {
    while (at <= total && line[at] ~ /^[ \t]*(#.*)?$/) at++
    if (at <= total && line[at] ~ /^[ ]*\t/) fail("a tab cannot be used to indent")
    return at <= total
}

function below(path, key) { return path == "" ? key : path "." key }

function emit(path, value) {
    gsub(/\\/, "\\\\", value)
    gsub(/\n/, "\\n", value)
    gsub(/\t/, "\\t", value)
    print path "\t" value
}

# The list or mapping whose entries start in column "column" of the line "at".
function block(path, column, depth,    count) {
    if (depth > 32) fail("nested too deeply")
    if (is_item(line[at], column)) {
        for (count = 0; skip_blank() && indent_of(at) == column && is_item(line[at], column); count++)
            item(below(path, count), column, depth)
        return
    }
    while (skip_blank() && indent_of(at) == column && !is_item(line[at], column))
        entry(path, column, depth)
    if (at <= total && indent_of(at) > column) fail("indented more than the lines above")
}

function is_item(text, column) { return substr(text, column + 1) ~ /^-([ ]|$)/ }

function item(path, column, depth,    rest) {
    rest = substr(line[at], column + 2)
    if (trim(rest) ~ /^(#.*)?$/) { at++; nested(path, column, depth, 0); return }
    if (is_item(trim(rest), 0) || split_entry(trim(rest))) {
        line[at] = sprintf("%" (column + 1) "s", "") rest
        block(path, indent_of(at), depth + 1)
        return
    }
    node_value(path, trim(rest), column)
}

function entry(path, column, depth,    name) {
    if (!split_entry(substr(line[at], column + 1))) fail("expected \"key: value\"")
    name = below(path, entry_key)
    if (entry_rest ~ /^(#.*)?$/) { at++; nested(name, column, depth, 1); return }
    node_value(name, entry_rest, column)
}

# What follows "key:" or "-" on the next lines; a list may stand in its key's own column.
function nested(path, column, depth, is_key) {
    if (skip_blank() && (indent_of(at) > column || (is_key && indent_of(at) == column && is_item(line[at], column)))) {
        if (split_entry(trim(line[at])) || is_item(line[at], indent_of(at))) block(path, indent_of(at), depth + 1)
        else node_value(path, trim(line[at]), column)
    } else emit(path, "")
}

# Sets entry_key and entry_rest when the text is "key:" or "key: rest".
function split_entry(text) {
    if (match(text, /^("[^"\\]*"|'[^']*'|[^][{}"'#&*!|>%@`, ][^:#]*)[ ]*:([ ]|$)/)) {
        entry_rest = trim(substr(text, RLENGTH + 1))
        entry_key = substr(text, 1, RLENGTH)
        sub(/[ ]*:[ ]?$/, "", entry_key)
        if (entry_key ~ /^["']/) entry_key = substr(entry_key, 2, length(entry_key) - 2)
        return 1
    }
    return 0
}

# The value that starts with "text" on line "at"; its owner's key or dash is in "column".
function node_value(path, text, column,    first) {
    first = substr(text, 1, 1)
    if (first == "|" || first == ">") { literal(path, text, column); return }
    if (first ~ /[&*!%@`]/) fail("\"" first "\" is not supported here; quote the value")
    if (first == "[" || first == "{" || first == "\"") {
        flow_text = text
        flow(path, 0)
        if (flow_text !~ /^[ ]*(#.*)?$/) fail("unexpected text after the value: " flow_text)
        at++
        return
    }
    if (first == "'") {
        if (!match(text, /^'([^']|'')*'/)) fail("a quote is not closed on its line")
        first = substr(text, 2, RLENGTH - 2)
        if (substr(text, RLENGTH + 1) !~ /^[ ]*(#.*)?$/) fail("unexpected text after the quoted value")
        gsub(/''/, "'", first)
        emit(path, first)
        at++
        return
    }
    text = plain(text)
    for (at++; skip_blank() && indent_of(at) > column; at++) text = text " " plain(trim(line[at]))
    emit(path, text == "~" || text == "null" ? "" : text)
}

function plain(text) {
    sub(/[ ]+#.*$/, "", text)
    if (text ~ /:([ ]|$)/) fail("a value holds \": \"; quote it, or mind the indentation")
    return trim(text)
}

# A | or > block: every following line indented more than its owner.
function literal(path, header, column,    fold, width, text, chomp, previous) {
    if (header !~ /^[|>][-+]?([ ]+#.*)?$/) fail("this kind of text block is not supported: " header)
    fold = header ~ /^>/
    chomp = substr(header, 2, 1)
    width = -1
    for (at++; at <= total; at++) {
        if (line[at] ~ /^[ ]*$/) { text = text (width < 0 ? "" : substr(line[at], width + 1)) "\n"; continue }
        if (indent_of(at) <= column) break
        if (width < 0) width = indent_of(at)
        if (indent_of(at) < width) fail("indented less than the text block it stands in")
        text = text substr(line[at], width + 1) "\n"
    }
    if (chomp != "+") { sub(/\n+$/, "", text); if (chomp == "" && text != "") text = text "\n" }
    if (fold) {
        previous = text ~ /\n$/
        sub(/\n$/, "", text)
        gsub(/\n\n/, "\001", text)
        gsub(/\n/, " ", text)
        gsub(/\001/, "\n", text)
        if (previous) text = text "\n"
    }
    emit(path, text)
}

# One value in flow (JSON) style, consumed from the front of flow_text.
function flow(path, depth,    count, name) {
    if (depth > 32) fail("nested too deeply")
    flow_skip()
    if (flow_take("\\[")) {
        for (count = 0; !flow_end("]"); count++) {
            flow(below(path, count), depth + 1)
            flow_comma("]")
        }
        if (count == 0) emit(path, "")
        return
    }
    if (flow_take("{")) {
        for (count = 0; !flow_end("}"); count++) {
            name = flow_scalar(1)
            flow_skip()
            if (!flow_take(":")) fail("expected \":\" after \"" name "\"")
            flow(below(path, name), depth + 1)
            flow_comma("}")
        }
        if (count == 0) emit(path, "")
        return
    }
    emit(path, flow_scalar(0))
}

function flow_take(pattern) {
    if (!match(flow_text, "^" pattern)) return 0
    taken = substr(flow_text, 1, RLENGTH)
    flow_text = substr(flow_text, RLENGTH + 1)
    return 1
}

function flow_skip() {
    for (;;) {
        sub(/^[ \t]+/, "", flow_text)
        if (flow_text != "" && flow_text !~ /^#/) return
        if (++at > total) fail("a bracket or brace is not closed")
        flow_text = line[at]
    }
}

function flow_end(closing) { flow_skip(); return flow_take("\\" closing) }

function flow_comma(closing) {
    flow_skip()
    if (flow_take(",")) return
    if (substr(flow_text, 1, 1) != closing) fail("expected \",\" or \"" closing "\"")
}

function flow_scalar(is_key) {
    flow_skip()
    if (substr(flow_text, 1, 1) == "\"") {
        if (!flow_take("\"([^\"\\\\]|\\\\.)*\"")) fail("a quote is not closed on its line")
        return unescape(substr(taken, 2, length(taken) - 2))
    }
    if (flow_take("'([^']|'')*'")) {
        taken = substr(taken, 2, length(taken) - 2)
        gsub(/''/, "'", taken)
        return taken
    }
    if (!flow_take(is_key ? "[^][{},:\"']+" : "[^][{},\"']+")) fail("expected a value")
    taken = trim(taken)
    return taken == "null" || taken == "~" ? "" : taken
}

function unescape(text,    out, mark, code, low) {
    while (match(text, /\\/)) {
        out = out substr(text, 1, RSTART - 1)
        mark = substr(text, RSTART + 1, 1)
        text = substr(text, RSTART + 2)
        if (mark == "n") out = out "\n"
        else if (mark == "t") out = out "\t"
        else if (mark == "r") out = out "\r"
        else if (mark == "b") out = out "\b"
        else if (mark == "f") out = out "\f"
        else if (mark == "e") out = out "\033"
        else if (mark == "u") {
            code = hexadecimal(substr(text, 1, 4))
            text = substr(text, 5)
            if (code >= 55296 && code < 56320 && text ~ /^\\u/) {
                low = hexadecimal(substr(text, 3, 4))
                text = substr(text, 7)
                code = 65536 + (code - 55296) * 1024 + low - 56320
            }
            out = out utf8(code)
        } else if (mark ~ /[\/"\\ ]/) out = out mark
        else fail("unknown escape \\" mark)
    }
    return out text
}

function hexadecimal(digits,    i, number) {
    if (digits !~ /^[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]$/) fail("\\u needs four hexadecimal digits")
    for (i = 1; i <= 4; i++) number = number * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return number
}

function utf8(code) {
    if (code < 128) return sprintf("%c", code)
    if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
    if (code < 65536)
        return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
    return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
}
