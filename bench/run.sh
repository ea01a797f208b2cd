#!/bin/sh
# usage: bench/run.sh BUILD-DIR DEPS-DIR [NAME...]    names: skies tpch small ingest start; none: all
set -eu
build=$1 deps=$2
shift 2
cc -O2 -o "$build/ingest_plain" bench/ingest/plain.c -lcrypto
exec "$deps/venv/bin/python" bench/run.py "$build" "$deps" "$@"
