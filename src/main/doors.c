/* Invariants:
 * 1. A TlsServer is there exactly when a listener over TLS is; it outlives the RestServer.
 * 2. A reload changes the certificates and the policy together or, on an error, nothing that clients see. */
#include "main/doors.h"

#include "base/log.h"
#include "front/rest/rest.h"
#include "front/s3/s3.h"
#include "main/door_settings.h"
#include "os/loop.h"

#include <stdatomic.h>
#include <stdio.h>

enum { EXPIRY_WARN_DAYS = 21 };

/* Away from being posted until its loop has run it. */
typedef struct Pulse {
    LoopPost post;
    atomic_bool away;
} Pulse;

struct Doors {
    Lake *lake;
    Arena arena;
    RestServer *rest;
    S3Server *s3;
    TlsServer *tls;
    HttpListener listeners[HTTP_LISTENERS_MAX];
    size_t listener_count;
    Pulse *pulses; /* one a loop */
    size_t pulse_count;
};

static Code listener_add(Doors *doors, HttpListener listener, Err *err)
{
    if (doors->listener_count == HTTP_LISTENERS_MAX)
        return err_set(err, E_LIMIT, "more than %d listeners", HTTP_LISTENERS_MAX);
    doors->listeners[doors->listener_count++] = listener;
    return E_OK;
}

/* The inherited ones of this door, else the one of the setting. */
static Code listeners_find(Doors *doors, const DoorsOptions *options, bool secure, Err *err)
{
    const char *key = secure ? "https.listen" : "http.listen";
    HttpListener listener = { .tls = secure ? doors->tls : NULL,
                              .proxy_protocol = conf_bool(options->conf, "http.proxy_protocol") };
    size_t before = doors->listener_count;
    for (size_t i = 0; i < options->socket_count; i++) {
        const ServiceSocket *socket = &options->sockets[i];
        if (str_eq(str_z(socket->name), STR("https")) != secure)
            continue;
        listener.fd = socket->fd;
        TRY(listener_add(doors, listener, err));
    }
    if (doors->listener_count > before || door_is_off(options->conf, key))
        return E_OK;
    listener.address = str_copy(&doors->arena, conf_text(options->conf, key));
    return listener_add(doors, listener, err);
}

static bool is_secure(const DoorsOptions *options)
{
    for (size_t i = 0; i < options->socket_count; i++)
        if (str_eq(str_z(options->sockets[i].name), STR("https")))
            return true;
    return !door_is_off(options->conf, "https.listen");
}

/* A certificate that nobody renews ends the door: said at start and at each reload. */
static void expiry_tell(TlsServer *tls)
{
    Arena tmp AUTO(arena_done) = { 0 };
    int64_t expires_us = tls_server_expires(tls) * 1000000;
    int64_t left_us = expires_us - os_now_us(os_real());
    LogLevel level = left_us < (int64_t)EXPIRY_WARN_DAYS * 86400 * 1000000 ? LOG_WARN : LOG_INFO;
    Str date = str_sub(time_format(&tmp, expires_us), 0, 10);
    log_line(level, "event=tls expires=" STR_FMT " days_left=%lld", STR_ARG(date),
             (long long)(left_us / 86400 / 1000000));
}

static Code tls_open(Doors *doors, const Conf *conf, Err *err)
{
    TlsOptions options;
    TRY(door_tls(conf, doors->lake->dir, &doors->arena, &options, err));
    TRY(tls_server_new(&options, &doors->tls, err));
    expiry_tell(doors->tls);
    return E_OK;
}

static Code rest_open(Doors *doors, const Conf *conf, Err *err)
{
    HttpPolicy *policy = arena_new(&doors->arena, HttpPolicy);
    TRY(door_policy(conf, lake_memory(conf), &doors->arena, policy, err));
    policy->tier = rest_tier;
    HttpOptions http = { .policy = policy, .listener_count = doors->listener_count };
    door_http_options(conf, &http);
    for (size_t i = 0; i < doors->listener_count; i++)
        http.listeners[i] = doors->listeners[i];
    DoorTiers tiers = door_tiers(conf);
    RestOptions rest = { .lake = &doors->lake->api, .http = &http,
                         .tier_reader = tiers.reader, .tier_admin = tiers.admin };
    TRY(rest_start(&rest, &doors->rest, err));
    doors->pulse_count = loops_count(http_server_loops(rest_http(doors->rest)));
    doors->pulses = arena_array(&doors->arena, Pulse, doors->pulse_count);
    return E_OK;
}

static Code s3_open(Doors *doors, const Conf *conf, Err *err)
{
    HttpPolicy *policy = arena_new(&doors->arena, HttpPolicy);
    TRY(door_policy(conf, lake_memory(conf), &doors->arena, policy, err));
    HttpOptions http = { .policy = policy, .listener_count = 1 };
    door_http_options(conf, &http);
    http.listeners[0].address = str_copy(&doors->arena, conf_text(conf, "s3.listen"));
    http.listeners[0].proxy_protocol = conf_bool(conf, "http.proxy_protocol");
    S3Options s3 = { .lake = &doors->lake->api, .http = &http,
                     .region = str_copy(&doors->arena, conf_text(conf, "s3.region")) };
    Str domain = conf_text(conf, "s3.domain");
    if (domain.len > 0)
        s3.domains[s3.domain_count++] = str_copy(&doors->arena, domain);
    return s3_start(&s3, &doors->s3, err);
}

Code doors_open(const DoorsOptions *options, Doors **ret_doors, Err *err)
{
    AUTO(doors_close) Doors *doors = mem_new(sizeof *doors);
    doors->lake = options->lake;
    if (is_secure(options))
        TRY(tls_open(doors, options->conf, err));
    TRY(listeners_find(doors, options, false, err));
    TRY(listeners_find(doors, options, true, err));
    if (doors->listener_count)
        TRY(rest_open(doors, options->conf, err));
    if (!door_is_off(options->conf, "s3.listen"))
        TRY(s3_open(doors, options->conf, err));
    *ret_doors = TAKE(doors);
    return E_OK;
}

static Str address_of(const Doors *doors, bool secure)
{
    for (size_t i = 0; i < doors->listener_count; i++)
        if ((doors->listeners[i].tls != NULL) == secure)
            return http_server_address_at(rest_http(doors->rest), i);
    return STR_NONE;
}

Str doors_http(const Doors *doors)
{
    return address_of(doors, false);
}

Str doors_https(const Doors *doors)
{
    return address_of(doors, true);
}

Str doors_s3(const Doors *doors)
{
    return doors->s3 ? s3_address(doors->s3) : STR_NONE;
}

void doors_print(const Doors *doors)
{
    for (size_t i = 0; i < doors->listener_count; i++)
        printf("tarn: %s " STR_FMT "\n", doors->listeners[i].tls ? "https" : "http",
               STR_ARG(http_server_address_at(rest_http(doors->rest), i)));
    if (doors->s3)
        printf("tarn: s3 " STR_FMT "\n", STR_ARG(s3_address(doors->s3)));
}

Code doors_reload(Doors *doors, const Conf *conf, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    HttpPolicy policy;
    TlsOptions tls;
    if (!doors->rest)
        return E_OK;
    Policy *live = http_server_policy(rest_http(doors->rest));
    TRY(door_policy(conf, lake_memory(conf), &tmp, &policy, err));
    policy.tier = rest_tier;
    if (doors->tls) {
        TRY(door_tls(conf, doors->lake->dir, &tmp, &tls, err));
        TRY(tls_server_reload(doors->tls, &tls, err));
        expiry_tell(doors->tls);
    }
    TRY(policy_reload(live, &policy, err));
    DoorTiers tiers = door_tiers(conf);
    rest_set_tiers(doors->rest, tiers.reader, tiers.admin);
    return policy_reopen(live, err);
}

bool doors_drain(Doors *doors, uint32_t wait_ms)
{
    bool rest = !doors->rest || rest_drain(doors->rest, wait_ms);
    return (!doors->s3 || s3_drain(doors->s3, wait_ms)) && rest;
}

static void pulse_run(LoopPost *post)
{
    Pulse *pulse = (Pulse *)post;
    atomic_store(&pulse->away, false);
}

bool doors_pulse(Doors *doors)
{
    bool alive = true;
    Loops *loops = doors->rest ? http_server_loops(rest_http(doors->rest)) : NULL;
    for (size_t i = 0; i < doors->pulse_count; i++) {
        Pulse *pulse = &doors->pulses[i];
        if (atomic_load(&pulse->away)) {
            alive = false;
            continue;
        }
        atomic_store(&pulse->away, true);
        pulse->post.run = pulse_run;
        loop_post(loops_at(loops, i), &pulse->post);
    }
    return alive;
}

void doors_close(Doors **doors_at)
{
    Doors *doors = TAKE(*doors_at);
    if (!doors)
        return;
    s3_free(&doors->s3);
    rest_free(&doors->rest);
    tls_server_free(&doors->tls);
    arena_done(&doors->arena);
    mem_free(&doors);
}
