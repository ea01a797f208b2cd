/* `tarn object`: list, send, fetch, copy and remove objects, over the S3 door. */
#include "base/text.h"
#include "format/json.h"
#include "main/command.h"
#include "main/render.h"
#include "main/s3_work.h"
#include "os/os.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const OptionRow object_options[] = {
    { "-r", NULL, "every key that begins with the prefix, or every file below a directory" },
    { "--limit", "N", "`ls`, `versions`, `trash ls`: at most so many (default 1000, at most 100000)" },
    { "--after", "KEY", "`ls`, `versions`: only what is behind this key" },
    { "--folders", NULL, "`ls`: fold keys at `/`" },
    { "--version", "ID", "`get`, `rm`, `stat`, `cp`, `trash restore`: this version" },
    { "--all-versions", NULL, "`rm`: the versions and delete markers too, for ever" },
    { "--yes", NULL, "`rm -r`: remove without asking" },
    { "--if-absent", NULL, "`put`: only when the key is not there" },
    { "--type", "TYPE", "`put`: content type (default: from the name)" },
    { "--output", "FILE", "`get`: where it writes (default: standard output)" },
    { "--endpoint", "URL", "S3 door (default TARN_S3, else from DIR/admin.json)" },
    { NULL, NULL, NULL },
};

enum { LIST_DEFAULT = 1000, LIST_MAX = 100000, TREE_DEPTH_MAX = 64, PATH_MAX_BYTES = 4096, FAILED_SHOWN_MAX = 20,
       KEY_SHOWN_MAX = 8192 };

typedef struct ObjectCall {
    const Args *args;
    S3Client *client;
    Arena *tmp;
    WorkShow show;
    uint64_t objects, failed;
    Err first_failure;
} ObjectCall;

static Str word_at(const ObjectCall *call, size_t at)
{
    return at < call->args->count ? call->args->words[at] : STR_NONE;
}

/* The others would fail in the same way, or nobody wants them any more. */
static bool ends_all(Code code)
{
    return code == E_UNAVAILABLE || code == E_CANCELLED;
}

/* Keys are any bytes: none of them reaches a terminal as a control character. */
static Str plain(Str text, Arena *arena)
{
    char *copy = arena_alloc(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        copy[i] = (unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F ? '?' : text.ptr[i];
    return str_of(copy, text.len);
}

static void say(const ObjectCall *call, const char *verb, Str from, Str to)
{
    Arena tmp AUTO(arena_done) = { 0 };
    render_progress_end();
    Str shown = plain(from, &tmp), shown_to = plain(to, &tmp);
    if (!args_has(call->args, "--json"))
        fprintf(stderr, "%s " STR_FMT "%s" STR_FMT "\n", verb, STR_ARG(shown), to.len ? " -> " : "", STR_ARG(shown_to));
}

/* One of many failed: it is named, the others go on. */
static void failure_keep(ObjectCall *call, Str name, const Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    render_progress_end();
    Str shown = plain(name, &tmp);
    if (!call->failed)
        call->first_failure = *err;
    if (++call->failed <= FAILED_SHOWN_MAX)
        fprintf(stderr, "tarn: " STR_FMT ": %s\n", STR_ARG(shown), err->text);
}

static Code many_end(ObjectCall *call, const char *verb, Err *err)
{
    render_progress_end();
    if (call->failed) {
        *err = call->first_failure;
        return err_wrap(err, err->code, "%llu of %llu failed, the first", (unsigned long long)call->failed,
                        (unsigned long long)call->objects);
    }
    if (args_has(call->args, "--json"))
        printf("{\"objects\":%llu,\"bytes\":%llu}\n", (unsigned long long)call->objects,
               (unsigned long long)call->show.done);
    else
        fprintf(stderr, "%s %llu object%s\n", verb, (unsigned long long)call->objects, call->objects == 1 ? "" : "s");
    return E_OK;
}

/* ---- ls, versions ---- */

typedef struct Listing {
    JsonWriter w;
    bool versions;
} Listing;

/* JSON is text: bytes that are none are shown as U+FFFD, and whole under `key_url`. */
static void key_put(JsonWriter *w, Str key)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done), url AUTO(buf_done);
    buf_init(&text, KEY_SHOWN_MAX);
    buf_init(&url, KEY_SHOWN_MAX);
    if (str_is_utf8(key)) {
        json_field_str(w, "key", key);
        return;
    }
    for (size_t i = 0; i < key.len; i++)
        buf_put(&text, (unsigned char)key.ptr[i] < 0x80 ? str_sub(key, i, 1) : STR("\xEF\xBF\xBD"));
    url_encode(&url, key, true);
    json_field_str(w, "key", buf_str(&text));
    json_field_str(w, "key_url", buf_str(&url));
}

static Code listed(void *arg, const WorkObject *object, Err *err)
{
    JsonWriter *w = &((Listing *)arg)->w;
    (void)err;
    json_begin_object(w);
    key_put(w, object->key);
    if (!object->prefix && !object->marker)
        json_field_u64(w, "size_bytes", object->size_bytes);
    if (!object->prefix) {
        json_field_str(w, "modified", object->modified);
        if (object->etag.len)
            json_field_str(w, "etag", object->etag);
    }
    if (((Listing *)arg)->versions) {
        json_field_str(w, "version", object->version);
        const char *state = object->marker ? "delete marker" : object->latest ? "newest" : "older";
        json_field_str(w, "state", str_z(state));
    }
    json_end_object(w);
    return E_OK;
}

static Code limit_get(const ObjectCall *call, uint64_t *ret_limit, Err *err)
{
    Str text = args_get(call->args, "--limit");
    int64_t limit = LIST_DEFAULT;
    if (text.len && (!str_i64(text, &limit) || limit < 1 || limit > LIST_MAX))
        return err_hint(err, err_set(err, E_INVALID, "--limit takes 1 to %d", LIST_MAX),
                        "--after KEY goes on behind a key");
    *ret_limit = (uint64_t)limit;
    return E_OK;
}

static Code object_list(ObjectCall *call, bool versions, Err *err)
{
    Buf body AUTO(buf_done) = { 0 };
    bool more = false;
    WorkList list = { .after = args_get(call->args, "--after"), .versions = versions,
                      .folded = args_has(call->args, "--folders") };
    TRY(limit_get(call, &list.limit, err));
    TRY(work_address(word_at(call, 1), &list.bucket, &list.prefix, err));
    buf_init(&body, CLIENT_REPLY_MAX);
    Listing listing = { json_writer(&body), versions };
    json_begin_object(&listing.w);
    json_key(&listing.w, STR("items"));
    json_begin_array(&listing.w);
    TRY(work_list(call->client, &list, listed, &listing, &more, err));
    json_end_array(&listing.w);
    json_field_bool(&listing.w, "more", more);
    json_end_object(&listing.w);
    TRY(buf_end(&body, "the list", err));
    TRY(command_show_json(call->args, buf_str(&body), "items",
                          versions ? "key,version,state,size_bytes,modified" : "key,size_bytes,modified,etag", err));
    if (more && !args_has(call->args, "--json"))
        fprintf(stderr, "there are more: --limit N, or --after KEY goes on behind a key\n");
    return E_OK;
}

static Code verb_ls(void *arg, Err *err)
{
    ObjectCall *call = arg;
    if (call->args->count == 1)
        return work_buckets_show(call->client, call->args, err);
    return object_list(call, false, err);
}

static Code verb_versions(void *arg, Err *err)
{
    ObjectCall *call = arg;
    return object_list(call, true, err);
}

/* ---- stat ---- */

/* Of the object, not of the exchange. */
static bool tells_of_object(Str name)
{
    static const char *const told[] = { "etag", "last-modified", "cache-control", "expires" };
    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        if (str_eq(name, str_z(told[i])))
            return true;
    if (str_eq(name, STR("x-amz-request-id")) || str_eq(name, STR("x-amz-id-2")))
        return false;
    return str_starts(name, STR("content-")) || str_starts(name, STR("x-amz-"));
}

static Code verb_stat(void *arg, Err *err)
{
    ObjectCall *call = arg;
    Buf body AUTO(buf_done) = { 0 };
    S3Reply reply;
    Str bucket, key, version = args_get(call->args, "--version");
    TRY(work_address(word_at(call, 1), &bucket, &key, err));
    if (!key.len)
        return err_hint(err, err_set(err, E_INVALID, "`stat` wants BUCKET/KEY"),
                        "`tarn bucket usage` tells of buckets");
    S3Field query[] = { { "versionId", version } };
    S3Field fields[] = { { "x-amz-checksum-mode", STR("ENABLED") } };
    S3Call head = { .method = "HEAD", .bucket = bucket, .key = key, .query = query, .query_count = version.len ? 1 : 0,
                    .fields = fields, .field_count = 1 };
    Code code = s3_call(call->client, &head, &reply, err);
    buf_init(&body, 1 << 20);
    JsonWriter w = json_writer(&body);
    json_begin_object(&w);
    for (size_t i = 0; i < reply.field_count; i++) {
        if (!tells_of_object(str_z(reply.fields[i].name)))
            continue;
        json_field_str(&w, reply.fields[i].name, reply.fields[i].value);
        if (code == E_OK && !args_has(call->args, "--json"))
            printf("%-32s " STR_FMT "\n", reply.fields[i].name, STR_ARG(reply.fields[i].value));
    }
    json_end_object(&w);
    s3_reply_done(&reply);
    if (code == E_OK && args_has(call->args, "--json"))
        printf(STR_FMT "\n", STR_ARG(buf_str(&body)));
    if (code == E_NOT_FOUND)
        return err_hint(err, code, "`tarn object ls " STR_FMT "` shows what is there", STR_ARG(bucket));
    return code;
}

/* ---- put ---- */

static Str base_name(Str path)
{
    return str_from(path, (size_t)(str_rfind_char(path, '/') + 1));
}

static Code file_put(ObjectCall *call, const char *file, Str bucket, Str key, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    WorkDone done;
    OsStat stat;
    if (file && os_stat(os_real(), file, &stat, NULL) == E_OK)
        call->show.total = call->show.done + stat.size_bytes;
    call->show.label = key;
    WorkPut put = { .file = file, .bucket = bucket, .key = key, .content_type = args_get(call->args, "--type"),
                    .if_absent = args_has(call->args, "--if-absent"), .show = &call->show };
    TRY(work_put(call->client, &put, &tmp, &done, err));
    call->objects++;
    say(call, "put", str_format(&tmp, "s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket), STR_ARG(key)),
        done.version.len ? str_format(&tmp, "version " STR_FMT, STR_ARG(done.version)) : STR_NONE);
    return E_OK;
}

/* A pipe in a tree would be waited for without end. */
static Code file_need(const char *path, Err *err)
{
    struct stat kind;
    return stat(path, &kind) == 0 && !S_ISREG(kind.st_mode) ? err_set(err, E_INVALID, "this is no file") : E_OK;
}

static Code tree_put(ObjectCall *call, const char *dir, Str bucket, Str prefix, int depth, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count;
    if (depth > TREE_DEPTH_MAX)
        return err_set(err, E_LIMIT, "%s: directories are more than %d deep", dir, TREE_DEPTH_MAX);
    TRY(os_dir_list(os_real(), dir, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        const char *path = str_copy_z(&tmp, str_format(&tmp, "%s/" STR_FMT, dir, STR_ARG(entries[i].name)));
        Str key = str_format(&tmp, STR_FMT STR_FMT, STR_ARG(prefix), STR_ARG(entries[i].name));
        if (entries[i].is_dir)
            TRY(tree_put(call, path, bucket, str_format(&tmp, STR_FMT "/", STR_ARG(key)), depth + 1, err));
        else if (file_need(path, err) != E_OK || file_put(call, path, bucket, key, err) != E_OK)
            call->objects++, failure_keep(call, str_z(path), err);
        if (call->failed && ends_all(call->first_failure.code))
            return E_OK;
    }
    return E_OK;
}

static Code sources_put(ObjectCall *call, size_t first, size_t end, Str bucket, Str key, Err *err)
{
    bool into = !key.len || str_ends(key, STR("/")), tree = args_has(call->args, "-r");
    if (end - first > 1 && !into)
        return err_hint(err, err_set(err, E_INVALID, "several files want a prefix"), "end the address with `/`");
    for (size_t i = first; i < end; i++) {
        Str word = call->args->words[i];
        const char *file = str_copy_z(call->tmp, word);
        OsStat stat;
        if (!str_eq(word, STR("-")) && os_stat(os_real(), file, &stat, err) != E_OK)
            return err_hint(err, err->code, "is the path right? `-` is the standard input");
        if (str_eq(word, STR("-")) && into)
            return err_set(err, E_INVALID, "bytes from the standard input want a key: BUCKET/KEY");
        if (!str_eq(word, STR("-")) && stat.is_dir && !tree)
            return err_hint(err, err_set(err, E_INVALID, "%s is a directory", file), "-r takes all files below it");
        if (!str_eq(word, STR("-")) && stat.is_dir) {
            Str prefix = into || !key.len ? key : str_format(call->tmp, STR_FMT "/", STR_ARG(key));
            TRY(tree_put(call, file, bucket, prefix, 0, err));
            continue;
        }
        Str name = into ? str_format(call->tmp, STR_FMT STR_FMT, STR_ARG(key), STR_ARG(base_name(word))) : key;
        TRY(file_put(call, str_eq(word, STR("-")) ? NULL : file, bucket, name, err));
    }
    return many_end(call, "sent", err);
}

static Code verb_put(void *arg, Err *err)
{
    ObjectCall *call = arg;
    Str bucket, key;
    TRY(work_address(word_at(call, call->args->count - 1), &bucket, &key, err));
    return sources_put(call, 1, call->args->count - 1, bucket, key, err);
}

/* ---- get ---- */

/* Whether a key can be a file below a directory: no empty, `.` or `..` piece, no zero byte. */
static bool is_path(Str key)
{
    Str rest = key, piece;
    if (!key.len || str_ends(key, STR("/")) || str_find_char(key, '\0') >= 0)
        return false;
    while (rest.len && str_split(&rest, '/', &piece))
        if (!piece.len || str_eq(piece, STR(".")) || str_eq(piece, STR("..")))
            return false;
    return true;
}

static Code dirs_make(const char *path, Err *err)
{
    char part[PATH_MAX_BYTES];
    for (size_t i = 0; path[i]; i++) {
        if (i + 1 >= sizeof part)
            return err_set(err, E_LIMIT, "a path has at most %d bytes", PATH_MAX_BYTES - 1);
        part[i] = path[i];
        part[i + 1] = '\0';
        if (i && path[i + 1] == '/')
            TRY(os_dir_make(os_real(), part, err));
    }
    return E_OK;
}

typedef struct Tree {
    ObjectCall *call;
    Str bucket, prefix;       /* listed */
    Str to_bucket, to_prefix; /* copied to, or */
    const char *dir;          /* fetched into */
    WorkDelete *delete;
} Tree;

static Code key_fetch(ObjectCall *call, Str bucket, Str key, const char *file, Err *err)
{
    call->show.label = key;
    WorkGet get = { .bucket = bucket, .key = key, .version = args_get(call->args, "--version"), .file = file,
                    .show = &call->show };
    Code code = work_get(call->client, &get, err);
    if (code == E_NOT_FOUND && !get.version.len && str_find(str_z(err->text), STR("NoSuchKey")) >= 0)
        return err_hint(err, code, "`tarn object ls " STR_FMT "/" STR_FMT "` shows what is below it, `get -r` takes it",
                        STR_ARG(bucket), STR_ARG(key));
    TRY(code);
    call->objects++;
    if (file)
        say(call, "got", key, str_z(file));
    return E_OK;
}

static Code tree_fetch(void *arg, const WorkObject *object, Err *err)
{
    Tree *tree = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    Str name = str_from(object->key, tree->prefix.len);
    tree->call->show.total += object->size_bytes;
    if (!is_path(name)) {
        tree->call->objects++;
        err_set(err, E_INVALID, "this key is no path of a file");
        failure_keep(tree->call, object->key, err);
        return E_OK;
    }
    const char *file = str_copy_z(&tmp, str_format(&tmp, "%s/" STR_FMT, tree->dir, STR_ARG(name)));
    Code code = dirs_make(file, err);
    if (code == E_OK)
        code = key_fetch(tree->call, tree->bucket, object->key, file, err);
    if (code == E_OK)
        return E_OK;
    tree->call->objects++;
    failure_keep(tree->call, object->key, err);
    return ends_all(code) ? code : E_OK;
}

/* Up to its last `/`: what is put before the names of files. */
static Str folder_of(Str prefix)
{
    return str_sub(prefix, 0, (size_t)(str_rfind_char(prefix, '/') + 1));
}

static Code get_into(ObjectCall *call, Str bucket, Str key, Str target, Err *err)
{
    OsStat stat;
    const char *file = str_copy_z(call->tmp, target);
    if (args_has(call->args, "-r")) {
        if (!target.len || str_eq(target, STR("-")))
            return err_hint(err, err_set(err, E_INVALID, "-r wants a directory"),
                            "tarn object get -r BUCKET/PREFIX DIR");
        Tree tree = { .call = call, .bucket = bucket, .prefix = folder_of(key), .dir = file };
        WorkList list = { .bucket = bucket, .prefix = key };
        TRY(os_dir_make(os_real(), file, err));
        TRY(work_list(call->client, &list, tree_fetch, &tree, NULL, err));
        return many_end(call, "fetched", err);
    }
    if (!key.len)
        return err_hint(err, err_set(err, E_INVALID, "`get` wants BUCKET/KEY"),
                        "-r fetches every key that begins with a prefix");
    if (!target.len || str_eq(target, STR("-")))
        return key_fetch(call, bucket, key, NULL, err);
    if (os_stat(os_real(), file, &stat, NULL) == E_OK && stat.is_dir)
        file = str_copy_z(call->tmp, str_format(call->tmp, "%s/" STR_FMT, file, STR_ARG(base_name(key))));
    return key_fetch(call, bucket, key, file, err);
}

static Code verb_get(void *arg, Err *err)
{
    ObjectCall *call = arg;
    Str bucket, key, option = args_get(call->args, "--output");
    TRY(work_address(word_at(call, 1), &bucket, &key, err));
    return get_into(call, bucket, key, option.len ? option : word_at(call, 2), err);
}

/* ---- cp ---- */

static Code key_copy(ObjectCall *call, const WorkCopy *copy, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    TRY(work_copy(call->client, copy, err));
    call->objects++;
    say(call, "copied", copy->from_key, str_format(&tmp, "s3://" STR_FMT "/" STR_FMT, STR_ARG(copy->bucket),
                                                   STR_ARG(copy->key)));
    return E_OK;
}

static Code tree_copy(void *arg, const WorkObject *object, Err *err)
{
    Tree *tree = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    Str name = str_from(object->key, tree->prefix.len);
    Str key = str_format(&tmp, STR_FMT STR_FMT, STR_ARG(tree->to_prefix), STR_ARG(name));
    tree->call->show.label = object->key;
    tree->call->show.total += object->size_bytes;
    WorkCopy copy = { .from_bucket = tree->bucket, .from_key = object->key, .bucket = tree->to_bucket, .key = key,
                      .show = &tree->call->show };
    Code code = key_copy(tree->call, &copy, err);
    if (code == E_OK)
        return E_OK;
    tree->call->objects++;
    failure_keep(tree->call, object->key, err);
    return ends_all(code) ? code : E_OK;
}

static Code lake_copy(ObjectCall *call, Str from, Str to, Err *err)
{
    Str bucket, key, to_bucket, to_key;
    TRY(work_address(from, &bucket, &key, err));
    TRY(work_address(to, &to_bucket, &to_key, err));
    bool into = !to_key.len || str_ends(to_key, STR("/"));
    if (args_has(call->args, "-r")) {
        Tree tree = { .call = call, .bucket = bucket, .prefix = folder_of(key), .to_bucket = to_bucket,
                      .to_prefix = into ? to_key : str_format(call->tmp, STR_FMT "/", STR_ARG(to_key)) };
        WorkList list = { .bucket = bucket, .prefix = key };
        if (str_eq(bucket, to_bucket) && str_starts(tree.to_prefix, key))
            return err_set(err, E_INVALID, "the target lies below the source: the copy would never end");
        TRY(work_list(call->client, &list, tree_copy, &tree, NULL, err));
        return many_end(call, "copied", err);
    }
    if (!key.len)
        return err_hint(err, err_set(err, E_INVALID, "`cp` wants BUCKET/KEY"),
                        "-r copies every key that begins with a prefix");
    call->show.label = key;
    if (into)
        to_key = str_format(call->tmp, STR_FMT STR_FMT, STR_ARG(to_key), STR_ARG(base_name(key)));
    WorkCopy copy = { .from_bucket = bucket, .from_key = key, .from_version = args_get(call->args, "--version"),
                      .bucket = to_bucket, .key = to_key, .show = &call->show };
    TRY(key_copy(call, &copy, err));
    return args_has(call->args, "--json") ? many_end(call, "copied", err) : E_OK;
}

static Code verb_cp(void *arg, Err *err)
{
    ObjectCall *call = arg;
    Str from = word_at(call, 1), to = word_at(call, 2), bucket, key;
    bool from_lake = str_starts(from, STR("s3://")), to_lake = str_starts(to, STR("s3://"));
    if (from_lake && to_lake)
        return lake_copy(call, from, to, err);
    if (from_lake) {
        TRY(work_address(from, &bucket, &key, err));
        return get_into(call, bucket, key, to, err);
    }
    if (to_lake) {
        TRY(work_address(to, &bucket, &key, err));
        return sources_put(call, 1, 2, bucket, key, err);
    }
    return err_hint(err, err_set(err, E_INVALID, "neither '" STR_FMT "' nor '" STR_FMT "' is in the lake",
                                 STR_ARG(from), STR_ARG(to)),
                    "write s3://BUCKET/KEY for what is in the lake; paths are files of this machine");
}

/* ---- rm ---- */

static Code tree_delete(void *arg, const WorkObject *object, Err *err)
{
    Tree *tree = arg;
    bool versions = args_has(tree->call->args, "--all-versions");
    return work_delete_add(tree->delete, object->key, versions ? object->version : STR_NONE, err);
}

static Code tree_remove(ObjectCall *call, Str bucket, Str prefix, Err *err)
{
    Str question = str_format(call->tmp, "remove every object whose key begins so: s3://" STR_FMT "/" STR_FMT "%s?",
                              STR_ARG(bucket), STR_ARG(plain(prefix, call->tmp)),
                              args_has(call->args, "--all-versions") ? ", all versions, for ever" : "");
    if (!command_agreed(call->args, question))
        return err_hint(err, err_set(err, E_INVALID, "nothing was removed"), "--yes removes without asking");
    WorkDelete work;
    Tree tree = { .call = call, .delete = &work };
    WorkList list = { .bucket = bucket, .prefix = prefix, .versions = args_has(call->args, "--all-versions") };
    work_delete_init(&work, call->client, bucket);
    Code code = work_list(call->client, &list, tree_delete, &tree, NULL, err);
    if (code == E_OK)
        code = work_delete_end(&work, err);
    call->objects = work.removed;
    work_delete_done(&work);
    TRY(code);
    return many_end(call, "removed", err);
}

static Code verb_rm(void *arg, Err *err)
{
    ObjectCall *call = arg;
    Str bucket, key, version = args_get(call->args, "--version");
    S3Reply reply;
    TRY(work_address(word_at(call, 1), &bucket, &key, err));
    if (args_has(call->args, "-r"))
        return tree_remove(call, bucket, key, err);
    if (!key.len)
        return err_hint(err, err_set(err, E_INVALID, "`rm` wants BUCKET/KEY"),
                        "-r removes every key that begins with a prefix, `tarn bucket rm` the bucket");
    if (args_has(call->args, "--all-versions"))
        return err_hint(err, err_set(err, E_INVALID, "--all-versions goes with -r"), "--version ID removes one");
    S3Field query[] = { { "versionId", version } };
    S3Call head = { .method = "HEAD", .bucket = bucket, .key = key, .query = query,
                    .query_count = version.len ? 1 : 0 };
    S3Call gone = head;
    gone.method = "DELETE";
    Code code = version.len ? E_OK : s3_call(call->client, &head, &reply, err);
    if (!version.len)
        s3_reply_done(&reply);
    if (code == E_NOT_FOUND)
        return err_hint(err, code, "`tarn object ls " STR_FMT "` shows what is there", STR_ARG(bucket));
    TRY(code);
    code = s3_call(call->client, &gone, &reply, err);
    bool marker = str_eq(s3_reply_field(&reply, "x-amz-delete-marker"), STR("true"));
    s3_reply_done(&reply);
    TRY(code);
    say(call, marker && !version.len ? "covered by a delete marker:" : "removed", key, STR_NONE);
    return E_OK;
}

/* ---- the verbs ---- */

static const CommandVerb verbs[] = {
    { "ls", 1, 2, verb_ls, "ls [BUCKET[/PREFIX]] [--folders] [--limit N] [--after KEY]" },
    { "get", 2, 3, verb_get, "get BUCKET/KEY [FILE|-] [--version ID], get -r BUCKET/PREFIX DIR" },
    { "put", 3, ARGS_MAX, verb_put, "put FILE... BUCKET/KEY, put - BUCKET/KEY, put -r DIR BUCKET/PREFIX" },
    { "rm", 2, 2, verb_rm, "rm BUCKET/KEY [--version ID], rm -r BUCKET/PREFIX [--all-versions]" },
    { "stat", 2, 2, verb_stat, "stat BUCKET/KEY [--version ID]" },
    { "cp", 3, 3, verb_cp,
      "cp FILE s3://BUCKET/KEY, cp s3://BUCKET/KEY FILE, cp [-r] s3://BUCKET/KEY s3://BUCKET/KEY" },
    { "versions", 2, 2, verb_versions, "versions BUCKET[/PREFIX] [--limit N]" },
    { "trash", 3, 3, NULL, "trash ls BUCKET[/PREFIX] [--limit N], trash restore BUCKET/KEY [--version ID]" },
    { NULL, 0, 0, NULL, NULL },
};

Code command_object(const Args *args, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    AUTO(s3_client_free) S3Client *client = NULL;
    const CommandVerb *verb;
    TRY(command_verb(args, "object", verbs, &verb, err));
    if (!verb->run)
        return command_trash(args, err);
    TRY(s3_client_open(args, &client, err));
    ObjectCall call = { .args = args, .client = client, .tmp = &tmp };
    Code code = verb->run(&call, err);
    render_progress_end();
    return code;
}
