#!/usr/bin/env bash
# Fuzzes each target of fuzz/ for so many seconds, one after another: tools/fuzz.sh BUILD-DIR SECONDS [NAME...]
# Starts from fuzz/corpus/NAME, which is only read; what is found on the way is thrown away, but an input that
# breaks a target is kept in BUILD-DIR/crashes and its path printed. Closes with `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 seconds=$2
shift 2
seed=${FUZZ_SEED:-0} # 0: another one each time; CI takes the same, so that its colour tells of the change
[ "${CI:-}" != true ] || seed=${FUZZ_SEED:-1}
[ $# -gt 0 ] || set -- $(cd fuzz && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
symbols=external_symbolizer_path=/usr/bin/addr2line
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:$symbols
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:$symbols
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
mkdir -p "$build/crashes"
passed=0 failed=0
for name; do
    mkdir "$found/$name"
    status=0
    timeout $((seconds + 120)) "$build/fuzz/fuzz_$name" -seed="$seed" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3072 \
        -print_final_stats=1 -artifact_prefix="$build/crashes/$name-" "$found/$name" "fuzz/corpus/$name" \
        >"$found/$name.log" 2>&1 || status=$?
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        runs=$(awk '/number_of_executed_units/ { print $2 }' "$found/$name.log")
        echo "ok   $name: ${runs:-0} inputs in $seconds s, $(ls "$found/$name" | wc -l) of them new"
    else
        failed=$((failed + 1))
        echo "FAIL $name (status $status)"
        tail -n 40 "$found/$name.log" | cut -c 1-300 | sed 's/^/    /'
        grep -ao "$build/crashes/$name-[a-z]*-[0-9a-f]*" "$found/$name.log" | sort -u >"$found/inputs" || true
        while read -r input; do
            echo "    again: $build/fuzz/fuzz_$name $input; mended: keep it as fuzz/corpus/$name/found_$(basename "$input" | tail -c 13)"
            [ "$(stat -c %s "$input")" -gt 4096 ] || echo "    the input in base64: $(base64 -w 0 "$input")"
        done <"$found/inputs"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
