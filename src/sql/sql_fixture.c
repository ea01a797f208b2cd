#include "sql/sql_fixture.h"

#include "format/arrow.h"
#include "meta/meta.h"
#include "os/os.h"
#include "store/store.h"
#include "table/catalog.h"

struct Lake {
    Arena arena;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Sql *sql;
};

Lake *lake_new(void)
{
    Lake *lake = mem_new(sizeof *lake);
    Err err;
    const char *dir = test_dir();
    StoreOptions store = { .backend = "memory", .index = "memory", .dir = dir };
    CHECK_OK(store_open(os_real(), &store, &lake->store, &err), &err);
    Str path = str_format(&lake->arena, "%s/tarn.db", dir);
    MetaOptions meta = { .path = str_copy_z(&lake->arena, path) };
    CHECK_OK(meta_open(os_real(), &meta, &lake->meta, &err), &err);
    CatalogOptions catalog = {
        .os = os_real(), .store = lake->store, .meta = lake->meta, .lake_bucket = STR("lake")
    };
    CHECK_OK(catalog_open(&catalog, &lake->catalog, &err), &err);
    SqlOptions sql = { .os = os_real(),
                       .catalog = lake->catalog,
                       .store = lake->store,
                       .threads = 2,
                       .memory_bytes = 512 << 20,
                       .timeout_ms = 60000 };
    CHECK_OK(sql_open(&sql, &lake->sql, &err), &err);
    return lake;
}

void lake_free(Lake **lake)
{
    sql_free(&(*lake)->sql);
    catalog_free(&(*lake)->catalog);
    meta_free(&(*lake)->meta);
    store_free(&(*lake)->store);
    arena_done(&(*lake)->arena);
    mem_free(lake);
}

Sql *lake_sql(Lake *lake)
{
    return lake->sql;
}

Catalog *lake_catalog(Lake *lake)
{
    return lake->catalog;
}

Store *lake_store(Lake *lake)
{
    return lake->store;
}

Arena *lake_arena(Lake *lake)
{
    return &lake->arena;
}

static Code put_rows(SqlResult *result, Buf *rows, Err *err)
{
    for (;;) {
        struct ArrowArray batch = { 0 };
        TRY(sql_result_next(result, &batch, err));
        if (batch.release == NULL)
            return E_OK;
        for (int64_t i = 0; i < batch.length; i++)
            arrow_put_csv_row(rows, sql_result_schema(result), &batch, i);
        batch.release(&batch);
    }
}

Code lake_query(Lake *lake, const SqlRequest *request, Str *ret_rows, Err *err)
{
    err_clear(err);
    SqlResult *result AUTO(sql_result_free) = NULL;
    TRY(sql_query(lake->sql, request, &result, err));
    Buf rows AUTO(buf_done);
    buf_init(&rows, 64 << 20);
    TRY(put_rows(result, &rows, err));
    char *text = arena_copy(&lake->arena, rows.ptr, rows.len);
    size_t len = 0;
    for (size_t i = 0; i < rows.len; i++)
        if (text[i] != '\r')
            text[len++] = text[i];
    *ret_rows = str_trim(str_of(text, len));
    return E_OK;
}

Str lake_rows(Lake *lake, const char *text)
{
    SqlRequest request = { .text = str_z(text), .principal = STR("tester") };
    Str rows = STR_NONE;
    Err err;
    Code code = lake_query(lake, &request, &rows, &err);
    if (code != E_OK)
        test_failed(__FILE__, __LINE__, "%s gave %s: %s [%s] at %lld", text, code_info(code)->name,
                    err.text, err.hint, (long long)err.position);
    return rows;
}

Code lake_error(Lake *lake, const char *text, Err *ret_err)
{
    SqlRequest request = { .text = str_z(text) };
    Str rows = STR_NONE;
    Code code = lake_query(lake, &request, &rows, ret_err);
    if (code == E_OK)
        test_failed(__FILE__, __LINE__, "%s gave rows: " STR_FMT, text, STR_ARG(rows));
    return code;
}
