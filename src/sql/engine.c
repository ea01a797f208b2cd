/* 1. A pool's instance is opened by the first lease and replaced when it is broken: the broken one
 * is closed by the return of its last lease. instance->leases counts under pool->mutex.
 * 2. A connection belongs to one lease: made by engine_lease, ended by engine_return (about 3 us).
 * 3. The watchdog interrupts a lease that is over its deadline, again and again until its result is
 *    freed, since an interrupt that comes between two calls of the engine is forgotten. It touches
 * a connection only under engine->watch_mutex, and a result leaves the list under it.
 * 4. `call_us` stands while the lease is inside a call of the engine. A call that began or was
 *    interrupted ENGINE_LATE_MS ago and still stands is late: counted once a statement.
 * 5. Nobody waits inside the engine while other threads work: the caller sleeps WAIT_US between
 * steps (inside, it would spin on a core). */
#include "sql/engine.h"

#include "format/arrow.h"
#include "os/thread.h"
#include "table/value.h"

#include <stdatomic.h>
#include <string.h>

enum {
    WAIT_US = 200,
    WATCH_US = 20000,
    LATE_US = ENGINE_LATE_MS * 1000,
    THREADS_MAX = 1024,
    SLOTS_DEFAULT = 8
};

typedef struct Instance {
    Border *border;
    size_t leases;
    bool retired;
} Instance;

typedef struct EnginePoolState {
    Mutex mutex; /* of all below */
    Cond returned;
    EngineLimits limits;
    Instance *instance; /* NULL: not open */
    size_t leased;
    uint64_t queries;
    uint64_t opened;
} EnginePoolState;

struct Engine {
    EngineOptions options;
    EnginePoolState pools[ENGINE_POOL_COUNT];
    Thread watchdog;
    Mutex watch_mutex; /* of all below, and of every lease's next_watched, cancel, interrupted_us,
                          late, text */
    Cond watch_changed;
    EngineLease *watched;
    bool closing;
    EngineLate *on_late;
    void *on_late_arg;
    bool telling; /* on_late runs */
    uint64_t late;
};

struct EngineLease {
    Engine *engine;
    EnginePool pool;
    Instance *instance;
    BorderConn *conn;
    EngineLease *next_watched;
    _Atomic int64_t deadline_us; /* 0: none */
    const bool *cancel;          /* the caller's flag; NULL: none */
    _Atomic int64_t call_us;     /* when the call began that runs; 0: none runs */
    int64_t interrupted_us;      /* the first time; 0: not */
    bool late;
    Str text; /* of the statement */
    atomic_bool timed_out;
    atomic_bool cancelled; /* the query that runs */
    atomic_bool ended;     /* all that will ever run on it */
};

struct EngineResult {
    EngineLease *lease;
    BorderQuery *query;
    struct ArrowSchema schema;
    uint64_t bytes_max;
    int64_t started_us;
    EngineStats stats;
};

static int64_t now_us(const Engine *engine)
{
    return os_monotonic_us(engine->options.os);
}

/* ---- the watchdog ---- */

/* The caller's flag, which stays raised: then the query counts as cancelled. */
static bool flag_raised(EngineLease *lease)
{
    if (!lease->cancel || !__atomic_load_n(lease->cancel, __ATOMIC_ACQUIRE))
        return false;
    atomic_store(&lease->cancelled, true);
    return true;
}

/* One that was found late, for the caller's function outside of the mutex. */
typedef struct Late {
    int64_t ms; /* 0: none */
    char text[ENGINE_LATE_TEXT_MAX];
    size_t text_len;
} Late;

static void lease_interrupt(EngineLease *lease, int64_t now)
{
    if (!lease->interrupted_us)
        lease->interrupted_us = now;
    border_interrupt(lease->conn);
}

static void late_look(EngineLease *lease, int64_t now, Late *late)
{
    int64_t call_us = atomic_load(&lease->call_us);
    int64_t since = now - MAX(call_us, lease->interrupted_us);
    if (!call_us || since < LATE_US || lease->late)
        return;
    lease->late = true;
    lease->engine->late++;
    late->ms = since / 1000;
    late->text_len = MIN(lease->text.len, sizeof late->text);
    if (late->text_len > 0)
        memcpy(late->text, lease->text.ptr, late->text_len);
}

/* The time until the next deadline; overdue leases are interrupted on the way. Stops at a late one. */
static int64_t watch_all(Engine *engine, Late *late)
{
    int64_t now = now_us(engine);
    int64_t wait_us = INT64_MAX;
    for (EngineLease *lease = engine->watched; lease && !late->ms; lease = lease->next_watched) {
        if (lease->cancel) {
            wait_us = MIN(wait_us, (int64_t)WATCH_US);
            if (flag_raised(lease)) {
                lease_interrupt(lease, now);
                late_look(lease, now, late);
                continue;
            }
        }
        if (!lease->deadline_us)
            continue;
        if (lease->deadline_us > now) {
            wait_us = MIN(wait_us, lease->deadline_us - now);
            continue;
        }
        if (!atomic_load(&lease->cancelled))
            atomic_store(&lease->timed_out, true);
        lease_interrupt(lease, now);
        late_look(lease, now, late);
        wait_us = MIN(wait_us, (int64_t)WATCH_US);
    }
    return late->ms ? 0 : wait_us;
}

/* The watch's mutex is held, but not while the function runs. */
static void late_tell(Engine *engine, const Late *late)
{
    EngineLate *on_late = engine->on_late;
    void *arg = engine->on_late_arg;
    engine->telling = true;
    mutex_unlock(&engine->watch_mutex);
    on_late(arg, late->ms, str_of(late->text, late->text_len));
    mutex_lock(&engine->watch_mutex);
    engine->telling = false;
    cond_signal(&engine->watch_changed); /* engine_on_late waits */
}

static void *watch_run(void *arg)
{
    Engine *engine = arg;
    MUTEX_HELD(&engine->watch_mutex);
    while (!engine->closing) {
        Late late = { 0 };
        int64_t wait_us = watch_all(engine, &late);
        if (late.ms && engine->on_late) {
            late_tell(engine, &late);
            continue;
        }
        if (wait_us == INT64_MAX)
            cond_wait(&engine->watch_changed, &engine->watch_mutex);
        else
            IGNORE(cond_wait_us(&engine->watch_changed, &engine->watch_mutex, wait_us));
    }
    return NULL;
}

static void watch_begin(EngineLease *lease, const EngineQuery *query)
{
    int64_t timeout_us = query->timeout_us;
    Engine *engine = lease->engine;
    MUTEX_HELD(&engine->watch_mutex);
    lease->deadline_us = timeout_us > 0 ? now_us(engine) + timeout_us : 0;
    lease->cancel = query->cancel;
    lease->text = query->request.text;
    lease->interrupted_us = 0;
    lease->late = false;
    atomic_store(&lease->timed_out, false);
    atomic_store(&lease->cancelled, atomic_load(&lease->ended));
    lease->next_watched = engine->watched;
    engine->watched = lease;
    cond_signal(&engine->watch_changed);
}

static void watch_end(EngineLease *lease)
{
    Engine *engine = lease->engine;
    MUTEX_HELD(&engine->watch_mutex);
    EngineLease **place = &engine->watched;
    while (*place && *place != lease)
        place = &(*place)->next_watched;
    if (*place)
        *place = lease->next_watched;
    lease->deadline_us = 0;
    lease->cancel = NULL;
    lease->text = STR_NONE;
    atomic_store(&lease->call_us, 0);
}

/* ---- instances ---- */

Code engine_open(const EngineOptions *options, Engine **ret_engine, Err *err)
{
    Engine *engine = mem_new(sizeof *engine);
    engine->options = *options;
    mutex_init(&engine->watch_mutex);
    cond_init(&engine->watch_changed);
    for (size_t i = 0; i < ENGINE_POOL_COUNT; i++) {
        EnginePoolState *pool = &engine->pools[i];
        pool->limits = options->pools[i];
        pool->limits.threads = MIN(MAX(pool->limits.threads, 1u), (unsigned)THREADS_MAX);
        if (i == ENGINE_ORDERED)
            pool->limits.threads = 1;
        if (pool->limits.slots == 0)
            pool->limits.slots = SLOTS_DEFAULT;
        pool->limits.slots = MIN(pool->limits.slots, (unsigned)ENGINE_SLOTS_MAX);
        mutex_init(&pool->mutex);
        cond_init(&pool->returned);
    }
    Code code = E_OK;
    if (os_has_threads(options->os))
        code = thread_start(&engine->watchdog, "sql-watch", watch_run, engine, err);
    if (code != E_OK)
        engine_close(&engine);
    else
        *ret_engine = engine;
    return code;
}

void engine_on_late(Engine *engine, EngineLate *late, void *arg)
{
    MUTEX_HELD(&engine->watch_mutex);
    while (engine->telling)
        cond_wait(&engine->watch_changed, &engine->watch_mutex);
    engine->on_late = late;
    engine->on_late_arg = arg;
}

static void instance_close(Instance **instance)
{
    if (*instance)
        border_close(&(*instance)->border);
    mem_free(instance);
}

void engine_close(Engine **engine_place)
{
    Engine *engine = *engine_place;
    if (!engine)
        return;
    mutex_lock(&engine->watch_mutex);
    ASSERT(!engine->watched);
    engine->closing = true;
    cond_signal(&engine->watch_changed);
    mutex_unlock(&engine->watch_mutex);
    thread_join(&engine->watchdog);
    for (size_t i = 0; i < ENGINE_POOL_COUNT; i++) {
        ASSERT(engine->pools[i].leased == 0);
        instance_close(&engine->pools[i].instance);
        mutex_done(&engine->pools[i].mutex);
        cond_done(&engine->pools[i].returned);
    }
    mutex_done(&engine->watch_mutex);
    cond_done(&engine->watch_changed);
    mem_free(engine_place);
}

static const char *const POOL_NAMES[ENGINE_POOL_COUNT] = { "interactive", "ingest", "compaction",
                                                           "ordered" };

/* The pool's mutex is held. */
static Code instance_open(Engine *engine, EnginePool which, Err *err)
{
    EnginePoolState *pool = &engine->pools[which];
    BorderOptions options = {
        .files = engine->options.files,
        .threads = pool->limits.threads,
        .memory_bytes = pool->limits.memory_bytes,
        .temp_bytes = engine->options.temp_bytes,
        .any_order = which == ENGINE_INGEST,
        .hash_i64 = ice_hash_i64,
        .hash_bytes = murmur3_32,
        .hash_decimal = ice_hash_decimal,
    };
    Arena arena AUTO(arena_done) = { 0 };
    if (engine->options.temp_dir) {
        Str dir = str_format(&arena, "%s/%s", engine->options.temp_dir, POOL_NAMES[which]);
        TRY(os_dir_make(engine->options.os, engine->options.temp_dir, err));
        TRY(os_dir_make(engine->options.os, dir.ptr, err));
        options.temp_dir = dir.ptr;
    }
    Border *border;
    TRY(border_open(&options, &border, err));
    pool->instance = mem_new(sizeof *pool->instance);
    pool->instance->border = border;
    pool->opened++;
    return E_OK;
}

/* ---- leases ---- */

static Code slot_take(EnginePoolState *pool, EnginePool which, int64_t wait_us, const bool *cancel,
                      Os *os, Err *err)
{
    int64_t until_us = os_monotonic_us(os) + wait_us;
    while (pool->leased >= pool->limits.slots) {
        if (cancel && __atomic_load_n(cancel, __ATOMIC_ACQUIRE)) {
            cond_signal(&pool->returned); /* a signal that came for this one is another's */
            return err_set(err, E_CANCELLED, "the statement was cancelled");
        }
        int64_t left_us = until_us - os_monotonic_us(os);
        if (left_us <= 0 || !os_has_threads(os))
            return err_set(err, E_UNAVAILABLE, "all %u %s connections of the engine are busy",
                           pool->limits.slots, POOL_NAMES[which]);
        left_us = cancel ? MIN(left_us, (int64_t)WATCH_US) : left_us;
        IGNORE(cond_wait_us(&pool->returned, &pool->mutex, left_us));
    }
    pool->leased++;
    return E_OK;
}

Code engine_lease(Engine *engine, EnginePool which, int64_t wait_us, const bool *cancel,
                  EngineLease **ret_lease, Err *err)
{
    EnginePoolState *pool = &engine->pools[which];
    MUTEX_HELD(&pool->mutex);
    TRY(slot_take(pool, which, wait_us, cancel, engine->options.os, err));
    Code code = E_OK;
    if (pool->instance && border_is_broken(pool->instance->border)) {
        pool->instance->retired = true;
        if (pool->instance->leases == 0)
            instance_close(&pool->instance);
        pool->instance = NULL;
    }
    if (!pool->instance)
        code = instance_open(engine, which, err);
    BorderConn *conn = NULL;
    if (code == E_OK)
        code = border_connect(pool->instance->border, &conn, err);
    if (code != E_OK) {
        pool->leased--;
        return code;
    }
    EngineLease *lease = mem_new(sizeof *lease);
    lease->engine = engine;
    lease->pool = which;
    lease->instance = pool->instance;
    lease->instance->leases++;
    lease->conn = conn;
    *ret_lease = lease;
    return E_OK;
}

void engine_return(EngineLease **lease_place)
{
    EngineLease *lease = *lease_place;
    if (!lease)
        return;
    EnginePoolState *pool = &lease->engine->pools[lease->pool];
    border_disconnect(&lease->conn);
    mutex_lock(&pool->mutex);
    pool->leased--;
    lease->instance->leases--;
    if (lease->instance->retired && lease->instance->leases == 0)
        instance_close(&lease->instance);
    cond_signal(&pool->returned);
    mutex_unlock(&pool->mutex);
    mem_free(lease_place);
}

BorderConn *engine_lease_conn(EngineLease *lease)
{
    return lease->conn;
}

/* ---- results ---- */

/* Gives a border's CANCELLED its reason. */
static Code reason(const EngineLease *lease, Code code, Err *err)
{
    if (code != E_CANCELLED)
        return code;
    if (atomic_load(&lease->timed_out))
        return err_set(err, E_TIMEOUT, "the statement ran out of its time");
    return err_set(err, E_CANCELLED, "the statement was cancelled");
}

static Code check_time(EngineLease *lease, Err *err)
{
    if (lease->deadline_us && now_us(lease->engine) >= lease->deadline_us &&
        !atomic_load(&lease->cancelled))
        atomic_store(&lease->timed_out, true);
    if (atomic_load(&lease->timed_out) || atomic_load(&lease->cancelled) || flag_raised(lease))
        return reason(lease, E_CANCELLED, err);
    return E_OK;
}

static void call_begin(EngineLease *lease)
{
    atomic_store(&lease->call_us, now_us(lease->engine));
}

static void call_end(EngineLease *lease)
{
    atomic_store(&lease->call_us, 0);
}

static void wait_moment(EngineLease *lease)
{
    Engine *engine = lease->engine;
    if (!os_has_threads(engine->options.os))
        return;
    Mutex mutex;
    Cond never;
    mutex_init(&mutex);
    cond_init(&never);
    mutex_lock(&mutex);
    IGNORE(cond_wait_us(&never, &mutex, WAIT_US));
    mutex_unlock(&mutex);
    cond_done(&never);
    mutex_done(&mutex);
}

static Code run_until_ready(EngineResult *result, Err *err)
{
    for (;;) {
        BorderStep step;
        TRY(check_time(result->lease, err));
        TRY(reason(result->lease, border_query_step(result->query, &step, err), err));
        if (step == BORDER_READY)
            return E_OK;
        if (step == BORDER_WAIT)
            wait_moment(result->lease);
    }
}

static Code query_begin(EngineResult *result, const EngineQuery *query, Err *err)
{
    EngineLease *lease = result->lease;
    TRY(reason(lease, border_query_start(lease->conn, &query->request, &result->query, err), err));
    result->stats.plan_us = now_us(lease->engine) - result->started_us;
    TRY(border_query_schema(result->query, &result->schema, err));
    TRY(run_until_ready(result, err));
    result->stats.first_us = now_us(lease->engine) - result->started_us;
    return E_OK;
}

Code engine_query(EngineLease *lease, const EngineQuery *query, EngineResult **ret_result, Err *err)
{
    EnginePoolState *pool = &lease->engine->pools[lease->pool];
    mutex_lock(&pool->mutex);
    pool->queries++;
    mutex_unlock(&pool->mutex);
    EngineResult *result = mem_new(sizeof *result);
    result->lease = lease;
    result->bytes_max = query->result_bytes_max;
    result->started_us = now_us(lease->engine);
    watch_begin(lease, query);
    call_begin(lease);
    Code code = query_begin(result, query, err);
    call_end(lease);
    if (code != E_OK)
        engine_result_free(&result);
    else
        *ret_result = result;
    return code;
}

const struct ArrowSchema *engine_result_schema(const EngineResult *result)
{
    return &result->schema;
}

Str engine_result_column_type(const EngineResult *result, size_t column)
{
    return border_query_column_type(result->query, column);
}

BorderQuery *engine_result_query(EngineResult *result)
{
    return result->query;
}

Code engine_result_next(EngineResult *result, struct ArrowArray *ret_array, Err *err)
{
    EngineLease *lease = result->lease;
    struct ArrowArray array = { 0 };
    size_t bytes = 0;
    TRY(check_time(lease, err));
    call_begin(lease);
    Code code = border_query_fetch(result->query, ENGINE_BATCH_ROWS, ENGINE_BATCH_BYTES, &array,
                                   &bytes, err);
    call_end(lease);
    TRY(reason(lease, code, err));
    result->stats.total_us = now_us(lease->engine) - result->started_us;
    if (array.release) {
        result->stats.rows += (uint64_t)array.length;
        result->stats.batches++;
        result->stats.bytes += bytes;
    }
    if (result->bytes_max && result->stats.bytes > result->bytes_max) {
        array.release(&array);
        return err_set(err, E_LIMIT, "the result has more than %llu bytes",
                       (unsigned long long)result->bytes_max);
    }
    *ret_array = array;
    return E_OK;
}

/* The watch's mutex is held. */
static void cancel_now(EngineLease *lease)
{
    atomic_store(&lease->cancelled, true);
    lease->deadline_us = 1;
    lease_interrupt(lease, now_us(lease->engine));
    cond_signal(&lease->engine->watch_changed);
}

void engine_result_cancel(EngineResult *result)
{
    MUTEX_HELD(&result->lease->engine->watch_mutex);
    cancel_now(result->lease);
}

void engine_lease_cancel(EngineLease *lease)
{
    MUTEX_HELD(&lease->engine->watch_mutex);
    atomic_store(&lease->ended, true);
    cancel_now(lease);
}

EngineStats engine_result_stats(const EngineResult *result)
{
    return result->stats;
}

void engine_result_free(EngineResult **result_place)
{
    EngineResult *result = *result_place;
    if (!result)
        return;
    call_begin(result->lease);
    border_query_free(&result->query); /* waits for the threads that still work */
    watch_end(result->lease);
    if (result->schema.release)
        result->schema.release(&result->schema);
    mem_free(result_place);
}

EngineCounts engine_counts(Engine *engine, EnginePool which)
{
    EnginePoolState *pool = &engine->pools[which];
    mutex_lock(&engine->watch_mutex);
    uint64_t late = engine->late;
    mutex_unlock(&engine->watch_mutex);
    MUTEX_HELD(&pool->mutex);
    return (EngineCounts){ .late = late,
                           .queries = pool->queries,
                           .reopened = pool->opened > 1 ? pool->opened - 1 : 0,
                           .leased = pool->leased };
}
