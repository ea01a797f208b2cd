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

enum { EXPIRY_WARN_DAYS = 21, DOORS_MAX = 2 };

/* Away from being posted until its loop has run it. */
typedef struct Pulse {
    LoopPost post;
    Loop *loop;
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
    Pulse *pulses; /* one a loop of a door */
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
    return rest_start(&rest, &doors->rest, err);
}

/* Keys of S3 have no tier: clients in the data path send thousands of small requests. */
static int no_tier(HttpReq *r)
{
    (void)r;
    return DOOR_TIER_NONE;
}

static Code s3_open(Doors *doors, const Conf *conf, Err *err)
{
    HttpPolicy *policy = arena_new(&doors->arena, HttpPolicy);
    TRY(door_policy(conf, lake_memory(conf), &doors->arena, policy, err));
    policy->tier = no_tier;
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

/* The loops of every door. */
static size_t loops_of(const Doors *doors, Loops **loops)
{
    size_t count = 0;
    if (doors->rest)
        loops[count++] = http_server_loops(rest_http(doors->rest));
    if (doors->s3)
        loops[count++] = http_server_loops(s3_http(doors->s3));
    return count;
}

static void pulses_make(Doors *doors)
{
    Loops *loops[DOORS_MAX];
    size_t count = loops_of(doors, loops);
    for (size_t i = 0; i < count; i++)
        doors->pulse_count += loops_count(loops[i]);
    doors->pulses = arena_array(&doors->arena, Pulse, doors->pulse_count);
    for (size_t i = 0, at = 0; i < count; i++)
        for (size_t k = 0; k < loops_count(loops[i]); k++)
            doors->pulses[at++].loop = loops_at(loops[i], k);
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
    pulses_make(doors);
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

static Code policy_renew(HttpServer *http, HttpPolicy *policy, int (*tier)(HttpReq *r), Err *err)
{
    policy->tier = tier;
    TRY(policy_reload(http_server_policy(http), policy, err));
    return policy_reopen(http_server_policy(http), err);
}

Code doors_reload(Doors *doors, const Conf *conf, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    HttpPolicy policy;
    TlsOptions tls;
    DoorTiers tiers = door_tiers(conf);
    TRY(door_policy(conf, lake_memory(conf), &tmp, &policy, err));
    if (doors->tls) { /* tried before anything is changed */
        TlsServer *trial AUTO(tls_server_free) = NULL;
        TRY(door_tls(conf, doors->lake->dir, &tmp, &tls, err));
        TRY(tls_server_new(&tls, &trial, err));
    }
    if (doors->rest) {
        TRY(policy_renew(rest_http(doors->rest), &policy, rest_tier, err));
        rest_set_tiers(doors->rest, tiers.reader, tiers.admin);
    }
    if (doors->s3)
        TRY(policy_renew(s3_http(doors->s3), &policy, no_tier, err));
    if (doors->tls) {
        TRY(tls_server_reload(doors->tls, &tls, err));
        expiry_tell(doors->tls);
    }
    return E_OK;
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
    for (size_t i = 0; i < doors->pulse_count; i++) {
        Pulse *pulse = &doors->pulses[i];
        if (atomic_load(&pulse->away)) {
            alive = false;
            continue;
        }
        atomic_store(&pulse->away, true);
        pulse->post.run = pulse_run;
        loop_post(pulse->loop, &pulse->post);
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
