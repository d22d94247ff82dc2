"""The configuration file as packaged: every option with its default, commented out."""

import textwrap

HEAD = """\
# Configuration of stewardd: one `name = value` a line. See steward.conf(5).
#
# Each line that is commented out shows the default. The environment (STEWARD_NAME) and the command
# line win over this file. `stewardd --check-config --config FILE` checks it and shows what holds.
"""


def value(plain):
    """As the file's reader wants it: bare when it can be, else in quotes."""
    bare = plain and all(letter.isalnum() or letter in "._/-" for letter in plain)
    return plain if bare else f'"{plain}"'


def line(option, given):
    if option.name in given:
        return f"{option.name} = {value(given[option.name])}\n"
    if option.type == "flag":
        return f"# {option.name} = no\n"
    if option.fallback is None:
        return f"# {option.name} = {option.argument}\n"
    return f"# {option.name} = {value(option.fallback)}\n"


def render(options, given):
    """given: what the package sets, by name, not the default."""
    out = [HEAD]
    for option in options:
        if option.in_file:
            words = f"{option.help[0].upper()}{option.help[1:]}."
            wrapped = textwrap.wrap(words, 96, break_on_hyphens=False)
            out.append("\n" + "".join(f"# {words}\n" for words in wrapped) + line(option, given))
    return "".join(out)
