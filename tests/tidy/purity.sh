#!/bin/sh
# purity.sh NM ALLOW LIBRARY [DEPENDENCY...]
# Every undefined symbol of LIBRARY must be defined by LIBRARY itself, by a DEPENDENCY, or stand in
# ALLOW (one shell pattern per line, # comments). Prints which object wants what else.
set -u
nm=$1 allow=$2 library=$3
shift 3

for file in "$library" "$@"; do
    if [ ! -f "$file" ]; then
        echo "$file: is not built"
        exit 1
    fi
done

scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT

"$nm" --defined-only "$library" "$@" 2>/dev/null |
    awk 'NF == 3 { print $3 }' | sort -u >"$scratch/defined"
"$nm" --print-file-name --undefined-only "$library" 2>/dev/null >"$scratch/undefined"
if [ ! -s "$scratch/defined" ]; then
    echo "$library: nm finds no symbols"
    exit 1
fi

awk -v name="$(basename "$library")" '
    function pattern(glob) {
        gsub(/[.]/, "\\.", glob)
        gsub(/[*]/, ".*", glob)
        return "^" glob "$"
    }
    FILENAME == ARGV[1] { sub(/#.*/, ""); if (NF) allowed[pattern($1)] = 1; next }
    FILENAME == ARGV[2] { defined[$1] = 1; next }
    {
        symbol = $NF
        if (symbol in defined || (symbol in seen)) next
        for (glob in allowed) if (symbol ~ glob) next
        seen[symbol] = 1
        object = $1
        sub(/:$/, "", object)
        sub(/.*:/, "", object)
        printf "%s: %s uses %s: not on the allow-list\n", name, object, symbol
        wrong++
    }
    END { if (wrong) exit 1; printf "%s: pure\n", name }
' "$allow" "$scratch/defined" "$scratch/undefined"
