/* POST policies: whatever is judged right covers the bucket and every field of the form. */
#include "front/s3/s3_post.h"

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf policy AUTO(buf_done);
    PostFail fail = { 0 };
    PostForm form = { .arena = &arena,
                      .bucket = STR("photos"),
                      .fields = { { STR("key"), STR("a") },
                                  { STR("content-type"), STR("b/c,b/d") } },
                      .count = 2 };
    buf_init(&policy, 1 << 20);
    base64_put(&policy, str_of((const char *)bytes, len));
    if (s3_policy_judge(&form, buf_str(&policy), 1000000, &fail)) {
        ASSERT(form.bucket_covered && form.covered[0] && form.covered[1]);
        ASSERT(form.least >= 0 && form.most >= 0);
    } else {
        ASSERT(fail.message.len > 0);
        ASSERT(fail.code == S3_InvalidPolicyDocument || fail.code == S3_AccessDenied);
    }
    return 0;
}
