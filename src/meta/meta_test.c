/* The conformance suite of metadata backends: every case runs over every row of `backends`.
 * Covers meta.c, meta_read.c, meta_txn.c, tables.c, sqlite_db.c. */
#include "meta/meta.h"

#include "base/test.h"
#include "meta/meta_state_priv.h"
#include "os/os_sim.h"
#include "os/thread.h"

#include <stdio.h>
#include <string.h>

typedef struct Backend {
    const char *name;
    bool simulated;
} Backend;

static const Backend backends[] = { { "sqlite", false }, { "sqlite, simulated", true } };

typedef struct Lake {
    OsSim *sim;
    Os *os;
    Meta *meta;
    Arena arena;
    Err err;
    char path[512];
} Lake;

static void lake_open(Lake *lake, const Backend *backend)
{
    static int number;
    *lake = (Lake){ .os = os_real() };
    snprintf(lake->path, sizeof lake->path, "%s/%d.db", test_dir(), number++);
    if (backend->simulated) {
        lake->sim = os_sim_new(test_seed());
        lake->os = os_sim_os(lake->sim);
        snprintf(lake->path, sizeof lake->path, "/tarn.db");
    }
    CHECK_OK(meta_open(lake->os, &(MetaOptions){ .path = lake->path }, &lake->meta, &lake->err),
             &lake->err);
}

static void lake_reopen(Lake *lake)
{
    meta_free(&lake->meta);
    CHECK_OK(meta_open(lake->os, &(MetaOptions){ .path = lake->path }, &lake->meta, &lake->err),
             &lake->err);
}

static void lake_done(Lake *lake)
{
    meta_free(&lake->meta);
    os_sim_free(&lake->sim);
    arena_done(&lake->arena);
}

/* A case of the suite: its body gets a fresh lake of each backend. */
#define CONFORMANCE(name)                                                                          \
    static void case_##name(Lake *lake);                                                           \
    TEST(meta_##name)                                                                              \
    {                                                                                              \
        for (size_t i_ = 0; i_ < ARRAY_LEN(backends); i_++) {                                      \
            Lake lake_;                                                                            \
            lake_open(&lake_, &backends[i_]);                                                      \
            case_##name(&lake_);                                                                   \
            lake_done(&lake_);                                                                     \
        }                                                                                          \
    }                                                                                              \
    static void case_##name(Lake *lake)

static MetaTxn *txn_new(Lake *lake)
{
    MetaTxn *txn = arena_new(&lake->arena, MetaTxn);
    meta_txn_init(txn, &lake->arena);
    return txn;
}

#define COMMIT(lake, txn) CHECK_OK(meta_commit((lake)->meta, (txn), &(lake)->err), &(lake)->err)

static MetaRead *read_new(Lake *lake)
{
    MetaRead *read = NULL;
    CHECK_OK(meta_read_begin(lake->meta, &read, &lake->err), &lake->err);
    return read;
}

static Uuid uuid_n(unsigned number)
{
    return (Uuid){ { [0] = 1, [15] = (uint8_t)number } };
}

static MetaTable table_n(unsigned number, Str name)
{
    static const Str locations[] = { STR_INIT("s3://lake/a/0/"), STR_INIT("s3://lake/a/1/"),
                                     STR_INIT("s3://lake/a/2/"), STR_INIT("s3://lake/a/3/") };
    return (MetaTable){ .uuid = uuid_n(number),
                        .namespace_name = STR("ns"),
                        .name = name,
                        .location = locations[number],
                        .metadata_location = STR("m0"),
                        .created_us = 7 };
}

/* A namespace `ns` with the tables 1 `one` and 2 `two`. */
static void lake_fill(Lake *lake)
{
    MetaTxn *txn = txn_new(lake);
    meta_add_namespace(txn, &(MetaNamespace){ STR("ns"), STR("{}"), 5 });
    MetaTable one = table_n(1, STR("one")), two = table_n(2, STR("two"));
    meta_add_table(txn, &one);
    meta_add_table(txn, &two);
    COMMIT(lake, txn);
}

/* -- every row, every item -- */

/* A value for each column that no other column has. */
static void row_invent(const RowShape *shape, char *row, size_t salt)
{
    static char texts[META_PARAMS_MAX][40];
    for (size_t i = 0; i < shape->count; i++) {
        MetaValue value = { .kind = shape->columns[i].kind };
        snprintf(texts[i], sizeof texts[i], "%02zu-%02zu-abcdefghijklmnopqrstuvwxyz", salt, i);
        value.bytes = str_of(texts[i], value.kind == 'u' ? 16 : 31);
        if (strcmp(shape->columns[i].name, "secret_sha256") == 0)
            value.bytes.len = 32;
        value.number = value.kind == 'o' || value.kind == 'e' ? 1 : (int64_t)(salt * 100 + i + 1);
        value.real = (double)value.number / 8;
        row_decode_column(&shape->columns[i], row, &value);
    }
}

static void row_compare(Lake *lake, const OpInfo *info, const RowShape *shape,
                        const MetaValue *wanted)
{
    Buf sql AUTO(buf_done);
    buf_init(&sql, 4096);
    for (size_t i = 0; i < shape->count; i++)
        buf_format(&sql, "%s%s", i ? ", " : "SELECT ", shape->columns[i].name);
    buf_format(&sql, " FROM %s", shape->table);
    buf_put_char(&sql, '\0');
    AUTO(meta_read_end) MetaRead *read = read_new(lake);
    sqlite3_stmt *stmt = NULL;
    CHECK_OK(meta_db_prepare(&read->db, sql.ptr, &stmt, &lake->err), &lake->err);
    CHECK_INT(sqlite3_step(stmt), SQLITE_ROW);
    for (size_t i = 0; i < shape->count; i++) {
        MetaValue got = meta_db_column(stmt, (int)i, shape->columns[i].kind, &lake->arena);
        bool numbered = shape->columns[i].kind == 'n';
        if (!str_eq(got.bytes, wanted[i].bytes) || got.real != wanted[i].real ||
            got.number != (numbered ? 1 : wanted[i].number))
            test_failed(__FILE__, __LINE__, "%s.%s is not what was written", info->name,
                        shape->columns[i].name);
    }
    CHECK_INT(sqlite3_step(stmt), SQLITE_DONE); /* a put has replaced, an add made one */
    sqlite3_finalize(stmt);
}

CONFORMANCE(rows_come_back_as_written)
{
    for (OpId op = 0; op < OP_COUNT; op++) {
        const OpInfo *info = &op_infos[op];
        if (info->row < 0)
            continue;
        const RowShape *shape = &row_shapes[info->row];
        char *row = arena_alloc(&lake->arena, shape->size);
        MetaValue values[META_PARAMS_MAX];
        row_invent(shape, row, op);
        row_values(shape, row, values);
        MetaTxn txn = { .items = &(MetaItem){ op, shape->count, values }, .len = 1 };
        COMMIT(lake, &txn);
        if (info->kind == OP_PUT)
            COMMIT(lake, &txn);
        else if (values[0].kind != 'n')
            CHECK_CODE(meta_commit(lake->meta, &txn, &lake->err), E_EXISTS);
        row_compare(lake, info, shape, values);
    }
}

CONFORMANCE(the_closed_lists_are_whole)
{
    MetaDb *db = &lake->meta->writer;
    sqlite3_stmt *stmt = NULL;
    for (OpId op = 0; op < OP_COUNT; op++) {
        const OpInfo *info = &op_infos[op];
        size_t count = info->row >= 0 ? row_shapes[info->row].count : strlen(info->types);
        CHECK_OK(meta_db_op(db, op, &stmt, &lake->err), &lake->err);
        if ((size_t)sqlite3_bind_parameter_count(stmt) != count || strlen(info->doc) == 0)
            test_failed(__FILE__, __LINE__, "ops.def: %s", info->name);
    }
    for (ReadId id = 0; id < READ_COUNT; id++) {
        CHECK_OK(meta_db_read(db, id, &stmt, &lake->err), &lake->err);
        if ((size_t)sqlite3_bind_parameter_count(stmt) != strlen(read_infos[id].types))
            test_failed(__FILE__, __LINE__, "reads.def: %s", read_infos[id].name);
    }
}

/* -- requirements -- */

static void fail_txn(Lake *lake, MetaTxn *txn, Code wanted, const char *place, const char *text)
{
    Code code = meta_commit(lake->meta, txn, &lake->err);
    if (code != wanted || strcmp(lake->err.place, place) != 0 || !strstr(lake->err.text, text))
        test_failed(__FILE__, __LINE__, "%s: %s '%s' at '%s'", place, code_info(code)->name,
                    lake->err.text, lake->err.place);
}

#define FAILS(code, place, text, constructor, ...)                                                 \
    do {                                                                                           \
        MetaTxn *txn_ = txn_new(lake);                                                             \
        constructor(txn_, __VA_ARGS__);                                                            \
        fail_txn(lake, txn_, E_##code, place, text);                                               \
    } while (0)

CONFORMANCE(namespaces_and_tables_say_what_failed)
{
    lake_fill(lake);
    MetaTable one = table_n(1, STR("one")), again = table_n(3, STR("two"));
    FAILS(NOT_FOUND, "require_namespace_exists", "'x'", meta_require_namespace_exists, STR("x"));
    FAILS(EXISTS, "require_namespace_absent", "'ns'", meta_require_namespace_absent, STR("ns"));
    FAILS(PRECONDITION, "require_namespace_empty", "'ns'", meta_require_namespace_empty, STR("ns"));
    FAILS(EXISTS, "add_namespace", "'ns'", meta_add_namespace, &(MetaNamespace){ .name = STR("ns") });
    FAILS(NOT_FOUND, "set_namespace_properties", "'x'", meta_set_namespace_properties, STR("x"),
          STR("{}"));
    FAILS(NOT_FOUND, "delete_namespace", "'x'", meta_delete_namespace, STR("x"));
    FAILS(CONFLICT, "require_table_at", "'m9'", meta_require_table_at, uuid_n(1), STR("m9"));
    FAILS(NOT_FOUND, "require_table_exists", "0100", meta_require_table_exists, uuid_n(9));
    FAILS(EXISTS, "require_table_absent", "ns.one", meta_require_table_absent, STR("ns"),
          STR("one"));
    FAILS(EXISTS, "add_table", "ns.one", meta_add_table, &one);
    FAILS(EXISTS, "add_table", "ns.two", meta_add_table, &again);
    FAILS(CONFLICT, "table_swap", "'m1'", meta_table_swap, uuid_n(1), STR("m1"), STR("m2"), 1);
    FAILS(NOT_FOUND, "table_set_view_sql", "no view", meta_table_set_view_sql, uuid_n(1),
          STR("SELECT 1"), 1);
    FAILS(EXISTS, "table_rename", "taken", meta_table_rename, uuid_n(1), STR("ns"), STR("two"));
    FAILS(NOT_FOUND, "table_rename", "0100", meta_table_rename, uuid_n(9), STR("ns"), STR("x"));
    FAILS(NOT_FOUND, "table_drop", "0100", meta_table_drop, uuid_n(9), 1);
    FAILS(NOT_FOUND, "table_undrop", "trash", meta_table_undrop, uuid_n(1));
    FAILS(NOT_FOUND, "delete_table", "trash", meta_delete_table, uuid_n(1));
    static const Str overlaps[] = { STR_INIT("s3://lake/a/"), STR_INIT("s3://lake/a/1/"),
                                    STR_INIT("s3://lake/a/1/x/") };
    for (size_t i = 0; i < ARRAY_LEN(overlaps); i++)
        FAILS(EXISTS, "require_location_free", "overlaps", meta_require_location_free, overlaps[i]);
}

CONFORMANCE(other_items_say_what_failed)
{
    FAILS(CONFLICT, "require_staged_file", "'f'", meta_require_staged_file, STR("r"), STR("f"));
    FAILS(CONFLICT, "complete_staged_file", "'f'", meta_complete_staged_file, STR("r"), STR("f"), 1, STR("{}"));
    FAILS(NOT_FOUND, "delete_model", "'m'", meta_delete_model, STR("m"));
    FAILS(CONFLICT, "require_ledger_state", "'published'", meta_require_ledger_state,
          &(MetaLedger){ .model = STR("m"), .state = STR("published") });
    FAILS(FORBIDDEN, "require_key_active", "'k'", meta_require_key_active, STR("k"), 5);
    FAILS(NOT_FOUND, "revoke_key", "'k'", meta_revoke_key, STR("k"), 5);
    FAILS(CONFLICT, "require_setting", "'v'", meta_require_setting, STR("s"), STR("v"));
    FAILS(CONFLICT, "require_feed_cursor", "at 3", meta_move_feed_cursor, STR("c"), 3, 4);
    FAILS(INVALID, "", "add_key", meta_add_key, &(MetaKey){ .id = STR("short secret") });
}

CONFORMANCE(requirements_that_hold)
{
    lake_fill(lake);
    MetaTxn *txn = txn_new(lake);
    MetaLedger ledger = { .model = STR("m"), .fingerprint = STR("f"), .state = STR("published") };
    Str secret = STR("0123456789abcdef0123456789abcdef");
    meta_require_namespace_exists(txn, STR("ns"));
    meta_require_namespace_absent(txn, STR("other"));
    meta_require_namespace_empty(txn, STR("other"));
    meta_require_table_at(txn, uuid_n(1), STR("m0"));
    meta_require_table_exists(txn, uuid_n(1));
    meta_require_table_absent(txn, STR("ns"), STR("three"));
    meta_require_location_free(txn, STR("s3://lake/a/10/"));
    meta_put_ledger(txn, &ledger);
    meta_require_ledger_state(txn, &ledger); /* sees what the items before it wrote */
    meta_add_staged_file(txn, &(MetaStagedFile){ .run_id = STR("r"), .address = STR("f") });
    meta_require_staged_file(txn, STR("r"), STR("f"));
    meta_add_key(txn, &(MetaKey){ .id = STR("k"), .secret_sha256 = secret, .expires_us = 9 });
    meta_require_key_active(txn, STR("k"), 8);
    meta_require_key_name_free(txn, STR("nobody"));
    meta_require_setting(txn, STR("s"), STR_NONE);
    meta_put_setting(txn, STR("s"), STR("v"));
    meta_require_setting(txn, STR("s"), STR("v"));
    meta_move_feed_cursor(txn, STR("c"), 0, 5);
    meta_move_feed_cursor(txn, STR("c"), 5, 6);
    COMMIT(lake, txn);
    FAILS(FORBIDDEN, "require_key_active", "'k'", meta_require_key_active, STR("k"), 9);
}

/* -- transactions -- */

CONFORMANCE(all_or_nothing)
{
    MetaTxn *txn = txn_new(lake);
    MetaTxn *others = txn_new(lake);
    meta_add_namespace(txn, &(MetaNamespace){ .name = STR("a") });
    meta_require_namespace_exists(others, STR("missing"));
    meta_append(txn, others);
    CHECK_CODE(meta_commit(lake->meta, txn, &lake->err), E_NOT_FOUND);
    AUTO(meta_read_end) MetaRead *read = read_new(lake);
    MetaNamespace row;
    CHECK_CODE(meta_get_namespace(read, STR("a"), &lake->arena, &row, &lake->err), E_NOT_FOUND);
    CHECK(strstr(lake->err.text, "'a'"));
    CHECK_INT(meta_read_sequence(read), 0);
}

CONFORMANCE(a_replayed_commit_applies_once)
{
    MetaTxn *txn = txn_new(lake);
    bool exists = true;
    meta_txn_set_commit(txn, uuid_n(77));
    meta_add_outbox(txn, &(MetaOutbox){ .topic = STR("t") });
    CHECK_OK(meta_commit_exists(lake->meta, uuid_n(77), &exists, &lake->err), &lake->err);
    CHECK(!exists);
    COMMIT(lake, txn);
    COMMIT(lake, txn);
    lake_reopen(lake);
    COMMIT(lake, txn);
    CHECK_OK(meta_commit_exists(lake->meta, uuid_n(77), &exists, &lake->err), &lake->err);
    CHECK(exists);
    AUTO(meta_read_end) MetaRead *read = read_new(lake);
    MetaOutbox *rows;
    size_t count;
    CHECK_OK(meta_list_outbox(read, 0, &lake->arena, &rows, &count, &lake->err), &lake->err);
    CHECK_INT(count, 1);
    CHECK_INT(meta_read_sequence(read), 1);
}

static size_t outbox_list(Lake *lake, MetaOutbox **ret_rows)
{
    size_t count;
    AUTO(meta_read_end) MetaRead *read = read_new(lake);
    CHECK_OK(meta_list_outbox(read, 0, &lake->arena, ret_rows, &count, &lake->err), &lake->err);
    return count;
}

CONFORMANCE(a_message_that_has_left_is_gone)
{
    MetaOutbox *rows;
    MetaTxn *txn = txn_new(lake), *left = txn_new(lake);
    meta_add_outbox(txn, &(MetaOutbox){ .topic = STR("first") });
    meta_add_outbox(txn, &(MetaOutbox){ .topic = STR("second") });
    COMMIT(lake, txn);
    CHECK_INT(outbox_list(lake, &rows), 2);
    meta_delete_outbox(left, rows[0].id);
    COMMIT(lake, left);
    CHECK_INT(outbox_list(lake, &rows), 1);
    CHECK_STR(rows[0].topic, STR("second"));
}

CONFORMANCE(the_sequence_outlives_old_commits)
{
    bool exists = true;
    for (unsigned i = 1; i <= 3; i++) {
        MetaTxn *txn = txn_new(lake);
        meta_txn_set_commit(txn, uuid_n(i));
        if (i == 3)
            meta_delete_commits_before(txn, INT64_MAX);
        COMMIT(lake, txn);
    }
    AUTO(meta_read_end) MetaRead *read = read_new(lake);
    CHECK_INT(meta_read_sequence(read), 3);
    CHECK_OK(meta_commit_exists(lake->meta, uuid_n(1), &exists, &lake->err), &lake->err);
    CHECK(!exists);
    CHECK_OK(meta_commit_exists(lake->meta, uuid_n(3), &exists, &lake->err), &lake->err);
    CHECK(exists);
}

CONFORMANCE(old_audit_rows_go_and_ids_rise)
{
    MetaAudit *rows = NULL;
    size_t count = 0;
    MetaTxn *txn = txn_new(lake);
    for (int64_t i = 1; i <= 4; i++)
        meta_add_audit(txn, &(MetaAudit){ .time_us = i * 10, .verb = STR("look") });
    COMMIT(lake, txn);
    txn = txn_new(lake);
    meta_delete_audit_before(txn, 30);
    COMMIT(lake, txn);
    {
        AUTO(meta_read_end) MetaRead *read = read_new(lake);
        CHECK_OK(meta_list_audit(read, 0, 10, &lake->arena, &rows, &count, &lake->err), &lake->err);
        CHECK_INT(count, 2);
        CHECK_INT(rows[0].time_us, 30);
    }
    txn = txn_new(lake);
    meta_delete_audit_before(txn, INT64_MAX);
    COMMIT(lake, txn);
    txn = txn_new(lake);
    meta_add_audit(txn, &(MetaAudit){ .time_us = 50, .verb = STR("look") });
    COMMIT(lake, txn);
    AUTO(meta_read_end) MetaRead *read = read_new(lake);
    CHECK_OK(meta_list_audit(read, 0, 10, &lake->arena, &rows, &count, &lake->err), &lake->err);
    CHECK_INT(count, 2);
    CHECK_INT(rows[1].id, 5);
}

CONFORMANCE(a_read_is_one_snapshot)
{
    lake_fill(lake);
    AUTO(meta_read_end) MetaRead *before = read_new(lake);
    MetaTxn *txn = txn_new(lake);
    meta_table_swap(txn, uuid_n(1), STR("m0"), STR("m1"), 9);
    COMMIT(lake, txn);
    AUTO(meta_read_end) MetaRead *after = read_new(lake);
    MetaTable row;
    CHECK_OK(meta_get_table(before, uuid_n(1), &lake->arena, &row, &lake->err), &lake->err);
    CHECK_STR(row.metadata_location, STR("m0"));
    CHECK_OK(meta_get_table_named(after, STR("ns"), STR("one"), &lake->arena, &row, &lake->err),
             &lake->err);
    CHECK_STR(row.metadata_location, STR("m1"));
    CHECK_INT(row.updated_us, 9);
    CHECK_INT(meta_read_sequence(after), meta_read_sequence(before) + 1);
}

CONFORMANCE(the_trash_frees_the_name)
{
    lake_fill(lake);
    MetaTxn *txn = txn_new(lake);
    MetaTable fresh = table_n(3, STR("one")), *rows;
    size_t count;
    meta_table_drop(txn, uuid_n(1), 11);
    meta_add_table(txn, &fresh);
    COMMIT(lake, txn);
    FAILS(EXISTS, "table_undrop", "taken", meta_table_undrop, uuid_n(1));
    FAILS(EXISTS, "require_location_free", "overlaps", meta_require_location_free,
          STR("s3://lake/a/1/")); /* its files are there */
    AUTO(meta_read_end) MetaRead *read = read_new(lake);
    CHECK_OK(meta_list_dropped_tables(read, &lake->arena, &rows, &count, &lake->err), &lake->err);
    CHECK_INT(count, 1);
    CHECK_INT(rows[0].dropped_us, 11);
    CHECK_OK(meta_list_tables(read, STR("ns"), &lake->arena, &rows, &count, &lake->err), &lake->err);
    CHECK_INT(count, 2);
    CHECK(uuid_eq(rows[0].uuid, uuid_n(3)));
    txn = txn_new(lake);
    meta_table_rename(txn, uuid_n(3), STR("ns"), STR("three"));
    meta_table_undrop(txn, uuid_n(1));
    meta_table_drop(txn, uuid_n(2), 12);
    meta_delete_table(txn, uuid_n(2));
    COMMIT(lake, txn);
}

CONFORMANCE(limits_and_lists)
{
    MetaTxn *txn = txn_new(lake);
    MetaAudit *rows;
    size_t count;
    for (int i = 0; i < 10; i++)
        meta_add_audit(txn, &(MetaAudit){ .time_us = i, .verb = STR("look") });
    COMMIT(lake, txn);
    AUTO(meta_read_end) MetaRead *read = read_new(lake);
    CHECK_OK(meta_list_audit(read, 4, 3, &lake->arena, &rows, &count, &lake->err), &lake->err);
    CHECK_INT(count, 3);
    CHECK_INT(rows[0].id, 5);
    CHECK_INT(rows[2].time_us, 6);
    int64_t sequence = 9;
    CHECK_OK(meta_get_feed_cursor(read, STR("none"), &sequence, &lake->err), &lake->err);
    CHECK_INT(sequence, 0);
    MetaTxn many = { .len = META_TXN_ITEMS_MAX + 1 };
    CHECK_CODE(meta_commit(lake->meta, &many, &lake->err), E_LIMIT);
    txn = txn_new(lake);
    Str big = { arena_alloc(&lake->arena, META_VALUE_BYTES_MAX + 1), META_VALUE_BYTES_MAX + 1 };
    meta_put_setting(txn, STR("big"), big);
    CHECK_CODE(meta_commit(lake->meta, txn, &lake->err), E_LIMIT);
    COMMIT(lake, txn_new(lake)); /* and it goes on */
}

TEST(meta_readers_have_a_maximum)
{
    Lake lake;
    MetaRead *reads[META_READERS_MAX];
    MetaRead *more = NULL;
    lake_open(&lake, &backends[1]);
    for (size_t i = 0; i < META_READERS_MAX; i++)
        reads[i] = read_new(&lake);
    CHECK_CODE(meta_read_begin(lake.meta, &more, &lake.err), E_UNAVAILABLE);
    meta_read_end(&reads[3]);
    CHECK_OK(meta_read_begin(lake.meta, &reads[3], &lake.err), &lake.err);
    for (size_t i = 0; i < META_READERS_MAX; i++)
        meta_read_end(&reads[i]);
    lake_done(&lake);
}

static void settings_put(Lake *lake, int count)
{
    for (int i = 0; i < count; i++) {
        MetaTxn *txn = txn_new(lake);
        meta_put_setting(txn, STR("n"), str_format(&lake->arena, "%*d", 5000, i));
        COMMIT(lake, txn);
    }
}

CONFORMANCE(a_reader_that_stays_lets_the_log_grow_until_it_ends)
{
    lake->meta->checkpoint_frames = 8;
    settings_put(lake, 20);
    CHECK(lake->meta->writer.wal_frames < 32);
    MetaRead *read = read_new(lake);
    settings_put(lake, 40);
    CHECK(lake->meta->writer.wal_frames > 80); /* the snapshot is in it */
    CHECK(lake->meta->restart_frames > 64);    /* was waited for, and will be seldom */
    CHECK_INT(meta_read_sequence(read), 20);
    meta_read_end(&read);
    settings_put(lake, 3);
    CHECK(lake->meta->writer.wal_frames < 32);
    CHECK(lake->meta->restart_frames <= 32);
}

/* -- opening, checking, copying -- */

CONFORMANCE(another_version_is_refused)
{
    CHECK_OK(meta_db_exec(&lake->meta->writer, "PRAGMA user_version = 99", &lake->err), &lake->err);
    meta_free(&lake->meta);
    MetaOptions options = { .path = lake->path };
    CHECK_CODE(meta_open(lake->os, &options, &lake->meta, &lake->err), E_UNSUPPORTED);
    CHECK(strstr(lake->err.text, "99") && strlen(lake->err.hint) > 0);
    CHECK_STR(str_z(lake->err.place), str_z(lake->path));
    OsFile *file AUTO(os_file_close) = NULL;
    CHECK_OK(os_file_open(lake->os, lake->path, OS_WRITE | OS_TRUNCATE, &file, &lake->err), &lake->err);
    char noise[4096];
    memset(noise, 'x', sizeof noise);
    CHECK_OK(os_file_pwrite(file, str_of(noise, sizeof noise), 0, &lake->err), &lake->err);
    CHECK_CODE(meta_open(lake->os, &options, &lake->meta, &lake->err), E_CORRUPT);
}

CONFORMANCE(check_finds_contradictions)
{
    Str *findings;
    size_t count;
    lake_fill(lake);
    CHECK_OK(meta_check(lake->meta, &lake->arena, &findings, &count, &lake->err), &lake->err);
    CHECK_INT(count, 0);
    MetaTxn *txn = txn_new(lake);
    MetaTable inside = table_n(3, STR("inside"));
    inside.location = STR("s3://lake/a/1/deeper/");
    inside.metadata_location = STR_NONE;
    meta_add_table(txn, &inside);
    meta_delete_namespace(txn, STR("ns"));
    COMMIT(lake, txn);
    CHECK_OK(meta_check(lake->meta, &lake->arena, &findings, &count, &lake->err), &lake->err);
    CHECK_INT(count, 5); /* three without a namespace, one overlap, one without a metadata file */
}

CONFORMANCE(backup_is_a_whole_copy)
{
    lake_fill(lake);
    AUTO(meta_read_end) MetaRead *busy = read_new(lake);
    const char *copy = str_copy_z(&lake->arena, str_format(&lake->arena, "%s.copy", lake->path));
    CHECK_OK(meta_backup(lake->meta, copy, &lake->err), &lake->err);
    CHECK_CODE(meta_backup(lake->meta, copy, &lake->err), E_EXISTS);
    if (lake->sim) {
        meta_read_end(&busy);
        meta_free(&lake->meta);
        os_sim_crash(lake->sim);
        os_sim_reboot(lake->sim);
        CHECK_OK(meta_open(lake->os, &(MetaOptions){ .path = lake->path }, &lake->meta, &lake->err),
                 &lake->err);
    }
    Meta *other = NULL;
    CHECK_OK(meta_open(lake->os, &(MetaOptions){ .path = copy }, &other, &lake->err), &lake->err);
    MetaRead *read = NULL;
    MetaTable row;
    CHECK_OK(meta_read_begin(other, &read, &lake->err), &lake->err);
    CHECK_OK(meta_get_table(read, uuid_n(2), &lake->arena, &row, &lake->err), &lake->err);
    meta_read_end(&read);
    meta_free(&other);
}

/* -- threads -- */

enum { THREADS = 4, STEPS = 25 };

static void *count_up(void *arg)
{
    Lake *lake = arg;
    for (int done = 0; done < STEPS;) {
        Arena tmp AUTO(arena_done) = { 0 };
        Err err;
        MetaRead *read = NULL;
        MetaTxn txn;
        int64_t at = 0;
        CHECK_OK(meta_read_begin(lake->meta, &read, &err), &err);
        CHECK_OK(meta_get_feed_cursor(read, STR("shared"), &at, &err), &err);
        meta_read_end(&read);
        meta_txn_init(&txn, &tmp);
        meta_move_feed_cursor(&txn, STR("shared"), at, at + 1);
        Code code = meta_commit(lake->meta, &txn, &err);
        CHECK(code == E_OK || code == E_CONFLICT);
        done += code == E_OK;
    }
    return NULL;
}

TEST(meta_threads_do_not_lose_updates)
{
    Lake lake;
    Thread threads[THREADS];
    int64_t at = 0;
    lake_open(&lake, &backends[0]);
    for (size_t i = 0; i < THREADS; i++)
        CHECK_OK(thread_start(&threads[i], "count", count_up, &lake, &lake.err), &lake.err);
    for (size_t i = 0; i < THREADS; i++)
        thread_join(&threads[i]);
    MetaRead *read = read_new(&lake);
    CHECK_OK(meta_get_feed_cursor(read, STR("shared"), &at, &lake.err), &lake.err);
    CHECK_INT(at, THREADS * STEPS);
    meta_read_end(&read);
    lake_done(&lake);
}

/* Readers beside a writer whose log starts anew all the time: each snapshot is one commit's. */

enum { SNAPSHOT_READERS = 3, SNAPSHOT_COMMITS = 400 };

static void *snapshots_look(void *arg)
{
    Lake *lake = arg;
    int64_t last = 0;
    while (last < SNAPSHOT_COMMITS) {
        Arena tmp AUTO(arena_done) = { 0 };
        Err err;
        MetaRead *read = NULL;
        MetaSetting setting = { .value = STR_INIT("0") };
        int64_t cursor = 0, value = -1;
        CHECK_OK(meta_read_begin(lake->meta, &read, &err), &err);
        CHECK_OK(meta_get_feed_cursor(read, STR("n"), &cursor, &err), &err);
        Code code = meta_get_setting(read, STR("n"), &tmp, &setting, &err);
        CHECK(code == E_OK || (code == E_NOT_FOUND && cursor == 0));
        CHECK(str_i64(str_trim(setting.value), &value) && value == cursor);
        CHECK_INT(meta_read_sequence(read), cursor);
        CHECK(cursor >= last);
        last = cursor;
        meta_read_end(&read);
    }
    return NULL;
}

TEST(meta_readers_see_whole_commits)
{
    Lake lake;
    Thread threads[SNAPSHOT_READERS];
    lake_open(&lake, &backends[0]);
    meta_free(&lake.meta);
    MetaOptions options = { .path = lake.path, .checkpoint_frames = 8 };
    CHECK_OK(meta_open(lake.os, &options, &lake.meta, &lake.err), &lake.err);
    for (size_t i = 0; i < SNAPSHOT_READERS; i++)
        CHECK_OK(thread_start(&threads[i], "look", snapshots_look, &lake, &lake.err), &lake.err);
    for (int i = 1; i <= SNAPSHOT_COMMITS; i++) {
        MetaTxn *txn = txn_new(&lake);
        meta_put_feed_cursor(txn, STR("n"), i);
        meta_put_setting(txn, STR("n"), str_format(&lake.arena, "%*d", 1 + i % 3 * 5000, i));
        COMMIT(&lake, txn);
    }
    for (size_t i = 0; i < SNAPSHOT_READERS; i++)
        thread_join(&threads[i]);
    lake_done(&lake);
}
