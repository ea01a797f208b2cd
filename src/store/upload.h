/* upload.h: objects that arrive in parts: begun, their parts durable one by one, completed without a copy.
 * Owner:   results live in the arena that is passed in.
 * Threads: any.
 * Errors:  as store.h; NOT_FOUND for an upload that is not there (any more) or a bucket; INVALID, with
 *          the part's number as place, for a part that is not there or has another MD5.
 * Limits:  STORE_PARTS_MAX parts, STORE_LIST_MAX of a page. That all but the last part have a least
 *          size is the caller's rule.
 * Units:   bytes; _us: microseconds since 1970 UTC. */
#pragma once

#include "store/store.h"

typedef struct StoreUpload {
    StoreUploadId id;
    Str bucket;
    Str key;
    Str owner;
    Str content_type;
    int64_t created_us;
    DigestKind checksum_kind; /* that was asked for; DIGEST_NONE: none */
    bool checksum_composite;
    const StoreTag *tags;
    size_t tag_count;
    const StoreTag *meta;
    size_t meta_count;
} StoreUpload;

/* Durable on return, and there until it is completed or aborted. `upload` without id and time. */
Code store_upload_create(Store *store, const StoreUpload *upload, StoreUploadId *ret_id,
                         Err *err) CHECKED;
Code store_upload_get(Store *store, Str bucket, Str key, const StoreUploadId *id, Arena *arena,
                      StoreUpload *ret_upload, Err *err) CHECKED;

/* A staged object for a part: its bytes go to a file of their own whatever their number. */
Code store_stage_part(Store *store, StagedObject **ret_staged, Err *err) CHECKED;
/* `part`: number, md5, checksum. The same number again replaces the part. `*take_staged` is finished
 * and taken on success. */
Code store_upload_part(Store *store, Str bucket, Str key, const StoreUploadId *id,
                       const StorePart *part, StagedObject **take_staged, Err *err) CHECKED;
/* In the order of their numbers, those behind `after_number`. */
Code store_upload_parts(Store *store, Str bucket, Str key, const StoreUploadId *id,
                        uint32_t after_number, size_t limit, Arena *arena, StorePart **ret_parts,
                        size_t *ret_count, bool *ret_truncated, Err *err) CHECKED;

typedef struct StoreUploadQuery {
    Str bucket;
    Str prefix;
    Str delimiter;
    Str key_after;          /* keys greater than this, or with `id_after` its later uploads too */
    const StoreUploadId *id_after; /* NULL: none */
    size_t limit;           /* 0: STORE_LIST_MAX */
} StoreUploadQuery;
typedef struct StoreUploadPage {
    StoreUpload *uploads; /* by key, then by time */
    size_t upload_count;
    Str *prefixes;
    size_t prefix_count;
    bool truncated;
    Str next_key;          /* key_after of the next page */
    StoreUploadId next_id; /* id_after of the next page, when next_key is of an upload */
    bool next_has_id;
} StoreUploadPage;
Code store_upload_list(Store *store, const StoreUploadQuery *query, Arena *arena,
                       StoreUploadPage *ret_page, Err *err) CHECKED;

Code store_upload_abort(Store *store, Str bucket, Str key, const StoreUploadId *id,
                        Err *err) CHECKED;

typedef struct StoreComplete {
    Str bucket;
    Str key;
    StoreUploadId id;
    const StorePart *parts; /* number and md5 of each, in the order of the object */
    size_t part_count;
    StoreCondition condition;
    uint64_t if_sequence;
    DigestValue checksum;   /* of the whole, as the upload asked for; DIGEST_NONE: none */
} StoreComplete;
/* One record: the parts become the object where they lie, those not named are removed. The ETag's MD5
 * is that of the parts' MD5s. The object remembers its upload: see store_completed. */
Code store_upload_complete(Store *store, const StoreComplete *complete, uint64_t *ret_sequence,
                           Err *err) CHECKED;
/* Whether the newest version of the key came from this upload: a repeated completion is answered so. */
Code store_completed(Store *store, Str bucket, Str key, const StoreUploadId *id, Arena *arena,
                     ObjectInfo *ret_info, bool *ret_completed, Err *err) CHECKED;
