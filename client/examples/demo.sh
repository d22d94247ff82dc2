#!/usr/bin/env bash
# The whole idea in one run: demo.sh BUILD_DIR [DIRECTORY-OF-TEXTS]
#
# A manager; 3 producers that put every line of some texts; 4 consumers that count words. In the
# middle the manager itself is killed and started again; then a consumer is killed while it holds
# leases. A lock guards the merge of the counts. The result must be what tr, sort and uniq say of
# the same files. Then failure 1 of multiprocessing.Manager: the holder of a lock is killed. Ends
# with 1 if anything is not as it should be.
set -u
export LC_ALL=C

build=$(cd "${1:?usage: demo.sh BUILD_DIR [TEXTS]}" && pwd) || exit 1
texts=${2:-/usr/share/common-licenses}
steward=$build/steward
wordcount=$build/examples/wordcount
dir=$(mktemp -d) || exit 1
export STEWARD_ENDPOINT=ipc://$dir/manager
began=$(date +%s%N)
ours=() # processes to end, by id

ms() { echo $((($(date +%s%N) - began) / 1000000)); }
say() { printf '%6d ms  %s\n' "$(ms)" "$*"; }
told() { while IFS= read -r line; do say "    $line"; done; }
fail() { say "FAILED: $*"; exit 1; }
head_line() { printf '\n== %s\n' "$*"; }

finish() {
    local status=$? pid
    for pid in "${ours[@]}"; do
        kill "$pid" 2>/dev/null
    done
    for pid in "${ours[@]}"; do
        wait "$pid" 2>/dev/null
    done
    [ $status -eq 0 ] || { echo; echo "the manager's log:"; tail -n 20 "$dir/log"; }
    rm -rf "$dir"
    exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM

# field NAME COMMAND...: a number from the JSON that a command prints
field() {
    local name=$1
    shift
    "$@" --json 2>/dev/null | sed -n "s/.*\"$name\":\([0-9]*\).*/\1/p" | head -n 1
}

# until_true SECONDS COMMAND...: tries again until it succeeds
until_true() {
    local end=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt $end ] || return 1
        sleep 0.02
    done
}

# ---- the manager ---------------------------------------------------------------------------------

start_manager() {
    "$build/stewardd" --data "$dir/data" --listen "$STEWARD_ENDPOINT" 2>>"$dir/log" &
    manager=$!
    ours+=("$manager")
    until_true 10 "$steward" stat >"$dir/stat" 2>&1 || fail "no answer: $(tail -n 1 "$dir/stat")"
}

head_line "one manager, 3 producers, 4 consumers, one queue, one lock"
start_manager
say "the manager runs: process $manager, $STEWARD_ENDPOINT, data in $dir/data"

# ---- words ---------------------------------------------------------------------------------------

mapfile -d '' files < <(find "$texts" -type f -print0 | sort -z)
[ ${#files[@]} -gt 2 ] || fail "no texts in $texts"
"$steward" queue create lines || fail "no queue"

# The victim comes first, so it gets lines for sure; it stops in the middle of its work.
"$wordcount" count lines result "$dir/result" "consumer 4" "$dir/mark" &
victim=$!
ours+=("$victim")
consumers=()
for i in 1 2 3; do
    mine=()
    for ((j = i - 1; j < ${#files[@]}; j += 3)); do
        mine+=("${files[j]}")
    done
    "$wordcount" put lines "${mine[@]}" > >(told) &
    producers[i]=$!
    ours+=($!)
done
until_true 10 test -s "$dir/mark" || fail "consumer 4 got nothing"
leased=$(field leased "$steward" queue show lines)
[ "${leased:-0}" -gt 0 ] || fail "nothing is leased"
say "consumer 4 (process $victim) holds $(cat "$dir/mark") lines; the queue says leased=$leased"
for i in 1 2 3; do
    "$wordcount" count lines result "$dir/result" "consumer $i" > >(told) &
    consumers+=($!)
    ours+=($!)
done
connected() { # all four consumers
    local list pid
    list=$("$steward" session list --json)
    for pid in "$victim" "${consumers[@]}"; do
        [[ $list == *"\"pid\":$pid,"* ]] || return 1
    done
}
until_true 10 connected || fail "not all consumers came"
kept=$(field put "$steward" queue show lines)
killed=$(ms)
{ kill -9 "$manager" && wait "$manager"; } 2>/dev/null
say "the manager (process $manager) was killed with SIGKILL at $killed ms; it had $kept lines"
sleep 0.5 # everybody notices
start_manager
away=$(($(ms) - killed))
say "it runs again: process $manager, $(grep -o 'event=recovered.*' "$dir/log" | tail -n 1)"
[ "$(field put "$steward" queue show lines)" -ge "$kept" ] || fail "lines are lost"
leased=$(field leased "$steward" queue show lines)
[ "${leased:-0}" -gt 0 ] || fail "the leases are lost"
resumed() { [ "$(field resumed "$steward" stat)" -ge 4 ]; }
until_true 20 resumed || fail "not all consumers came back"
say "all $kept lines are there; leased=$leased; the consumers resumed their sessions and go on"
killed=$(ms)
{ kill -9 "$victim" && wait "$victim"; } 2>/dev/null
say "consumer 4 was killed with SIGKILL at $killed ms"

for i in 1 2 3; do
    wait "${producers[i]}" || fail "producer $i"
done
say "all lines are in; waiting until none is unfinished (join ends although a worker died)"
put=$(field put "$steward" queue show lines)
"$steward" queue join lines --timeout 30 || fail "lines are unfinished"
joined=$(ms)
redelivered=$(field redelivered "$steward" queue show lines)
say "join is through: $put lines put, ${redelivered:-0} of them delivered again"
"$steward" queue shutdown lines || fail "no shutdown"
for pid in "${consumers[@]}"; do
    wait "$pid" || fail "consumer $pid"
done
[ "${redelivered:-0}" -gt 0 ] || fail "nothing was delivered again"

for file in "${files[@]}"; do
    tr -cs A-Za-z '\n' <"$file"
    echo
done | sed '/^$/d' | sort | uniq -c | sed 's/^ *//' >"$dir/expected"
sed 1d "$dir/result" >"$dir/counted"
if ! cmp -s "$dir/expected" "$dir/counted"; then
    diff "$dir/expected" "$dir/counted" | head -n 10
    fail "the counts differ from what tr, sort and uniq say"
fi
words=$(awk '{ n += $1 } END { print n }' "$dir/expected")
say "EQUAL: $words words, $(wc -l <"$dir/expected") different, as tr | sort | uniq -c counts them"

# ---- a killed holder -----------------------------------------------------------------------------

head_line "the holder of a lock is killed (multiprocessing.Manager: it is never free again)"
# shellcheck disable=SC2016 # the inner shell expands it
"$steward" lock ledger -- sh -c 'echo $STEWARD_TOKEN >"$1"; exec sleep 60' sh "$dir/first" &
holder=$!
ours+=("$holder")
until_true 10 test -s "$dir/first" || fail "no lock"
first=$(cat "$dir/first")
say "process $holder holds the lock 'ledger' with token $first"
# shellcheck disable=SC2016
"$steward" lock ledger --timeout 20 -- sh -c 'echo $STEWARD_TOKEN >"$1"' sh "$dir/second" &
waiter=$!
ours+=("$waiter")
waits() { [ "$(field waiters "$steward" lock show ledger)" = 1 ]; }
until_true 10 waits || fail "nobody waits"
"$steward" lock show ledger | told
killed=$(ms)
{ kill -9 "$holder" && wait "$holder"; } 2>/dev/null
say "process $holder was killed with SIGKILL at $killed ms"
wait "$waiter" || fail "the waiter did not get the lock"
passed=$(($(ms) - killed))
second=$(cat "$dir/second")
say "process $waiter got the lock $passed ms later, with token $second"
[ "$second" -gt "$first" ] || fail "the token did not grow"
[ "$passed" -le 3000 ] || fail "that took too long"

# ---- figures -------------------------------------------------------------------------------------

head_line "figures"
cat <<END
lines put, leased, counted and acknowledged   $put
words                                         $words
lines of the killed consumer, given to others $redelivered
fencing token of the last merge               $(head -n 1 "$dir/result" | cut -d' ' -f2)
until nothing was unfinished                  $joined ms (2000 of them the dead worker's grace time)
the manager was away                          $away ms (500 of them asleep); nothing was lost
a killed holder's lock was free after         $passed ms
END
head_line "try next"
cat <<END
$build/stewardd --data /tmp/steward.data &
seq 100000 | $steward put n && $steward get n -n 100000 | tail -n 1
$steward bench throughput --producers 2 --consumers 2 --seconds 5
END
