#!/usr/bin/env python3
"""Installs what a build, a run or a test needs: Debian packages of deps/debian.txt and the pinned
artefacts of deps/deps.lock. Idempotent; needs no network when nothing is missing.

usage: tools/deps.py [--cache DIR] GROUP...      groups: build test interop demo lane bench
"""
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("TARN_DEPS") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tarn" / "deps")
VENVS_KEPT = 3
TRIES, PAUSE_S = 4, 10
POLICY = "/usr/sbin/policy-rc.d"  # Debian asks it before a service is started
CLIENT_PACKAGE = {"go": "golang-go", "cargo": "cargo-web", "pip": "python3-pip", "npm": "npm", "mvn": "maven"}


def say(text):
    print(f"deps: {text}", flush=True)


def stop(text):
    sys.exit(f"deps: {text}")


def run(*command, cwd=None, env=None, tries=1):
    """`tries`: of what asks a registry, or waits for a lock of the machine's own upkeep, every ten seconds."""
    while True:
        done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, errors="replace")
        tries -= 1
        if done.returncode == 0:
            return done.stdout
        if tries < 1:
            stop(f"`{' '.join(command)}` failed:\n{done.stderr.strip()[-2000:]}")
        say(f"`{' '.join(command[:3])}` failed and is tried again: {done.stderr.strip()[-300:]}")
        time.sleep(PAUSE_S)


# ---- Debian ------------------------------------------------------------------------------------

def debian_wanted(groups):
    for line in (TOP / "deps/debian.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, wanted_by = line.split(None, 2)[:2]
            name, _, program = name.partition(":")
            if groups & set(wanted_by.split(",")) and not (program and shutil.which(program)):
                yield name


def debian_missing(names):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    there = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in there]


def debian_install(names):
    if not names:
        return
    say(f"installing from Debian: {' '.join(names)}")
    root = [] if os.geteuid() == 0 else ["sudo"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(*root, "apt-get", "update", "-qq", env=env, tries=TRIES)
    # Programs only: what comes with a service of its own (nginx, haproxy) must not start it.
    quiet = POLICY if not os.path.exists(POLICY) else None
    if quiet:
        run(*root, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' >{quiet} && chmod 755 {quiet}")
    try:
        run(*root, "apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "-qq", "--no-install-recommends", *names, env=env, tries=TRIES)
    finally:
        if quiet:
            run(*root, "rm", "-f", quiet)


# ---- package clients: each leaves one archive ---------------------------------------------------

def client_need(client):
    program = {"pip": "pip3"}.get(client, client)
    if not shutil.which(program):
        debian_install(debian_missing([CLIENT_PACKAGE[client]]))


def fetch_go(row, work):
    env = {**os.environ, "GO111MODULE": "on", "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local",
           "GOMODCACHE": str(work / "mod")}
    out = run("go", "mod", "download", "-json", f"{row['package']}@{row['version']}", cwd=work, env=env, tries=TRIES)
    return Path(json.loads(out)["Zip"])


def fetch_cargo(row, work):
    (work / "src").mkdir()
    (work / "src/lib.rs").touch()
    (work / "Cargo.toml").write_text(
        '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n'
        f'{row["package"]} = {{ version = "={row["version"]}", default-features = false }}\n')
    run("cargo", "fetch", "-q", cwd=work, tries=TRIES)
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    found = list(home.glob(f"registry/cache/*/{row['package']}-{row['version']}.crate"))
    if not found:
        stop(f"cargo fetched {row['package']} but left no archive under {home}/registry/cache")
    return found[0]


def fetch_pip(row, work):
    run(sys.executable if shutil.which("pip3") is None else "pip3", "download", "-q", "--no-deps",
        "--no-binary", row["package"], f"{row['package']}=={row['version']}", "-d", str(work), tries=TRIES)
    return next(path for path in work.iterdir() if path.name.startswith(row["package"]))


def fetch_npm(row, work):
    run("npm", "pack", "--silent", f"{row['package']}@{row['version']}", cwd=work, tries=TRIES)
    return next(work.glob("*.tgz"))


FETCH = {"go": fetch_go, "cargo": fetch_cargo, "pip": fetch_pip, "npm": fetch_npm}


# ---- one artefact ------------------------------------------------------------------------------

def recipe_hash(row):
    text = json.dumps(row, sort_keys=True) + platform.machine()
    return hashlib.sha256(text.encode()).hexdigest()


def check_hash(row, archive):
    got = hashlib.sha256(archive.read_bytes()).hexdigest()
    if got != row["sha256"]:
        stop(f"{row['name']} {row['version']}: the archive's SHA-256 is\n  {got}\nand deps/deps.lock says\n"
             f"  {row['sha256']}\nNothing was installed. If the version was changed on purpose, check the"
             " new archive and put its hash into deps/deps.lock.")


def unpack(row, archive, work):
    """The folder that the paths of `take` are relative to."""
    out = work / "unpacked"
    if row["client"] == "go":
        shutil.unpack_archive(archive, out, "zip")
        return out / f"{row['package']}@{row['version']}"
    with tarfile.open(archive) as tar:
        tar.extractall(out, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(out)
    base = out / f"{row['package']}-{row['version']}" if row["client"] == "cargo" else out
    if "inner" in row:
        with tarfile.open(base / row["inner"]) as tar:
            tar.extractall(base)
    return base


def take(row, base, fresh):
    if row["take"] == ".":
        shutil.copytree(base, fresh)
        for folder in row.get("programs", []):  # the archives of modules carry no modes
            for path in (fresh / folder).rglob("*"):
                path.chmod(0o755)
        return
    fresh.mkdir(parents=True)
    for line in row["take"]:
        source, target = line.split(" -> ")
        if (base / source).is_dir():
            shutil.copytree(base / source, fresh / target)
        else:
            shutil.copy(base / source, fresh / target)


def compile_library(row, fresh):
    objects = []
    for source in row.get("compile", []):
        target = source + ".o"
        run("cc", "-O2", "-fPIC", *row["flags"], "-c", source, "-o", target, cwd=fresh)
        objects.append(target)
    if objects:
        run("ar", "rcsD", row["library"], *objects, cwd=fresh)
        for target in objects:
            (fresh / target).unlink()


def install(row):
    place = CACHE / row["name"]
    stamp = place / ".tarn-deps"
    if stamp.exists() and stamp.read_text() == recipe_hash(row):
        return False
    started = time.monotonic()
    say(f"{row['name']} {row['version']} through {row['client']}: {row['use']}")
    client_need(row["client"])
    with tempfile.TemporaryDirectory(prefix="tarn-deps-") as name:
        work = Path(name)
        archive = FETCH[row["client"]](row, work)
        check_hash(row, archive)
        fresh = CACHE / f".{row['name']}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        take(row, unpack(row, archive, work), fresh)
        compile_library(row, fresh)
        (fresh / ".tarn-deps").write_text(recipe_hash(row))
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
    say(f"{row['name']} is ready ({time.monotonic() - started:.1f} s)")
    return True


# ---- trees of packages: each a folder of deps/ whose lock file has every part by hash ----

def fill_npm(folder, fresh):
    for name in ("package.json", "package-lock.json"):
        shutil.copy(folder / name, fresh / name)
    client_need("npm")
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", cwd=fresh, tries=TRIES)


def fill_maven(folder, fresh):
    client_need("mvn")
    shutil.copy(folder / "pom.xml", fresh / "pom.xml")
    run("mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={fresh}", "-DincludeScope=runtime", cwd=fresh, tries=TRIES)
    rows = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in fresh.glob("*.jar")}
    wrong = sorted(name for name in rows.keys() | there.keys() if rows.get(name) != there.get(name))
    if wrong:
        stop(f"{', '.join(wrong)}: not as {(folder / 'SHA256SUMS').relative_to(TOP)} says. Nothing was installed.")


FILL = {"npm": fill_npm, "maven": fill_maven}


def install_tree(row):
    folder, place = TOP / row["folder"], CACHE / row["name"]
    stamp = place / ".tarn-deps"
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return
    say(f"{row['name']} through {row['client']}: {row['why']}")
    fresh = CACHE / f".{row['name']}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    FILL[row["client"]](folder, fresh)
    (fresh / ".tarn-deps").write_text(key)
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


# ---- Go programs: each a module of ours in deps/go that names one of others, every part by hash ----

def install_program(row):
    folder, go, target = TOP / row["folder"], CACHE / "go", CACHE / "bin" / row["name"]
    stamp = CACHE / "bin" / f".{row['name']}"
    key = hashlib.sha256(b"".join((folder / name).read_bytes() for name in ("go.mod", "go.sum")) +
                         (go / ".tarn-deps").read_bytes() + row["package"].encode()).hexdigest()
    if target.exists() and stamp.exists() and stamp.read_text() == key:
        return
    started = time.monotonic()
    say(f"building {row['name']}: {row['why']}")
    target.parent.mkdir(exist_ok=True)
    env = {**os.environ, "GOROOT": str(go), "GO111MODULE": "on", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    run(str(go / "bin/go"), "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), row["package"], cwd=folder, env=env, tries=2)
    stamp.write_text(key)
    say(f"{row['name']} is ready ({time.monotonic() - started:.1f} s)")


# ---- Python readers of the tests ----------------------------------------------------------------

def install_more(group, *where):
    """deps/requirements-GROUP.txt, into the venv, or with `--target FOLDER` into CACHE/GROUP."""
    wanted = TOP / f"deps/requirements-{group}.txt"
    stamp = (CACHE / group if where else CACHE / "venv") / f".tarn-{group}"
    key = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return
    say(f"Python packages: {wanted.relative_to(TOP)}")
    if where:
        shutil.rmtree(CACHE / group, ignore_errors=True)
    run(str(CACHE / "venv/bin/pip"), "install", "-q", "--disable-pip-version-check", "--require-hashes",
        "--no-deps", "--only-binary", ":all:", *where, "-r", str(wanted), tries=TRIES)
    stamp.write_text(key)


def install_venv():
    """CACHE/venv points at the one of these requirements; one of other requirements stays for who works with them."""
    wanted = TOP / "deps/requirements.txt"
    key = hashlib.sha256(wanted.read_bytes()).hexdigest()
    venv, link = CACHE / f"venv-{key[:12]}", CACHE / "venv"
    stamp = venv / ".tarn-deps"
    if not (stamp.exists() and stamp.read_text() == key):
        say("Python packages of the tests: deps/requirements.txt")
        shutil.rmtree(venv, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(venv))
        run(str(venv / "bin/pip"), "install", "-q", "--disable-pip-version-check", "--require-hashes",
            "--only-binary", ":all:", "-r", str(wanted), tries=TRIES)
        stamp.write_text(key)
    if not link.is_symlink():
        shutil.rmtree(link, ignore_errors=True)
    if not (link.is_symlink() and os.readlink(link) == venv.name):
        fresh = CACHE / ".venv.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(venv.name)
        fresh.replace(link)
    os.utime(venv)
    others = sorted(CACHE.glob("venv-*"), key=lambda path: path.stat().st_mtime)
    for old in others[:-VENVS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def main(arguments):
    groups = set(arguments) or {"build"}
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = open(CACHE / ".lock", "w")  # one at a time; released at the end of the process
    fcntl.flock(lock, fcntl.LOCK_EX)
    debian_install(debian_missing(list(debian_wanted(groups))))
    lock_file = tomllib.loads((TOP / "deps/deps.lock").read_text())
    for row in lock_file["artefact"]:
        if groups & set(row["groups"]) and row.get("arch", platform.machine()) == platform.machine():
            install(row)
    for row in lock_file["program"]:
        if groups & set(row["groups"]):
            install_program(row)
    for row in lock_file["tree"]:
        if groups & set(row["groups"]):
            install_tree(row)
    if groups & {"test", "interop", "bench"}:
        install_venv()
        install_more("aio", "--target", str(CACHE / "aio"))
    for group in ("interop", "bench"):
        if group in groups:
            install_more(group)


if __name__ == "__main__":
    main(sys.argv[1:])
