/* s3_work.h: what commands do with objects over the S3 door: list, send, fetch, copy, remove.
 * Owner:   results live in the arena that is passed in.
 * Threads: one at a time.
 * Errors:  those of client_s3.h; CORRUPT when bytes and checksum differ.
 * Limits:  memory stays below one part (WORK_PART_BYTES, doubled each WORK_PARTS_EACH parts) plus a page
 *          of a listing, whatever the size of the object or the number of keys.
 * Units:   bytes. */
#pragma once

#include "main/client_s3.h"

enum {
    WORK_PART_BYTES = 16 << 20,
    WORK_PARTS_EACH = 2000,
    WORK_PARTS_MAX = 10000,
    WORK_COPY_PART_BYTES = 1 << 30,
    WORK_DELETE_MAX = 1000
};
#define WORK_COPY_WHOLE_MAX (5ull << 30) /* larger copies go by parts, without the tags of the source */

/* ---- names ---- */
/* "s3://bucket/key" or "bucket/key"; the key may be empty. INVALID without a bucket. */
Code work_address(Str text, Str *ret_bucket, Str *ret_key, Err *err) CHECKED;

/* ---- listing ---- */
/* The buckets, as ListBuckets gives them. */
Code work_buckets_show(S3Client *client, const Args *args, Err *err) CHECKED;
typedef struct WorkObject {
    Str key;
    uint64_t size_bytes;
    Str modified, etag, version;
    bool latest, marker, prefix; /* prefix: keys below it are folded */
} WorkObject;
typedef struct WorkList {
    Str bucket, prefix, after;
    bool versions, folded; /* folded: at `/` behind the prefix */
    uint64_t limit;        /* 0: all */
} WorkList;
/* `object` is gone with the call. */
typedef Code WorkVisit(void *arg, const WorkObject *object, Err *err);
/* `*ret_more`: the limit was reached and there are others; may be NULL. */
Code work_list(S3Client *client, const WorkList *list, WorkVisit *visit, void *arg, bool *ret_more,
               Err *err) CHECKED;

/* ---- bytes ---- */
typedef struct WorkShow { /* a line of progress over one or several objects */
    Str label;
    uint64_t total, done; /* total 0: not known */
} WorkShow;
typedef struct WorkPut {
    const char *file; /* NULL: standard input */
    Str bucket, key;
    Str content_type; /* empty: from the name */
    bool if_absent;
    WorkShow *show;
} WorkPut;
typedef struct WorkDone {
    uint64_t bytes;
    Str etag, version; /* version empty: the bucket counts none */
} WorkDone;
Code work_put(S3Client *client, const WorkPut *put, Arena *arena, WorkDone *ret_done, Err *err) CHECKED;

typedef struct WorkGet {
    Str bucket, key, version;
    const char *file; /* NULL: standard output; else complete or not there */
    WorkShow *show;
} WorkGet;
Code work_get(S3Client *client, const WorkGet *get, Err *err) CHECKED;

typedef struct WorkCopy {
    Str from_bucket, from_key, from_version, bucket, key;
    WorkShow *show;
} WorkCopy;
Code work_copy(S3Client *client, const WorkCopy *copy, Err *err) CHECKED;

/* ---- removal: gathered and sent WORK_DELETE_MAX at a time ---- */
typedef struct WorkDelete {
    S3Client *client;
    Str bucket;
    Buf xml;
    size_t count;     /* in `xml` */
    uint64_t removed;
} WorkDelete;
void work_delete_init(WorkDelete *work, S3Client *client, Str bucket);
Code work_delete_add(WorkDelete *work, Str key, Str version, Err *err) CHECKED;
Code work_delete_end(WorkDelete *work, Err *err) CHECKED; /* sends the rest */
void work_delete_done(WorkDelete *work);
