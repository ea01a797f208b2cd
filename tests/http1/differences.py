"""Every row that nginx 1.22.1 answers otherwise than the table asks, and why we keep to the table.

What nginx does: TAKES (it answers, and the request behind as well), WAITS (for more bytes), BARE (a body without a
head, as HTTP/0.9 has), or the status that it refuses with."""
TAKES, WAITS, BARE = "takes", "waits", "bare"

DIFFERENCES = [
    ("RFC 9112 2.2 lets a recipient take a bare LF for the end of a line (MAY). The line in front that does not was the "
     "way to hide fields from a proxy that does not: we want CR LF.", TAKES,
     ["coding behind a bare LF", "all lines end with LF", "request line ends with LF", "a field ends with LF",
      "the head ends with LF", "LF before the request line", "chunk size ends with LF", "chunk data ends with LF",
      "last chunk ends with LF", "the body ends with LF", "all chunk lines end with LF", "extension that ends with LF",
      "extension of LF", "trailer that ends with LF", "chunk shorter than its size"]),
    ("nginx drops a CR in front of CR LF or of a line; RFC 9112 2.2 asks to refuse a bare CR or to make it a blank.", TAKES,
     ["a field ends with CR CR LF", "CR before the request line"]),
    ("nginx skips any number of empty lines; RFC 9112 2.2 asks for at least one. One is what old clients send.", TAKES,
     ["CR LF before the request line, three times"]),
    ("nginx skips any number of blanks between the parts of the request line; RFC 9112 3 has one.", TAKES,
     ["two blanks before the target", "two blanks behind the target", "a blank behind the version"]),
    ("nginx answers HTTP/0.9, whose replies have no head. RFC 9112 has no such request.", BARE,
     ["no version", "HTTP/0.9 request"]),
    ("nginx reads any number for the minor version. RFC 9112 2.3 has one digit; no HTTP/1.2 exists.", TAKES,
     ["version HTTP/1.10", "version HTTP/1.2"]),
    ("nginx reads 11 for the major version; without a point it is no version (RFC 9112 2.3).", 505, ["version HTTP/11"]),
    ("nginx takes controls in values; RFC 9110 5.5 calls them invalid, and a log or a filter may cut there.", TAKES,
     ["control in a value", "escape in a value", "delete in a value", "extension with a control",
      "extension with a NUL"]),
    ("nginx gives 501 for every value that is not exactly `chunked`; we tell codings that exist (501) from values that are "
     "no list of codings or do not end with chunked (400, RFC 9112 6.3).", 501,
     ["identity and length", "coding chunked, gzip", "coding chunked, identity", "coding chunked twice", "coding empty",
      "coding with a comma behind", "coding with a comma before", "coding behind a vertical tab", "coding before a form feed"]),
    ("nginx takes lengths up to 2^63; 18 digits are enough for an exabyte, and no reader overflows.", WAITS,
     ["length of 19 digits", "length of 2^32 as 19 digits"]),
    ("nginx cuts a fragment off; RFC 9112 3.2 has none in a target, and another reader would route on it.", TAKES,
     ["fragment", "fragment behind a query", "absolute form with a fragment"]),
    ("nginx takes bytes that RFC 3986 has not in a target.", TAKES,
     ["bytes of UTF-8 in the target", "a byte of 0xFF in the target"]),
    ("nginx takes any scheme in the absolute form; we serve http and https.", TAKES, ["absolute form of another scheme"]),
    ("nginx lets the absolute form win over Host, as RFC 9112 3.2.2 asks. 3.2 makes every client send the same in both; "
     "where they differ, somebody between us was fooled, so we refuse.", TAKES,
     ["absolute form of another host than Host", "absolute form of another port than Host"]),
    ("nginx looks for `/`, `..` and NUL in Host and leaves the rest to the name that is asked for; RFC 9112 3.2 asks to "
     "refuse what is no uri-host and port.", TAKES,
     ["Host list without blank", "Host with userinfo", "Host with an at behind the port", "Host with a query",
      "Host with a fragment", "Host with a backslash", "Host with two ports", "Host with letters for a port",
      "Host with a port below 0", "Host with a port of plus", "Host with a port above 65535", "Host of UTF-8",
      "Host with a percent", "Host with a semicolon", "Host in quotes", "Host of an open bracket", "Host of empty brackets",
      "Host of IPv6 with more behind", "Host of IPv6 with nine groups", "Host of IPv6 with a zone",
      "Host of IPv6 with two gaps"]),
    ("nginx leaves fields out whose name is no token (ignore_invalid_headers); what stands behind it may read them. "
     "RFC 9112 5.1 has tokens only.", TAKES,
     ["field without colon", "name with brackets", "name with parentheses", "name with quotes", "name with a slash",
      "name with an at", "name with a semicolon", "name with an equals sign", "name of UTF-8"]),
    ("other limits: nginx was given 48 KiB for a line and any number of fields.", TAKES,
     ["97 fields", "200 fields", "a field of 40 KiB", "a name of 40 KiB", "a target of 9 KiB", "a query of 9 KiB",
      "a method of 40 letters"]),
    ("nginx does not look at Expect beyond 100-continue; RFC 9110 10.1.1: 417.", TAKES, ["Expect of something else"]),
    ("nginx takes digits until they overflow; 15 are enough for a chunk.", TAKES, ["chunk size of 16 digits"]),
    ("nginx skips what stands between a chunk's size and LF; RFC 9112 7.1.1 has a grammar, and 256 bytes are enough.", TAKES,
     ["chunk size with a blank behind", "chunk size with a tab behind", "extension of nothing", "extension without name",
      "extension without value", "extension with two names", "extension with an open quote",
      "extension with more behind a quote", "extension with two semicolons", "extension of 300 bytes",
      "extensions of 20 KiB in all", "a word behind the size"]),
    ("nginx ends the extension at the CR LF in quotes, and what follows is data and then no request; we refuse the quote "
     "that does not end.", "takes, then 400", ["extension with CR LF in quotes"]),
    ("nginx skips trailers without a look; we give them to the handler, so they are checked like fields, and those that "
     "would frame or route a message are refused (RFC 9110 6.5.1).", TAKES,
     ["a second request in a chunk that is too long", "trailer without colon", "trailer without name",
      "trailer with blank before the colon", "trailer folded", "trailer that begins with a blank", "trailer with a NUL",
      "trailer with a control", "trailer Content-Length", "trailer Transfer-Encoding", "trailer Host", "trailers of 20 KiB",
      "100 trailers"]),
    ("nginx knows no CONNECT: 405 for its method, 400 for its target. We say 501, and 400 for a target that it cannot have.",
     405, ["CONNECT with a path"]),
    ("The same, the other way about.", 400, ["CONNECT"]),
]

# Good rows that nginx refuses or answers otherwise: the statuses that it gives.
GOOD_DIFFERENCES = [
    ("nginx knows no asterisk form; RFC 9112 3.2.4 has it for OPTIONS.", [400], ["asterisk"]),
    ("nginx knows methods of capitals, `-` and `_`; RFC 9110 9.1 has tokens: 501 for one that we do not know.", [400],
     ["a method in small letters", "a method of token bytes"]),
    ("nginx decodes the path and refuses NUL and ways out of the root; we route on the raw path: there is nothing (404).", [400],
     ["a path with escapes", "a path with dots and slashes"]),
    ("nginx does not skip tabs before a value; RFC 9110 5.6.3 has them in OWS.", [400], ["length with blanks around", "Host with blanks around"]),
    ("The same.", [501], ["chunked with blanks around"]),
    ("nginx sends 100 before it looks for a body; RFC 9110 10.1.1 leaves it out where there is none.", [100, 200, 200],
     ["100-continue without body"]),
    ("`return 200` of nginx answers every method.", [200, 200], ["a method that the path has not"]),
    ("nginx refuses an empty Host in HTTP/1.0, where it may be missing altogether.", [400], ["HTTP/1.0 with an empty Host"]),
]


def by_name(table):
    return {name: what for _, what, names in table for name in names}
