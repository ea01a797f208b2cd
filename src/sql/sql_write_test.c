/* A SELECT into files, files and system tables as names, objects of a source. */
#include "sql/sql_fixture.h"

#include "format/arrow.h"
#include "sql/scan_source.h"
#include "store/store.h"
#include "table/catalog.h"

#include <string.h>

static const IceSchema *schema_of(Lake *lake, const char *select)
{
    IceSchema *schema = NULL;
    Err err;
    SqlRequest request = { .text = str_z(select) };
    CHECK_OK(sql_describe(lake_sql(lake), &request, lake_arena(lake), &schema, &err), &err);
    return schema;
}

TEST(sql_writes_files_that_a_binding_reads)
{
    Lake *lake AUTO(lake_free) = lake_new();
    Err err;
    const char *select = "select i as id, 'n' || i as name from range($n) r(i)";
    SqlParam param = { .name = STR_INIT("n"), .kind = SQL_PARAM_I64, .i64 = 5000 };
    SqlWrite write = { .select = { .text = str_z(select), .params = &param, .param_count = 1 },
                       .schema = schema_of(lake, "select 1::bigint as id, 'x' as name"),
                       .location = STR("s3://lake/stage/a") };
    DataFile *files = NULL;
    size_t count = 0;
    SqlWriteStats stats = { 0 };
    CHECK_OK(sql_write(lake_sql(lake), &write, lake_arena(lake), &files, &count, &stats, &err),
             &err);
    CHECK_INT(stats.rows, 5000);
    CHECK(count >= 1 && stats.bytes > 0);
    SqlBinding binding = { .ns = STR_INIT("stage"),
                           .name = STR_INIT("a"),
                           .schema = write.schema,
                           .files = files,
                           .file_count = count };
    SqlRequest request = { .text = STR("select count(*), sum(id), max(name) from stage.a"),
                           .bindings = &binding,
                           .binding_count = 1 };
    Str rows = STR_NONE;
    CHECK_OK(lake_query(lake, &request, &rows, &err), &err);
    CHECK_STR(rows, STR("5000,12497500,n999"));
    binding.file_count = 0;
    CHECK_OK(lake_query(lake, &request, &rows, &err), &err);
    CHECK_STR(rows, STR("0,,"));
}

TEST(sql_write_matches_columns_by_name)
{
    Lake *lake AUTO(lake_free) = lake_new();
    Err err;
    SqlWrite write = { .select = { .text = STR("select 'x' as name, 1 as extra") },
                       .schema = schema_of(lake, "select 1::bigint as id, 'x' as name"),
                       .location = STR("s3://lake/stage/b") };
    DataFile *files = NULL;
    size_t count = 0;
    SqlWriteStats stats = { 0 };
    CHECK_CODE(sql_write(lake_sql(lake), &write, lake_arena(lake), &files, &count, &stats, &err),
               E_INVALID);
    write.select.text = STR("select 'x' as name");
    CHECK_OK(sql_write(lake_sql(lake), &write, lake_arena(lake), &files, &count, &stats, &err),
             &err);
    CHECK_INT(stats.rows, 1);
    write.select.text = STR("select 'not a number' as id");
    CHECK_CODE(sql_write(lake_sql(lake), &write, lake_arena(lake), &files, &count, &stats, &err),
               E_TYPE);
    write.select.text = STR("select now() as name");
    write.select.refuse_volatile = true;
    CHECK_CODE(sql_write(lake_sql(lake), &write, lake_arena(lake), &files, &count, &stats, &err),
               E_INVALID);
    CHECK_INT(err.position, 7);
}

/* ---- a system table of three rows ---- */

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array)
{
    array->release = NULL;
}

static struct ArrowSchema column_schema;
static struct ArrowSchema *schema_children[] = { &column_schema };

static Code three_schema(void *self, struct ArrowSchema *ret_schema, Err *err)
{
    (void)self, (void)err;
    column_schema = (struct ArrowSchema){ .format = "l", .name = "n", .release = release_schema };
    *ret_schema = (struct ArrowSchema){ .format = "+s",
                                        .name = "",
                                        .n_children = 1,
                                        .children = schema_children,
                                        .release = release_schema };
    return E_OK;
}

static int three_opened; /* each opening is a run */

static Code three_open(void *self, const struct ScanQuery *query, void **ret_scan, Err *err)
{
    (void)self, (void)err;
    CHECK_INT(query->column_count, 1);
    three_opened++;
    int *left = mem_new(sizeof *left);
    *left = 1;
    *ret_scan = left;
    return E_OK;
}

static const int64_t THREE[] = { 10, 20, 30 };
static const void *column_buffers[] = { NULL, THREE };
static const void *no_buffers[] = { NULL };
static struct ArrowArray column_array;
static struct ArrowArray *array_children[] = { &column_array };

static Code three_next(void *scan, struct ArrowArray *ret_array, Err *err)
{
    (void)err;
    int *left = scan;
    *ret_array = (struct ArrowArray){ 0 };
    if ((*left)-- <= 0)
        return E_OK;
    column_array = (struct ArrowArray){
        .length = 3, .n_buffers = 2, .buffers = column_buffers, .release = release_array
    };
    *ret_array = (struct ArrowArray){ .length = 3,
                                      .n_buffers = 1,
                                      .buffers = no_buffers,
                                      .n_children = 1,
                                      .children = array_children,
                                      .release = release_array };
    return E_OK;
}

static void three_close(void *scan)
{
    mem_free(&scan);
}

TEST(sql_reads_system_tables)
{
    Lake *lake AUTO(lake_free) = lake_new();
    static const ScanSource THREE_ROWS = {
        .schema = three_schema, .open = three_open, .next = three_next, .close = three_close
    };
    Err err;
    CHECK_OK(sql_register_source(lake_sql(lake), STR("tarn"), STR("three"), &THREE_ROWS, &err),
             &err);
    CHECK_CODE(sql_register_source(lake_sql(lake), STR("tarn"), STR("THREE"), &THREE_ROWS, &err),
               E_EXISTS);
    CHECK_STR(lake_rows(lake, "select sum(n), count(*) from tarn.three where n > 10"), STR("50,2"));
    CHECK_STR(lake_rows(lake,
                        "select a.n, tarn.three.n from tarn.three, tarn.three a where a.n = 30 and "
                        "tarn.three.n = 10"),
              STR("30,10"));
    CHECK_STR(lake_rows(lake, "show tables from tarn"), STR("tarn,three,system table"));
    CHECK_STR(lake_rows(lake, "describe tarn.three"), STR("n,BIGINT"));
    CHECK_STR(
        lake_rows(lake,
                  "select data_type from information_schema.columns where table_name = 'three'"),
        STR("BIGINT"));
    CHECK_CODE(lake_error(lake, "select * from tarn.tree", &err), E_NOT_FOUND);
    CHECK_STR(str_z(err.hint), STR("did you mean tarn.three?"));
    CHECK_CODE(lake_error(lake, "insert into tarn.three values (1)", &err), E_FORBIDDEN);
}

static Code no_source(void *self, Str source, Str name, bool all, Arena *arena, Str **ret_addresses,
                      size_t *ret_count, Err *err)
{
    (void)arena, (void)ret_addresses, (void)ret_count;
    *(bool *)self = all;
    return err_set(err, E_NOT_FOUND, "no file " STR_FMT " of " STR_FMT, STR_ARG(name),
                   STR_ARG(source));
}

TEST(sql_asks_for_the_objects_of_a_source)
{
    Lake *lake AUTO(lake_free) = lake_new();
    bool all = false;
    Str rows;
    Err err;
    SqlRequest request = { .text = STR("select * from source('skies', 'a.csv', all := true)") };
    CHECK_CODE(lake_query(lake, &request, &rows, &err), E_UNSUPPORTED);
    CHECK_INT(err.position, 14);
    request.source_resolve = no_source;
    request.source_self = &all;
    CHECK_CODE(lake_query(lake, &request, &rows, &err), E_NOT_FOUND);
    CHECK(all);
    CHECK_INT(err.position, 14);
    CHECK_STR(str_z(err.text), STR("no file a.csv of skies"));
    CHECK_CODE(lake_error(lake, "select * from read_csv('s3://nowhere/x.csv')", &err), E_NOT_FOUND);
    CHECK_INT(err.position, 14);
    CHECK_CODE(lake_error(lake, "select * from read_csv('s3://b/x.csv', weird := 1)", &err),
               E_INVALID);
}

TEST(sql_staged_files_are_read_by_their_run)
{
    Lake *lake AUTO(lake_free) = lake_new();
    lake_rows(lake, "create namespace g");
    lake_rows(lake, "create table g.t as select 1::bigint as id");
    Err err;
    TableVersion *version AUTO(table_version_free) = NULL;
    CHECK_OK(catalog_load(lake_catalog(lake), STR("g"), STR("t"), &version, &err), &err);
    if (version == NULL)
        return;
    const TableMetadata *metadata = table_version_metadata(version);
    SqlWrite write = { .select = { .text = STR("select i as id from range(7) r(i)") },
                       .schema = table_schema_current(metadata),
                       .location = metadata->location,
                       .metadata = metadata,
                       .table = metadata->uuid,
                       .run_id = STR("r7") };
    DataFile *files = NULL;
    size_t count = 0;
    SqlWriteStats stats = { 0 };
    CHECK_OK(sql_write(lake_sql(lake), &write, lake_arena(lake), &files, &count, &stats, &err),
             &err);
    CHECK_STR(lake_rows(lake, "select count(*) from g.t"), STR("1"));
    CHECK_STR(lake_rows(lake, "select count(*), max(id) from g.t for version as of 'run:r7'"),
              STR("7,6"));
}

TEST(sql_not_null_columns_are_kept)
{
    Lake *lake AUTO(lake_free) = lake_new();
    lake_rows(lake, "create namespace g");
    lake_rows(lake, "create table g.t (id bigint not null, name varchar)");
    Err err;
    CHECK_CODE(lake_error(lake, "insert into g.t values (1, 'a'), (null, 'b')", &err), E_INVALID);
    CHECK_CODE(lake_error(lake, "insert into g.t (name) values ('b')", &err), E_INVALID);
    CHECK_STR(lake_rows(lake, "select count(*) from g.t"), STR("0"));
    CHECK_STR(lake_rows(lake, "insert into g.t values (1, null)"), STR("INSERT,1"));
}

TEST(sql_bounds_of_files_leave_every_row_in)
{
    Lake *lake AUTO(lake_free) = lake_new();
    Str rows = lake_rows(lake, "create namespace silver");
    rows = lake_rows(lake, "create table silver.t as select i::integer - 5 as i,"
                           " date '1969-12-30' + i::integer as d,"
                           " ((i - 5) * 0.125)::decimal(18, 3) as x,"
                           " case when i > 2 then i end as n, null::bigint as e,"
                           " timestamp '1969-12-31 23:59:59' + i * interval 1 second as ts"
                           " from range(10) r(i)");
    rows = lake_rows(lake, "insert into silver.t select 2000000000, date '2100-01-01', 1e9, null,"
                           " 7, timestamp '2100-01-01'");
    rows = lake_rows(lake, "select count(*), count(n), count(e), min(i), max(i), min(d), max(x)"
                           " from silver.t");
    CHECK_STR(rows, STR("11,7,1,-5,2000000000,1969-12-30,1000000000.000"));
    CHECK_STR(lake_rows(lake, "select count(*) from silver.t where n is null"), STR("4"));
    rows = lake_rows(lake, "select count(*) from silver.t where x < 0 and d <= date '1970-01-03'");
    CHECK_STR(rows, STR("5"));
    rows = lake_rows(lake, "select i from silver.t where ts < timestamp '1970-01-01'");
    CHECK_STR(rows, STR("-5"));
    rows = lake_rows(lake, "alter table silver.t rename column n to e2");
    rows = lake_rows(lake, "alter table silver.t rename column e to n");
    rows = lake_rows(lake, "alter table silver.t alter column i set data type bigint");
    rows = lake_rows(lake, "insert into silver.t (i, d) values (5000000000, null)");
    CHECK_STR(lake_rows(lake, "select count(*), count(n), count(e2), max(i), min(n) from silver.t"),
              STR("12,1,7,5000000000,7"));
    rows = lake_rows(lake, "select count(*) from silver.t a join silver.t b on a.i = b.i");
    CHECK_STR(rows, STR("12"));
}

TEST(sql_files_of_tables_are_named_by_texts_of_ours_only)
{
    Lake *lake AUTO(lake_free) = lake_new();
    Err err;
    CHECK_CODE(lake_error(lake, "select * from tarn_parquet(['s3://lake/a'])", &err),
               E_FORBIDDEN);
}

TEST(sql_runs_a_select_into_files_once)
{
    Lake *lake AUTO(lake_free) = lake_new();
    static const ScanSource three = {
        .schema = three_schema, .open = three_open, .next = three_next, .close = three_close
    };
    Err err;
    CHECK_OK(sql_register_source(lake_sql(lake), STR("tarn"), STR("numbers"), &three, &err), &err);
    lake_rows(lake, "create namespace silver");
    three_opened = 0;
    CHECK_INT(schema_of(lake, "select n from tarn.numbers order by 1 limit 2")->field_count, 1);
    CHECK_INT(three_opened, 0);
    CHECK_STR(lake_rows(lake, "create table silver.t as select n from tarn.numbers limit 2"),
              STR("CREATE TABLE AS,2"));
    CHECK_INT(three_opened, 1);
    CHECK_STR(lake_rows(lake, "insert into silver.t select n from tarn.numbers"), STR("INSERT,3"));
    CHECK_INT(three_opened, 2);
}
