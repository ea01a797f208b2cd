/* `tarn serve`. Invariants:
 * 1. READY is told when every door listens and admin.json names them; STOPPING before the first is closed.
 * 2. A reload that fails leaves everything as it was, and the server serving.
 * 3. The first signal that ends drains; the second cuts off what is in flight; the third kills. */
#include "base/log.h"
#include "flow/arrivals.h"
#include "format/json.h"
#include "main/command.h"
#include "main/door_settings.h"
#include "main/doors.h"
#include "main/lake.h"
#include "main/life.h"
#include "main/maintain.h"
#include "main/scrub.h"
#include "main/settings.h"
#include "os/memory.h"
#include "os/worker.h"
#include "source/landing.h"

#include <stdio.h>
#include <stdio_ext.h>
#include <unistd.h>

enum { DRAIN_STEP_MS = 50 };

static void stderr_sink(LogLevel level, Str line)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    Arena tmp AUTO(arena_done) = { 0 };
    Str time = time_format(&tmp, os_now_us(os_real()));
    fprintf(stderr, STR_FMT " %s " STR_FMT "\n", STR_ARG(time), names[level], STR_ARG(line));
}

static void door_put(JsonWriter *w, const char *name, Str address)
{
    json_key(w, str_z(name));
    if (address.len && !str_eq(address, STR("off")))
        json_put_str(w, address);
    else
        json_put_null(w);
}

/* For local tools: readable by the owner only, rewritten at each start. */
static Code admin_write(Lake *lake, const Conf *conf, const Doors *doors, Err *err)
{
    Buf text AUTO(buf_done);
    buf_init(&text, 1 << 16);
    JsonWriter w = json_writer(&text);
    json_begin_object(&w);
    json_field_str(&w, "version", STR(TARN_VERSION));
    json_field_i64(&w, "pid", getpid());
    json_field_str(&w, "token", lake->token);
    json_field_str(&w, "access_key", lake->access_key);
    json_field_str(&w, "secret_key", lake->secret_key);
    static const char *const names[] = { "http", "https", "s3", "s3_tls" }; /* as DoorKind */
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        door_put(&w, names[i], doors ? doors_address(doors, (DoorKind)i) : STR_NONE);
    json_field_str(&w, "s3_region", conf_text(conf, "s3.region"));
    door_put(&w, "kafka", STR_NONE);
    door_put(&w, "pg", STR_NONE);
    json_end_object(&w);
    buf_put_char(&text, '\n');
    const char *path = str_copy_z(&lake->arena, str_format(&lake->arena, "%s/admin.json", lake->dir));
    return os_write_whole(os_real(), path, buf_str(&text), err);
}

static void key_print(const Lake *lake)
{
    if (lake->first_start)
        printf("tarn: admin key " STR_FMT " (shown once; %s/admin.json keeps it for local tools)\n",
               STR_ARG(lake->token), lake->dir);
}

/* One running server. */
typedef struct Serve {
    const Args *args;
    const Conf *began; /* as it was read at start: what START settings are */
    Conf *conf;      /* as it was read last */
    Conf again;      /* at the last SIGHUP */
    Lake *lake;
    Doors *doors;
    Life *life;
    ApiScrubbed scrubbed;
    ApiMaintained maintained;
} Serve;

static bool is_same(const Conf *a, const Conf *b, size_t row)
{
    return a->rows[row].type == CONF_TEXT ? str_eq(a->values[row].text, b->values[row].text)
                                          : a->values[row].number == b->values[row].number;
}

/* Of each setting that has changed, whether it is in force now; of one that waits for a new start at each SIGHUP. */
static void changes_tell(const Serve *serve, const Conf *fresh)
{
    for (size_t i = 0; i < fresh->row_count; i++) {
        bool now = settings_reloads(i);
        if (!is_same(now ? serve->conf : serve->began, fresh, i))
            log_line(now ? LOG_INFO : LOG_WARN, "event=reload setting=%s value=\"" STR_FMT "\" takes effect %s",
                     fresh->rows[i].key, STR_ARG(fresh->values[i].text), now ? "now" : "at the next start");
    }
}

static Code reload(Serve *serve, Err *err)
{
    Conf fresh AUTO(conf_done) = { 0 };
    TRY(settings_load(&fresh, serve->args, err));
    TRY(lake_settings_check(&fresh, err)); /* also what waits: the next start must not fail by it */
    TRY(door_settings_check(&fresh, err));
    TRY(doors_reload(serve->doors, &fresh, err));
    changes_tell(serve, &fresh);
    log_level_set((LogLevel)conf_number(&fresh, "log.level"));
    conf_done(&serve->again);
    serve->again = fresh;
    serve->conf = &serve->again;
    fresh = (Conf){ 0 };
    return E_OK;
}

static void reload_and_tell(Serve *serve)
{
    Err err;
    err_clear(&err);
    life_reloading(serve->life);
    if (reload(serve, &err) == E_OK)
        log_line(LOG_INFO, "event=reload result=ok");
    else
        log_line(LOG_ERROR, "event=reload result=kept_as_it_was code=%s error=\"%s\" place=\"%s\"",
                 code_info(err.code)->name, err.text, err.place);
    life_ready(serve->life, STR("serving"));
}

/* Until the first signal that ends. */
static void serve_on(Serve *serve)
{
    for (;;) {
        LifeEvent event = life_wait(serve->life, -1);
        if (event == LIFE_RELOAD)
            reload_and_tell(serve);
        else if (event == LIFE_END)
            return;
        else if (event == LIFE_BEAT && doors_pulse(serve->doors))
            life_beat(serve->life);
    }
}

static void drain(Serve *serve)
{
    int64_t wait_ms = conf_number(serve->conf, "http.drain");
    int64_t end_us = os_monotonic_us(os_real()) + wait_ms * 1000;
    log_line(LOG_INFO, "event=drain wait_ms=%lld", (long long)wait_ms);
    life_stopping(serve->life);
    while (!doors_drain(serve->doors, DRAIN_STEP_MS)) {
        bool again = life_wait(serve->life, 0) == LIFE_END;
        if (!again && os_monotonic_us(os_real()) < end_us)
            continue;
        log_line(LOG_WARN, "event=drain result=cut_off reason=%s", again ? "second signal" : "http.drain is over");
        break;
    }
    life_give_up(serve->life);
}

/* Whoever has started it may not read on: it serves all the same. */
static void stdout_end(void)
{
    if (fflush(stdout) == 0)
        return;
    __fpurge(stdout);
    clearerr(stdout);
}

static Code doors_run(Serve *serve, const ServiceSocket *sockets, size_t socket_count, Err *err)
{
    DoorsOptions options = { .conf = serve->conf, .lake = serve->lake, .sockets = sockets,
                             .socket_count = socket_count };
    TRY(doors_open(&options, &serve->doors, err));
    Code code = admin_write(serve->lake, serve->conf, serve->doors, err);
    if (code == E_OK) {
        doors_print(serve->doors);
        key_print(serve->lake);
        stdout_end();
        life_ready(serve->life, STR("serving"));
        serve_on(serve);
        drain(serve);
    }
    doors_close(&serve->doors);
    return code;
}

enum { COMPACT_TARGET = 8 }; /* times the size that is small */

static CompactRule compact_rule(const Conf *conf)
{
    uint64_t small = (uint64_t)conf_number(conf, "maintenance.compact_small");
    return (CompactRule){ .small_bytes = small, .target_bytes = COMPACT_TARGET * small,
                          .files_min = (size_t)conf_number(conf, "maintenance.compact_files") };
}

/* Rows of the audit that a full disk has kept waiting. */
static void audit_flush(void *lake)
{
    api_audit_flush(lake);
}

static Code serve_lake(Serve *serve, const ServiceSocket *sockets, size_t socket_count, Err *err)
{
    Maintain *maintain AUTO(maintain_free) = NULL;
    Scrub *scrub AUTO(scrub_free) = NULL;
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = NULL;
    ApiLake *api = &serve->lake->api;
    FlowArrivalsOptions triggers = { .flow = api->flow, .quiet_ms = conf_number(serve->conf, "flow.arrivals_quiet") };
    api_watch_arrivals(api, &triggers.watch);
    MaintainOptions options = { .os = os_real(), .meta = api->meta, .store = api->store,
                                .catalog = api->catalog,
                                .interval_ms = conf_number(serve->conf, "maintenance.interval"),
                                .grace_ms = conf_number(serve->conf, "maintenance.grace"),
                                .audit_ms = conf_number(serve->conf, "maintenance.audit"),
                                .reclaim_ms = conf_number(serve->conf, "maintenance.reclaim"),
                                .trash_ms = conf_number(serve->conf, "store.trash"),
                                .orphans_ms = conf_number(serve->conf, "maintenance.orphans"),
                                .shown = &serve->maintained,
                                .govern = api->govern,
                                .flush = audit_flush,
                                .flush_arg = api,
                                .clock = serve->lake->clock,
                                .sql = api->sql,
                                .compact = compact_rule(serve->conf) };
    ScrubOptions bytes = { .os = os_real(), .store = api->store, .data_dir = api->data_dir, .shown = &serve->scrubbed,
                           .interval_ms = conf_number(serve->conf, "store.scrub_interval"),
                           .bytes_per_second = (uint64_t)conf_number(serve->conf, "store.scrub_rate") };
    TRY(flow_arrivals_open(&triggers, &arrivals, err)); /* its place is kept before landing gives anything back */
    api->arrivals = arrivals;
    TRY(landing_start(api->landing, err));
    TRY(maintain_start(&options, &maintain, err));
    TRY(scrub_start(&bytes, &scrub, err));
    api->scrubbed = &serve->scrubbed;
    api->maintained = &serve->maintained;
    return doors_run(serve, sockets, socket_count, err);
}

Code command_serve(const Args *args, Err *err)
{
    Conf conf AUTO(conf_done) = { 0 };
    ServiceSocket sockets[SERVICE_SOCKETS_MAX];
    size_t socket_count = 0;
    Life life;
    Lake lake;
    TRY(command_no_words(args, "serve", err));
    TRY(settings_load(&conf, args, err));
    TRY(service_listen_fds(sockets, &socket_count, err));
    memory_arenas_bound();
    life_begin(&life);
    log_init(stderr_sink, (LogLevel)conf_number(&conf, "log.level"));
    TRY(lake_workers_start(err));
    Serve serve = { .args = args, .began = &conf, .conf = &conf, .lake = &lake, .life = &life };
    Code code = lake_open(&conf, &lake, err);
    if (code == E_OK) {
        code = serve_lake(&serve, sockets, socket_count, err);
        lake_close(&lake);
    }
    conf_done(&serve.again);
    worker_stop();
    return code;
}

Code command_init(const Args *args, Err *err)
{
    Conf conf AUTO(conf_done) = { 0 };
    TRY(command_no_words(args, "init", err));
    TRY(settings_load(&conf, args, err));
    Lake lake;
    TRY(lake_workers_start(err));
    TRY(lake_open(&conf, &lake, err));
    Code code = admin_write(&lake, &conf, NULL, err);
    if (code == E_OK) {
        printf("tarn: %s is ready, buckets " STR_FMT " and " STR_FMT "\n", lake.dir,
               STR_ARG(lake.bronze_bucket), STR_ARG(lake.lake_bucket));
        key_print(&lake);
    }
    lake_close(&lake);
    return code;
}
