#include "api/api_object.h"

#include "api/api_priv.h"

#include <string.h>

Code api_signer(ApiCall *call, Str access_key_id, Str token, AccessGrant *ret_grant, Err *err)
{
    Code code =
        govern_access_find(call->lake->govern, access_key_id, token, call->arena, ret_grant, err);
    if (code == E_UNAUTHENTICATED)
        api_count(call, API_COUNT_refusals, 1);
    return code;
}

void api_signed(ApiCall *call, const AccessGrant *grant, Str service, Str region)
{
    govern_access_used(call->lake->govern, grant->key_id, service, region);
    call->principal = grant->principal;
}

Code api_session_create(ApiCall *call, const AccessGrant *grant, Str access_key_id, Str name,
                        Str policy, uint32_t duration_s, SessionCredentials *ret_credentials,
                        Err *err)
{
    TRY(govern_session_create(call->lake->govern, grant, access_key_id, name, policy, duration_s,
                              call->arena, ret_credentials, err));
    return api_audit(call, "session.create",
                     str_format(call->arena, "session://" STR_FMT, STR_ARG(name)), STR_NONE, err);
}

bool api_key_allowed(ApiCall *call, const AccessGrant *grant, const char *action, Str bucket,
                     Str key)
{
    if (grant->session_policy.len == 0)
        return true;
    Str resource = str_format(call->arena, "arn:aws:s3:::" STR_FMT "%s" STR_FMT, STR_ARG(bucket),
                              key.len ? "/" : "", STR_ARG(key));
    return session_policy_allows(grant->session_policy, str_z(action), resource, call->arena);
}

static Code forbid(ApiCall *call, const ApiBucketAsk *ask, Err *err)
{
    api_count(call, API_COUNT_refusals, 1);
    return err_set(err, E_FORBIDDEN, "'" STR_FMT "' (" STR_FMT ") may not %s",
                   STR_ARG(call->principal.name), STR_ARG(govern_role_name(call->principal.role)),
                   ask->action);
}

Code api_bucket_enter(ApiCall *call, const ApiBucketAsk *ask, StoreBucket *ret_bucket, Err *err)
{
    StoreBucket bucket = { 0 };
    Code code = E_OK;
    if (ask->right != BUCKET_CREATE)
        code = store_bucket_find(call->lake->store, ask->bucket, call->arena, &bucket, err);
    if (code != E_OK && code != E_NOT_FOUND)
        return code;
    Str owner =
        code == E_OK ? bucket.owner : call->principal.id; /* whose, is not told by the answer */
    if (!govern_bucket_may(&call->principal, ask->right, owner) ||
        !api_key_allowed(call, ask->grant, ask->action, ask->bucket, ask->key))
        return forbid(call, ask, err);
    if (code == E_OK && ret_bucket)
        *ret_bucket = bucket;
    return code;
}

static Code bucket_changed(ApiCall *call, const char *verb, Str bucket)
{
    api_audit_behind(call, verb, str_format(call->arena, "s3://" STR_FMT, STR_ARG(bucket)), STR_NONE);
    return E_OK;
}

Code api_bucket_create(ApiCall *call, Str bucket, Err *err)
{
    TRY(store_bucket_create_owned(call->lake->store, bucket, call->principal.id, err));
    return bucket_changed(call, "bucket.create", bucket);
}

/* Uploads that were never completed do not hold a bucket, and go with it. */
static Code uploads_abort(ApiCall *call, Str bucket, Err *err)
{
    for (;;) {
        StoreUploadQuery query = { .bucket = bucket };
        StoreUploadPage page;
        TRY(store_upload_list(call->lake->store, &query, call->arena, &page, err));
        for (size_t i = 0; i < page.upload_count; i++) {
            Code code = store_upload_abort(call->lake->store, bucket, page.uploads[i].key,
                                           &page.uploads[i].id, err);
            if (code != E_OK && code != E_NOT_FOUND)
                return code;
        }
        if (!page.truncated)
            return E_OK;
    }
}

Code api_bucket_delete(ApiCall *call, Str bucket, Err *err)
{
    StoreListQuery any = { .bucket = bucket, .limit = 1, .versions = true };
    StoreListPage page;
    if (str_eq(bucket, call->lake->lake_bucket) || str_eq(bucket, call->lake->bronze_bucket))
        return err_set(err, E_FORBIDDEN, "the bucket " STR_FMT " is the lake's own", STR_ARG(bucket));
    TRY(store_list(call->lake->store, &any, call->arena, &page, err));
    if (page.object_count == 0)
        TRY(uploads_abort(call, bucket, err));
    TRY(store_bucket_delete(call->lake->store, bucket, err));
    return bucket_changed(call, "bucket.delete", bucket);
}

Code api_bucket_set_versioning(ApiCall *call, Str bucket, StoreVersioning versioning, Err *err)
{
    TRY(store_bucket_set_versioning(call->lake->store, bucket, versioning, err));
    return bucket_changed(call, "bucket.versioning", bucket);
}

Code api_bucket_set_property(ApiCall *call, Str bucket, Str name, Str value, Err *err)
{
    TRY(store_bucket_set_property(call->lake->store, bucket, name, value, err));
    return bucket_changed(call, "bucket.set", bucket);
}

bool api_bucket_name_ok(Str bucket)
{
    return store_bucket_name_ok(bucket);
}

Code api_bucket_get(ApiCall *call, Str bucket, StoreBucket *ret_bucket, Err *err)
{
    if (!store_bucket_name_ok(bucket))
        return err_set(err, E_NOT_FOUND, "no bucket has such a name");
    return store_bucket_get(call->lake->store, bucket, call->arena, ret_bucket, err);
}

Code api_stage(ApiCall *call, bool part, StagedObject **ret_staged, Err *err)
{
    return part ? store_stage_part(call->lake->store, ret_staged, err)
                : store_stage(call->lake->store, ret_staged, err);
}

Code api_stage_write(StagedObject *staged, Str bytes, Err *err)
{
    return store_stage_write(staged, bytes, err);
}

Code api_stage_lend(StagedObject *staged, Str bytes, Err *err)
{
    return store_stage_lend(staged, bytes, err);
}

Code api_stage_finish(StagedObject *staged, Err *err)
{
    return store_stage_finish(staged, err);
}

void api_stage_expect(StagedObject *staged, uint64_t bytes)
{
    store_stage_expect(staged, bytes);
}

void api_stage_md5(StagedObject *staged, Digest *md5)
{
    store_stage_md5(staged, md5);
}

void api_stage_unhashed(StagedObject *staged)
{
    store_stage_unhashed(staged);
}

const uint8_t *api_stage_sha256(const StagedObject *staged)
{
    return store_stage_sha256(staged);
}

void api_stage_abort(StagedObject **staged)
{
    store_stage_abort(staged);
}

Code api_object_put(ApiCall *call, StorePut *put, uint64_t *ret_sequence, Err *err)
{
    TRY(store_publish(call->lake->store, put, 1, ret_sequence, err));
    api_count(call, API_COUNT_object_writes, 1);
    return E_OK;
}

bool api_put_later_hashes(void)
{
    return store_publish_later_hashes();
}

Code api_object_put_later(ApiCall *call, StorePublication *publication, Err *err)
{
    return store_publish_later(call->lake->store, publication, call->arena, err);
}

Code api_object_put_over(ApiCall *call, StorePublication *publication, Err *err)
{
    if (publication->code == E_OK)
        api_count(call, API_COUNT_object_writes, 1);
    else
        *err = publication->err;
    return publication->code;
}

bool api_bucket_known(const ApiLake *lake, Str access_key_id, Str bucket)
{
    return govern_access_known(lake->govern, access_key_id) && store_bucket_known(lake->store, bucket);
}

Code api_object_head(ApiCall *call, Str bucket, Str key, uint64_t sequence, ObjectInfo *ret_info,
                     Err *err)
{
    return store_head_version(call->lake->store, bucket, key, sequence, call->arena, ret_info, err);
}

Code api_object_read(ApiCall *call, Str bucket, Str key, uint64_t sequence,
                     ObjectReader **ret_reader, Err *err)
{
    TRY(store_reader_open(call->lake->store, bucket, key, sequence, ret_reader, err));
    api_count(call, API_COUNT_object_reads, 1);
    return E_OK;
}

Code api_object_read_now(ApiCall *call, Str bucket, Str key, ObjectReader **ret_reader, Err *err)
{
    TRY(store_reader_open_now(call->lake->store, bucket, key, ret_reader, err));
    api_count(call, API_COUNT_object_reads, 1);
    return E_OK;
}

Code api_object_read_head(ApiCall *call, Str bucket, Str key, uint64_t sequence, bool now, ObjectReader **ret_reader,
                          Err *err)
{
    TRY(store_reader_head(call->lake->store, bucket, key, sequence, now, ret_reader, err));
    api_count(call, API_COUNT_object_reads, 1);
    return E_OK;
}

Code api_object_delete(ApiCall *call, const StoreDelete *deletes, size_t count,
                       StoreDeleted *ret_deleted, Err *err)
{
    TRY(store_delete_many(call->lake->store, deletes, count, ret_deleted, err));
    api_count(call, API_COUNT_object_deletes, count);
    return E_OK;
}

Code api_object_tag(ApiCall *call, Str bucket, Str key, uint64_t sequence, const StoreTag *tags,
                    size_t count, Err *err)
{
    TRY(store_set_tags(call->lake->store, bucket, key, sequence, tags, count, err));
    api_count(call, API_COUNT_object_tags, 1);
    return E_OK;
}

/* ---- uploads in parts ---- */

Code api_upload_create(ApiCall *call, const StoreUpload *upload, StoreUploadId *ret_id, Err *err)
{
    TRY(store_upload_create(call->lake->store, upload, ret_id, err));
    api_count(call, API_COUNT_uploads, 1);
    return E_OK;
}

Code api_upload_get(ApiCall *call, const ApiUpload *of, StoreUpload *ret_upload, Err *err)
{
    return store_upload_get(call->lake->store, of->bucket, of->key, &of->id, call->arena,
                            ret_upload, err);
}

Code api_upload_part(ApiCall *call, const ApiUpload *of, const StorePart *part,
                     StagedObject **take_staged, Err *err)
{
    TRY(store_upload_part(call->lake->store, of->bucket, of->key, &of->id, part, take_staged, err));
    api_count(call, API_COUNT_upload_parts, 1);
    return E_OK;
}

Code api_upload_parts(ApiCall *call, const ApiUpload *of, uint32_t after_number, size_t limit,
                      ApiParts *ret_parts, Err *err)
{
    return store_upload_parts(call->lake->store, of->bucket, of->key, &of->id, after_number, limit,
                              call->arena, &ret_parts->parts, &ret_parts->count,
                              &ret_parts->truncated, err);
}

Code api_uploads(ApiCall *call, const StoreUploadQuery *query, StoreUploadPage *ret_page, Err *err)
{
    return store_upload_list(call->lake->store, query, call->arena, ret_page, err);
}

Code api_upload_abort(ApiCall *call, const ApiUpload *of, Err *err)
{
    return store_upload_abort(call->lake->store, of->bucket, of->key, &of->id, err);
}

static ObjectInfo completed_info(const StoreComplete *complete, bool composite, uint64_t sequence)
{
    ObjectInfo info = { .sequence = sequence,
                        .has_md5 = true,
                        .part_count = complete->part_count,
                        .checksum = complete->checksum,
                        .checksum_composite = composite };
    Digest md5 AUTO(digest_done) = { 0 };
    digest_init(&md5, DIGEST_MD5);
    for (size_t i = 0; i < complete->part_count; i++)
        digest_update(&md5, str_of((const char *)complete->parts[i].md5, 16));
    DigestValue value = digest_final(&md5);
    memcpy(info.md5, value.bytes, sizeof info.md5);
    return info;
}

Code api_upload_complete(ApiCall *call, const StoreComplete *complete, bool composite,
                         ObjectInfo *ret_info, Err *err)
{
    uint64_t sequence = 0;
    TRY(store_upload_complete(call->lake->store, complete, &sequence, err));
    api_count(call, API_COUNT_object_writes, 1);
    if (store_head_version(call->lake->store, complete->bucket, complete->key, sequence,
                           call->arena, ret_info, NULL) != E_OK)
        *ret_info = completed_info(complete, composite, sequence); /* replaced already */
    return E_OK;
}

Code api_upload_completed(ApiCall *call, const ApiUpload *of, ObjectInfo *ret_info,
                          bool *ret_completed, Err *err)
{
    return store_completed(call->lake->store, of->bucket, of->key, &of->id, call->arena, ret_info,
                           ret_completed, err);
}
