#include "base/log.h"
#include "format/json.h"
#include "front/rest/rest.h"
#include "main/command.h"
#include "main/lake.h"
#include "main/maintain.h"
#include "main/settings.h"
#include "os/worker.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

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
static Code admin_write(Lake *lake, Str http, Err *err)
{
    Buf text AUTO(buf_done);
    buf_init(&text, 1 << 16);
    JsonWriter w = json_writer(&text);
    json_begin_object(&w);
    json_field_str(&w, "version", STR(TARN_VERSION));
    json_field_i64(&w, "pid", getpid());
    json_field_str(&w, "token", lake->token);
    json_key(&w, STR("access_key"));
    json_put_null(&w);
    json_key(&w, STR("secret_key"));
    json_put_null(&w);
    door_put(&w, "http", http);
    door_put(&w, "s3", STR_NONE);
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

/* The signals that end the server; every thread inherits the mask. */
static sigset_t ending_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signals;
}

static Code doors_run(const Conf *conf, Lake *lake, const sigset_t *signals, Err *err)
{
    Str listen = conf_text(conf, "http.listen");
    RestServer *rest = NULL;
    Str address = STR_NONE;
    if (!str_eq(listen, STR("off"))) {
        RestOptions options = { .lake = &lake->api, .listen = listen,
                                .loops = (uint32_t)conf_number(conf, "http.loops") };
        TRY(rest_start(&options, &rest, err));
        address = rest_address(rest);
    }
    Code code = admin_write(lake, address, err);
    if (code == E_OK) {
        if (address.len)
            printf("tarn: http " STR_FMT "\n", STR_ARG(address));
        key_print(lake);
        fflush(stdout);
        int number;
        sigwait(signals, &number);
        log_line(LOG_INFO, "event=drain signal=%d", number);
        if (rest && !rest_drain(rest, (uint32_t)conf_number(conf, "http.drain")))
            log_line(LOG_WARN, "event=drain requests were cut off after %lld ms",
                     (long long)conf_number(conf, "http.drain"));
    }
    rest_free(&rest);
    return code;
}

static Code serve_lake(const Conf *conf, Lake *lake, const sigset_t *signals, Err *err)
{
    Maintain *maintain AUTO(maintain_free) = NULL;
    MaintainOptions options = { .os = os_real(), .meta = lake->api.meta, .store = lake->api.store,
                                .catalog = lake->api.catalog,
                                .interval_ms = conf_number(conf, "maintenance.interval"),
                                .grace_ms = conf_number(conf, "maintenance.grace"),
                                .audit_ms = conf_number(conf, "maintenance.audit") };
    TRY(maintain_start(&options, &maintain, err));
    return doors_run(conf, lake, signals, err);
}

Code command_serve(const Args *args, Err *err)
{
    Conf conf AUTO(conf_done) = { 0 };
    TRY(settings_load(&conf, args, err));
    sigset_t signals = ending_signals();
    log_init(stderr_sink, (LogLevel)conf_number(&conf, "log.level"));
    TRY(lake_workers_start(err));
    Lake lake;
    Code code = lake_open(&conf, &lake, err);
    if (code == E_OK) {
        code = serve_lake(&conf, &lake, &signals, err);
        lake_close(&lake);
    }
    worker_stop();
    return code;
}

Code command_init(const Args *args, Err *err)
{
    Conf conf AUTO(conf_done) = { 0 };
    TRY(settings_load(&conf, args, err));
    Lake lake;
    TRY(lake_workers_start(err));
    TRY(lake_open(&conf, &lake, err));
    Code code = admin_write(&lake, STR_NONE, err);
    if (code == E_OK) {
        printf("tarn: %s is ready, buckets " STR_FMT " and " STR_FMT "\n", lake.dir,
               STR_ARG(lake.bronze_bucket), STR_ARG(lake.lake_bucket));
        key_print(&lake);
    }
    lake_close(&lake);
    return code;
}
