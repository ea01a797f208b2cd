/* The verbs of doors whose clients sign their requests: judged before anything is told, counted once. api_trash.c is covered by rest_trash of front/rest. */
#include "api/api_fake.h"

#include "api/api_object.h"
#include "base/test.h"

#include <string.h>

static const AccessGrant no_session; /* without a policy of its own */

static ApiBucketAsk ask_of(BucketRight right, const char *bucket)
{
    return (ApiBucketAsk){ &no_session, right, "s3:Test", str_z(bucket), STR("k") };
}

static void put_bytes(ApiCall *call, const char *bucket, const char *key, Str bytes, bool hashed)
{
    StagedObject *staged = NULL;
    Err err;
    CHECK_OK(api_stage(call, false, &staged, &err), &err);
    if (!hashed)
        api_stage_unhashed(staged);
    CHECK_OK(api_stage_write(staged, bytes, &err), &err);
    CHECK_OK(api_stage_finish(staged, &err), &err);
    StorePut put = { .take_staged = staged, .bucket = str_z(bucket), .key = str_z(key) };
    CHECK_OK(api_object_put(call, &put, NULL, &err), &err);
    CHECK(put.take_staged == NULL);
}

TEST(api_object_rights_tell_nothing)
{
    FakeLake fake;
    Err of_none, of_one;
    Err err;
    fake_lake_open(&fake);
    ApiCall admin = fake_lake_call(&fake, true), reader = fake_lake_call(&fake, false);
    CHECK_OK(api_bucket_create(&admin, STR("theirs"), &err), &err);
    uint64_t before = api_counter(&fake.lake, API_COUNT_refusals);
    ApiBucketAsk one = ask_of(BUCKET_WRITE, "theirs"), none = ask_of(BUCKET_REMOVE, "no-such");
    CHECK_CODE(api_bucket_enter(&reader, &one, NULL, &of_one), E_FORBIDDEN);
    CHECK_INT(api_counter(&fake.lake, API_COUNT_refusals), before + 1);
    one.right = BUCKET_REMOVE;
    CHECK_CODE(api_bucket_enter(&reader, &one, NULL, &of_one), E_FORBIDDEN);
    CHECK_CODE(api_bucket_enter(&admin, &none, NULL, &of_none), E_NOT_FOUND);
    CHECK_OK(api_bucket_enter(&admin, &one, NULL, &err), &err);
    fake_lake_close(&fake);
}

TEST(api_object_verbs_count_once)
{
    FakeLake fake;
    Err err;
    ObjectInfo info;
    StoreBucket bucket;
    fake_lake_open(&fake);
    ApiCall call = fake_lake_call(&fake, true);
    CHECK_OK(api_bucket_create(&call, STR("counted"), &err), &err);
    CHECK_CODE(api_bucket_get(&call, STR("None Of This Name"), &bucket, &err), E_NOT_FOUND);
    CHECK_OK(api_bucket_get(&call, STR("counted"), &bucket, &err), &err);
    put_bytes(&call, "counted", "k", STR("bytes"), true);
    CHECK_INT(api_counter(&fake.lake, API_COUNT_object_writes), 1);
    CHECK_OK(api_object_head(&call, STR("counted"), STR("k"), 0, &info, &err), &err);
    CHECK_INT(info.size_bytes, 5);
    StoreTag tag = { STR("a"), STR("b") };
    CHECK_OK(api_object_tag(&call, STR("counted"), STR("k"), info.sequence, &tag, 1, &err), &err);
    CHECK_OK(api_object_head(&call, STR("counted"), STR("k"), 0, &info, &err), &err);
    CHECK_INT(info.tag_count, 1);
    CHECK_INT(api_counter(&fake.lake, API_COUNT_object_tags), 1);
    CHECK_CODE(api_object_tag(&call, STR("counted"), STR("none"), 0, &tag, 1, &err), E_NOT_FOUND);
    CHECK_INT(api_counter(&fake.lake, API_COUNT_object_tags), 1);
    fake_lake_close(&fake);
}

TEST(api_object_hashes_what_is_asked_for)
{
    FakeLake fake;
    Err err;
    ObjectInfo info;
    char got[8];
    size_t len = 0;
    DigestValue sha = digest_of(DIGEST_SHA256, STR("bytes"));
    fake_lake_open(&fake);
    ApiCall call = fake_lake_call(&fake, true);
    CHECK_OK(api_bucket_create(&call, STR("hashed"), &err), &err);
    put_bytes(&call, "hashed", "with", STR("bytes"), true);
    put_bytes(&call, "hashed", "without", STR("bytes"), false);
    CHECK_OK(api_object_head(&call, STR("hashed"), STR("with"), 0, &info, &err), &err);
    CHECK(info.has_sha256 && memcmp(info.sha256, sha.bytes, 32) == 0);
    CHECK_OK(api_object_head(&call, STR("hashed"), STR("without"), 0, &info, &err), &err);
    CHECK(!info.has_sha256);
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_OK(api_object_read(&call, STR("hashed"), STR("without"), 0, &reader, &err), &err);
    CHECK_OK(object_pread(reader, got, sizeof got, 0, &len, &err), &err);
    CHECK_STR(str_of(got, len), STR("bytes"));
    object_reader_free(&reader);
    fake_lake_close(&fake);
}

static StorePart part_put(ApiCall *call, const ApiUpload *of, uint32_t number, const char *bytes)
{
    StagedObject *staged = NULL;
    Err err;
    StorePart part = { .number = number };
    DigestValue md5 = digest_of(DIGEST_MD5, str_z(bytes));
    memcpy(part.md5, md5.bytes, sizeof part.md5);
    CHECK_OK(api_stage(call, true, &staged, &err), &err);
    CHECK_OK(api_stage_write(staged, str_z(bytes), &err), &err);
    CHECK_OK(api_stage_finish(staged, &err), &err);
    CHECK_OK(api_upload_part(call, of, &part, &staged, &err), &err);
    CHECK(staged == NULL);
    return part;
}

TEST(api_upload_counts_as_a_write)
{
    FakeLake fake;
    Err err;
    ObjectInfo info;
    StoreUpload upload;
    ApiParts parts;
    bool completed = true;
    ApiUpload of = { STR("parts"), STR("k"), { { 0 } } };
    fake_lake_open(&fake);
    ApiCall call = fake_lake_call(&fake, true);
    CHECK_OK(api_bucket_create(&call, STR("parts"), &err), &err);
    StoreUpload fields = { .bucket = of.bucket, .key = of.key };
    CHECK_OK(api_upload_create(&call, &fields, &of.id, &err), &err);
    CHECK_OK(api_upload_get(&call, &of, &upload, &err), &err);
    ApiUpload other = of;
    other.key = STR("another");
    CHECK_CODE(api_upload_get(&call, &other, &upload, &err), E_NOT_FOUND);
    StorePart put[2];
    put[1] = part_put(&call, &of, 7, "world");
    put[0] = part_put(&call, &of, 2, "hello ");
    CHECK_OK(api_upload_parts(&call, &of, 0, 10, &parts, &err), &err);
    CHECK_INT(parts.count, 2);
    CHECK_INT(parts.parts[0].number, 2);
    CHECK_OK(api_upload_completed(&call, &of, &info, &completed, &err), &err);
    CHECK(!completed);
    StoreComplete complete = { of.bucket, of.key, of.id, put, 2, PUT_ALWAYS, 0, { 0 } };
    CHECK_OK(api_upload_complete(&call, &complete, false, &info, &err), &err);
    CHECK_INT(info.size_bytes, 11);
    CHECK_INT(api_counter(&fake.lake, API_COUNT_object_writes), 1);
    CHECK_INT(api_counter(&fake.lake, API_COUNT_uploads), 1);
    CHECK_INT(api_counter(&fake.lake, API_COUNT_upload_parts), 2);
    CHECK_OK(api_upload_completed(&call, &of, &info, &completed, &err), &err);
    CHECK(completed);
    CHECK_CODE(api_upload_abort(&call, &of, &err), E_NOT_FOUND);
    fake_lake_close(&fake);
}
