#include "meta/migrations.h"

/* "TARN" in the header of the file (PRAGMA application_id). */
#define META_APPLICATION_ID 0x5441524E

typedef struct Migration {
    uint32_t number;
    const char *what;
    const char *sql;
} Migration;

/* Texts are never NULL: empty is absent. Times are microseconds, 0 is never. UUIDs are 16 bytes. */
static const Migration migrations[] = {
    { 1, "catalog",
      "CREATE TABLE namespaces (name TEXT PRIMARY KEY, properties_json TEXT NOT NULL,"
      " created_us INTEGER NOT NULL) STRICT;"
      "CREATE TABLE tables (uuid BLOB PRIMARY KEY CHECK (length(uuid) = 16),"
      " namespace_name TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL,"
      " location TEXT NOT NULL, metadata_location TEXT NOT NULL, view_sql TEXT NOT NULL,"
      " created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL,"
      " dropped_us INTEGER NOT NULL) STRICT;"
      "CREATE UNIQUE INDEX tables_by_name ON tables (namespace_name, name) WHERE dropped_us = 0;"
      "CREATE TABLE staged_files (run_id TEXT NOT NULL, address TEXT NOT NULL,"
      " table_uuid BLOB NOT NULL, data_file_json TEXT NOT NULL, created_us INTEGER NOT NULL,"
      " PRIMARY KEY (run_id, address)) STRICT;"
      "CREATE INDEX staged_files_by_time ON staged_files (created_us);"
      "CREATE TABLE commits (sequence INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE"
      " CHECK (length(uuid) = 16), time_us INTEGER NOT NULL) STRICT;"
      "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;" },
    { 2, "models, runs, quality, lineage",
      "CREATE TABLE models (name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL,"
      " text TEXT NOT NULL, path TEXT NOT NULL, updated_us INTEGER NOT NULL) STRICT;"
      "CREATE TABLE ledger (model TEXT NOT NULL, fingerprint TEXT NOT NULL,"
      " start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, state TEXT NOT NULL,"
      " run_id TEXT NOT NULL, rows INTEGER NOT NULL, reason TEXT NOT NULL,"
      " updated_us INTEGER NOT NULL,"
      " PRIMARY KEY (model, fingerprint, start_us, end_us)) STRICT;"
      "CREATE TABLE runs (run_id TEXT NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL,"
      " started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL, detail_json TEXT NOT NULL,"
      " PRIMARY KEY (run_id, model)) STRICT;"
      "CREATE INDEX runs_by_time ON runs (started_us, run_id) WHERE model = '';"
      "CREATE TABLE quality (run_id TEXT NOT NULL, model TEXT NOT NULL,"
      " start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, table_uuid BLOB NOT NULL,"
      " snapshot_id INTEGER NOT NULL, score REAL NOT NULL, gate REAL NOT NULL,"
      " passed INTEGER NOT NULL, results_json TEXT NOT NULL, time_us INTEGER NOT NULL,"
      " PRIMARY KEY (run_id, model, start_us, end_us)) STRICT;"
      "CREATE INDEX quality_by_time ON quality (model, time_us);"
      "CREATE TABLE lineage (target TEXT NOT NULL, source TEXT NOT NULL, run_id TEXT NOT NULL,"
      " time_us INTEGER NOT NULL, PRIMARY KEY (target, source)) STRICT;"
      "CREATE INDEX lineage_by_source ON lineage (source);" },
    { 3, "keys, audit, requests, feed, outbox",
      "CREATE TABLE keys (id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,"
      " secret_sha256 BLOB NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),"
      " created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL,"
      " revoked_us INTEGER NOT NULL) STRICT;"
      "CREATE TABLE audit (id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL,"
      " principal TEXT NOT NULL, verb TEXT NOT NULL, target TEXT NOT NULL,"
      " outcome TEXT NOT NULL, detail_json TEXT NOT NULL) STRICT;"
      "CREATE TABLE idempotency (principal TEXT NOT NULL, key TEXT NOT NULL,"
      " request_sha256 BLOB NOT NULL, status INTEGER NOT NULL, response BLOB NOT NULL,"
      " created_us INTEGER NOT NULL, PRIMARY KEY (principal, key)) STRICT;"
      "CREATE INDEX idempotency_by_time ON idempotency (created_us);"
      "CREATE TABLE feed_cursors (consumer TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT;"
      "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL,"
      " payload_json TEXT NOT NULL, created_us INTEGER NOT NULL) STRICT;" },
    { 4, "principals, access keys",
      "CREATE TABLE principals (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL,"
      " epoch INTEGER NOT NULL, created_us INTEGER NOT NULL, disabled_us INTEGER NOT NULL) STRICT;"
      "CREATE TABLE access_keys (id TEXT PRIMARY KEY, principal_id TEXT NOT NULL REFERENCES principals (id),"
      " secret_sealed BLOB NOT NULL, created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL,"
      " disabled_us INTEGER NOT NULL, revoked_us INTEGER NOT NULL) STRICT;"
      "CREATE INDEX access_keys_by_principal ON access_keys (principal_id);" },
    { 5, "when access keys were used",
      "ALTER TABLE access_keys ADD COLUMN used_us INTEGER NOT NULL DEFAULT 0;"
      "ALTER TABLE access_keys ADD COLUMN used_service TEXT NOT NULL DEFAULT '';"
      "ALTER TABLE access_keys ADD COLUMN used_region TEXT NOT NULL DEFAULT '';" },
};

static Code step_run(MetaDb *db, const Migration *step, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str marks = str_format(&tmp, "PRAGMA application_id = %d; PRAGMA user_version = %u",
                           META_APPLICATION_ID, step->number);
    TRY(meta_db_exec(db, "BEGIN IMMEDIATE", err));
    TRY(meta_db_exec(db, step->sql, err));
    TRY(meta_db_exec(db, str_copy_z(&tmp, marks), err));
    return meta_db_exec(db, "COMMIT", err);
}

static Code ours_check(MetaDb *db, int64_t version, Err *err)
{
    int64_t application;
    int64_t objects;
    TRY(meta_db_number(db, "PRAGMA application_id", &application, err));
    TRY(meta_db_number(db, "SELECT count(*) FROM sqlite_schema", &objects, err));
    bool is_new = application == 0 && version == 0 && objects == 0;
    if (!is_new && application != META_APPLICATION_ID)
        return err_set(err, E_CORRUPT, "the file is a database, but not one of tarn's metadata");
    return E_OK;
}

Code meta_migrate(MetaDb *db, uint32_t version_max, uint32_t *ret_version, Err *err)
{
    _Static_assert(ARRAY_LEN(migrations) == META_VERSION, "the steps are numbered 1 ..");
    int64_t version;
    TRY(meta_db_number(db, "PRAGMA user_version", &version, err));
    TRY(ours_check(db, version, err));
    if (version > META_VERSION) {
        Code code = err_set(err, E_UNSUPPORTED,
                            "the metadata database has version %lld, this program knows %d",
                            (long long)version, META_VERSION);
        return err_hint(err, code, "start the newer tarn that wrote it, or restore a backup");
    }
    for (size_t i = 0; i < ARRAY_LEN(migrations); i++) {
        const Migration *step = &migrations[i];
        if (step->number <= version || (version_max && step->number > version_max))
            continue;
        Code code = step_run(db, step, err);
        if (code != E_OK) {
            meta_db_rollback(db);
            return err_wrap(err, code, "migration %u (%s)", step->number, step->what);
        }
        version = step->number;
    }
    *ret_version = (uint32_t)version;
    return E_OK;
}
