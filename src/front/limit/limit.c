/* Counts of clients: a table of a fixed size, buckets as one time each. The budget of bytes: limit_bytes.c.
 *
 * Invariants:
 * 1. The table is places of LIMIT_WAYS entries; an entry is only in the place that its key's hash (with
 *    a random seed) names, and is found, made and taken over under that place's shard lock.
 * 2. An entry with a connection or a request is pinned: it is not taken over, so a LimitEntry * stays
 *    valid until it is given back. The first pin is made under the lock, further ones also by who has one
 *    already; an atomic subtraction takes a pin off.
 * 3. A bucket is `full_us`, the time at which it is full again (the theoretical arrival time of GCRA): a
 *    full bucket is a time that has passed. An entry without pins whose bucket is full says nothing and
 *    may be forgotten; when all say something, the one that is full soonest is forgotten.
 * 4. A place whose entries are all pinned lets a newcomer in without an entry: the limit of one client
 *    is lost for it, those of all together hold. `unpinned` counts it.
 * 5. requests <= requests_max at every moment but that of a refusal; what is taken is given once.
 * 6. A Config never changes; limits_set puts a new one in its place, and all live until limits_free. */
#include "front/limit/limit_priv.h"

#include "front/limit/ip.h"

#include <stdio.h>
#include <string.h>

enum { MINUTE_S = 60 };

/* ---- settings ---- */

static bool name_ok(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return len > 0 && len < LIMIT_NAME_MAX;
}

static Code config_new(const LimitOptions *options, Config **ret_config, Err *err)
{
    if (options->tier_count > LIMIT_TIERS_MAX)
        return err_set(err, E_INVALID, "there are at most %d tiers", LIMIT_TIERS_MAX);
    for (size_t i = 0; i < options->tier_count; i++) {
        const LimitTier *tier = &options->tiers[i];
        if (!tier->name || !name_ok(tier->name))
            return err_set(err, E_INVALID, "a tier's name is 1 to %d of a-z, 0-9, '-', '_' and '.'",
                           LIMIT_NAME_MAX - 1);
        if (tier->requests > LIMIT_REQUESTS_MAX || tier->window_s > 86400)
            return err_set(err, E_INVALID, "the tier '%s' has more than %d requests or a day", tier->name,
                           LIMIT_REQUESTS_MAX);
    }
    Config *config = mem_new(sizeof *config);
    config->connections_an_address = options->connections_an_address;
    config->requests_an_address = options->requests_an_address;
    config->requests_max = options->requests_max;
    config->bytes_max = options->bytes_max;
    config->tier_count = options->tier_count;
    for (size_t i = 0; i < options->tier_count; i++) {
        const LimitTier *tier = &options->tiers[i];
        memcpy(config->names[i], tier->name, strlen(tier->name) + 1);
        config->tiers[i] = (LimitTier){ .name = config->names[i],
                                        .requests = tier->requests,
                                        .window_s = tier->window_s ? tier->window_s : MINUTE_S,
                                        .announced = config->announced[i] };
        snprintf(config->announced[i], sizeof config->announced[i], "\"%s\";q=%u;w=%u", tier->name,
                 tier->requests, config->tiers[i].window_s);
    }
    *ret_config = config;
    return E_OK;
}

Code limits_new(const LimitOptions *options, Limits **ret_limits, Err *err)
{
    size_t entries = options->entries ? options->entries : LIMIT_ENTRIES_DEFAULT, places = LIMIT_SHARDS;
    Config *config;
    if (entries > LIMIT_ENTRIES_MAX)
        return err_set(err, E_INVALID, "at most %d clients are remembered", LIMIT_ENTRIES_MAX);
    TRY(config_new(options, &config, err));
    while (places * LIMIT_WAYS < entries)
        places *= 2;
    Limits *limits = mem_new(sizeof *limits);
    limits->place_mask = places - 1;
    limits->entries = mem_new(places * LIMIT_WAYS * sizeof *limits->entries);
    os_random(options->os ? options->os : os_real(), limits->seed, sizeof limits->seed);
    for (size_t i = 0; i < LIMIT_SHARDS; i++)
        mutex_init(&limits->shards[i].mutex);
    mutex_init(&limits->set_mutex);
    mutex_init(&limits->wait_mutex);
    atomic_store(&limits->config, config);
    *ret_limits = limits;
    return E_OK;
}

void limits_free(Limits **limits)
{
    Limits *gone = TAKE(*limits);
    if (!gone)
        return;
    for (Config *config = atomic_load(&gone->config); config;) {
        Config *older = config->older;
        mem_free(&config);
        config = older;
    }
    for (size_t i = 0; i < LIMIT_SHARDS; i++)
        mutex_done(&gone->shards[i].mutex);
    mutex_done(&gone->set_mutex);
    mutex_done(&gone->wait_mutex);
    mem_free(&gone->entries);
    mem_free(&gone);
}

Code limits_set(Limits *limits, const LimitOptions *options, Err *err)
{
    Config *config;
    TRY(config_new(options, &config, err));
    MUTEX_HELD(&limits->set_mutex);
    config->older = atomic_load(&limits->config);
    atomic_store_explicit(&limits->config, config, memory_order_release);
    lines_serve(limits); /* there may be more room now */
    return E_OK;
}

/* ---- keys ---- */

static uint64_t turn(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

typedef struct Sip {
    uint64_t v0, v1, v2, v3;
} Sip;

static void sip_round(Sip *s)
{
    s->v0 += s->v1, s->v1 = turn(s->v1, 13) ^ s->v0, s->v0 = turn(s->v0, 32);
    s->v2 += s->v3, s->v3 = turn(s->v3, 16) ^ s->v2;
    s->v0 += s->v3, s->v3 = turn(s->v3, 21) ^ s->v0;
    s->v2 += s->v1, s->v1 = turn(s->v1, 17) ^ s->v2, s->v2 = turn(s->v2, 32);
}

/* SipHash-1-3: nobody outside knows the seed, so nobody can aim at one place of the table. */
static uint64_t sip(const uint64_t seed[2], const void *bytes, size_t len)
{
    Sip s = { seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
              seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573 };
    const char *at = bytes;
    uint64_t word = 0;
    for (size_t left = len; left >= 8; left -= 8, at += 8) {
        memcpy(&word, at, 8);
        s.v3 ^= word;
        sip_round(&s);
        s.v0 ^= word;
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < len % 8; i++)
        word |= (uint64_t)(unsigned char)at[i] << 8 * i;
    s.v3 ^= word;
    sip_round(&s);
    s.v0 ^= word;
    s.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

LimitKey limit_key_address(const NetAddress *address)
{
    LimitKey key = { .kind = LIMIT_ADDRESS };
    Ip ip = ip_of(address);
    memcpy(&key.high, ip.bytes, sizeof key.high);
    if (ip_is_v4(&ip))
        memcpy(&key.low, ip.bytes + sizeof key.high, sizeof key.low);
    return key;
}

LimitKey limit_key_name(const Limits *limits, Str principal)
{
    return (LimitKey){ .high = sip(limits->seed, principal.ptr, principal.len),
                       .low = sip(limits->seed + 2, principal.ptr, principal.len),
                       .kind = LIMIT_PRINCIPAL };
}

LimitKey limit_key_failures(LimitKey address)
{
    address.kind = LIMIT_FAILURES;
    return address;
}

/* ---- the table ---- */

static LimitEntry *place_of(Limits *limits, LimitKey key, Shard **ret_shard)
{
    uint64_t words[3] = { key.high, key.low, key.kind };
    size_t place = sip(limits->seed, words, sizeof words) & limits->place_mask;
    *ret_shard = &limits->shards[place % LIMIT_SHARDS];
    return &limits->entries[place * LIMIT_WAYS];
}

static bool pinned(const LimitEntry *entry)
{
    return atomic_load_explicit(&entry->connections, memory_order_acquire) > 0 ||
           atomic_load_explicit(&entry->requests, memory_order_acquire) > 0;
}

/* With the shard locked. NULL: every entry of the place is pinned. */
static LimitEntry *entry_find(LimitEntry *place, LimitKey key, bool makes)
{
    LimitEntry *soonest = NULL;
    for (size_t i = 0; i < LIMIT_WAYS; i++) {
        LimitEntry *entry = &place[i];
        if (entry->kind == key.kind && entry->low == key.low && entry->high == key.high)
            return entry;
        if (makes && !pinned(entry) && (!soonest || entry->full_us < soonest->full_us))
            soonest = entry;
    }
    if (soonest) {
        soonest->high = key.high;
        soonest->low = key.low;
        soonest->kind = key.kind;
        soonest->full_us = 0;
    }
    return soonest;
}

bool limits_conn_take(Limits *limits, LimitKey address, LimitEntry **ret_entry)
{
    uint32_t most = limits_config(limits)->connections_an_address;
    Shard *shard;
    LimitEntry *place = place_of(limits, address, &shard);
    MUTEX_HELD(&shard->mutex);
    LimitEntry *entry = entry_find(place, address, true);
    if (!entry) {
        shard->unpinned++;
    } else if (most > 0 && atomic_load_explicit(&entry->connections, memory_order_relaxed) >= most) {
        shard->refused_connections++;
        return false;
    } else {
        atomic_fetch_add_explicit(&entry->connections, 1, memory_order_relaxed);
    }
    *ret_entry = entry;
    return true;
}

void limits_conn_give(LimitEntry *entry)
{
    if (entry)
        atomic_fetch_sub_explicit(&entry->connections, 1, memory_order_release);
}

/* ---- requests in flight ---- */

/* The entry is pinned meanwhile: by a connection, or by the lock. */
static bool request_count(Limits *limits, LimitEntry *entry, uint32_t most)
{
    if (atomic_fetch_add_explicit(&entry->requests, 1, memory_order_relaxed) < most)
        return true;
    atomic_fetch_sub_explicit(&entry->requests, 1, memory_order_release);
    atomic_fetch_add_explicit(&limits->refused_address, 1, memory_order_relaxed);
    return false;
}

static bool entry_pin(Limits *limits, LimitKey address, uint32_t most, LimitEntry **ret_entry)
{
    Shard *shard;
    LimitEntry *place = place_of(limits, address, &shard);
    MUTEX_HELD(&shard->mutex);
    LimitEntry *entry = entry_find(place, address, true);
    shard->unpinned += !entry;
    *ret_entry = entry;
    return !entry || request_count(limits, entry, most);
}

LimitVerdict limits_request_take(Limits *limits, LimitEntry *seat, const LimitKey *address,
                                 LimitEntry **ret_entry)
{
    const Config *config = limits_config(limits);
    uint32_t most = config->requests_an_address;
    LimitEntry *entry = most > 0 ? seat : NULL;
    bool fits = !entry || request_count(limits, entry, most);
    if (!entry && address && most > 0)
        fits = entry_pin(limits, *address, most, &entry);
    if (!fits)
        return LIMIT_ADDRESS_FULL;
    unsigned before = atomic_fetch_add_explicit(&limits->requests, 1, memory_order_relaxed);
    if (config->requests_max > 0 && before >= config->requests_max) {
        limits_request_give(limits, entry);
        atomic_fetch_add_explicit(&limits->refused_full, 1, memory_order_relaxed);
        return LIMIT_FULL;
    }
    *ret_entry = entry;
    return LIMIT_OK;
}

void limits_request_give(Limits *limits, LimitEntry *entry)
{
    atomic_fetch_sub_explicit(&limits->requests, 1, memory_order_relaxed);
    if (entry)
        atomic_fetch_sub_explicit(&entry->requests, 1, memory_order_release);
}

/* ---- rates ---- */

/* `*full_us` is when the bucket is full; `takes`: a request is taken off when there is one. */
static LimitVerdict bucket_take(const LimitTier *tier, int64_t now_us, bool takes, int64_t *full_us,
                                LimitRate *ret_rate)
{
    int64_t window_us = (int64_t)tier->window_s * 1000000;
    int64_t step_us = MAX(window_us / tier->requests, 1);
    int64_t room_us = step_us * tier->requests; /* of a whole bucket */
    int64_t owed_us = MIN(MAX(*full_us - now_us, 0), room_us);
    LimitVerdict verdict = owed_us + step_us > room_us ? LIMIT_RATE : LIMIT_OK;
    if (verdict == LIMIT_OK && takes) {
        owed_us += step_us;
        *full_us = now_us + owed_us;
    }
    int64_t remaining = (room_us - owed_us) / step_us;
    int64_t wait_us = remaining > 0 ? owed_us : owed_us + step_us - room_us;
    *ret_rate = (LimitRate){ .tier = tier,
                             .remaining = (uint32_t)remaining,
                             .reset_s = (uint32_t)MAX((wait_us + 999999) / 1000000, owed_us > 0) };
    return verdict;
}

static LimitVerdict rate_look(Limits *limits, LimitKey key, size_t tier_at, int64_t now_us, bool takes,
                              LimitRate *ret_rate)
{
    const Config *config = limits_config(limits);
    *ret_rate = (LimitRate){ 0 };
    if (tier_at >= config->tier_count || config->tiers[tier_at].requests == 0)
        return LIMIT_OK;
    const LimitTier *tier = &config->tiers[tier_at];
    Shard *shard;
    LimitEntry *place = place_of(limits, key, &shard);
    int64_t nothing_us = 0;
    MUTEX_HELD(&shard->mutex);
    LimitEntry *entry = entry_find(place, key, takes);
    shard->unpinned += takes && !entry;
    LimitVerdict verdict =
        bucket_take(tier, now_us, takes, entry ? &entry->full_us : &nothing_us, ret_rate);
    shard->refused_rate += verdict != LIMIT_OK;
    return verdict;
}

LimitVerdict limits_rate_take(Limits *limits, LimitKey key, size_t tier, int64_t now_us,
                              LimitRate *ret_rate)
{
    return rate_look(limits, key, tier, now_us, true, ret_rate);
}

LimitVerdict limits_rate_peek(Limits *limits, LimitKey key, size_t tier, int64_t now_us,
                              LimitRate *ret_rate)
{
    return rate_look(limits, key, tier, now_us, false, ret_rate);
}

void limits_stats(Limits *limits, LimitStats *ret_stats)
{
    LimitStats stats = { .requests = atomic_load(&limits->requests),
                         .bytes = atomic_load(&limits->bytes),
                         .bytes_peak = atomic_load(&limits->bytes_peak),
                         .refused_address = atomic_load(&limits->refused_address),
                         .refused_full = atomic_load(&limits->refused_full),
                         .refused_bytes = atomic_load(&limits->refused_bytes),
                         .waiting = atomic_load(&limits->waiting),
                         .waited = atomic_load(&limits->waited) };
    for (size_t i = 0; i < LIMIT_SHARDS; i++) {
        Shard *shard = &limits->shards[i];
        MUTEX_HELD(&shard->mutex);
        stats.refused_connections += shard->refused_connections;
        stats.refused_rate += shard->refused_rate;
        stats.unpinned += shard->unpinned;
    }
    *ret_stats = stats;
}
