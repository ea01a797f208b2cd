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
#include <stdlib.h>

enum { EXPIRY_WARN_DAYS = 21, DOORS_MAX = 2 };

/* Away from being posted until its loop has run it. */
typedef struct Pulse {
    LoopPost post;
    Loop *loop;
    atomic_bool away;
} Pulse;

typedef struct Listeners {
    HttpListener list[HTTP_LISTENERS_MAX];
    size_t count;
} Listeners;

/* What tells the listeners of a door in clear from those over TLS, and from another door's. */
typedef struct Entrance {
    const char *key;    /* of the setting */
    const char *socket; /* name of inherited sockets; NULL: any that no other entrance has */
    bool is_s3, is_tls;
} Entrance;

static const Entrance entrances[] = {
    { "http.listen", NULL, false, false },
    { "https.listen", "https", false, true },
    { "s3.listen", "s3", true, false },
    { "s3.listen_tls", "s3-tls", true, true },
};

struct Doors {
    Lake *lake;
    Arena arena;
    RestServer *rest;
    S3Server *s3;
    TlsServer *tls;
    Listeners rest_at, s3_at;
    Pulse *pulses; /* one a loop of a door */
    size_t pulse_count;
};

static Code listener_add(Listeners *at, HttpListener listener, Err *err)
{
    if (at->count == HTTP_LISTENERS_MAX)
        return err_set(err, E_LIMIT, "more than %d listeners", HTTP_LISTENERS_MAX);
    at->list[at->count++] = listener;
    return E_OK;
}

static const Entrance *entrance_of(const ServiceSocket *socket)
{
    for (size_t i = 1; i < ARRAY_LEN(entrances); i++)
        if (str_eq(str_z(socket->name), str_z(entrances[i].socket)))
            return &entrances[i];
    return &entrances[0];
}

/* The inherited ones of this entrance, else the one of the setting. */
static Code listeners_find(Doors *doors, const DoorsOptions *options, const Entrance *entrance, Err *err)
{
    HttpListener listener = { .tls = entrance->is_tls ? doors->tls : NULL,
                              .proxy_protocol = conf_bool(options->conf, "http.proxy_protocol") };
    Listeners *at = entrance->is_s3 ? &doors->s3_at : &doors->rest_at;
    bool inherited = false;
    for (size_t i = 0; i < options->socket_count; i++) {
        if (entrance_of(&options->sockets[i]) != entrance)
            continue;
        listener.fd = options->sockets[i].fd;
        TRY(listener_add(at, listener, err));
        inherited = true;
    }
    if (inherited || door_is_off(options->conf, entrance->key))
        return E_OK;
    listener.address = str_copy(&doors->arena, conf_text(options->conf, entrance->key));
    return listener_add(at, listener, err);
}

static bool is_secure(const DoorsOptions *options)
{
    for (size_t i = 0; i < options->socket_count; i++)
        if (entrance_of(&options->sockets[i])->is_tls)
            return true;
    return !door_is_off(options->conf, "https.listen") || !door_is_off(options->conf, "s3.listen_tls");
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

static HttpOptions http_options(const Conf *conf, HttpPolicy *policy, const Listeners *at)
{
    HttpOptions http = { .policy = policy, .listener_count = at->count };
    door_http_options(conf, &http);
    for (size_t i = 0; i < at->count; i++)
        http.listeners[i] = at->list[i];
    return http;
}

static Code rest_open(Doors *doors, const Conf *conf, Err *err)
{
    HttpPolicy *policy = arena_new(&doors->arena, HttpPolicy);
    TRY(door_policy(conf, lake_memory(conf), &doors->arena, policy, err));
    policy->tier = rest_tier;
    HttpOptions http = http_options(conf, policy, &doors->rest_at);
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

/* TARN_PART_BYTES_MIN: 10,000 parts are 50 GB otherwise; for tests alone. */
static Code part_min_take(uint64_t *ret_min, Err *err)
{
    const char *text = getenv("TARN_TEST_MODE") ? getenv("TARN_PART_BYTES_MIN") : NULL;
    if (text && !str_u64(str_z(text), ret_min))
        return err_set(err, E_INVALID, "TARN_PART_BYTES_MIN is no number of bytes");
    return E_OK;
}

static Code s3_open(Doors *doors, const Conf *conf, Err *err)
{
    HttpPolicy *policy = arena_new(&doors->arena, HttpPolicy);
    TRY(door_policy(conf, lake_memory(conf), &doors->arena, policy, err));
    policy->tier = no_tier;
    HttpOptions http = http_options(conf, policy, &doors->s3_at);
    S3Options s3 = { .lake = &doors->lake->api, .http = &http,
                     .region = str_copy(&doors->arena, conf_text(conf, "s3.region")),
                     .public_host = str_copy(&doors->arena, conf_text(conf, "s3.public_host")) };
    TRY(door_domains(conf, &doors->arena, s3.domains, &s3.domain_count, err));
    TRY(part_min_take(&s3.part_bytes_min, err));
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

/* `at`: the listeners of the door; the error names the address of one. */
static Code port_tell(Code code, const Listeners *at, bool is_s3, Err *err)
{
    static const char *const options[2][2] = { { "--http", "--https" }, { "--s3", "--s3-tls" } };
    bool is_tls = false;
    if (code != E_EXISTS)
        return code;
    for (size_t i = 0; i < at->count; i++)
        if (at->list[i].address.len && str_find(str_z(err->text), at->list[i].address) >= 0)
            is_tls = at->list[i].tls != NULL;
    const char *option = options[is_s3][is_tls];
    return err_hint(err, code, "another program listens there: `%s 127.0.0.1:0` takes a free port, `%s off` "
                    "closes the door", option, option);
}

Code doors_open(const DoorsOptions *options, Doors **ret_doors, Err *err)
{
    AUTO(doors_close) Doors *doors = mem_new(sizeof *doors);
    doors->lake = options->lake;
    if (is_secure(options))
        TRY(tls_open(doors, options->conf, err));
    for (size_t i = 0; i < ARRAY_LEN(entrances); i++)
        TRY(listeners_find(doors, options, &entrances[i], err));
    if (doors->rest_at.count)
        TRY(port_tell(rest_open(doors, options->conf, err), &doors->rest_at, false, err));
    if (doors->s3_at.count)
        TRY(port_tell(s3_open(doors, options->conf, err), &doors->s3_at, true, err));
    pulses_make(doors);
    *ret_doors = TAKE(doors);
    return E_OK;
}

static HttpServer *server_of(const Doors *doors, bool s3)
{
    return s3 ? s3_http(doors->s3) : rest_http(doors->rest);
}

Str doors_address(const Doors *doors, DoorKind kind)
{
    bool s3 = kind == DOOR_S3 || kind == DOOR_S3_TLS, secure = kind == DOOR_HTTPS || kind == DOOR_S3_TLS;
    const Listeners *at = s3 ? &doors->s3_at : &doors->rest_at;
    for (size_t i = 0; i < at->count; i++)
        if ((at->list[i].tls != NULL) == secure)
            return http_server_address_at(server_of(doors, s3), i);
    return STR_NONE;
}

static void listeners_print(const Doors *doors, bool s3)
{
    static const char *const names[2][2] = { { "http", "https" }, { "s3", "s3-tls" } };
    const Listeners *at = s3 ? &doors->s3_at : &doors->rest_at;
    for (size_t i = 0; i < at->count; i++)
        printf("tarn: %s " STR_FMT "\n", names[s3][at->list[i].tls != NULL],
               STR_ARG(http_server_address_at(server_of(doors, s3), i)));
}

void doors_print(const Doors *doors)
{
    listeners_print(doors, false);
    listeners_print(doors, true);
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
    rest_free(&doors->rest); /* first: its /metrics asks the other door */
    s3_free(&doors->s3);
    tls_server_free(&doors->tls);
    arena_done(&doors->arena);
    mem_free(&doors);
}
