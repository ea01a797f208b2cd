/* door_settings.h: what the settings say about the doors, as the options of those who keep them.
 * Owner:   the texts live in the arena that was passed in.
 * Threads: any; no state.
 * Errors:  INVALID with the setting and what would be right.
 * Limits:  64 values in a list; those of http_policy.h and TLS_CERTS_MAX.
 * Units:   bytes, _ms, _s. */
#pragma once

#include "base/conf.h"
#include "front/http/http_policy.h"
#include "front/http/http_server.h"
#include "front/s3/s3.h"
#include "os/fetch.h"
#include "os/tls.h"

enum { DOOR_TIERS = 3, DOOR_TIER_NONE = -1 };

/* Tiers of requests, as places in HttpPolicy.limits.tiers. */
typedef struct DoorTiers {
    int anonymous, reader, admin; /* DOOR_TIER_NONE: no limit */
} DoorTiers;

/* Limits of time, rate and number; neither listeners nor routes. */
void door_http_options(const Conf *conf, HttpOptions *options);

/* `memory_bytes`: what memory.total comes to. `tier` stays the door's own. */
Code door_policy(const Conf *conf, uint64_t memory_bytes, Arena *arena, HttpPolicy *ret_policy, Err *err) CHECKED;
DoorTiers door_tiers(const Conf *conf);

/* Without tls.certificates the files that `tarn cert` leaves in `dir`. */
Code door_tls(const Conf *conf, const char *dir, Arena *arena, TlsOptions *ret_tls, Err *err) CHECKED;
/* What requests of the lake's own may reach, and how; `os` and `loop` stay the caller's. */
Code door_fetch(const Conf *conf, Arena *arena, FetcherOptions *ret_options, Err *err) CHECKED;
/* s3.domain. */
Code door_domains(const Conf *conf, Arena *arena, Str ret_domains[S3_DOMAINS_MAX], size_t *ret_count, Err *err) CHECKED;
/* INVALID, LIMIT: settings that no door would open with, without opening one. */
Code door_settings_check(const Conf *conf, Err *err) CHECKED;
bool door_is_off(const Conf *conf, const char *key); /* "https.listen" */
