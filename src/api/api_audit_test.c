/* Covers api_audit.c, api_backup.c, the events of api_flow.c and what is told of a fenced disk: what fails or happens in between, on a simulated
 * machine whose database has a disk of its own. */
#include "api/api_priv.h"
#include "api/api_trash.h"

#include "base/test.h"
#include "flow/arrivals.h"
#include "os/os_sim.h"
#include "store/store_keep.h"

#include <stdio.h>
#include <string.h>

/* A lake with files and without an engine. */
typedef struct StillLake {
    ApiLake lake;
    Arena arena;
    OsSim *sim, *database;
} StillLake;

static void still_open(StillLake *still, bool one_disk)
{
    Err err;
    ApiLake *lake = &still->lake;
    *still = (StillLake){ .sim = os_sim_new(1), .database = os_sim_new(2) };
    *lake = (ApiLake){ .os = os_sim_os(still->sim), .data_dir = "/d", .lake_bucket = STR("lake") };
    Os *database = one_disk ? lake->os : os_sim_os(still->database);
    StoreOptions store = { .index = "memory", .dir = "/d/store", .segment_bytes = 256 * 1024 };
    CHECK_OK(os_dir_make(os_sim_os(still->database), "/d", &err), &err);
    CHECK_OK(os_dir_make(lake->os, "/d", &err), &err);
    CHECK_OK(os_dir_make(lake->os, "/d/tmp", &err), &err);
    CHECK_OK(store_open(lake->os, &store, &lake->store, &err), &err);
    CHECK_OK(meta_open(database, &(MetaOptions){ .path = "/d/tarn.db" }, &lake->meta, &err), &err);
    CHECK_OK(govern_open(lake->os, lake->meta, &lake->govern, &err), &err);
    CHECK_OK(api_open(lake, &err), &err);
}

static void still_close(StillLake *still)
{
    ApiLake *lake = &still->lake;
    api_close(lake);
    govern_free(&lake->govern);
    meta_free(&lake->meta);
    store_free(&lake->store);
    arena_done(&still->arena);
    os_sim_free(&still->database);
    os_sim_free(&still->sim);
}

static ApiCall still_call(StillLake *still)
{
    return (ApiCall){ .lake = &still->lake, .arena = &still->arena,
                      .principal = { .id = STR("p"), .name = STR("p"), .role = ROLE_ADMIN } };
}

/* Rows of this verb; the first one's time. */
static size_t rows_of(StillLake *still, const char *verb, int64_t *ret_time_us)
{
    AUTO(meta_read_end) MetaRead *read = NULL;
    MetaAudit *rows;
    size_t count = 0, found = 0;
    Err err;
    CHECK_OK(meta_read_begin(still->lake.meta, &read, &err), &err);
    CHECK_OK(meta_list_audit(read, 0, 5000, &still->arena, &rows, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(rows[i].verb, str_z(verb)))
            continue;
        if (ret_time_us && found == 0)
            *ret_time_us = rows[i].time_us;
        found++;
    }
    return found;
}

TEST(api_change_stands_without_its_audit_row)
{
    StillLake still;
    Err err;
    uint64_t values[API_METRIC_COUNT];
    Buf out AUTO(buf_done);
    buf_init(&out, 4096);
    still_open(&still, false);
    Store *store = still.lake.store;
    ApiCall call = still_call(&still);
    StorePut put = { .bucket = STR("bkt"), .key = STR("k") };
    CHECK_OK(store_bucket_create(store, STR("bkt"), &err), &err);
    CHECK_OK(store_put(store, &put, STR("bytes"), NULL, &err), &err);
    CHECK_OK(store_delete(store, STR("bkt"), STR("k"), &err), &err);
    os_sim_set_capacity(still.database, 1);
    int64_t begun_us = os_now_us(still.lake.os), time_us = 0;
    CHECK_OK(api_undelete(&call, STR("bkt"), STR("k"), STR_NONE, &out, &err), &err);
    CHECK(str_find(buf_str(&out), STR("\"key\":\"k\"")) >= 0);
    api_metrics(&still.lake, values);
    CHECK_INT(values[API_METRIC_audit_waiting], 1);
    CHECK_INT(rows_of(&still, "object.undelete", NULL), 0);
    CHECK_CODE(api_audit(&call, "session.create", STR("s"), STR_NONE, &err), E_NO_SPACE); /* nothing was given out */
    os_sim_advance_us(still.sim, 3600 * 1000000LL);
    os_sim_set_capacity(still.database, 0);
    CHECK_OK(api_audit(&call, "session.create", STR("s"), STR_NONE, &err), &err);
    CHECK_INT(rows_of(&still, "object.undelete", &time_us), 1); /* with the next one, and its own time */
    CHECK(time_us > begun_us && time_us < begun_us + 1000000);
    CHECK_INT(rows_of(&still, "session.create", NULL), 1);
    api_metrics(&still.lake, values);
    CHECK_INT(values[API_METRIC_audit_waiting], 0);
    still_close(&still);
}

TEST(api_audit_rows_wait_up_to_a_bound)
{
    StillLake still;
    uint64_t values[API_METRIC_COUNT];
    still_open(&still, false);
    ApiCall call = still_call(&still);
    os_sim_set_capacity(still.database, 1);
    for (int i = 0; i < AUDIT_WAITING_MAX + 3; i++)
        api_audit_behind(&call, "ingest", STR("s3://bkt/k"), STR_NONE);
    api_metrics(&still.lake, values);
    CHECK_INT(values[API_METRIC_audit_waiting], AUDIT_WAITING_MAX);
    CHECK_INT(values[API_METRIC_audit_lost_total], 3);
    os_sim_set_capacity(still.database, 0);
    api_audit_flush(&still.lake);
    CHECK_INT(rows_of(&still, "ingest", NULL), AUDIT_WAITING_MAX);
    still_close(&still);
}

/* ---- a fenced disk ---- */

static uint64_t fenced_now(StillLake *still)
{
    uint64_t values[API_METRIC_COUNT];
    api_metrics(&still->lake, values);
    return values[API_METRIC_fenced];
}

/* Some failed calls fence and some do not: health and metric say what the next write meets. */
TEST(api_health_tells_of_a_fenced_disk)
{
    size_t objects = 0, rows = 0;
    for (int of_database = 0; of_database < 2; of_database++) {
        for (uint64_t point = 1; point <= 12; point++) {
            StillLake still;
            ApiHealth health;
            Err err;
            still_open(&still, false);
            ApiCall call = still_call(&still);
            Store *store = still.lake.store;
            StorePut put = { .bucket = STR("bkt"), .key = STR("k") };
            OsSim *sim = of_database ? still.database : still.sim;
            CHECK_OK(store_bucket_create(store, STR("bkt"), &err), &err);
            CHECK_OK(api_health(&call, &health, &err), &err);
            CHECK_INT(fenced_now(&still), 0);
            os_sim_fail_at(sim, os_sim_calls(sim) + point, 1, E_IO);
            IGNORE(store_put(store, &put, STR("bytes"), NULL, NULL));
            IGNORE(api_audit(&call, "session.create", STR("s"), STR_NONE, NULL));
            os_sim_fail_at(sim, 0, 0, E_IO);
            bool stands = store_put(store, &put, STR("bytes"), NULL, NULL) == E_OK;
            bool says = api_audit(&call, "session.create", STR("s"), STR_NONE, NULL) == E_OK;
            objects += !stands;
            rows += !says;
            CHECK_INT(fenced_now(&still), !(stands && says));
            CHECK_CODE(api_health(&call, &health, &err), !stands ? E_UNAVAILABLE : !says ? E_IO : E_OK);
            still_close(&still);
        }
    }
    CHECK(objects > 0 && rows > 0);
}

/* ---- backups that begin at once ---- */

static StillLake *nested_lake;
static const OsOps *nested_below;
static char nested_snapshot[256];

/* Another one begins while the first looks at what was left. */
static Code nested_list(void *self, const char *path, Arena *arena, OsDirEntry **ret_entries, size_t *ret_count, Err *err)
{
    StillLake *still = nested_lake;
    nested_lake = NULL;
    if (still) {
        Buf out AUTO(buf_done);
        Err inner;
        ApiCall call = still_call(still);
        buf_init(&out, 4096);
        CHECK_OK(api_backup_begin(&call, &out, &inner), &inner);
        Str text = buf_str(&out), key = STR("\"metadata\":\"");
        ptrdiff_t at = str_find(text, key);
        Str rest = str_from(text, (size_t)MAX(at, (ptrdiff_t)0) + key.len), name = STR_NONE;
        CHECK(at >= 0 && str_split(&rest, '"', &name));
        snprintf(nested_snapshot, sizeof nested_snapshot, "/d/" STR_FMT, STR_ARG(name));
    }
    return nested_below->dir_list(self, path, arena, ret_entries, ret_count, err);
}

TEST(api_backups_that_begin_at_once_keep_their_snapshots)
{
    StillLake still;
    Err err;
    OsStat stat;
    Buf out AUTO(buf_done);
    buf_init(&out, 4096);
    still_open(&still, true);
    ApiCall call = still_call(&still);
    Os *real = still.lake.os;
    OsOps ops = *real->ops;
    Os os = { .ops = &ops, .self = real->self };
    ops.dir_list = nested_list;
    nested_below = real->ops;
    nested_lake = &still;
    CHECK_OK(os_write_whole(real, "/d/tmp/backup-77.db", STR("given up"), &err), &err);
    still.lake.os = &os;
    CHECK_OK(api_backup_begin(&call, &out, &err), &err);
    CHECK_OK(os_stat(real, nested_snapshot, &stat, &err), &err);
    CHECK_CODE(os_stat(real, "/d/tmp/backup-77.db", &stat, &err), E_NOT_FOUND);
    still.lake.os = real;
    still_close(&still);
}

TEST(api_backup_is_told_when_it_is_verified)
{
    StillLake still;
    Err err;
    uint64_t values[API_METRIC_COUNT];
    Buf out AUTO(buf_done);
    buf_init(&out, 4096);
    still_open(&still, true);
    ApiCall call = still_call(&still);
    StorePut put = { .bucket = STR("bkt"), .key = STR("k") };
    CHECK_OK(store_bucket_create(still.lake.store, STR("bkt"), &err), &err);
    CHECK_OK(store_put(still.lake.store, &put, STR("bytes"), NULL, &err), &err);
    CHECK_OK(api_backup_begin(&call, &out, &err), &err);
    Str rest = str_from(buf_str(&out), strlen("{\"id\":\"")), id;
    CHECK(str_split(&rest, '"', &id));
    CHECK_OK(api_backup_end(&call, id, &err), &err);
    api_metrics(&still.lake, values);
    CHECK_INT(values[API_METRIC_backup_last_sequence], 0); /* copied, not compared yet */
    uint64_t newest = store_sequence(still.lake.store);
    CHECK_CODE(api_backup_verified(&call, id, newest + 1, &err), E_INVALID);
    CHECK_OK(api_backup_verified(&call, id, newest, &err), &err);
    CHECK_OK(api_backup_verified(&call, STR("7"), newest - 1, &err), &err); /* older, and slower */
    api_metrics(&still.lake, values);
    CHECK_INT(values[API_METRIC_backup_last_sequence], newest);
    CHECK(values[API_METRIC_backup_last_seconds] > 0);
    CHECK_INT(rows_of(&still, "backup.verified", NULL), 2);
    still_close(&still);
}

/* ---- events of a long run ---- */

TEST(api_run_of_many_events_ends)
{
    enum { EVENTS = API_RUN_EVENTS_MAX + 5 };
    StillLake still;
    Err err;
    FlowWatch watch;
    bool cancel = false, end = false;
    uint64_t after = 0;
    Buf out AUTO(buf_done);
    buf_init(&out, 16 << 20);
    still_open(&still, true);
    ApiCall call = still_call(&still);
    api_watch_arrivals(&still.lake, &watch);
    void *run = watch.begin(watch.self, STR("r1"), &cancel);
    FlowProgress progress = { .run_id = STR("r1"), .model = STR("m"), .phase = STR("write"), .models = 1 };
    for (int i = 0; i < EVENTS; i++)
        watch.progress(run, &progress);
    err_clear(&err);
    watch.end(run, err_set(&err, E_INVALID, "broken"), &err, NULL);
    CHECK_OK(api_run_events(&call, STR("r1"), &after, &out, &end, &err), &err);
    CHECK(end);
    CHECK_INT(after, API_RUN_EVENTS_MAX + 1);
    Str text = str_trim(buf_str(&out));
    Str last = str_from(text, (size_t)str_rfind_char(text, '\n') + 1);
    CHECK(str_find(last, STR("\"event\":\"end\"")) >= 0);
    CHECK(str_find(last, STR("\"events_left_out\":5")) >= 0);
    still_close(&still);
}
