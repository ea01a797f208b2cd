#!/usr/bin/env python3
"""Makes docs/reference/*.md from the .def tables. usage: tools/docs.py [--check]"""
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
OUT = TOP / "docs/reference"
TABLES = [  # (title, .def file, macro, columns: (heading, index of the argument))
    ("Settings", "src/main/settings.def", "SETTING",
     [("setting", 0), ("type", 1), ("default", 2), ("unit", 6), ("read", 7), ("what", 8)]),
    ("Commands", "src/main/commands.def", "COMMAND", [("command", 0), ("usage", 3), ("what", 4), ("example", 5)]),
    ("Error codes", "src/base/errors.def", "CODE",
     [("code", 0), ("retry", 1), ("HTTP", 2), ("gRPC", 3), ("S3", 4), ("Kafka", 5), ("SQLSTATE", 6), ("exit", 7), ("meaning", 8)]),
    ("REST routes", "src/front/rest/routes.def", "ROUTE",
     [("method", 0), ("path", 1), ("name", 2), ("right", 4), ("body", 6), ("ms", 7), ("flags", 3), ("query", 13), ("what", 14)]),
    ("Limits", "src/front/limits.def", "LIMIT",
     [("of", 0), ("what", 1), ("default", 3), ("setting", 4), ("beyond it", 5), ("why", 6), ("in the code", 2)]),
    ("Metrics of the doors and buckets", "src/front/metrics.def", "METRIC",
     [("tarn_", 0), ("type", 1), ("labels", 2), ("what", 3)]),
    ("Metrics of the store", "src/api/metrics.def", "API_METRIC", [("tarn_", 0), ("type", 1), ("what", 2)]),
    ("Metrics of the verbs", "src/api/counters.def", "API_COUNTER", [("tarn_ ... _total", 0), ("what", 1)]),
    ("SQL functions", "src/sql/functions.def", None, None),
    ("Expectations", "src/flow/expect.def", None, None),
    ("System tables", "src/api/system_tables.def", "SYSTEM_TABLE",
     [("table", 0), ("right", 1), ("what", 2), ("columns", 3)]),
    ("Bronze objects", "src/source/objects.def", "SOURCE_COLUMN",
     [("column", 0), ("type", 1), ("what", 3)]),
    ("S3 operations", "src/front/s3/s3_ops.def", "S3_OP",
     [("operation", 0), ("method", 1), ("of", 2), ("query", 3), ("right", 4), ("action in policies", 5)]),
    ("Operations on the metadata", "src/meta/ops.def", None, None),
]


def arguments(text, start):
    """The arguments of a macro call whose `(` is at `start`, and where it ends."""
    depth, quote, part, out, i = 0, None, "", [], start
    while True:
        c = text[i]
        if quote:
            part += c
            if c == "\\":
                part += text[i + 1]
                i += 1
            elif c == quote:
                quote = None
        elif c in "\"'":
            quote = c
            part += c
        elif c in "([{":
            depth += 1
            part += c if depth > 1 else ""
        elif c in ")]}":
            depth -= 1
            if depth == 0:
                out.append(part.strip())
                return out, i + 1
            part += c
        elif c == "," and depth == 1:
            out.append(part.strip())
            part = ""
        else:
            part += c
        i += 1


def clean(value):
    value = re.sub(r'"\s*"', "", value)
    value = re.sub(r"\bCOLUMN\((\w+), (\w+)\)", r"`\1`", value)
    if value.startswith('"') and value.endswith('"'):
        value = value[1:-1].replace('\\"', '"').replace("\\n", "; ")
    value = re.sub(r"\s+", " ", value)
    return value.replace("|", "\\|").replace("CONF_", "") if value != "NULL" else ""


def rows(path, macro):
    text = re.sub(r"/\*.*?\*/", lambda m: " " * len(m.group()), path.read_text(), flags=re.S)
    for found in re.finditer(r"^\s*([A-Z][A-Z0-9_]+)\s*\(", text, re.M):
        if macro and found.group(1) != macro:
            continue
        out, _ = arguments(text, found.end() - 1)
        yield [clean(value) for value in out]


def page(title, path, macro, columns):
    all_rows = list(rows(path, macro))
    lines = [f"# {title}", "", f"Made from `{path.relative_to(TOP)}` by `make docs`; do not edit.", ""]
    if columns is None:
        width = max((len(r) for r in all_rows), default=0)
        keep = [i for i in range(width) if i == 0 or not all(re.fullmatch(r"\w*_\w*", r[i]) if i < len(r) else True for r in all_rows)]
        lines += ["| " + " | ".join(["name"] + [""] * (len(keep) - 1)) + " |", "|" + " --- |" * len(keep)]
        lines += ["| " + " | ".join(r[i] if i < len(r) else "" for i in keep) + " |" for r in all_rows]
    else:
        lines += ["| " + " | ".join(name for name, _ in columns) + " |", "|" + " --- |" * len(columns)]
        lines += ["| " + " | ".join(r[i] if i < len(r) else "" for _, i in columns) + " |" for r in all_rows]
    return "\n".join(lines) + "\n"


def main():
    check = "--check" in sys.argv
    stale = []
    OUT.mkdir(parents=True, exist_ok=True)
    for title, name, macro, columns in TABLES:
        path = TOP / name
        if not path.exists():
            continue
        target = OUT / (title.lower().replace(" ", "-") + ".md")
        text = page(title, path, macro, columns)
        if target.exists() and target.read_text() == text:
            continue
        if check:
            stale.append(str(target.relative_to(TOP)))
        else:
            target.write_text(text)
            print(f"docs: {target.relative_to(TOP)}")
    for name in stale:
        print(f"{name}:1: docs: is older than its table; run `make docs`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
