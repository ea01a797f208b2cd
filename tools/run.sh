#!/bin/sh
# The main job on real data: starts a server on a fresh data directory, brings the raw files of skies into
# bronze, builds silver and gold, shows what came out. usage: tools/run.sh BUILD-DIR DEPS-DIR
# ONCE=1 ends after the summary; DATA=DIR chooses the (fresh) directory; HTTP=ADDR:PORT and S3=ADDR:PORT the doors.
# THEN='command' runs before the end, with $data, for tests.
set -eu
build=$1 deps=$2
data=${DATA:-$build/run-data}
http=${HTTP:-127.0.0.1:8080}
s3=${S3:-127.0.0.1:9000}
project=${PROJECT:-examples/skies}
tarn=$build/tarn
raw=$deps/vega-datasets/data
log=$build/serve.log

now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{printf "%.1f s", $1 - $2}'; }
title() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || title() { printf '\n%s\n' "$1"; }

case $data in */run-data) rm -rf "$data" ;; *) [ ! -e "$data" ] || { echo "run: $data exists already; name a fresh DATA=DIR"; exit 2; } ;; esac

title "1. The server"
t=$(now)
"$tarn" serve --data "$data" --http "$http" --s3 "$s3" >"$log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
i=0
until [ -s "$data/admin.json" ] && "$tarn" table list --data "$data" >/dev/null 2>&1; do
    kill -0 $server 2>/dev/null || { cat "$log"; echo "run: the server ended. Is a port taken? HTTP=127.0.0.1:0 S3=127.0.0.1:0 take free ones."; exit 1; }
    i=$((i + 1)); [ $i -lt 200 ] || { cat "$log"; echo "run: the server does not answer"; exit 1; }
    sleep 0.05
done
grep '^tarn:' "$log"
echo "ready in $(since "$t")"

job=$(now)
title "2. Bronze: raw files, exactly as they are"
t=$(now)
"$tarn" ingest --data "$data" --source skies "$raw/airports.csv" "$raw/flights-3m.parquet" "$raw/birdstrikes.csv" \
    "$raw/earthquakes.json" "$raw/weather.csv" "$raw/zipcodes.csv"
echo "ingested in $(since "$t")"

title "3. Silver and gold: $project"
t=$(now)
status=0
"$tarn" run "$project" --data "$data" --yes || status=$?
echo "models in $(since "$t")"

title "4. What the lake answers"
if [ $status -eq 0 ]; then
    echo "Flights that left the ten busiest airports"
    "$tarn" sql --data "$data" --bars -c "SELECT origin, sum(flights) AS flights FROM gold.delay_by_airport_hour GROUP BY origin ORDER BY flights DESC, origin LIMIT 10"
    echo
    echo "The slowest routes with at least 500 flights"
    "$tarn" sql --data "$data" -c "SELECT origin, destination, flights, distance_mi, avg_delay FROM gold.route WHERE flights >= 500 ORDER BY avg_delay DESC LIMIT 5"
    echo "Bird strikes: where they cost most"
    "$tarn" sql --data "$data" -c "SELECT iata, strikes, cost_usd, departures FROM gold.strikes_by_airport ORDER BY cost_usd DESC LIMIT 5"
fi
echo "the whole job took $(since "$job"), exit status $status"

title "5. Where it is"
value() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$data/admin.json"; }
address=$(value http) token=$(value token) endpoint=$(value s3)
cat <<EOT
http       http://$address/v1/health   (REST; OpenAPI at /v1/openapi.json)
admin key  $token
ask        $tarn sql --data $data
           curl -H "Authorization: Bearer $token" http://$address/v1/sql -d 'SELECT * FROM gold.daily LIMIT 3'
EOT
[ -z "$endpoint" ] || cat <<EOT
s3         http://$endpoint   (buckets: bronze with the raw files, lake with the tables)
           $tarn object ls bronze/skies/ --data $data
           export AWS_ENDPOINT_URL=http://$endpoint AWS_DEFAULT_REGION=$(value s3_region)
           export AWS_ACCESS_KEY_ID=$(value access_key) AWS_SECRET_ACCESS_KEY=$(value secret_key)
           aws s3 ls s3://bronze/ ; aws s3 ls --recursive --human-readable s3://bronze/skies/
EOT
[ -z "${THEN:-}" ] || sh -c "$THEN"
[ -z "${ONCE:-}" ] || exit $status
echo; echo "The server stays up until Ctrl-C."
wait $server || true
