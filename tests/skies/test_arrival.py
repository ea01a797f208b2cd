"""Files that arrive start the models that read them: `serve` is running, a new file comes by S3 or by `tarn ingest`, gold changes;
the same bytes again change nothing; a file that breaks its model leaves the failure in the ledger."""
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


@case
def a_failure_stands_in_the_ledger():
    before, count = strikes(), metric("arrival_decisions_total")
    s3.put_object(Bucket="bronze", Key="skies/by-s3/birdstrikes.csv", Body=b"only,two\n1,2\n")
    decided(count + 1)
    states = lake.rows("SELECT state FROM tarn.ledger WHERE model = 'silver.strikes' ORDER BY ALL")
    holds(["failed"] in states, states)
    equal(strikes(), before, "gold stays as it was")
    holds(metric("arrival_failures_total") >= 1, "the failure is counted")
    s3.put_object(Bucket="bronze", Key="skies/by-s3/birdstrikes.csv", Body=more_strikes(1))
    decided(count + 2)
    equal(strikes(), before - 7, "the next file mends it")


@case
def it_ends_well():
    equal(lake.stop(), 0)


main()
