#include "api/api_fake.h"

#include "api/system_tables.h"
#include "base/test.h"
#include "source/landing.h"
#include "format/arrow.h"

static Str key_make(FakeLake *fake, const char *name, GovernRole role)
{
    KeyCreate create = { .name = str_z(name), .role = role, .principal = STR("test") };
    Str id, secret = STR_NONE;
    Err err;
    CHECK_OK(govern_key_create(fake->lake.govern, &create, &fake->arena, &id, &secret, &err), &err);
    return secret;
}

void fake_lake_open(FakeLake *fake)
{
    Err err;
    ApiLake *lake = &fake->lake;
    *fake = (FakeLake){ .lake = { .os = os_real(), .version = STR("0.0.0-test") } };
    const char *path = str_copy_z(&fake->arena, str_format(&fake->arena, "%s/tarn.db", test_dir()));
    StoreOptions store = { .backend = "memory", .index = "memory" };
    CHECK_OK(meta_open(lake->os, &(MetaOptions){ .path = path }, &lake->meta, &err), &err);
    CHECK_OK(store_open(lake->os, &store, &lake->store, &err), &err);
    CatalogOptions catalog = { .os = lake->os, .store = lake->store, .meta = lake->meta,
                               .lake_bucket = STR("lake") };
    CHECK_OK(catalog_open(&catalog, &lake->catalog, &err), &err);
    CHECK_OK(govern_open(lake->os, lake->meta, &lake->govern, &err), &err);
    SourceOptions source = { .os = lake->os, .store = lake->store };
    CHECK_OK(source_open(&source, &lake->source, &err), &err);
    SqlOptions sql = { .os = lake->os, .catalog = lake->catalog, .store = lake->store, .threads = 2,
                       .slots = 2, .memory_bytes = 256 << 20 };
    CHECK_OK(sql_open(&sql, &lake->sql, &err), &err);
    LandingOptions landing = { .os = lake->os, .store = lake->store, .meta = lake->meta,
                               .catalog = lake->catalog, .sql = lake->sql, .source = lake->source };
    CHECK_OK(landing_open(&landing, &lake->landing, &err), &err);
    SystemTablesOptions system = { .catalog = lake->catalog, .meta = lake->meta, .store = lake->store };
    CHECK_OK(system_tables_open(&system, lake->sql, &lake->system_tables, &err), &err);
    FlowOptions flow = { .os = lake->os, .sql = lake->sql, .catalog = lake->catalog,
                         .store = lake->store, .meta = lake->meta, .source = lake->source };
    CHECK_OK(flow_open(&flow, &lake->flow, &err), &err);
    CHECK_OK(api_open(lake, &err), &err);
    fake->admin_key = key_make(fake, "admin", ROLE_ADMIN);
    fake->reader_key = key_make(fake, "reader", ROLE_READER);
}

void fake_lake_close(FakeLake *fake)
{
    ApiLake *lake = &fake->lake;
    api_close(lake);
    flow_free(&lake->flow);
    landing_free(&lake->landing);
    sql_free(&lake->sql);
    system_tables_free(&lake->system_tables);
    source_free(&lake->source);
    govern_free(&lake->govern);
    catalog_free(&lake->catalog);
    store_free(&lake->store);
    meta_free(&lake->meta);
    arena_done(&fake->arena);
}

ApiCall fake_lake_call(FakeLake *fake, bool admin)
{
    Err err;
    ApiCall call = { .lake = &fake->lake, .arena = &fake->arena, .request_id = STR("test") };
    CHECK_OK(api_enter(&call, admin ? fake->admin_key : fake->reader_key, API_READ, STR("test"), &err),
             &err);
    return call;
}

void fake_lake_sql(FakeLake *fake, const char *text)
{
    SqlResult *result AUTO(sql_result_free) = NULL;
    Err err;
    ApiCall call = fake_lake_call(fake, true);
    CHECK_OK(api_sql(&call, str_z(text), NULL, 0, &result, &err), &err);
    while (result) {
        ArrowArray batch AUTO(arrow_array_done) = { 0 };
        Code code = sql_result_next(result, &batch, &err);
        CHECK_OK(code, &err);
        if (code != E_OK || !batch.release)
            break;
    }
}
