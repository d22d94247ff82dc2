"""A small scanner of C sources: enough structure for the rules, no preprocessor, no types.

`Source` reads a file once and offers: its lines, the code with comments and literals blanked (line
numbers kept), which lines carry a comment, functions with their extent and parameters, and the
`tidy: allow` marks. It relies on balanced braces and on functions being written at depth 0.
"""

import re
from collections import namedtuple

Function = namedtuple("Function", "name line last parameters is_definition")
Mark = namedtuple("Mark", "rule reason line")

_TOKEN = re.compile(
    r"(?P<block>/\*.*?\*/)|(?P<line>//[^\n]*)"
    r"|(?P<text>\"(?:\\.|[^\"\\\n])*\")|(?P<char>'(?:\\.|[^'\\\n])*')",
    re.DOTALL,
)
_ALLOW = re.compile(r"tidy: allow ([a-z-]+)(?:: *([^*\n]*))?")
_NOT_FUNCTIONS = {"if", "for", "while", "switch", "return", "sizeof", "defined", "_Static_assert"}


def _blank(text, fill=" "):
    """The same number of lines and columns, without content."""
    return re.sub(r"[^\n]", fill, text)


def _blank_attributes(code):
    """__attribute__((...)) and friends say nothing that the rules need."""
    pattern = re.compile(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)")
    return pattern.sub(lambda match: _blank(match.group()), code)


class Source:
    """One C file: `path` for messages, `text` its content."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.split("\n")
        self.comment_lines = set()
        self.comments = []
        self.code = _TOKEN.sub(self._replace, text)
        self.code_lines = self.code.split("\n")
        self.bare = _blank_attributes(self._without_preprocessor())
        self.marks = self._find_marks()
        self.functions = list(self._find_functions())

    def line_of(self, offset):
        """The 1-based line of an offset in the text."""
        return self.text.count("\n", 0, offset) + 1

    def _replace(self, match):
        if match.lastgroup in ("block", "line"):
            first = self.line_of(match.start())
            last = first + match.group().count("\n")
            self.comment_lines.update(range(first, last + 1))
            self.comments.append((first, last, match.group()))
            return _blank(match.group())
        return match.group()[0] + _blank(match.group()[1:-1]) + match.group()[-1]

    def _without_preprocessor(self):
        """The code without # lines and their continuations."""
        result, continued = [], False
        for line in self.code_lines:
            directive = continued or line.lstrip().startswith("#")
            continued = directive and line.rstrip().endswith("\\")
            result.append(_blank(line) if directive else line)
        return "\n".join(result)

    def _find_marks(self):
        marks = []
        for first, last, comment in self.comments:
            for found in _ALLOW.finditer(comment):
                reason = (found.group(2) or "").strip().rstrip("*/").strip()
                marks.append(Mark(found.group(1), reason, last))
        return marks

    def allows(self, rule, line):
        """True when a reasoned mark stands on this line or in the comment that ends just above."""
        return any(
            mark.rule == rule and mark.reason and mark.line in (line, line - 1)
            for mark in self.marks
        )

    def _find_functions(self):
        """Definitions and prototypes at depth 0."""
        code, depth, start, open_line = self.bare, 0, 0, 0
        pending = None
        for at, char in enumerate(code):
            if char == "{":
                if depth == 0:
                    head = code[start:at]
                    if head.rstrip().endswith('"'):  # extern "C" {
                        start = at + 1
                        continue
                    pending = self._parse_head(head, start)
                depth += 1
            elif char == "}" and depth > 0:
                depth -= 1
                if depth == 0:
                    if pending:
                        yield pending._replace(last=self.line_of(at), is_definition=True)
                        pending = None
                        start = at + 1
            elif char == "}":
                start = at + 1  # the end of extern "C"
            elif char == ";" and depth == 0:
                found = self._parse_head(code[start:at], start)
                if found:
                    yield found._replace(last=self.line_of(at))
                start = at + 1

    def _parse_head(self, head, offset):
        """`static int name(int a, char *b)` -> Function, or None when it is something else."""
        text = head.rstrip()
        if not text.endswith(")") or "=" in text or text.lstrip().startswith("typedef"):
            return None
        depth, at = 0, len(text) - 1
        while at >= 0:
            depth += (text[at] == ")") - (text[at] == "(")
            if depth == 0:
                break
            at -= 1
        name = re.search(r"([A-Za-z_]\w*)\s*$", text[:max(at, 0)])
        if not name or name.group(1) in _NOT_FUNCTIONS:
            return None
        begin = offset + len(text) - len(text.lstrip())
        return Function(name.group(1), self.line_of(begin), 0, _count(text[at + 1:-1]), False)


def _count(parameters):
    """How many parameters a list holds; `...` is not one."""
    depth, parts, part = 0, [], ""
    for char in parameters:
        depth += (char in "([") - (char in ")]")
        if char == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += char
    parts = [p.strip() for p in parts + [part]]
    return len([p for p in parts if p not in ("", "void", "...")])
