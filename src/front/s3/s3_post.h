/* s3_post.h: uploads by a page's form: its fields, and the signed policy that says what they may
 * be. Owner:   everything lives in the request's arena. Threads: one at a time, the request's.
 * Errors:  false with a PostFail: S3's code and AWS's text.
 * Limits:  POST_*.
 * Units:   bytes; _us: microseconds since 1970 UTC. */
#pragma once

#include "front/s3/s3_priv.h"

enum {
    POST_FIELDS_MAX = 100,
    POST_FORM_BYTES_MAX = 20 << 10 /* of all fields, as AWS has it; the file is not counted */
};

typedef struct PostForm {
    Arena *arena;
    Str bucket;
    SigField fields[POST_FIELDS_MAX];
    bool covered[POST_FIELDS_MAX]; /* by a condition of the policy */
    bool bucket_covered;
    size_t count, bytes;
    int64_t least, most; /* content-length-range */
} PostForm;

typedef struct PostFail {
    S3Code code;
    Str message;
} PostFail;

Str s3_post_field(const PostForm *form, Str name); /* STR_NONE: not there */
/* `policy`: as sent, in base64. Sets form->least and most. */
bool s3_policy_judge(PostForm *form, Str policy, int64_t now_us, PostFail *ret_fail);
