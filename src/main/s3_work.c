/* Bytes to and from the S3 door. Invariants:
 * 1. Every body goes out of one buffer with its CRC64NVME, so a changed byte is refused by the server.
 * 2. What is fetched is compared with the object's checksum where it has one of the whole, and takes its
 *    name only then. An upload that fails is aborted. */
#include "main/s3_work.h"

#include "base/text.h"
#include "format/digest.h"
#include "format/xml.h"
#include "main/render.h"
#include "os/os.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void show(WorkShow *line, uint64_t more)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf tail AUTO(buf_done) = { 0 };
    if (!line || !render_is_terminal(stderr))
        return;
    buf_init(&tail, 100);
    bytes_human(&tail, line->done + more);
    render_progress(str_copy_z(&tmp, line->label),
                    line->total ? (double)(line->done + more) / (double)line->total : 0,
                    str_copy_z(&tmp, buf_str(&tail)));
}

static void body_sent(void *arg, uint64_t body_bytes)
{
    show(arg, body_bytes);
}

static Str digest_text(Arena *arena, uint64_t crc)
{
    Buf text AUTO(buf_done) = { 0 };
    char bytes[8];
    buf_init(&text, 64);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(crc >> (56 - 8 * i));
    base64_put(&text, str_of(bytes, sizeof bytes));
    return str_copy(arena, buf_str(&text));
}

static Str type_of(Str name)
{
    static const char *const rows[][2] = {
        { ".csv", "text/csv" },          { ".json", "application/json" }, { ".ndjson", "application/x-ndjson" },
        { ".txt", "text/plain" },        { ".html", "text/html" },        { ".xml", "application/xml" },
        { ".gz", "application/gzip" },   { ".zst", "application/zstd" },  { ".pdf", "application/pdf" },
        { ".png", "image/png" },         { ".jpg", "image/jpeg" },        { ".jpeg", "image/jpeg" },
        { ".parquet", "application/vnd.apache.parquet" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_ends(name, str_z(rows[i][0])))
            return str_z(rows[i][1]);
    return STR("application/octet-stream");
}

/* ---- sending ---- */

enum { SIGNED_FIELDS_MAX = 8 }; /* those that a request has of its own */

/* What is copied: which version of the source, and what its readers get back with it. */
typedef struct CopySource {
    uint64_t bytes;
    Str type, etag;
    S3Field fields[S3_FIELDS_MAX];
    size_t field_count;
} CopySource;

typedef struct Send {
    S3Client *client;
    const CopySource *source; /* of a copy; NULL: bytes are sent */
    const WorkPut *put;
    Arena *arena;
    FILE *file;
    char *bytes; /* one part */
    size_t room, len;
    uint64_t crc; /* of the whole so far */
    Str upload_id;
    Buf parts;   /* XML of those that are there */
} Send;

static Code part_read(Send *send, Err *err)
{
    const char *name = send->put->file ? send->put->file : "the standard input";
    int fd = fileno(send->file);
    ssize_t got = 1;
    send->len = 0;
    while (send->len < send->room && got != 0) {
        s3_client_wait(fd);
        if (s3_client_stopped())
            return err_set(err, E_CANCELLED, "stopped");
        got = read(fd, send->bytes + send->len, send->room - send->len);
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return err_set(err, E_IO, "cannot read %s: %s", name, strerror(errno));
        send->len += (size_t)MAX(got, 0);
    }
    send->crc = crc64_nvme(send->crc, str_of(send->bytes, send->len));
    return E_OK;
}

static Code reply_keep(Send *send, S3Reply *reply, Code code, WorkDone *ret_done)
{
    if (code == E_OK) {
        ret_done->etag = str_copy(send->arena, s3_reply_field(reply, "etag"));
        ret_done->version = str_copy(send->arena, s3_reply_field(reply, "x-amz-version-id"));
    }
    s3_reply_done(reply);
    return code;
}

static Code send_whole(Send *send, WorkDone *ret_done, Err *err)
{
    const WorkPut *put = send->put;
    S3Reply reply;
    S3Field fields[4] = {
        { "content-type", put->content_type.len ? put->content_type : type_of(put->key) },
        { "x-amz-checksum-crc64nvme", digest_text(send->arena, send->crc) },
        { "if-none-match", STR("*") },
    };
    S3Call call = { .method = "PUT", .bucket = put->bucket, .key = put->key, .fields = fields,
                    .field_count = put->if_absent ? 3 : 2, .body = str_of(send->bytes, send->len),
                    .sent = body_sent, .arg = put->show };
    Code code = s3_call(send->client, &call, &reply, err);
    ret_done->bytes = send->len;
    return reply_keep(send, &reply, code, ret_done);
}

static Code upload_begin(Send *send, Err *err)
{
    static const S3Field query[] = { { "uploads", { 0 } } };
    Arena tmp AUTO(arena_done) = { 0 };
    const WorkPut *put = send->put;
    const XmlNode *root;
    S3Reply reply;
    S3Field fields[S3_FIELDS_MAX] = {
        { "content-type", put->content_type.len ? put->content_type : type_of(put->key) },
        { "x-amz-checksum-algorithm", STR("CRC64NVME") },
    };
    size_t count = 2;
    for (size_t i = 0; send->source && i < send->source->field_count; i++)
        fields[count++] = send->source->fields[i];
    S3Call call = { .method = "POST", .bucket = put->bucket, .key = put->key, .query = query, .query_count = 1,
                    .fields = fields, .field_count = count };
    Code code = s3_call(send->client, &call, &reply, err);
    if (code == E_OK)
        code = xml_parse(&tmp, buf_str(&reply.body), &root, err);
    if (code == E_OK)
        send->upload_id = str_copy(send->arena, xml_text(root, "UploadId"));
    s3_reply_done(&reply);
    return code;
}

static Code upload_part(Send *send, uint32_t number, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    S3Reply reply;
    Str bytes = str_of(send->bytes, send->len);
    Str checksum = digest_text(&tmp, crc64_nvme(0, bytes));
    S3Field query[] = { { "partNumber", str_format(&tmp, "%u", number) }, { "uploadId", send->upload_id } };
    S3Field fields[] = { { "x-amz-checksum-crc64nvme", checksum } };
    S3Call call = { .method = "PUT", .bucket = send->put->bucket, .key = send->put->key, .query = query,
                    .query_count = 2, .fields = fields, .field_count = 1, .body = bytes, .sent = body_sent,
                    .arg = send->put->show };
    Code code = s3_call(send->client, &call, &reply, err);
    if (code == E_OK) {
        XmlWriter w = { &send->parts };
        xml_open(&w, "Part");
        xml_field_u64(&w, "PartNumber", number);
        xml_field(&w, "ETag", s3_reply_field(&reply, "etag"));
        xml_field(&w, "ChecksumCRC64NVME", checksum);
        xml_close(&w, "Part");
    }
    s3_reply_done(&reply);
    return code;
}

static Code upload_end(S3Client *client, Str bucket, Str key, Str upload_id, const S3Field *fields, size_t field_count,
                       Buf *parts, S3Reply *ret_reply, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const XmlNode *root;
    S3Field query[] = { { "uploadId", upload_id } };
    XmlWriter w = { parts };
    *ret_reply = (S3Reply){ 0 };
    xml_close(&w, "CompleteMultipartUpload");
    TRY(buf_end(parts, "the list of parts", err));
    S3Call call = { .method = "POST", .bucket = bucket, .key = key, .query = query, .query_count = 1,
                    .fields = fields, .field_count = field_count, .body = buf_str(parts) };
    TRY(s3_call(client, &call, ret_reply, err));
    TRY(xml_parse(&tmp, buf_str(&ret_reply->body), &root, err));
    if (!str_eq(root->name, STR("Error")))
        return E_OK;
    return err_set(err, E_INTERNAL, STR_FMT " (" STR_FMT ")", STR_ARG(xml_text(root, "Message")),
                   STR_ARG(xml_text(root, "Code")));
}

static Code upload_complete(Send *send, WorkDone *ret_done, Err *err)
{
    S3Reply reply;
    S3Field fields[] = {
        { "x-amz-checksum-crc64nvme", digest_text(send->arena, send->crc) },
        { "x-amz-checksum-type", STR("FULL_OBJECT") },
        { "x-amz-mp-object-size", str_format(send->arena, "%llu", (unsigned long long)ret_done->bytes) },
        { "if-none-match", STR("*") },
    };
    Code code = upload_end(send->client, send->put->bucket, send->put->key, send->upload_id, fields,
                           send->put->if_absent ? 4 : 3, &send->parts, &reply, err);
    return reply_keep(send, &reply, code, ret_done);
}

static void upload_abort(S3Client *client, Str bucket, Str key, Str upload_id)
{
    Err ignored;
    S3Reply reply;
    S3Field query[] = { { "uploadId", upload_id } };
    S3Call call = { .method = "DELETE", .bucket = bucket, .key = key, .query = query, .query_count = 1,
                    .at_the_end = true };
    err_clear(&ignored);
    if (s3_call(client, &call, &reply, &ignored) != E_OK)
        fprintf(stderr, "tarn: the parts that were sent stay on the server: %s\n", ignored.text);
    s3_reply_done(&reply);
}

static void parts_begin(Buf *parts)
{
    buf_clear(parts);
    XmlWriter w = xml_writer(parts);
    xml_open(&w, "CompleteMultipartUpload");
}

/* The first part is there already; parts grow, so that 10,000 of them hold the largest object. */
static Code send_parts(Send *send, WorkDone *ret_done, Err *err)
{
    TRY(upload_begin(send, err));
    parts_begin(&send->parts);
    Code code = E_OK;
    for (uint32_t number = 1; code == E_OK && send->len; number++) {
        if (number > WORK_PARTS_MAX)
            code = err_set(err, E_LIMIT, "an object has at most %d parts", WORK_PARTS_MAX);
        if (code == E_OK)
            code = upload_part(send, number, err);
        ret_done->bytes += send->len;
        if (send->put->show)
            send->put->show->done += send->len;
        if (number % WORK_PARTS_EACH == 0) {
            send->room *= 2;
            mem_free(&send->bytes);
            send->bytes = mem_new(send->room);
        }
        if (code == E_OK)
            code = part_read(send, err);
    }
    if (code == E_OK)
        code = upload_complete(send, ret_done, err);
    if (code != E_OK)
        upload_abort(send->client, send->put->bucket, send->put->key, send->upload_id);
    return code;
}

Code work_put(S3Client *client, const WorkPut *put, Arena *arena, WorkDone *ret_done, Err *err)
{
    Send send = { .client = client, .put = put, .arena = arena, .room = WORK_PART_BYTES, .file = stdin };
    *ret_done = (WorkDone){ 0 };
    if (put->file)
        send.file = fopen(put->file, "rb");
    if (!send.file)
        return err_hint(err, err_set(err, E_NOT_FOUND, "cannot read %s: %s", put->file, strerror(errno)),
                        "is the path right?");
    buf_init(&send.parts, S3_REPLY_MAX);
    send.bytes = mem_new(send.room);
    Code code = part_read(&send, err);
    bool whole = send.len < send.room;
    if (code == E_OK)
        code = whole ? send_whole(&send, ret_done, err) : send_parts(&send, ret_done, err);
    if (code == E_OK && whole && put->show)
        put->show->done += send.len;
    mem_free(&send.bytes);
    buf_done(&send.parts);
    if (put->file)
        fclose(send.file);
    return code;
}

/* ---- fetching ---- */

typedef struct Fetch {
    const S3Reply *reply;
    FILE *file;
    const char *name;
    uint64_t bytes, crc;
    WorkShow *show;
} Fetch;

static Code fetched(void *arg, Str bytes, Err *err)
{
    Fetch *fetch = arg;
    int64_t length;
    if (fetch->show && !fetch->show->total && str_i64(s3_reply_field(fetch->reply, "content-length"), &length))
        fetch->show->total = (uint64_t)length;
    fetch->crc = crc64_nvme(fetch->crc, bytes);
    fetch->bytes += bytes.len;
    show(fetch->show, fetch->bytes);
    if (fwrite(bytes.ptr, 1, bytes.len, fetch->file) == bytes.len)
        return E_OK;
    return err_hint(err, err_set(err, E_IO, "cannot write %s", fetch->name), "is the disk full, or the reader gone?");
}

static Code fetch_check(const Fetch *fetch, const S3Reply *reply, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str wanted = s3_reply_field(reply, "x-amz-checksum-crc64nvme");
    if (str_find_char(wanted, '-') >= 0 || !wanted.len || str_eq(wanted, digest_text(&tmp, fetch->crc)))
        return E_OK;
    return err_hint(err, err_set(err, E_CORRUPT, "the %llu bytes do not have the object's checksum",
                                 (unsigned long long)fetch->bytes),
                    "fetch it again; if it stays so: `tarn doctor --hashes` on the server");
}

static Code fetch_into(S3Client *client, const WorkGet *get, Fetch *fetch, Err *err)
{
    S3Reply reply;
    S3Field query[] = { { "versionId", get->version } };
    S3Field fields[] = { { "x-amz-checksum-mode", STR("ENABLED") } };
    S3Call call = { .bucket = get->bucket, .key = get->key, .query = query, .query_count = get->version.len ? 1 : 0,
                    .fields = fields, .field_count = 1, .receive = fetched, .arg = fetch };
    fetch->reply = &reply;
    Code code = s3_call(client, &call, &reply, err);
    if (code == E_OK)
        code = fetch_check(fetch, &reply, err);
    s3_reply_done(&reply);
    if (code == E_OK && get->show)
        get->show->done += fetch->bytes;
    return code;
}

static Code file_refuse(const char *file, Err *err)
{
    int why = errno;
    Code code = why == ENOENT || why == ENOTDIR ? E_NOT_FOUND : why == ENOSPC ? E_NO_SPACE : E_FORBIDDEN;
    err_set(err, code, "cannot write %s: %s", file, strerror(why));
    return err_hint(err, code, "name a file in a directory that can be written, or - for the standard output");
}

Code work_get(S3Client *client, const WorkGet *get, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    if (!get->file) {
        Fetch fetch = { .file = stdout, .name = "the standard output", .show = get->show };
        TRY(fetch_into(client, get, &fetch, err));
        return fflush(stdout) == 0 ? E_OK : err_set(err, E_IO, "cannot write the standard output");
    }
    struct stat stat_of;
    bool special = stat(get->file, &stat_of) == 0 && !S_ISREG(stat_of.st_mode); /* it stays a pipe, a device */
    const char *part = special ? get->file
                               : str_copy_z(&tmp, str_format(&tmp, "%s.tarn-part-%d", get->file, (int)getpid()));
    Fetch fetch = { .file = fopen(part, "wb"), .name = get->file, .show = get->show };
    if (!fetch.file)
        return file_refuse(get->file, err);
    Code code = fetch_into(client, get, &fetch, err);
    if (fclose(fetch.file) != 0 && code == E_OK)
        code = err_set(err, E_IO, "cannot write %s", get->file);
    if (special)
        return code;
    if (code == E_OK)
        code = os_rename(os_real(), part, get->file, err);
    if (code != E_OK && os_unlink(os_real(), part, NULL) != E_OK)
        fprintf(stderr, "tarn: %s stays behind\n", part);
    return code;
}

/* ---- copying inside the lake ---- */

static Str copy_source(const WorkCopy *copy, Arena *arena)
{
    Buf text AUTO(buf_done) = { 0 };
    buf_init(&text, 1 << 16);
    buf_put_char(&text, '/');
    url_encode(&text, copy->from_bucket, false);
    buf_put_char(&text, '/');
    url_encode(&text, copy->from_key, true);
    if (copy->from_version.len) {
        buf_put(&text, STR("?versionId="));
        url_encode(&text, copy->from_version, false);
    }
    return str_copy(arena, buf_str(&text));
}

static bool goes_along(const char *name)
{
    static const char *const kept[] = { "cache-control", "content-disposition", "content-encoding",
                                        "content-language", "expires", "x-amz-website-redirect-location" };
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (strcmp(name, kept[i]) == 0)
            return true;
    return str_starts(str_z(name), STR("x-amz-meta-"));
}

static Code source_look(S3Client *client, const WorkCopy *copy, Arena *arena, CopySource *ret_source, Err *err)
{
    S3Reply reply;
    S3Field query[] = { { "versionId", copy->from_version } };
    int64_t size = 0;
    S3Call call = { .method = "HEAD", .bucket = copy->from_bucket, .key = copy->from_key, .query = query,
                    .query_count = copy->from_version.len ? 1 : 0 };
    Code code = s3_call(client, &call, &reply, err);
    if (code == E_OK && !str_i64(s3_reply_field(&reply, "content-length"), &size))
        code = err_set(err, E_CORRUPT, "the server gave no length");
    *ret_source = (CopySource){ .bytes = (uint64_t)size };
    ret_source->type = str_copy(arena, s3_reply_field(&reply, "content-type"));
    ret_source->etag = str_copy(arena, s3_reply_field(&reply, "etag"));
    for (size_t i = 0; i < reply.field_count && i < S3_FIELDS_MAX - SIGNED_FIELDS_MAX; i++)
        if (goes_along(reply.fields[i].name))
            ret_source->fields[ret_source->field_count++] = (S3Field){
                str_copy_z(arena, str_z(reply.fields[i].name)), str_copy(arena, reply.fields[i].value) };
    s3_reply_done(&reply);
    return code;
}

/* Of the version that was looked at: one that took its place meanwhile ends the copy. */
static Code part_copy(Send *send, const WorkCopy *copy, uint32_t number, uint64_t from, uint64_t to, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const XmlNode *root;
    S3Reply reply;
    S3Field query[] = { { "partNumber", str_format(&tmp, "%u", number) }, { "uploadId", send->upload_id } };
    S3Field fields[] = {
        { "x-amz-copy-source", copy_source(copy, &tmp) },
        { "x-amz-copy-source-range", str_format(&tmp, "bytes=%llu-%llu", (unsigned long long)from,
                                                (unsigned long long)to - 1) },
        { "x-amz-copy-source-if-match", send->source->etag },
    };
    S3Call call = { .method = "PUT", .bucket = copy->bucket, .key = copy->key, .query = query, .query_count = 2,
                    .fields = fields, .field_count = ARRAY_LEN(fields) };
    Code code = s3_call(send->client, &call, &reply, err);
    if (code == E_OK)
        code = xml_parse(&tmp, buf_str(&reply.body), &root, err);
    if (code == E_OK) {
        XmlWriter w = { &send->parts };
        xml_open(&w, "Part");
        xml_field_u64(&w, "PartNumber", number);
        xml_field(&w, "ETag", xml_text(root, "ETag"));
        xml_close(&w, "Part");
    }
    s3_reply_done(&reply);
    return code;
}

static Code copy_parts(Send *send, const WorkCopy *copy, Err *err)
{
    S3Reply reply;
    uint64_t bytes = send->source->bytes;
    TRY(upload_begin(send, err));
    parts_begin(&send->parts);
    Code code = E_OK;
    uint32_t number = 1;
    for (uint64_t at = 0; at < bytes && code == E_OK; at += WORK_COPY_PART_BYTES) {
        uint64_t end = MIN(bytes, at + WORK_COPY_PART_BYTES);
        code = part_copy(send, copy, number++, at, end, err);
        if (copy->show)
            copy->show->done += end - at;
        show(copy->show, 0);
    }
    if (code == E_OK) {
        code = upload_end(send->client, copy->bucket, copy->key, send->upload_id, NULL, 0, &send->parts, &reply, err);
        s3_reply_done(&reply);
    }
    if (code != E_OK)
        upload_abort(send->client, copy->bucket, copy->key, send->upload_id);
    return code;
}

static Code copy_whole(S3Client *client, const WorkCopy *copy, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    S3Reply reply;
    S3Field fields[] = { { "x-amz-copy-source", copy_source(copy, &tmp) } };
    S3Call call = { .method = "PUT", .bucket = copy->bucket, .key = copy->key, .fields = fields, .field_count = 1 };
    Code code = s3_call(client, &call, &reply, err);
    s3_reply_done(&reply);
    return code;
}

Code work_copy(S3Client *client, const WorkCopy *copy, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    CopySource source;
    TRY(source_look(client, copy, &tmp, &source, err));
    if (source.bytes <= WORK_COPY_WHOLE_MAX) {
        TRY(copy_whole(client, copy, err));
        if (copy->show)
            copy->show->done += source.bytes;
        return E_OK;
    }
    WorkPut put = { .bucket = copy->bucket, .key = copy->key, .content_type = source.type };
    Send send = { .client = client, .put = &put, .arena = &tmp, .source = &source };
    buf_init(&send.parts, S3_REPLY_MAX);
    Code code = copy_parts(&send, copy, err);
    buf_done(&send.parts);
    return code;
}
