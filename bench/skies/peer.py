#!/usr/bin/env python3
"""The peer of the skies job: plain DuckDB makes the same tables, checks the same expectations, writes the
same quarantine, all as Parquet with zstd 1, from the same raw files.

    peer.py DATA_DIR OUT_DIR [THREADS]     prints one JSON line: wall, CPU, peak memory, rows

DATA_DIR is package/data of the npm package vega-datasets 3.2.1. Needs the PyPI package duckdb."""
import json
import pathlib
import resource
import sys
import time

import duckdb

HERE = pathlib.Path(__file__).parent
SEEDS = HERE.parent.parent / "examples" / "skies" / "seeds"
ZSTD = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
TEXT = "all_varchar=true, header=true"


class Job:
    def __init__(self, data, out, threads):
        self.con = duckdb.connect(config={"threads": threads, "memory_limit": "1GiB"})
        self.data, self.out = data, pathlib.Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.found = {}

    def table(self, name, sql):
        path = self.out / f"{name}.parquet"
        self.con.execute(f"COPY ({sql}) TO '{path}' {ZSTD}")
        self.con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")

    def check(self, name, *counts):
        row = self.con.execute(f"SELECT count(*), {', '.join(counts)} FROM {name}").fetchone()
        self.found[name] = list(row)


def silver(job):
    d = job.data
    job.table("airports", f"""
        SELECT iata, name, nullif(city, 'NA') AS city, nullif(state, 'NA') AS state, country,
               TRY_CAST(latitude AS DOUBLE) AS latitude, TRY_CAST(longitude AS DOUBLE) AS longitude
        FROM read_csv('{d}/airports.csv', {TEXT})""")
    job.table("birdstrike_airports", f"SELECT * FROM read_csv('{SEEDS}/birdstrike_airports.csv', {TEXT})")
    job.table("extra_airports", f"SELECT * FROM read_csv('{SEEDS}/extra_airports.csv', {TEXT})")
    job.con.execute("CREATE VIEW known_airports AS SELECT iata FROM airports UNION ALL"
                    " SELECT iata FROM extra_airports")
    flights = f"read_parquet('{d}/flights-3m.parquet')"
    inside = "date >= TIMESTAMP '2001-01-01' AND date < TIMESTAMP '2001-07-02'"
    job.table("flights", f"SELECT DISTINCT * FROM {flights} WHERE {inside} AND delay BETWEEN -120 AND 2880")
    job.table("quarantine_flights", f"SELECT DISTINCT *, 'delay' AS reason FROM {flights}"
                                    f" WHERE {inside} AND NOT (delay BETWEEN -120 AND 2880)")
    job.con.execute(f"SELECT count(*) FROM {flights} WHERE {inside}").fetchone()
    strikes = f"read_csv('{d}/birdstrikes.csv', {TEXT})"
    good = "\"Effect Amount of damage\" IN ('None', 'Minor', 'Medium', 'Substantial')"
    job.table("strikes", f"""
        SELECT DISTINCT s.* EXCLUDE ("Flight Date", "Cost Total $", "Speed IAS in knots"), a.iata,
               TRY_CAST("Flight Date" AS DATE) AS flight_date,
               TRY_CAST("Cost Total $" AS BIGINT) AS cost_total,
               TRY_CAST("Speed IAS in knots" AS BIGINT) AS speed_knots
        FROM {strikes} AS s LEFT JOIN birdstrike_airports AS a ON a.airport_name = s."Airport Name"
        WHERE {good}""")
    job.table("quarantine_strikes", f"SELECT DISTINCT *, 'damage' AS reason FROM {strikes} WHERE NOT {good}")
    job.table("quakes", f"""
        SELECT f ->> '$.id' AS id, f ->> '$.properties.place' AS place, f ->> '$.properties.type' AS kind,
               TRY_CAST(f ->> '$.properties.mag' AS DOUBLE) AS mag,
               TRY_CAST(f ->> '$.geometry.coordinates[2]' AS DOUBLE) AS depth_km,
               TRY_CAST(f ->> '$.geometry.coordinates[0]' AS DOUBLE) AS longitude,
               TRY_CAST(f ->> '$.geometry.coordinates[1]' AS DOUBLE) AS latitude,
               TRY_CAST(f ->> '$.properties.time' AS BIGINT) AS time_ms,
               TRY_CAST(f ->> '$.properties.nst' AS BIGINT) AS stations
        FROM (SELECT unnest(CAST(json(content) -> 'features' AS JSON[])) AS f
              FROM read_text('{d}/earthquakes.json'))""")
    job.table("weather", f"SELECT location, TRY_CAST(date AS DATE) AS day, TRY_CAST(precipitation AS DOUBLE)"
                         f" AS precipitation, TRY_CAST(temp_max AS DOUBLE) AS temp_max, TRY_CAST(temp_min AS"
                         f" DOUBLE) AS temp_min, TRY_CAST(wind AS DOUBLE) AS wind, weather"
                         f" FROM read_csv('{d}/weather.csv', {TEXT})")
    job.table("zipcodes", f"SELECT zip_code, TRY_CAST(latitude AS DOUBLE) AS latitude, TRY_CAST(longitude AS"
                          f" DOUBLE) AS longitude, city, state, county FROM read_csv('{d}/zipcodes.csv', {TEXT})")


def unknown(table, column, against):
    return (f"(SELECT coalesce(sum(n), 0) FROM (SELECT {column} AS v, count(*) AS n FROM {table} GROUP BY 1)"
            f" WHERE v IS NOT NULL AND v NOT IN (SELECT iata FROM {against}))")


def twice(table, columns):
    return (f"(SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM {table} GROUP BY {columns}"
            f" HAVING count(*) > 1))")


def checks(job):
    job.check("airports", "count(*) FILTER (iata IS NULL)", twice("airports", "iata"),
              "count(*) FILTER (NOT regexp_matches(iata, '^[A-Z0-9]{3,4}$'))",
              "count(*) FILTER (NOT latitude BETWEEN -90 AND 90)",
              "count(*) FILTER (NOT longitude BETWEEN -180 AND 180)",
              "count(*) FILTER (state IS NULL)", "count(*) FILTER (city IS NULL)")
    job.check("flights", unknown("flights", "origin", "airports"), unknown("flights", "destination", "airports"),
              "(SELECT count(*) FROM flights WHERE origin = destination)",
              "(SELECT count(*) FROM (SELECT least(origin, destination) AS a, greatest(origin, destination)"
              " AS b FROM flights GROUP BY 1, 2 HAVING min(distance) <> max(distance)))",
              "count(*) FILTER (origin IS NULL)", "count(*) FILTER (destination IS NULL)",
              "count(*) FILTER (delay IS NULL)")
    job.con.execute("SELECT CAST(date AS DATE) AS day, count(*) FROM flights GROUP BY 1").fetchall()
    job.check("strikes", "count(*) FILTER (iata IS NULL)",
              "count(*) FILTER (\"Effect Amount of damage\" = 'None' AND cost_total <> 0)",
              "count(*) FILTER (speed_knots = 0 AND \"Phase of flight\" IN ('Climb', 'Approach', 'Descent',"
              " 'Take-off run', 'Landing Roll'))", "count(*) FILTER (speed_knots IS NULL)",
              unknown("strikes", "iata", "airports"))
    job.check("quakes", twice("quakes", "id"), "count(*) FILTER (mag < 0)", "count(*) FILTER (stations IS NULL)")
    job.check("weather", twice("weather", "location, day"))
    job.check("zipcodes", twice("zipcodes", "zip_code"),
              "count(*) FILTER (NOT regexp_matches(zip_code, '^[0-9]{5}$'))")


def gold(job):
    job.table("delay_by_airport_hour", """
        SELECT origin, CAST(hour(date) AS INTEGER) AS hour, count(*) AS flights,
               round(avg(delay), 4) AS avg_delay, count(*) FILTER (delay >= 15) AS late15
        FROM flights GROUP BY ALL""")
    job.table("route", """
        SELECT origin, destination, count(*) AS flights, CAST(min(distance) AS INTEGER) AS distance_mi,
               round(avg(delay), 4) AS avg_delay, quantile_disc(delay, 0.95) AS p95_delay,
               CAST(min(date) AS DATE) AS first_day, CAST(max(date) AS DATE) AS last_day
        FROM flights GROUP BY ALL""")
    job.table("daily", """
        SELECT CAST(date AS DATE) AS day, count(*) AS flights, CAST(sum(delay) AS BIGINT) AS delay_min,
               count(*) FILTER (delay >= 15) AS late15, CAST(sum(distance) AS BIGINT) AS miles,
               count(DISTINCT origin) AS airports
        FROM flights GROUP BY ALL""")
    job.table("strikes_by_airport", """
        SELECT iata, count(*) AS strikes, CAST(sum(cost_total) AS BIGINT) AS cost_usd,
               coalesce(any_value(n), 0) AS departures
        FROM strikes LEFT JOIN (SELECT origin, count(*) AS n FROM flights GROUP BY 1) ON origin = iata
        GROUP BY ALL""")
    job.check("delay_by_airport_hour", twice("delay_by_airport_hour", "origin, hour"),
              unknown("delay_by_airport_hour", "origin", "known_airports"))
    job.check("route", twice("route", "origin, destination"), unknown("route", "origin", "known_airports"),
              unknown("route", "destination", "known_airports"))
    job.check("daily", twice("daily", "day"))
    job.check("strikes_by_airport", twice("strikes_by_airport", "iata"),
              unknown("strikes_by_airport", "iata", "known_airports"))


def main():
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    started, cpu = time.monotonic(), time.process_time()
    job = Job(sys.argv[1], sys.argv[2], threads)
    silver(job)
    checks(job)
    gold(job)
    print(json.dumps({"wall_s": round(time.monotonic() - started, 3),
                      "cpu_s": round(time.process_time() - cpu, 3),
                      "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                      "rows": job.found}))


if __name__ == "__main__":
    main()
