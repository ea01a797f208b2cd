/* Objects of the lake as tables of a statement: read_csv, read_json, source. */
#include "sql/sql_fixture.h"

#include "store/store.h"

static void put(Lake *lake, const char *bucket, const char *key, const char *text)
{
    Err err;
    bool there = false;
    CHECK_OK(store_bucket_exists(lake_store(lake), str_z(bucket), &there, &err), &err);
    if (!there)
        CHECK_OK(store_bucket_create(lake_store(lake), str_z(bucket), &err), &err);
    StorePut put = { .bucket = str_z(bucket), .key = str_z(key) };
    CHECK_OK(store_put(lake_store(lake), &put, str_z(text), NULL, &err), &err);
}

TEST(sql_reads_objects)
{
    Lake *lake AUTO(lake_free) = lake_new();
    put(lake, "raw", "a.csv", "id,name\n1,one\n2,two\n");
    put(lake, "raw", "b.csv", "id,name\n3,three\n");
    put(lake, "raw", "c.json",
        "{\"id\": 7, \"tags\": [\"x\", \"y\"]}\n{\"id\": 8, \"tags\": []}\n");
    CHECK_STR(lake_rows(lake, "select sum(id), max(name) from read_csv('s3://raw/a.csv')"),
              STR("3,two"));
    CHECK_STR(lake_rows(lake, "select r.name from read_csv('s3://raw/a.csv') r where r.id = 2"),
              STR("two"));
    CHECK_STR(lake_rows(lake, "select read_csv.id from read_csv('s3://raw/a.csv') order by 1"),
              STR("1\n2"));
    CHECK_STR(
        lake_rows(lake,
                  "select b from read_csv('s3://raw/a.csv', header := true) t(a, b) where a = 1"),
        STR("one"));
    CHECK_STR(
        lake_rows(lake,
                  "select count(*), sum(id) from read_csv(['s3://raw/a.csv', 's3://raw/b.csv'])"),
        STR("3,6"));
    CHECK_STR(lake_rows(lake, "select id, len(tags) from read_json('s3://raw/c.json') order by id"),
              STR("7,2\n8,0"));
    CHECK_STR(lake_rows(lake, "select a.name, b.name from read_csv('s3://raw/a.csv') a join "
                              "read_csv('s3://raw/b.csv') b on b.id = a.id + 1"),
              STR("two,three"));
    lake_rows(lake, "create namespace bronze");
    CHECK_STR(lake_rows(lake, "create table bronze.c as select * from read_csv('s3://raw/a.csv')"),
              STR("CREATE TABLE AS,2"));
    CHECK_STR(lake_rows(lake, "insert into bronze.c select * from read_csv('s3://raw/b.csv')"),
              STR("INSERT,1"));
    CHECK_STR(lake_rows(lake, "select count(*) from bronze.c"), STR("3"));
    CHECK_STR(
        lake_rows(lake,
                  "describe select * from read_csv('s3://raw/a.csv', columns := {'id': 'INTEGER', "
                  "'name': 'VARCHAR'})")
                    .len > 0
            ? STR("y")
            : STR("n"),
        STR("y"));
}

static Code one_object(void *self, Str source, Str name, bool all, Arena *arena,
                       Str **ret_addresses, size_t *ret_count, Err *err)
{
    (void)self, (void)all, (void)err;
    *ret_addresses = arena_array(arena, Str, 1);
    (*ret_addresses)[0] =
        str_format(arena, "s3://" STR_FMT "/" STR_FMT, STR_ARG(source), STR_ARG(name));
    *ret_count = 1;
    return E_OK;
}

TEST(sql_reads_sources)
{
    Lake *lake AUTO(lake_free) = lake_new();
    put(lake, "skies", "airports.csv", "iata,name\nZRH,Zurich\nBRN,\n");
    Err err;
    Str rows;
    SqlRequest request = { .text = STR(
                               "select a.iata, s from source('skies', 'airports.csv') a, (select "
                               "count(*) s from source('skies', 'airports.csv')) order by 1"),
                           .source_resolve = one_object };
    CHECK_OK(lake_query(lake, &request, &rows, &err), &err);
    CHECK_STR(rows, STR("BRN,2\nZRH,2"));
    request.text =
        STR("select _row, name is null as n from source('skies', 'airports.csv', as_text := true)");
    CHECK_OK(lake_query(lake, &request, &rows, &err), &err);
    CHECK_INT(rows.len > 0, 1);
    request.text = STR("select nme from source('skies', 'airports.csv')");
    CHECK_CODE(lake_query(lake, &request, &rows, &err), E_NOT_FOUND);
    CHECK_INT(err.position, 7);
}

/* The address of the one data file of a table. */
static const char *data_file(Lake *lake)
{
    Err err;
    StoreListPage page;
    StoreListQuery query = { .bucket = STR("lake") };
    CHECK_OK(store_list(lake_store(lake), &query, lake_arena(lake), &page, &err), &err);
    for (size_t i = 0; i < page.object_count; i++)
        if (str_ends(page.objects[i].key, STR(".parquet")))
            return str_format(lake_arena(lake), "s3://lake/" STR_FMT,
                              STR_ARG(page.objects[i].key)).ptr;
    return "";
}

TEST(sql_conditions_on_objects_are_those_on_tables)
{
    static const char *const conditions[] = {
        "i > 3",
        "not (i > 3)",
        "not (i between 2 and 7) or s is null",
        "coalesce(i = 4, false) and d >= date '2001-01-03'",
        "\"a \"\"q\" <> 'it''s 3'",
        "x = 0.5 or x is null",
        "x > 'nan'::double or x = 'inf'::double",
        "ts < timestamp '2001-01-01 05:00:00' and i is not null",
        "tz >= timestamptz '2001-01-01 02:00:00+00'",
        "i is distinct from 4",
        "i in (1, 2, 9)",
        "i % 2 = 0 and i < 8",
        "s like 'a%' and i < 9",
        "not (i > null)",
        "l = [1] and i < 9",
        "m > -0.125 and b",
    };
    Lake *lake AUTO(lake_free) = lake_new();
    lake_rows(lake, "create namespace silver");
    lake_rows(lake, "create table silver.t as select case when i <> 5 then i end as i,"
                    " date '2001-01-01' + i::integer as d, 'it''s ' || i as \"a \"\"q\","
                    " case when i = 6 then null when i = 7 then 'nan'::double else i / 4 end as x,"
                    " timestamp '2001-01-01' + i * interval 1 hour as ts,"
                    " timestamptz '2001-01-01 00:00:00+00' + i * interval 1 hour as tz,"
                    " case when i % 3 > 0 then 'a' || i end as s, [i] as l,"
                    " ((i - 5) * 0.125)::decimal(9, 3) as m, i % 2 = 0 as b from range(10) r(i)");
    const char *file = data_file(lake);
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
        static const char *const columns = "select count(*), sum(i), min(d), max(ts), count(s)";
        Str ours = str_format(lake_arena(lake), "%s from silver.t where %s", columns,
                              conditions[i]);
        Str raw = str_format(lake_arena(lake), "%s from read_parquet('%s') where %s", columns, file,
                             conditions[i]);
        CHECK_STR(lake_rows(lake, raw.ptr), lake_rows(lake, ours.ptr));
    }
}
