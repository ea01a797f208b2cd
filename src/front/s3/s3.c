/* The door: from a request to its operation.
 *
 * Invariants:
 * 1. Nothing of the lake is looked at before the signature was checked, and no bucket is spoken of
 * before the right to it.
 * 2. A request is answered once; what it staged and did not publish is removed by s3_body_free.
 * 3. The bytes of a body reach the store only through s3_body_take, and are published only after
 * s3_body_end has compared every length, digest and signature that was given; but for the SHA-256 of a small
 * body, which the store compares itself (StorePublication.sha256_wanted), before anything of it is written. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

static const S3Op ops[] = {
#define S3_HEAD(head)
#define S3_OP(name, method, resource, query, right, action, body, head, run) \
    { name, method, resource, query, right, action, body, head, run },
#include "front/s3/s3_ops.def"
#undef S3_OP
#undef S3_HEAD
};

/* Asked of buckets and objects, and not served: 501 and not what the request without them does. */
static const char *const unserved[] = { "accelerate",
                                        "analytics",
                                        "intelligent-tiering",
                                        "inventory",
                                        "legal-hold",
                                        "lifecycle",
                                        "logging",
                                        "metrics",
                                        "notification",
                                        "object-lock",
                                        "ownershipControls",
                                        "policy",
                                        "policyStatus",
                                        "encryption",
                                        "publicAccessBlock",
                                        "replication",
                                        "requestPayment",
                                        "restore",
                                        "retention",
                                        "select",
                                        "torrent",
                                        "website",
                                        "acl",
                                        "metadataTable",
                                        "session",
                                        "renameObject",
                                        "append" };

bool s3_has(const S3Req *s, const char *name)
{
    for (size_t i = 0; i < s->param_count; i++) {
        if (str_eq(s->params[i].name, str_z(name)))
            return true;
    }
    return false;
}

Str s3_param(const S3Req *s, const char *name)
{
    for (size_t i = 0; i < s->param_count; i++) {
        if (str_eq(s->params[i].name, str_z(name)))
            return s->params[i].value;
    }
    return STR_NONE;
}

Str s3_field(const S3Req *s, const char *name)
{
    for (size_t i = 0; s->from_form && i < s->request.field_count; i++) {
        if (str_ieq(s->request.fields[i].name, str_z(name)))
            return s->request.fields[i].value;
    }
    return s->from_form ? STR_NONE : http_req_header(s->r, name);
}

Str s3_field_all(const S3Req *s, const char *name)
{
    Str all = STR_NONE;
    for (size_t i = 0; i < http_req_field_count(s->r); i++) {
        if (str_ieq(http_req_field_name(s->r, i), str_z(name)))
            all = all.ptr ? str_format(s->arena, STR_FMT "," STR_FMT, STR_ARG(all),
                                       STR_ARG(http_req_field_value(s->r, i)))
                          : http_req_field_value(s->r, i);
    }
    return all;
}

static bool params_take(S3Req *s)
{
    Str rest = http_req_query_raw(s->r), pair;
    if (rest.len > 0)
        s->params = arena_array(s->arena, S3Param, S3_QUERY_MAX);
    while (rest.ptr && rest.len > 0 && str_split(&rest, '&', &pair)) {
        if (pair.len == 0)
            continue;
        if (s->param_count == S3_QUERY_MAX)
            return s3_fail_text(s, S3_InvalidRequest, STR("The query has too many parameters."));
        ptrdiff_t equals = str_find_char(pair, '=');
        S3Param *param = &s->params[s->param_count++];
        Str name = equals < 0 ? pair : str_sub(pair, 0, (size_t)equals);
        Str value = equals < 0 ? STR("") : str_from(pair, (size_t)equals + 1);
        param->has_value = equals >= 0;
        if (!url_decode_form(s->arena, name, &param->name) ||
            !url_decode_form(s->arena, value, &param->value))
            return s3_fail_text(s, S3_InvalidRequest,
                                STR("The query holds a percent sign that is no escape."));
    }
    return true;
}

/* The bucket that the host names (BUCKET.DOMAIN), or nothing: the one that is signed, not what a proxy says of it. */
static Str domain_bucket(HttpReq *r)
{
    const S3Server *server = http_req_context(r);
    Str sent = http_req_header(r, "Host"), host = sent.ptr ? sent : http_req_host(r);
    ptrdiff_t colon = str_rfind_char(host, ':');
    if (colon >= 0 && (host.len == 0 || host.ptr[host.len - 1] != ']'))
        host = str_sub(host, 0, (size_t)colon);
    for (size_t i = 0; i < server->options.domain_count; i++) {
        Str domain = server->options.domains[i];
        if (host.len > domain.len + 1 && str_ieq(str_from(host, host.len - domain.len), domain) &&
            host.ptr[host.len - domain.len - 1] == '.')
            return str_sub(host, 0, host.len - domain.len - 1);
    }
    return STR_NONE;
}

static Str host_bucket(const S3Req *s)
{
    Str bucket = domain_bucket(s->r);
    return bucket.ptr ? str_lower(s->arena, bucket) : STR_NONE;
}

static bool target_take(S3Req *s)
{
    Str path = http_req_path(s->r), bucket = host_bucket(s), key = STR_NONE;
    path = str_starts(path, STR("/")) ? str_from(path, 1) : path;
    if (bucket.len == 0) {
        ptrdiff_t slash = str_find_char(path, '/');
        bucket = slash < 0 ? path : str_sub(path, 0, (size_t)slash);
        key = slash < 0 ? STR_NONE : str_from(path, (size_t)slash + 1);
    } else {
        key = path;
    }
    if (bucket.len == 0 && key.len > 0) /* "//photos/a" asks for none of the buckets, not for their names */
        return s3_fail(s, S3_InvalidURI);
    if (!url_decode(s->arena, bucket, &s->bucket) || !url_decode(s->arena, key, &s->key))
        return s3_fail_text(s, S3_InvalidRequest,
                            STR("The path holds a percent sign that is no escape."));
    if (s->key.len > STORE_KEY_MAX) {
        S3Detail details[] = { { "Size", s3_number(s, s->key.len) },
                               { "MaxSizeAllowed", s3_number(s, STORE_KEY_MAX) } };
        return s3_fail_details(s, S3_KeyTooLongError, STR_NONE, details, ARRAY_LEN(details));
    }
    return true;
}

/* Where the object is for whoever asked: the host names its bucket, or the path does. */
Str s3_location(S3Req *s)
{
    Buf out AUTO(buf_done);
    buf_init(&out, 3 * STORE_KEY_MAX + 4096);
    buf_format(&out, STR_FMT "://" STR_FMT "/", STR_ARG(http_req_scheme(s->r)), STR_ARG(http_req_host(s->r)));
    if (!domain_bucket(s->r).ptr)
        buf_format(&out, STR_FMT "/", STR_ARG(s->bucket));
    url_encode(&out, s->key, true);
    return str_copy(s->arena, buf_str(&out));
}

static const S3Op *op_find(const S3Req *s, bool *ret_path_known)
{
    S3Resource resource = s->bucket.len == 0 ? S3_SERVICE : s->key.len == 0 ? S3_BUCKET : S3_OBJECT;
    Str method = http_req_method(s->r);
    *ret_path_known = false;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (ops[i].resource != resource || (ops[i].query && !s3_has(s, ops[i].query)))
            continue;
        *ret_path_known = true;
        if (str_eq(str_z(ops[i].method), method))
            return &ops[i];
    }
    return NULL;
}

static bool not_allowed(S3Req *s, const char *type)
{
    S3Detail details[] = { { "Method", http_req_method(s->r) }, { "ResourceType", str_z(type) } };
    return s3_fail_details(s, S3_MethodNotAllowed, STR_NONE, details, ARRAY_LEN(details));
}

/* Requests of a shape that no operation has. */
static bool shape_ok(S3Req *s)
{
    Str method = http_req_method(s->r), source = s3_field(s, "x-amz-copy-source");
    bool puts = str_eq(method, STR("PUT")), gets = str_eq(method, STR("GET"));
    if (source.ptr && !puts &&
        (!str_eq(method, STR("POST")) || s3_has(s, "uploadId") || s3_has(s, "delete")))
        return s3_fail_argument(
            s, "x-amz-copy-source", source,
            STR("You can only specify a copy source header for copy requests."));
    if (s->bucket.len == 0 && str_eq(method, STR("POST")) &&
        !str_istarts(s3_field(s, "Content-Type"), STR("application/x-www-form-urlencoded")))
        return not_allowed(s, "SERVICE");
    if (s->key.len == 0)
        return true;
    if (puts && s3_has(s, "partNumber") && !s3_has(s, "uploadId"))
        return s3_fail_argument(s, "partNumber", STR("partNumber"),
                                STR("This operation does not accept partNumber without uploadId"));
    if (puts && s3_has(s, "uploadId") && !s3_has(s, "partNumber"))
        return not_allowed(s, "UPLOAD");
    if (gets && s3_has(s, "uploads"))
        return s3_fail_text(s, S3_InvalidRequest,
                            STR("Key is not expected for the GET method ?uploads subresource"));
    if (gets && s3_has(s, "versions"))
        return s3_fail_text(s, S3_InvalidRequest,
                            STR("There is no such thing as the ?versions sub-resource for a key"));
    return true;
}

/* 501, when the bucket is there and may be known. */
static const S3Op *s3_op_unserved(const S3Req *s)
{
    static const S3Op rows[] = {
        { "NotServed", "GET", S3_BUCKET, NULL, BUCKET_LIST, "s3:NotServed", S3_BODY_NONE, NULL,
          s3_not_served },
        { "NotServed", "PUT", S3_BUCKET, NULL, BUCKET_LIST, "s3:NotServed", S3_BODY_XML, NULL,
          s3_not_served },
    };
    bool none = str_eq(http_req_method(s->r), STR("GET")) ||
                str_eq(http_req_method(s->r), STR("HEAD")) ||
                str_eq(http_req_method(s->r), STR("DELETE"));
    return &rows[!none];
}

void s3_not_served(S3Req *s)
{
    s3_fail(s, S3_NotImplemented);
}

static bool served_query(const S3Req *s, size_t i, S3Resource resource)
{
    return ops[i].query && ops[i].resource == resource && s3_has(s, ops[i].query);
}

/* What changes something without a sub-resource does not do so with one that other methods have: DELETE ?versioning
 * does not delete the bucket. */
static bool sub_resource_ok(S3Req *s)
{
    bool of_key = s->key.len > 0;
    Str method = http_req_method(s->r);
    bool reads = str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"));
    if (reads || s->param_count == 0 || s->bucket.len == 0 || s->op->query)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (served_query(s, i, of_key ? S3_OBJECT : S3_BUCKET))
            return not_allowed(s, of_key ? "OBJECT" : "BUCKET");
    }
    for (size_t i = 0; i < ARRAY_LEN(ops) && of_key; i++) {
        if (served_query(s, i, S3_BUCKET))
            return s3_fail_text(s, S3_InvalidRequest,
                                str_format(s->arena, "There is no such thing as the ?%s sub-resource for a key",
                                           ops[i].query));
    }
    return s->op->run != s3_put_object || !s3_has(s, "versionId") ||
           s3_fail_argument(s, "versionId", s3_param(s, "versionId"),
                            STR("This operation does not accept a version-id."));
}

static bool op_choose(S3Req *s)
{
    bool known;
    if (!shape_ok(s))
        return false;
    s->op = op_find(s, &known);
    for (size_t i = 0; i < ARRAY_LEN(unserved); i++) {
        if (s3_has(s, unserved[i]) &&
            (!s->op || !s->op->query || strcmp(s->op->query, unserved[i]) != 0))
            s->op = s3_op_unserved(s);
    }
    if (!s->op)
        return known
                   ? not_allowed(s, s->bucket.len == 0 || str_eq(http_req_method(s->r), STR("POST"))
                                        ? "SERVICE"
                                    : s->key.len == 0 ? "BUCKET"
                                                      : "OBJECT")
                   : s3_fail(s, S3_NotImplemented);
    return s->op->run == s3_not_served || sub_resource_ok(s);
}

static void request_take(S3Req *s)
{
    size_t count = http_req_field_count(s->r);
    SigField *fields = arena_array(s->arena, SigField, count + 1);
    for (size_t i = 0; i < count; i++)
        fields[i] = (SigField){ http_req_field_name(s->r, i), http_req_field_value(s->r, i) };
    if (!http_req_header(s->r, "Host").ptr) /* HTTP/2 may say it as :authority alone */
        fields[count++] = (SigField){ STR("host"), http_req_host(s->r) };
    s->request = (SigRequest){ http_req_method(s->r), http_req_path(s->r), http_req_query_raw(s->r),
                               fields, count };
}

/* The public host stands for one that a proxy has put in its place, whose paths name the bucket. A Host that names
 * one itself is what was signed, or else a request could be sent to another bucket than its signer meant. */
static bool verify(S3Req *s, SigFail *fail)
{
    Str public_host = host_bucket(s).len == 0 ? s->server->options.public_host : STR_NONE;
    *fail = (SigFail){ 0 };
    if (s->payload_sts.len > 0)
        return sig_verify(&s->request, &s->claim, &s->sig_key, public_host, s->arena, fail);
    return s3_payload_form(s) &&
           sig_verify(&s->request, &s->claim, &s->sig_key, public_host, s->arena, fail) &&
           ((s->op->body != S3_BODY_NONE && http_req_length(s->r) != 0) || s3_empty_compare(s));
}

bool s3_authenticate(S3Req *s, Str service)
{
    SigFail fail = { 0 };
    Err err;
    request_take(s);
    if (!sig_claim(&s->request, s->server->options.region, service, s->arena, &s->claim, &fail))
        return s3_fail_signature(s, &fail);
    if (s->claim.kind == SIG_ANONYMOUS)
        return s3_fail(s, S3_AccessDenied);
    if (s->payload_sts.len > 0)
        s->claim.payload = s->payload_sts;
    Code code = api_signer(&s->call, s->claim.access_key, s->claim.token, &s->grant, &err);
    if (code == E_GONE) /* clients know by it that they want another one */
        return s3_fail(s, S3_ExpiredToken);
    if (code == E_UNAUTHENTICATED)
        return s->claim.token.len ? s3_fail(s, S3_InvalidToken)
                                  : s3_fail_with(s, S3_InvalidAccessKeyId, STR_NONE,
                                                 "AWSAccessKeyId", s->claim.access_key);
    if (code != E_OK)
        return s3_fail_err(s, &err);
    s->sig_key = s3_signing_key(s->server, s->grant.secret, &s->claim);
    if (!sig_check_time(&s->claim, os_now_us(s->server->options.lake->os), s->arena, &fail) ||
        !verify(s, &fail))
        return fail.code && s3_fail_signature(s, &fail);
    api_signed(&s->call, &s->grant, s->claim.service, s->claim.region);
    http_req_set_principal(s->r, s->grant.principal.name);
    return true;
}

const char *s3_action(const char *action, bool of_version)
{
    static const char *const rows[][2] = { { "s3:GetObject", "s3:GetObjectVersion" },
                                           { "s3:DeleteObject", "s3:DeleteObjectVersion" },
                                           { "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes" },
                                           { "s3:GetObjectTagging", "s3:GetObjectVersionTagging" },
                                           { "s3:PutObjectTagging", "s3:PutObjectVersionTagging" },
                                           { "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging" },
                                           { "s3:GetObjectAcl", "s3:GetObjectVersionAcl" },
                                           { "s3:PutObjectAcl", "s3:PutObjectVersionAcl" } };
    for (size_t i = 0; i < ARRAY_LEN(rows) && of_version; i++) {
        if (strcmp(rows[i][0], action) == 0)
            return rows[i][1];
    }
    return action;
}

bool s3_bucket_enter(S3Req *s)
{
    static const AccessGrant no_session; /* of a batch each key is asked for by itself */
    Err err;
    if (!s->op->action)
        return true;
    ApiBucketAsk ask = { s->op->run == s3_delete_objects ? &no_session : &s->grant, s->op->right,
                         s3_action(s->op->action, s3_has(s, "versionId")), s->bucket, s->key };
    if (!api_bucket_name_ok(s->bucket))
        return s3_fail_with(s,
                            s->op->right == BUCKET_CREATE ? S3_InvalidBucketName : S3_NoSuchBucket,
                            STR_NONE, "BucketName", s->bucket);
    Code code = api_bucket_enter(&s->call, &ask, &s->info, &err);
    if (code == E_NOT_FOUND)
        return s3_fail_with(s, S3_NoSuchBucket, STR_NONE, "BucketName", s->bucket);
    if (code != E_OK)
        return s3_fail_err(s, &err);
    return s->op->right == BUCKET_CREATE ||
           s3_owner_expected(s, "x-amz-expected-bucket-owner", s->info.owner);
}

/* Whose bucket the client takes it for: the id or the name of its owner. */
bool s3_owner_expected(S3Req *s, const char *field, Str owner)
{
    Str wanted = s3_field(s, field);
    return !wanted.ptr || str_eq(wanted, owner) ||
           (str_eq(owner, s->call.principal.id) &&
            (str_eq(wanted, s->call.principal.name) || str_eq(wanted, s->claim.access_key))) ||
           s3_fail(s, S3_AccessDenied);
}

size_t s3_op_number(const S3Op *op)
{
    bool known = op >= ops && op < ops + ARRAY_LEN(ops);
    return known ? (size_t)(op - ops) : ARRAY_LEN(ops) + !op;
}

const char *s3_op_name(size_t number)
{
    return number < ARRAY_LEN(ops) ? ops[number].name : number == ARRAY_LEN(ops) ? "NotServed" : "none";
}

static S3Req *req_make(HttpReq *r)
{
    S3Req *s = arena_new(http_req_arena(r), S3Req);
    s->r = r;
    s->server = http_req_context(r);
    s->arena = http_req_arena(r);
    s->call = (ApiCall){ .lake = s->server->options.lake,
                         .arena = s->arena,
                         .request_id = http_req_id(r),
                         .timeout_ms = http_req_timeout_ms(r),
                         .cancel = http_req_cancel_flag(r) };
    http_req_set_user(r, s);
    return s;
}

static void on_head(HttpReq *r)
{
    S3Req *s = req_make(r);
    if (!params_take(s) || !target_take(s) || !op_choose(s))
        return;
    if (s->op->run == s3_sts) {
        buf_init(&s->text, S3_STS_FORM_MAX); /* it is kept before anybody has signed it */
        return;
    }
    if (s->op->run == s3_post_object) {
        s3_post_begin(s);
        return;
    }
    if (!s3_authenticate(s, STR("s3")) || !s3_bucket_enter(s))
        return;
    if (!s3_cors_apply(s))
        return;
    if (s->op->head)
        s->op->head(s);
    if (!http_replied(r))
        s3_body_begin(s);
}

static void on_options(HttpReq *r)
{
    S3Req *s = req_make(r);
    if (params_take(s) && target_take(s))
        s3_cors_preflight(s);
}

static void on_body(HttpReq *r, Str block)
{
    S3Req *s = http_req_user(r);
    if (http_replied(r))
        return;
    if (s->op->run == s3_sts) {
        buf_put(&s->text, block);
        if (s->text.over)
            s3_fail(s, S3_MaxMessageLengthExceeded);
    } else if (s->post)
        s3_post_take(s, block);
    else {
        s->block_stays = http_req_on_loop(r) && http_req_length(r) == (int64_t)block.len;
        s3_body_take(s, block);
    }
}

static void on_free(HttpReq *r)
{
    S3Req *s = http_req_user(r);
    if (!s)
        return;
    s3_count(s);
    s3_post_free(s);
    s3_body_free(s);
    explicit_bzero(&s->sig_key, sizeof s->sig_key);
}

static size_t room_of(HttpReq *r)
{
    const S3Req *s = http_req_user(r);
    return s->op ? s3_reply_room(s) : 0;
}

static void on_end(HttpReq *r)
{
    S3Req *s = http_req_user(r);
    s->now = http_req_on_loop(r);
    if (!http_replied(r) && (s->op->run == s3_sts || s->post || s3_body_end(s)))
        s->op->run(s);
    if (http_req_on_loop(r))
        return; /* it may be parked */
    on_free(r);
    http_req_freed(r);
}

/* Whose key it is and what bucket, both remembered: nothing that is asked before the object waits for a file. */
static bool object_known(HttpReq *r)
{
    static const Str credential = STR_INIT("Credential=");
    const S3Server *server = http_req_context(r);
    Str signature = http_req_header(r, "Authorization"), path = http_req_path(r), id;
    Str bucket = domain_bucket(r);
    ptrdiff_t at = str_find(signature, credential);
    if (at < 0 || http_req_query_raw(r).len > 0 || http_req_header(r, "x-amz-security-token").ptr)
        return false;
    Str rest = str_from(signature, (size_t)at + credential.len);
    path = str_from(path, MIN(path.len, (size_t)1));
    if (!str_split(&rest, '/', &id) || (bucket.len == 0 && !str_split(&path, '/', &bucket)))
        return false;
    return path.ptr && path.len > 0 && api_bucket_known(server->options.lake, id, bucket);
}

/* Small puts that read no file are worked on by the loop: their bytes are hashed and handed to the
 * store, nobody waits. Whatever else may take its time, on a worker. */
static HttpLane lane_of_put(HttpReq *r)
{
    int64_t length = http_req_length(r);
    if (length < 0 || length > S3_LOOP_BODY_MAX || http_req_header(r, "x-amz-copy-source").ptr ||
        http_req_header(r, "If-Match").ptr ||
        (http_req_header(r, "If-None-Match").ptr && http_req_header(r, "Expect").ptr))
        return HTTP_ON_IO_WORKER;
    return object_known(r) ? HTTP_ON_LOOP : HTTP_ON_IO_WORKER;
}

/* A copy moves up to all bytes of its source before it answers. */
static bool copies(HttpReq *r)
{
    return http_req_header(r, "x-amz-copy-source").ptr != NULL;
}

/* Of an object that is in memory the loop answers itself; others move to a worker (s3_get_object). */
static HttpLane lane_of_get(HttpReq *r)
{
    return object_known(r) ? HTTP_ON_LOOP : HTTP_ON_IO_WORKER;
}

/* Objects are served as they are: nothing is said for a browser but what the bucket's rules say. */
#define ROUTE_FLAGS \
    (HTTP_ROUTE_NO_COMPRESS | HTTP_ROUTE_OPEN_CACHE | HTTP_ROUTE_NO_RATE | HTTP_ROUTE_NO_PAGE)
#define ROUTES(method_, name_, body_, lane_of_)                                         \
    { .method = method_,                                                                \
      .path = "/",                                                                      \
      .name = name_ "Service",                                                          \
      .lane = HTTP_ON_IO_WORKER,                                                        \
      .body_max = body_,                                                                \
      .room_of = room_of,                                                               \
      .on_head = on_head,                                                               \
      .on_body = on_body,                                                               \
      .on_end = on_end,                                                                 \
      .on_free = on_free,                                                               \
      .flags = ROUTE_FLAGS,     \
      .doc = "The buckets." },                                                          \
        { .method = method_,                                                            \
          .path = "/{path*}",                                                           \
          .name = name_,                                                                \
          .lane = HTTP_ON_IO_WORKER,                                                    \
          .lane_of = lane_of_,                                                          \
          .body_max = body_,                                                            \
          .takes_its_time = copies,                                                     \
          .room_of = room_of,                                                           \
          .on_head = on_head,                                                           \
          .on_body = on_body,                                                           \
          .on_end = on_end,                                                             \
          .on_free = on_free,                                                           \
          .flags = ROUTE_FLAGS, \
          .doc = "A bucket or an object." },

static const HttpRoute routes[] = {
    ROUTES("GET", "s3Get", S3_XML_BODY_MAX, lane_of_get)
        ROUTES("PUT", "s3Put", S3_OBJECT_BYTES_MAX + (64 << 20), lane_of_put) /* aws-chunked needs some more */
    ROUTES("POST", "s3Post", S3_OBJECT_BYTES_MAX + (1 << 20), NULL)
        ROUTES("DELETE", "s3Delete", S3_XML_BODY_MAX, NULL){
            .method = "OPTIONS",
            .path = "/{path*}",
            .name = "s3Options",
            .lane = HTTP_ON_IO_WORKER,
            .on_end = on_options,
            .on_free = on_free,
            .flags = ROUTE_FLAGS,
            .doc = "What a page of another origin may do with a bucket." }
};

Code s3_start(const S3Options *options, S3Server **ret_s3, Err *err)
{
    S3Server *s3 AUTO(s3_free) = mem_new(sizeof *s3);
    s3->options = *options;
    if (s3->options.part_bytes_min == 0)
        s3->options.part_bytes_min = S3_PART_BYTES_MIN;
    s3_keys_init(&s3->keys);
    HttpOptions http = *options->http;
    http.os = options->lake->os;
    http.routes = routes;
    http.route_count = ARRAY_LEN(routes);
    http.context = s3;
    http.authorize = NULL;
    http.problem = s3_problem;
    http.any_expect = true;
    http.problem_type = "application/xml";
    http.id_field = "x-amz-request-id";
    http.own_field = "x-amz-id-2";
    http.own_value = S3_HOST_ID;
    s3->options.http = NULL;
    s3->counts = s3_counts_new(ARRAY_LEN(ops));
    s3->routes = ARRAY_LEN(routes);
    TRY(http_server_start(&http, &s3->http, err));
    options->lake->s3_metrics = (ApiMetricsDoor){ s3_metrics_put, s3 };
    *ret_s3 = TAKE(s3);
    return E_OK;
}

HttpServer *s3_http(S3Server *s3)
{
    return s3->http;
}

bool s3_drain(S3Server *s3, uint32_t wait_ms)
{
    return http_server_drain(s3->http, wait_ms);
}

void s3_free(S3Server **s3_at)
{
    S3Server *s3 = TAKE(*s3_at);
    if (!s3)
        return;
    s3->options.lake->s3_metrics = (ApiMetricsDoor){ 0 };
    http_server_free(&s3->http);
    s3_keys_done(&s3->keys);
    mem_free(&s3->counts);
    mem_free(&s3);
}
