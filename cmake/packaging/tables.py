"""The tables that the binaries print of themselves, read back."""

import re


class Option:
    """An option of either program: name without dashes, its letter or "", argument or ""."""

    def __init__(self, row):
        self.name = row["name"]
        self.letter = row.get("letter") or ""
        self.argument = row.get("argument") or row.get("unit") or ""
        self.help = row["help"]
        self.type = row.get("type", "flag" if not self.argument else "text")
        self.environment = row.get("environment")
        self.fallback = row.get("fallback")
        self.in_file = row.get("in_file", False)

    def default(self):
        """The default as one writes it; "" when there is none to speak of."""
        return "" if self.fallback is None or self.type == "flag" else self.fallback


class Command:
    """A command of `steward`: its words, operands, help and options."""

    def __init__(self, row):
        self.group = row["group"]
        self.name = row["name"]
        self.operands = row["operands"]
        self.summary = row["summary"]
        self.details = row["details"]
        self.options = [Option(option) for option in row["options"]]

    @property
    def words(self):
        return f"{self.group} {self.name}".strip()

    @property
    def page(self):
        """The first word: commands of a group share a page."""
        return self.group or self.name


def common(commands):
    """The options that every command has."""
    names = set.intersection(*({option.name for option in command.options}
                               for command in commands))
    return [option for option in commands[0].options if option.name in names]


class Subcommand:
    """A subcommand of stewardd (`stewardd keygen FILE`): its usage lines, as it prints them."""

    def __init__(self, name, usage):
        self.name = name
        self.usage = usage

    @property
    def synopsis(self):
        """Of `usage: stewardd keygen FILE` what stands behind the name."""
        found = re.search(rf"^usage: (?:stewardd )?{self.name}\b *(.*)", self.usage, re.I | re.M)
        return found.group(1).strip() if found else ""

    @property
    def options(self):
        """Of the usage line, and those that begin a line below it."""
        names = re.findall(r"(?<![\w-])--([a-z][\w-]*)", self.synopsis)
        names += re.findall(r"^\s+(?:-\w, )?--([a-z][\w-]*)", self.usage, re.MULTILINE)
        return sorted(set(names))

    @property
    def body(self):
        """The lines below the usage line."""
        lines = self.usage.strip().split("\n")
        return "\n".join(line for line in lines
                         if not line.lower().startswith("usage:")).strip("\n").split("\n")
