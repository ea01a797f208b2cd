/* Invariants:
 * 1. The row `bronze.objects` of feed_cursors is the authority; it moves from the place where a step
 *    began, in the transaction of the commit that holds the step's rows, or where there were none.
 * 2. `landed` is a place that was committed: a version of the table that is loaded later has every row
 *    up to it.
 * 3. After a step that failed the place is read again before the next, which waits until it can be read.
 * 4. What the feed may forget is at or before the place of every reader, and of every query that is not done:
 *    a query that knows an older version of the table still finds its tail, however long it takes. */
#include "source/landing.h"

#include "base/log.h"
#include "os/thread.h"
#include "source/objects_priv.h"
#include "table/iceberg.h"

#define NS STR("bronze")
#define NAME STR("objects")
#define CONSUMER STR("bronze.objects")
#define PROPERTY STR("tarn.feed-sequence")

enum { SKIPPED_MAX = 10000, PAGE = 2000, RETRY_MS = 5000 };

struct Landing {
    LandingOptions options;
    Arena arena;
    Uuid table;
    Thread thread;
    bool stop;        /* read atomically */
    uint64_t durable; /* the row of feed_cursors; the stepper's */
    uint64_t seen;    /* up to here nothing is to be landed; the stepper's, at least `durable` */
    bool lost_place;  /* `durable` and `seen` are not what they should be: invariant 3; the stepper's */
    Mutex mutex;      /* guards what follows */
    Cond changed;     /* `stop` */
    uint64_t landed;
    uint64_t *pins; /* where queries that go on began; in no order */
    size_t pin_count, pin_cap;
    uint64_t rows, commits, failures, lost;
};

/* ---- the table ---- */

static Code table_make(Landing *landing, Err *err)
{
    static const IceType types[] = { [COLUMN_TEXT] = { .kind = ICE_STRING },
                                     [COLUMN_I64] = { .kind = ICE_LONG },
                                     [COLUMN_TIME] = { .kind = ICE_TIMESTAMPTZ } };
    static const PartitionColumn day = { .column = STR_INIT("event_time"),
                                         .transform = { .kind = TRANSFORM_DAY } };
    SourceColumn columns[SOURCE_COLUMNS_MAX];
    IceField fields[SOURCE_COLUMNS_MAX] = { 0 };
    size_t count = source_changes_columns(columns);
    for (size_t i = 0; i < count; i++)
        fields[i] = (IceField){ .name = columns[i].name, .type = &types[columns[i].type] };
    TableCreate create = { .ns = NS, .name = NAME, .columns = fields, .column_count = count,
                           .partition = &day, .partition_count = 1 };
    Code code = catalog_namespace_create(landing->options.catalog, NS, NULL, 0, NULL, err);
    if (code == E_OK || code == E_EXISTS)
        code = catalog_table_create(landing->options.catalog, &create, NULL, err);
    return code == E_EXISTS ? E_OK : code;
}

static Code table_find(Landing *landing, Err *err)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code = catalog_load(landing->options.catalog, NS, NAME, &version, err);
    if (code == E_NOT_FOUND) { /* asked first: making it writes, also where it is there already */
        TRY(table_make(landing, err));
        code = catalog_load(landing->options.catalog, NS, NAME, &version, err);
    }
    TRY(code);
    landing->table = table_version_entry(version)->uuid;
    return E_OK;
}

/* ---- places ---- */

static Code place_load(Landing *landing, Err *err)
{
    int64_t sequence = 0;
    MetaRead *read AUTO(meta_read_end) = NULL;
    TRY(meta_read_begin(landing->options.meta, &read, err));
    TRY(meta_get_feed_cursor(read, CONSUMER, &sequence, err));
    landing->durable = (uint64_t)sequence;
    __atomic_store_n(&landing->seen, landing->durable, __ATOMIC_RELAXED);
    landing->lost_place = false;
    MUTEX_HELD(&landing->mutex);
    landing->landed = landing->durable;
    return E_OK;
}

/* The place of the slowest reader. */
static Code slowest(Landing *landing, uint64_t *ret_sequence, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaFeedCursor *cursors;
    size_t count;
    TRY(meta_read_begin(landing->options.meta, &read, err));
    TRY(meta_list_feed_cursors(read, &tmp, &cursors, &count, err));
    uint64_t least = landing->durable;
    for (size_t i = 0; i < count; i++)
        least = MIN(least, (uint64_t)cursors[i].sequence);
    *ret_sequence = least;
    return E_OK;
}

static Code give_back(Landing *landing, Err *err)
{
    uint64_t least;
    TRY(slowest(landing, &least, err));
    {
        MUTEX_HELD(&landing->mutex); /* a pin that comes after it stands at `landed`, which is behind `least` */
        for (size_t i = 0; i < landing->pin_count; i++)
            least = MIN(least, landing->pins[i]);
    }
    store_feed_release(landing->options.store, least);
    return E_OK;
}

static uint64_t landed_pin(void *self)
{
    Landing *landing = self;
    MUTEX_HELD(&landing->mutex);
    if (landing->pin_count == landing->pin_cap) {
        landing->pin_cap = MAX(2 * landing->pin_cap, (size_t)16);
        landing->pins = mem_grow(landing->pins, landing->pin_cap * sizeof *landing->pins);
    }
    landing->pins[landing->pin_count++] = landing->landed;
    return landing->landed;
}

static void landed_unpin(void *self, uint64_t place)
{
    Landing *landing = self;
    MUTEX_HELD(&landing->mutex);
    size_t i = 0;
    while (i < landing->pin_count && landing->pins[i] != place)
        i++;
    ASSERT(i < landing->pin_count);
    landing->pins[i] = landing->pins[--landing->pin_count];
}

/* ---- a step ---- */

/* Looks for the first change behind `seen` that makes a row, and says up to which one a step goes. */
static Code changes_find(Landing *landing, uint64_t *ret_until, bool *ret_any, Err *err)
{
    uint64_t at = landing->seen, newest = store_sequence(landing->options.store);
    while (at < newest) {
        Arena tmp AUTO(arena_done) = { 0 };
        StoreChange *changes;
        size_t count;
        TRY(store_feed_read(landing->options.store, at, PAGE, &tmp, &changes, &count, err));
        for (size_t i = 0; i < count; i++) {
            if (!source_counts(landing->options.source, &changes[i]))
                continue;
            *ret_any = true;
            *ret_until = MAX(changes[i].sequence,
                             MIN(newest, changes[i].sequence - 1 + landing->options.rows_max));
            return E_OK;
        }
        at = count < PAGE ? MAX(newest, count > 0 ? changes[count - 1].sequence : 0)
                          : changes[count - 1].sequence;
    }
    *ret_any = false;
    *ret_until = at;
    return E_OK;
}

static void committed(Landing *landing, uint64_t until, uint64_t rows)
{
    landing->durable = until;
    __atomic_store_n(&landing->seen, until, __ATOMIC_RELAXED);
    MUTEX_HELD(&landing->mutex);
    landing->landed = until;
    landing->rows += rows;
    landing->commits += rows > 0;
}

static Code place_move(Landing *landing, uint64_t until, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_move_feed_cursor(&txn, CONSUMER, (int64_t)landing->durable, (int64_t)until);
    TRY(meta_commit(landing->options.meta, &txn, err));
    committed(landing, until, 0);
    return E_OK;
}

static Code files_write(Landing *landing, const TableVersion *version, Str run_id, uint64_t until, Arena *arena,
                        DataFile **ret_files, size_t *ret_count, SqlWriteStats *ret_stats, Err *err)
{
    const TableMetadata *metadata = table_version_metadata(version);
    SqlBinding changes = { .name = STR("changes"), .source = source_changes(landing->options.source) };
    SqlWrite write = {
        .select = { .text = str_format(arena, "SELECT * FROM changes WHERE sequence > %llu AND sequence <= %llu",
                                       (unsigned long long)landing->seen, (unsigned long long)until),
                    .bindings = &changes, .binding_count = 1, .read_only = true },
        .schema = table_schema_current(metadata),
        .spec = table_spec_default(metadata),
        .location = metadata->location,
        .metadata = metadata,
        .table = landing->table,
        .run_id = run_id,
        .from_reserve = true, /* deletes are rows too, and the feed holds their segments until then */
    };
    return sql_write(landing->options.sql, &write, arena, ret_files, ret_count, ret_stats, err);
}

/* A commit a minute: its files are joined, its snapshots thinned out (table/table_keep.h). */
static const IceProperty KEPT[] = { { STR_INIT("tarn.compact"), STR_INIT("true") },
                                    { STR_INIT("tarn.snapshots-thin"), STR_INIT("true") } };

static size_t properties_missing(const TableVersion *version, IceProperty *set, size_t count)
{
    for (size_t i = 0; i < ARRAY_LEN(KEPT); i++)
        if (table_property(table_version_metadata(version), KEPT[i].key, STR_NONE).ptr == NULL)
            set[count++] = KEPT[i];
    return count;
}

static Code rows_land(Landing *landing, uint64_t until, uint64_t *ret_rows, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    TableVersion *version AUTO(table_version_free) = NULL;
    DataFile *files;
    size_t count;
    MetaTxn txn;
    CommitResult result;
    SqlWriteStats stats;
    Str run_id = str_format(&arena, "feed:" STR_FMT, STR_ARG(uuid_format(&arena, os_uuid(landing->options.os))));
    TRY(catalog_load(landing->options.catalog, NS, NAME, &version, err));
    TRY(files_write(landing, version, run_id, until, &arena, &files, &count, &stats, err));
    Str place = str_format(&arena, "%llu", (unsigned long long)until);
    IceProperty set[1 + ARRAY_LEN(KEPT)] = { { .key = PROPERTY, .value = place } };
    size_t set_count = properties_missing(version, set, 1);
    TableCommit commit = { .name = { NS, NAME }, .uuid = landing->table, .kind = COMMIT_APPEND, .add = files,
                           .add_count = count, .set = set, .set_count = set_count, .summary = set,
                           .summary_count = 1, .run_id = run_id };
    meta_txn_init(&txn, &arena);
    meta_move_feed_cursor(&txn, CONSUMER, (int64_t)landing->durable, (int64_t)until);
    TRY(catalog_commit(landing->options.catalog, &commit, 1, &txn, &result, err));
    committed(landing, until, stats.rows);
    *ret_rows = stats.rows;
    return E_OK;
}

/* The feed has forgotten changes that were not landed: said aloud, and gone on behind them. */
static Code gap_skip(Landing *landing, Err *err)
{
    uint64_t from = store_feed_begin(landing->options.store);
    log_line(LOG_ERROR, "event=feed_gap consumer=bronze.objects after=%llu until=%llu",
             (unsigned long long)landing->seen, (unsigned long long)from);
    {
        MUTEX_HELD(&landing->mutex);
        landing->lost += from - landing->seen;
    }
    return place_move(landing, from, err);
}

static Code step(Landing *landing, uint64_t *ret_rows, Err *err)
{
    uint64_t until = 0, rows = 0;
    bool any = false;
    Code code = changes_find(landing, &until, &any, err);
    if (code == E_GONE) {
        TRY(gap_skip(landing, err));
        code = changes_find(landing, &until, &any, err);
    }
    TRY(code);
    if (any)
        TRY(rows_land(landing, until, &rows, err));
    else if (until - landing->durable >= SKIPPED_MAX)
        TRY(place_move(landing, until, err));
    else
        __atomic_store_n(&landing->seen, MAX(landing->seen, until), __ATOMIC_RELAXED);
    *ret_rows = rows;
    return give_back(landing, err);
}

Code landing_step(Landing *landing, uint64_t *ret_rows, Err *err)
{
    Code code = landing->lost_place ? place_load(landing, err) : E_OK;
    if (code == E_OK)
        code = step(landing, ret_rows, err);
    if (code == E_OK)
        return E_OK;
    {
        MUTEX_HELD(&landing->mutex);
        landing->failures++;
    }
    landing->lost_place = true;
    IGNORE(place_load(landing, NULL)); /* at once, for those who ask how far it is; else before the next step */
    return code;
}

/* ---- the thread ---- */

static void pause_ms(Landing *landing, int64_t ms)
{
    MUTEX_HELD(&landing->mutex);
    if (!__atomic_load_n(&landing->stop, __ATOMIC_ACQUIRE))
        IGNORE(!cond_wait_us(&landing->changed, &landing->mutex, ms * 1000));
}

static void *landing_run(void *arg)
{
    Landing *landing = arg;
    Store *store = landing->options.store;
    Err err;
    uint64_t rows;
    for (;;) {
        store_feed_wait(store, landing->seen, -1, &landing->stop);
        store_feed_wait(store, landing->seen + landing->options.rows_max, landing->options.interval_ms * 1000,
                        &landing->stop);
        if (__atomic_load_n(&landing->stop, __ATOMIC_ACQUIRE))
            return NULL;
        err_clear(&err);
        if (landing_step(landing, &rows, &err) == E_OK)
            continue;
        log_line(LOG_WARN, "event=landing table=bronze.objects error=%s", err.text);
        pause_ms(landing, RETRY_MS);
    }
}

Code landing_start(Landing *landing, Err *err)
{
    return thread_start(&landing->thread, "landing", landing_run, landing, err);
}

static Code landing_begin(Landing *landing, Err *err)
{
    SqlTail tail = { .ns = NS, .name = NAME, .source = source_changes(landing->options.source),
                     .column = STR("sequence"), .property = PROPERTY, .pin = landed_pin, .unpin = landed_unpin,
                     .self = landing };
    TRY(table_find(landing, err));
    TRY(place_load(landing, err));
    store_feed_release(landing->options.store, 0);
    return sql_register_tail(landing->options.sql, &tail, err);
}

Code landing_open(const LandingOptions *options, Landing **ret_landing, Err *err)
{
    Landing *landing AUTO(landing_free) = mem_new(sizeof *landing);
    landing->options = *options;
    if (options->interval_ms == 0)
        landing->options.interval_ms = LANDING_INTERVAL_MS;
    if (options->rows_max == 0)
        landing->options.rows_max = LANDING_ROWS_MAX;
    mutex_init(&landing->mutex);
    cond_init(&landing->changed);
    TRY(landing_begin(landing, err));
    *ret_landing = TAKE(landing);
    return E_OK;
}

void landing_free(Landing **landing_pointer)
{
    Landing *landing = TAKE(*landing_pointer);
    if (!landing)
        return;
    {
        MUTEX_HELD(&landing->mutex);
        __atomic_store_n(&landing->stop, true, __ATOMIC_RELEASE);
        cond_broadcast(&landing->changed);
    }
    store_feed_wake(landing->options.store);
    thread_join(&landing->thread);
    cond_done(&landing->changed);
    mutex_done(&landing->mutex);
    mem_free(&landing->pins);
    arena_done(&landing->arena);
    mem_free(&landing);
}

LandingState landing_state(Landing *landing)
{
    uint64_t newest = store_sequence(landing->options.store);
    MUTEX_HELD(&landing->mutex);
    return (LandingState){ .landed = landing->landed,
                           .seen = __atomic_load_n(&landing->seen, __ATOMIC_RELAXED),
                           .newest = newest, .rows = landing->rows, .commits = landing->commits,
                           .failures = landing->failures, .lost = landing->lost };
}
