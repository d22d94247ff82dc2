"""The rules of the house. Each is a function that yields (line, rule, message) for one file.

To add one: write it here, add it to RULES, and add a line that breaks it to samples/bad with an
`expect(rule)` comment; the self-test fails until the rule catches it and nothing else.
"""

import re

FUNCTION_LINES_MAX = 60  # one screen: what a reader can hold at once
FILE_LINES_MAX = 600  # one idea per file
PUBLIC_HEADER_LINES_MAX = 1500  # the public header is documentation first
COLUMNS_MAX = 100
PARAMETERS_MAX = 5  # more wants an options struct

# name -> why, and what to use
BANNED = {
    "strcpy": "no bound: use memcpy with a checked length",
    "strcat": "no bound: use a struct buf",
    "sprintf": "no bound: use snprintf",
    "vsprintf": "no bound: use vsnprintf",
    "gets": "no bound: use fgets",
    "strtok": "hidden state: use strtok_r or a reader",
    "atoi": "cannot report errors: use strtol and check",
    "atol": "cannot report errors: use strtol and check",
    "atoll": "cannot report errors: use strtoll and check",
    "alloca": "unbounded stack: use an array of fixed size or the heap",
    "system": "runs a shell: use posix_spawn",
    "assert": "vanishes under NDEBUG: use STEWARD_ASSERT",
    "rand": "not for secrets, not reproducible: say why in a mark, or pass a generator",
    "srand": "not for secrets, not reproducible: say why in a mark, or pass a generator",
    "random": "not for secrets, not reproducible: say why in a mark, or pass a generator",
}
UNITS = (
    "bytes", "count", "milliseconds", "microseconds", "nanoseconds", "seconds",
    "bits", "percent", "port", "level", "version",
)
MARKERS = ("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK", "T" + "BD")
HOME_PATH = re.compile(r"(?<![\w.:/-])/(?:work|home/\w+|root|Users/\w+)/[\w.-]+")

# directory -> (what its quoted includes may begin with, system headers it must not see)
_IMPURE = r"(time|unistd|pthread|signal|fcntl|poll|dirent|netdb|zmq|czmq|sys/.*)\.h"
LAYERS = {
    "common/base/": (("common/base/",), r"(pthread|zmq|czmq|msgpack|uthash)\.h"),
    "common/wire/": (("common/base/", "common/wire/"), _IMPURE),
    "broker/core/": (("common/base/", "broker/core/"), r"(stdio|" + _IMPURE[1:]),
    "broker/gateway/": (
        ("common/base/", "common/wire/", "broker/core/", "broker/gateway/"), _IMPURE),
    "broker/journal/": (("common/base/", "broker/core/", "broker/journal/"), r"zmq\.h"),
    "broker/shell/": (("common/", "broker/"), r"steward\.h"),
    "client/lib/": (("common/", "client/lib/", "steward"), r"czmq\.h"),
    "client/cli/": (("common/", "client/cli/", "steward"), r"czmq\.h"),
    "client/examples/": (("client/examples/", "steward"), r"(czmq|zmq)\.h"),
}


def function_length(source):
    for function in source.functions:
        length = function.last - function.line + 1
        if function.is_definition and length > FUNCTION_LINES_MAX:
            yield (function.line, "function-length",
                   f"{function.name} is {length} lines, at most {FUNCTION_LINES_MAX}: split it")


def parameters(source):
    for function in source.functions:
        if function.parameters > PARAMETERS_MAX:
            yield (function.line, "parameters",
                   f"{function.name} takes {function.parameters} parameters, at most "
                   f"{PARAMETERS_MAX}: pass a struct")


def banned(source):
    call = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for number, line in enumerate(source.code_lines, 1):
        if re.match(r"\s*#\s*include\s*<assert\.h>", line):
            yield number, "banned", "assert.h vanishes under NDEBUG: use STEWARD_ASSERT"
        for found in call.finditer(line):
            yield number, "banned", f"{found.group(1)}: {BANNED[found.group(1)]}"


def includes(source):
    for layer, (allowed, forbidden) in LAYERS.items():
        if not source.path.startswith(layer):
            continue
        for number, line in enumerate(source.lines, 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not found or number in source.comment_lines and "#" not in line:
                continue
            quoted, name = found.group(1) == '"', found.group(2)
            if quoted and not name.startswith(allowed):
                yield (number, "includes",
                       f'{layer} may not include "{name}": write it from the root of the tree, '
                       f"and only from {', '.join(allowed)}")
            if not quoted and re.fullmatch(forbidden, name):
                yield number, "includes", f"{layer} may not include <{name}>: keep it out of here"


def _documented(source, line):
    """A comment of its own ends just above `line`."""
    above = source.code_lines[line - 2] if line > 1 else ""
    return line - 1 in source.comment_lines and not above.strip()


def public_comments(source):
    """In the public header each function has its comment; elsewhere neighbours may share one.

    x_inline.h holds bodies of what x.h declares, and documents.
    """
    strict = source.path.startswith("client/include/")
    if not source.path.endswith(".h") or source.path.endswith("_inline.h"):
        return
    if not (strict or source.path.startswith("common/")):
        return
    last = 0
    for function in source.functions:
        neighbour = not strict and function.line == last + 1
        last = function.last
        if not neighbour and not _documented(source, function.line):
            yield (function.line, "public-comment",
                   f"{function.name} has no comment above it: say what it does, who owns what")


def limits(source):
    if source.path != "common/base/limits.h":
        return
    for number, line in enumerate(source.code_lines, 1):
        found = re.match(r"\s*(?:#\s*define\s+([A-Z]\w*)\s+\S|([A-Z][A-Z0-9_]*)\s*=)", line)
        if not found:
            continue
        name = found.group(1) or found.group(2)
        comment = _comment_at(source, number)
        unit = re.match(r"/\*+\s*([a-z]+): *(.*)", comment, re.DOTALL)
        if not comment:
            yield number, "limits", f"{name} has no comment: write /* unit: reason */ above it"
        elif not unit or unit.group(1) not in UNITS:
            yield (number, "limits",
                   f"{name} does not say its unit: begin the comment with one of "
                   f"{', '.join(UNITS)} and a colon")
        elif len(re.findall(r"\w+", unit.group(2))) < 3:
            yield number, "limits", f"{name} gives no reason: why this value and not another?"


def _comment_at(source, line):
    """The comment on this line or the one that ends just above it."""
    for first, last, text in source.comments:
        if last == line - 1 or first == line:
            return text
    return ""


RULES = (function_length, parameters, banned, includes, public_comments, limits)


# ---- rules for any text file ---------------------------------------------------------------------


def text_findings(path, lines):
    """Columns, markers, paths and white space: for every file, C or not."""
    marker = re.compile(r"\b(" + "|".join(MARKERS) + r")\b")
    columns = COLUMNS_MAX if path.endswith((".c", ".h", ".py", ".sh")) or path == "dev" else None
    for number, line in enumerate(lines, 1):
        if columns and len(line) > columns:
            yield number, "columns", f"{len(line)} columns, at most {columns}: break the line"
        if marker.search(line):
            yield number, "marker", "a left-over marker: do it, or write it down as an issue"
        if re.match(r"(<{7}|>{7}|={7})( |$)", line) and not path.endswith(".md"):
            yield number, "marker", "a merge conflict was left here"
        if HOME_PATH.search(line):
            yield number, "path", "an absolute path of one machine: make it relative"
        if line != line.rstrip() and not path.endswith(".md"):
            yield number, "white-space", "white space at the end of the line"


def file_length(path, lines):
    """One finding when a source file is too long."""
    if not path.endswith((".c", ".h", ".py", ".sh")):
        return
    most = PUBLIC_HEADER_LINES_MAX if path.startswith("client/include/") else FILE_LINES_MAX
    count = len(lines) - (1 if lines and not lines[-1] else 0)
    if count > most:
        yield count, "file-length", f"{count} lines, at most {most}: one noun per file"
