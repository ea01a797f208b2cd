#include "sql/compact.h"

#include "os/thread.h"
#include "sql/sql_fixture.h"
#include "store/store.h"
#include "table/catalog.h"
#include "table/scan.h"

#include <stdio.h>

static const CompactRule RULE = { .small_bytes = 1 << 20, .target_bytes = 8 << 20, .files_min = 3 };

static size_t files_of(Lake *lake, const char *name)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    DataFile *files;
    size_t count = 0;
    Err err;
    CHECK_OK(catalog_load(lake_catalog(lake), STR("n"), str_z(name), &version, &err), &err);
    CHECK_OK(table_files(version, 0, lake_arena(lake), &files, &count, &err), &err);
    return count;
}

static SqlCompacted compacted(Lake *lake, const char *name)
{
    Err err;
    SqlCompacted done = { 0 };
    SqlCompact compact = { .ns = STR("n"), .name = str_z(name), .rule = RULE };
    CHECK_OK(sql_compact(lake_sql(lake), &compact, &done, &err), &err);
    return done;
}

static void insert(Lake *lake, int i)
{
    char text[300];
    snprintf(text, sizeof text,
             "INSERT INTO n.t SELECT i, 'n' || i, DATE '2026-01-01' + (i %% 2)::INTEGER, "
             "CASE WHEN i %% 3 = 0 THEN NULL ELSE 'nan'::DOUBLE END FROM range(%d, %d) r(i)",
             i * 10, i * 10 + 10);
    lake_rows(lake, text);
}

static Lake *lake_with_rows(int inserts)
{
    Lake *lake = lake_new();
    lake_rows(lake, "CREATE NAMESPACE n");
    lake_rows(lake, "CREATE TABLE n.t (id BIGINT, name VARCHAR, day DATE, x DOUBLE) PARTITIONED BY (day)");
    for (int i = 0; i < inserts; i++)
        insert(lake, i);
    return lake;
}

static const char *const ALL = "SELECT id, name, day, x FROM n.t ORDER BY id";

TEST(compact_keeps_every_row_in_its_partition)
{
    Lake *lake AUTO(lake_free) = lake_with_rows(5);
    Str before = lake_rows(lake, ALL);
    CHECK_INT(files_of(lake, "t"), 10);
    SqlCompacted done = compacted(lake, "t");
    CHECK_INT(done.commits, 2);
    CHECK_INT(done.files_before, 10);
    CHECK_INT(done.files_after, 2);
    CHECK_INT(done.rows, 50);
    CHECK_INT(files_of(lake, "t"), 2);
    CHECK_STR(lake_rows(lake, ALL), before);
    CHECK_STR(lake_rows(lake, "SELECT count(*) FROM n.t WHERE day = DATE '2026-01-02'"), STR("25"));
    CHECK_INT(compacted(lake, "t").commits, 0);
}

TEST(compact_fills_columns_that_came_later)
{
    Lake *lake AUTO(lake_free) = lake_with_rows(3);
    lake_rows(lake, "ALTER TABLE n.t ADD COLUMN extra VARCHAR");
    lake_rows(lake, "ALTER TABLE n.t RENAME COLUMN name TO label");
    lake_rows(lake, "INSERT INTO n.t VALUES (100, 'l', DATE '2026-01-01', 1.5, 'e')");
    const char *all = "SELECT id, label, day, x, extra FROM n.t ORDER BY id";
    Str before = lake_rows(lake, all);
    CHECK_INT(compacted(lake, "t").commits, 2);
    CHECK_STR(lake_rows(lake, all), before);
}

TEST(compact_stops_and_refuses)
{
    Lake *lake AUTO(lake_free) = lake_with_rows(4);
    Err err;
    bool stop = true;
    SqlCompacted done;
    SqlCompact compact = { .ns = STR("n"), .name = STR("t"), .rule = RULE, .stop = &stop };
    CHECK_OK(sql_compact(lake_sql(lake), &compact, &done, &err), &err);
    CHECK_INT(files_of(lake, "t"), 8);
    compact.name = STR("nothing");
    compact.stop = NULL;
    CHECK_CODE(sql_compact(lake_sql(lake), &compact, &done, &err), E_NOT_FOUND);
    lake_rows(lake, "CREATE VIEW n.v AS SELECT 1 AS one");
    compact.name = STR("v");
    CHECK_CODE(sql_compact(lake_sql(lake), &compact, &done, &err), E_INVALID);
}

typedef struct Writer {
    Lake *lake;
    Thread thread;
} Writer;

static void *inserts(void *arg)
{
    for (int i = 4; i < 24; i++) {
        SqlRequest request = { .text = STR("INSERT INTO n.t SELECT 1000 + i, 'w', DATE '2026-01-01', 1 FROM range(2) r(i)") };
        SqlResult *result AUTO(sql_result_free) = NULL;
        Err err;
        CHECK_OK(sql_query(lake_sql(((Writer *)arg)->lake), &request, &result, &err), &err);
    }
    return NULL;
}

/* Rewrites beside appends: no row is lost, none is there twice. */
TEST(compact_beside_writers_loses_nothing)
{
    Lake *lake AUTO(lake_free) = lake_with_rows(4);
    Writer writer = { .lake = lake };
    Err err;
    CHECK_OK(thread_start(&writer.thread, "writer", inserts, &writer, &err), &err);
    size_t commits = 0;
    for (int i = 0; i < 20; i++)
        commits += compacted(lake, "t").commits;
    thread_join(&writer.thread);
    commits += compacted(lake, "t").commits;
    CHECK(commits > 0);
    CHECK_STR(lake_rows(lake, "SELECT count(*), count(DISTINCT id) FROM n.t WHERE id < 1000"), STR("40,40"));
    CHECK_STR(lake_rows(lake, "SELECT count(*), count(DISTINCT id) FROM n.t WHERE id >= 1000"), STR("40,2"));
    CHECK(files_of(lake, "t") < 10);
}
