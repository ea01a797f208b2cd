"""Where nginx 1.22 and nghttpd 1.52 do not do what a case asks, and why; README.md tells the classes."""
from collections import namedtuple

Difference = namedtuple("Difference", "why always")
TABLE = {"nginx": {}, "nghttpd": {}}
