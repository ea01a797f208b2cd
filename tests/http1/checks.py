"""Counts of what passed and failed, for the closing line."""
import threading

lock = threading.Lock()
passed, failures = 0, []


def check(name, holds, text=""):
    global passed
    with lock:
        if holds:
            passed += 1
        else:
            failures.append(name)
            print(f"FAIL {name}: {text}", flush=True)
    return bool(holds)


def close():
    """The closing line; the exit status."""
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0
