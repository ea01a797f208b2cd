/* Addresses, listings and removals of s3_work.h. */
#include "base/text.h"
#include "format/digest.h"
#include "format/xml.h"
#include "format/json.h"
#include "main/command.h"
#include "main/s3_work.h"

#include <string.h>

enum { DELETE_BYTES_MAX = 12 << 20 }; /* 1,000 keys of 1,024 bytes, each byte escaped */

Code work_address(Str text, Str *ret_bucket, Str *ret_key, Err *err)
{
    if (str_starts(text, STR("s3://")))
        text = str_from(text, 5);
    ptrdiff_t slash = str_find_char(text, '/');
    *ret_bucket = slash < 0 ? text : str_sub(text, 0, (size_t)slash);
    *ret_key = slash < 0 ? STR("") : str_from(text, (size_t)slash + 1);
    if (!ret_bucket->len)
        return err_hint(err, err_set(err, E_INVALID, "'" STR_FMT "' names no bucket", STR_ARG(text)),
                        "write BUCKET/KEY or s3://BUCKET/KEY");
    return E_OK;
}

/* ---- listing ---- */

typedef struct Walk {
    const WorkList *list;
    WorkVisit *visit;
    void *arg;
    uint64_t seen;
    Str after, after_version; /* of the next page */
    Arena kept;
    bool over;                /* the limit was reached */
} Walk;

static Str unquoted(Str etag)
{
    return etag.len >= 2 && etag.ptr[0] == '"' ? str_sub(etag, 1, etag.len - 2) : etag;
}

static Code object_read(const XmlNode *node, Arena *tmp, WorkObject *ret_object, Err *err)
{
    WorkObject object = { .latest = true };
    int64_t size = 0;
    object.prefix = str_eq(node->name, STR("CommonPrefixes"));
    object.marker = str_eq(node->name, STR("DeleteMarker"));
    if (!url_decode(tmp, xml_text(node, object.prefix ? "Prefix" : "Key"), &object.key))
        return err_set(err, E_CORRUPT, "the server sent a key that cannot be read");
    if (xml_text(node, "Size").len && str_i64(xml_text(node, "Size"), &size))
        object.size_bytes = (uint64_t)size;
    object.modified = xml_text(node, "LastModified");
    object.etag = unquoted(xml_text(node, "ETag"));
    object.version = xml_text(node, "VersionId");
    if (xml_text(node, "IsLatest").len)
        object.latest = str_eq(xml_text(node, "IsLatest"), STR("true"));
    *ret_object = object;
    return E_OK;
}

static bool is_object(const XmlNode *node)
{
    static const char *const names[] = { "Contents", "Version", "DeleteMarker", "CommonPrefixes" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(node->name, str_z(names[i])))
            return true;
    return false;
}

static Code page_read(Walk *walk, Str xml, bool *ret_more, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const XmlNode *root;
    WorkObject object;
    TRY(xml_parse(&tmp, xml, &root, err));
    for (const XmlNode *node = root->first; node; node = node->next) {
        if (!is_object(node))
            continue;
        if (walk->list->limit && walk->seen == walk->list->limit) {
            walk->over = true;
            *ret_more = false;
            return E_OK;
        }
        TRY(object_read(node, &tmp, &object, err));
        walk->seen++;
        TRY(walk->visit(walk->arg, &object, err));
    }
    *ret_more = str_eq(xml_text(root, "IsTruncated"), STR("true"));
    Str next = xml_text(root, walk->list->versions ? "NextKeyMarker" : "NextContinuationToken");
    arena_reset(&walk->kept);
    walk->after = str_copy(&walk->kept, next);
    if (walk->list->versions && !url_decode(&walk->kept, walk->after, &walk->after))
        return err_set(err, E_CORRUPT, "the server sent a key that cannot be read");
    walk->after_version = str_copy(&walk->kept, xml_text(root, "NextVersionIdMarker"));
    return E_OK;
}

static size_t query_put(const Walk *walk, bool first, S3Field *query)
{
    const WorkList *list = walk->list;
    size_t count = 0;
    if (list->versions)
        query[count++] = (S3Field){ "versions", STR_NONE };
    else
        query[count++] = (S3Field){ "list-type", STR("2") };
    query[count++] = (S3Field){ "encoding-type", STR("url") };
    query[count++] = (S3Field){ "prefix", list->prefix.ptr ? list->prefix : STR("") };
    if (list->folded)
        query[count++] = (S3Field){ "delimiter", STR("/") };
    if (first && list->after.len)
        query[count++] = (S3Field){ list->versions ? "key-marker" : "start-after", list->after };
    if (!first)
        query[count++] = (S3Field){ list->versions ? "key-marker" : "continuation-token", walk->after };
    if (!first && list->versions && walk->after_version.len)
        query[count++] = (S3Field){ "version-id-marker", walk->after_version };
    return count;
}

Code work_list(S3Client *client, const WorkList *list, WorkVisit *visit, void *arg, bool *ret_more, Err *err)
{
    Walk walk = { .list = list, .visit = visit, .arg = arg };
    S3Field query[8];
    bool more = true;
    Code code = E_OK;
    for (bool first = true; more && code == E_OK; first = false) {
        S3Reply reply;
        S3Call call = { .bucket = list->bucket, .query = query, .query_count = query_put(&walk, first, query) };
        code = s3_call(client, &call, &reply, err);
        if (code == E_OK)
            code = page_read(&walk, buf_str(&reply.body), &more, err);
        s3_reply_done(&reply);
    }
    arena_done(&walk.kept);
    if (ret_more)
        *ret_more = walk.over;
    return code;
}

Code work_buckets_show(S3Client *client, const Args *args, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf body AUTO(buf_done) = { 0 };
    const XmlNode *root;
    S3Reply reply;
    buf_init(&body, S3_REPLY_MAX);
    JsonWriter w = json_writer(&body);
    Code code = s3_call(client, &(S3Call){ .method = NULL }, &reply, err);
    if (code == E_OK)
        code = xml_parse(&tmp, buf_str(&reply.body), &root, err);
    s3_reply_done(&reply);
    TRY(code);
    const XmlNode *buckets = xml_child(root, "Buckets");
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (const XmlNode *node = xml_child(buckets, "Bucket"); node; node = xml_next(node, "Bucket")) {
        json_begin_object(&w);
        json_field_str(&w, "name", xml_text(node, "Name"));
        json_field_str(&w, "created", xml_text(node, "CreationDate"));
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    TRY(buf_end(&body, "the list of buckets", err));
    return command_show_json(args, buf_str(&body), "items", "name,created", err);
}

/* ---- removal ---- */

void work_delete_init(WorkDelete *work, S3Client *client, Str bucket)
{
    *work = (WorkDelete){ .client = client, .bucket = bucket };
    buf_init(&work->xml, DELETE_BYTES_MAX);
}

void work_delete_done(WorkDelete *work)
{
    buf_done(&work->xml);
}

static Code refusals_read(WorkDelete *work, Str xml, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const XmlNode *root;
    size_t refused = 0;
    Str key = STR_NONE, why = STR_NONE;
    TRY(xml_parse(&tmp, xml, &root, err));
    for (const XmlNode *node = xml_child(root, "Error"); node; node = xml_next(node, "Error"), refused++)
        key = xml_text(node, "Key"), why = xml_text(node, "Code");
    work->removed += work->count - refused;
    if (!refused)
        return E_OK;
    Code code = str_eq(why, STR("AccessDenied")) ? E_FORBIDDEN : E_INTERNAL;
    return err_set(err, code, "%zu of %zu were not removed, the last is '" STR_FMT "': " STR_FMT, refused, work->count,
                   STR_ARG(key), STR_ARG(why));
}

Code work_delete_end(WorkDelete *work, Err *err)
{
    static const S3Field query[] = { { "delete", { 0 } } };
    Buf digest AUTO(buf_done) = { 0 };
    S3Reply reply;
    if (!work->count)
        return E_OK;
    XmlWriter w = { &work->xml };
    xml_close(&w, "Delete");
    TRY(buf_end(&work->xml, "the list of keys", err));
    buf_init(&digest, 64);
    DigestValue value = digest_of(DIGEST_CRC64NVME, buf_str(&work->xml));
    base64_put(&digest, digest_str(&value));
    S3Field fields[] = { { "x-amz-checksum-crc64nvme", buf_str(&digest) } };
    S3Call call = { .method = "POST", .bucket = work->bucket, .query = query, .query_count = 1, .fields = fields,
                    .field_count = 1, .body = buf_str(&work->xml) };
    Code code = s3_call(work->client, &call, &reply, err);
    if (code == E_OK)
        code = refusals_read(work, buf_str(&reply.body), err);
    s3_reply_done(&reply);
    buf_clear(&work->xml);
    work->count = 0;
    return code;
}

Code work_delete_add(WorkDelete *work, Str key, Str version, Err *err)
{
    XmlWriter w = { &work->xml };
    if (!work->count) {
        w = xml_writer(&work->xml);
        xml_open(&w, "Delete");
        xml_field(&w, "Quiet", STR("true"));
    }
    xml_open(&w, "Object");
    xml_field(&w, "Key", key);
    if (version.len)
        xml_field(&w, "VersionId", version);
    xml_close(&w, "Object");
    return ++work->count == WORK_DELETE_MAX ? work_delete_end(work, err) : E_OK;
}
