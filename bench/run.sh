#!/bin/sh
# usage: bench/run.sh BUILD-DIR DEPS-DIR [NAME...]    names: skies tpch small ingest start http s3; none: all
# http ROW..., s3 ROW...: only these rows of bench/http/run.py, bench/s3/run.py
set -eu
build=$1 deps=$2
shift 2
cc -O2 -o "$build/ingest_plain" bench/ingest/plain.c -lcrypto
python="$deps/venv/bin/python"
http() {
    ninja -C "$build" bench/crowd tests/http/door >/dev/null
    "$python" bench/http/run.py "$build" "$@"
}
s3() {
    ninja -C "$build" bench/s3_load src/main/tarn >/dev/null
    "$python" bench/s3/run.py "$build" "$@"
}
if [ "${1:-}" = http ] || [ "${1:-}" = s3 ]; then
    rows=$1
    shift
    "$rows" "$@"
elif [ $# -gt 0 ]; then
    exec "$python" bench/run.py "$build" "$deps" "$@"
else
    "$python" bench/run.py "$build" "$deps"
    http
    s3
fi
