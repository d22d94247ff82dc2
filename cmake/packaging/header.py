"""steward.h as a manual page: its functions, types and their comments, section by section."""

import re

import roff

SECTION = re.compile(r"^/\* -+ (.+?) -+ \*/$")
FUNCTION = re.compile(r"\b(stw_\w+)\(")


def comment_text(lines):
    """The words of a comment, without its frame."""
    text = "\n".join(lines)
    text = re.sub(r"^/\*+ ?|\s*\*/$", "", text.strip())
    return "\n".join(re.sub(r"^ ?\* ?", "", line.strip()) for line in text.split("\n")).strip()


class Block:
    """A declaration with the comment above it."""

    def __init__(self, comment, code):
        self.comment = comment
        self.code = code

    @property
    def functions(self):
        return [] if self.code[0].startswith("typedef") else FUNCTION.findall("\n".join(self.code))


def declarations(lines):
    """Blocks of code with their comments, and the titles of sections between them."""
    comment, code, in_comment, depth = [], [], False, 0
    for line in lines:
        title = SECTION.match(line)
        if title and not code:
            comment = []
            yield title.group(1)
            continue
        if not code and (in_comment or line.startswith("/*")):
            comment = comment if in_comment else []
            if "tidy: allow" not in line:
                comment.append(line)
            in_comment = not line.rstrip().endswith("*/")
            continue
        if not line.strip() and not code:
            comment = [] if not comment or "tidy:" in comment[0] else comment
            continue
        code.append(line)
        depth += line.count("{") - line.count("}")
        if depth == 0 and line.split("/*")[0].rstrip().endswith(";"):
            yield Block(comment_text(comment), code)
            comment, code = [], []


def body(path):
    """The lines of the header between `extern "C"` and its end."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("/* ---- errors"))
    end = next(i for i, line in enumerate(lines[start:], start) if line == "#ifdef __cplusplus")
    return lines[start:end]


def rules(path):
    """The list of rules in the comment that opens the header."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    opening = comment_text(text[:text.index("*/") + 2].split("\n"))
    items = re.split(r"^- ", opening, flags=re.MULTILINE)[1:]
    return "".join(roff.item("\\(bu", roff.prose(re.sub(r"\s+", " ", item.strip())))
                   for item in items)


def render(path):
    """All sections as roff, and the names of all functions."""
    out, names = [], []
    for block in declarations(body(path)):
        if isinstance(block, str):
            out.append(roff.subsection(block.capitalize()))
            continue
        names += block.functions
        code = [line.replace("STW_API ", "") for line in block.code]
        out.append(roff.verbatim(code))
        if block.comment:
            out.append(".PP\n" + roff.prose(block.comment) + "\n")
    return "".join(out), names


def errors(path):
    """The table of outcomes: name and sentence of each."""
    with open(path, encoding="utf-8") as file:
        rows = re.findall(r'X\((\d+), (\w+), "(.*?)"\)', file.read())
    return "".join(roff.item(roff.bold(f"STW_{name}"), roff.text(f"{text} (-{number})"))
                   for number, name, text in rows)
