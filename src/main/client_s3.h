/* client_s3.h: signed requests of the command line to the S3 door of a server.
 * Owner:   the command that opened it.
 * Threads: one at a time.
 * Errors:  UNAVAILABLE when no door answers; else the code that fits S3's own, with S3's text.
 * Limits:  a kept reply has S3_REPLY_MAX bytes; streamed ones have no bound. No body is longer than the
 *          buffer that it is sent from.
 * Units:   bytes. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "main/args.h"

enum { S3_REPLY_MAX = 16 << 20, S3_FIELDS_MAX = 192 }; /* an object brings up to 128 of its own */

typedef struct S3Client S3Client;

/* --endpoint, --ca, --data; TARN_S3, TARN_ACCESS_KEY and TARN_SECRET_KEY; else what admin.json says. */
Code s3_client_open(const Args *args, S3Client **ret_client, Err *err) CHECKED;
/* Ctrl-C or SIGTERM came since the client was opened: calls give CANCELLED, so that what was begun is taken back. A
 * second one ends the process. */
bool s3_client_stopped(void);
void s3_client_wait(int fd); /* until it can be read, has ended, or s3_client_stopped */
bool s3_client_is_named(const Args *args); /* by --endpoint or TARN_S3 */
void s3_client_free(S3Client **client);

typedef struct S3Field {
    const char *name; /* lower case */
    Str value;
} S3Field;

/* The bytes of a reply below 300, as they come. */
typedef Code S3Receive(void *arg, Str bytes, Err *err);
typedef void S3Sent(void *arg, uint64_t body_bytes); /* so far, of this request */

typedef struct S3Call {
    const char *method; /* NULL: GET */
    Str bucket;         /* empty: of the service */
    Str key;            /* as it is, not encoded */
    const S3Field *query;  /* as they are; a value without pointer: no `=` */
    size_t query_count;
    const S3Field *fields;
    size_t field_count;
    Str body;
    S3Receive *receive; /* NULL: kept in the reply's body */
    S3Sent *sent;       /* NULL: nobody asks */
    void *arg;          /* of both */
    bool at_the_end;    /* of work that was stopped: it goes out all the same */
} S3Call;

typedef struct S3Reply {
    Arena arena;
    Buf body;
    S3Field fields[S3_FIELDS_MAX]; /* names in lower case */
    size_t field_count;
    long status;
} S3Reply;

/* E_OK for a status below 300. `*ret_reply` is to be ended by s3_reply_done in every case. */
Code s3_call(S3Client *client, const S3Call *call, S3Reply *ret_reply, Err *err) CHECKED;
Str s3_reply_field(const S3Reply *reply, const char *name); /* STR_NONE: not there */
void s3_reply_done(S3Reply *reply);
