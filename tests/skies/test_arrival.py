"""Files that arrive start the models that read them: `serve` is running, a new file comes by S3 or by `tarn ingest`, gold changes;
the same bytes again change nothing; a file that breaks its model leaves the failure in the ledger."""
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
os.environ["TARN_FLOW_ARRIVALS_QUIET"] = "200ms"
os.environ.pop("AWS_CA_BUNDLE", None)
import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from lake import TOP, VEGA, Lake, case, equal, holds, main  # noqa: E402

RAW = [VEGA / name for name in ("airports.csv", "flights-3m.parquet", "birdstrikes.csv", "earthquakes.json",
                                "weather.csv", "zipcodes.csv")]
lake = Lake(None, "--s3", "127.0.0.1:0")
s3 = boto3.client("s3", endpoint_url=f"http://{lake.admin['s3']}", region_name="us-east-1",
                  config=Config(s3={"addressing_style": "path"}), aws_access_key_id=lake.admin["access_key"],
                  aws_secret_access_key=lake.admin["secret_key"])
STRIKES = (VEGA / "birdstrikes.csv").read_bytes().rstrip(b"\n") + b"\n"
LINE = ("BARKSDALE AIR FORCE BASE ARPT,T-38A,None,2003-01-{:02},MILITARY,Louisiana,Climb,Large,Turkey vulture,Day,0,0,0,300\n")


def more_strikes(days):
    return STRIKES + "".join(LINE.format(day + 1) for day in range(days)).encode()


def strikes():
    return lake.rows("SELECT sum(strikes) FROM gold.strikes_by_airport")[0][0]


def metric(name):
    text = lake.request("GET", "/metrics").text
    return int([line.split()[1] for line in text.splitlines() if line.startswith(f"tarn_{name} ")][0])


def decided(count):
    """Until the arrivals have been decided about so often, and not once more."""
    for _ in range(1200):
        if metric("arrival_decisions_total") >= count:
            break
        time.sleep(0.1)
    equal(metric("arrival_decisions_total"), count, "decisions")


def settled():
    """Until no decision has come for two seconds: about a file that the run before it has read there may be one more."""
    before = None
    while before != (before := metric("arrival_decisions_total")):
        time.sleep(2)


def runs():
    return lake.rows("SELECT count(*) FROM tarn.runs WHERE model IS NULL")[0][0]


@case
def gold_is_made():
    equal(lake.cli("ingest", *RAW, "--source", "skies").returncode, 0)
    out = lake.cli("run", TOP / "examples/skies", "--yes")
    equal(out.returncode, 0, out.stdout + out.stderr)
    equal(runs(), 1)
    equal(metric("arrival_triggers_total"), 0, "triggers by files that came before the project")


@case
def a_file_by_ingest_changes_gold():
    before = strikes()
    path = lake.data.parent / "birdstrikes.csv"
    path.write_bytes(more_strikes(1))
    equal(lake.cli("ingest", path, "--source", "skies").returncode, 0)
    decided(1)
    equal(strikes(), before + 1)
    equal(runs(), 2)
    ran = lake.rows("SELECT model FROM tarn.runs WHERE model IS NOT NULL AND run_id = "
                    "(SELECT run_id FROM tarn.runs WHERE model IS NULL ORDER BY started_at DESC LIMIT 1) ORDER BY 1")
    equal(ran, [["gold.strikes_by_airport"], ["silver.strikes"]], "models of the run")


@case
def a_file_over_s3_changes_gold():
    before = strikes()
    s3.put_object(Bucket="bronze", Key="skies/by-s3/birdstrikes.csv", Body=more_strikes(3))
    decided(2)
    equal(strikes(), before + 2)
    equal(runs(), 3)


@case
def the_same_bytes_again_do_nothing():
    before = strikes()
    s3.put_object(Bucket="bronze", Key="skies/by-s3/birdstrikes.csv", Body=more_strikes(3))
    decided(3)
    equal(lake.cli("ingest", lake.data.parent / "birdstrikes.csv", "--source", "skies").returncode, 0)
    s3.put_object(Bucket="bronze", Key="skies/unread.csv", Body=b"x\n")
    s3.put_object(Bucket="bronze", Key="other/birdstrikes.csv", Body=b"x\n")
    equal((strikes(), runs(), metric("arrival_runs_total"), metric("arrival_triggers_total")), (before, 3, 2, 3))


@case
def many_files_are_one_run():
    before = strikes()
    for day in range(4, 9):
        s3.put_object(Bucket="bronze", Key="skies/by-s3/birdstrikes.csv", Body=more_strikes(day))
    for _ in range(1200):
        if strikes() == before + 5:
            break
        time.sleep(0.1)
    equal(strikes(), before + 5)
    holds(runs() < 3 + 5, f"{runs()} runs for five files")
    settled()


@case
def a_failure_stands_in_the_ledger():
    before, count = strikes(), metric("arrival_decisions_total")
    s3.put_object(Bucket="bronze", Key="skies/by-s3/birdstrikes.csv", Body=b"only,two\n1,2\n")
    decided(count + 1)
    states = lake.rows("SELECT state FROM tarn.ledger WHERE model = 'silver.strikes' ORDER BY ALL")
    holds(["failed"] in states, states)
    equal(strikes(), before, "gold stays as it was")
    holds(metric("arrival_failures_total") >= 1, "the failure is counted")
    time.sleep(1)
    equal(metric("arrival_decisions_total"), count + 1, "what failed is not tried again by itself")
    s3.put_object(Bucket="bronze", Key="skies/by-s3/birdstrikes.csv", Body=more_strikes(1))
    decided(count + 2)
    equal(strikes(), before - 7, "the next file mends it")


SLOW = """MODEL (name silver.slow, on arrival);
SELECT id, (SELECT sum(sqrt(i)) FROM range(400000000) r(i)) AS n FROM source('slow', 'a.csv', all := true)
"""


def newest():
    return lake.request("GET", "/v1/runs?limit=1").json["items"][0]


def arrival_is_on(number):
    """Puts a file and gives the run that it has started."""
    before = newest()["run_id"]
    s3.put_object(Bucket="bronze", Key=f"slow/{number}/a.csv", Body=f"id\n{number}\n".encode())
    for _ in range(1200):
        run = newest()
        if run["run_id"] != before:
            equal(run["state"], "running", "the run of the file")
            return run["run_id"]
        time.sleep(0.02)
    raise AssertionError("no run came")


@case
def a_run_waits_for_the_run_of_an_arrival():
    project = lake.data.parent / "slow"
    (project / "models").mkdir(parents=True)
    (project / "models/slow.sql").write_text(SLOW)
    (project / "models/other.sql").write_text("MODEL (name gold.other); SELECT 42 AS answer")
    equal(lake.cli("model", "load", project).returncode, 0)
    arrival = arrival_is_on(1)
    events = [json.loads(line) for line in lake.cli("run", "--yes", "--json").stdout.splitlines()]
    equal((events[0]["phase"], events[0]["model"]), ("waiting for the run of an arrival", None))
    equal(events[-1]["state"], "published")
    equal([model["model"] for model in events[-1]["report"]["models"]], ["gold.other"], "what the arrival did is not done again")
    equal(lake.rows("SELECT id FROM silver.slow"), [[1]])
    equal(lake.request("GET", f"/v1/runs/{arrival}").json["state"], "published")


@case
def the_run_of_an_arrival_is_followed_and_cancelled_as_any():
    arrival = arrival_is_on(2)
    events = [json.loads(line) for line in lake.cli("run", "--follow", "latest", "--json").stdout.splitlines()]
    equal({event["run_id"] for event in events}, {arrival})
    holds(any(event["event"] == "progress" and event["model"] == "silver.slow" for event in events), events)
    equal((events[-1]["event"], events[-1]["state"]), ("end", "published"))
    reply = lake.request("GET", f"/v1/runs/{arrival}/events", headers={"Accept": "application/x-ndjson"})
    equal([json.loads(line) for line in reply.text.splitlines()], events, "the same afterwards")
    equal(lake.cli("run", "--follow", arrival).returncode, 0)
    decisions = metric("arrival_decisions_total")
    arrival = arrival_is_on(3)
    equal(lake.request("DELETE", f"/v1/runs/{arrival}").status, 202)
    decided(decisions + 1)
    equal(newest(), {**newest(), "run_id": arrival, "state": "cancelled"})
    equal(lake.rows("SELECT id FROM silver.slow ORDER BY id"), [[1], [2]])
    decided(decisions + 1)


@case
def it_ends_well():
    equal(lake.stop(), 0)


main()
