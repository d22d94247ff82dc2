#!/usr/bin/python3
"""exports.py NM LIBRARY HEADER...: it exports stw_* only, and all that the headers promise.

A function is promised when a public header has its prototype; a static inline one needs no symbol.
"""

import subprocess
import sys

from csource import Source


def exported(nm, library):
    """Names that the shared library defines for others."""
    output = subprocess.run([nm, "-D", "--defined-only", library], check=True,
                            capture_output=True, text=True).stdout
    names = {line.split()[-1].split("@")[0] for line in output.splitlines() if line.strip()}
    return {name for name in names if name not in ("_init", "_fini")}


def promised(headers):
    """Prototypes of the public headers."""
    names = set()
    for path in headers:
        with open(path, encoding="utf-8") as file:
            source = Source(path, file.read())
        names |= {f.name for f in source.functions if not f.is_definition}
    return names


def main():
    nm, library, headers = sys.argv[1], sys.argv[2], sys.argv[3:]
    have, want = exported(nm, library), promised(headers)
    problems = [f"{library}: exports {name}: only stw_* may leave" for name in sorted(have)
                if not name.startswith("stw_")]
    problems += [f"{library}: does not export {name}, which a public header declares"
                 for name in sorted(want - have)]
    problems += [f"{library}: exports {name}, which no public header declares"
                 for name in sorted(have - want) if name.startswith("stw_")]
    if not have:
        problems.append(f"{library}: exports nothing: does steward.h mark its functions?")
    print("\n".join(problems) or f"{library}: {len(have)} functions, all stw_* and all declared")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
