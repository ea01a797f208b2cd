#include "meta/sqlite_db.h"

#include <string.h>

enum { SQL_MAX = 8192 };

static Code code_of(int rc)
{
    switch (rc & 0xFF) {
    case SQLITE_FULL:
        return E_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return E_CORRUPT;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return E_IO;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return E_UNAVAILABLE;
    case SQLITE_TOOBIG:
        return E_LIMIT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return E_FORBIDDEN;
    case SQLITE_CONSTRAINT:
        return E_EXISTS;
    }
    return E_INTERNAL;
}

Code meta_db_error(MetaDb *db, int rc, const char *what, Err *err)
{
    Err machine;
    Code code = code_of(rc);
    if ((code == E_IO || code == E_NO_SPACE) && meta_vfs_error(db->vfs, &machine))
        return err_set(err, code, "%s: %s: %s", what, sqlite3_errstr(rc), machine.text);
    return err_set(err, code, "%s: %s", what, db->db ? sqlite3_errmsg(db->db) : sqlite3_errstr(rc));
}

Code meta_db_exec(MetaDb *db, const char *sql, Err *err)
{
    int rc = sqlite3_exec(db->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? E_OK : meta_db_error(db, rc, "metadata database", err);
}

void meta_db_rollback(MetaDb *db)
{
    if (db->db && !sqlite3_get_autocommit(db->db))
        sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL); /* what fails here has ended it too */
}

Code meta_db_number(MetaDb *db, const char *sql, int64_t *ret_number, Err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    Code code = E_OK;
    if (rc == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(stmt, 0);
    else
        code = meta_db_error(db, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, sql, err);
    sqlite3_finalize(stmt);
    return code;
}

static int on_wal_commit(void *arg, sqlite3 *db, const char *name, int frames)
{
    (void)db, (void)name;
    MetaDb *self = arg;
    self->wal_frames = frames;
    return SQLITE_OK;
}

static Code db_setup(MetaDb *db, MetaDbRole role, Err *err)
{
    sqlite3_extended_result_codes(db->db, 1);
    sqlite3_limit(db->db, SQLITE_LIMIT_LENGTH, META_VALUE_BYTES_MAX);
    sqlite3_limit(db->db, SQLITE_LIMIT_ATTACHED, role == META_DB_COPIER ? 1 : 0);
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_busy_timeout(db->db, META_DB_WAIT_MS);
    TRY(meta_db_exec(db, "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;"
                         "PRAGMA wal_autocheckpoint = 0", err));
    if (role != META_DB_WRITER) {
        sqlite3_db_config(db->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return role == META_DB_READER ? meta_db_exec(db, "PRAGMA query_only = ON", err) : E_OK;
    }
    TRY(meta_db_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                         "PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 67108864", err));
    sqlite3_wal_hook(db->db, on_wal_commit, db);
    return E_OK;
}

Code meta_db_open(MetaDb *db, MetaVfs *vfs, const char *path, MetaDbRole role, Err *err)
{
    *db = (MetaDb){ .vfs = vfs };
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                (role == META_DB_WRITER ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(path, &db->db, flags, meta_vfs_name(vfs));
    Code code = rc == SQLITE_OK ? db_setup(db, role, err) : meta_db_error(db, rc, path, err);
    if (code != E_OK)
        meta_db_close(db);
    return code;
}

void meta_db_close(MetaDb *db)
{
    for (size_t i = 0; i < OP_COUNT; i++)
        sqlite3_finalize(db->ops[i]);
    for (size_t i = 0; i < READ_COUNT; i++)
        sqlite3_finalize(db->reads[i]);
    sqlite3_finalize(db->commit_find);
    sqlite3_finalize(db->commit_add);
    if (db->db && sqlite3_close(db->db) != SQLITE_OK)
        ASSERT(!"a statement of this connection is still open");
    *db = (MetaDb){ .db = NULL };
}

Code meta_db_prepare(MetaDb *db, const char *sql, sqlite3_stmt **kept, Err *err)
{
    if (*kept)
        return E_OK;
    int rc = sqlite3_prepare_v3(db->db, sql, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL);
    return rc == SQLITE_OK ? E_OK : meta_db_error(db, rc, sql, err);
}

static void columns_put(Buf *sql, const RowShape *shape)
{
    for (size_t i = 0; i < shape->count; i++)
        buf_format(sql, "%s%s", i ? ", " : "", shape->columns[i].name);
}

static void insert_put(Buf *sql, OpKind kind, const RowShape *shape)
{
    buf_format(sql, "%s INTO %s (", kind == OP_PUT ? "INSERT OR REPLACE" : "INSERT", shape->table);
    columns_put(sql, shape);
    buf_put(sql, STR(") VALUES ("));
    for (size_t i = 0; i < shape->count; i++)
        buf_format(sql, "%s?%zu", i ? ", " : "", i + 1);
    buf_put_char(sql, ')');
}

Code meta_db_op(MetaDb *db, OpId op, sqlite3_stmt **ret_stmt, Err *err)
{
    const OpInfo *info = &op_infos[op];
    Buf sql AUTO(buf_done);
    buf_init(&sql, SQL_MAX);
    if (info->sql)
        buf_put(&sql, str_z(info->sql));
    else
        insert_put(&sql, info->kind, &row_shapes[info->row]);
    buf_put_char(&sql, '\0');
    TRY(meta_db_prepare(db, sql.ptr, &db->ops[op], err));
    *ret_stmt = db->ops[op];
    return E_OK;
}

Code meta_db_read(MetaDb *db, ReadId read, sqlite3_stmt **ret_stmt, Err *err)
{
    Buf sql AUTO(buf_done);
    buf_init(&sql, SQL_MAX);
    buf_put(&sql, STR("SELECT "));
    columns_put(&sql, &row_shapes[read_infos[read].row]);
    buf_format(&sql, " %s", read_infos[read].sql);
    buf_put_char(&sql, '\0');
    TRY(meta_db_prepare(db, sql.ptr, &db->reads[read], err));
    *ret_stmt = db->reads[read];
    return E_OK;
}

static int bind_one(sqlite3_stmt *stmt, int at, const MetaValue *value)
{
    const char *bytes = value->bytes.ptr ? value->bytes.ptr : "";
    switch (value->kind) {
    case 't':
        return sqlite3_bind_text64(stmt, at, bytes, value->bytes.len, SQLITE_STATIC, SQLITE_UTF8);
    case 'b':
    case 'u':
        return sqlite3_bind_blob64(stmt, at, bytes, value->bytes.len, SQLITE_STATIC);
    case 'i':
        return sqlite3_bind_int64(stmt, at, value->number);
    case 'd':
        return sqlite3_bind_double(stmt, at, value->real);
    }
    return sqlite3_bind_null(stmt, at);
}

Code meta_db_bind(MetaDb *db, sqlite3_stmt *stmt, const MetaValue *values, size_t count, Err *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = bind_one(stmt, (int)i + 1, &values[i]);
        if (rc != SQLITE_OK)
            return meta_db_error(db, rc, "a value of the metadata", err);
    }
    return E_OK;
}

MetaValue meta_db_column(sqlite3_stmt *stmt, int at, char kind, Arena *arena)
{
    MetaValue value = { .kind = kind };
    switch (kind) {
    case 't':
    case 'b':
    case 'u': {
        const void *bytes = sqlite3_column_blob(stmt, at); /* of a text: its bytes */
        value.bytes = str_copy(arena, str_of(bytes, (size_t)sqlite3_column_bytes(stmt, at)));
        break;
    }
    case 'd':
        value.real = sqlite3_column_double(stmt, at);
        break;
    default:
        value.number = sqlite3_column_int64(stmt, at);
    }
    return value;
}
