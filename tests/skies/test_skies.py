"""The demo project through the real server and command line: every published answer equals what reference.py computes
from the raw files without tarn; the dirt is found; the twin without its seed row is held back and says so."""
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import reference
from lake import TOP, VEGA, Lake, case, equal, holds, main

RAW = [VEGA / name for name in ("airports.csv", "flights-3m.parquet", "birdstrikes.csv", "earthquakes.json",
                                "weather.csv", "zipcodes.csv")]
expected = json.loads((TOP / "tests/skies/expected.json").read_text())
lake = Lake()


def gold_hash(name, key):
    """As reference.py: md5 over the rows as JSON, in the order of the key."""
    return lake.rows(f"SELECT count(*), md5(string_agg(CAST(to_json(r) AS VARCHAR), chr(10) ORDER BY {key})) FROM gold.{name} r")[0]


@case
def the_reference_is_computed_from_the_raw_files():
    equal(json.loads(json.dumps(reference.answers(str(VEGA)))), expected, "expected.json")


@case
def the_project_runs_and_publishes():
    out = lake.cli("ingest", *RAW, "--source", "skies")
    equal(out.returncode, 0, out.stderr)
    plan = lake.cli("run", TOP / "examples/skies", "--plan")
    holds("13 models would run" in plan.stdout, plan.stdout)
    out = lake.cli("run", TOP / "examples/skies", "--yes")
    equal(out.returncode, 0, out.stdout + out.stderr)
    holds("191 duplicate" in out.stdout and "24 duplicate" in out.stdout, out.stdout)


@case
def silver_is_exact():
    equal(lake.rows("SELECT count(*), sum(delay), sum(distance), count(DISTINCT origin), count(DISTINCT destination) FROM silver.flights")[0],
          expected["silver"]["flights"])
    equal(lake.rows("SELECT count(*), count(city), count(state) FROM silver.airports")[0], expected["silver"]["airports"])
    equal(lake.rows("SELECT count(*), sum(cost_total), count(speed_knots) FROM silver.strikes")[0], expected["silver"]["strikes"])
    equal(lake.rows("SELECT count(*), count(DISTINCT id) FROM silver.quakes")[0], expected["silver"]["quakes"][:2])
    equal(lake.rows("SELECT zip_code FROM silver.zipcodes ORDER BY 1 LIMIT 1"), [["00501"]], "leading zeros stay")


@case
def gold_is_exact():
    for name, wanted in expected["gold"].items():
        equal(gold_hash(name, wanted["key"]), [wanted["rows"], wanted["md5"]], name)


@case
def bad_rows_are_kept_with_their_reason():
    for name, rows in expected["quarantine"].items():
        equal(lake.rows(f"SELECT count(*) FROM quarantine.{name}"), [[rows]], name)
    columns = [c["name"] for c in lake.request("GET", "/v1/datasets/quarantine.strikes/schema").json["columns"]]
    for name in ("_file", "_row", "_raw"):
        holds(name in columns, f"{name} in {columns}")
    equal(lake.rows("SELECT count(*) FROM quarantine.strikes WHERE _row IS NULL OR _raw IS NULL OR _file NOT LIKE 's3://bronze/skies/%'"), [[0]])


@case
def a_second_run_finds_nothing_missing():
    out = lake.cli("run", TOP / "examples/skies", "--yes")
    equal(out.returncode, 0, out.stderr)
    holds("nothing is missing" in out.stdout, out.stdout)


@case
def one_model_can_be_forced():
    out = lake.cli("run", "--model", "gold.daily", "--force", "--yes")
    equal(out.returncode, 0, out.stdout + out.stderr)
    equal(gold_hash("daily", "day")[1], expected["gold"]["daily"]["md5"])


@case
def a_missing_input_fails_its_model_and_names_it():
    other = Lake()
    out = other.cli("run", TOP / "examples/skies", "--yes")
    holds(out.returncode not in (0, 6), out.returncode)
    holds("airports.csv" in out.stdout + out.stderr, out.stdout + out.stderr)
    other.stop()


@case
def the_closed_gate_holds_back():
    twin = Lake()
    equal(twin.cli("ingest", *RAW, "--source", "skies").returncode, 0)
    out = twin.cli("run", TOP / "examples/skies-gate", "--yes")
    equal(out.returncode, 6, out.stdout + out.stderr)
    holds("gated" in out.stdout and "held back" in out.stderr, out.stderr)
    names = [row[0] for row in twin.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'gold' ORDER BY 1")]
    holds("route" in names and "daily" in names, names)
    holds("strikes_by_airport" not in names or twin.rows("SELECT count(*) FROM gold.strikes_by_airport") == [[0]], "nothing is visible")
    out = twin.cli("run", TOP / "examples/skies", "--yes")
    equal(out.returncode, 0, out.stdout + out.stderr)
    equal(twin.rows("SELECT count(*) FROM gold.strikes_by_airport"), [[50]], "with the seed row it publishes")
    out = twin.cli("run", TOP / "examples/skies-gate", "--yes")
    equal(out.returncode, 6, "without it again")
    run_id = out.stderr.split("run:")[1][:36]
    departures = "SELECT count(*), count(*) FILTER (iata = 'BAD') FROM gold.strikes_by_airport"
    equal(twin.rows(f"{departures} FOR VERSION AS OF 'run:{run_id}'"), [[50, 1]], "the stage can be read")
    equal(twin.rows("SELECT count(*) FROM gold.strikes_by_airport"), [[50]], "what is published stays")
    twin.stop()


@case
def it_ends_well():
    equal(lake.stop(), 0)


if __name__ == "__main__":
    main()
