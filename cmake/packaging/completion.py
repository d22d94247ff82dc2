"""bash completion of both programs, as static scripts: completing starts no program of ours."""

WALK = r"""
# Sets `words` to the operands so far, `before` to the option whose argument is being written, and
# `program` when `--` stands before the cursor. $1: a pattern of the options that take an argument.
_%(name)s_walk()
{
    local at word takes=$1
    words=() before= program=
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if [[ -n $before ]]; then
            before=
        elif [[ $word == -- ]]; then
            program=1
            return
        elif [[ $word =~ ^($takes)$ ]]; then
            before=$word
        elif [[ $word != -* ]]; then
            words+=("$word")
        fi
    done
}
"""

ARGUMENTS = r"""
# Completes the argument of option $1.
_%(name)s_argument()
{
    case $1 in
%(cases)s
    esac
}
"""

STEWARD = r"""
_steward()
{
    local current=${COMP_WORDS[COMP_CWORD]} words before program options
    COMPREPLY=()
    _steward_walk '%(takes)s'
    if [[ -n $program ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
        return
    fi
    if [[ -n $before ]]; then
        _steward_argument "$before"
        return
    fi
    if [[ $current == -* ]]; then
        case "${words[0]} ${words[1]}" in
%(options)s
        esac
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
        return
    fi
    case "${#words[@]} ${words[0]}" in
    "0 ") options='%(first)s' ;;
%(second)s
    *) options= ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
}
complete -F _steward steward
"""

STEWARDD = r"""
_stewardd()
{
    local current=${COMP_WORDS[COMP_CWORD]} words before program options
    COMPREPLY=()
    _stewardd_walk '%(takes)s'
    if [[ -n $before ]]; then
        _stewardd_argument "$before"
        return
    fi
    case "${words[0]}" in
    "") options='%(options)s' ;;
%(subcommands)s
    *) options= ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    if [[ -n ${words[0]} && $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -F _stewardd stewardd
"""

LEVELS = "error warn info debug"
FORMATS = "text json"
OVERFLOWS = "block reject drop_oldest"


def spellings(option):
    return [f"--{option.name}"] + ([f"-{option.letter}"] if option.letter else [])


def takes(options):
    return "|".join(spelling for option in options if option.argument
                    for spelling in spellings(option))


def action(option):
    """How the argument of an option is completed; None: it is anybody's guess."""
    if option.argument == "FILE":
        return "-f"
    if option.argument == "DIR":
        return "-d"
    if option.type == "level":
        return f"-W '{LEVELS}'"
    if option.type == "format":
        return f"-W '{FORMATS}'"
    return f"-W '{OVERFLOWS}'" if option.name == "overflow" else None


def arguments(name, options):
    cases = []
    for option in options:
        how = action(option) if option.argument else None
        if how:
            cases.append(f"    {' | '.join(spellings(option))}) mapfile -t COMPREPLY < "
                         f"<(compgen {how} -- \"$current\") ;;")
    cases.append("    *) COMPREPLY=() ;;")
    return ARGUMENTS % {"name": name, "cases": "\n".join(cases)}


def header(name):
    return f"# bash completion of {name}; made from its tables of commands and options\n"


def unique(options):
    return list({option.name: option for option in options}.values())


def steward(commands):
    options = unique([option for command in commands for option in command.options])
    rows, second = [], {}
    for command in sorted(commands, key=lambda command: command.group == ""):
        words = " ".join(spelling for option in command.options for spelling in spellings(option))
        pattern = f'"{command.group} {command.name}"' if command.group else f'"{command.name} "*'
        rows.append(f"        {pattern}) options='{words}' ;;")
        if command.group:
            second.setdefault(command.group, []).append(command.name)
    second["help"] = sorted({command.page for command in commands})
    shared = set.intersection(*({option.name for option in command.options}
                                for command in commands))
    words = " ".join(f"--{option.name}" for option in options if option.name in shared)
    rows.append(f"        *) options='{words}' ;;")
    return (header("steward") + WALK % {"name": "steward"} + arguments("steward", options) +
            STEWARD % {
                "takes": takes(options),
                "options": "\n".join(rows),
                "first": " ".join(sorted({command.page for command in commands})),
                "second": "\n".join(f'    "1 {group}") options=\'{" ".join(names)}\' ;;'
                                    for group, names in second.items())})


def stewardd(options, subcommands):
    words = [f"--{option.name}" for option in options] + [item.name for item in subcommands]
    rows = [f"    {item.name}) options='{' '.join('--' + name for name in item.options)}' ;;"
            for item in subcommands]
    return (header("stewardd") + WALK % {"name": "stewardd"} + arguments("stewardd", options) +
            STEWARDD % {"takes": takes(options), "options": " ".join(words),
                        "subcommands": "\n".join(rows)})
