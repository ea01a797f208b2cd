"""The table of HTTP/1.1 heads and bodies that two readers could take differently, with the answer that is asked.

Each row: a name, the section that asks for the answer, the status, the bytes. HTTP is RFC 9112, SEM RFC 9110,
URI RFC 3986. Rows of BODIES are wrong behind their head, so that a handler may have seen the head, never the end.
A status may be a set where the section leaves the choice."""

HOST = b"Host: door\r\n"
GET = b"GET /fixed HTTP/1.1\r\n"
PUT = b"PUT /sink HTTP/1.1\r\n"


def get(*fields, line=GET):
    """A GET with a Host and these fields."""
    return line + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def line(text, *fields):
    """This request line with a Host."""
    return get(*fields, line=text + b"\r\n")


def host(*values):
    """A GET with these Host fields."""
    return GET + b"".join(b"Host:" + value + b"\r\n" for value in values) + b"\r\n"


def put(*fields, body=b""):
    return PUT + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def coded(value, body=b"0\r\n\r\n", *more):
    return put(b"Transfer-Encoding:" + value, *more, body=body)


def chunks(body, head=b""):
    return PUT + HOST + head + b"Transfer-Encoding: chunked\r\n\r\n" + body


LENGTH = "HTTP 6.2"
CODING = "HTTP 6.1"
BOTH = "HTTP 6.3"
FIELD = "HTTP 5"
COLON = "HTTP 5.1"
FOLD = "HTTP 5.2"
LINE = "HTTP 3"
TARGET = "HTTP 3.2"
HOSTS = "HTTP 3.2, SEM 7.2"
ENDS = "HTTP 2.2"
VERSION = "HTTP 2.3, SEM 2.5"
CHUNK = "HTTP 7.1"
EXTENSION = "HTTP 7.1.1"
TRAILER = "HTTP 7.1.2, SEM 6.5.1"
VALUE = "SEM 5.5"
BODY = b"hello"

HEADS = [
    # -- the framing table of the research, and every form around it
    ("length and coding", BOTH, 400, put(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("coding and length", BOTH, 400, put(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n")),
    ("coding and length 0", BOTH, 400, put(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=b"0\r\n\r\n")),
    ("identity and length", BOTH, 400, put(b"Transfer-Encoding: identity", b"Content-Length: 5", body=BODY)),
    ("bad length and coding", BOTH, 400, put(b"Content-Length: x", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("two lengths", LENGTH, 400, put(b"Content-Length: 5", b"Content-Length: 6", body=BODY)),
    ("two equal lengths", LENGTH, 400, put(b"Content-Length: 5", b"Content-Length: 5", body=BODY)),
    ("two lengths, one in capitals", LENGTH, 400, put(b"Content-Length: 0", b"CONTENT-LENGTH: 5", body=BODY)),
    ("two lengths apart", LENGTH, 400, put(b"Content-Length: 5", b"X: y", b"Content-Length: 0", body=BODY)),
    ("length list", LENGTH, 400, put(b"Content-Length: 5, 5", body=BODY)),
    ("length list of two", LENGTH, 400, put(b"Content-Length: 5,6", body=BODY)),
    ("length with a comma", LENGTH, 400, put(b"Content-Length: 5,", body=BODY)),
    ("length with plus", LENGTH, 400, put(b"Content-Length: +5", body=BODY)),
    ("length with minus", LENGTH, 400, put(b"Content-Length: -5", body=BODY)),
    ("length minus 0", LENGTH, 400, put(b"Content-Length: -0")),
    ("length hexadecimal", LENGTH, 400, put(b"Content-Length: 0x5", body=BODY)),
    ("length hexadecimal digit", LENGTH, 400, put(b"Content-Length: a", body=BODY * 2)),
    ("length octal by prefix", LENGTH, 400, put(b"Content-Length: 0o5", body=BODY)),
    ("length with a point", LENGTH, 400, put(b"Content-Length: 5.0", body=BODY)),
    ("length with exponent", LENGTH, 400, put(b"Content-Length: 5e0", body=BODY)),
    ("length with underscore", LENGTH, 400, put(b"Content-Length: 1_0", body=BODY * 2)),
    ("length with an inner blank", LENGTH, 400, put(b"Content-Length: 1 0", body=BODY * 2)),
    ("length empty", LENGTH, 400, put(b"Content-Length:", body=BODY)),
    ("length of blanks", LENGTH, 400, put(b"Content-Length:   ", body=BODY)),
    ("length quoted", LENGTH, 400, put(b'Content-Length: "5"', body=BODY)),
    ("length with a parameter", LENGTH, 400, put(b"Content-Length: 5;a=b", body=BODY)),
    ("length of 19 digits", LENGTH, 400, put(b"Content-Length: 1000000000000000000", body=BODY)),
    ("length of 2^64 + 5", LENGTH, 400, put(b"Content-Length: 18446744073709551621", body=BODY)),
    ("length of 2^32 as 19 digits", LENGTH, 400, put(b"Content-Length: 0000000004294967301", body=BODY)),
    ("length in full width digits", LENGTH, 400, put("Content-Length: \uff15".encode(), body=BODY)),
    ("length behind a vertical tab", LENGTH, 400, put(b"Content-Length: \x0b5", body=BODY)),
    ("length behind a form feed", LENGTH, 400, put(b"Content-Length:\x0c5", body=BODY)),
    ("length behind a no-break space", LENGTH, 400, put(b"Content-Length:\xa05", body=BODY)),
    ("length and NUL", LENGTH, 400, put(b"Content-Length: 5\x00", body=BODY)),
    ("length folded", FOLD, 400, put(b"Content-Length:\r\n 5", body=BODY)),
    ("blank before the colon of length", COLON, 400, put(b"Content-Length : 5", body=BODY)),
    ("tab before the colon of length", COLON, 400, put(b"Content-Length\t: 5", body=BODY)),
    ("two lengths in HTTP/1.0", LENGTH, 400, b"PUT /sink HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello"),
    # -- transfer codings
    ("coding with blank before the colon", COLON, 400, put(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    ("coding with tab before the colon", COLON, 400, put(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n")),
    ("coding folded", FOLD, 400, coded(b"\r\n chunked")),
    ("coding folded with a tab", FOLD, 400, coded(b"\r\n\tchunked")),
    ("coding xchunked", CODING, 501, coded(b" xchunked")),
    ("coding gzip, chunked", CODING, 501, coded(b" gzip, chunked")),
    ("coding gzip", CODING, {400, 501}, coded(b" gzip")),
    ("coding chunked, gzip", BOTH, 400, coded(b" chunked, gzip")),
    ("coding chunked, identity", BOTH, 400, coded(b" chunked, identity")),
    ("coding chunked twice", CODING, 400, coded(b" chunked, chunked")),
    ("coding in two fields", CODING, 400, coded(b" chunked", b"0\r\n\r\n", b"Transfer-Encoding: identity")),
    ("coding in two equal fields", CODING, 400, coded(b" chunked", b"0\r\n\r\n", b"Transfer-Encoding: chunked")),
    ("coding in two fields, gzip first", CODING, {400, 501}, coded(b" gzip", b"0\r\n\r\n", b"Transfer-Encoding: chunked")),
    ("coding identity", CODING, {400, 501}, coded(b" identity")),
    ("coding empty", CODING, 400, coded(b"")),
    ("coding with a comma behind", CODING, 400, coded(b" chunked,")),
    ("coding with a comma before", CODING, 400, coded(b" , chunked")),
    ("coding with a parameter", CODING, {400, 501}, coded(b" chunked;a=b")),
    ("coding quoted", CODING, {400, 501}, coded(b' "chunked"')),
    ("coding in single quotes", CODING, {400, 501}, coded(b" 'chunked'")),
    ("coding behind a vertical tab", VALUE, 400, coded(b" \x0bchunked")),
    ("coding before a form feed", VALUE, 400, coded(b" chunked\x0c")),
    ("coding behind a no-break space", CODING, {400, 501}, coded(b"\xa0chunked")),
    ("coding with a NUL", VALUE, 400, coded(b" chunked\x00")),
    ("coding behind a bare CR", ENDS, 400, coded(b" \rchunked")),
    ("coding with a letter of another alphabet", CODING, {400, 501}, coded(" chun\u212aed".encode())),
    ("coding in HTTP/1.0", CODING, 400, b"PUT /sink HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("coding behind a bare LF", ENDS, 400, put(b"X: y\nTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("coding behind a bare CR in another field", ENDS, 400, put(b"X: y\rTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("coding behind a folded line", FOLD, 400, put(b"X: y\r\n Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("blank before the name of coding", FOLD, 400, PUT + HOST + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("coding's name with an underscore and a length", LENGTH, 400, put(b"Transfer_Encoding: chunked", b"Content-Length: 5x")),
    # -- lines and their ends
    ("all lines end with LF", ENDS, 400, b"GET /fixed HTTP/1.1\nHost: door\n\n"),
    ("request line ends with LF", ENDS, 400, b"GET /fixed HTTP/1.1\nHost: door\r\n\r\n"),
    ("a field ends with LF", ENDS, 400, GET + b"Host: door\n\r\n"),
    ("the head ends with LF", ENDS, 400, GET + HOST + b"\n"),
    ("request line ends with CR", ENDS, 400, b"GET /fixed HTTP/1.1\rHost: door\r\n\r\n"),
    ("request line ends with CR CR LF", ENDS, 400, b"GET /fixed HTTP/1.1\r\r\nHost: door\r\n\r\n"),
    ("a field ends with CR CR LF", ENDS, 400, GET + b"Host: door\r\r\n\r\n"),
    ("the head ends with CR CR LF", ENDS, 400, GET + HOST + b"\r\r\n"),
    ("LF CR", ENDS, 400, b"GET /fixed HTTP/1.1\n\rHost: door\n\r\n\r"),
    ("NUL in a value", VALUE, 400, get(b"X: a\x00b")),
    ("NUL in a name", COLON, 400, get(b"X\x00: a")),
    ("CR in a value", ENDS, 400, get(b"X: a\rb")),
    ("CR in a name", ENDS, 400, get(b"X\r: b")),
    ("control in a value", VALUE, 400, get(b"X: a\x01b")),
    ("escape in a value", VALUE, 400, get(b"X: a\x1bb")),
    ("delete in a value", VALUE, 400, get(b"X: a\x7fb")),
    ("CR LF before the request line, three times", ENDS, 400, b"\r\n\r\n\r\n" + get()),
    ("LF before the request line", ENDS, 400, b"\n" + get()),
    ("CR before the request line", ENDS, 400, b"\r" + get()),
    ("blank before the request line", LINE, 400, b" " + get()),
    ("blank line in front of the first field", FOLD, 400, GET + b" \r\n" + HOST + b"\r\n"),
    # -- request lines
    ("two blanks before the target", LINE, 400, line(b"GET  /fixed HTTP/1.1")),
    ("two blanks behind the target", LINE, 400, line(b"GET /fixed  HTTP/1.1")),
    ("a tab before the target", LINE, 400, line(b"GET\t/fixed HTTP/1.1")),
    ("a tab behind the target", LINE, 400, line(b"GET /fixed\tHTTP/1.1")),
    ("a form feed before the version", LINE, 400, line(b"GET /fixed \x0cHTTP/1.1")),
    ("a blank behind the version", LINE, 400, line(b"GET /fixed HTTP/1.1 ")),
    ("a tab behind the version", LINE, 400, line(b"GET /fixed HTTP/1.1\t")),
    ("more behind the version", LINE, 400, line(b"GET /fixed HTTP/1.1 x")),
    ("a blank in the target", LINE, 400, line(b"GET /fixed x HTTP/1.1")),
    ("a second request line in the target", LINE, 400, line(b"GET /fixed HTTP/1.1 HTTP/1.1")),
    ("no version", VERSION, 400, line(b"GET /fixed")),
    ("no target", LINE, 400, line(b"GET HTTP/1.1")),
    ("no method", LINE, 400, line(b"/fixed HTTP/1.1")),
    ("a method with a colon", LINE, 400, line(b"GET: /fixed HTTP/1.1")),
    ("a method with a slash", LINE, 400, line(b"GET/ /fixed HTTP/1.1")),
    ("a method with a NUL", LINE, 400, line(b"GE\x00T /fixed HTTP/1.1")),
    ("a method in quotes", LINE, 400, line(b'"GET" /fixed HTTP/1.1')),
    ("a method of another alphabet", LINE, 400, line("G\u0415T /fixed HTTP/1.1".encode())),
    ("a method of 40 letters", LINE, {400, 405, 501}, line(b"G" * 40 + b" /fixed HTTP/1.1")),
    ("version in small letters", VERSION, 400, line(b"GET /fixed http/1.1")),
    ("version HTTP/1.10", VERSION, 400, line(b"GET /fixed HTTP/1.10")),
    ("version HTTP/1.", VERSION, 400, line(b"GET /fixed HTTP/1.")),
    ("version HTTP/1", VERSION, 400, line(b"GET /fixed HTTP/1")),
    ("version HTTP/01.1", VERSION, 400, line(b"GET /fixed HTTP/01.1")),
    ("version HTTP/11", VERSION, 400, line(b"GET /fixed HTTP/11")),
    ("version HTTP/1,1", VERSION, 400, line(b"GET /fixed HTTP/1,1")),
    ("version HTTP/+1.1", VERSION, 400, line(b"GET /fixed HTTP/+1.1")),
    ("version HTTP/ 1.1", VERSION, 400, line(b"GET /fixed HTTP/ 1.1")),
    ("version HTTPS/1.1", VERSION, 400, line(b"GET /fixed HTTPS/1.1")),
    ("version ICY/1.1", VERSION, 400, line(b"GET /fixed ICY/1.1")),
    ("version HTTP/0.9", VERSION, {400, 505}, line(b"GET /fixed HTTP/0.9")),
    ("version HTTP/1.2", VERSION, 505, line(b"GET /fixed HTTP/1.2")),
    ("version HTTP/2.0", VERSION, 505, line(b"GET /fixed HTTP/2.0")),
    ("version HTTP/3.0", VERSION, 505, line(b"GET /fixed HTTP/3.0")),
    ("version HTTP/9.9", VERSION, 505, line(b"GET /fixed HTTP/9.9")),
    ("HTTP/0.9 request", VERSION, 400, b"GET /fixed\r\n\r\n"),
    # -- targets
    ("fragment", TARGET, 400, line(b"GET /fixed#x HTTP/1.1")),
    ("fragment behind a query", TARGET, 400, line(b"GET /fixed?a#x HTTP/1.1")),
    ("target without slash", TARGET, 400, line(b"GET fixed HTTP/1.1")),
    ("target with a backslash first", TARGET, 400, line(b"GET \\fixed HTTP/1.1")),
    ("target of dots", TARGET, 400, line(b"GET ../fixed HTTP/1.1")),
    ("target of a query only", TARGET, 400, line(b"GET ?a HTTP/1.1")),
    ("asterisk of GET", TARGET, 400, line(b"GET * HTTP/1.1")),
    ("asterisk with more", TARGET, 400, line(b"OPTIONS *a HTTP/1.1")),
    ("authority of GET", TARGET, 400, line(b"GET door:80 HTTP/1.1")),
    ("CONNECT with a path", TARGET, 400, line(b"CONNECT /fixed HTTP/1.1")),
    ("CONNECT without port", TARGET, 400, line(b"CONNECT door HTTP/1.1")),
    ("CONNECT with userinfo", TARGET, 400, line(b"CONNECT a@door:80 HTTP/1.1")),
    ("CONNECT", "SEM 9.3.6", {405, 501}, line(b"CONNECT door:80 HTTP/1.1")),
    ("NUL in the target", TARGET, 400, line(b"GET /fix\x00ed HTTP/1.1")),
    ("control in the target", TARGET, 400, line(b"GET /fix\x01ed HTTP/1.1")),
    ("delete in the target", TARGET, 400, line(b"GET /fix\x7fed HTTP/1.1")),
    ("CR in the target", TARGET, 400, line(b"GET /fix\red HTTP/1.1")),
    ("bytes of UTF-8 in the target", TARGET, 400, line("GET /fix\u00e9d HTTP/1.1".encode())),
    ("a byte of 0xFF in the target", TARGET, 400, line(b"GET /\xff HTTP/1.1")),
    ("a percent at the end of the path", TARGET, 400, line(b"GET /fixed% HTTP/1.1")),
    ("a percent with one digit", TARGET, 400, line(b"GET /fixed%2 HTTP/1.1")),
    ("a percent with no digits", TARGET, 400, line(b"GET /fix%zzed HTTP/1.1")),
    ("a percent with u", TARGET, 400, line(b"GET /fix%u0065d HTTP/1.1")),
    ("absolute form of no host", TARGET, 400, line(b"GET http:///fixed HTTP/1.1")),
    ("absolute form with userinfo", "SEM 4.2.4", 400, line(b"GET http://a@door/fixed HTTP/1.1")),
    ("absolute form with user and password", "SEM 4.2.4", 400, line(b"GET http://a:b@door/fixed HTTP/1.1")),
    ("absolute form of another scheme", TARGET, 400, line(b"GET ftp://door/fixed HTTP/1.1")),
    ("absolute form of a file", TARGET, 400, line(b"GET file:///etc/passwd HTTP/1.1")),
    ("absolute form with one slash", TARGET, 400, line(b"GET http:/door/fixed HTTP/1.1")),
    ("absolute form of another host than Host", TARGET, 400, line(b"GET http://other/fixed HTTP/1.1")),
    ("absolute form of another port than Host", TARGET, 400, line(b"GET http://door:81/fixed HTTP/1.1")),
    ("absolute form with a bad port", TARGET, 400, line(b"GET http://door:8x/fixed HTTP/1.1")),
    ("absolute form with a backslash", TARGET, 400, line(b"GET http://door\\@other/fixed HTTP/1.1")),
    ("absolute form with a fragment", TARGET, 400, line(b"GET http://door/fixed#x HTTP/1.1")),
    ("absolute form without Host", HOSTS, 400, b"GET http://door/fixed HTTP/1.1\r\n\r\n"),
    # -- hosts
    ("no Host", HOSTS, 400, GET + b"\r\n"),
    ("no Host but another field", HOSTS, 400, GET + b"X-Host: door\r\n\r\n"),
    ("two Hosts", HOSTS, 400, host(b" door", b" other")),
    ("two equal Hosts", HOSTS, 400, host(b" door", b" door")),
    ("two Hosts in HTTP/1.0", HOSTS, 400, b"GET /fixed HTTP/1.0\r\nHost: door\r\nHost: other\r\n\r\n"),
    ("Host empty", HOSTS, 400, host(b"")),
    ("Host of a blank", HOSTS, 400, host(b"  ")),
    ("Host list", HOSTS, 400, host(b" door, other")),
    ("Host list without blank", HOSTS, 400, host(b" door,other")),
    ("Host of two words", HOSTS, 400, host(b" door other")),
    ("Host with a tab", HOSTS, 400, host(b" door\tother")),
    ("Host with userinfo", HOSTS, 400, host(b" a@door")),
    ("Host with an at behind the port", HOSTS, 400, host(b" door:80@other")),
    ("Host with a path", HOSTS, 400, host(b" door/x")),
    ("Host with a query", HOSTS, 400, host(b" door?x")),
    ("Host with a fragment", HOSTS, 400, host(b" door#x")),
    ("Host with a backslash", HOSTS, 400, host(b" door\\x")),
    ("Host with a scheme", HOSTS, 400, host(b" http://door")),
    ("Host with two ports", HOSTS, 400, host(b" door:80:81")),
    ("Host with letters for a port", HOSTS, 400, host(b" door:http")),
    ("Host with a port below 0", HOSTS, 400, host(b" door:-80")),
    ("Host with a port of plus", HOSTS, 400, host(b" door:+80")),
    ("Host with a port above 65535", HOSTS, 400, host(b" door:65536")),
    ("Host of a port only", HOSTS, 400, host(b" :80")),
    ("Host with a NUL", HOSTS, 400, host(b" door\x00")),
    ("Host with a control", HOSTS, 400, host(b" do\x01or")),
    ("Host of UTF-8", HOSTS, 400, host(" d\u00f6or".encode())),
    ("Host with a percent", HOSTS, 400, host(b" do%6fr")),
    ("Host with a semicolon", HOSTS, 400, host(b" door;x")),
    ("Host in quotes", HOSTS, 400, host(b' "door"')),
    ("Host of an open bracket", HOSTS, 400, host(b" [::1")),
    ("Host of empty brackets", HOSTS, 400, host(b" []")),
    ("Host of IPv6 without brackets", HOSTS, 400, host(b" ::1")),
    ("Host of IPv6 with more behind", HOSTS, 400, host(b" [::1]door")),
    ("Host of IPv6 with nine groups", HOSTS, 400, host(b" [1:2:3:4:5:6:7:8:9]")),
    ("Host of IPv6 with a zone", HOSTS, 400, host(b" [fe80::1%25eth0]")),
    ("Host of IPv6 with two gaps", HOSTS, 400, host(b" [1::2::3]")),
    ("Host folded", FOLD, 400, host(b"\r\n door")),
    ("Host with blank before the colon", COLON, 400, GET + b"Host : door\r\n\r\n"),
    ("Host bad in HTTP/1.0", HOSTS, 400, b"GET /fixed HTTP/1.0\r\nHost: a/b\r\n\r\n"),
    # -- fields
    ("field folded", FOLD, 400, get(b"X: a\r\n b")),
    ("field folded with a tab", FOLD, 400, get(b"X: a\r\n\tb")),
    ("field folded to an empty line", FOLD, 400, get(b"X: a\r\n ")),
    ("first field folded", FOLD, 400, GET + b" Host: door\r\n\r\n"),
    ("field without colon", FIELD, 400, get(b"X")),
    ("field without name", FIELD, 400, get(b": a")),
    ("field of a colon", FIELD, 400, get(b":")),
    ("name with a blank", COLON, 400, get(b"X Y: a")),
    ("name with a blank behind", COLON, 400, get(b"X : a")),
    ("name with a tab behind", COLON, 400, get(b"X\t: a")),
    ("name with brackets", COLON, 400, get(b"X[]: a")),
    ("name with parentheses", COLON, 400, get(b"X(): a")),
    ("name with quotes", COLON, 400, get(b'"X": a')),
    ("name with a slash", COLON, 400, get(b"X/Y: a")),
    ("name with an at", COLON, 400, get(b"X@Y: a")),
    ("name with a semicolon", COLON, 400, get(b"X;Y: a")),
    ("name with an equals sign", COLON, 400, get(b"X=Y: a")),
    ("name of UTF-8", COLON, 400, get("\u00d6: a".encode())),
    ("name with a delete", COLON, 400, get(b"X\x7f: a")),
    ("a second request in the fields", FIELD, 400, get(b"GET /canary HTTP/1.1")),
    ("97 fields", "SEM 5.4", 431, get(*[b"X-%d: y" % i for i in range(96)])),
    ("200 fields", "SEM 5.4", 431, get(*[b"X-%d: y" % i for i in range(200)])),
    ("a field of 40 KiB", "SEM 5.4", 431, get(b"X: " + b"y" * 40960)),
    ("a name of 40 KiB", "SEM 5.4", 431, get(b"X" * 40960 + b": y")),
    ("a target of 9 KiB", "SEM 15.5.15", 414, line(b"GET /" + b"a" * 9216 + b" HTTP/1.1")),
    ("a query of 9 KiB", "SEM 15.5.15", 414, line(b"GET /fixed?" + b"a" * 9216 + b" HTTP/1.1")),
    ("two Authorizations", "SEM 5.3", 400, get(b"Authorization: Bearer a", b"Authorization: Bearer b")),
    ("Expect of something else", "SEM 10.1.1", 417, put(b"Expect: 200-ok", b"Content-Length: 5", body=BODY)),
    ("Expect twice", "SEM 10.1.1", {400, 417}, put(b"Expect: 100-continue", b"Expect: x", b"Content-Length: 5", body=BODY)),
    ("a TLS client hello", LINE, 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n" * 4),
    ("a line of another protocol", LINE, 400, b"EHLO door\r\n"),
    ("a PROXY header that was not asked for", LINE, 400, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()),
]

BODIES = [
    # -- sizes
    ("chunk size 0x5", CHUNK, 400, chunks(b"0x5\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with plus", CHUNK, 400, chunks(b"+5\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with minus", CHUNK, 400, chunks(b"-5\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with a blank before", CHUNK, 400, chunks(b" 5\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with a blank behind", CHUNK, 400, chunks(b"5 \r\nhello\r\n0\r\n\r\n")),
    ("chunk size with a tab behind", CHUNK, 400, chunks(b"5\t\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with underscore", CHUNK, 400, chunks(b"0_5\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with h", CHUNK, 400, chunks(b"5h\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with a comma", CHUNK, 400, chunks(b"5,\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with a point", CHUNK, 400, chunks(b"5.0\r\nhello\r\n0\r\n\r\n")),
    ("chunk size with a NUL", CHUNK, 400, chunks(b"5\x00\r\nhello\r\n0\r\n\r\n")),
    ("chunk size empty", CHUNK, 400, chunks(b"\r\nhello\r\n0\r\n\r\n")),
    ("chunk size of 16 digits", CHUNK, 400, chunks(b"0000000000000005\r\nhello\r\n0\r\n\r\n")),
    ("chunk size of 2^64 + 5", CHUNK, {400, 413}, chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n")),
    ("chunk size of all F", CHUNK, {400, 413}, chunks(b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n")),
    ("chunk size above the limit of the body", CHUNK, {400, 413}, chunks(b"fffffffffffffff\r\n" + b"a" * 20)),
    ("chunk size of full width digits", CHUNK, 400, chunks("\uff15\r\nhello\r\n0\r\n\r\n".encode())),
    # -- line ends in chunks
    ("chunk size ends with LF", CHUNK, 400, chunks(b"5\nhello\r\n0\r\n\r\n")),
    ("chunk size ends with CR", CHUNK, 400, chunks(b"5\rhello\r\n0\r\n\r\n")),
    ("chunk size ends with CR CR LF", CHUNK, 400, chunks(b"5\r\r\nhello\r\n0\r\n\r\n")),
    ("chunk data ends with LF", CHUNK, 400, chunks(b"5\r\nhello\n0\r\n\r\n")),
    ("chunk data ends with CR", CHUNK, 400, chunks(b"5\r\nhello\r0\r\n\r\n")),
    ("chunk data without an end", CHUNK, 400, chunks(b"5\r\nhello0\r\n\r\n")),
    ("chunk data with two other bytes behind", CHUNK, 400, chunks(b"5\r\nhelloXX0\r\n\r\n")),
    ("last chunk ends with LF", CHUNK, 400, chunks(b"5\r\nhello\r\n0\n\r\n")),
    ("the body ends with LF", CHUNK, 400, chunks(b"5\r\nhello\r\n0\r\n\n")),
    ("the body ends with CR CR LF", CHUNK, 400, chunks(b"5\r\nhello\r\n0\r\n\r\r\n")),
    ("all chunk lines end with LF", CHUNK, 400, chunks(b"5\nhello\n0\n\n")),
    ("chunk longer than its size", CHUNK, 400, chunks(b"5\r\nhello!\r\n0\r\n\r\n")),
    ("chunk shorter than its size", CHUNK, 400, chunks(b"6\r\nhello\r\n0\r\n\r\n")),
    ("a second request in a chunk that is too long", CHUNK, 400,
     chunks(b"0\r\nGET /canary HTTP/1.1\r\nHost: door\r\n\r\n")),
    # -- extensions
    ("extension of nothing", EXTENSION, 400, chunks(b"5;\r\nhello\r\n0\r\n\r\n")),
    ("extension without name", EXTENSION, 400, chunks(b"5;=a\r\nhello\r\n0\r\n\r\n")),
    ("extension without value", EXTENSION, 400, chunks(b"5;a=\r\nhello\r\n0\r\n\r\n")),
    ("extension that ends with LF", EXTENSION, 400, chunks(b"5;a\nhello\r\n0\r\n\r\n")),
    ("extension of LF", EXTENSION, 400, chunks(b"5;\nhello\r\n0\r\n\r\n")),
    ("extension with a bare CR", EXTENSION, 400, chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n")),
    ("extension with a NUL", EXTENSION, 400, chunks(b"5;a=\x00\r\nhello\r\n0\r\n\r\n")),
    ("extension with a control", EXTENSION, 400, chunks(b"5;a=\x01\r\nhello\r\n0\r\n\r\n")),
    ("extension with two names", EXTENSION, 400, chunks(b"5;a b\r\nhello\r\n0\r\n\r\n")),
    ("extension with an open quote", EXTENSION, 400, chunks(b'5;a="b\r\nhello\r\n0\r\n\r\n')),
    ("extension with CR LF in quotes", EXTENSION, 400, chunks(b'5;a="\r\nhello\r\n0\r\n\r\n"\r\n')),
    ("extension with an escaped CR", EXTENSION, 400, chunks(b'5;a="\\\r\n"\r\nhello\r\n0\r\n\r\n')),
    ("extension with more behind a quote", EXTENSION, 400, chunks(b'5;a="b"c\r\nhello\r\n0\r\n\r\n')),
    ("extension with two semicolons", EXTENSION, 400, chunks(b"5;;a\r\nhello\r\n0\r\n\r\n")),
    ("extension of 300 bytes", EXTENSION, 400, chunks(b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n")),
    ("extensions of 20 KiB in all", EXTENSION, 400, chunks((b"1;" + b"a" * 200 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n")),
    ("a word behind the size", EXTENSION, 400, chunks(b"5 a\r\nhello\r\n0\r\n\r\n")),
    # -- trailers
    ("trailer without colon", TRAILER, 400, chunks(b"0\r\nX\r\n\r\n")),
    ("trailer without name", TRAILER, 400, chunks(b"0\r\n: a\r\n\r\n")),
    ("trailer with blank before the colon", TRAILER, 400, chunks(b"0\r\nX : a\r\n\r\n")),
    ("trailer folded", TRAILER, 400, chunks(b"0\r\nX: a\r\n b\r\n\r\n")),
    ("trailer that begins with a blank", TRAILER, 400, chunks(b"0\r\n X: a\r\n\r\n")),
    ("trailer that ends with LF", TRAILER, 400, chunks(b"0\r\nX: a\n\r\n")),
    ("trailer with a bare CR", TRAILER, 400, chunks(b"0\r\nX: a\rb\r\n\r\n")),
    ("trailer with a NUL", TRAILER, 400, chunks(b"0\r\nX: a\x00\r\n\r\n")),
    ("trailer with a control", TRAILER, 400, chunks(b"0\r\nX: a\x08\r\n\r\n")),
    ("trailer Content-Length", TRAILER, 400, chunks(b"0\r\nContent-Length: 5\r\n\r\n")),
    ("trailer Transfer-Encoding", TRAILER, 400, chunks(b"0\r\nTransfer-Encoding: chunked\r\n\r\n")),
    ("trailer Host", TRAILER, 400, chunks(b"0\r\nHost: other\r\n\r\n")),
    ("trailers of 20 KiB", TRAILER, 431, chunks(b"0\r\nX: " + b"a" * 20480 + b"\r\n\r\n")),
    ("100 trailers", TRAILER, 431, chunks(b"0\r\n" + b"X: a\r\n" * 100 + b"\r\n")),
]


def all_rows():
    return [(*row, False) for row in HEADS] + [(*row, True) for row in BODIES]
