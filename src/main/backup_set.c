/* What lies in a directory of backups. A backup counts from the moment its tree has its name: it is made under
 * NAME.part, and its list and head are written last; one that goes is NAME.gone first. */
#include "main/backup.h"

#include "base/text.h"
#include "format/checksum.h"
#include "format/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HEAD_BYTES_MAX = 64 << 10 };

const char *backup_path(Arena *arena, const char *format, ...)
{
    Buf text AUTO(buf_done);
    char path[OS_PATH_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    buf_init(&text, OS_PATH_MAX);
    return str_copy_z(arena, str_z(path));
}

/* ---- heads ---- */

static Code head_read(const char *dir, Str name, Arena *arena, BackupHead *ret_head, Err *err)
{
    Buf text AUTO(buf_done);
    const Json *root;
    buf_init(&text, HEAD_BYTES_MAX);
    TRY(os_read_whole(os_real(), backup_path(arena, "%s/" STR_FMT "/backup.json", dir, STR_ARG(name)), &text, err));
    TRY(json_parse(arena, str_copy(arena, buf_str(&text)), NULL, &root, err));
    if (json_i64(json_get(root, "layout"), 0) > BACKUP_LAYOUT)
        return err_hint(err, err_set(err, E_UNSUPPORTED, "the backup " STR_FMT " was made by a newer tarn",
                                     STR_ARG(name)), "use that one");
    const Json *journal = json_get(root, "journal");
    *ret_head = (BackupHead){
        .name = str_copy(arena, name),
        .sequence = json_u64(json_get(root, "sequence"), 0),
        .begin = json_u64(json_get(journal, "begin"), 0),
        .end = json_u64(json_get(journal, "end"), 0),
        .segment_bytes = json_u64(json_get(journal, "segment_bytes"), 0),
        .files = json_u64(json_get(root, "files"), 0),
        .bytes = json_u64(json_get(root, "bytes"), 0),
        .new_bytes = json_u64(json_get(root, "new_bytes"), 0),
        .left_out = json_u64(json_get(root, "left_out"), 0),
        .keys = json_bool(json_get(root, "keys"), false),
        .list_crc = (uint32_t)json_u64(json_get(root, "list_crc32c"), 0),
    };
    if (!time_parse(json_str(json_get(root, "made")), &ret_head->made_us) || !ret_head->segment_bytes)
        return err_set(err, E_CORRUPT, "%s/" STR_FMT "/backup.json is damaged", dir, STR_ARG(name));
    return E_OK;
}

static Code head_write(const char *tree, const BackupHead *head, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done);
    buf_init(&text, HEAD_BYTES_MAX);
    JsonWriter w = json_writer(&text);
    json_begin_object(&w);
    json_field_i64(&w, "layout", BACKUP_LAYOUT);
    json_field_str(&w, "tarn", STR(TARN_VERSION));
    json_field_str(&w, "made", time_format(&tmp, head->made_us));
    json_field_u64(&w, "sequence", head->sequence);
    json_key(&w, STR("journal"));
    json_begin_object(&w);
    json_field_u64(&w, "begin", head->begin);
    json_field_u64(&w, "end", head->end);
    json_field_u64(&w, "segment_bytes", head->segment_bytes);
    json_end_object(&w);
    json_field_u64(&w, "files", head->files);
    json_field_u64(&w, "bytes", head->bytes);
    json_field_u64(&w, "new_bytes", head->new_bytes);
    json_field_u64(&w, "left_out", head->left_out);
    json_field_bool(&w, "keys", head->keys);
    json_field_u64(&w, "list_crc32c", head->list_crc);
    json_end_object(&w);
    buf_put_char(&text, '\n');
    TRY(buf_end(&text, "the head of the backup", err));
    return os_write_whole(os_real(), backup_path(&tmp, "%s/backup.json", tree), buf_str(&text), err);
}

static const Str gone_end = STR_INIT(".gone");

/* "20260131T120000Z" */
static bool name_is(Str name)
{
    return name.len >= 16 && name.ptr[8] == 'T' && name.ptr[15] == 'Z' && name.len <= BACKUP_NAME_MAX;
}

Code backup_heads(const char *dir, Arena *arena, BackupHead **ret_heads, size_t *ret_count, Str *ret_part, Err *err)
{
    OsDirEntry *entries;
    size_t count, whole = 0;
    if (os_dir_list(os_real(), dir, arena, &entries, &count, err) != E_OK)
        return err_hint(err, err->code, "name the directory that `tarn backup DIR` was given");
    BackupHead *heads = arena_array(arena, BackupHead, count);
    *ret_part = STR_NONE;
    for (size_t i = 0; i < count; i++) {
        BackupHead *head = &heads[whole];
        if (!entries[i].is_dir || !name_is(entries[i].name) || str_ends(entries[i].name, gone_end))
            continue;
        if (str_ends(entries[i].name, STR(".part"))) {
            *ret_part = entries[i].name;
            continue;
        }
        Code code = head_read(dir, entries[i].name, arena, head, err);
        if (code != E_OK) /* the others are none the worse for it */
            *head = (BackupHead){ .name = entries[i].name, .why = str_copy_z(arena, str_z(err->text)),
                                  .code = code == E_UNSUPPORTED || code == E_FORBIDDEN ? code : E_CORRUPT };
        whole++;
    }
    *ret_heads = heads;
    *ret_count = whole;
    return E_OK;
}

Code backup_find(const char *dir, Str name, Arena *arena, BackupHead *ret_head, Err *err)
{
    BackupHead *heads;
    size_t count;
    Str part;
    TRY(backup_heads(dir, arena, &heads, &count, &part, err));
    for (size_t i = count; i > 0; i--) {
        if (name.len && !str_eq(heads[i - 1].name, name))
            continue;
        *ret_head = heads[i - 1];
        if (ret_head->code == E_OK)
            return E_OK;
        err_set(err, ret_head->code, "the backup " STR_FMT " cannot be used: %s", STR_ARG(ret_head->name),
                ret_head->why);
        return err_hint(err, ret_head->code, "take another one with --name: `tarn backup ls %s` shows them", dir);
    }
    if (name.len)
        return err_hint(err, err_set(err, E_NOT_FOUND, "there is no backup " STR_FMT " in %s", STR_ARG(name), dir),
                        "`tarn backup ls %s` shows them", dir);
    return err_hint(err, err_set(err, E_NOT_FOUND, "there is no whole backup in %s", dir),
                    "`tarn backup %s --data LAKE` makes one", dir);
}

/* ---- lists ---- */

void backup_list_done(BackupList *list)
{
    vec_done(&list->files);
    arena_done(&list->arena);
}

const BackupFile *backup_list_get(const BackupList *list, Str path)
{
    size_t from = 0, to = list->files.len;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = str_cmp(list->files.items[middle].path, path);
        if (order == 0)
            return &list->files.items[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

/* "CRC32C SIZE PATH" */
static bool line_parse(Str line, BackupFile *ret_file)
{
    Str crc, size;
    uint64_t number = 0;
    Str rest = line;
    if (!str_split(&rest, ' ', &crc) || !str_split(&rest, ' ', &size) || crc.len != 8 || !rest.len)
        return false;
    for (size_t i = 0; i < crc.len; i++) {
        char c = crc.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        number = number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    ret_file->crc = (uint32_t)number;
    ret_file->path = rest;
    ret_file->fresh = ret_file->found = false;
    if (!str_u64(size, &ret_file->size) || str_starts(rest, STR("/")))
        return false;
    for (Str name; rest.len && str_split(&rest, '/', &name);)
        if (str_eq(name, STR("..")))
            return false;
    return true;
}

Code backup_list_read(const char *dir, const BackupHead *head, BackupList *ret_list, Err *err)
{
    Buf text AUTO(buf_done);
    Arena *arena = &ret_list->arena;
    const char *path = backup_path(arena, "%s/" STR_FMT "/files", dir, STR_ARG(head->name));
    buf_init(&text, (size_t)BACKUP_FILES_MAX * 64);
    TRY(os_read_whole(os_real(), path, &text, err));
    if (crc32c(0, buf_str(&text)) != head->list_crc)
        return err_hint(err, err_set(err, E_CORRUPT, "the list of the backup's files is damaged: %s", path),
                        "use another backup (`tarn backup ls %s`), or make a new one", dir);
    Str rest = str_copy(arena, buf_str(&text)), line;
    while (rest.len && str_split(&rest, '\n', &line)) {
        BackupFile file;
        if (line.len && !line_parse(line, &file))
            return err_set(err, E_CORRUPT, "the list of the backup's files is damaged: %s", path);
        if (line.len)
            vec_push(&ret_list->files, file);
    }
    return E_OK;
}

Code backup_list_write(const char *tree, BackupHead *head, const BackupList *list, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done);
    buf_init(&text, (size_t)BACKUP_FILES_MAX * 64);
    head->bytes = 0;
    for (size_t i = 0; i < list->files.len; i++) {
        const BackupFile *file = &list->files.items[i];
        buf_format(&text, "%08x %llu " STR_FMT "\n", file->crc, (unsigned long long)file->size, STR_ARG(file->path));
        head->bytes += file->size;
    }
    TRY(buf_end(&text, "the list of the backup's files", err));
    head->files = list->files.len;
    head->list_crc = crc32c(0, buf_str(&text));
    TRY(os_write_whole(os_real(), backup_path(&tmp, "%s/files", tree), buf_str(&text), err));
    return head_write(tree, head, err);
}

/* ---- removal ---- */

Code backup_remove(const char *path, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count;
    TRY(os_dir_list(os_real(), path, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        const char *inner = backup_path(&tmp, "%s/" STR_FMT, path, STR_ARG(entries[i].name));
        TRY(entries[i].is_dir ? backup_remove(inner, err) : os_unlink(os_real(), inner, err));
    }
    return os_dir_remove(os_real(), path, err);
}

Code backup_go(const char *dir, Str name, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    TRY(os_rename(os_real(), backup_path(&tmp, "%s/" STR_FMT, dir, STR_ARG(name)),
                  backup_path(&tmp, "%s/" STR_FMT STR_FMT, dir, STR_ARG(name), STR_ARG(gone_end)), err));
    TRY(os_dir_sync(os_real(), dir, err));
    return backup_rests_remove(dir, err);
}

Code backup_rests_remove(const char *dir, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count;
    TRY(os_dir_list(os_real(), dir, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        if (entries[i].is_dir && name_is(entries[i].name) && str_ends(entries[i].name, gone_end))
            TRY(backup_remove(backup_path(&tmp, "%s/" STR_FMT, dir, STR_ARG(entries[i].name)), err));
    return E_OK;
}
