/* `tarn object trash`: what was deleted or replaced, and taking it back; over REST, for S3 has no words for it. */
#include "base/text.h"
#include "main/command.h"

#include <stdio.h>

enum { PATH_MAX_BYTES = 16 * 1024, ANSWER_MAX = 64 * 1024 };

/* "BUCKET/REST" or "s3://BUCKET/REST". */
static void place_split(Str word, Str *ret_bucket, Str *ret_rest)
{
    if (str_starts(word, STR("s3://")))
        word = str_from(word, 5);
    ptrdiff_t slash = str_find_char(word, '/');
    *ret_bucket = slash < 0 ? word : str_sub(word, 0, (size_t)slash);
    *ret_rest = slash < 0 ? STR_NONE : str_from(word, (size_t)slash + 1);
}

static void query_put(Buf *path, const char *name, Str value)
{
    if (!value.len)
        return;
    buf_put_char(path, str_find_char(buf_str(path), '?') < 0 ? '?' : '&');
    buf_put(path, str_z(name));
    buf_put_char(path, '=');
    url_encode(path, value, false);
}

static void path_put(Buf *path, Str bucket)
{
    buf_put(path, STR("/v1/trash/"));
    url_encode(path, bucket, false);
}

static Code trash_ls(const Args *args, Str bucket, Str prefix, Err *err)
{
    Buf path AUTO(buf_done);
    Str limit = args_get(args, "--limit");
    buf_init(&path, PATH_MAX_BYTES);
    path_put(&path, bucket);
    query_put(&path, "prefix", prefix);
    query_put(&path, "limit", limit);
    TRY(buf_end(&path, "a prefix", err));
    return command_show(args, buf_str(&path), "items", "key,version,size_bytes,deleted,until", err);
}

static Code trash_restore(const Args *args, Str bucket, Str key, Err *err)
{
    AUTO(client_free) Client *client = NULL;
    Buf path AUTO(buf_done), answer AUTO(buf_done);
    Str version = args_get(args, "--version");
    buf_init(&path, PATH_MAX_BYTES);
    buf_init(&answer, ANSWER_MAX);
    if (!key.len)
        return err_hint(err, err_set(err, E_INVALID, "restore takes one object back"), "write BUCKET/KEY");
    path_put(&path, bucket);
    query_put(&path, "key", key);
    query_put(&path, "version", version);
    TRY(buf_end(&path, "a key", err));
    TRY(command_client(args, &client, err));
    ClientRequest request = { .method = "POST", .path = buf_str(&path) };
    Code code = client_call(client, &request, &answer, err);
    if (code == E_NOT_FOUND)
        return err_hint(err, code, "`tarn object trash ls " STR_FMT "` shows what can be taken back", STR_ARG(bucket));
    TRY(code);
    if (args_has(args, "--json"))
        printf(STR_FMT "\n", STR_ARG(str_trim(buf_str(&answer))));
    else
        printf("restored s3://" STR_FMT "/" STR_FMT "\n", STR_ARG(bucket), STR_ARG(key));
    return E_OK;
}

Code command_trash(const Args *args, Err *err)
{
    Str word = args->words[1], bucket, rest;
    place_split(args->words[2], &bucket, &rest);
    if (str_eq(word, STR("ls")))
        return trash_ls(args, bucket, rest, err);
    if (str_eq(word, STR("restore")))
        return trash_restore(args, bucket, rest, err);
    return command_word_refuse("object trash", word, "ls restore", err);
}
