"""Words for manual pages: what must be escaped, and the few macros of man(7) that ours use."""

import re

CODE = re.compile(r"`([^`]+)`")


def text(plain):
    """Plain text as roff: nothing in it is taken for a request, and a hyphen stays a hyphen."""
    escaped = plain.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line
                     for line in escaped.split("\n"))


def prose(plain):
    """As text, with `code` in bold."""
    parts = CODE.split(plain)
    return "".join(f"\\fB{text(part)}\\fR" if index % 2 else text(part)
                   for index, part in enumerate(parts))


def bold(plain):
    return f"\\fB{text(plain)}\\fR"


def italic(plain):
    return f"\\fI{text(plain)}\\fR"


def item(tag, body):
    """A paragraph with a hanging tag; the tag is roff already."""
    return f".TP\n{tag}\n{body}\n"


def section(title):
    return f".SH {title.upper()}\n"


def subsection(title):
    return f'.SS "{text(title)}"\n'


def verbatim(lines):
    """Lines as they are, indented."""
    return ".PP\n.in +4n\n.EX\n" + "\n".join(text(line) for line in lines) + "\n.EE\n.in\n"
