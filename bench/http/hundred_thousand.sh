#!/bin/sh
# 100,000 idle connections to one server, where the host lets a process have that many descriptors.
# usage: bench/http/hundred_thousand.sh BUILD-DIR [COUNT] [tls]
set -eu
build=$1 count=${2:-100000} tls=${3:-}
need=$((count + 2000))
ulimit -n "$need" 2>/dev/null || {
    echo "a process may hold $(ulimit -Hn) descriptors here, $need are needed: raise the hard limit (limits.conf, or LimitNOFILE of the unit)"
    exit 0
}
work=$(mktemp -d)
trap 'kill "$door" 2>/dev/null; rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
"$build/tests/http/door" --http 127.0.0.1:0 --https 127.0.0.1:0 --cert "$work/cert.pem" --key "$work/key.pem" --access none \
    --limit connections_max="$need" --limit connections_an_address="$need" --limit idle_ms_max=3600000 >"$work/out" &
door=$!
until grep -q ready "$work/out"; do sleep 0.1; done
kind=http
[ -z "$tls" ] || kind=https
address=$(awk -v kind="$kind" '$2 == kind {print $3}' "$work/out")
anonymous() { awk '/^RssAnon/ {print $2 * 1024}' "/proc/$door/status"; }
before=$(anonymous)
mkfifo "$work/in"
: >"$work/said"
"$build/bench/crowd" idle "$address" "$count" $tls <"$work/in" >"$work/said" &
exec 3>"$work/in"
until grep -q ready "$work/said"; do sleep 0.5; done
cat "$work/said"
echo "user memory each: $((($(anonymous) - before) / count)) bytes; kernel memory of all sockets: $(awk '/^TCP:/ {print $11 * 4}' /proc/net/sockstat) KiB"
echo end >&3
wait $!
