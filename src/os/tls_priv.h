/* tls_priv.h: a TLS connection as loop_tls.c drives it: bytes in, bytes out, no socket.
 * Owner:   the LoopConn its TlsConn, the Loop its TlsWork.
 * Threads: both are their loop's.
 * Errors:  TLS_BROKEN: an alert may stand in `out`; send it and close.
 * Limits:  TLS_RECORD_BYTES_MAX.
 * Units:   bytes. */
#pragma once

#include "base/buf.h"
#include "os/tls.h"

enum { TLS_RECORD_BYTES_MAX = 16 << 10, TLS_BATCH_BYTES = 64 << 10 };

typedef struct TlsConn TlsConn;

/* What the connections of one loop share: it is full only inside one call. */
typedef struct TlsWork {
    Str in;       /* sealed input that is not taken yet */
    Buf out;      /* sealed output for the socket */
    char *plain;  /* opened input, or pieces put together */
    size_t plain_cap;
} TlsWork;

typedef enum TlsStep { TLS_READY, TLS_MORE, TLS_ENDED, TLS_BROKEN } TlsStep;

TlsWork *tls_work_new(size_t plain_cap);
void tls_work_free(TlsWork **work);

Code tls_conn_new(TlsServer *server, TlsWork *work, TlsConn **ret_conn, Err *err) CHECKED;
void tls_conn_free(TlsConn **conn);
/* READY: data may flow; MORE: needs input; BROKEN. */
TlsStep tls_conn_handshake(TlsConn *conn);
/* Opens `work->in` into `plain` until it is full or the input is used up. READY: it is full; MORE: the
 * input is used up; ENDED: the peer has ended its side; BROKEN. */
TlsStep tls_conn_open(TlsConn *conn, size_t *ret_len);
bool tls_conn_seal(TlsConn *conn, Str bytes); /* all of it into `work->out` */
void tls_conn_end(TlsConn *conn);             /* the closing alert into `work->out` */
void tls_conn_slim(TlsConn *conn);            /* gives back what only bytes under way need */
const TlsInfo *tls_conn_info(const TlsConn *conn);
/* What the socket did not take of `out`. */
typedef struct TlsLeft {
    char *ptr;
    size_t at, len;
} TlsLeft;
TlsLeft *tls_conn_left(TlsConn *conn);
