"""`make run` as a new user reads it: the lines that it prints about its bronze files, pasted, work with awscli."""
import atexit
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lake import BUILD, DEPS, TOP, VEGA, case, equal, holds, main

AWS = DEPS / "venv/bin/aws"
work = Path(tempfile.mkdtemp(prefix="tarn-run-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)


def pasted(script):
    """The lines by a shell in which `aws` is the pinned one and nothing of this machine's AWS settings is left."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TARN_"))}
    env.update(PATH=f"{AWS.parent}:{env['PATH']}", HOME=str(work), AWS_PAGER="")
    return subprocess.run(["sh", "-ec", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                          cwd=work, timeout=120)


@case
def the_printed_lines_reach_the_bronze_files():
    go_on = work / "go-on"
    os.mkfifo(go_on)
    env = {**os.environ, "ONCE": "1", "DATA": str(work / "data"), "HTTP": "127.0.0.1:0", "S3": "127.0.0.1:0",
           "THEN": f"echo printed; read line < {go_on}"}
    job = subprocess.Popen(["sh", "tools/run.sh", str(BUILD), str(DEPS)], cwd=TOP, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env=env, text=True)
    lines = []
    for line in job.stdout:
        lines.append(line.rstrip())
        if line.strip() == "printed":
            break
    holds(lines and lines[-1] == "printed", "\n".join(lines[-20:]))
    try:
        check(lines)
    finally:
        with open(go_on, "w") as pipe:
            pipe.write("\n")
        status = job.wait(60)
    equal(status, 0, "exit status of the job")


def check(lines):
    at = next(i for i, line in enumerate(lines) if line.startswith("s3 "))
    paste = [line.strip() for line in lines[at + 1:] if line.strip() and line.strip() != "printed"]
    tarn = [line for line in paste if " object ls " in line]
    aws = [line for line in paste if line not in tarn]
    equal([line.split()[0] for line in aws], ["export", "export", "aws"], "the lines to paste")
    done = pasted("\n".join(aws))
    equal(done.returncode, 0, done.stderr)
    holds("PRE skies/" in done.stdout, done.stdout)
    keys = [row.split("skies/", 1)[1] for row in done.stdout.splitlines() if " skies/ingest_date=" in row]
    equal(len([key for key in keys if key.endswith("airports.csv")]), 1, f"one of {keys}")
    equal(len(keys), 6, "all six files")
    key = "skies/" + next(key for key in keys if key.endswith("airports.csv"))
    done = pasted("\n".join(aws[:2] + [f"aws s3 cp --no-progress s3://bronze/{key} airports", "aws s3 ls"]))
    holds(done.returncode == 0 and re.search(r" bronze$", done.stdout, re.M), done.stdout + done.stderr)
    equal((work / "airports").read_bytes(), (VEGA / "airports.csv").read_bytes(), "the bytes of the file")
    listed = pasted("\n".join(tarn))
    holds(listed.returncode == 0 and "airports.csv" in listed.stdout, listed.stdout + listed.stderr)


if __name__ == "__main__":
    main()
