/* Invariants:
 * 1. A walk changes nothing but DIR/store/scrubbed, and that only when it went to the end.
 * 2. It begins when store_background_ok says so; its reads are paced by store_scrub.
 * 3. The clock of the schedule is the wall's, looked at every LOOK_S: one that jumps moves a walk, no more. */
#include "main/scrub.h"

#include "base/log.h"
#include "base/text.h"
#include "os/thread.h"
#include "store/store_keep.h"

enum { LOOK_S = 60, RESULT_MAX = 8192, FIRST_MAX = 2048 };

struct Scrub {
    ScrubOptions options;
    Thread thread;
    Mutex mutex; /* guards `ending`, which a walk reads without it */
    Cond changed;
    bool ending;
};

static const char *path_in(const char *data_dir, const char *name, Arena *arena)
{
    return str_copy_z(arena, str_format(arena, "%s/%s", data_dir, name));
}

/* ---- the last result: "ENDED_US OBJECTS BYTES FINDINGS" and a line with the first finding ---- */

static bool number_take(Str *rest, char separator, uint64_t *ret_value)
{
    Str part;
    return str_split(rest, separator, &part) && str_u64(part, ret_value);
}

void scrub_last(Os *os, const char *data_dir, Arena *arena, ScrubLast *ret_last)
{
    Buf text AUTO(buf_done) = { 0 };
    uint64_t ended;
    ScrubLast last = { 0 };
    *ret_last = last;
    buf_init(&text, RESULT_MAX);
    if (os_read_whole(os, path_in(data_dir, "store/scrubbed", arena), &text, NULL) != E_OK)
        return;
    Str rest = buf_str(&text);
    if (!number_take(&rest, ' ', &ended) || !number_take(&rest, ' ', &last.objects) ||
        !number_take(&rest, ' ', &last.bytes) || !number_take(&rest, '\n', &last.findings) || ended > INT64_MAX)
        return;
    last.ended_us = (int64_t)ended;
    last.first = str_copy(arena, str_trim(rest));
    *ret_last = last;
}

static void last_show(const ScrubOptions *o, const ScrubLast *last)
{
    atomic_store(&o->shown->seconds, (uint64_t)(last->ended_us / 1000000));
    atomic_store(&o->shown->objects, last->objects);
    atomic_store(&o->shown->bytes, last->bytes);
    atomic_store(&o->shown->findings, last->findings);
}

static void last_keep(const ScrubOptions *o, const ScrubLast *last, Arena *arena)
{
    Err err;
    Str text = str_format(arena, "%lld %llu %llu %llu\n" STR_FMT "\n", (long long)last->ended_us,
                          (unsigned long long)last->objects, (unsigned long long)last->bytes,
                          (unsigned long long)last->findings, STR_ARG(last->first));
    last_show(o, last);
    if (os_write_whole(o->os, path_in(o->data_dir, "store/scrubbed", arena), text, &err) != E_OK)
        log_line(LOG_WARN, "event=scrub result=not_kept error=%s", err.text);
}

/* ---- a walk ---- */

typedef struct Walk {
    Arena arena;
    Str first;
    size_t told;
} Walk;

/* Keys have any bytes; this goes into a line, and to a terminal. */
static Str line_of(Arena *arena, Str text)
{
    Str cut = str_sub(text, 0, FIRST_MAX);
    char *line = arena_copy(arena, cut.ptr, cut.len);
    for (size_t i = 0; i < cut.len; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    return str_of(line, cut.len);
}

static void found(void *arg, const StoreFinding *finding)
{
    Walk *walk = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    if (walk->told++ >= SCRUB_TOLD_MAX)
        return;
    Str name = finding->bucket.len ? str_format(&tmp, "s3://" STR_FMT "/" STR_FMT, STR_ARG(finding->bucket),
                                                STR_ARG(finding->key))
                                   : STR("-");
    log_line(LOG_ERROR, "event=scrub result=damaged code=%s object=" STR_FMT " file=%s byte=%llu error=%s advice=%s",
             code_info(finding->code)->name, STR_ARG(name), finding->file[0] ? finding->file : "-",
             (unsigned long long)finding->at, finding->text, finding->advice);
    if (walk->told == 1)
        walk->first = line_of(&walk->arena, str_format(&tmp, STR_FMT ": %s", STR_ARG(name), finding->text));
}

bool scrub_round(const ScrubOptions *o, const bool *stop)
{
    Err err;
    Walk walk = { 0 };
    StoreVerified seen;
    StoreScrub wanted = { .hashes = true, .bytes_per_second = o->bytes_per_second, .stop = stop };
    err_clear(&err);
    log_line(LOG_INFO, "event=scrub result=begun bytes_per_second=%llu", (unsigned long long)o->bytes_per_second);
    Code code = store_scrub(o->store, &wanted, found, &walk, &seen, &err);
    bool cut = __atomic_load_n(stop, __ATOMIC_ACQUIRE);
    if (code != E_OK && !cut)
        log_line(LOG_WARN, "event=scrub result=failed error=%s", err.text);
    if (code == E_OK && !cut) {
        ScrubLast last = { os_now_us(o->os), seen.objects, seen.bytes, seen.findings, walk.first };
        log_line(seen.findings ? LOG_ERROR : LOG_INFO, "event=scrub result=%s objects=%llu bytes=%llu findings=%llu",
                 seen.findings ? "damaged" : "whole", (unsigned long long)seen.objects,
                 (unsigned long long)seen.bytes, (unsigned long long)seen.findings);
        last_keep(o, &last, &walk.arena);
    }
    arena_done(&walk.arena);
    return code == E_OK;
}

/* ---- the schedule ---- */

static int64_t first_due_us(const ScrubOptions *o)
{
    Arena tmp AUTO(arena_done) = { 0 };
    ScrubLast last;
    OsStat stat;
    scrub_last(o->os, o->data_dir, &tmp, &last);
    last_show(o, &last);
    int64_t from_us = last.ended_us;
    if (from_us == 0 && os_stat(o->os, path_in(o->data_dir, "FORMAT", &tmp), &stat, NULL) == E_OK)
        from_us = stat.modified_us;
    return MIN(from_us, os_now_us(o->os)) + o->interval_ms * 1000;
}

/* False: the thread is to end. */
static bool wait_until(Scrub *s, int64_t due_us)
{
    int64_t left_us;
    MUTEX_HELD(&s->mutex);
    while (!s->ending && ((left_us = due_us - os_now_us(s->options.os)) > 0 || !store_background_ok(s->options.store)))
        IGNORE(cond_wait_us(&s->changed, &s->mutex, left_us > 0 ? MIN(left_us, (int64_t)LOOK_S * 1000000)
                                                                : (int64_t)LOOK_S * 1000000));
    return !s->ending;
}

static void *scrub_run(void *arg)
{
    Scrub *s = arg;
    const ScrubOptions *o = &s->options;
    int64_t due_us = first_due_us(o);
    while (wait_until(s, due_us)) {
        bool whole = scrub_round(o, &s->ending);
        int64_t wait_us = whole ? o->interval_ms * 1000 : MIN(o->interval_ms * 1000, (int64_t)SCRUB_AGAIN_S * 1000000);
        due_us = os_now_us(o->os) + wait_us;
    }
    return NULL;
}

Code scrub_start(const ScrubOptions *options, Scrub **ret_scrub, Err *err)
{
    *ret_scrub = NULL;
    if (options->interval_ms == 0)
        return E_OK;
    Scrub *s = mem_new(sizeof *s);
    s->options = *options;
    mutex_init(&s->mutex);
    cond_init(&s->changed);
    Code code = thread_start(&s->thread, "scrub", scrub_run, s, err);
    if (code != E_OK)
        scrub_free(&s);
    else
        *ret_scrub = s;
    return code;
}

void scrub_free(Scrub **scrub)
{
    Scrub *s = TAKE(*scrub);
    if (!s)
        return;
    mutex_lock(&s->mutex);
    __atomic_store_n(&s->ending, true, __ATOMIC_RELEASE);
    cond_signal(&s->changed);
    mutex_unlock(&s->mutex);
    thread_join(&s->thread);
    cond_done(&s->changed);
    mutex_done(&s->mutex);
    mem_free(&s);
}
