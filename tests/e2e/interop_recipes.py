"""The shell recipes of docs/operate-s3.md, as they stand, by rclone, s3cmd and awscli."""
import atexit
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lake import DEPS, TOP, Lake, case, equal, holds, main

PAGE = (TOP / "docs/operate-s3.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
work = Path(tempfile.mkdtemp(prefix="tarn-recipes-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
lake = Lake()


def recipe(word):
    """The lines of the block of clients that begin with `word`, of this server."""
    block = next(block for block in BLOCKS if "# awscli" in block)
    text = "\n".join(line for line in block.splitlines() if line.startswith(word))
    access, secret = lake.admin["access_key"], lake.admin["secret_key"]
    for name in ("AWS_ACCESS_KEY_ID", "--access_key"):
        text = text.replace(f"{name}=...", f"{name}={access}")
    for name in ("AWS_SECRET_ACCESS_KEY", "--secret_key"):
        text = text.replace(f"{name}=...", f"{name}={secret}")
    return text.replace("127.0.0.1:9000", lake.admin["s3"])


def shell(text):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TARN_"))}
    env.update(HOME=str(work), PATH=f"{DEPS}/venv/bin:{env['PATH']}")
    out = subprocess.run(["sh", "-ec", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=work,
                         timeout=120)
    equal(out.returncode, 0, f"{text}: {out.stderr}")
    return out.stdout


def listed(prefix):
    return lake.cli("object", "ls", prefix).stdout


@case
def awscli_and_rclone_and_s3cmd():
    equal(lake.cli("bucket", "create", "photos").returncode, 0)
    (work / "big.tar").write_bytes(os.urandom(20 << 20))
    (work / "dir").mkdir()
    (work / "dir/one").write_bytes(b"one")
    shell(recipe("export") + "\n" + recipe("aws "))
    holds("big.tar" in listed("photos"), "by awscli")
    shell(recipe("export") + "\n" + recipe("rclone "))
    holds("dir/one" in listed("photos"), "by rclone")
    shown = shell(recipe("s3cmd "))
    holds("s3://photos/big.tar" in shown and "s3://photos/dir/" in shown, shown)


@case
def moving_in():
    """From a bucket of the same server: what the page says moves with an object has moved."""
    access, secret = lake.admin["access_key"], lake.admin["secret_key"]
    config = re.search(r"^```ini\n(.*?)^```", PAGE, re.M | re.S).group(1)
    config = re.sub(r"endpoint = .*", f"endpoint = http://{lake.admin['s3']}", config)
    config = config.replace("access_key_id = ...", f"access_key_id = {access}").replace("secret_access_key = ...",
                                                                                       f"secret_access_key = {secret}")
    (work / ".config/rclone").mkdir(parents=True, exist_ok=True)
    (work / ".config/rclone/rclone.conf").write_text(config)
    shell(recipe("export") + "\naws s3 cp --metadata colour=blue --content-type text/x-odd dir/one 's3://photos/p q/ü+%'")
    equal(lake.cli("bucket", "create", "moved").returncode, 0)
    moved = next(block for block in BLOCKS if "tarn:moved" in block)
    shell("\n".join(line for line in moved.splitlines() if line.startswith("rclone ")))
    shown = lake.cli("object", "stat", "moved/p q/ü+%").stdout
    holds("text/x-odd" in shown and "x-amz-meta-colour" in shown, shown)


if __name__ == "__main__":
    main()
