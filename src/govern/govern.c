#include "govern/govern_priv.h"

#include "format/checksum.h"

#include <string.h>


static const Str token_prefix = STR_INIT("tarn_");

Code govern_open(Os *os, Meta *meta, Govern **ret_govern, Err *err)
{
    (void)err; /* nothing can fail yet */
    Govern *govern = mem_new(sizeof *govern);
    *govern = (Govern){ .os = os, .meta = meta };
    mutex_init(&govern->changing);
    mutex_init(&govern->mutex);
    access_use_init(govern);
    *ret_govern = govern;
    return E_OK;
}

void govern_free(Govern **govern)
{
    if (!*govern)
        return;
    access_cache_done(*govern);
    explicit_bzero((*govern)->master, sizeof (*govern)->master);
    access_use_done(*govern);
    mutex_done(&(*govern)->mutex);
    mutex_done(&(*govern)->changing);
    mem_free(govern);
}

void govern_clock_set(Govern *govern, Clock *clock)
{
    govern->clock = clock;
}

int64_t govern_now_us(const Govern *govern)
{
    return govern->clock ? clock_now_us(govern->clock) : os_now_us(govern->os);
}

bool govern_role_parse(Str name, GovernRole *ret_role)
{
    for (int role = ROLE_READER; role <= ROLE_ADMIN; role++) {
        if (str_eq(name, govern_role_name((GovernRole)role))) {
            *ret_role = (GovernRole)role;
            return true;
        }
    }
    bool older = str_eq(name, STR("reader"));
    if (older)
        *ret_role = ROLE_READER;
    return older;
}

Str govern_role_name(GovernRole role)
{
    static const char *const names[] = { "data_viewer", "data_scientist", "data_engineer", "admin" };
    return str_z(names[role]);
}

static Str secret_hash(Str token, uint8_t digest[32])
{
    sha256_of(token, digest);
    return str_of(digest, 32);
}

/* One text for every reason: who tries keys learns nothing. */
static Code refuse(Err *err)
{
    Code code = err_set(err, E_UNAUTHENTICATED, "no valid key was given");
    return err_hint(err, code, "send `Authorization: Bearer KEY`; the admin's key is in admin.json of the "
                               "data directory, `tarn key create NAME` makes others");
}

Code govern_authenticate(Govern *govern, Str bearer, Arena *arena, Principal *ret_principal, Err *err)
{
    uint8_t digest[32];
    MetaKey key;
    GovernRole role;
    if (!str_starts(bearer, token_prefix))
        return refuse(err);
    AUTO(meta_read_end) MetaRead *read = NULL;
    TRY(meta_read_begin(govern->meta, &read, err));
    Code code = meta_get_key_of_secret(read, secret_hash(bearer, digest), arena, &key, err);
    if (code == E_NOT_FOUND)
        return refuse(err);
    TRY(code);
    int64_t now_us = govern_now_us(govern);
    if (key.revoked_us || (key.expires_us && key.expires_us <= now_us))
        return refuse(err);
    if (!govern_role_parse(key.role, &role))
        return err_set(err, E_CORRUPT, "key " STR_FMT " has the unknown role '" STR_FMT "'",
                       STR_ARG(key.id), STR_ARG(key.role));
    *ret_principal = (Principal){ key.id, key.name, role };
    return E_OK;
}

bool govern_role_may(GovernRole role, GovernRight right)
{
    switch (right) {
    case RIGHT_READ:
        return true;
    case RIGHT_WRITE:
        return role >= ROLE_ENGINEER;
    case RIGHT_ADMIN:
        return role == ROLE_ADMIN;
    }
    return false;
}

Code govern_check(const Principal *principal, GovernRight right, Str target, Err *err)
{
    static const char *const names[] = { "read", "change", "administer" };
    if (govern_role_may(principal->role, right))
        return E_OK;
    Code code = err_set(err, E_FORBIDDEN, "key '" STR_FMT "' (" STR_FMT ") may not %s " STR_FMT,
                        STR_ARG(principal->name), STR_ARG(govern_role_name(principal->role)),
                        names[right], STR_ARG(target));
    return err_hint(err, code, "an admin's key may: `tarn key create NAME --role admin`");
}

void govern_audit(Govern *govern, MetaTxn *txn, Str principal, Str verb, Str target, Str outcome,
                  Str detail_json)
{
    MetaAudit row = { .time_us = os_now_us(govern->os),
                      .principal = principal,
                      .verb = verb,
                      .target = target,
                      .outcome = outcome,
                      .detail_json = detail_json };
    meta_add_audit(txn, &row);
}

static Code name_check(Str name, Err *err)
{
    if (!name.len || name.len > GOVERN_NAME_MAX || !str_is_utf8(name))
        return err_set(err, E_INVALID, "a key's name has 1 to %d bytes of UTF-8", GOVERN_NAME_MAX);
    return E_OK;
}

Code govern_key_create(Govern *govern, const KeyCreate *create, Arena *arena, Str *ret_id,
                       Str *ret_secret, Err *err)
{
    uint8_t random[GOVERN_SECRET_BYTES];
    uint8_t digest[32];
    TRY(name_check(create->name, err));
    os_random(govern->os, random, sizeof random);
    Str digits = hex_format(arena, str_of(random, sizeof random));
    Str secret = str_format(arena, STR_FMT STR_FMT, STR_ARG(token_prefix), STR_ARG(digits));
    MetaKey row = {
        .id = uuid_format(arena, os_uuid(govern->os)),
        .name = create->name,
        .role = govern_role_name(create->role),
        .secret_sha256 = secret_hash(secret, digest),
        .created_us = os_now_us(govern->os),
        .expires_us = create->expires_us,
    };
    MetaTxn txn;
    meta_txn_init(&txn, arena);
    meta_require_key_name_free(&txn, create->name);
    meta_add_key(&txn, &row);
    govern_audit(govern, &txn, create->principal, STR("key.create"), create->name, STR("ok"), STR("{}"));
    TRY(meta_commit(govern->meta, &txn, err));
    *ret_id = row.id;
    *ret_secret = secret;
    return E_OK;
}

Code govern_key_list(Govern *govern, Arena *arena, MetaKey **ret_keys, size_t *ret_count, Err *err)
{
    AUTO(meta_read_end) MetaRead *read = NULL;
    TRY(meta_read_begin(govern->meta, &read, err));
    return meta_list_keys(read, arena, ret_keys, ret_count, err);
}

Code govern_key_revoke(Govern *govern, Str id, Str principal, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    AUTO(meta_read_end) MetaRead *read = NULL;
    MetaKey key;
    TRY(meta_read_begin(govern->meta, &read, err));
    TRY(meta_get_key(read, id, &tmp, &key, err));
    meta_read_end(&read);
    if (key.revoked_us)
        return E_OK;
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_revoke_key(&txn, id, os_now_us(govern->os));
    govern_audit(govern, &txn, principal, STR("key.revoke"), key.name, STR("ok"), STR("{}"));
    return meta_commit(govern->meta, &txn, err);
}

Code govern_policy(Govern *govern, const Principal *principal, Str ns, Str table, Arena *arena,
                   PolicyExpr *ret_policy, Err *err)
{
    (void)govern, (void)principal, (void)ns, (void)table, (void)arena, (void)err;
    *ret_policy = (PolicyExpr){ 0 };
    return E_OK;
}
