/* Covers s3.c, s3_body.c, s3_bucket.c, s3_complete.c, s3_conditions.c, s3_cors.c, s3_list.c, s3_meta.c, s3_metrics.c,
 * s3_object.c, s3_post.c, s3_read.c, s3_reply.c, s3_sts.c, s3_text.c, s3_upload.c, s3_write.c: driven by tests/s3/. */
#include "front/s3/s3_post.h"

#include "base/test.h"
#include "base/text.h"

static PostForm form_make(Arena *arena)
{
    return (PostForm){ .arena = arena,
                       .bucket = STR("photos"),
                       .fields = { { STR("key"), STR("user/a.jpg") },
                                   { STR("content-type"), STR("image/jpeg, image/png") },
                                   { STR("x-amz-signature"), STR("00") },
                                   { STR("x-ignore-me"), STR("1") } },
                       .count = 4 };
}

static bool judge(Arena *arena, PostForm *form, const char *policy, PostFail *ret_fail)
{
    Buf text AUTO(buf_done);
    buf_init(&text, 64 << 10);
    base64_put(&text, str_z(policy));
    *form = form_make(arena);
    return s3_policy_judge(form, buf_str(&text), 1000000, ret_fail);
}

#define HEAD "{\"expiration\":\"2100-01-01T00:00:00Z\",\"conditions\":["
#define REST "{\"bucket\":\"photos\"},[\"starts-with\",\"$content-type\",\"image/\"]"

TEST(post_policies_cover_what_is_sent)
{
    Arena arena AUTO(arena_done) = { 0 };
    PostForm form;
    PostFail fail;
    CHECK(judge(&arena, &form,
                HEAD "[\"starts-with\",\"$key\",\"user/\"],[\"content-length-range\",1,9]," REST
                     "]}",
                &fail));
    CHECK(form.least == 1 && form.most == 9);
    CHECK(!judge(&arena, &form, HEAD REST "]}", &fail));
    CHECK_STR(fail.message, STR("Invalid according to Policy: Extra input fields: key"));
    CHECK(!judge(&arena, &form, HEAD "{\"key\":\"b\"}," REST "]}", &fail));
    CHECK_STR(
        fail.message,
        STR("Invalid according to Policy: Policy Condition failed: [\"eq\", \"$key\", \"b\"]"));
    CHECK(!judge(&arena, &form,
                 HEAD "{\"key\":\"user/a.jpg\"},[\"starts-with\",\"$content-type\",\"image/j\"]]}",
                 &fail));
    CHECK(fail.code == S3_AccessDenied);
}

TEST(post_policies_end_and_are_well_formed)
{
    Arena arena AUTO(arena_done) = { 0 };
    PostForm form;
    PostFail fail;
    static const char *const broken[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"expiration\":1,\"conditions\":[]}",
        "{\"expiration\":\"never\",\"conditions\":[]}",
        "{\"expiration\":\"2100-01-01 00:00:00\",\"conditions\":[]}",
        "{\"expiration\":\"2100-01-01T00:00:00+00:00\",\"conditions\":[]}",
        "{\"expiration\":\"2100-01-01T00:00:00Z\"}",
        "{\"expiration\":\"2100-01-01T00:00:00Z\",\"conditions\":{}}",
        HEAD "true]}",
        HEAD "[]]}",
        HEAD "[\"like\",\"$key\",\"a\"]]}",
        HEAD "[\"eq\",\"$key\"]]}",
        HEAD "[\"eq\",1,\"a\"]]}",
        HEAD "[\"content-length-range\",\"a\",2]]}",
        HEAD "{\"a\":\"b\",\"c\":\"d\"}]}",
        HEAD "{\"key\":true}]}"
    };
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        CHECK(!judge(&arena, &form, broken[i], &fail));
        CHECK(fail.code == S3_InvalidPolicyDocument);
    }
    CHECK(!judge(&arena, &form, "{\"expiration\":\"1970-01-01T00:00:00Z\",\"conditions\":[]}",
                 &fail));
    CHECK_STR(fail.message, STR("Invalid according to Policy: Policy expired."));
}
