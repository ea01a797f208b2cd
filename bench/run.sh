#!/bin/sh
# usage: bench/run.sh BUILD-DIR DEPS-DIR [NAME...]    names: skies tpch small ingest start http; none: all
# http ROW...: only these rows of bench/http/run.py
set -eu
build=$1 deps=$2
shift 2
cc -O2 -o "$build/ingest_plain" bench/ingest/plain.c -lcrypto
python="$deps/venv/bin/python"
http() {
    ninja -C "$build" bench/crowd tests/http/door >/dev/null
    "$python" bench/http/run.py "$build" "$@"
}
if [ "${1:-}" = http ]; then
    shift
    http "$@"
elif [ $# -gt 0 ]; then
    exec "$python" bench/run.py "$build" "$deps" "$@"
else
    "$python" bench/run.py "$build" "$deps"
    http
fi
