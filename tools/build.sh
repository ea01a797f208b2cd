#!/bin/sh
# Configures once and compiles: tools/build.sh BUILD-DIR DEPS-DIR [meson options]. Prints the seconds.
# TARGETS in the environment: only these.
set -eu
build=$1 deps=$2
shift 2
start=$(date +%s.%N)
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" -Ddeps="$deps" "$@" >"/tmp/tarn-setup.$$" 2>&1 || { tail -20 "/tmp/tarn-setup.$$"; exit 1; }
    rm -f "/tmp/tarn-setup.$$"
fi
if [ -t 1 ]; then
    ninja -C "$build" ${TARGETS:-}
else
    ninja -C "$build" ${TARGETS:-} >"$build/ninja.log" 2>&1 || { grep -E -A12 'error|FAILED|undefined' "$build/ninja.log" | head -60; exit 1; }
fi
[ ! -e "$build/src/main/tarn" ] || ln -sf src/main/tarn "$build/tarn"
printf 'build: %s is ready (%.1f s)\n' "$build" "$(echo "$(date +%s.%N) - $start" | awk '{print $1 - $3}')"
