/* s3_priv.h: one request of the S3 door, and what the files of this folder share.
 * Owner:   the S3Req lives in its request's arena; s3.c makes and ends it.
 * Threads: one at a time, the request's.
 * Errors:  s3_fail answers; the functions that can fail return false behind it.
 * Limits:  S3_*.
 * Units:   bytes; _us. */
#pragma once

#include "api/api_object.h"
#include "format/aws_chunked.h"
#include "format/xml.h"
#include "front/s3/s3.h"
#include "front/s3/sigv4.h"
#include "os/thread.h"

enum {
    S3_XML_BODY_MAX = 4 << 20, /* 10,000 parts with their checksums, indented */
    S3_STS_FORM_MAX = 64 << 10,    /* a policy and its fields, encoded */
    S3_LOOP_BODY_MAX = 64 << 10,   /* of a put that a loop works on: some 0.1 ms of hashing */
    S3_REPLY_BYTES_MAX = 32 << 20, /* of a list: 1,000 keys, encoded */
    S3_PART_BYTES_MIN = 5 << 20,   /* of all but the last */
    S3_META_BYTES_MAX = 2048,      /* of x-amz-meta-* fields */
    S3_QUERY_MAX = 64,
    S3_KEYS_KEPT = 256,            /* signing keys of a day */
    S3_DELETE_KEYS_MAX = 1000,
    S3_TAGS_MAX = 10,
    S3_BUCKET_TAGS_MAX = 50
};
#define S3_OBJECT_BYTES_MAX (5ull << 30) /* of one PUT */
#define S3_HOST_ID "tarn"
#define S3_XMLNS "http://s3.amazonaws.com/doc/2006-03-01/"

typedef struct S3Server S3Server;
typedef struct S3Req S3Req;
typedef struct S3Post S3Post; /* s3_post.c */

typedef enum S3Resource { S3_SERVICE, S3_BUCKET, S3_OBJECT } S3Resource;
typedef enum S3BodyKind { S3_BODY_NONE, S3_BODY_XML, S3_BODY_STREAM, S3_BODY_PART } S3BodyKind;

/* A row of s3_ops.def. */
typedef struct S3Op {
    const char *name; /* "PutObject" */
    const char *method;
    S3Resource resource;
    const char *query; /* that has to be there; NULL: none */
    BucketRight right;
    const char *action; /* of session policies; NULL: no bucket is entered */
    S3BodyKind body;
    void (*head)(S3Req *s); /* before the body; NULL: nothing */
    void (*run)(S3Req *s);  /* behind it: answers */
} S3Op;

typedef struct S3Param {
    Str name, value; /* decoded */
    bool has_value;
} S3Param;

typedef struct S3Error {
    const char *code;
    int status;
    const char *message;
} S3Error;

struct S3Req {
    HttpReq *r;
    S3Server *server;
    Arena *arena;
    ApiCall call;
    const S3Op *op;
    Str bucket, key; /* decoded */
    S3Param *params; /* room for S3_QUERY_MAX, where there is a query */
    size_t param_count;
    bool now;                /* on the loop: what would wait for the drive is left to a worker */
    SigRequest request;
    SigClaim claim;
    AccessGrant grant;
    SigKey sig_key;
    StoreBucket info; /* of the bucket, when the op enters one */
    /* body */
    bool aws_chunked, chunks_signed, chunks_over;
    AwsChunks chunks;
    SigChain chain;
    Digest chunk_sha, payload_sha, md5, checksum;
    Digest whole;                /* of a part whose upload named no algorithm: CRC64NVME */
    bool has_digests;
    DigestKind checksum_kind;    /* of a header or trailer; DIGEST_NONE: none */
    DigestKind checksum_default; /* what is computed when none came */
    DigestKind checksum_bound;   /* of the upload that a part belongs to */
    bool checksum_open;          /* that upload named none */
    Str payload_sts;             /* SHA-256 of the form of an STS request */
    bool checksum_needed;        /* its parts have to bring one */
    Str checksum_wanted;         /* base64, of the header; the trailer's comes later */
    int64_t decoded_length;      /* -1: not said */
    uint64_t body_bytes;
    Buf text;             /* of S3_BODY_XML */
    StagedObject *staged; /* of S3_BODY_STREAM and S3_BODY_PART */
    uint8_t md5_bytes[16];
    bool md5_staged;         /* the staged bytes feed `md5`, together with their SHA-256 */
    bool block_stays;        /* what on_body has given is the whole body: it is there until on_free */
    bool sha256_later;       /* the same of the SHA-256 that was said, which the store compares */
    uint8_t sha256_wanted[32];
    bool md5_later;          /* the store makes it, with those of the others of its group */
    DigestValue checksum_value; /* what was computed, when one was asked for */
    /* of a form */
    S3Post *post;
    bool from_form; /* s3_field reads the form */
    const StoreTag *form_tags;
    size_t form_tag_count;
    /* for PUT */
    StoreCondition condition;
    uint64_t if_sequence;
    ApiUpload upload;
    uint32_t part_number;
};

/* A signing key that was derived: of a secret, for a day. */
typedef struct S3Key {
    char secret[ACCESS_SECRET_MAX], day[8], service[8];
    size_t secret_len, day_len, service_len;
    SigKey key;
} S3Key;

typedef struct S3Keys {
    Mutex mutex; /* guards what follows */
    S3Key entries[S3_KEYS_KEPT];
} S3Keys;

/* s3_metrics.c */
typedef struct S3Counts S3Counts;
S3Counts *s3_counts_new(size_t ops);
void s3_count(const S3Req *s);
void s3_metrics_put(void *self, Buf *out);
size_t s3_op_number(const S3Op *op); /* behind all rows: NotServed, none */
const char *s3_op_name(size_t number);

struct S3Server {
    S3Options options;
    HttpServer *http;
    S3Keys keys;
    S3Counts *counts;
    size_t routes;
};

/* s3_keys.c */
void s3_keys_init(S3Keys *keys);
void s3_keys_done(S3Keys *keys);
SigKey s3_signing_key(S3Server *server, Str secret, const SigClaim *claim);

/* s3.c */
bool s3_has(const S3Req *s, const char *name);
Str s3_param(const S3Req *s, const char *name); /* STR_NONE: absent */
Str s3_field(const S3Req *s, const char *name);
Str s3_field_all(const S3Req *s, const char *name); /* repeated fields, with commas */
Str s3_location(S3Req *s); /* URL of the object */
bool s3_owner_expected(S3Req *s, const char *field, Str owner);
/* What session policies call it: a version that is named is read, deleted and tagged by a right of its own. */
const char *s3_action(const char *action, bool of_version);

/* s3_text.c */
#include "front/s3/s3_text.h"

/* s3_reply.c: each answers once and returns false. `message` NULL: AWS's text. */
typedef enum S3Code {
#define S3_ERROR(code, status, text) S3_##code,
#include "front/s3/s3_errors.def"
#undef S3_ERROR
    S3_CODES
} S3Code;
int s3_problem(const HttpProblem *problem, Buf *out); /* what the HTTP core answers by itself */
bool s3_fail(S3Req *s, S3Code code);
bool s3_fail_text(S3Req *s, S3Code code, Str message);
bool s3_fail_with(S3Req *s, S3Code code, Str message, const char *detail, Str value);
/* Elements of the error beside Code and Message; those with an empty value are left out. */
typedef struct S3Detail {
    const char *name;
    Str value;
} S3Detail;
bool s3_fail_details(S3Req *s, S3Code code, Str message, const S3Detail *details, size_t count);
bool s3_fail_argument(S3Req *s, const char *name, Str value, Str message); /* InvalidArgument */
bool s3_fail_signature(S3Req *s, const SigFail *fail);
bool s3_fail_err(S3Req *s, const Err *err); /* of the layers below */
/* Whoever may not list a bucket is not told whether it has a key either. */
bool s3_list_encodes(S3Req *s, bool *ret_url); /* ?encoding-type; false: it was answered */
bool s3_may_list(S3Req *s, Str bucket);
const S3Error *s3_error(S3Code code);
void s3_reply_xml(S3Req *s, int status, Buf *take_body);
void s3_reply_empty(S3Req *s, int status);
bool s3_authenticate(S3Req *s, Str service);
bool s3_bucket_enter(S3Req *s);
void s3_not_served(S3Req *s);

/* s3_body.c */
bool s3_payload_form(S3Req *s); /* x-amz-content-sha256 is one that there is */
bool s3_empty_compare(S3Req *s);
bool s3_length_said(S3Req *s); /* of the bytes of an object; answers when it is not */
bool s3_body_begin(S3Req *s);
bool s3_body_take(S3Req *s, Str bytes);
bool s3_body_end(S3Req *s);
bool s3_sha256_wrong(S3Req *s, const uint8_t sha256[32]); /* false, having said which it is */
void s3_body_free(S3Req *s);
extern const Str s3_algorithms_text;    /* which are known */
bool s3_many_checksums(S3Req *s);       /* answers that only one is taken */
DigestKind s3_checksum_field(Str name); /* of "x-amz-checksum-crc32c" */

/* s3_meta.c */
bool s3_acl_named(S3Req *s, Str acl); /* answers when it is none of the canned ones */
bool s3_bytes_served(S3Req *s); /* answers to fields that promise other bytes than would be kept */
bool s3_value_ok(S3Req *s, const char *name, Str value); /* answers when a form's value is none of a header */
bool s3_may_tag(S3Req *s);      /* answers when it may not */
bool s3_acl_ok(S3Req *s); /* answers when an ACL would grant something */
bool s3_put_fields(S3Req *s, StorePut *put, Arena *arena);
bool s3_tags_header(S3Req *s, Str header, StoreTag **ret_tags, size_t *ret_count);
bool s3_tags_xml(S3Req *s, const XmlNode *root, size_t most, StoreTag **ret_tags,
                 size_t *ret_count);
/* The <Tag>s in `set`. */
bool s3_tags_of(S3Req *s, const XmlNode *set, size_t most, StoreTag **ret_tags, size_t *ret_count);
void s3_tags_put(XmlWriter *w, const StoreTag *tags, size_t count);
Str s3_property(const S3Req *s, const char *name); /* of the bucket */

/* s3_post.c */
void s3_post_begin(S3Req *s);
void s3_post_take(S3Req *s, Str bytes);
void s3_post_free(S3Req *s);

/* s3_cors.c */
bool s3_field_name_ok(Str name, bool star); /* the letters of a field's name; `*` only in rules */
bool s3_cors_ok(S3Req *s, const XmlNode *root); /* answers when a rule is none */
bool s3_cors_apply(S3Req *s);                   /* fields of an answer, by the bucket's rules */
void s3_cors_preflight(S3Req *s);

/* s3_conditions.c: each answers when a condition does not hold. RFC 9110 13.2.2. */
typedef struct S3Conditions {
    const char *match, *none, *modified, *unmodified; /* fields */
    bool copies;
} S3Conditions;
extern const S3Conditions s3_of_get, s3_of_copy;
bool s3_conditions_hold(S3Req *s, const ObjectInfo *info, const S3Conditions *names);
/* What a delete or a put says of the version that it replaces; the leader judges whether that still
 * is the newest. NOT_FOUND, PRECONDITION. */
typedef struct S3Match {
    Str etag; /* STR_NONE: any */
    bool has_size, has_time;
    uint64_t size;
    int64_t time_us; /* to the second */
} S3Match;
bool s3_condition_holds(S3Req *s, const S3Match *match, const ObjectInfo *info);
Code s3_match_judge(S3Req *s, Str key, const S3Match *match, uint64_t *ret_sequence,
                    Err *err) CHECKED;
bool s3_conditions_of_put(S3Req *s);
bool s3_condition_of_delete(S3Req *s, uint64_t *ret_if_sequence);

/* s3_write.c, for parts that are copied */
bool s3_copy_source_ok(S3Req *s);
bool s3_copy_into_part(S3Req *s);
void s3_checksum_begin(S3Req *s, DigestKind kind); /* of the bytes that will be copied */
void s3_copy_part_answer(S3Req *s);

/* s3_object.c: the version that the query names; answers when it is none, or a marker */
bool s3_head_version(S3Req *s, ObjectInfo *ret_info);

/* s3_read.c */
bool s3_version_wanted(S3Req *s, uint64_t *ret_sequence); /* 0: the newest */

/* s3_upload.c, s3_complete.c */
bool s3_upload_take(S3Req *s); /* s->upload, of the query */
bool s3_upload_get(S3Req *s, StoreUpload *ret_upload);
bool s3_upload_fail(S3Req *s, const Err *err);
bool s3_completed_before(S3Req *s); /* answers then */

/* s3_list.c: what its answer, made at once, takes about; 0: little, or it is sent in blocks. */
size_t s3_reply_room(const S3Req *s);

/* The operations. */
#define S3_OP(name, method, resource, query, right, action, body, head, run) void run(S3Req *s);
#define S3_HEAD(head) void head(S3Req *s);
#include "front/s3/s3_ops.def"
#undef S3_OP
#undef S3_HEAD
