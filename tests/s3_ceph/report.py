"""results.md of the lines that measure.py wrote: numbers per group, and every failing test with its reason.

usage: report.py LINES [BARE-LINES] >results.md      BARE-LINES: of `measure.py --bare`"""
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
GROUPS = (  # a marker, or words of the name
    ("list_objects_v2", "list_objects_v2", None), ("lists v1, versions", None, r"test_(bucket_list_|versioning_bucket_|.*list_versions)"),
    ("copy", "copy", None), ("tagging", "tagging", None), ("conditional_write", "conditional_write", None), ("checksum", "checksum", None),
    ("multipart", None, r"multipart"), ("versioning", None, r"versioning"), ("ranged", None, r"ranged"), ("atomic", None, r"atomic"),
    ("cors", None, r"cors"), ("presign", None, r"presign"), ("post_object", None, r"post_object"), ("object_raw", None, r"object_raw"),
    ("auth_common", "auth_common", None), ("delete_marker", "delete_marker", None), ("object_lock", None, r"object_lock"),
    ("bucket_policy", "bucket_policy", None), ("acl", None, r"acl"), ("encryption", None, r"encrypt|sse|_enc"), ("lifecycle", None, r"lifecycle"))


def read(path):
    rows = {}
    for line in Path(path).read_text().splitlines():
        row = json.loads(line)
        if row["test"] not in rows or row["outcome"] == "failed":
            rows[row["test"]] = row
    return list(rows.values())


def reasons():
    for line in (HERE / "reasons.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, _, why = line.rpartition(" | ")
            yield re.compile(pattern), why


def reason(row, rules):
    text = f"{' '.join(row['marks'])} {row['test']} {row['why']}{' BARE' if row.get('bare') else ''}"
    return next((why for pattern, why in rules if pattern.search(text)), "open")


def count(rows):
    passed = sum(row["outcome"] == "passed" for row in rows)
    return passed, len(rows)


def main():
    bare = {row["test"] for path in sys.argv[2:] for row in read(path) if row["outcome"] == "passed"}
    rows, rules = read(sys.argv[1]), list(reasons())
    for row in rows:
        row["bare"] = row["outcome"] == "failed" and row["test"] in bare
    failing = defaultdict(list)
    for row in rows:
        if row["outcome"] == "failed":
            failing[reason(row, rules)].append(row)
    numbers = Counter({why: len(tests) for why, tests in failing.items()})
    aws = [row for row in rows if "fails_on_aws" not in row["marks"]]
    print("# ceph/s3-tests against the S3 door\n")
    print("Made by `report.py` from what `measure.py` wrote (the suite's commit 8f0ae7b of 2026-05-07; README.md says how). `fails_on_aws` are")
    print("the suite's own words; what is not served has its reason below.\n")
    print("| group | passes | of |\n|---|---|---|")
    print("| all | %d | %d |" % count(rows))
    print("| not `fails_on_aws` | %d | %d |" % count(aws))
    for name, mark, words in GROUPS:
        print("| %s | %d | %d |" % (name, *count([row for row in aws if (mark in row["marks"] if mark else re.search(words, row["test"]))])))
    print("\nGroups leave out `fails_on_aws`; a test can be in several.\n\n## Why others do not\n\n| tests | reason |\n|---|---|")
    for why, number in numbers.most_common():
        print(f"| {number} | {why} |")
    skipped = sorted((row for row in rows if row["outcome"] not in ("passed", "failed")), key=lambda row: row["test"])
    print("\n## Skipped by the suite itself\n\nThey count as not passing in every number.\n")
    for row in skipped:
        print(f"- `{row['test']}`: {re.sub(r'^Skipped: | .pytest.skip.*$', '', row['why'])}")
    print("\n## Every failing test")
    for why, _ in numbers.most_common():
        print(f"\n### {why}\n")
        for row in sorted(failing[why], key=lambda row: row["test"]):
            came = f": {row['why'][:150].replace('|', ' ').replace('<', '(').replace('>', ')')}" if why == "open" else ""
            print(f"- `{row['test']}`{came}")


main()
