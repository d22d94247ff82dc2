"""Manual pages, completion and the configuration file, from what the programs say of themselves.

    generate.py --stewardd PROGRAM --describe PROGRAM --steward PROGRAM
                --source DIR --version VERSION --out DIR [--set NAME=VALUE]...

Writes DIR/man/man[1358]/*, DIR/completions/*, DIR/steward.conf. The same programs give the same
bytes.
"""

import argparse
import json
import os
import re
import subprocess
import sys

import completion
import conffile
import header
import manpages
import tables


def run(*command):
    """What a program prints. Environment variables of ours must not change it."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("STEWARD_")}
    return subprocess.run(command, check=True, env=environment, timeout=60, text=True,
                          encoding="utf-8", stdout=subprocess.PIPE).stdout


def rows(text, kind):
    return [kind(json.loads(line)) for line in text.split("\n") if line]


def subcommands(program):
    """The subcommands that `stewardd --help` names, by their own --help."""
    found = re.findall(r"^\s+stewardd ([a-z]+)\b", run(program, "--help"), re.MULTILINE)
    return [tables.Subcommand(name, run(program, name, "--help"))
            for name in dict.fromkeys(found)]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def values(arguments, manager, verbs, commands):
    """What the templates may name."""
    functions, names = header.render(f"{arguments.source}/client/include/steward.h")
    blocks = {
        "VERSION": arguments.version,
        "OPTIONS": manpages.manager_items(manager),
        "FILE_OPTIONS": manpages.file_items(manager),
        "SUBCOMMAND_SYNOPSIS": manpages.subcommand_synopsis(verbs),
        "SUBCOMMANDS": manpages.subcommand_items(verbs),
        "COMMANDS": manpages.command_list(commands),
        "COMMON_OPTIONS": manpages.option_items(tables.common(commands)),
        "RULES": header.rules(f"{arguments.source}/client/include/steward.h"),
        "FUNCTIONS": functions,
        "ERRORS": header.errors(f"{arguments.source}/common/base/steward_errors.h"),
    }
    return blocks, names


def write_pages(arguments, manager, verbs, commands):
    man = f"{arguments.out}/man"
    blocks, functions = values(arguments, manager, verbs, commands)
    for name in ("stewardd.8", "steward.1", "steward.conf.5", "libsteward.3"):
        with open(f"{arguments.source}/docs/man/{name}.in", encoding="utf-8") as file:
            write(f"{man}/man{name[-1]}/{name}", manpages.fill(file.read(), blocks))
    for page in dict.fromkeys(command.page for command in commands):
        write(f"{man}/man1/steward-{page}.1",
              manpages.command_page(page, commands, arguments.version))
    for name in functions:
        write(f"{man}/man3/{name}.3", ".so man3/libsteward.3\n")


def parse():
    parser = argparse.ArgumentParser()
    for name in ("stewardd", "describe", "steward", "source", "version", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--set", action="append", default=[])
    return parser.parse_args()


def main():
    arguments = parse()
    manager = rows(run(arguments.describe), tables.Option)
    commands = rows(run(arguments.steward, "help", "--json"), tables.Command)
    verbs = subcommands(arguments.stewardd)
    given = dict(pair.split("=", 1) for pair in arguments.set)
    write_pages(arguments, manager, verbs, commands)
    write(f"{arguments.out}/completions/steward", completion.steward(commands))
    write(f"{arguments.out}/completions/stewardd", completion.stewardd(manager, verbs))
    write(f"{arguments.out}/steward.conf", conffile.render(manager, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
