"""Where nginx 1.22 and nghttpd 1.52 do not do what a case asks, and why. Patterns are matched at the start of a
case's name; one that matches no difference any more fails the run against that peer, unless it says `sometimes`."""
from collections import namedtuple

Difference = namedtuple("Difference", "pattern why")

NGINX = [Difference(*row) for row in [
    (r"9113 3.4 a preface that no SETTINGS follows", "lax: takes any frame as the first one"),
    (r"9113 3.2", "its clear listener speaks HTTP/2 only; no answer to HTTP/1.1"),
    (r"9113 4.2 DATA of 16,385|9113 4.2 longer than 16,384 octets: (SETTINGS|GOAWAY|an unknown)|9113 4.2 a length of",
     "lax: looks at the length of HEADERS and CONTINUATION only, others it reads or skips whatever their length"),
    (r"9113 4.2 longer than 16,384 octets: CONTINUATION", "PROTOCOL_ERROR: it sees END_HEADERS missing first"),
    (r"9113 4.3 a header block that breaks off|7541 a decoding error: 5.2 a (name|value) longer|7541 a decoding error: 5.1 a number that breaks off",
     "FRAME_SIZE_ERROR where RFC 9113 4.3 asks for COMPRESSION_ERROR: it reads the block as part of the frame"),
    (r"9113 6.10 a header block in pieces: whose (first|last) is empty", "too strict: a fragment may be empty"),
    (r"9113 5.1 on an idle stream: (DATA|RST_STREAM|WINDOW_UPDATE)", "lax: ignores frames of streams that it does not know"),
    (r"9113 5.1 (closed|half-closed)", "lax for DATA, which it ignores; for HEADERS the code is PROTOCOL_ERROR: it sees a number that is not new"),
    (r"9113 5.1.2", "GOAWAY or REFUSED_STREAM: it counts 128 streams and closes when many come at once"),
    (r"9113 6.5.2 a value that is not allowed: (ENABLE_CONNECT|NO_RFC7540)", "does not know RFC 8441 and RFC 9218"),
    (r"7541 a decoding error: 4.2", "lax: takes a size update anywhere in a block"),
    (r"7541 a decoding error: 5.2 Huffman (with more|of padding)", "lax: takes padding longer than 7 bits"),
    (r"9113 8.1 (a request with trailers|trailers that|second HEADERS)|9113 8.1.1 a content-length of 8, DATA of 4 and trailers",
     "no request trailers at all: HEADERS of a known stream end the connection"),
    (r"9113 8.2.1 a field's name: (that is empty|with an octet|with a paren)", "an empty name ends the connection; others it takes"),
    (r"9113 8.2.1 a field's value", "lax: white space around a value stays in it"),
    (r"9113 8.2.2", "lax: takes connection-specific fields, which HTTP/1.1 behind it would obey"),
    (r"9113 8.3 |9113 8.3.1 (without|twice|a :path)|9113 8.5 refused|9113 8.1.1 a content-length of",
     "answers 400 and ends the stream, which 8.1.1 allows; a pseudo field behind a field it takes"),
    (r"9113 8.3.1 refused with 400 or as malformed, an? (:path|:authority|method|:scheme)",
     "lax with what a URI may hold; an empty value ends the connection"),
    (r"9113 8.3.1 Host that is as :authority", "too strict: takes both as two Host fields, though RFC 9113 8.3.1 lets them agree"),
    (r"9113 10.5 rapid reset", "closes without a GOAWAY that can still be read"),
    (r"9113 10.5 a flood", "closes without GOAWAY"),
    (r"9113 10.5 (SETTINGS with too many|empty CONTINUATION|empty DATA)", "lax: no bound but that of its keepalive_requests"),
    (r"9113 10.5.1|9113 10.5 (too many fields|names and values)", "ends the connection, where 431 or a stream error is enough"),
    (r"9113 10.5 streams that are never ended", "closes the connection without an error when refused streams are many"),
    (r"9113 (6.8 GOAWAY is taken|6.9.1 a window that opens|6.9.2 a new INITIAL)",
     "sometimes: over TLS it keeps the head of a reply whose window is 0 until there is room"),
]]

NGHTTPD = [Difference(*row) for row in [
    (r"9113 3.2", "its clear listener speaks HTTP/2 only"),
    (r"9113 4.2 longer than 16,384 octets: CONTINUATION", "lax: nghttp2 does not look at the length of CONTINUATION"),
    (r"9113 5.1.1 ", "lax on purpose: HEADERS of a stream that may have been reset are ignored; we remember which those are"),
    (r"9113 5.1.2|9113 10.5 streams that are never ended", "a connection error where 5.1.2 asks for a stream error"),
    (r"9113 a length that its type cannot have: 6.[12]", "PROTOCOL_ERROR (6.1) where 4.2 asks for FRAME_SIZE_ERROR"),
    (r"9113 6.10 a header block in pieces: octet by octet", "at most 8 CONTINUATION frames"),
    (r"9113 8.3.1 refused with 400 or as malformed", "a file server: it does not look at authorities, methods and fragments"),
    (r"9113 8.5 CONNECT", "waits for the body of CONNECT"),
    (r"9113 10.5 a flood|9113 10.5 (empty )?CONTINUATION", "closes without GOAWAY: the error is fatal to its session"),
    (r"9113 10.5.1|9113 10.5 too many fields", "takes up to 64 KiB of fields, then INTERNAL_ERROR"),
    (r"9113 10.5 (PRIORITY|empty DATA)", "lax: no bound"),
]]

TABLE = {"nginx": NGINX, "nghttpd": NGHTTPD}
