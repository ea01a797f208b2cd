/* `tarn backup`: a copy of a lake that is in use. The server holds still (front/rest), this process copies; without a
 * server it opens the lake itself. */
#include "base/text.h"
#include "format/json.h"
#include "main/backup.h"
#include "main/command.h"
#include "main/lake.h"
#include "main/render.h"
#include "main/settings.h"
#include "os/worker.h"

#include <stdio.h>
#include <stdlib.h>

const OptionRow backup_options[] = {
    { "--keep", "N", "remove the oldest backups behind this one, until N are left" },
    { "--without-keys", NULL, "leave keys/ and tls/ out: the restored lake needs TARN_MASTER_KEY" },
    { "--dry-run", NULL, "say how many bytes would be copied, and copy none" },
    { "--name", "NAME", "`verify`, `restore`: this backup, not the newest" },
    { "--all", NULL, "`verify`: every backup that is there" },
    { "--config", "FILE", "settings file (default DIR/tarn.yaml when it is there)" },
    { "--set", "KEY=VALUE", "any setting by its key" },
    { NULL, NULL, NULL },
};

enum { ANSWER_MAX = 64 << 10 };

/* Of one that cannot be used; the others can. */
static void broken_tell(const BackupHead *head)
{
    fprintf(stderr, "the backup " STR_FMT " cannot be used: %s\n", STR_ARG(head->name), head->why);
}

/* Whoever holds still: a server, or this process with the lake open. */
typedef struct Holder {
    Client *client; /* NULL: `lake` */
    Lake lake;
    bool open;
    Str id;
    Arena *arena;
} Holder;

static void holder_done(Holder *holder)
{
    client_free(&holder->client);
    if (holder->open)
        lake_close(&holder->lake);
}

static ApiCall own_call(Holder *holder)
{
    return (ApiCall){ .lake = &holder->lake.api, .arena = holder->arena,
                      .principal = { .id = STR("tarn"), .name = STR("tarn"), .role = ROLE_ADMIN } };
}

static Code server_ask(Holder *holder, const char *method, Str path, Buf *answer, Err *err)
{
    ClientRequest request = { .method = method, .path = path };
    return client_call(holder->client, &request, answer, err);
}

static Code holder_renew(void *arg, Err *err)
{
    Holder *holder = arg;
    Buf answer AUTO(buf_done);
    buf_init(&answer, ANSWER_MAX);
    ApiCall call = own_call(holder);
    Str path = str_format(holder->arena, "/v1/backups/" STR_FMT, STR_ARG(holder->id));
    return holder->client ? server_ask(holder, "POST", path, &answer, err) : api_backup_renew(&call, holder->id, err);
}

static Code holder_end(Holder *holder, Err *err)
{
    Buf answer AUTO(buf_done);
    buf_init(&answer, ANSWER_MAX);
    ApiCall call = own_call(holder);
    Str path = str_format(holder->arena, "/v1/backups/" STR_FMT, STR_ARG(holder->id));
    return holder->client ? server_ask(holder, "DELETE", path, &answer, err) : api_backup_end(&call, holder->id, err);
}

/* The backup is whole, whether the lake can be told or not. */
static void holder_tell(Holder *holder, const Backup *backup)
{
    Buf answer AUTO(buf_done);
    Err err;
    buf_init(&answer, ANSWER_MAX);
    err_clear(&err);
    ApiCall call = own_call(holder);
    Str path = str_format(holder->arena, "/v1/backups/" STR_FMT "/verified?sequence=%llu", STR_ARG(holder->id),
                          (unsigned long long)backup->head.sequence);
    Code code = holder->client ? server_ask(holder, "POST", path, &answer, &err)
                               : api_backup_verified(&call, holder->id, backup->head.sequence, &err);
    if (code != E_OK)
        fprintf(stderr, "the backup is whole, but the server could not be told (%s): its tarn_backup_last_seconds "
                "stays as it was\n", err.text);
}

static Code lake_take(const Conf *conf, Holder *holder, Buf *answer, Err *err)
{
    const char *stage;
    TRY(lake_workers_start(err));
    TRY(lake_look(conf, &holder->lake, &stage, err));
    holder->open = true;
    ApiCall call = own_call(holder);
    return api_backup_begin(&call, answer, err);
}

/* A server that answers is asked; where none does, the directory's lock says whether there is one. */
static Code holder_begin(const Args *args, const Conf *conf, Holder *holder, Buf *answer, Err *err)
{
    Code code = command_client(args, &holder->client, err);
    if (code == E_OK)
        code = server_ask(holder, "POST", STR("/v1/backups"), answer, err);
    bool none = code == E_UNAVAILABLE || (code == E_NOT_FOUND && !holder->client);
    if (!none || args_get(args, "--url").len)
        return code;
    Arena tmp AUTO(arena_done) = { 0 };
    const char *said = str_copy_z(&tmp, str_z(err->text)); /* by a server that could not, or of one that is not there */
    client_free(&holder->client);
    buf_clear(answer);
    code = lake_take(conf, holder, answer, err);
    return code == E_UNAVAILABLE ? err_wrap(err, code, "%s", said) : code;
}

static Code answer_read(Holder *holder, Str text, Backup *backup, Err *err)
{
    const Json *root;
    OsStat stat;
    TRY(json_parse(holder->arena, str_copy(holder->arena, text), NULL, &root, err));
    const Json *journal = json_get(root, "journal");
    holder->id = json_str(json_get(root, "id"));
    backup->head.sequence = json_u64(json_get(root, "sequence"), 0);
    backup->head.begin = json_u64(json_get(journal, "begin"), 0);
    backup->head.end = json_u64(json_get(journal, "end"), 0);
    backup->head.segment_bytes = json_u64(json_get(journal, "segment_bytes"), 0);
    backup->metadata = backup_path(holder->arena, "%s/" STR_FMT, backup->from,
                                   STR_ARG(json_str(json_get(root, "metadata"))));
    if (!backup->head.segment_bytes || !backup->head.end)
        return err_set(err, E_CORRUPT, "the server's answer is none of a backup");
    if (os_stat(os_real(), backup->metadata, &stat, err) == E_OK)
        return E_OK;
    Code code = err_set(err, E_PRECONDITION, "the server that answers does not keep its lake in %s", backup->from);
    return err_hint(err, code, "run `tarn backup` on the machine of the server, with its --data");
}

/* ---- making one ---- */

static Code target_take(const char *dir, const char *from, OsFile **ret_lock, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsStat stat;
    char real_from[OS_PATH_MAX], real_to[OS_PATH_MAX];
    TRY(lake_dirs_make(dir, err));
    if (os_stat(os_real(), backup_path(&tmp, "%s/FORMAT", dir), &stat, NULL) == E_OK)
        return err_hint(err, err_set(err, E_INVALID, "%s is a lake", dir), "name another directory: `tarn backup DIR`");
    if (!realpath(from, real_from) || !realpath(dir, real_to))
        return err_set(err, E_IO, "%s or %s cannot be found", from, dir);
    if (str_starts(str_format(&tmp, "%s/", real_to), str_format(&tmp, "%s/", real_from)))
        return err_hint(err, err_set(err, E_INVALID, "%s lies in the lake that is to be copied", dir),
                        "name a directory on another disk");
    const char *path = backup_path(&tmp, "%s/LOCK", dir);
    TRY(lake_unwritable(os_file_open(os_real(), path, OS_READ | OS_WRITE | OS_CREATE, ret_lock, err), err));
    Code code = os_file_lock(*ret_lock, err);
    if (code == E_UNAVAILABLE)
        return err_hint(err, err_set(err, code, "another backup to %s is being made", dir), "wait until it is done");
    return code;
}

static Str name_make(Arena *arena, int64_t at_us)
{
    Str text = time_format(arena, at_us); /* 2026-01-31T12:00:00.000000Z */
    Buf name AUTO(buf_done);
    buf_init(&name, BACKUP_NAME_MAX);
    for (size_t i = 0; i < 19; i++)
        if (text.ptr[i] != '-' && text.ptr[i] != ':')
            buf_put_char(&name, text.ptr[i]);
    buf_put_char(&name, 'Z');
    return str_copy(arena, buf_str(&name));
}

/* The time that a name stands for; false: somebody gave it another one. */
static bool name_time(Arena *arena, Str name, int64_t *ret_us)
{
    Str day = str_sub(name, 0, 8), time = str_sub(name, 9, 6);
    Str text = str_format(arena, STR_FMT "-" STR_FMT "-" STR_FMT "T" STR_FMT ":" STR_FMT ":" STR_FMT "Z",
                          STR_ARG(str_sub(day, 0, 4)), STR_ARG(str_sub(day, 4, 2)), STR_ARG(str_sub(day, 6, 2)),
                          STR_ARG(str_sub(time, 0, 2)), STR_ARG(str_sub(time, 2, 2)), STR_ARG(str_sub(time, 4, 2)));
    return time_parse(text, ret_us);
}

/* Behind those of all that are there: the newest name is that of the newest one, also when the clock went back. */
static Str name_behind(Arena *arena, int64_t made_us, const BackupHead *heads, size_t count)
{
    Str name = name_make(arena, made_us);
    int64_t at_us;
    for (size_t i = 0; i < count; i++)
        if (str_cmp(name, heads[i].name) <= 0 && name_time(arena, heads[i].name, &at_us))
            name = name_make(arena, at_us + 1000000);
    return name;
}

/* What is there: the newest whole one, and what a killed one left, which gets our name. */
static Code before_find(Backup *backup, bool look_only, Err *err)
{
    BackupHead *heads;
    size_t count;
    Str part;
    TRY(backup_heads(backup->dir, backup->arena, &heads, &count, &part, err));
    backup->head.name = name_behind(backup->arena, backup->head.made_us, heads, count);
    if (part.len && !look_only) {
        fprintf(stderr, "goes on with " STR_FMT ", which was not finished\n", STR_ARG(part));
        TRY(os_rename(os_real(), backup_path(backup->arena, "%s/" STR_FMT, backup->dir, STR_ARG(part)),
                      backup_path(backup->arena, "%s/" STR_FMT ".part", backup->dir, STR_ARG(backup->head.name)), err));
    }
    for (size_t i = 0; i < count; i++)
        if (heads[i].code != E_OK)
            broken_tell(&heads[i]);
    while (count > 0 && heads[count - 1].code != E_OK)
        count--;
    if (count == 0)
        return E_OK;
    backup->before = heads[count - 1];
    if (backup_list_read(backup->dir, &backup->before, &backup->before_list, err) == E_OK)
        return E_OK;
    fprintf(stderr, "%s: everything is copied again\n", err->text);
    backup->before.name = STR_NONE;
    backup->before_list.files.len = 0;
    return E_OK;
}

static Code held_copy(const Args *args, const Conf *conf, Holder *holder, Backup *backup, Err *err)
{
    Buf answer AUTO(buf_done);
    buf_init(&answer, ANSWER_MAX);
    TRY(holder_begin(args, conf, holder, &answer, err));
    backup->renew = holder_renew;
    backup->arg = holder;
    Code code = answer_read(holder, buf_str(&answer), backup, err);
    if (code == E_OK)
        code = backup_copy(backup, err);
    if (code == E_OK)
        return holder_end(holder, err);
    IGNORE(holder_end(holder, NULL));
    return code;
}

/* Also of an option that was not given: 1. */
static Code keep_read(const Args *args, uint64_t *ret_keep, Err *err)
{
    Str text = args_get(args, "--keep");
    *ret_keep = 1;
    if (!args_has(args, "--keep") || (str_u64(text, ret_keep) && *ret_keep > 0))
        return E_OK;
    return err_hint(err, err_set(err, E_INVALID, "--keep '" STR_FMT "' is no number from 1 on", STR_ARG(text)),
                    "`--keep 7` leaves this backup and the six before it");
}

static Code older_remove(const Args *args, Backup *backup, Err *err)
{
    BackupHead *heads;
    size_t count;
    uint64_t keep, whole = 0;
    Str part, text = args_get(args, "--keep");
    TRY(backup_rests_remove(backup->dir, err));
    if (!text.len)
        return E_OK;
    if (backup->head.left_out) { /* an older one may have what is damaged now */
        fprintf(stderr, "no older backup is removed while bodies are damaged\n");
        return E_OK;
    }
    TRY(keep_read(args, &keep, err));
    TRY(backup_heads(backup->dir, backup->arena, &heads, &count, &part, err));
    for (size_t i = 0; i < count; i++)
        whole += heads[i].code == E_OK;
    for (size_t i = 0; i < count && whole > keep; i++) {
        if (heads[i].code != E_OK) /* neither counted nor removed: somebody has to look at it */
            continue;
        whole--;
        TRY(backup_go(backup->dir, heads[i].name, err));
        fprintf(stderr, "removed %s/" STR_FMT "\n", backup->dir, STR_ARG(heads[i].name));
    }
    return E_OK;
}

static void told(const Args *args, const Backup *backup)
{
    const BackupHead *head = &backup->head;
    if (args_has(args, "--json"))
        printf("{\"name\":\"" STR_FMT "\",\"sequence\":%llu,\"files\":%llu,\"bytes\":%llu,\"new_bytes\":%llu,"
               "\"left_out\":%llu}\n", STR_ARG(head->name), (unsigned long long)head->sequence,
               (unsigned long long)head->files, (unsigned long long)head->bytes, (unsigned long long)head->new_bytes,
               (unsigned long long)head->left_out);
    else
        printf("%s/" STR_FMT ": %llu files, %llu bytes (%llu new, verified), all changes up to %llu\n", backup->dir,
               STR_ARG(head->name), (unsigned long long)head->files, (unsigned long long)head->bytes,
               (unsigned long long)head->new_bytes, (unsigned long long)head->sequence);
}

static Code plan_tell(const Args *args, Backup *backup, Err *err)
{
    uint64_t new_bytes, all_bytes;
    TRY(backup_plan(backup, &new_bytes, &all_bytes, err));
    if (args_has(args, "--json"))
        printf("{\"bytes\":%llu,\"new_bytes\":%llu}\n", (unsigned long long)all_bytes, (unsigned long long)new_bytes);
    else
        printf("%llu bytes, of which %llu would be copied; the rest is there already\n", (unsigned long long)all_bytes,
               (unsigned long long)new_bytes);
    return E_OK;
}

/* No directory is made for a look. */
static Code plan_only(const Args *args, Backup *backup, Err *err)
{
    OsStat stat;
    if (os_stat(os_real(), backup->dir, &stat, NULL) == E_OK)
        TRY(before_find(backup, true, err));
    return plan_tell(args, backup, err);
}

static Code backup_run(const Args *args, const Conf *conf, Backup *backup, Err *err)
{
    AUTO(os_file_close) OsFile *lock = NULL;
    uint64_t new_bytes;
    TRY(target_take(backup->dir, backup->from, &lock, err));
    TRY(before_find(backup, false, err));
    TRY(backup_plan(backup, &new_bytes, &backup->total, err));
    backup->total = new_bytes;
    Holder holder AUTO(holder_done) = { .arena = backup->arena };
    Code code = held_copy(args, conf, &holder, backup, err);
    if (code == E_OK)
        code = backup_finish(backup, err);
    if (code == E_NO_SPACE)
        return err_hint(err, code, "what was copied stays in %s/" STR_FMT ".part: make room and start it again, or "
                        "remove that; older backups are whole", backup->dir, STR_ARG(backup->head.name));
    TRY(code);
    holder_tell(&holder, backup);
    told(args, backup);
    TRY(older_remove(args, backup, err));
    if (!backup->head.left_out)
        return E_OK;
    code = err_set(err, E_CORRUPT, "%llu bodies were damaged in the lake already; all else is in the backup",
                   (unsigned long long)backup->head.left_out);
    return err_hint(err, code, "stop the server and run `tarn doctor --hashes`: it names the objects");
}

static Code verb_make(const Args *args, Err *err)
{
    Conf conf AUTO(conf_done) = { 0 };
    Arena arena AUTO(arena_done) = { 0 };
    Backup backup AUTO(backup_done) = { .arena = &arena, .keys = !args_has(args, "--without-keys") };
    OsStat stat;
    uint64_t keep;
    if (str_find(args->words[0], STR("://")) >= 0)
        return err_hint(err, err_set(err, E_UNSUPPORTED, "a backup goes to a directory"),
                        "`rclone sync DIR remote:bucket` sends it on");
    TRY(keep_read(args, &keep, err));
    TRY(settings_load(&conf, args, err));
    backup.from = str_copy_z(&arena, conf_text(&conf, "data.dir"));
    backup.dir = str_copy_z(&arena, args->words[0]);
    Code there = os_stat(os_real(), backup_path(&arena, "%s/FORMAT", backup.from), &stat, err);
    if (there != E_OK && there != E_NOT_FOUND)
        return there;
    if (there != E_OK)
        return err_hint(err, err_set(err, E_NOT_FOUND, "%s is no data directory", backup.from),
                        "name it with --data DIR");
    backup.head.made_us = os_now_us(os_real());
    Code code = args_has(args, "--dry-run") ? plan_only(args, &backup, err) : backup_run(args, &conf, &backup, err);
    worker_stop();
    return code;
}

/* ---- looking at them ---- */

static Code verb_ls(void *arg, Err *err)
{
    const Args *args = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    Buf body AUTO(buf_done);
    BackupHead *heads;
    size_t count;
    Str part;
    buf_init(&body, CLIENT_REPLY_MAX);
    TRY(backup_heads(str_copy_z(&tmp, args->words[1]), &tmp, &heads, &count, &part, err));
    JsonWriter w = json_writer(&body);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        if (heads[i].code != E_OK) {
            broken_tell(&heads[i]);
            continue;
        }
        json_begin_object(&w);
        json_field_str(&w, "name", heads[i].name);
        json_field_u64(&w, "sequence", heads[i].sequence);
        json_field_u64(&w, "files", heads[i].files);
        json_field_u64(&w, "bytes", heads[i].bytes);
        json_field_u64(&w, "new_bytes", heads[i].new_bytes);
        json_field_bool(&w, "keys", heads[i].keys);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    TRY(buf_end(&body, "the list of backups", err));
    if (part.len)
        fprintf(stderr, STR_FMT " was not finished: the next `tarn backup` goes on with it\n", STR_ARG(part));
    return command_show_json(args, buf_str(&body), "items", "name,sequence,files,bytes,new_bytes,keys", err);
}

static void finding_tell(Str path, const char *what)
{
    render_progress_end();
    fprintf(stderr, "  BAD  " STR_FMT " %s\n", STR_ARG(path), what);
}

static Code one_verify(const char *dir, const BackupHead *head, Err *err)
{
    uint64_t found;
    if (head->code != E_OK)
        return err_hint(err, err_set(err, head->code, "the backup " STR_FMT " cannot be used: %s", STR_ARG(head->name),
                                     head->why), "if it is damaged, remove %s/" STR_FMT, dir, STR_ARG(head->name));
    TRY(backup_verify(dir, head, finding_tell, &found, err));
    printf(STR_FMT ": %llu files, %llu bytes, all as they were copied\n", STR_ARG(head->name),
           (unsigned long long)head->files, (unsigned long long)head->bytes);
    return E_OK;
}

static Code verb_verify(void *arg, Err *err)
{
    const Args *args = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    BackupHead *heads, one;
    size_t count;
    Str part;
    Err other;
    Code code = E_OK;
    const char *dir = str_copy_z(&tmp, args->words[1]);
    if (!args_has(args, "--all")) {
        TRY(backup_find(dir, args_get(args, "--name"), &tmp, &one, err));
        return one_verify(dir, &one, err);
    }
    TRY(backup_heads(dir, &tmp, &heads, &count, &part, err));
    if (count == 0)
        TRY(backup_find(dir, STR_NONE, &tmp, &one, err)); /* it says so */
    for (size_t i = 0; i < count; i++) {
        err_clear(&other);
        Code found = one_verify(dir, &heads[i], code == E_OK ? err : &other);
        if (code != E_OK && found != E_OK)
            render_error(&other, STR_NONE);
        code = code == E_OK ? found : code;
    }
    return code;
}

static Code verb_restore(void *arg, Err *err)
{
    const Args *args = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    BackupHead head;
    const char *dir = str_copy_z(&tmp, args->words[1]), *to = str_copy_z(&tmp, args->words[2]);
    TRY(backup_find(dir, args_get(args, "--name"), &tmp, &head, err));
    TRY(backup_restore(dir, &head, to, err));
    printf("%s: %llu files of " STR_FMT ", all changes up to %llu\n", to, (unsigned long long)head.files,
           STR_ARG(head.name), (unsigned long long)head.sequence);
    fprintf(stderr, "check it:  tarn doctor --data %s\nstart it:  %starn serve --data %s\n", to,
            head.keys ? "" : "TARN_MASTER_KEY=... ", to);
    return E_OK;
}

static const CommandVerb verbs[] = {
    { "ls", 2, 2, verb_ls, "ls DIR" },
    { "verify", 2, 2, verb_verify, "verify DIR [--name NAME | --all]" },
    { "restore", 3, 3, verb_restore, "restore DIR TO [--name NAME]" },
    { NULL, 0, 0, NULL, NULL },
};

/* One word that is no verb is a directory. */
Code command_backup(const Args *args, Err *err)
{
    const CommandVerb *verb;
    if (args->count == 0 || args->count > 3)
        return err_hint(err, err_set(err, E_INVALID, "`tarn backup` wants a directory, or ls, verify, restore"),
                        "tarn backup /mnt/backup/lake --data ./lake");
    Code code = command_verb(args, "backup", verbs, &verb, err);
    if (code == E_OK)
        return verb->run((void *)args, err);
    bool is_verb = false;
    for (size_t i = 0; verbs[i].word; i++)
        is_verb = is_verb || str_eq(args->words[0], str_z(verbs[i].word));
    return args->count == 1 && !is_verb ? verb_make(args, err) : code;
}
