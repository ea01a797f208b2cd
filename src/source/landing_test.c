/* Covers landing.c and changes.c: every change once in bronze.objects, whether its row is in a file or
 * still in the feed, over reopens and failures at the worst moment. */
#include "source/landing.h"

#include "base/test.h"
#include "format/arrow.h"
#include "os/os_sim.h"
#include "store/store_keep.h"
#include "store/upload.h"

#include <stdio.h>
#include <string.h>

typedef struct House {
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Sql *sql;
    Source *source;
    Landing *landing;
    Arena arena;
    Err err;
} House;

/* `places`: where the landing looks for its place; NULL: in the house's own metadata. */
static void house_open_on(House *house, uint64_t rows_max, Meta *places)
{
    Os *os = os_real();
    static char dir[OS_PATH_MAX], db[OS_PATH_MAX];
    *house = (House){ 0 };
    err_clear(&house->err);
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    snprintf(db, sizeof db, "%s/tarn.db", test_dir());
    StoreOptions store = { .index = "memory", .dir = dir, .segment_bytes = 1 << 20 };
    CHECK_OK(store_open(os, &store, &house->store, &house->err), &house->err);
    CHECK_OK(meta_open(os, &(MetaOptions){ .path = db }, &house->meta, &house->err), &house->err);
    CatalogOptions catalog = { .os = os, .store = house->store, .meta = house->meta, .lake_bucket = STR("lake") };
    CHECK_OK(catalog_open(&catalog, &house->catalog, &house->err), &house->err);
    SqlOptions sql = { .os = os, .catalog = house->catalog, .store = house->store, .threads = 2 };
    CHECK_OK(sql_open(&sql, &house->sql, &house->err), &house->err);
    SourceOptions source = { .os = os, .store = house->store };
    CHECK_OK(source_open(&source, &house->source, &house->err), &house->err);
    LandingOptions landing = { .os = os, .store = house->store, .meta = places ? places : house->meta,
                               .catalog = house->catalog, .sql = house->sql, .source = house->source, .interval_ms = 1,
                               .rows_max = rows_max };
    CHECK_OK(landing_open(&landing, &house->landing, &house->err), &house->err);
}

static void house_open(House *house, uint64_t rows_max)
{
    house_open_on(house, rows_max, NULL);
}

static void house_close(House *house)
{
    landing_free(&house->landing);
    sql_free(&house->sql);
    source_free(&house->source);
    catalog_free(&house->catalog);
    meta_free(&house->meta);
    store_free(&house->store);
    arena_done(&house->arena);
}

/* The cells of all rows, joined by spaces, rows by "; "; or the error. */
static Str ask(House *house, const char *sql)
{
    SqlRequest request = { .text = str_z(sql), .read_only = str_starts(str_z(sql), STR("SELECT")) };
    SqlResult *result AUTO(sql_result_free) = NULL;
    Buf buf AUTO(buf_done);
    buf_init(&buf, 1 << 20);
    Code code = sql_query(house->sql, &request, &result, &house->err);
    while (code == E_OK) {
        ArrowArray batch AUTO(arrow_array_done) = { 0 };
        code = sql_result_next(result, &batch, &house->err);
        if (code != E_OK || !batch.release)
            break;
        for (int64_t row = 0; row < batch.length; row++)
            for (int64_t column = 0; column < batch.n_children; column++) {
                buf_put(&buf, buf.len == 0 ? STR("") : column == 0 ? STR("; ") : STR(" "));
                arrow_put_text(&buf, sql_result_schema(result)->children[column], batch.children[column], row);
            }
    }
    return code == E_OK ? str_copy(&house->arena, buf_str(&buf)) : str_z(code_info(code)->name);
}
#define ASK(house, sql, wanted) CHECK_STR(ask(house, sql), STR(wanted))

static uint64_t land(House *house)
{
    uint64_t rows = 0;
    CHECK_OK(landing_step(house->landing, &rows, &house->err), &house->err);
    return rows;
}

static void put(House *house, const char *bucket, const char *key, const char *bytes)
{
    StorePut put = { .bucket = str_z(bucket), .key = str_z(key), .content_type = STR("text/plain") };
    CHECK_OK(store_put(house->store, &put, str_z(bytes), NULL, &house->err), &house->err);
}

static void hot(House *house, int count)
{
    for (int i = 0; i < count; i++)
        put(house, "users", "hot", "x");
}

static void multipart(House *house, Str key)
{
    static char bytes[200000];
    StoreUploadId id = { 0 };
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    StoreUpload upload = { .bucket = STR("users"), .key = key };
    StorePart part = { .number = 1, .md5 = { 1 } };
    CHECK_OK(store_upload_create(house->store, &upload, &id, &house->err), &house->err);
    CHECK_OK(store_stage_part(house->store, &staged, &house->err), &house->err);
    CHECK_OK(store_stage_write(staged, str_of(bytes, sizeof bytes), &house->err), &house->err);
    CHECK_OK(store_stage_finish(staged, &house->err), &house->err);
    CHECK_OK(store_upload_part(house->store, STR("users"), key, &id, &part, &staged, &house->err), &house->err);
    StoreComplete complete = { .bucket = STR("users"), .key = key, .id = id, .parts = &part, .part_count = 1 };
    uint64_t sequence;
    CHECK_OK(store_upload_complete(house->store, &complete, &sequence, &house->err), &house->err);
}

/* put, overwrite, delete, an upload in parts; in a bucket with versions a marker and its removal. */
static void events(House *house)
{
    CHECK_OK(store_bucket_create(house->store, STR("users"), &house->err), &house->err);
    put(house, "users", "a", "1");
    put(house, "users", "a", "22");
    put(house, "users", "\xff%", "333");
    CHECK_OK(store_delete(house->store, STR("users"), STR("a"), &house->err), &house->err);
    multipart(house, STR("big"));
    CHECK_OK(store_bucket_set_versioning(house->store, STR("users"), VERSIONING_ENABLED, &house->err), &house->err);
    CHECK_OK(store_delete(house->store, STR("users"), STR("big"), &house->err), &house->err);
    CHECK_OK(store_set_tags(house->store, STR("users"), STR("\xff%"), 0, &(StoreTag){ STR("t"), STR("u") }, 1,
                            &house->err), &house->err);
}

static const char EVENTS[] = "SELECT event, key, coalesce(size_bytes, -1) FROM bronze.objects WHERE bucket = 'users' "
                             "ORDER BY sequence";
#define ALL_EVENTS "put a 1; put a 2; put %FF%25 3; delete a -1; put big 200000; delete_marker big -1; " \
                   "tags %FF%25 -1"

TEST(landing_has_every_change_once_wherever_it_is)
{
    House house AUTO(house_close);
    house_open(&house, 3);
    ASK(&house, "SELECT count(*) FROM bronze.objects", "0");
    events(&house);
    ASK(&house, EVENTS, ALL_EVENTS); /* all in the feed */
    uint64_t rows = 0;
    for (int i = 0; i < 10 && rows < 7; i++) {
        rows += land(&house);
        ASK(&house, EVENTS, ALL_EVENTS); /* some here, some there */
    }
    CHECK_INT(rows, 7);
    CHECK_INT(land(&house), 0); /* its own files are no events */
    put(&house, "users", "late", "1");
    ASK(&house, "SELECT count(*), count(DISTINCT sequence) FROM bronze.objects", "8 8");
    ASK(&house, "SELECT etag, content_type, address, name, version[:16] = printf('%016x', sequence) "
        "FROM bronze.objects WHERE key = 'late'",
        "6b86b273ff34fce19d6b804eff5a3f57 text/plain s3://users/late late true");
    ASK(&house, "SELECT etag, coalesce(sha256, '-') FROM bronze.objects WHERE key = 'big' AND event = 'put'",
        "076933ff9904d1110d896e2c525e39e5-1 -");
}

/* Types and tags are what a client sent: any bytes. */
TEST(landing_takes_texts_that_are_none)
{
    House house AUTO(house_close);
    house_open(&house, 0);
    CHECK_OK(store_bucket_create(house.store, STR("users"), &house.err), &house.err);
    StoreTag tags[] = { { STR("source"), STR("s\xff") }, { STR("name"), { "n\0m", 3 } }, { STR("consent"), STR("\xed\xa0\x80") } };
    StorePut put = { .bucket = STR("users"), .key = { "a\0b", 3 }, .content_type = STR("text/\xfe%"), .tags = tags, .tag_count = 3 };
    CHECK_OK(store_put(house.store, &put, STR("x"), NULL, &house.err), &house.err);
    for (int landed = 0; landed < 2; landed++) {
        ASK(&house, "SELECT key = 'a' || chr(0) || 'b', source, name = 'n' || chr(0) || 'm', consent, content_type "
            "FROM bronze.objects", "true s%FF true %ED%A0%80 text/%FE%25");
        if (!landed)
            CHECK_INT(land(&house), 1);
    }
}

TEST(landing_goes_on_where_it_stopped)
{
    House house AUTO(house_close);
    house_open(&house, 0);
    events(&house);
    CHECK_INT(land(&house), 7);
    put(&house, "users", "b", "1");
    house_close(&house);
    house_open(&house, 0); /* the index is made again from the journal */
    ASK(&house, "SELECT count(*), count(DISTINCT sequence) FROM bronze.objects", "8 8");
    CHECK_INT(land(&house), 1);
    ASK(&house, "SELECT count(*), count(DISTINCT sequence) FROM bronze.objects", "8 8");
    hot(&house, 300);
    CHECK_INT(land(&house), 300);
    hot(&house, 1); /* what was landed is given back with it */
    StoreChange *changes;
    size_t count;
    CHECK_CODE(store_feed_read(house.store, 0, 0, &house.arena, &changes, &count, &house.err), E_GONE);
    ASK(&house, "SELECT count(*), count(DISTINCT sequence) FROM bronze.objects", "309 309");
}

/* What a query began with is there until it is done, whatever lands meanwhile; then it is given back. */
TEST(landing_keeps_what_a_query_reads)
{
    House house AUTO(house_close);
    house_open(&house, 0);
    events(&house);
    SqlRequest request = { .text = str_z(EVENTS), .read_only = true };
    SqlResult *result AUTO(sql_result_free) = NULL;
    CHECK_OK(sql_query(house.sql, &request, &result, &house.err), &house.err);
    CHECK_INT(land(&house), 7);
    hot(&house, 300);
    CHECK_INT(land(&house), 300);
    hot(&house, 1); /* what was given back goes with the next change */
    StoreChange *changes;
    size_t count;
    CHECK_OK(store_feed_read(house.store, 0, 0, &house.arena, &changes, &count, &house.err), &house.err);
    ArrowArray batch AUTO(arrow_array_done) = { 0 };
    CHECK_OK(sql_result_next(result, &batch, &house.err), &house.err);
    CHECK_INT(batch.length, 7);
    sql_result_free(&result);
    CHECK_INT(land(&house), 1);
    hot(&house, 1);
    CHECK_CODE(store_feed_read(house.store, 0, 0, &house.arena, &changes, &count, &house.err), E_GONE);
}

/* A commit that fails loses nothing; one whose place was moved by somebody else doubles nothing. */
TEST(landing_moves_place_and_rows_together)
{
    House house AUTO(house_close);
    house_open(&house, 0);
    events(&house);
    Arena arena AUTO(arena_done) = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &arena);
    int64_t second = 0;
    CHECK(str_i64(ask(&house, "SELECT sequence FROM bronze.objects WHERE key = 'a' AND size_bytes = 2"), &second));
    meta_move_feed_cursor(&txn, STR("bronze.objects"), 0, second);
    CHECK_OK(meta_commit(house.meta, &txn, &house.err), &house.err);
    uint64_t rows = 0;
    CHECK_CODE(landing_step(house.landing, &rows, &house.err), E_CONFLICT);
    CHECK_INT(landing_state(house.landing).failures, 1);
    CHECK_INT(landing_state(house.landing).landed, (uint64_t)second);
    CHECK_INT(land(&house), 7 - 2);
    ASK(&house, EVENTS, "put %FF%25 3; delete a -1; put big 200000; delete_marker big -1; tags %FF%25 -1");
}

/* The rows are committed, then the metadata cannot be read any more: neither what the feed may forget nor the place. */
TEST(landing_that_does_not_know_its_place_lands_nothing)
{
    House house = { 0 };
    OsSim *sim = os_sim_new(test_seed());
    Meta *places = NULL;
    MetaRead *busy = NULL; /* the one connection that is open */
    MetaTxn txn;
    uint64_t rows = 0;
    CHECK_OK(os_dir_make(os_sim_os(sim), "/m", &house.err), &house.err);
    CHECK_OK(meta_open(os_sim_os(sim), &(MetaOptions){ .path = "/m/tarn.db" }, &places, &house.err), &house.err);
    house_open_on(&house, 0, places);
    events(&house);
    CHECK_OK(meta_read_begin(places, &busy, &house.err), &house.err);
    os_sim_fail_at(sim, os_sim_calls(sim) + 1, 1000000, E_IO);
    CHECK_CODE(landing_step(house.landing, &rows, &house.err), E_IO);
    put(&house, "users", "late", "1");
    CHECK_CODE(landing_step(house.landing, &rows, &house.err), E_IO);
    os_sim_fail_at(sim, 0, 0, E_OK);
    meta_read_end(&busy);
    ASK(&house, "SELECT count(*), count(DISTINCT sequence) FROM bronze.objects", "8 8");
    meta_txn_init(&txn, &house.arena);
    meta_put_feed_cursor(&txn, STR("bronze.objects"), (int64_t)landing_state(house.landing).landed);
    CHECK_OK(meta_commit(places, &txn, &house.err), &house.err);
    CHECK_INT(land(&house), 1);
    ASK(&house, "SELECT count(*), count(DISTINCT sequence) FROM bronze.objects", "8 8");
    house_close(&house);
    meta_free(&places);
    os_sim_free(&sim);
}

TEST(landing_alone_writes_its_table)
{
    House house AUTO(house_close);
    house_open(&house, 0);
    events(&house);
    CHECK_INT(land(&house), 7);
    ASK(&house, "DELETE FROM bronze.objects", "FORBIDDEN");
    ASK(&house, "INSERT INTO bronze.objects (sequence) VALUES (1)", "FORBIDDEN");
    ASK(&house, "DROP TABLE bronze.objects", "FORBIDDEN");
    ASK(&house, "ALTER TABLE bronze.objects ADD COLUMN x int", "FORBIDDEN");
    ASK(&house, "CREATE OR REPLACE TABLE bronze.objects AS SELECT 1 AS x", "FORBIDDEN");
    put(&house, "users", "late", "1");
    TableVersion *version AUTO(table_version_free) = NULL;
    CHECK_OK(catalog_load(house.catalog, STR("bronze"), STR("objects"), &version, &house.err), &house.err);
    Str travel = str_format(&house.arena, "SELECT count(*) FROM bronze.objects FOR VERSION AS OF %lld%c",
                            (long long)table_version_metadata(version)->current_snapshot_id, 0);
    CHECK_STR(ask(&house, travel.ptr), STR("7")); /* as it was: without the tail */
    ASK(&house, "SELECT count(*) FROM bronze.objects a JOIN bronze.objects b USING (sequence)", "8");
}

TEST(landing_wakes_by_itself)
{
    House house AUTO(house_close);
    house_open(&house, 0);
    CHECK_OK(landing_start(house.landing, &house.err), &house.err);
    events(&house);
    uint64_t newest = store_sequence(house.store);
    for (uint64_t at = 0; landing_state(house.landing).rows < 7;) { /* each commit moves the sequence */
        at = store_sequence(house.store);
        CHECK(store_feed_wait(house.store, at, 20000000, NULL) || landing_state(house.landing).rows == 7);
    }
    CHECK(store_sequence(house.store) > newest);
    ASK(&house, EVENTS, ALL_EVENTS);
}
