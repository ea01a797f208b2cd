/* Principals, access keys and sessions.
 *
 * Invariants:
 * 1. A secret leaves the database only through seal_open; logs, audit rows and errors never hold
 * one.
 * 2. The cache holds keys that were active when they were read; each change of a key or principal
 * empties it, and a look-up that began before the change is not kept. So a revoked key ends with
 * the call that revoked it.
 * 3. A session token is sealed, names its principal's epoch, and never begets another session. */
#include "govern/govern_priv.h"

#include "base/text.h"
#include "format/checksum.h"
#include "format/json.h"

#include <string.h>

enum { TOKEN_BYTES_MAX = 16 << 10, MASTER_TEXT_MAX = 256 };

static const Str token_context = STR_INIT("session token");
static const Str session_prefix = STR_INIT("TSTS");

/* ---- the master key ---- */

static Code master_take(Govern *govern, Str hex, const char *from, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str bytes;
    if (!hex_parse(&tmp, str_trim(hex), &bytes) || bytes.len != SEAL_KEY_LEN)
        return err_place(
            err, err_set(err, E_INVALID, "a master key is %d hexadecimal digits", 2 * SEAL_KEY_LEN),
            "%s", from);
    memcpy(govern->master, bytes.ptr, SEAL_KEY_LEN);
    govern->has_master = true;
    return E_OK;
}

Code govern_master_load(Govern *govern, const char *path, Str text, Err *err)
{
    Buf kept AUTO(buf_done);
    Arena tmp AUTO(arena_done) = { 0 };
    buf_init(&kept, MASTER_TEXT_MAX);
    if (text.len > 0)
        return master_take(govern, text, "TARN_MASTER_KEY", err);
    Code code = os_read_whole(govern->os, path, &kept, err);
    if (code == E_OK)
        return master_take(govern, buf_str(&kept), path, err);
    if (code != E_NOT_FOUND)
        return code;
    uint8_t fresh[SEAL_KEY_LEN];
    os_random(govern->os, fresh, sizeof fresh);
    Str hex =
        str_format(&tmp, STR_FMT "\n", STR_ARG(hex_format(&tmp, str_of(fresh, sizeof fresh))));
    TRY(os_write_whole(govern->os, path, hex, err));
    return master_take(govern, hex, path, err);
}

static Code master_need(const Govern *govern, Err *err)
{
    return govern->has_master ? E_OK : err_set(err, E_UNAVAILABLE, "no master key was loaded");
}

static Str sealed(Govern *govern, Str context, Str text, Arena *arena)
{
    uint8_t nonce[SEAL_NONCE_LEN];
    os_random(govern->os, nonce, sizeof nonce);
    return seal(govern->master, nonce, context, text, arena);
}

/* ---- changes ---- */

static void cache_forget(Govern *govern)
{
    MUTEX_HELD(&govern->mutex);
    govern->changes++;
    if (govern->cache)
        explicit_bzero(govern->cache, ACCESS_CACHE_SLOTS * sizeof *govern->cache);
}

void access_cache_done(Govern *govern)
{
    if (govern->cache)
        explicit_bzero(govern->cache, ACCESS_CACHE_SLOTS * sizeof *govern->cache);
    mem_free(&govern->cache);
}

static Code change_commit(Govern *govern, MetaTxn *txn, Str by, const char *verb, Str target,
                          Err *err)
{
    govern_audit(govern, txn, by, str_z(verb), target, STR("ok"), STR("{}"));
    Code code = meta_commit(govern->meta, txn, err);
    cache_forget(govern);
    return code;
}

Code govern_principal_create(Govern *govern, Str name, GovernRole role, Str by, Arena *arena,
                             MetaPrincipal *ret_principal, Err *err)
{
    MetaTxn txn;
    if (!name.len || name.len > GOVERN_NAME_MAX || !str_is_utf8(name))
        return err_set(err, E_INVALID, "a principal's name has 1 to %d bytes of UTF-8",
                       GOVERN_NAME_MAX);
    MetaPrincipal row = { .id = uuid_format(arena, os_uuid(govern->os)),
                          .name = str_copy(arena, name),
                          .role = govern_role_name(role),
                          .epoch = 1,
                          .created_us = os_now_us(govern->os) };
    meta_txn_init(&txn, arena);
    meta_add_principal(&txn, &row);
    TRY(change_commit(govern, &txn, by, "principal.create", name, err));
    *ret_principal = row;
    return E_OK;
}

static Code principal_named(Govern *govern, Str name, Arena *arena, MetaPrincipal *ret_row,
                            Err *err)
{
    AUTO(meta_read_end) MetaRead *read = NULL;
    TRY(meta_read_begin(govern->meta, &read, err));
    return meta_get_principal_named(read, name, arena, ret_row, err);
}

Code govern_principal_set(Govern *govern, Str name, const GovernRole *role, const bool *disabled, Str by,
                          Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaPrincipal row;
    MetaTxn txn;
    MUTEX_HELD(&govern->changing);
    TRY(principal_named(govern, name, &tmp, &row, err));
    if (disabled)
        row.disabled_us = !*disabled ? 0 : row.disabled_us ? row.disabled_us : os_now_us(govern->os);
    meta_txn_init(&txn, &tmp);
    meta_set_principal(&txn, row.id, role ? govern_role_name(*role) : row.role, row.epoch + 1, row.disabled_us);
    return change_commit(govern, &txn, by, "principal.set", name, err);
}

Code govern_principals(Govern *govern, Arena *arena, MetaPrincipal **ret_principals,
                       size_t *ret_count, Err *err)
{
    AUTO(meta_read_end) MetaRead *read = NULL;
    TRY(meta_read_begin(govern->meta, &read, err));
    return meta_list_principals(read, arena, ret_principals, ret_count, err);
}

static Str letters(Govern *govern, const char *alphabet, size_t len, Str prefix, Arena *arena)
{
    uint8_t random[ACCESS_SECRET_MAX];
    size_t count = strlen(alphabet); /* a power of two: every letter as likely */
    char *text = arena_alloc(arena, prefix.len + len + 1);
    os_random(govern->os, random, len);
    memcpy(text, prefix.ptr, prefix.len);
    for (size_t i = 0; i < len; i++)
        text[prefix.len + i] = alphabet[random[i] % count];
    explicit_bzero(random, sizeof random);
    return str_of(text, prefix.len + len);
}

static Str access_id_make(Govern *govern, Str prefix, Arena *arena)
{
    return letters(govern, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, prefix, arena);
}

static Str secret_make(Govern *govern, Arena *arena)
{
    return letters(govern, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 40,
                   STR(""), arena);
}

Code govern_access_create(Govern *govern, Str principal_name, int64_t expires_us, Str by,
                          Arena *arena, Str *ret_id, Str *ret_secret, Err *err)
{
    MetaPrincipal principal;
    MetaTxn txn;
    TRY(master_need(govern, err));
    TRY(principal_named(govern, principal_name, arena, &principal, err));
    Str id = access_id_make(govern, STR("TARN"), arena), secret = secret_make(govern, arena);
    MetaAccessKey row = { .id = id,
                          .principal_id = principal.id,
                          .secret_sealed = sealed(govern, id, secret, arena),
                          .created_us = os_now_us(govern->os),
                          .expires_us = expires_us };
    meta_txn_init(&txn, arena);
    meta_require_principal_exists(&txn, principal.id);
    meta_add_access_key(&txn, &row);
    TRY(change_commit(govern, &txn, by, "access.create", id, err));
    *ret_id = id;
    *ret_secret = secret;
    return E_OK;
}

static Code access_row(Govern *govern, Str id, Arena *arena, MetaAccessKey *ret_key,
                       MetaPrincipal *ret_principal, Err *err)
{
    AUTO(meta_read_end) MetaRead *read = NULL;
    TRY(meta_read_begin(govern->meta, &read, err));
    TRY(meta_get_access_key(read, id, arena, ret_key, err));
    return ret_principal
               ? meta_get_principal(read, ret_key->principal_id, arena, ret_principal, err)
               : E_OK;
}

Code govern_access_set(Govern *govern, Str id, const int64_t *expires_us, const AccessChange *change, Str by,
                       Err *err)
{
    static const char *const verbs[] = { "access.disable", "access.enable", "access.revoke" };
    Arena tmp AUTO(arena_done) = { 0 };
    MetaAccessKey row;
    MetaTxn txn;
    int64_t revoked_us = 0, now_us = os_now_us(govern->os);
    ASSERT(expires_us || change);
    MUTEX_HELD(&govern->changing);
    TRY(access_row(govern, id, &tmp, &row, NULL, err));
    if (row.revoked_us && change && *change == ACCESS_REVOKE)
        return E_OK;
    if (change && *change == ACCESS_REVOKE)
        revoked_us = now_us;
    else if (change)
        row.disabled_us = *change == ACCESS_DISABLE ? now_us : 0;
    meta_txn_init(&txn, &tmp);
    meta_set_access_key(&txn, id, expires_us ? *expires_us : row.expires_us, row.disabled_us, revoked_us);
    if (expires_us && change)
        govern_audit(govern, &txn, by, STR("access.expire"), id, STR("ok"), STR("{}"));
    return change_commit(govern, &txn, by, change ? verbs[*change] : "access.expire", id, err);
}

Code govern_access_change(Govern *govern, Str id, AccessChange change, Str by, Err *err)
{
    return govern_access_set(govern, id, NULL, &change, by, err);
}

Code govern_access_expire(Govern *govern, Str id, int64_t expires_us, Str by, Err *err)
{
    return govern_access_set(govern, id, &expires_us, NULL, by, err);
}

Code govern_access_rotate(Govern *govern, Str id, int64_t old_until_us, int64_t expires_us, Str by,
                          Arena *arena, Str *ret_id, Str *ret_secret, Err *err)
{
    MetaAccessKey old;
    MetaTxn txn;
    TRY(master_need(govern, err));
    MUTEX_HELD(&govern->changing);
    TRY(access_row(govern, id, arena, &old, NULL, err));
    Str new_id = access_id_make(govern, STR("TARN"), arena), secret = secret_make(govern, arena);
    MetaAccessKey row = { .id = new_id,
                          .principal_id = old.principal_id,
                          .secret_sealed = sealed(govern, new_id, secret, arena),
                          .created_us = os_now_us(govern->os),
                          .expires_us = expires_us };
    meta_txn_init(&txn, arena);
    meta_set_access_key(&txn, id, old.expires_us ? MIN(old.expires_us, old_until_us) : old_until_us,
                        old.disabled_us, 0);
    meta_add_access_key(&txn, &row);
    TRY(change_commit(govern, &txn, by, "access.rotate", id, err));
    *ret_id = new_id;
    *ret_secret = secret;
    return E_OK;
}

Code govern_access_list(Govern *govern, Str principal_name, Arena *arena, MetaAccessKey **ret_keys,
                        size_t *ret_count, Err *err)
{
    MetaPrincipal principal = { .id = STR("") };
    if (principal_name.len > 0)
        TRY(principal_named(govern, principal_name, arena, &principal, err));
    AUTO(meta_read_end) MetaRead *read = NULL;
    TRY(meta_read_begin(govern->meta, &read, err));
    TRY(meta_list_access_keys(read, principal.id, arena, ret_keys, ret_count, err));
    access_use_overlay(govern, arena, *ret_keys, *ret_count);
    return E_OK;
}

static bool key_is_closed(Govern *govern, const MetaAccessKey *key, Arena *arena)
{
    Str secret;
    return !govern->has_master ||
           seal_open(govern->master, key->id, key->secret_sealed, arena, &secret, NULL) != E_OK;
}

Code govern_access_sealed(Govern *govern, size_t *ret_keys, size_t *ret_closed, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaAccessKey *keys;
    size_t count;
    *ret_keys = *ret_closed = 0;
    TRY(govern_access_list(govern, STR_NONE, &tmp, &keys, &count, err));
    for (size_t i = 0; i < count; i++) {
        *ret_keys += !keys[i].revoked_us;
        *ret_closed += !keys[i].revoked_us && key_is_closed(govern, &keys[i], &tmp);
    }
    return E_OK;
}

Code govern_access_drop_closed(Govern *govern, Str by, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaAccessKey *keys;
    size_t count;
    TRY(govern_access_list(govern, STR_NONE, &tmp, &keys, &count, err));
    for (size_t i = 0; i < count; i++)
        if (!keys[i].revoked_us && key_is_closed(govern, &keys[i], &tmp))
            TRY(govern_access_change(govern, keys[i].id, ACCESS_REVOKE, by, err));
    return E_OK;
}

/* ---- finding ---- */

static Code refuse(Err *err)
{
    return err_set(err, E_UNAUTHENTICATED,
                   "this access key is not known, or it is not valid any more");
}

static bool cache_find(Govern *govern, Str id, Arena *arena, CachedKey *ret_key,
                       uint64_t *ret_changes)
{
    MUTEX_HELD(&govern->mutex);
    *ret_changes = govern->changes;
    (void)arena;
    if (!govern->cache)
        return false;
    const CachedKey *slot = &govern->cache[str_hash(id) % ACCESS_CACHE_SLOTS];
    if (!slot->used || !str_eq(str_z(slot->id), id))
        return false;
    *ret_key = *slot;
    return true;
}

bool govern_access_known(Govern *govern, Str access_key_id)
{
    MUTEX_HELD(&govern->mutex);
    const CachedKey *slot = govern->cache ? &govern->cache[str_hash(access_key_id) % ACCESS_CACHE_SLOTS] : NULL;
    return slot && slot->used && str_eq(str_z(slot->id), access_key_id);
}

static void cache_keep(Govern *govern, const CachedKey *key, uint64_t changes)
{
    MUTEX_HELD(&govern->mutex);
    if (govern->changes != changes)
        return;
    if (!govern->cache)
        govern->cache = mem_new(ACCESS_CACHE_SLOTS * sizeof *govern->cache);
    govern->cache[str_hash(str_z(key->id)) % ACCESS_CACHE_SLOTS] = *key;
}

static bool text_put(char *to, size_t size, Str text)
{
    if (text.len >= size)
        return false;
    memcpy(to, text.ptr, text.len);
    to[text.len] = 0;
    return true;
}

static Code key_load(Govern *govern, Str id, Arena *arena, CachedKey *ret_key, Err *err)
{
    MetaAccessKey row;
    MetaPrincipal principal;
    Str secret;
    CachedKey key = { .used = true };
    Code code = access_row(govern, id, arena, &row, &principal, err);
    if (code == E_NOT_FOUND)
        return refuse(err);
    TRY(code);
    if (row.revoked_us || row.disabled_us || principal.disabled_us)
        return refuse(err);
    TRY(seal_open(govern->master, id, row.secret_sealed, arena, &secret, err));
    key.epoch = principal.epoch;
    key.expires_us = row.expires_us;
    if (!govern_role_parse(principal.role, &key.role) || !text_put(key.id, sizeof key.id, id) ||
        !text_put(key.secret, sizeof key.secret, secret) ||
        !text_put(key.principal_id, sizeof key.principal_id, principal.id) ||
        !text_put(key.principal_name, sizeof key.principal_name, principal.name))
        return err_set(err, E_CORRUPT, "the rows of access key " STR_FMT " are damaged",
                       STR_ARG(id));
    *ret_key = key;
    return E_OK;
}

static Code key_find(Govern *govern, Str id, Arena *arena, CachedKey *ret_key, Err *err)
{
    uint64_t changes;
    if (id.len == 0 || id.len > ACCESS_ID_MAX)
        return refuse(err);
    if (!cache_find(govern, id, arena, ret_key, &changes)) {
        TRY(key_load(govern, id, arena, ret_key, err));
        cache_keep(govern, ret_key, changes);
    }
    if (ret_key->expires_us && ret_key->expires_us <= govern_now_us(govern))
        return refuse(err);
    return E_OK;
}

static Code token_refuse(Err *err)
{
    return err_set(err, E_UNAUTHENTICATED, "the session token is not one of ours, or it is over");
}

static Code session_find(Govern *govern, Str access_key_id, Str token, Arena *arena,
                         AccessGrant *ret_grant, Err *err)
{
    Str bytes, text;
    const Json *root;
    CachedKey parent;
    if (token.len > TOKEN_BYTES_MAX || !base64_parse(arena, token, &bytes) ||
        seal_open(govern->master, token_context, bytes, arena, &text, NULL) != E_OK ||
        json_parse(arena, text, NULL, &root, NULL) != E_OK)
        return token_refuse(err);
    if (!str_eq(json_str(json_get(root, "id")), access_key_id))
        return token_refuse(err);
    if (json_i64(json_get(root, "expires_us"), 0) <= govern_now_us(govern))
        return err_set(err, E_GONE, "the session is over");
    TRY(key_find(govern, json_str(json_get(root, "parent")), arena, &parent, err));
    if (json_i64(json_get(root, "epoch"), 0) != parent.epoch)
        return token_refuse(err);
    *ret_grant = (AccessGrant){
        .principal = { str_copy(arena, str_z(parent.principal_id)),
                       str_copy(arena, str_z(parent.principal_name)), parent.role },
        .key_id = str_copy(arena, str_z(parent.id)),
        .secret = json_str(json_get(root, "secret")),
        .session_policy = json_str(json_get(root, "policy")),
        .session_name = json_str(json_get(root, "name")),
    };
    explicit_bzero(&parent, sizeof parent);
    return E_OK;
}

Code govern_access_find(Govern *govern, Str access_key_id, Str token, Arena *arena,
                        AccessGrant *ret_grant, Err *err)
{
    CachedKey key;
    TRY(master_need(govern, err));
    if (token.len > 0)
        return session_find(govern, access_key_id, token, arena, ret_grant, err);
    if (str_starts(access_key_id, session_prefix))
        return token_refuse(err);
    TRY(key_find(govern, access_key_id, arena, &key, err));
    *ret_grant = (AccessGrant){
        .principal = { str_copy(arena, str_z(key.principal_id)),
                       str_copy(arena, str_z(key.principal_name)), key.role },
        .key_id = str_copy(arena, str_z(key.id)),
        .secret = str_copy(arena, str_z(key.secret)),
    };
    explicit_bzero(&key, sizeof key);
    return E_OK;
}

/* ---- sessions ---- */

Code govern_session_create(Govern *govern, const AccessGrant *grant, Str access_key_id,
                           Str session_name, Str policy, uint32_t duration_s, Arena *arena,
                           SessionCredentials *ret_credentials, Err *err)
{
    CachedKey parent;
    Buf text AUTO(buf_done), token AUTO(buf_done);
    buf_init(&text, TOKEN_BYTES_MAX);
    buf_init(&token, TOKEN_BYTES_MAX * 2);
    TRY(master_need(govern, err));
    if (grant->session_name.len > 0)
        return err_set(err, E_FORBIDDEN, "a session cannot begin another one");
    if (duration_s < SESSION_S_MIN || duration_s > SESSION_S_MAX)
        return err_set(err, E_INVALID, "a session lasts %d to %d seconds", SESSION_S_MIN,
                       SESSION_S_MAX);
    if (session_name.len < 2 || session_name.len > SESSION_NAME_MAX)
        return err_set(err, E_INVALID, "a session's name has 2 to %d bytes", SESSION_NAME_MAX);
    if (policy.len > 0)
        TRY(session_policy_check(policy, err));
    TRY(key_find(govern, access_key_id, arena, &parent, err));
    SessionCredentials made = { .access_key_id = access_id_make(govern, session_prefix, arena),
                                .secret = secret_make(govern, arena),
                                .expires_us =
                                    govern_now_us(govern) + (int64_t)duration_s * 1000000 };
    JsonWriter w = json_writer(&text);
    json_begin_object(&w);
    json_field_str(&w, "id", made.access_key_id);
    json_field_str(&w, "secret", made.secret);
    json_field_str(&w, "parent", access_key_id);
    json_field_str(&w, "name", session_name);
    json_field_str(&w, "policy", policy.len ? policy : STR(""));
    json_field_i64(&w, "epoch", parent.epoch);
    json_field_i64(&w, "expires_us", made.expires_us);
    json_end_object(&w);
    TRY(buf_end(&text, "a session token", err));
    base64_put(&token, sealed(govern, token_context, buf_str(&text), arena));
    made.token = str_copy(arena, buf_str(&token));
    explicit_bzero(text.ptr, text.len);
    explicit_bzero(&parent, sizeof parent);
    *ret_credentials = made;
    return E_OK;
}

/* ---- rights ---- */

bool govern_bucket_may(const Principal *principal, BucketRight right, Str owner)
{
    bool own = owner.len > 0 && str_eq(owner, principal->id);
    switch (principal->role) {
    case ROLE_ADMIN:
    case ROLE_ENGINEER:
        return principal->role == ROLE_ADMIN || right != BUCKET_REMOVE || own;
    case ROLE_SCIENTIST:
        return right == BUCKET_LIST || right == BUCKET_READ || right == BUCKET_CREATE || own;
    case ROLE_READER:
        return right == BUCKET_LIST || right == BUCKET_READ;
    }
    return false;
}
