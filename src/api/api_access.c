/* Principals and access keys. A change is audited by govern/ in the transaction that makes it, and is judged
 * by the next request already. */
#include "api/api_priv.h"
#include "govern/access.h"

#include <string.h>

static const char keys_next[] = "`tarn key access list` shows the access keys";
static const char people_next[] = "`tarn key principal list` shows them";
static const Str own_principal = STR_INIT("admin"); /* whose key stands in admin.json */

Code api_expires_in(ApiCall *call, int64_t seconds, int64_t *ret_expires_us, Err *err)
{
    if (seconds < 0 || seconds > (int64_t)API_EXPIRES_DAYS_MAX * 86400)
        return err_set(err, E_INVALID, "a key ends 0 to %lld seconds from now",
                       (long long)API_EXPIRES_DAYS_MAX * 86400);
    *ret_expires_us = govern_now_us(call->lake->govern) + seconds * 1000000;
    return E_OK;
}

static void principal_put(JsonWriter *w, Arena *arena, const MetaPrincipal *row)
{
    json_begin_object(w);
    json_field_str(w, "id", row->id);
    json_field_str(w, "name", row->name);
    json_field_str(w, "role", row->role);
    api_time_field(w, arena, "created", row->created_us);
    api_time_field(w, arena, "disabled", row->disabled_us);
    json_end_object(w);
}

Code api_principals(ApiCall *call, Buf *out, Err *err)
{
    MetaPrincipal *rows;
    size_t count;
    TRY(govern_principals(call->lake->govern, call->arena, &rows, &count, err));
    JsonWriter w = api_items_begin(out);
    for (size_t i = 0; i < count; i++)
        principal_put(&w, call->arena, &rows[i]);
    return api_items_end(&w, "the list of principals", err);
}

Code api_principal_create(ApiCall *call, Str name, Str role, Buf *out, Err *err)
{
    GovernRole parsed;
    MetaPrincipal row;
    TRY(api_role_parse(role, &parsed, err));
    TRY(api_named(govern_principal_create(call->lake->govern, name, parsed, call->principal.id, call->arena, &row, err),
                  err, people_next));
    api_count(call, API_COUNT_mutations, 1);
    JsonWriter w = json_writer(out);
    principal_put(&w, call->arena, &row);
    return buf_end(out, "the principal", err);
}

static Code principal_find(ApiCall *call, Str name, MetaPrincipal *ret_row, Err *err)
{
    MetaPrincipal *rows;
    size_t count;
    TRY(govern_principals(call->lake->govern, call->arena, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (str_eq(rows[i].name, name)) {
            *ret_row = rows[i];
            return E_OK;
        }
    }
    Code code = err_set(err, E_NOT_FOUND, "there is no principal '" STR_FMT "'", STR_ARG(name));
    return err_hint(err, code, "`tarn key principal list` shows them");
}

Code api_principal_set(ApiCall *call, const ApiPrincipalSet *set, Buf *out, Err *err)
{
    GovernRole role = ROLE_ADMIN;
    MetaPrincipal row;
    TRY(principal_find(call, set->name, &row, err));
    if (set->role.len)
        TRY(api_role_parse(set->role, &role, err));
    if (str_eq(set->name, own_principal) && ((set->sets_disabled && set->disabled) || role != ROLE_ADMIN))
        return err_hint(err, err_set(err, E_PRECONDITION, "the principal 'admin' is the server's own"),
                        "make another principal and revoke keys of `admin` with `tarn key access revoke`");
    TRY(govern_principal_set(call->lake->govern, set->name, set->role.len ? &role : NULL,
                             set->sets_disabled ? &set->disabled : NULL, call->principal.id, err));
    api_count(call, API_COUNT_mutations, 1);
    TRY(principal_find(call, set->name, &row, err));
    JsonWriter w = json_writer(out);
    principal_put(&w, call->arena, &row);
    return buf_end(out, "the principal", err);
}

static const char *access_state(const MetaAccessKey *key, int64_t now_us)
{
    if (key->revoked_us)
        return "revoked";
    if (key->expires_us && key->expires_us <= now_us)
        return "expired";
    return key->disabled_us ? "disabled" : "active";
}

static Str principal_name(const MetaPrincipal *rows, size_t count, Str id)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(rows[i].id, id))
            return rows[i].name;
    return STR_NONE;
}

Code api_access_keys(ApiCall *call, Str principal, Buf *out, Err *err)
{
    MetaAccessKey *keys;
    MetaPrincipal *principals;
    size_t count, principal_count;
    int64_t now_us = govern_now_us(call->lake->govern);
    TRY(govern_principals(call->lake->govern, call->arena, &principals, &principal_count, err));
    TRY(api_named(govern_access_list(call->lake->govern, principal, call->arena, &keys, &count, err), err,
                  people_next));
    JsonWriter w = api_items_begin(out);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(&w);
        json_field_str(&w, "id", keys[i].id);
        json_field_str(&w, "principal", principal_name(principals, principal_count, keys[i].principal_id));
        json_field_str(&w, "state", str_z(access_state(&keys[i], now_us)));
        api_time_field(&w, call->arena, "created", keys[i].created_us);
        api_time_field(&w, call->arena, "expires", keys[i].expires_us);
        api_time_field(&w, call->arena, "disabled", keys[i].disabled_us);
        api_time_field(&w, call->arena, "revoked", keys[i].revoked_us);
        api_time_field(&w, call->arena, "last_used", keys[i].used_us);
        json_field_str(&w, "last_used_service", keys[i].used_us ? keys[i].used_service : STR_NONE);
        json_field_str(&w, "last_used_region", keys[i].used_us ? keys[i].used_region : STR_NONE);
        json_end_object(&w);
    }
    return api_items_end(&w, "the list of access keys", err);
}

static Code made_put(ApiCall *call, Str id, Str secret, int64_t expires_us, Buf *out, Err *err)
{
    api_count(call, API_COUNT_mutations, 1);
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_field_str(&w, "id", id);
    json_field_str(&w, "secret", secret);
    api_time_field(&w, call->arena, "expires", expires_us);
    json_end_object(&w);
    return buf_end(out, "the access key", err);
}

Code api_access_create(ApiCall *call, Str principal, int64_t expires_us, Buf *out, Err *err)
{
    Str id, secret;
    Code code = govern_access_create(call->lake->govern, principal, expires_us, call->principal.id,
                                     call->arena, &id, &secret, err);
    if (code == E_NOT_FOUND)
        return err_hint(err, code, "`tarn key access create NAME --role ROLE` makes principal and key");
    TRY(code);
    return made_put(call, id, secret, expires_us, out, err);
}

Code api_access_set(ApiCall *call, const ApiAccessSet *set, Err *err)
{
    AccessChange change = set->disabled ? ACCESS_DISABLE : ACCESS_ENABLE;
    if (!set->sets_expires && !set->sets_disabled)
        return err_set(err, E_INVALID, "nothing is to be changed: give `expires` or `disabled`");
    TRY(api_named(govern_access_set(call->lake->govern, set->id, set->sets_expires ? &set->expires_us : NULL,
                                    set->sets_disabled ? &change : NULL, call->principal.id, err), err, keys_next));
    api_count(call, API_COUNT_mutations, 1);
    return E_OK;
}

Code api_access_rotate(ApiCall *call, Str id, int64_t overlap_s, int64_t expires_us, Buf *out, Err *err)
{
    Str new_id, secret;
    if (overlap_s < 0 || overlap_s > API_OVERLAP_S_MAX)
        return err_set(err, E_INVALID, "the old key goes on for 0 to %d seconds", API_OVERLAP_S_MAX);
    int64_t until_us = govern_now_us(call->lake->govern) + overlap_s * 1000000;
    TRY(api_named(govern_access_rotate(call->lake->govern, id, until_us, expires_us, call->principal.id, call->arena,
                                       &new_id, &secret, err), err, keys_next));
    return made_put(call, new_id, secret, expires_us, out, err);
}

Code api_access_revoke(ApiCall *call, Str id, Err *err)
{
    TRY(api_named(govern_access_change(call->lake->govern, id, ACCESS_REVOKE, call->principal.id, err), err,
                  keys_next));
    api_count(call, API_COUNT_mutations, 1);
    return E_OK;
}
