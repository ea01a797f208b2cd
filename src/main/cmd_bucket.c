/* `tarn bucket`: make, list, set up and remove buckets, over the S3 door. */
#include "base/text.h"
#include "format/digest.h"
#include "format/json.h"
#include "format/xml.h"
#include "main/command.h"
#include "main/render.h"
#include "main/s3_work.h"
#include "os/os.h"

#include <stdio.h>

const OptionRow bucket_options[] = {
    { "--versioning", NULL, "`create`: count versions from the start" },
    { "--force", NULL, "`rm`: its objects, versions and unfinished uploads too" },
    { "--origin", "URL", "`cors`: pages of this origin may read (may be repeated)" },
    { "--method", "METHOD", "`cors`: what they may do (may be repeated; default GET and HEAD)" },
    { "--file", "FILE", "`cors`: a CORSConfiguration of your own, in XML" },
    { "--off", NULL, "`cors`: no page of another origin" },
    { "--abort", NULL, "`uploads`: end them, their parts are removed" },
    { "--endpoint", "URL", "S3 door (default TARN_S3, else from DIR/admin.json)" },
    { NULL, NULL, NULL },
};

enum { DOCUMENT_MAX = 64 << 10 };

typedef struct BucketCall {
    const Args *args;
    S3Client *client;
    Arena *tmp;
    Str name;
} BucketCall;

/* A body of a bucket's setting goes with its checksum, as S3 asks for. */
static Code bucket_ask(BucketCall *call, const char *method, const char *what, Str body, S3Reply *ret_reply, Err *err)
{
    Buf digest AUTO(buf_done) = { 0 };
    buf_init(&digest, 64);
    DigestValue value = digest_of(DIGEST_CRC64NVME, body);
    base64_put(&digest, digest_str(&value));
    S3Field query[] = { { what ? what : "", STR_NONE } };
    S3Field fields[] = { { "x-amz-checksum-crc64nvme", buf_str(&digest) } };
    S3Call ask = { .method = method, .bucket = call->name, .query = query, .query_count = what ? 1 : 0,
                   .fields = fields, .field_count = body.len ? 1 : 0, .body = body };
    return s3_call(call->client, &ask, ret_reply, err);
}

static Code bucket_do(BucketCall *call, const char *method, const char *what, Str body, Err *err)
{
    S3Reply reply;
    Code code = bucket_ask(call, method, what, body, &reply, err);
    s3_reply_done(&reply);
    return code;
}

static Code versioning_set(BucketCall *call, const char *status, Err *err)
{
    Str body = str_format(call->tmp, "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                          "<Status>%s</Status></VersioningConfiguration>", status);
    return bucket_do(call, "PUT", "versioning", body, err);
}

static Code verb_create(void *arg, Err *err)
{
    BucketCall *call = arg;
    Code code = bucket_do(call, "HEAD", NULL, STR_NONE, err); /* S3 takes one's own a second time, too */
    if (code == E_OK)
        return err_hint(err, err_set(err, E_EXISTS, "the bucket " STR_FMT " is there already", STR_ARG(call->name)),
                        "`tarn bucket usage " STR_FMT "` shows what is in it", STR_ARG(call->name));
    code = bucket_do(call, "PUT", NULL, STR_NONE, err);
    if (code == E_INVALID)
        return err_hint(err, code, "a name has 3 to 63 of a-z, 0-9, `-` and `.`");
    TRY(code);
    if (args_has(call->args, "--versioning"))
        TRY(versioning_set(call, "Enabled", err));
    printf("s3://" STR_FMT "\n", STR_ARG(call->name));
    return E_OK;
}

/* With keys of S3 alone there is less to tell. */
static Code verb_ls(void *arg, Err *err)
{
    BucketCall *call = arg;
    if (s3_client_is_named(call->args))
        return work_buckets_show(call->client, call->args, err);
    return command_show(call->args, STR("/v1/objects"), "items", "name,versioning,versions,bytes,created", err);
}

/* One row of the same answer, or all. */
static Code verb_usage(void *arg, Err *err)
{
    BucketCall *call = arg;
    Str path = STR("/v1/objects");
    if (call->name.len) {
        Buf text AUTO(buf_done) = { 0 };
        buf_init(&text, DOCUMENT_MAX);
        buf_put(&text, STR("/v1/objects?name="));
        url_encode(&text, call->name, false);
        path = str_copy(call->tmp, buf_str(&text));
    }
    return command_show(call->args, path, "items", "name,objects,versions,bytes,trash_bytes,uploads", err);
}

/* ---- rm ---- */

static Code version_delete(void *arg, const WorkObject *object, Err *err)
{
    return work_delete_add(arg, object->key, object->version, err);
}

static Code versions_remove(BucketCall *call, Err *err)
{
    WorkDelete work;
    WorkList list = { .bucket = call->name, .versions = true };
    work_delete_init(&work, call->client, call->name);
    Code code = work_list(call->client, &list, version_delete, &work, NULL, err);
    if (code == E_OK)
        code = work_delete_end(&work, err);
    if (code == E_OK)
        fprintf(stderr, "removed %llu version%s\n", (unsigned long long)work.removed, work.removed == 1 ? "" : "s");
    work_delete_done(&work);
    return code;
}

/* Asked before anything of it is removed: whether it may go at all. */
static Code verb_rm(void *arg, Err *err)
{
    BucketCall *call = arg;
    Code code = bucket_do(call, "DELETE", NULL, STR_NONE, err);
    if (code == E_CONFLICT && args_has(call->args, "--force")) {
        TRY(versions_remove(call, err));
        code = bucket_do(call, "DELETE", NULL, STR_NONE, err);
    }
    if (code == E_FORBIDDEN)
        return err_hint(err, code, "`bronze` and `lake` are the lake's own and stay; others go by their owner or an "
                        "admin: `tarn key principal list`");
    TRY(code);
    printf("removed " STR_FMT "\n", STR_ARG(call->name));
    return E_OK;
}

/* ---- versioning ---- */

static Code verb_versioning(void *arg, Err *err)
{
    BucketCall *call = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    S3Reply reply;
    const XmlNode *root;
    Str wanted = call->args->count > 2 ? call->args->words[2] : STR_NONE;
    if (str_eq(wanted, STR("on")) || str_eq(wanted, STR("suspend"))) {
        bool on_wanted = str_eq(wanted, STR("on"));
        TRY(versioning_set(call, on_wanted ? "Enabled" : "Suspended", err));
        printf("%s\n", on_wanted ? "on" : "suspended");
        return E_OK;
    }
    if (wanted.len)
        return err_hint(err, err_set(err, E_INVALID, "'" STR_FMT "' is no state of versioning", STR_ARG(wanted)),
                        "on, or suspend: once counted, versions stay");
    Code code = bucket_ask(call, NULL, "versioning", STR_NONE, &reply, err);
    if (code == E_OK)
        code = xml_parse(&tmp, buf_str(&reply.body), &root, err);
    Str status = code == E_OK ? xml_text(root, "Status") : STR_NONE;
    bool on = str_eq(status, STR("Enabled")), suspended = str_eq(status, STR("Suspended"));
    if (code == E_OK)
        printf("%s\n", on ? "on" : suspended ? "suspended" : "never");
    s3_reply_done(&reply);
    return code;
}

/* ---- cors ---- */

static void options_put(XmlWriter *w, const Args *args, const char *option, const char *name)
{
    for (size_t i = 0; i < args->option_count; i++)
        if (str_eq(str_z(args->options[i]), str_z(option)))
            xml_field(w, name, args->values[i]);
}

static Code cors_set(BucketCall *call, Err *err)
{
    Buf body AUTO(buf_done) = { 0 };
    buf_init(&body, DOCUMENT_MAX);
    Str file = args_get(call->args, "--file");
    if (file.len) {
        Code code = os_read_whole(os_real(), str_copy_z(call->tmp, file), &body, err);
        if (code != E_OK)
            return err_hint(err, code, "--file takes a CORSConfiguration in XML; --origin URL needs no file");
        return bucket_do(call, "PUT", "cors", buf_str(&body), err);
    }
    XmlWriter w = xml_writer(&body);
    xml_open(&w, "CORSConfiguration");
    xml_open(&w, "CORSRule");
    options_put(&w, call->args, "--origin", "AllowedOrigin");
    options_put(&w, call->args, "--method", "AllowedMethod");
    if (!args_has(call->args, "--method")) {
        xml_field(&w, "AllowedMethod", STR("GET"));
        xml_field(&w, "AllowedMethod", STR("HEAD"));
    }
    xml_field(&w, "AllowedHeader", STR("*"));
    xml_field(&w, "ExposeHeader", STR("ETag"));
    xml_close(&w, "CORSRule");
    xml_close(&w, "CORSConfiguration");
    return bucket_do(call, "PUT", "cors", buf_str(&body), err);
}

static Code verb_cors(void *arg, Err *err)
{
    BucketCall *call = arg;
    S3Reply reply;
    if (args_has(call->args, "--off"))
        return bucket_do(call, "DELETE", "cors", STR_NONE, err);
    if (args_has(call->args, "--origin") || args_has(call->args, "--file"))
        return cors_set(call, err);
    if (args_has(call->args, "--method"))
        return err_hint(err, err_set(err, E_INVALID, "--method goes with --origin"),
                        "`tarn bucket cors " STR_FMT " --origin https://app.example.org --method GET`",
                        STR_ARG(call->name));
    Code code = bucket_ask(call, NULL, "cors", STR_NONE, &reply, err);
    if (code == E_OK)
        printf(STR_FMT "\n", STR_ARG(str_trim(buf_str(&reply.body))));
    s3_reply_done(&reply);
    return code;
}

/* ---- uploads ---- */

static Code upload_end(BucketCall *call, Str key, Str id, Err *err)
{
    S3Reply reply;
    S3Field query[] = { { "uploadId", id } };
    S3Call ask = { .method = "DELETE", .bucket = call->name, .key = key, .query = query, .query_count = 1 };
    Code code = s3_call(call->client, &ask, &reply, err);
    s3_reply_done(&reply);
    return code;
}

static Code uploads_read(BucketCall *call, Str xml, JsonWriter *w, bool *ret_more, Arena *kept, Str *ret_key,
                         Str *ret_id, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const XmlNode *root;
    TRY(xml_parse(&tmp, xml, &root, err));
    for (const XmlNode *node = xml_child(root, "Upload"); node; node = xml_next(node, "Upload")) {
        Str key = xml_text(node, "Key"), id = xml_text(node, "UploadId");
        if (!url_decode(&tmp, key, &key))
            return err_set(err, E_CORRUPT, "the server sent a key that cannot be read");
        json_begin_object(w);
        json_field_str(w, "key", key);
        json_field_str(w, "upload", id);
        json_field_str(w, "begun", xml_text(node, "Initiated"));
        json_end_object(w);
        if (args_has(call->args, "--abort"))
            TRY(upload_end(call, key, id, err));
    }
    *ret_more = str_eq(xml_text(root, "IsTruncated"), STR("true"));
    if (!url_decode(kept, str_copy(kept, xml_text(root, "NextKeyMarker")), ret_key))
        return err_set(err, E_CORRUPT, "the server sent a key that cannot be read");
    *ret_id = str_copy(kept, xml_text(root, "NextUploadIdMarker"));
    return E_OK;
}

static Code verb_uploads(void *arg, Err *err)
{
    BucketCall *call = arg;
    Buf body AUTO(buf_done) = { 0 };
    bool more = true;
    Str key = STR_NONE, id = STR_NONE;
    buf_init(&body, CLIENT_REPLY_MAX);
    JsonWriter w = json_writer(&body);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    while (more) {
        S3Reply reply;
        S3Field query[] = { { "uploads", STR_NONE }, { "encoding-type", STR("url") }, { "key-marker", key },
                            { "upload-id-marker", id } };
        S3Call ask = { .bucket = call->name, .query = query, .query_count = !key.len ? 2 : id.len ? 4 : 3 };
        Code code = s3_call(call->client, &ask, &reply, err);
        if (code == E_OK)
            code = uploads_read(call, buf_str(&reply.body), &w, &more, call->tmp, &key, &id, err);
        s3_reply_done(&reply);
        TRY(code);
    }
    json_end_array(&w);
    json_end_object(&w);
    TRY(buf_end(&body, "the list of uploads", err));
    TRY(command_show_json(call->args, buf_str(&body), "items", "key,upload,begun", err));
    if (args_has(call->args, "--abort"))
        fprintf(stderr, "these were ended\n");
    return E_OK;
}

static const CommandVerb verbs[] = {
    { "create", 2, 2, verb_create, "create NAME [--versioning]" },
    { "ls", 1, 1, verb_ls, "ls" },
    { "usage", 1, 2, verb_usage, "usage [NAME]" },
    { "rm", 2, 2, verb_rm, "rm NAME [--force]" },
    { "versioning", 2, 3, verb_versioning, "versioning NAME [on | suspend]" },
    { "cors", 2, 2, verb_cors, "cors NAME [--origin URL [--method GET] | --file FILE | --off]" },
    { "uploads", 2, 2, verb_uploads, "uploads NAME [--abort]" },
    { NULL, 0, 0, NULL, NULL },
};

Code command_bucket(const Args *args, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    AUTO(s3_client_free) S3Client *client = NULL;
    const CommandVerb *verb;
    TRY(command_verb(args, "bucket", verbs, &verb, err));
    BucketCall call = { .args = args, .tmp = &tmp, .name = args->count > 1 ? args->words[1] : STR_NONE };
    if (str_starts(call.name, STR("s3://")))
        call.name = str_from(call.name, 5);
    if (str_ends(call.name, STR("/")))
        call.name.len--;
    if (verb->run != verb_usage && (verb->run != verb_ls || s3_client_is_named(args)))
        TRY(s3_client_open(args, &client, err));
    call.client = client;
    return verb->run(&call, err);
}
