"""The manual pages: prose from docs/man/*.in, tables from the programs themselves."""

import roff
import tables


def option_tag(option):
    argument = f" {roff.italic(option.argument)}" if option.argument else ""
    short = f"{roff.bold('-' + option.letter)}, " if option.letter else ""
    return f"{short}{roff.bold('--' + option.name)}{argument}"


def option_items(options):
    return "".join(roff.item(option_tag(option), roff.prose(sentence(option.help)))
                   for option in options)


def sentence(words):
    return f"{words[0].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"


# ---- stewardd and its file ---------------------------------------------------------------------


def manager_items(options):
    out = []
    for option in options:
        body = roff.prose(sentence(option.help))
        if option.default():
            body += f"\nDefault: {roff.bold(option.default())}."
        if option.environment:
            body += f"\nEnvironment: {roff.bold(option.environment)}."
        out.append(roff.item(option_tag(option), body))
    return "".join(out)


def file_items(options):
    out = []
    for option in options:
        if not option.in_file:
            continue
        value = roff.italic(option.argument) if option.argument else "yes | no"
        body = roff.prose(sentence(option.help))
        shown = option.default() or ("no" if option.type == "flag" else "none")
        body += f"\nDefault: {roff.bold(shown)}."
        out.append(roff.item(f"{roff.bold(option.name)} = {value}", body))
    return "".join(out)


def subcommand_synopsis(subcommands):
    return "".join(f".br\n.B stewardd {roff.text(item.name)}\n{roff.text(item.synopsis)}\n"
                   for item in subcommands)


def subcommand_items(subcommands):
    return "".join(roff.subsection(f"stewardd {item.name} {item.synopsis}".strip()) +
                   roff.verbatim(item.body) for item in subcommands)


# ---- steward and its commands ------------------------------------------------------------------


def command_list(commands):
    return "".join(roff.item(f"{roff.bold(command.words)} {roff.text(command.operands)}".rstrip(),
                             f"{roff.prose(sentence(command.summary))}\n"
                             f"See {roff.bold('steward-' + command.page)}(1).")
                   for command in commands)


def command_section(command, shared):
    own = [option for option in command.options if option.name not in shared]
    words = f"steward {command.words}"
    out = [roff.subsection(words), ".PP\n", roff.bold(words),
           f" [{roff.italic('OPTION')}...] {roff.text(command.operands)}\n",
           ".PP\n", roff.prose(sentence(command.summary)), "\n"]
    if command.details:
        out += [".PP\n", roff.prose(command.details.strip()), "\n"]
    return "".join(out) + option_items(own)


def page_title(name, section, version, manual):
    return f'.TH {name.upper()} {section} "" "Steward {version}" "{manual}"\n'


def command_page(page, commands, version):
    """steward-PAGE(1): one command, or all of a group."""
    shared = tables.common(commands)
    names = {option.name for option in shared}
    own = [command for command in commands if command.page == page]
    summary = own[0].summary if len(own) == 1 else f"commands of the group `{page}`"
    out = [page_title(f"steward\\-{page}", 1, version, "Steward"), roff.section("name"),
           f"steward\\-{page} \\- {roff.prose(summary)}\n", roff.section("description")]
    out += [command_section(command, names) for command in own]
    out += [roff.section("options of every command"), option_items(shared)]
    out += [roff.section("see also"), ".BR steward (1),\n.BR stewardd (8)\n"]
    return "".join(out)


# ---- templates ---------------------------------------------------------------------------------


def fill(template, values):
    """Replaces lines `@NAME@` by blocks, and @NAME@ within lines by words."""
    for name, value in values.items():
        template = template.replace(f"@{name}@\n", value if value.endswith("\n") else value + "\n")
        template = template.replace(f"@{name}@", value)
    return template
