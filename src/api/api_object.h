/* api_object.h: buckets, objects and uploads for doors whose clients sign their requests.
 * Owner:   as api.h.
 * Threads: as api.h.
 * Errors:  those of the store and of govern/; FORBIDDEN names neither whether a bucket is there nor
 * whose it is. Limits:  those of store/object.h. Units:   bytes; _us.
 *
 * The order of calls: api_signer finds the key, the door checks the signature, api_signed makes it
 * the call's principal; then each verb judges by role, owner and session policy before it touches
 * anything. */
#pragma once

#include "api/api.h"
#include "govern/access.h"
#include "store/upload.h"

/* A session of `grant`, narrowed by `policy`; audited. */
Code api_session_create(ApiCall *call, const AccessGrant *grant, Str access_key_id, Str name,
                        Str policy, uint32_t duration_s, SessionCredentials *ret_credentials,
                        Err *err) CHECKED;

/* Who a request says it is from: nothing is proven yet. */
Code api_signer(ApiCall *call, Str access_key_id, Str token, AccessGrant *ret_grant,
                Err *err) CHECKED;
/* The signature was right. */
void api_signed(ApiCall *call, const AccessGrant *grant, Str service, Str region);

/* What is asked of which bucket; `action` is S3's name of it, for session policies. */
typedef struct ApiBucketAsk {
    const AccessGrant *grant;
    BucketRight right;
    const char *action; /* "s3:GetObject" */
    Str bucket;
    Str key; /* empty: of the bucket */
} ApiBucketAsk;
/* FORBIDDEN; NOT_FOUND for whoever may know. `ret_bucket` may be NULL for BUCKET_CREATE. */
Code api_bucket_enter(ApiCall *call, const ApiBucketAsk *ask, StoreBucket *ret_bucket,
                      Err *err) CHECKED;
/* Only the session policy: for keys of a batch, sources of copies. */
bool api_key_allowed(ApiCall *call, const AccessGrant *grant, const char *action, Str bucket,
                     Str key);

/* Verbs behind api_bucket_enter. Changes of buckets are audited. */
Code api_bucket_create(ApiCall *call, Str bucket, Err *err) CHECKED;
Code api_bucket_delete(ApiCall *call, Str bucket, Err *err) CHECKED;
Code api_bucket_set_versioning(ApiCall *call, Str bucket, StoreVersioning versioning,
                               Err *err) CHECKED;
Code api_bucket_set_property(ApiCall *call, Str bucket, Str name, Str value, Err *err) CHECKED;
bool api_bucket_name_ok(Str bucket);
/* What everybody may know of a bucket: its rules for pages of other origins. NOT_FOUND. */
Code api_bucket_get(ApiCall *call, Str bucket, StoreBucket *ret_bucket, Err *err) CHECKED;

/* Bytes on their way to an object, or with `part` to a part of one; finish makes them durable. */
Code api_stage(ApiCall *call, bool part, StagedObject **ret_staged, Err *err) CHECKED;
Code api_stage_write(StagedObject *staged, Str bytes, Err *err) CHECKED;
Code api_stage_lend(StagedObject *staged, Str bytes, Err *err) CHECKED; /* as store_stage_lend */
Code api_stage_finish(StagedObject *staged, Err *err) CHECKED;
void api_stage_expect(StagedObject *staged, uint64_t bytes); /* before its bytes: so many will come */
void api_stage_md5(StagedObject *staged, Digest *md5); /* before its bytes: each write feeds it too */
void api_stage_unhashed(StagedObject *staged); /* before its bytes: nobody asks for their SHA-256 */
const uint8_t *api_stage_sha256(const StagedObject *staged); /* 32 bytes, after finish */
void api_stage_abort(StagedObject **staged);
/* One object; `put->take_staged` is taken on success. */
Code api_object_put(ApiCall *call, StorePut *put, uint64_t *ret_sequence, Err *err) CHECKED;
/* The same of a small object without waiting, as store_publish_later has it; in `publication->done`
 * api_object_put_over gives what came of it. */
Code api_object_put_later(ApiCall *call, StorePublication *publication, Err *err) CHECKED;
Code api_object_put_over(ApiCall *call, StorePublication *publication, Err *err) CHECKED;
bool api_put_later_hashes(void); /* as store_publish_later_hashes */
/* Whether api_signer and api_bucket_enter answer without reading a file. */
bool api_bucket_known(const ApiLake *lake, Str access_key_id, Str bucket);
/* As store_head_version: 0 is the newest, a delete marker is given too. */
Code api_object_head(ApiCall *call, Str bucket, Str key, uint64_t sequence, ObjectInfo *ret_info,
                     Err *err) CHECKED;
Code api_object_read(ApiCall *call, Str bucket, Str key, uint64_t sequence,
                     ObjectReader **ret_reader, Err *err) CHECKED;
/* The newest version, without waiting for the drive: after any error ask api_object_read. */
Code api_object_read_now(ApiCall *call, Str bucket, Str key, ObjectReader **ret_reader, Err *err) CHECKED;
/* As these two, for the info alone (store_reader_head). */
Code api_object_read_head(ApiCall *call, Str bucket, Str key, uint64_t sequence, bool now, ObjectReader **ret_reader,
                          Err *err) CHECKED;
Code api_object_delete(ApiCall *call, const StoreDelete *deletes, size_t count,
                       StoreDeleted *ret_deleted, Err *err) CHECKED;
/* Replaces the tags of a version. */
Code api_object_tag(ApiCall *call, Str bucket, Str key, uint64_t sequence, const StoreTag *tags,
                    size_t count, Err *err) CHECKED;

/* Uploads in parts; as store/upload.h. */
Code api_upload_create(ApiCall *call, const StoreUpload *upload, StoreUploadId *ret_id,
                       Err *err) CHECKED;
/* Which upload: `id` is of a client, so bucket and key have to be those that it was made with. */
typedef struct ApiUpload {
    Str bucket;
    Str key;
    StoreUploadId id;
} ApiUpload;
Code api_upload_get(ApiCall *call, const ApiUpload *of, StoreUpload *ret_upload, Err *err) CHECKED;
/* `*take_staged` is taken on success. */
Code api_upload_part(ApiCall *call, const ApiUpload *of, const StorePart *part,
                     StagedObject **take_staged, Err *err) CHECKED;
/* At most `limit` parts behind `after_number`, in the order of their numbers. */
typedef struct ApiParts {
    StorePart *parts;
    size_t count;
    bool truncated;
} ApiParts;
Code api_upload_parts(ApiCall *call, const ApiUpload *of, uint32_t after_number, size_t limit,
                      ApiParts *ret_parts, Err *err) CHECKED;
Code api_uploads(ApiCall *call, const StoreUploadQuery *query, StoreUploadPage *ret_page,
                 Err *err) CHECKED;
Code api_upload_abort(ApiCall *call, const ApiUpload *of, Err *err) CHECKED;
/* Counts as one write, as a put does. `ret_info`: what came of it. */
Code api_upload_complete(ApiCall *call, const StoreComplete *complete, bool composite,
                         ObjectInfo *ret_info, Err *err) CHECKED;
/* Whether the newest version of the key came from this upload. */
Code api_upload_completed(ApiCall *call, const ApiUpload *of, ObjectInfo *ret_info,
                          bool *ret_completed, Err *err) CHECKED;
