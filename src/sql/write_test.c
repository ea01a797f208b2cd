/* Covers write.c, transform_sql.c and the sink of files.c. */
#include "sql/write.h"

#include "base/test.h"
#include "format/arrow.h"
#include "sql/files.h"
#include "sql/transform_sql.h"

#include <string.h>

typedef struct Rig {
    Store *store;
    Engine *engine;
    Arena arena;
    Err err;
    WriteJob job;
    DataFile *files;
    size_t count;
    WriteStats stats;
} Rig;

static void rig_open(Rig *rig)
{
    memset(rig, 0, sizeof *rig);
    err_clear(&rig->err);
    StoreOptions store = { .backend = "memory", .index = "memory", .dir = test_dir() };
    CHECK_OK(store_open(os_real(), &store, &rig->store, &rig->err), &rig->err);
    CHECK_OK(store_bucket_create(rig->store, STR("lake"), &rig->err), &rig->err);
    EngineOptions options = { .os = os_real(), .files = store_files(rig->store) };
    options.pools[ENGINE_INGEST].threads = options.pools[ENGINE_COMPACTION].threads = 2;
    CHECK_OK(engine_open(&options, &rig->engine, &rig->err), &rig->err);
    rig->job =
        (WriteJob){ .os = os_real(), .store = rig->store, .location = STR("s3://lake/gold/t") };
}

static void rig_close(Rig *rig)
{
    engine_close(&rig->engine);
    store_free(&rig->store);
    arena_done(&rig->arena);
}

static IceSchema *schema_of(Rig *rig, const char *const (*columns)[2], size_t count)
{
    IceSchema *schema = arena_new(&rig->arena, IceSchema);
    schema->fields = arena_array(&rig->arena, IceField, count);
    schema->field_count = count;
    for (size_t i = 0; i < count; i++) {
        schema->fields[i].name = str_z(columns[i][0]);
        CHECK_OK(ice_type_from_sql(&rig->arena, str_z(columns[i][1]), &schema->fields[i].type,
                                   &rig->err),
                 &rig->err);
    }
    int32_t last_id = 0;
    CHECK_OK(ice_schema_assign_ids(&rig->arena, schema, &last_id, &rig->err), &rig->err);
    return schema;
}

static Code run(Rig *rig, const char *select)
{
    err_clear(&rig->err);
    rig->job.select.text = str_z(select);
    rig->count = 0;
    return write_run(rig->engine, ENGINE_INGEST, &rig->job, &rig->arena, &rig->files, &rig->count,
                     &rig->stats, &rig->err);
}

/* The first row of a query as text; %s in it becomes the list of the written files. */
static Str ask(Rig *rig, const char *before, const char *after)
{
    Buf text AUTO(buf_done), line AUTO(buf_done);
    buf_init(&text, 1 << 20);
    buf_init(&line, 1 << 16);
    buf_format(&text, "%s read_parquet([", before);
    for (size_t i = 0; i < rig->count; i++)
        buf_format(&text, "%s'" STR_FMT "'", i ? "," : "", STR_ARG(rig->files[i].address));
    buf_format(&text, "]) %s", after);
    EngineLease *lease AUTO(engine_return) = NULL;
    CHECK_OK(engine_lease(rig->engine, ENGINE_INTERACTIVE, 0, NULL, &lease, &rig->err), &rig->err);
    EngineQuery query = { .request.text = buf_str(&text) };
    EngineResult *result AUTO(engine_result_free) = NULL;
    CHECK_OK(engine_query(lease, &query, &result, &rig->err), &rig->err);
    ArrowArray array AUTO(arrow_array_done) = { 0 };
    if (result)
        CHECK_OK(engine_result_next(result, &array, &rig->err), &rig->err);
    if (array.release) {
        JsonWriter w = json_writer(&line);
        arrow_put_json_array(&w, engine_result_schema(result), &array, 0);
    }
    return str_copy(&rig->arena, buf_str(&line));
}

static size_t objects_in_lake(Rig *rig)
{
    StoreListPage page = { 0 };
    StoreListQuery list = { .bucket = STR("lake") };
    CHECK_OK(store_list(rig->store, &list, &rig->arena, &page, &rig->err), &rig->err);
    return page.object_count;
}

static const char *const PLAIN[][2] = { { "id", "BIGINT" },
                                        { "name", "VARCHAR" },
                                        { "p", "DECIMAL(9,2)" } };

TEST(write_plain)
{
    Rig rig;
    rig_open(&rig);
    rig.job.schema = schema_of(&rig, PLAIN, 3);
    CHECK_OK(
        run(&rig,
            "select 'n' || range as NAME, range as id from range(300000) -- names in any case"),
        &rig.err);
    CHECK_INT(rig.stats.rows, 300000);
    CHECK_INT(rig.count, rig.stats.files);
    int64_t rows = 0;
    for (size_t i = 0; i < rig.count; i++) {
        rows += rig.files[i].record_count;
        CHECK(str_starts(rig.files[i].address, STR("s3://lake/gold/t/data/")));
        CHECK_INT(rig.files[i].column_count, 3);
        CHECK_INT(rig.files[i].columns[0].field_id, 1);
        CHECK(rig.files[i].split_offset_count > 0);
        CHECK_INT(rig.files[i].columns[2].null_count, rig.files[i].record_count);
    }
    CHECK_INT(rows, 300000);
    CHECK_STR(ask(&rig, "select sum(id)::bigint, count(name), count(p) from", ""),
              STR("[44999850000,300000,0]"));
    ObjectInfo info;
    Str bucket, key;
    CHECK(store_address_parse(rig.files[0].address, &bucket, &key));
    CHECK_OK(store_head(rig.store, bucket, key, &rig.arena, &info, &rig.err), &rig.err);
    CHECK_INT(info.trust, TRUST_OURS);
    CHECK_INT((int64_t)info.size_bytes, rig.files[0].size_bytes);
    /* nothing in, nothing out */
    CHECK_OK(run(&rig, "select 1 as id where false"), &rig.err);
    CHECK_INT(rig.count, 0);
    rig_close(&rig);
}

TEST(files_refuse_unchecked_objects)
{
    Rig rig;
    rig_open(&rig);
    StorePut put = { .bucket = STR("lake"), .key = STR("foreign.parquet") };
    CHECK_OK(store_put(rig.store, &put, STR("PAR1 whatever PAR1"), NULL, &rig.err), &rig.err);
    EngineLease *lease AUTO(engine_return) = NULL;
    CHECK_OK(engine_lease(rig.engine, ENGINE_INTERACTIVE, 0, NULL, &lease, &rig.err), &rig.err);
    EngineQuery query = { .request.text =
                              STR("select * from read_parquet('s3://lake/foreign.parquet')") };
    EngineResult *result AUTO(engine_result_free) = NULL;
    CHECK_CODE(engine_query(lease, &query, &result, &rig.err), E_FORBIDDEN);
    CHECK_STR(str_z(rig.err.place), STR("s3://lake/foreign.parquet"));
    engine_return(&lease);
    rig_close(&rig);
}

TEST(write_refuses)
{
    Rig rig;
    rig_open(&rig);
    IceSchema *schema = schema_of(&rig, PLAIN, 3);
    schema->fields[1].required = true;
    rig.job.schema = schema;
    CHECK_CODE(run(&rig, "select 1 as id, 'x' as nam"), E_INVALID);
    CHECK_STR(str_z(rig.err.hint), STR("did you mean name?"));
    CHECK_CODE(run(&rig, "select 'x' as id, 'y' as name"), E_TYPE);
    CHECK_CODE(run(&rig, "select 1 as id"), E_INVALID);
    CHECK(str_find(str_z(rig.err.text), STR("the column name is NOT NULL")) >= 0);
    CHECK_CODE(run(&rig, "select 1 as id, nullif(range, 999)::varchar as name from range(5000)"),
               E_INVALID);
    CHECK_CODE(run(&rig, "select 1 as id, 'x' as name, nope as p"), E_INVALID);
    CHECK_INT(rig.err.position, 29);
    CHECK_CODE(run(&rig, "select 1 as id, 'x' as name) x; drop table y; --"), E_SYNTAX);
    CHECK_OK(run(&rig, "select 1 as id, 'x' as name, 2.5 as p"), &rig.err);
    rig.job.by_position = true;
    CHECK_CODE(run(&rig, "select 1, 'a', 3, 4"), E_INVALID);
    CHECK_OK(run(&rig, "select 1, 'a'"), &rig.err);
    CHECK_INT(objects_in_lake(&rig), 2); /* of the two that were written */
    rig_close(&rig);
}

TEST(write_nested_ids)
{
    Rig rig;
    rig_open(&rig);
    static const char *const nested[][2] = { { "s", "STRUCT(a INTEGER, \"b c\" VARCHAR[])" },
                                             { "m", "MAP(VARCHAR, BIGINT)" },
                                             { "u", "UUID" },
                                             { "t", "TIMESTAMP WITH TIME ZONE" } };
    rig.job.schema = schema_of(&rig, nested, 4);
    CHECK_OK(
        run(&rig,
            "select {'a': 1, 'b c': ['x']} as s, map {'k': 2} as m, "
            "'00000000-0000-0000-0000-000000000001'::uuid as u, timestamptz '2024-01-01' as t"),
        &rig.err);
    CHECK_INT(rig.count, 1);
    CHECK_INT(rig.files[0].column_count, 6); /* leaves: a, b c's element, key, value, u, t */
    CHECK_STR(ask(&rig, "select s.a, s.\"b c\"[1], m['k'], u::varchar from", ""),
              STR("[1,\"x\",2,\"00000000-0000-0000-0000-000000000001\"]"));
    rig_close(&rig);
}

TEST(write_partitions)
{
    Rig rig;
    rig_open(&rig);
    static const char *const columns[][2] = { { "id", "BIGINT" },
                                              { "ts", "TIMESTAMP" },
                                              { "k", "VARCHAR" } };
    rig.job.schema = schema_of(&rig, columns, 3);
    IcePartitionField fields[] = {
        { .source_id = 2,
          .field_id = 1000,
          .name = STR("ts_day"),
          .transform = { TRANSFORM_DAY, 0 } },
        { .source_id = 1,
          .field_id = 1001,
          .name = STR("id_b"),
          .transform = { TRANSFORM_BUCKET, 4 } },
        { .source_id = 3,
          .field_id = 1002,
          .name = STR("k"),
          .transform = { TRANSFORM_IDENTITY, 0 } },
    };
    IcePartitionSpec spec = { .id = 7, .fields = fields, .field_count = 3 };
    rig.job.spec = &spec;
    CHECK_OK(
        run(&rig,
            "select range as id, timestamp '1969-12-31 12:00:00' + to_hours(range % 48) as ts, "
            "case when range % 2 = 0 then 'a/b=c' end as k from range(10000)"),
        &rig.err);
    CHECK_INT(rig.stats.rows, 10000);
    bool seen_before = false, seen_null = false;
    for (size_t i = 0; i < rig.count; i++) {
        DataFile *f = &rig.files[i];
        CHECK_INT(f->spec_id, 7);
        CHECK_INT(f->partition_count, 3);
        seen_before = seen_before || f->partition[0].number == -1;
        seen_null = seen_null || !f->partition[2].present;
        CHECK(f->partition[1].number >= 0 && f->partition[1].number < 4);
        if (f->partition[2].present)
            CHECK_STR(f->partition[2].bytes, STR("a/b=c"));
    }
    CHECK(seen_before && seen_null);
    CHECK_STR(ask(&rig, "select count(*), count(k), sum(id)::bigint from", ""),
              STR("[10000,5000,49995000]"));
    CHECK_STR(ask(&rig,
                  "select count(distinct (filename, ts::date)) - count(distinct filename) from",
                  ""),
              STR("[0]")); /* one day a file */
    rig_close(&rig);
}

TEST(write_sorted)
{
    Rig rig;
    rig_open(&rig);
    rig.job.schema = schema_of(&rig, PLAIN, 3);
    IceSortField by = { .source_id = 1, .descending = true, .nulls_last = true };
    IceSortOrder sort = { .id = 3, .fields = &by, .field_count = 1 };
    rig.job.sort = &sort;
    rig.job.row_group_rows = 20480;
    CHECK_OK(run(&rig, "select (range * 7919) % 100003 as id from range(200000)"), &rig.err);
    for (size_t i = 0; i < rig.count; i++)
        CHECK_INT(rig.files[i].sort_order_id, 3);
    CHECK_STR(ask(&rig,
                  "select count(*) from (select id, lag(id) over (partition by filename order by "
                  "file_row_number) as before from",
                  ") where before < id"),
              STR("[0]"));
    CHECK(rig.files[0].split_offset_count > 3);
    /* also within partitions */
    IcePartitionField field = {
        .source_id = 1, .field_id = 1000, .name = STR("p"), .transform = { TRANSFORM_BUCKET, 3 }
    };
    IcePartitionSpec spec = { .id = 1, .fields = &field, .field_count = 1 };
    rig.job.spec = &spec;
    CHECK_OK(run(&rig, "select (range * 7919) % 100003 as id from range(200000)"), &rig.err);
    CHECK(rig.count >= 3);
    CHECK_STR(ask(&rig,
                  "select count(*) from (select id, lag(id) over (partition by filename order by "
                  "file_row_number) as before from",
                  ") where before < id"),
              STR("[0]"));
    rig_close(&rig);
}

TEST(write_rolls_files)
{
    Rig rig;
    rig_open(&rig);
    rig.job.schema = schema_of(&rig, PLAIN, 3);
    rig.job.row_group_rows = 20480;
    rig.job.file_bytes = 300000;
    CHECK_OK(run(&rig, "select range as id, hash(range)::varchar as name from range(200000)"),
             &rig.err);
    CHECK(rig.count >= 4);
    CHECK_STR(ask(&rig, "select count(distinct id) from", ""), STR("[200000]"));
    rig_close(&rig);
}

/* SQL's transforms and the table's give the same of the same values. */
TEST(write_transforms_agree)
{
    static const struct {
        const char *type, *values;
        IceTransform transform;
    } rows[] = {
        { "INTEGER", "(0),(1),(-1),(34),(2147483647),(-2147483648)", { TRANSFORM_BUCKET, 16 } },
        { "BIGINT", "(0),(-1),(34),(9223372036854775807)", { TRANSFORM_BUCKET, 7 } },
        { "INTEGER", "(0),(9),(10),(-1),(-10),(-11)", { TRANSFORM_TRUNCATE, 10 } },
        { "BIGINT", "(5000000000),(-5000000001),(0)", { TRANSFORM_TRUNCATE, 1000 } },
        { "VARCHAR", "('iceberg'),(''),('äöüß€𝄞x'),('abc')", { TRANSFORM_TRUNCATE, 3 } },
        { "VARCHAR", "('iceberg'),(''),('äöüß€𝄞x')", { TRANSFORM_BUCKET, 100 } },
        { "DATE",
          "('1970-01-01'),('1969-12-31'),('2017-11-16'),('0001-01-01'),('9999-12-31')",
          { TRANSFORM_YEAR, 0 } },
        { "DATE",
          "('1970-01-01'),('1969-12-31'),('2017-11-16'),('1969-01-15')",
          { TRANSFORM_MONTH, 0 } },
        { "DATE", "('1970-01-01'),('1969-12-31'),('2017-11-16')", { TRANSFORM_DAY, 0 } },
        { "DATE", "('1970-01-01'),('2017-11-16')", { TRANSFORM_BUCKET, 16 } },
        { "TIMESTAMP",
          "('1969-12-31 23:59:59.999999'),('2017-11-16 22:31:08'),('1970-01-01')",
          { TRANSFORM_HOUR, 0 } },
        { "TIMESTAMP",
          "('1969-12-31 23:59:59.999999'),('2017-11-16 22:31:08')",
          { TRANSFORM_DAY, 0 } },
        { "TIMESTAMP",
          "('1969-12-31 23:59:59.999999'),('2017-11-16 22:31:08')",
          { TRANSFORM_MONTH, 0 } },
        { "TIMESTAMP",
          "('1969-12-31 23:59:59.999999'),('2017-11-16 22:31:08')",
          { TRANSFORM_YEAR, 0 } },
        { "TIMESTAMP",
          "('1969-12-31 23:59:59.999999'),('2017-11-16 22:31:08')",
          { TRANSFORM_BUCKET, 16 } },
        { "TIMESTAMP WITH TIME ZONE",
          "('1969-12-31 23:30:00-02'),('2017-11-16 22:31:08+05')",
          { TRANSFORM_HOUR, 0 } },
        { "TIMESTAMP WITH TIME ZONE",
          "('1969-12-31 23:30:00-02'),('2017-11-16 22:31:08+05')",
          { TRANSFORM_DAY, 0 } },
        { "DECIMAL(9,2)", "(14.20),(-0.01),(0)", { TRANSFORM_BUCKET, 16 } },
        { "DECIMAL(38,4)",
          "(14.2000),(-123456789012345678901234567890.1234)",
          { TRANSFORM_BUCKET, 16 } },
        { "DECIMAL(9,2)", "(14.20),(-0.01),(0)", { TRANSFORM_IDENTITY, 0 } },
        { "UUID", "('f79c3e09-677c-4bbd-a479-3f349cb785e7')", { TRANSFORM_BUCKET, 16 } },
        { "UUID", "('f79c3e09-677c-4bbd-a479-3f349cb785e7')", { TRANSFORM_IDENTITY, 0 } },
        { "TIME", "('22:31:08'),('00:00:00')", { TRANSFORM_BUCKET, 16 } },
        { "TIME", "('22:31:08.000001')", { TRANSFORM_IDENTITY, 0 } },
        { "BLOB", "('\\x00\\x01\\x02\\x03')", { TRANSFORM_BUCKET, 16 } },
        { "BLOB", "('\\x00\\xFF')", { TRANSFORM_IDENTITY, 0 } },
        { "BOOLEAN", "(true),(false)", { TRANSFORM_IDENTITY, 0 } },
        { "DOUBLE", "(0.1),(-1e300),(1e-7)", { TRANSFORM_IDENTITY, 0 } },
        { "FLOAT", "(0.1),(-1.5)", { TRANSFORM_IDENTITY, 0 } },
    };
    Rig rig;
    rig_open(&rig);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *columns[1][2] = { { "v", rows[i].type } };
        rig.job.schema = schema_of(&rig, columns, 1);
        const IceType *type = rig.job.schema->fields[0].type;
        IcePartitionField field = {
            .source_id = 1, .field_id = 1000, .name = STR("p"), .transform = rows[i].transform
        };
        IcePartitionSpec spec = { .id = 1, .fields = &field, .field_count = 1 };
        rig.job.spec = &spec;
        Str select = str_format(&rig.arena, "select v::%s as v from (values %s) t(v)", rows[i].type,
                                rows[i].values);
        CHECK_OK(run(&rig, str_copy_z(&rig.arena, select)), &rig.err);
        const IceType *result = NULL;
        CHECK_OK(ice_transform_type(rows[i].transform, type, &result, &rig.err), &rig.err);
        /* each file has one partition value; the bounds of a file of one value are that value */
        for (size_t f = 0; f < rig.count; f++) {
            DataFile *file = &rig.files[f];
            IceValue lower, wanted = ICE_NULL;
            if (file->record_count != 1 || !file->columns[0].lower.ptr)
                continue;
            CHECK_OK(ice_value_decode(type, file->columns[0].lower, &lower, &rig.err), &rig.err);
            CHECK_OK(ice_transform_apply(rows[i].transform, type, &lower, &wanted, &rig.err),
                     &rig.err);
            CHECK(file->partition[0].present && wanted.present);
            if (ice_value_compare(result, &file->partition[0], &wanted) != 0)
                test_failed(__FILE__, __LINE__,
                            "%s %s: '" STR_FMT "', the table says '" STR_FMT "'", rows[i].type,
                            rows[i].values,
                            STR_ARG(ice_value_format(&rig.arena, result, &file->partition[0])),
                            STR_ARG(ice_value_format(&rig.arena, result, &wanted)));
        }
        CHECK(rig.count > 0);
    }
    rig_close(&rig);
}
