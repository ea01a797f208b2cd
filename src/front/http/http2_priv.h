/* http2_priv.h: what the files of HTTP/2 share: a session of nghttp2 and its streams.
 * Owner:   http2.c the H2; http2_stream.c the H2Stream, which outlives its connection while its
 *          request runs.
 * Threads: all of it on the connection's loop.
 * Errors:  a peer's mistake ends its stream or its connection with a code of RFC 9113 7.
 * Limits:  H2_* below.
 * Units:   bytes; _us. */
#pragma once

#include "front/http/http_priv.h"

enum {
    H2_STREAMS_MAX = 256,             /* announced; requests that still run behind a reset count */
    H2_LIST_BYTES_MAX = 32 << 10,     /* of a head: names, values and 32 for each (RFC 9113 6.5.2) */
    H2_STREAM_WINDOW = 1 << 20,
    H2_CONN_WINDOW = 4 << 20,
    H2_FRAME_MAX = 16 << 10,          /* taken and sent; SETTINGS_MAX_FRAME_SIZE stays as it is */
    H2_FRAME_HEAD = 9,
    H2_SMALL_OUT = 8 << 10,           /* what is larger goes out in blocks that the loop takes */
    H2_OUT_BLOCK = 128 << 10,
    H2_OUT_MAX = 512 << 10,           /* in the socket's queue before frames are made again */
    H2_AHEAD_MAX = 256 << 10,         /* of a reply that waits in its stream before more is pulled */
    H2_SPARE_STREAMS = 2,
    H2_SPARE_BYTES = 1 << 10,
    /* Floods: tokens at first, and how many come back each second. */
    H2_RESETS = 500,
    H2_RESETS_A_SECOND = 50,
    H2_IDLE_FRAMES = 5000,            /* frames that move nothing on */
    H2_IDLE_FRAMES_A_SECOND = 500,
    H2_BLOCK_FRAMES_MAX = 64,         /* CONTINUATION behind one HEADERS */
    H2_SETTINGS_MAX = 32,             /* values in one SETTINGS */
    H2_LEFT_OPEN_KEPT = 64,
    H2_LINGER_MS = 1000,              /* the rest of a body that nobody reads is read away so long */
    H2_LINGER_BYTES = 8 << 20,        /* and so much of it */
    H2_NOTICE_MS = 1000,              /* between the two GOAWAY of a drain, at most */
    H2_ACKS_MAX = 1000,               /* of PING and SETTINGS that the peer does not read */
    H2_PREFACE_LEN = 24
};

typedef struct H2 H2;

/* A part of a reply: bytes, or a part of a file. */
typedef struct H2Block {
    struct H2Block *next;
    Buf bytes;
    size_t at;
    int fd;                           /* -1: `bytes` */
    uint64_t file_at, file_left;
    void (*done)(void *arg);          /* of a file; may be NULL */
    void *arg;
} H2Block;

typedef struct H2Stream {
    H2 *h2;                           /* NULL: the connection is gone */
    struct H2Stream *prev, *next;     /* of the connection */
    struct H2Stream *next_due;
    HttpReq *r;                       /* NULL: over, or never begun */
    int32_t id;
    bool open;                        /* nghttp2 knows it */
    bool due, writes;                 /* in h2->due; some of what was queued has gone */
    /* in */
    bool rests, in_ended, in_told, peer_reset;
    Buf kept;                         /* of the body, from `kept_at`: what the request did not take */
    size_t kept_at, unconsumed;
    Buf trailers;
    uint64_t in_bytes, in_mark;
    /* out */
    bool head_out, out_ended, cuts, deferred;
    Buf small;                        /* of the body, from `small_at`; `blocks` come behind it */
    size_t small_at;
    H2Block *blocks, *last;
    Buf reply_trailers;
    LoopTimer linger;                 /* set behind a reply whose request was not read to its end */
    size_t queued;
    size_t kept_budget, sent_budget;  /* of the bytes of all: `kept`, and what a duplex has queued */
    uint64_t out_bytes, out_mark;
} H2Stream;

/* A bucket of tokens. */
typedef struct H2Bucket {
    uint32_t left;
    int64_t at_us;
} H2Bucket;

/* Frames before nghttp2 sees them: http2_guard.c. */
typedef struct H2Guard {
    uint32_t last_stream;             /* the highest that the peer has opened */
    uint32_t block_frames;            /* of the header block that comes; 0: none comes */
    uint32_t block_stream;
    bool block_ends;                  /* its HEADERS ended the stream */
    H2Bucket resets, idle;
    /* Streams that closed before the peer had ended them: it may still send for those. */
    uint32_t left_open[H2_LEFT_OPEN_KEPT], left_open_count;
} H2Guard;

typedef struct H2FrameHead {
    uint32_t length, stream;
    uint8_t type, flags;
} H2FrameHead;

typedef enum H2Wait { H2_WAIT_NONE, H2_WAIT_PREFACE, H2_WAIT_BLOCK, H2_WAIT_IDLE, H2_WAIT_NOTICE } H2Wait;

struct H2 {
    LoopPost post;                    /* first */
    HttpConn *conn;                   /* NULL: the socket is gone */
    HttpRoom *room;
    LimitEntry *seat;                 /* of its client, as long as the socket is there; NULL: none */
    Loop *loop;
    struct nghttp2_session *session;
    H2Stream *streams;                /* all with `h2` set */
    H2Stream *due, *last_due;
    H2Stream *spare;
    uint32_t spare_count, stream_count;
    unsigned inside;                  /* of an entry point: it settles on its way out */
    bool announced, posted, touched, peer_ended, drains, goaway, broken, closing;
    /* what comes */
    uint32_t preface_left, frame_left; /* frame_left: of its payload */
    bool in_frame;
    H2FrameHead frame;
    H2Guard guard;
    uint32_t error;                   /* of a connection error of the guard's; 0: none */
    const char *why;
    Buf head;                         /* records: lengths of name and value, name, value */
    size_t list_bytes, field_count;
    /* output */
    Buf bulk;
    H2Wait waits;
    LoopTimer wait, rate;
    uint64_t sent_mark;
};

/* http2_guard.c */

H2FrameHead h2_frame_head(const char *bytes);
/* A frame begins, behind all before it; false: h2->error and h2->why say what is wrong with it.
 * `payload`: of PRIORITY the first 4 bytes are there. */
bool h2_guard_frame(H2 *h2, const H2FrameHead *head, const char *payload);
/* The payload of a frame is over. */
void h2_guard_frame_over(H2 *h2, const H2FrameHead *head);
void h2_guard_left_open(H2Guard *guard, uint32_t stream);
/* A reset that the peer sent or caused; false: too many. */
bool h2_guard_reset(H2 *h2);
bool h2_bucket_take(H2Bucket *bucket, int64_t now_us, uint32_t most, uint32_t a_second);

/* http2_stream.c */
H2Stream *h2_stream_new(H2 *h2, int32_t id);
void h2_stream_closed(H2Stream *s);   /* nghttp2 has done with it */
void h2_stream_due(H2Stream *s);      /* it is looked at on the way out */
void h2_stream_left(H2Stream *s);     /* frees it when nobody has it any more */
void h2_stream_settle(H2Stream *s);
void h2_stream_gone(H2Stream *s);     /* the connection is gone: frees it, now or when its request ends */
void h2_head_begin(H2 *h2);
void h2_head_field(H2 *h2, Str name, Str value);
void h2_head_over(H2Stream *s, bool ends);
void h2_trailer(H2Stream *s, Str name, Str value);
void h2_data_in(H2Stream *s, Str bytes);
void h2_data_over(H2Stream *s);
void h2_stream_rate(H2Stream *s, uint64_t least); /* a window of the minimum rate is over */
void h2_stream_linger(H2Stream *s);   /* its reply has gone, its request still comes */
bool h2_stream_stalled(const H2Stream *s);        /* a window is shut */
bool h2_stream_waits(const H2Stream *s);          /* its reply would go on but for the window */
/* Takes the next `len` bytes of the reply, `len` <= queued; false: a file is shorter than it was. */
bool h2_stream_copy(H2Stream *s, Buf *out, size_t len);
void h2_block_free(H2Block **block);

/* http2.c */
Limits *h2_limits(const H2 *h2);
void h2_kick(H2 *h2);                 /* there is something to send */
void h2_consume(H2Stream *s, size_t bytes);
void h2_reset(H2Stream *s, uint32_t code);

/* http2_reply.c */
extern const HttpWire http2_wire;
void h2_reply_plain(H2Stream *s, int status, const char *text); /* to what is no request */
