#include "base/text.h"
#include "format/json.h"
#include "main/command.h"
#include "main/render.h"
#include "os/os.h"

#include <stdio.h>

const OptionRow ingest_options[] = {
    { "--source", "NAME", "where the files come from: a-z, 0-9, `-`, `_`" },
    { "--name", "NAME", "of one file: the name in the lake (default: the file's name)" },
    { NULL, NULL, NULL },
};

typedef struct Upload {
    Str name;
    uint64_t size_bytes;
} Upload;

static void upload_progress(void *arg, uint64_t sent_bytes)
{
    Upload *upload = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    Buf tail AUTO(buf_done);
    buf_init(&tail, 100);
    bytes_human(&tail, sent_bytes);
    render_progress(str_copy_z(&tmp, upload->name),
                    upload->size_bytes ? (double)sent_bytes / (double)upload->size_bytes : 1,
                    str_copy_z(&tmp, buf_str(&tail)));
}

static void result_print(const Args *args, Str body, const Json *result)
{
    if (args_has(args, "--json")) {
        printf(STR_FMT "\n", STR_ARG(str_trim(body)));
        return;
    }
    Buf size AUTO(buf_done);
    buf_init(&size, 100);
    bytes_human(&size, json_u64(json_get(result, "size_bytes"), 0));
    bool duplicate = json_bool(json_get(result, "duplicate"), false);
    printf(STR_FMT "  " STR_FMT "  " STR_FMT "%s\n", STR_ARG(json_str(json_get(result, "address"))),
           STR_ARG(buf_str(&size)), STR_ARG(json_str(json_get(result, "content_type"))),
           duplicate ? "  (was there already)" : "");
}

static Code file_ingest(const Args *args, Client *client, Str path, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf body AUTO(buf_done);
    Buf target AUTO(buf_done);
    buf_init(&body, CLIENT_REPLY_MAX);
    buf_init(&target, 1 << 16);
    Str name = args_get(args, "--name");
    if (!name.len)
        name = str_from(path, (size_t)(str_rfind_char(path, '/') + 1));
    const char *file = str_copy_z(&tmp, path);
    OsStat stat;
    Code there = os_stat(os_real(), file, &stat, err);
    if (there != E_OK)
        return err_hint(err, there, "is the path right?");
    if (stat.is_dir)
        return err_hint(err, err_set(err, E_INVALID, "%s is a directory", file),
                        "name its files: tarn ingest %s/* --source NAME", file);
    buf_put(&target, STR("/v1/ingest?source="));
    url_encode(&target, args_get(args, "--source"), false);
    buf_put(&target, STR("&name="));
    url_encode(&target, name, false);
    Upload upload = { name, stat.size_bytes };
    ClientRequest request = { .path = buf_str(&target), .file = file, .arg = &upload,
                              .content_type = STR("application/octet-stream"),
                              .progress = upload_progress };
    Code code = client_call(client, &request, &body, err);
    render_progress_end();
    if (code != E_OK)
        return err_wrap(err, code, "ingesting %s", file);
    const Json *result;
    TRY(json_parse(&tmp, buf_str(&body), NULL, &result, err));
    result_print(args, buf_str(&body), result);
    return E_OK;
}

Code command_ingest(const Args *args, Err *err)
{
    AUTO(client_free) Client *client = NULL;
    if (!args->count || !args_get(args, "--source").len)
        return err_hint(err, err_set(err, E_INVALID, "ingest wants files and their source"),
                        "usage: tarn ingest PATH... --source NAME");
    TRY(command_client(args, &client, err));
    for (size_t i = 0; i < args->count; i++)
        TRY(file_ingest(args, client, args->words[i], err));
    return E_OK;
}
