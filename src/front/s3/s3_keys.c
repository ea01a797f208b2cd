/* Signing keys of a day, kept: five hashes a request become one.
 *
 * Invariants:
 * 1. A key is found by its whole secret, day and service, so that one which was rotated is not taken
 * for the new one; who may sign at all is asked of govern/ each time before.
 * 2. Places are overwritten, never waited for; all of them are wiped with the server. */
#include "front/s3/s3_priv.h"

#include <string.h>

static bool entry_is(const S3Key *entry, Str secret, const SigClaim *claim)
{
    return entry->secret_len == secret.len && secret.len > 0 &&
           memcmp(entry->secret, secret.ptr, secret.len) == 0 &&
           str_eq(str_of(entry->day, entry->day_len), claim->day) &&
           str_eq(str_of(entry->service, entry->service_len), claim->service);
}

static void entry_set(S3Key *entry, Str secret, const SigClaim *claim, const SigKey *key)
{
    memcpy(entry->secret, secret.ptr, secret.len);
    memcpy(entry->day, claim->day.ptr, claim->day.len);
    memcpy(entry->service, claim->service.ptr, claim->service.len);
    entry->secret_len = secret.len;
    entry->day_len = claim->day.len;
    entry->service_len = claim->service.len;
    entry->key = *key;
}

SigKey s3_signing_key(S3Server *server, Str secret, const SigClaim *claim)
{
    S3Key *entry = &server->keys.entries[str_hash(claim->access_key) % S3_KEYS_KEPT];
    bool fits = secret.len <= sizeof entry->secret && claim->day.len <= sizeof entry->day &&
                claim->service.len <= sizeof entry->service &&
                str_eq(claim->region, server->options.region);
    if (fits) {
        MUTEX_HELD(&server->keys.mutex);
        if (entry_is(entry, secret, claim))
            return entry->key;
    }
    SigKey key = sig_key(secret, claim->day, claim->region, claim->service);
    if (fits) {
        MUTEX_HELD(&server->keys.mutex);
        entry_set(entry, secret, claim, &key);
    }
    return key;
}

void s3_keys_init(S3Keys *keys)
{
    mutex_init(&keys->mutex);
}

void s3_keys_done(S3Keys *keys)
{
    mutex_done(&keys->mutex);
    explicit_bzero(keys->entries, sizeof keys->entries);
}
