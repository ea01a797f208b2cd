/* Invariants:
 * 1. Only the writer writes and checkpoints; a checkpoint runs after an answer is decided and its
 *    failure is not the commit's.
 * 2. meta_commit says OK only when the write-ahead log with the commit is synced. It gives an error
 *    other than UNKNOWN_OUTCOME only when no recovery can find the commit (meta_vfs_txn_undo).
 * 3. After UNKNOWN_OUTCOME nothing is written any more, and nobody is told that the commit did not
 *    happen: what it names may be found again after a restart.
 * 4. Each commit has a row in `commits`; what is in it was applied, once. */
#include "meta/meta.h"

#include "meta/meta_state_priv.h"
#include "meta/migrations.h"

#include <string.h>

enum {
    CHECKPOINT_FRAMES = 1000, /* of 4 KiB: a log of 4 MB */
    RESTART_FACTOR = 4,
    RESTART_WAIT_MS = 50,
    FINDINGS_MAX = 100
};

static Code writer_open(Meta *meta, uint32_t version_max, Err *err)
{
    if (!os_has_threads(meta->os)) {
        /* Simulation: SQLite's generator is one for the process; the machine gives it its seed. */
        int seed = 0;
        os_random(meta->os, &seed, sizeof seed);
        sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, seed | 1, NULL);
    }
    TRY(meta_db_open(&meta->writer, meta->vfs, meta->path, META_DB_WRITER, err));
    return meta_migrate(&meta->writer, version_max, &meta->version, err);
}

Code meta_open(Os *os, const MetaOptions *options, Meta **ret_meta, Err *err)
{
    Meta *meta = mem_new(sizeof *meta);
    meta->os = os;
    meta->checkpoint_frames =
        options->checkpoint_frames ? options->checkpoint_frames : CHECKPOINT_FRAMES;
    meta->path = mem_new(strlen(options->path) + 1);
    memcpy(meta->path, options->path, strlen(options->path));
    mutex_init(&meta->writer_mutex);
    mutex_init(&meta->readers_mutex);
    cond_init(&meta->readers_cond);
    Code code = meta_vfs_new(os, &meta->vfs, err);
    if (code == E_OK)
        code = writer_open(meta, options->version_max, err);
    if (code != E_OK) {
        err_place(err, code, "%s", options->path);
        meta_free(&meta);
        return code;
    }
    *ret_meta = meta;
    return E_OK;
}

void meta_free(Meta **meta)
{
    Meta *self = *meta;
    if (!self)
        return;
    while (self->idle) {
        MetaRead *read = self->idle;
        self->idle = read->next;
        self->reader_count--;
        meta_db_close(&read->db);
        mem_free(&read);
    }
    ASSERT(self->reader_count == 0);
    meta_db_close(&self->writer); /* the last: it moves the log into the database */
    meta_vfs_free(&self->vfs);
    cond_done(&self->readers_cond);
    mutex_done(&self->readers_mutex);
    mutex_done(&self->writer_mutex);
    mem_free(&self->path);
    mem_free(meta);
}

uint32_t meta_version(const Meta *meta)
{
    return meta->version;
}

/* -- commit -- */

static Code item_failed(const MetaItem *item, Code code, Err *err)
{
    const OpInfo *info = &op_infos[item->op];
    Arena tmp AUTO(arena_done) = { 0 };
    Str text = message_format(&tmp, info->message, item->values, item->count);
    err_set(err, code, STR_FMT, STR_ARG(text));
    return err_place(err, code, "%s", info->name);
}

static Code item_step(MetaDb *db, const MetaItem *item, sqlite3_stmt *stmt, Err *err)
{
    const OpInfo *info = &op_infos[item->op];
    TRY(meta_db_bind(db, stmt, item->values, item->count, err));
    int rc = sqlite3_step(stmt);
    if (info->kind == OP_REQUIRE && rc == SQLITE_ROW)
        return E_OK;
    if (info->kind == OP_REQUIRE && rc == SQLITE_DONE)
        return item_failed(item, info->code, err);
    if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY) {
        if (info->kind == OP_ADD)
            return item_failed(item, E_EXISTS, err);
        return err_place(err, err_set(err, E_EXISTS, "the name is taken"), "%s", info->name);
    }
    if (rc == SQLITE_CONSTRAINT_CHECK)
        return err_set(err, E_INVALID, "%s: %s", info->name, sqlite3_errmsg(db->db));
    if (rc != SQLITE_DONE)
        return meta_db_error(db, rc, info->name, err);
    if (info->kind == OP_CHANGE && sqlite3_changes(db->db) != 1)
        return item_failed(item, info->code, err);
    return E_OK;
}

static Code item_run(MetaDb *db, const MetaItem *item, Err *err)
{
    sqlite3_stmt *stmt = NULL;
    TRY(meta_db_op(db, item->op, &stmt, err));
    Code code = item_step(db, item, stmt, err);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return code;
}

/* Steps a statement that takes the commit's UUID (and the time). */
static Code commit_row(MetaDb *db, const char *sql, sqlite3_stmt **kept, Uuid commit,
                       int64_t time_us, bool *ret_is_row, Err *err)
{
    TRY(meta_db_prepare(db, sql, kept, err));
    sqlite3_bind_blob(*kept, 1, commit.bytes, sizeof commit.bytes, SQLITE_STATIC);
    if (sqlite3_bind_parameter_count(*kept) > 1)
        sqlite3_bind_int64(*kept, 2, time_us);
    int rc = sqlite3_step(*kept);
    Code code = E_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        code = meta_db_error(db, rc, "commits", err);
    else
        *ret_is_row = rc == SQLITE_ROW;
    sqlite3_reset(*kept);
    sqlite3_clear_bindings(*kept);
    return code;
}

static Code commit_find(MetaDb *db, Uuid commit, bool *ret_is_there, Err *err)
{
    return commit_row(db, "SELECT 1 FROM commits WHERE uuid = ?1", &db->commit_find, commit, 0,
                      ret_is_there, err);
}

static Code txn_run(Meta *meta, const MetaTxn *txn, Uuid commit, bool *ret_was_there, Err *err)
{
    MetaDb *db = &meta->writer;
    bool is_row;
    TRY(commit_find(db, commit, ret_was_there, err));
    if (*ret_was_there)
        return E_OK;
    for (size_t i = 0; i < txn->len; i++)
        TRY(item_run(db, &txn->items[i], err));
    return commit_row(db, "INSERT INTO commits (uuid, time_us) VALUES (?1, ?2)", &db->commit_add,
                      commit, os_now_us(meta->os), &is_row, err);
}

static void unknown_set(Meta *meta, Uuid commit)
{
    MUTEX_HELD(&meta->readers_mutex);
    meta->unknown = commit;
}

static bool unknown_is(Meta *meta, Uuid commit)
{
    MUTEX_HELD(&meta->readers_mutex);
    return !uuid_is_none(commit) && uuid_eq(meta->unknown, commit);
}

/* COMMIT has failed with `code`. */
static Code commit_resolve(Meta *meta, Uuid commit, Code code, Err *err)
{
    Err why;
    meta_db_rollback(&meta->writer);
    if (meta_vfs_txn_undo(meta->vfs, &why) == E_OK)
        return err_wrap(err, code, "not committed");
    meta_vfs_fence(meta->vfs);
    unknown_set(meta, commit);
    Arena tmp AUTO(arena_done) = { 0 };
    Str uuid = uuid_format(&tmp, commit);
    Code unknown = err_wrap(err, E_UNKNOWN_OUTCOME, "commit " STR_FMT, STR_ARG(uuid));
    if (err)
        err->code = unknown;
    return err_hint(err, unknown, "repair the disk and restart tarn, it looks the commit up");
}

/* Moves the log into the database. As long as any reader looks into the log it cannot start anew, and
 * with readers all the time it would grow for ever: so when it is long, the writer waits a little for
 * those who are in it (new ones read the database), and when they do not end, asks again much later. */
static void checkpoint_maybe(Meta *meta)
{
    MetaDb *db = &meta->writer;
    uint32_t frames = (uint32_t)db->wal_frames;
    if (frames < meta->checkpoint_frames) {
        meta->restart_frames = 0;
        return;
    }
    if (meta->restart_frames == 0)
        meta->restart_frames = meta->checkpoint_frames * RESTART_FACTOR;
    bool restart = frames >= meta->restart_frames;
    sqlite3_busy_timeout(db->db, RESTART_WAIT_MS);
    /* A failure is not the commit's: the log still has it all, and a failed sync has fenced. */
    int rc = sqlite3_wal_checkpoint_v2(
        db->db, NULL, restart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    sqlite3_busy_timeout(db->db, META_DB_WAIT_MS);
    if (restart)
        meta->restart_frames = rc == SQLITE_OK ? 0 : frames * 2;
}

Code meta_writable(Meta *meta, Err *err)
{
    if (!meta_vfs_is_fenced(meta->vfs))
        return E_OK;
    Code code = err_set(err, E_IO, "the metadata database takes no writes: a sync has failed");
    return err_hint(err, code, "repair the disk and restart tarn");
}

static Code commit_locked(Meta *meta, const MetaTxn *txn, Uuid commit, Err *err)
{
    MetaDb *db = &meta->writer;
    bool was_there = false;
    TRY(meta_writable(meta, err));
    meta_vfs_txn_begin(meta->vfs);
    TRY(meta_db_exec(db, "BEGIN IMMEDIATE", err));
    Code code = txn_run(meta, txn, commit, &was_there, err);
    if (code != E_OK || was_there) {
        meta_db_rollback(db);
        return code;
    }
    code = meta_db_exec(db, "COMMIT", err);
    if (code != E_OK)
        return commit_resolve(meta, commit, code, err);
    checkpoint_maybe(meta);
    return E_OK;
}

Code meta_commit(Meta *meta, const MetaTxn *txn, Err *err)
{
    if (txn->len > META_TXN_ITEMS_MAX)
        return err_set(err, E_LIMIT, "a metadata transaction has at most %d items",
                       META_TXN_ITEMS_MAX);
    Uuid commit = uuid_is_none(txn->commit) ? os_uuid(meta->os) : txn->commit;
    MUTEX_HELD(&meta->writer_mutex);
    return commit_locked(meta, txn, commit, err);
}

Code meta_commit_exists(Meta *meta, Uuid commit, bool *ret_exists, Err *err)
{
    AUTO(meta_read_end) MetaRead *read = NULL;
    if (unknown_is(meta, commit))
        return err_set(err, E_UNKNOWN_OUTCOME, "only a restart can tell whether the commit happened");
    TRY(meta_read_begin(meta, &read, err));
    return commit_find(&read->db, commit, ret_exists, err);
}

/* -- care -- */

typedef struct Findings {
    Arena *arena;
    Str *texts;
    size_t count;
} Findings;

static void finding_add(Findings *findings, Str text)
{
    if (findings->count < FINDINGS_MAX)
        findings->texts[findings->count++] = str_copy(findings->arena, text);
}

/* Each row's first column is a finding. */
static Code findings_ask(MetaDb *db, const char *sql, Findings *findings, Err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->db, sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW)
            break;
        Str text = str_z((const char *)sqlite3_column_text(stmt, 0));
        if (!str_eq(text, STR("ok")))
            finding_add(findings, text);
    }
    Code code = rc == SQLITE_DONE ? E_OK : meta_db_error(db, rc, "check", err);
    sqlite3_finalize(stmt);
    return code;
}

static const char *const checks[] = {
    "PRAGMA integrity_check(50)",
    "SELECT 'table ' || t.namespace_name || '.' || t.name || ' is in a namespace that is not there'"
    " FROM tables t LEFT JOIN namespaces n ON n.name = t.namespace_name"
    " WHERE n.name IS NULL AND t.dropped_us = 0",
    "SELECT 'the locations of ' || a.namespace_name || '.' || a.name || ' and '"
    " || b.namespace_name || '.' || b.name || ' overlap' FROM tables a JOIN tables b"
    " ON a.uuid <> b.uuid AND a.location <> '' AND b.location <> ''"
    " AND substr(b.location, 1, length(a.location)) = a.location"
    " AND (a.location <> b.location OR a.uuid < b.uuid)",
    ("SELECT 'table ' || namespace_name || '.' || name || ' has no metadata file' FROM tables"
     " WHERE kind = 0 AND metadata_location = ''"),
};

Code meta_check(Meta *meta, Arena *arena, Str **ret_findings, size_t *ret_count, Err *err)
{
    Findings findings = { arena, arena_array(arena, Str, FINDINGS_MAX), 0 };
    AUTO(meta_read_end) MetaRead *read = NULL;
    Code code = meta_read_begin(meta, &read, err);
    for (size_t i = 0; code == E_OK && i < ARRAY_LEN(checks); i++)
        code = findings_ask(&read->db, checks[i], &findings, err);
    if (code == E_CORRUPT) { /* so damaged that the check stops: that is a finding */
        finding_add(&findings, str_z(err ? err->text : "the metadata database is damaged"));
        code = E_OK;
    }
    TRY(code);
    *ret_findings = findings.texts;
    *ret_count = findings.count;
    return E_OK;
}

static Code backup_write(MetaDb *db, const char *path, Err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->db, "VACUUM INTO ?1", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    Code code = rc == SQLITE_DONE ? E_OK : meta_db_error(db, rc, "backup", err);
    sqlite3_finalize(stmt);
    return code;
}

/* The copy gets its name when it is whole and synced. */
static Code backup_publish(Os *os, const char *part, const char *path, Err *err)
{
    AUTO(os_file_close) OsFile *file = NULL;
    Arena tmp AUTO(arena_done) = { 0 };
    Str whole = str_z(path);
    ptrdiff_t slash = str_rfind_char(whole, '/');
    Str dir = slash < 0 ? STR(".") : slash == 0 ? STR("/") : str_sub(whole, 0, (size_t)slash);
    TRY(os_file_open(os, part, OS_READ | OS_WRITE, &file, err));
    TRY(os_file_sync(file, err));
    TRY(os_rename(os, part, path, err));
    return os_dir_sync(os, str_copy_z(&tmp, dir), err);
}

static Code absent_check(Os *os, const char *path, Err *err)
{
    OsStat stat;
    Code code = os_stat(os, path, &stat, err);
    if (code == E_OK)
        return err_set(err, E_EXISTS, "'%s' is there already", path);
    return code == E_NOT_FOUND ? E_OK : code;
}

Code meta_backup(Meta *meta, const char *path, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const char *part = str_copy_z(&tmp, str_format(&tmp, "%s.part", path));
    MetaDb db;
    TRY(absent_check(meta->os, path, err));
    Code code = os_unlink(meta->os, part, err); /* of a backup that was cut off */
    if (code != E_OK && code != E_NOT_FOUND)
        return code;
    TRY(meta_db_open(&db, meta->vfs, meta->path, META_DB_COPIER, err));
    code = backup_write(&db, part, err);
    meta_db_close(&db);
    TRY(code);
    return backup_publish(meta->os, part, path, err);
}
