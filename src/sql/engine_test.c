#include "sql/engine.h"

#include "base/test.h"
#include "format/arrow.h"
#include "os/thread.h"
#include "sql/fake_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Rig {
    FakeFiles fake;
    Engine *engine;
    EngineLease *lease;
    Err err;
} Rig;

static void rig_open(Rig *rig, unsigned slots)
{
    memset(rig, 0, sizeof *rig);
    fake_files_init(&rig->fake);
    err_clear(&rig->err);
    EngineOptions options = { .os = os_real(),
                              .files = fake_files_reader(&rig->fake),
                              .temp_dir = test_dir() };
    for (size_t i = 0; i < ENGINE_POOL_COUNT; i++)
        options.pools[i] =
            (EngineLimits){ .threads = 2, .slots = slots, .memory_bytes = 512 << 20 };
    CHECK_OK(engine_open(&options, &rig->engine, &rig->err), &rig->err);
    CHECK_OK(engine_lease(rig->engine, ENGINE_INTERACTIVE, 0, NULL, &rig->lease, &rig->err),
             &rig->err);
}

static void rig_close(Rig *rig)
{
    engine_return(&rig->lease);
    engine_close(&rig->engine);
    fake_files_done(&rig->fake);
}

/* Reads to the end: rows, and the sum of the first column when it is a BIGINT. */
static Code drain(Rig *rig, const EngineQuery *query, int64_t *ret_sum, EngineStats *ret_stats)
{
    EngineResult *result = NULL;
    *ret_sum = 0;
    *ret_stats = (EngineStats){ 0 };
    err_clear(&rig->err);
    TRY(engine_query(rig->lease, query, &result, &rig->err));
    Code code = E_OK;
    while (code == E_OK) {
        struct ArrowArray array;
        code = engine_result_next(result, &array, &rig->err);
        if (code != E_OK || !array.release)
            break;
        CHECK(array.length > 0);
        const int64_t *values = array.children[0]->buffers[1];
        if (str_eq(engine_result_column_type(result, 0), STR("BIGINT")))
            for (int64_t i = 0; i < array.length; i++)
                *ret_sum += values[array.children[0]->offset + i];
        array.release(&array);
    }
    *ret_stats = engine_result_stats(result);
    engine_result_free(&result);
    return code;
}

TEST(engine_streams_large_batches)
{
    Rig rig;
    rig_open(&rig, 2);
    int64_t sum;
    EngineStats stats;
    EngineQuery query = { .request.text = STR("select range as i from range(1000000)") };
    CHECK_OK(drain(&rig, &query, &sum, &stats), &rig.err);
    CHECK_INT(sum, 999999LL * 1000000 / 2);
    CHECK_INT(stats.rows, 1000000);
    CHECK(stats.batches <= 32); /* the first one is small, the others hold 64 Ki rows */
    query.result_bytes_max = 100000;
    CHECK_CODE(drain(&rig, &query, &sum, &stats), E_LIMIT);
    CHECK_INT(engine_counts(rig.engine, ENGINE_INTERACTIVE).queries, 2);
    rig_close(&rig);
}

TEST(engine_time_and_cancel)
{
    Rig rig;
    rig_open(&rig, 2);
    int64_t sum;
    EngineStats stats;
    EngineQuery query = {
        .request.text = STR("select count(*) from range(100000000) a, range(100000000) b where "
                            "a.range * b.range = 7"),
        .timeout_us = 50000,
    };
    CHECK_CODE(drain(&rig, &query, &sum, &stats), E_TIMEOUT);
    /* the connection stays fit for use */
    query = (EngineQuery){ .request.text = STR("select 42::bigint") };
    CHECK_OK(drain(&rig, &query, &sum, &stats), &rig.err);
    CHECK_INT(sum, 42);
    /* cancelled between batches */
    EngineResult *result = NULL;
    query.request.text = STR("select range as i from range(100000000)");
    CHECK_OK(engine_query(rig.lease, &query, &result, &rig.err), &rig.err);
    struct ArrowArray array;
    CHECK_OK(engine_result_next(result, &array, &rig.err), &rig.err);
    array.release(&array);
    engine_result_cancel(result);
    CHECK_CODE(engine_result_next(result, &array, &rig.err), E_CANCELLED);
    engine_result_free(&result);
    query.request.text = STR("select 42::bigint");
    CHECK_OK(drain(&rig, &query, &sum, &stats), &rig.err);
    rig_close(&rig);
}

static void *cancel_soon(void *arg)
{
    /* whenever it comes, before, within or between the steps of the query: it must end */
    engine_lease_cancel(arg);
    return NULL;
}

TEST(engine_cancel_without_a_result)
{
    Rig rig;
    rig_open(&rig, 2);
    int64_t sum;
    EngineStats stats;
    EngineQuery query = { .request.text =
                              STR("select count(*) from range(100000000) a, range(100000000) b "
                                  "where a.range * b.range = 7") };
    Thread thread = { 0 };
    CHECK_OK(thread_start(&thread, "cancel", cancel_soon, rig.lease, &rig.err), &rig.err);
    CHECK_CODE(drain(&rig, &query, &sum, &stats), E_CANCELLED);
    thread_join(&thread);
    query.request.text = STR("select 1");
    CHECK_CODE(drain(&rig, &query, &sum, &stats), E_CANCELLED);
    rig_close(&rig);
}

TEST(engine_slots)
{
    Rig rig;
    rig_open(&rig, 1);
    EngineLease *second = NULL;
    CHECK_CODE(engine_lease(rig.engine, ENGINE_INTERACTIVE, 1000, NULL, &second, &rig.err),
               E_UNAVAILABLE);
    CHECK_OK(engine_lease(rig.engine, ENGINE_INGEST, 0, NULL, &second, &rig.err), &rig.err);
    CHECK_INT(engine_counts(rig.engine, ENGINE_INGEST).leased, 1);
    engine_return(&second);
    /* who waits for one and is cancelled gets it not */
    bool cancel = true;
    CHECK_CODE(engine_lease(rig.engine, ENGINE_INTERACTIVE, INT64_MAX / 2, &cancel, &second,
                            &rig.err),
               E_CANCELLED);
    engine_return(&rig.lease);
    CHECK_OK(engine_lease(rig.engine, ENGINE_INTERACTIVE, 0, NULL, &rig.lease, &rig.err), &rig.err);
    rig_close(&rig);
}

/* ---- a source of two columns: i BIGINT, t VARCHAR ("t<i>"), in batches of 1000 ---- */

typedef struct Counting {
    int64_t rows;
    int64_t fail_at; /* -1: never */
    size_t opens, columns_seen, filters_seen;
    ScanFilter filter;
} Counting;

typedef struct CountingScan {
    Counting *of;
    int64_t next;
    size_t columns[8];
    size_t column_count;
} CountingScan;

static struct ArrowSchema child_schemas[2] = {
    { .format = "l", .name = "i", .flags = ARROW_FLAG_NULLABLE },
    { .format = "u", .name = "t", .flags = ARROW_FLAG_NULLABLE },
};

static void schema_release(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static Code counting_schema(void *self, struct ArrowSchema *ret_schema, Err *err)
{
    (void)self;
    (void)err;
    static struct ArrowSchema *children[2] = { &child_schemas[0], &child_schemas[1] };
    child_schemas[0].release = child_schemas[1].release = schema_release;
    *ret_schema = (struct ArrowSchema){
        .format = "+s", .name = "", .n_children = 2, .children = children, .release = schema_release
    };
    return E_OK;
}

static Code counting_open(void *self, const ScanQuery *query, void **ret_scan, Err *err)
{
    (void)err;
    Counting *of = self;
    CountingScan *scan = mem_new(sizeof *scan);
    of->opens++;
    of->columns_seen = query->column_count;
    of->filters_seen = query->filter_count;
    if (query->filter_count)
        of->filter = query->filters[0];
    scan->of = of;
    scan->column_count = query->column_count;
    memcpy(scan->columns, query->columns, query->column_count * sizeof *scan->columns);
    *ret_scan = scan;
    return E_OK;
}

/* One allocation holds a batch and all below it. */
typedef struct CountingBatch {
    struct ArrowArray columns[8];
    struct ArrowArray *children[8];
    const void *buffers[8][3];
    const void *none[1];
    int64_t numbers[1000];
    int32_t offsets[1001];
    char texts[20000];
} CountingBatch;

static void child_release(struct ArrowArray *array)
{
    array->release = NULL;
}

static void batch_release(struct ArrowArray *array)
{
    free(array->private_data);
    array->release = NULL;
}

static Code counting_next(void *self, struct ArrowArray *ret_array, Err *err)
{
    CountingScan *scan = self;
    int64_t count = MIN(1000, scan->of->rows - scan->next);
    if (scan->of->fail_at >= 0 && scan->next >= scan->of->fail_at) {
        err_set(err, E_WORKER_DIED, "the worker died");
        return err_place(err, E_WORKER_DIED, "s3://bronze/x.csv");
    }
    memset(ret_array, 0, sizeof *ret_array);
    if (count <= 0)
        return E_OK;
    CountingBatch *batch = calloc(1, sizeof *batch);
    for (int64_t i = 0; i < count; i++) {
        batch->numbers[i] = scan->next + i;
        char *text = batch->texts + batch->offsets[i];
        batch->offsets[i + 1] =
            batch->offsets[i] + snprintf(text, 20, "t%lld", (long long)(scan->next + i));
    }
    for (size_t c = 0; c < scan->column_count; c++) {
        bool text = scan->columns[c] == 1;
        batch->buffers[c][1] = text ? (const void *)batch->offsets : batch->numbers;
        batch->buffers[c][2] = batch->texts;
        batch->columns[c] = (struct ArrowArray){ .length = count,
                                                 .n_buffers = text ? 3 : 2,
                                                 .buffers = batch->buffers[c],
                                                 .release = child_release };
        batch->children[c] = &batch->columns[c];
    }
    *ret_array = (struct ArrowArray){ .length = count,
                                      .n_buffers = 1,
                                      .buffers = batch->none,
                                      .n_children = (int64_t)scan->column_count,
                                      .children = batch->children,
                                      .release = batch_release,
                                      .private_data = batch };
    scan->next += count;
    return E_OK;
}

static void counting_close(void *self)
{
    free(self);
}

static int64_t counting_estimate(void *self)
{
    return ((Counting *)self)->rows;
}

TEST(engine_reads_sources)
{
    Rig rig;
    rig_open(&rig, 1);
    Counting counting = { .rows = 25500, .fail_at = -1 };
    ScanSource source = { .self = &counting,
                          .schema = counting_schema,
                          .open = counting_open,
                          .next = counting_next,
                          .close = counting_close,
                          .rows_estimate = counting_estimate };
    BorderBinding binding = { .schema = STR("bronze"), .name = STR("objects"), .source = &source };
    EngineQuery query = { .request = { .bindings = &binding, .binding_count = 1 } };
    static const struct {
        const char *text;
        int64_t sum;
        size_t columns, filters;
    } rows[] = {
        { "select count(*) from bronze.objects", 25500, 1, 0 },
        { "select sum(i)::bigint from bronze.objects", 25499LL * 25500 / 2, 1, 0 },
        { "select i from bronze.objects where t = 't777'", 777, 2, 1 },
        { "select count(t) from bronze.objects where i >= 25000 and i < 25100", 100, 2, 2 },
        { "select count(*) from bronze.objects a join bronze.objects b on a.i = b.i + 1", 25499, 1,
          0 },
        { "select sum(length(t))::bigint from (select t, i from bronze.objects limit 10)", 20, 1,
          0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t sum;
        EngineStats stats;
        query.request.text = str_z(rows[i].text);
        CHECK_OK(drain(&rig, &query, &sum, &stats), &rig.err);
        CHECK_INT(sum, rows[i].sum);
        CHECK_INT(counting.columns_seen, rows[i].columns);
        CHECK_INT(counting.filters_seen, rows[i].filters);
    }
    CHECK_INT(counting.opens, 7);
    /* rows keep their order */
    int64_t sum;
    EngineStats stats;
    query.request.text = STR("select count(*) from (select i, row_number() over () - 1 as n from "
                             "(select i from bronze.objects)) where i <> n");
    CHECK_OK(drain(&rig, &query, &sum, &stats), &rig.err);
    CHECK_INT(sum, 0);
    /* a source's error is the query's, with its place */
    counting.fail_at = 5000;
    query.request.text = STR("select sum(i)::bigint from bronze.objects");
    CHECK_CODE(drain(&rig, &query, &sum, &stats), E_WORKER_DIED);
    CHECK_STR(str_z(rig.err.place), STR("s3://bronze/x.csv"));
    rig_close(&rig);
}

/* ---- a source that has no more rows and does not say so until nobody wants them ---- */

typedef struct Stuck {
    EngineLease *lease;
    const bool *interrupted;
    Thread canceller;
} Stuck;

static void *cancel_lease(void *arg)
{
    engine_lease_cancel(arg);
    return NULL;
}

static Code stuck_open(void *self, const ScanQuery *query, void **ret_scan, Err *err)
{
    Stuck *stuck = self;
    stuck->interrupted = query->interrupted;
    *ret_scan = stuck;
    return thread_start(&stuck->canceller, "cancel", cancel_lease, stuck->lease, err);
}

static Code stuck_next(void *self, struct ArrowArray *ret_array, Err *err)
{
    Stuck *stuck = self;
    ret_array->release = NULL;
    while (!__atomic_load_n(stuck->interrupted, __ATOMIC_ACQUIRE))
        continue;
    return err_set(err, E_CANCELLED, "nobody takes more rows");
}

static void stuck_close(void *self)
{
    (void)self;
}

TEST(engine_interrupts_reach_a_source_that_waits)
{
    Rig rig;
    int64_t sum;
    EngineStats stats;
    rig_open(&rig, 1);
    Stuck stuck = { .lease = rig.lease };
    ScanSource source = { .self = &stuck,
                          .schema = counting_schema,
                          .open = stuck_open,
                          .next = stuck_next,
                          .close = stuck_close };
    BorderBinding binding = { .schema = STR("bronze"), .name = STR("objects"), .source = &source };
    EngineQuery query = { .request = { .text = STR("select sum(i)::bigint from bronze.objects"),
                                       .bindings = &binding,
                                       .binding_count = 1 } };
    CHECK_CODE(drain(&rig, &query, &sum, &stats), E_CANCELLED);
    CHECK(stuck.interrupted && *stuck.interrupted == false); /* of this query only */
    thread_join(&stuck.canceller);
    CHECK_INT(engine_counts(rig.engine, ENGINE_INTERACTIVE).late, 0);
    rig_close(&rig);
}
