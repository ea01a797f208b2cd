/* A round: sweep, purge, compact, join, expire, reclaim (also of dropped tables, and orphans), forget. Invariants:
 * 1. Steps are independent and repeatable: one that fails or is cut off loses nothing.
 * 2. Nothing is removed that a commit names: the sweep takes intents only, and each commit ends its own
 *    (table/create.c); the store moves what is live before it forgets a segment; table/reclaim.c looks at what
 *    every snapshot reaches.
 * 3. What adds bytes unasked (joining files) waits for store_background_ok; what frees them does not. */
#include "main/maintain.h"

#include "base/log.h"
#include "base/text.h"
#include "os/thread.h"
#include "store/store_keep.h"

enum { COMMITS_KEPT_DAYS = 30 };

static const int64_t DAY_US = 86400000000;
static const Str orphans_setting = STR_INIT("maintenance.orphans_last_us");

struct Maintain {
    MaintainOptions options;
    Thread thread;
    Mutex mutex; /* guards `ending`, which a round reads without it */
    Cond changed;
    bool ending;
};

static void failed(const MaintainOptions *o, const char *step, const Err *err)
{
    if (o->shown)
        atomic_fetch_add(&o->shown->failures, 1);
    log_line(LOG_WARN, "event=maintain step=%s error=%s", step, err->text);
}

static void sweep(const MaintainOptions *o, int64_t now_us, const bool *stop)
{
    Err err;
    size_t objects = 0;
    if (catalog_sweep(o->catalog, now_us - o->grace_ms * 1000, stop, &objects, &err) != E_OK)
        failed(o, "sweep", &err);
    else
        log_line(LOG_DEBUG, "event=maintain step=sweep objects=%zu", objects);
}

static void compact(const MaintainOptions *o, const bool *stop)
{
    Err err;
    size_t segments = 0;
    if (store_compact(o->store, stop, &segments, &err) != E_OK)
        failed(o, "compact", &err);
    else
        log_line(LOG_DEBUG, "event=maintain step=compact segments=%zu", segments);
}

static void purge(const MaintainOptions *o, const bool *stop)
{
    Err err;
    StorePurged purged;
    if (store_trash_purge(o->store, stop, &purged, &err) != E_OK)
        failed(o, "purge", &err);
    else
        log_line(LOG_DEBUG, "event=maintain step=purge files=%llu", (unsigned long long)purged.objects);
}

static void table_join(const MaintainOptions *o, const TableEntry *entry, const bool *stop)
{
    Err err;
    SqlCompacted done = { 0 };
    TableVersion *version AUTO(table_version_free) = NULL;
    if (entry->is_view || catalog_load(o->catalog, entry->ns, entry->name, &version, NULL) != E_OK)
        return; /* dropped meanwhile, or damaged: whoever reads it says so */
    const TableMetadata *m = table_version_metadata(version);
    if (m == NULL || !str_ieq(table_property(m, STR("tarn.compact"), STR("")), STR("true")))
        return;
    SqlCompact compact = { .ns = entry->ns, .name = entry->name, .rule = o->compact, .background = true, .stop = stop };
    Code code = sql_compact(o->sql, &compact, &done, &err);
    if (code != E_OK && code != E_CANCELLED)
        failed(o, "join", &err);
    if (o->shown) {
        atomic_fetch_add(&o->shown->joined_files, done.files_before);
        atomic_fetch_add(&o->shown->joined_bytes, done.bytes);
    }
    if (done.commits > 0)
        log_line(LOG_INFO, "event=compact table=" STR_FMT "." STR_FMT " files=%zu into=%zu rows=%llu bytes=%llu",
                 STR_ARG(entry->ns), STR_ARG(entry->name), done.files_before, done.files_after,
                 (unsigned long long)done.rows, (unsigned long long)done.bytes);
}

static void join(const MaintainOptions *o, const bool *stop)
{
    Err err;
    Arena tmp AUTO(arena_done) = { 0 };
    TableEntry *entries;
    size_t count;
    if (o->sql == NULL)
        return;
    if (catalog_table_list(o->catalog, STR_NONE, &tmp, &entries, &count, &err) != E_OK) {
        failed(o, "join", &err);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!__atomic_load_n(stop, __ATOMIC_ACQUIRE) && store_background_ok(o->store))
            table_join(o, &entries[i], stop);
}

static void expire(const MaintainOptions *o, int64_t now_us, const bool *stop)
{
    Err err;
    size_t snapshots = 0, objects = 0;
    if (catalog_expire(o->catalog, stop, &snapshots, &err) != E_OK)
        failed(o, "expire", &err);
    if (catalog_reclaim(o->catalog, now_us - o->reclaim_ms * 1000, stop, &objects, &err) != E_OK)
        failed(o, "reclaim", &err);
    log_line(snapshots + objects > 0 ? LOG_INFO : LOG_DEBUG, "event=maintain step=reclaim snapshots=%zu objects=%zu",
             snapshots, objects);
}

/* Foreign readers have their time; when the disk gets full, as the trash of the store, dropped tables have not. */
static void dropped(const MaintainOptions *o, int64_t now_us, const bool *stop)
{
    Err err;
    size_t objects = 0;
    StoreSpace space;
    store_space(o->store, &space);
    int64_t kept_ms = space.level == SPACE_HEALTHY ? MAX(o->trash_ms, o->reclaim_ms) : 0;
    if (catalog_reclaim_dropped(o->catalog, now_us - kept_ms * 1000, stop, &objects, &err) != E_OK)
        failed(o, "dropped", &err);
    log_line(objects > 0 ? LOG_INFO : LOG_DEBUG, "event=maintain step=dropped objects=%zu", objects);
}

/* When orphans were looked for last; 0: never. */
static Code orphans_last(const MaintainOptions *o, int64_t *ret_us, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaSetting setting;
    TRY(meta_read_begin(o->meta, &read, err));
    Code code = meta_get_setting(read, orphans_setting, &tmp, &setting, err);
    *ret_us = 0;
    if (code == E_NOT_FOUND || (code == E_OK && !str_i64(setting.value, ret_us)))
        return E_OK;
    return code;
}

static Code orphans_done(const MaintainOptions *o, int64_t now_us, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_put_setting(&txn, orphans_setting, str_format(&tmp, "%lld", (long long)now_us));
    return meta_commit(o->meta, &txn, err);
}

/* It reads every manifest, so not at each round. */
static void orphans(const MaintainOptions *o, int64_t now_us, const bool *stop)
{
    Err err;
    size_t objects = 0;
    int64_t last_us;
    if (o->orphans_ms == 0)
        return;
    Code code = orphans_last(o, &last_us, &err);
    if (code == E_OK && now_us >= last_us && now_us - last_us < o->orphans_ms * 1000)
        return;
    if (code == E_OK)
        code = catalog_reclaim_orphans(o->catalog, now_us - o->grace_ms * 1000, stop, &objects, &err);
    if (code == E_OK && !__atomic_load_n(stop, __ATOMIC_ACQUIRE))
        code = orphans_done(o, now_us, &err);
    if (code != E_OK)
        failed(o, "orphans", &err);
    log_line(objects > 0 ? LOG_INFO : LOG_DEBUG, "event=maintain step=orphans objects=%zu", objects);
}

/* Said at each round until there is room again. */
static void space_tell(const MaintainOptions *o)
{
    static const char *const levels[] = { "healthy", "alarm", "background", "full" };
    StoreSpace space;
    store_space(o->store, &space);
    if (space.level != SPACE_HEALTHY)
        log_line(LOG_WARN, "event=space level=%s free_bytes=%llu total_bytes=%llu refused=%llu", levels[space.level],
                 (unsigned long long)space.free_bytes, (unsigned long long)space.total_bytes,
                 (unsigned long long)space.refused);
}

static void forget(const MaintainOptions *o, int64_t now_us, const bool *stop)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    MetaTxn txn;
    if (__atomic_load_n(stop, __ATOMIC_ACQUIRE))
        return;
    meta_txn_init(&txn, &arena);
    meta_delete_commits_before(&txn, now_us - COMMITS_KEPT_DAYS * DAY_US);
    meta_delete_audit_before(&txn, now_us - o->audit_ms * 1000);
    if (meta_commit(o->meta, &txn, &err) != E_OK)
        failed(o, "forget", &err);
    else
        log_line(LOG_DEBUG, "event=maintain step=forget");
}

static void flush(const MaintainOptions *o)
{
    Err err;
    if (o->govern && govern_access_flush(o->govern, &err) != E_OK)
        failed(o, "flush", &err);
    if (o->flush)
        o->flush(o->flush_arg);
}

static void clock_tell(const ClockLook *look)
{
    static const char *const states[] = { "well", "behind", "ahead" };
    static const char *const meanings[] = {
        "the machine's clock has caught up",
        "the machine's clock was set back: keys and sessions end by the floor; `tarn doctor` says how to reset it",
        "the machine's clock leapt ahead of what is believed at once: is it right?",
    };
    Arena tmp AUTO(arena_done) = { 0 };
    log_line(look->state == CLOCK_WELL ? LOG_INFO : LOG_WARN,
             "event=clock state=%s wall=" STR_FMT " floor=" STR_FMT " meaning=\"%s\"", states[look->state],
             STR_ARG(time_format(&tmp, look->wall_us)), STR_ARG(time_format(&tmp, look->floor_us)),
             meanings[look->state]);
}

static void keep_clock(const MaintainOptions *o)
{
    Err err;
    ClockLook look;
    if (!o->clock)
        return;
    if (clock_news(o->clock, &look))
        clock_tell(&look);
    if (clock_keep(o->clock, &err) != E_OK)
        failed(o, "clock", &err);
}

/* False: the thread is to end. */
static bool wait_some(Maintain *m, int64_t until_us)
{
    MUTEX_HELD(&m->mutex);
    int64_t left_us;
    until_us = MIN(until_us, os_monotonic_us(m->options.os) + (int64_t)MAINTAIN_LOOK_S * 1000000);
    while (!m->ending && (left_us = until_us - os_monotonic_us(m->options.os)) > 0)
        if (!cond_wait_us(&m->changed, &m->mutex, left_us))
            break;
    return !m->ending;
}

static bool wait_round(Maintain *m)
{
    int64_t until_us = os_monotonic_us(m->options.os) + m->options.interval_ms * 1000;
    for (int looks = 1; wait_some(m, until_us); looks++) {
        bool over = os_monotonic_us(m->options.os) >= until_us;
        keep_clock(&m->options);
        if (over)
            return true;
        if (looks % (MAINTAIN_FLUSH_S / MAINTAIN_LOOK_S) == 0)
            flush(&m->options);
    }
    return false;
}

void maintain_round(const MaintainOptions *options, const bool *stop)
{
    int64_t now_us = os_now_us(options->os);
    keep_clock(options);
    flush(options);
    sweep(options, now_us, stop);
    purge(options, stop);
    compact(options, stop);
    keep_clock(options);
    join(options, stop);
    keep_clock(options);
    expire(options, now_us, stop);
    dropped(options, now_us, stop);
    orphans(options, now_us, stop);
    forget(options, now_us, stop);
    space_tell(options);
    if (options->shown)
        atomic_store(&options->shown->seconds, (uint64_t)(os_now_us(options->os) / 1000000));
}

static void *maintain_run(void *arg)
{
    Maintain *m = arg;
    do
        maintain_round(&m->options, &m->ending);
    while (wait_round(m));
    return NULL;
}

Code maintain_start(const MaintainOptions *options, Maintain **ret_maintain, Err *err)
{
    Maintain *m = mem_new(sizeof *m);
    m->options = *options;
    mutex_init(&m->mutex);
    cond_init(&m->changed);
    Code code = thread_start(&m->thread, "maintain", maintain_run, m, err);
    if (code != E_OK)
        maintain_free(&m);
    else
        *ret_maintain = m;
    return code;
}

void maintain_free(Maintain **maintain)
{
    Maintain *m = TAKE(*maintain);
    if (!m)
        return;
    mutex_lock(&m->mutex);
    __atomic_store_n(&m->ending, true, __ATOMIC_RELEASE);
    cond_signal(&m->changed);
    mutex_unlock(&m->mutex);
    thread_join(&m->thread);
    cond_done(&m->changed);
    mutex_done(&m->mutex);
    mem_free(&m);
}
