"""Linearizability of put, get, delete, list and their conditions on each key, under concurrency and across kill -9, judged by porcupine.

usage: interop_linear.py [ROUNDS]     16 without a number; TARN_SEED repeats the choices, TARN_LINEAR_OUT=DIR draws what is wrong"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from lake import DEPS, TARN  # noqa: E402

DRIVER = Path(os.environ.get("TARN_LINEAR", DEPS / "bin/linear"))


def main():
    rounds = sys.argv[1] if len(sys.argv) > 1 else "16"
    with tempfile.TemporaryDirectory(prefix="tarn-linear-") as work:
        done = subprocess.run([DRIVER, "-tarn", TARN, "-data", Path(work) / "data", "-rounds", rounds, "-seed",
                               os.environ.get("TARN_SEED", "0")], timeout=1800)
    sys.exit(done.returncode)


main()
