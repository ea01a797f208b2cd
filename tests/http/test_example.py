#!/usr/bin/env python3
"""The door of src/front/README.md: the lines that it shows are those that are built, and the door works."""
import os

from harness import BUILD, TOP, Door, case, run

os.environ["TARN_DOOR"] = str(BUILD / "tests/http/example_door")
KEY = {"Authorization": "Bearer open sesame"}


@case
def readme_shows_what_is_built():
    source = (TOP / "tests/http/example_door.c").read_text()
    readme = (TOP / "src/front/README.md").read_text()
    lines = source.split("/* [door */\n")[1].split("/* door] */")[0].rstrip()
    assert f"```c\n{lines}\n```" in readme, "the door of tests/http/example_door.c differs from src/front/README.md"
    assert len([line for line in lines.splitlines() if line.strip()]) <= 30


@case
def example_door_works():
    with Door() as door:
        assert door.ask("GET", "/counters/7").body == b"0\n"
        assert door.ask("POST", "/counters/7", body=b"5").status == 401
        assert door.ask("POST", "/counters/7", KEY, body=b"5").body == b"5\n"
        assert door.ask("POST", "/counters/7", KEY, body=b"37").body == b"42\n"
        assert door.ask("GET", "/counters/7").body == b"42\n"
        assert door.ask("GET", "/counters/8").body == b"0\n"
        assert door.ask("POST", "/counters/8", KEY, body=b"1" * 21).status == 413
        reply = door.ask("POST", "/counters/8", KEY, body=b"five")
        assert reply.status == 400 and reply.json["detail"] == "the body is no whole number", reply
        for wrong in ("100", "x", "-1", "18446744073709551616"):
            reply = door.ask("GET", "/counters/" + wrong)
            assert reply.status == 404 and reply.json["detail"] == "counters are 0 to 99", reply
        reply = door.ask("DELETE", "/counters/7")
        assert reply.status == 405 and {"GET", "POST"} <= set(reply.field("Allow").split(", ")), reply
        assert door.ask("GET", "/").status == 404 and door.ask("HEAD", "/counters/7").status == 200


run()
