#!/usr/bin/env python3
"""The answers of the demo project skies, computed from the raw files alone (plain DuckDB, no tarn).

    reference.py DATA_DIR            prints the JSON that tests/skies/expected.json holds
    reference.py DATA_DIR --check    compares with expected.json, exits 1 on a difference

DATA_DIR is package/data of the npm package vega-datasets 3.2.1. Needs the PyPI package duckdb.
A hash is the md5 of the rows as JSON lines, ordered by the key, columns in the order of the model."""
import hashlib
import json
import pathlib
import sys

import duckdb

HERE = pathlib.Path(__file__).parent
SEEDS = HERE.parent.parent / "examples" / "skies" / "seeds"


def build(con, data):
    text = "all_varchar=true, header=true"
    con.execute(f"""
        CREATE TABLE airports AS
        SELECT iata, name, nullif(city, 'NA') AS city, nullif(state, 'NA') AS state, country,
               CAST(latitude AS DOUBLE) AS latitude, CAST(longitude AS DOUBLE) AS longitude
        FROM read_csv('{data}/airports.csv', {text});
        CREATE TABLE flights_all AS SELECT DISTINCT * FROM read_parquet('{data}/flights-3m.parquet');
        CREATE TABLE flights AS SELECT * FROM flights_all WHERE delay BETWEEN -120 AND 2880;
        CREATE TABLE strikes_all AS SELECT DISTINCT * FROM read_csv('{data}/birdstrikes.csv', {text});
        CREATE TABLE strikes AS
        SELECT s.*, a.iata, CAST("Cost Total $" AS BIGINT) AS cost_total
        FROM strikes_all AS s
        LEFT JOIN read_csv('{SEEDS}/birdstrike_airports.csv', {text}) AS a
          ON a.airport_name = s."Airport Name"
        WHERE "Effect Amount of damage" IN ('None', 'Minor', 'Medium', 'Substantial');
        CREATE TABLE delay_by_airport_hour AS
        SELECT origin, CAST(hour(date) AS INTEGER) AS hour, count(*) AS flights,
               round(avg(delay), 4) AS avg_delay, count(*) FILTER (delay >= 15) AS late15
        FROM flights GROUP BY ALL;
        CREATE TABLE route AS
        SELECT origin, destination, count(*) AS flights, CAST(min(distance) AS INTEGER) AS distance_mi,
               round(avg(delay), 4) AS avg_delay, quantile_disc(delay, 0.95) AS p95_delay,
               CAST(min(date) AS DATE) AS first_day, CAST(max(date) AS DATE) AS last_day
        FROM flights GROUP BY ALL;
        CREATE TABLE daily AS
        SELECT CAST(date AS DATE) AS day, count(*) AS flights, CAST(sum(delay) AS BIGINT) AS delay_min,
               count(*) FILTER (delay >= 15) AS late15, CAST(sum(distance) AS BIGINT) AS miles,
               count(DISTINCT origin) AS airports
        FROM flights GROUP BY ALL;
        CREATE TABLE strikes_by_airport AS
        SELECT iata, count(*) AS strikes, CAST(sum(cost_total) AS BIGINT) AS cost_usd,
               coalesce(any_value(n), 0) AS departures
        FROM strikes LEFT JOIN (SELECT origin, count(*) AS n FROM flights GROUP BY 1) ON origin = iata
        GROUP BY ALL;
    """)
    quakes = json.loads(pathlib.Path(f"{data}/earthquakes.json").read_text())["features"]
    return quakes


def rows_hash(con, table, key):
    lines = con.execute(f"SELECT string_agg(CAST(to_json(r) AS VARCHAR), chr(10) ORDER BY {key}) "
                        f"FROM {table} AS r").fetchone()[0]
    return hashlib.md5(lines.encode()).hexdigest()


def one(con, sql):
    row = con.execute(sql).fetchone()
    return row[0] if len(row) == 1 else list(row)


def answers(data):
    con = duckdb.connect()
    quakes = build(con, data)
    gold = {}
    for table, key in (("delay_by_airport_hour", "origin, hour"), ("route", "origin, destination"),
                       ("daily", "day"), ("strikes_by_airport", "iata")):
        gold[table] = {"rows": one(con, f"SELECT count(*) FROM {table}"), "key": key,
                       "md5": rows_hash(con, table, key)}
    return {
        "silver": {
            "airports": one(con, "SELECT [count(*), count(city), count(state)] FROM airports"),
            "flights": one(con, "SELECT [count(*), sum(delay), sum(distance), count(DISTINCT origin),"
                                " count(DISTINCT destination)]::BIGINT[] FROM flights"),
            "strikes": one(con, "SELECT [count(*), sum(cost_total), count(\"Speed IAS in knots\")]"
                                "::BIGINT[] FROM strikes"),
            "quakes": [len(quakes), len({q["id"] for q in quakes}),
                       min(q["properties"]["time"] for q in quakes),
                       max(q["properties"]["time"] for q in quakes)],
        },
        "dropped": {
            "flights_duplicate": 3000000 - one(con, "SELECT count(*) FROM flights_all"),
            "strikes_duplicate": 10000 - one(con, "SELECT count(*) FROM strikes_all"),
        },
        "quarantine": {
            "flights": one(con, "SELECT (SELECT count(*) FROM flights_all) - (SELECT count(*) FROM flights)"),
            "strikes": one(con, "SELECT (SELECT count(*) FROM strikes_all) - (SELECT count(*) FROM strikes)"),
        },
        "incomplete_days": one(con, "SELECT list(CAST(day AS VARCHAR)) FROM daily WHERE flights <"
                                    " 0.5 * (SELECT median(flights) FROM daily)"),
        "strikes_at_unknown_airports": one(con, "SELECT count(*) FROM strikes WHERE iata NOT IN"
                                                " (SELECT iata FROM airports)"),
        "gold": gold,
    }


def main():
    found = answers(sys.argv[1])
    if "--check" not in sys.argv:
        print(json.dumps(found, indent=2))
        return 0
    wanted = json.loads((HERE / "expected.json").read_text())
    if found != wanted:
        print("the reference differs from expected.json:", json.dumps(found, indent=2))
        return 1
    print("reference: as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
