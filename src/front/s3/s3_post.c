/* PostObject: multipart/form-data taken apart while it streams; the file's bytes go where a PUT's
 * go.
 *
 * Invariants:
 * 1. Nothing is staged before the policy's signature was checked, the policy was judged and the
 * bucket was entered: all of it when the file begins.
 * 2. What follows the file is not read. */
#include "front/s3/s3_post.h"

#include "base/text.h"
#include "front/rest/multipart.h"

#include <string.h>

struct S3Post {
    S3Req *s;
    PostForm form;
    Multipart parts;
    Buf value; /* of the field that is being read */
    Str name;
    bool in_file, has_file, over;
};

static Code answered(Err *err)
{
    return err_set(err, E_CANCELLED, "the form was answered");
}

/* ---- the signature ---- */

static bool missing(S3Req *s, const char *field)
{
    return s3_fail_argument(s, field, STR_NONE,
                            str_format(s->arena,
                                       "Bucket POST must contain a field named '%s'.  If it is "
                                       "specified, please check the order of the fields.",
                                       field));
}

static bool credential_ok(S3Req *s, Str credential)
{
    Str rest = credential, parts[5], why = STR_NONE, region = s->server->options.region;
    size_t count = 0;
    while (count < 5 && rest.ptr && str_split(&rest, '/', &parts[count]))
        count++;
    if (count != 5 || (rest.ptr && rest.len > 0) || parts[0].len == 0)
        why = STR("the Credential is mal-formed; expecting "
                  "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
    else if (!str_eq(parts[3], STR("s3")))
        why = str_format(s->arena,
                         "incorrect service \"" STR_FMT "\". This endpoint belongs to \"s3\".",
                         STR_ARG(parts[3]));
    else if (!str_eq(parts[4], STR("aws4_request")))
        why = str_format(s->arena,
                         "incorrect terminal \"" STR_FMT "\". This endpoint uses \"aws4_request\".",
                         STR_ARG(parts[4]));
    else if (!str_eq(parts[2], region))
        why = str_format(s->arena, "the region \"" STR_FMT "\" is wrong; expecting \"" STR_FMT "\"",
                         STR_ARG(parts[2]), STR_ARG(region));
    if (why.ptr)
        return s3_fail_argument(s, "x-amz-credential", credential, why);
    s->claim.access_key = parts[0];
    s->claim.day = parts[1];
    s->claim.region = parts[2];
    s->claim.service = parts[3];
    return true;
}

static bool fields_ok(S3Req *s, const PostForm *form)
{
    static const char *const names[] = { "policy", "x-amz-algorithm", "x-amz-credential",
                                         "x-amz-date", "x-amz-signature" };
    size_t found = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        found += s3_post_field(form, str_z(names[i])).ptr != NULL;
    if (found == 0)
        return s3_fail(s, S3_AccessDenied);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!s3_post_field(form, str_z(names[i])).ptr)
            return missing(s, names[i]);
    }
    Str algorithm = s3_post_field(form, STR("x-amz-algorithm")),
        date = s3_post_field(form, STR("x-amz-date"));
    if (!str_eq(algorithm, STR("AWS4-HMAC-SHA256")))
        return s3_fail_argument(s, "X-Amz-Algorithm", algorithm,
                                STR("Only AWS4-HMAC-SHA256 is supported"));
    if (date.len != 16 || date.ptr[8] != 'T' || date.ptr[15] != 'Z')
        return s3_fail_argument(s, "X-Amz-Date", date,
                                STR("X-Amz-Date must be formated via ISO8601 Long format"));
    s->claim.kind = SIG_QUERY;
    s->claim.amz_date = date;
    s->claim.payload = STR("UNSIGNED-PAYLOAD");
    s->claim.signature = s3_post_field(form, STR("x-amz-signature"));
    s->claim.token = s3_post_field(form, STR("x-amz-security-token"));
    return credential_ok(s, s3_post_field(form, STR("x-amz-credential")));
}

static bool signature_ok(S3Req *s, const PostForm *form)
{
    Str policy = s3_post_field(form, STR("policy"));
    Err err;
    if (!fields_ok(s, form))
        return false;
    Code code = api_signer(&s->call, s->claim.access_key, s->claim.token, &s->grant, &err);
    if (code == E_GONE)
        return s3_fail(s, S3_ExpiredToken);
    if (code == E_UNAUTHENTICATED)
        return s->claim.token.len ? s3_fail(s, S3_InvalidToken)
                                  : s3_fail_with(s, S3_InvalidAccessKeyId, STR_NONE, "AWSAccessKeyId",
                                                 s->claim.access_key);
    if (code != E_OK)
        return s3_fail_err(s, &err);
    s->sig_key = s3_signing_key(s->server, s->grant.secret, &s->claim);
    if (!sig_verify_policy(policy, s->claim.signature, &s->sig_key)) {
        SigFail fail = { .code = "SignatureDoesNotMatch",
                         .status = 403,
                         .message = STR("The request signature we calculated does not match the "
                                        "signature you provided. Check your key and signing "
                                        "method."),
                         .string_to_sign = policy };
        return s3_fail_signature(s, &fail);
    }
    api_signed(&s->call, &s->grant, s->claim.service, s->claim.region);
    http_req_set_principal(s->r, s->grant.principal.name);
    return true;
}

/* ---- the form ---- */

/* From here on s3_field reads the form: what a PUT has as header fields is a field of it. */
static bool form_becomes_request(S3Req *s, PostForm *form)
{
    StoreTag *tags = NULL;
    const XmlNode *root;
    size_t count = 0;
    Str tagging = s3_post_field(form, STR("tagging"));
    s->request.fields = form->fields;
    s->request.field_count = form->count;
    s->from_form = true;
    if (!tagging.ptr)
        return true;
    if (xml_parse(s->arena, tagging, &root, NULL) != E_OK)
        return s3_fail(s, S3_MalformedXML);
    if (!s3_may_tag(s) || !s3_tags_xml(s, root, S3_TAGS_MAX, &tags, &count))
        return false;
    s->form_tags = tags;
    s->form_tag_count = count;
    return true;
}

/* "${filename}" in any field is the file's own name, behind the last slash; the policy judges what comes of it. */
static void filename_expand(S3Post *post, Str filename)
{
    Str mark = STR("${filename}");
    for (size_t i = filename.len; i > 0; i--) {
        if (filename.ptr[i - 1] == '/' || filename.ptr[i - 1] == '\\') {
            filename = str_from(filename, i);
            break;
        }
    }
    for (size_t i = 0; i < post->form.count; i++) {
        Str value = post->form.fields[i].value;
        ptrdiff_t at = str_find(value, mark);
        if (at >= 0)
            post->form.fields[i].value =
                str_format(post->s->arena, STR_FMT STR_FMT STR_FMT, STR_ARG(str_sub(value, 0, (size_t)at)),
                           STR_ARG(filename), STR_ARG(str_from(value, (size_t)at + mark.len)));
    }
}

static bool file_begin(S3Post *post, Str filename)
{
    S3Req *s = post->s;
    PostFail fail;
    filename_expand(post, filename);
    Str key = s3_post_field(&post->form, STR("key"));
    if (key.len == 0)
        return missing(s, "key");
    if (!signature_ok(s, &post->form))
        return false;
    if (!s3_policy_judge(&post->form, s3_post_field(&post->form, STR("policy")),
                         os_now_us(s->call.lake->os), &fail))
        return s3_fail_text(s, fail.code, fail.message);
    s->key = key;
    if (s->key.len > STORE_KEY_MAX)
        return s3_fail(s, S3_KeyTooLongError);
    return s3_bucket_enter(s) && form_becomes_request(s, &post->form) && s3_body_begin(s);
}

static Code part_begin(void *self, const MultipartPart *part, Err *err)
{
    S3Post *post = self;
    if (post->over || http_replied(post->s->r))
        return E_OK;
    post->in_file = str_ieq(part->name, STR("file"));
    post->name = str_copy(post->s->arena, part->name);
    if (!post->in_file)
        return E_OK;
    post->has_file = true;
    Str filename = part->filename.ptr ? str_copy(post->s->arena, part->filename) : STR("");
    return file_begin(post, filename) ? E_OK : answered(err);
}

static Code part_data(void *self, Str bytes, Err *err)
{
    S3Post *post = self;
    if (post->over)
        return E_OK;
    if (post->in_file)
        return s3_body_take(post->s, bytes) ? E_OK : answered(err);
    post->form.bytes += bytes.len;
    if (post->form.bytes > POST_FORM_BYTES_MAX) {
        s3_fail(post->s, S3_MaxPostPreDataLengthExceeded);
        return answered(err);
    }
    buf_put(&post->value, bytes);
    return E_OK;
}

static Code part_end(void *self, Err *err)
{
    S3Post *post = self;
    PostForm *form = &post->form;
    if (post->over)
        return E_OK;
    if (post->in_file) {
        post->over = true;
        return E_OK;
    }
    if (form->count == POST_FIELDS_MAX) {
        s3_fail(post->s, S3_MaxPostPreDataLengthExceeded);
        return answered(err);
    }
    form->fields[form->count++] = (SigField){ str_lower(form->arena, post->name),
                                              str_copy(form->arena, buf_str(&post->value)) };
    buf_clear(&post->value);
    return E_OK;
}

void s3_post_begin(S3Req *s)
{
    static const MultipartOps ops = { part_begin, part_data, part_end };
    Str type = s3_field(s, "Content-Type");
    Err err;
    if (!str_istarts(type, STR("multipart/form-data"))) {
        s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition",
                     STR("Bucket POST must be of the enclosure-type multipart/form-data"));
        return;
    }
    S3Post *post = arena_new(s->arena, S3Post);
    post->s = s;
    post->form.arena = s->arena;
    post->form.bucket = s->bucket;
    buf_init(&post->value, POST_FORM_BYTES_MAX);
    if (multipart_init(&post->parts, type, &ops, post, &err) != E_OK)
        s3_fail(s, S3_MalformedPOSTRequest);
    else
        s->post = post;
}

void s3_post_take(S3Req *s, Str bytes)
{
    Err err;
    if (multipart_feed(&s->post->parts, bytes, &err) != E_OK && !http_replied(s->r))
        s3_fail(s, S3_MalformedPOSTRequest);
}

void s3_post_free(S3Req *s)
{
    if (!s->post)
        return;
    multipart_done(&s->post->parts);
    buf_done(&s->post->value);
}

/* ---- the answer ---- */

static void post_answer(S3Req *s, Str etag)
{
    Str status = s3_field(s, "success_action_status"), to = s3_field(s, "success_action_redirect");
    Str location = s3_location(s);
    Buf body;
    http_reply_header(s->r, "ETag", etag);
    if (str_starts(to, STR("http://")) || str_starts(to, STR("https://"))) {
        buf_init(&body, POST_FORM_BYTES_MAX * 4);
        buf_format(&body, STR_FMT "%cbucket=" STR_FMT "&key=", STR_ARG(to),
                   str_find_char(to, '?') < 0 ? '?' : '&', STR_ARG(s->bucket));
        url_encode(&body, s->key, false);
        buf_put(&body, STR("&etag="));
        url_encode(&body, etag, false);
        http_reply_header(s->r, "Location", str_copy(s->arena, buf_str(&body)));
        buf_done(&body);
        s3_reply_empty(s, 303);
        return;
    }
    http_reply_header(s->r, "Location", location);
    if (!str_eq(status, STR("201"))) {
        s3_reply_empty(s, str_eq(status, STR("200")) ? 200 : 204);
        return;
    }
    buf_init(&body, POST_FORM_BYTES_MAX * 4);
    XmlWriter w = xml_writer(&body);
    xml_open(&w, "PostResponse");
    xml_field(&w, "Location", location);
    xml_field(&w, "Bucket", s->bucket);
    xml_field(&w, "Key", s->key);
    xml_field(&w, "ETag", etag);
    xml_close(&w, "PostResponse");
    s3_reply_xml(s, 201, &body);
}

static bool size_ok(S3Req *s)
{
    int64_t size = (int64_t)s->body_bytes, least = s->post->form.least, most = s->post->form.most;
    bool large = size > most;
    S3Detail details[] = { { "ProposedSize", s3_number(s, (uint64_t)size) },
                           { large ? "MaxSizeAllowed" : "MinSizeAllowed",
                             s3_number(s, (uint64_t)(large ? most : least)) } };
    return (size >= least && !large) ||
           s3_fail_details(s, large ? S3_EntityTooLarge : S3_EntityTooSmall, STR_NONE, details,
                           ARRAY_LEN(details));
}

void s3_post_object(S3Req *s)
{
    Err err;
    uint64_t sequence = 0;
    if (multipart_finish(&s->post->parts, &err) != E_OK) {
        s3_fail(s, S3_MalformedPOSTRequest);
        return;
    }
    if (!s->post->has_file) {
        s3_fail_argument(s, "file", STR_NONE,
                         STR("POST requires exactly one file upload per request."));
        return;
    }
    if (!size_ok(s) || !s3_body_end(s))
        return;
    StorePut put = { .take_staged = s->staged,
                     .bucket = s->bucket,
                     .key = s->key,
                     .md5 = s->md5_bytes,
                     .checksum = s->checksum_value };
    if (!s3_value_ok(s, "success_action_redirect", s3_field(s, "success_action_redirect")) ||
        !s3_put_fields(s, &put, s->arena))
        return;
    put.tags = s->form_tags;
    put.tag_count = s->form_tag_count;
    Code code = api_object_put(&s->call, &put, &sequence, &err);
    s->staged = put.take_staged;
    if (code != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    if (s->info.versioning == VERSIONING_ENABLED)
        http_reply_header(s->r, "x-amz-version-id", s3_version_text(s, sequence, false));
    s3_checksum_header(s, &(ObjectInfo){ .checksum = s->checksum_value });
    post_answer(s, s3_etag_of(s, s->md5_bytes));
}
