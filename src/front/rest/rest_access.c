/* Keys as JSON: bearer keys, principals and access keys. Secrets are in the reply that made them and in no other. */
#include "front/rest/rest_priv.h"

#include "base/text.h"

enum { ACCESS_REPLY_MAX = 64 << 10 };

/* A reply with a secret is kept by nobody: not by us for a second answer, not by a proxy. */
static Code secret_guard(HttpReq *r, Err *err)
{
    http_reply_header(r, "Cache-Control", STR("no-store"));
    if (http_req_header(r, "Idempotency-Key").ptr)
        return err_set(err, E_UNSUPPORTED, "a key's secret is shown once and not kept for a second answer");
    return E_OK;
}

/* An empty body is an empty object. */
static Code body_parse(HttpReq *r, const Json **ret_root, Err *err)
{
    Str body = http_req_body(r);
    TRY(json_parse(http_req_arena(r), str_trim(body).len ? body : STR("{}"), NULL, ret_root, err));
    if (json_type(*ret_root) != JSON_OBJECT)
        return err_set(err, E_INVALID, "the body is a JSON object");
    return E_OK;
}

/* `expires`, a time, or `expires_s`, seconds from now by the lake's clock; null and neither are never. */
static Code expires_get(HttpReq *r, const Json *root, int64_t *ret_us, Err *err)
{
    const Json *expires = json_get(root, "expires");
    int64_t seconds;
    *ret_us = 0;
    if (json_get(root, "expires_s")) {
        if (expires)
            return err_hint(err, err_set(err, E_INVALID, "`expires` and `expires_s` are two answers to one question"),
                            "give a time or how many seconds from now");
        TRY(json_need_i64(root, "expires_s", &seconds, err));
        return api_expires_in(rest_call(r), seconds, ret_us, err);
    }
    if (json_is_null(expires) || time_parse(json_str(expires), ret_us))
        return E_OK;
    return err_hint(err, err_set(err, E_INVALID, "`expires` is no time"),
                    "write 2030-01-31T00:00:00Z, or null: never; or `expires_s`, seconds from now");
}

static Code disabled_get(const Json *root, bool *ret_given, bool *ret_disabled, Err *err)
{
    *ret_given = json_get(root, "disabled") != NULL;
    return *ret_given ? json_need_bool(root, "disabled", ret_disabled, err) : E_OK;
}

static Code role_get(const Json *root, Str *ret_role, Err *err)
{
    return !json_is_null(json_get(root, "role")) ? json_need_str(root, "role", ret_role, err) : E_OK;
}

static Code key_create(HttpReq *r, Buf *out, Err *err)
{
    const Json *root;
    Str name, role = STR("data_viewer");
    int64_t expires_us;
    TRY(secret_guard(r, err));
    TRY(body_parse(r, &root, err));
    TRY(json_need_str(root, "name", &name, err));
    TRY(role_get(root, &role, err));
    TRY(expires_get(r, root, &expires_us, err));
    return api_key_create(rest_call(r), name, role, expires_us, out, err);
}

void rest_key_create(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, ACCESS_REPLY_MAX);
    rest_send(r, 201, &out, key_create(r, &out, &err), &err);
}

void rest_principals(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    rest_send(r, 200, &out, api_principals(rest_call(r), &out, &err), &err);
}

static Code principal_create(HttpReq *r, Buf *out, Err *err)
{
    const Json *root;
    Str name, role = STR("data_viewer");
    TRY(body_parse(r, &root, err));
    TRY(json_need_str(root, "name", &name, err));
    TRY(role_get(root, &role, err));
    return api_principal_create(rest_call(r), name, role, out, err);
}

void rest_principal_create(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, ACCESS_REPLY_MAX);
    rest_send(r, 201, &out, principal_create(r, &out, &err), &err);
}

static Code principal_set(HttpReq *r, Buf *out, Err *err)
{
    const Json *root;
    ApiPrincipalSet set = { .name = http_req_arg(r, "name") };
    TRY(body_parse(r, &root, err));
    TRY(role_get(root, &set.role, err));
    TRY(disabled_get(root, &set.sets_disabled, &set.disabled, err));
    return api_principal_set(rest_call(r), &set, out, err);
}

void rest_principal_set(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, ACCESS_REPLY_MAX);
    rest_send(r, 200, &out, principal_set(r, &out, &err), &err);
}

void rest_access_keys(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    rest_send(r, 200, &out, api_access_keys(rest_call(r), rest_query(r, "principal"), &out, &err), &err);
}

static Code access_create(HttpReq *r, Buf *out, Err *err)
{
    const Json *root;
    Str principal;
    int64_t expires_us;
    TRY(secret_guard(r, err));
    TRY(body_parse(r, &root, err));
    TRY(json_need_str(root, "principal", &principal, err));
    TRY(expires_get(r, root, &expires_us, err));
    return api_access_create(rest_call(r), principal, expires_us, out, err);
}

void rest_access_create(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, ACCESS_REPLY_MAX);
    rest_send(r, 201, &out, access_create(r, &out, &err), &err);
}

static Code access_rotate(HttpReq *r, Buf *out, Err *err)
{
    const Json *root;
    int64_t overlap_s = 86400, expires_us;
    TRY(secret_guard(r, err));
    TRY(body_parse(r, &root, err));
    if (json_get(root, "overlap_s"))
        TRY(json_need_i64(root, "overlap_s", &overlap_s, err));
    TRY(expires_get(r, root, &expires_us, err));
    return api_access_rotate(rest_call(r), http_req_arg(r, "id"), overlap_s, expires_us, out, err);
}

void rest_access_rotate(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, ACCESS_REPLY_MAX);
    rest_send(r, 201, &out, access_rotate(r, &out, &err), &err);
}

static Code access_set(HttpReq *r, Err *err)
{
    const Json *root;
    ApiAccessSet set = { .id = http_req_arg(r, "id") };
    TRY(body_parse(r, &root, err));
    set.sets_expires = json_get(root, "expires") || json_get(root, "expires_s");
    TRY(expires_get(r, root, &set.expires_us, err));
    TRY(disabled_get(root, &set.sets_disabled, &set.disabled, err));
    return api_access_set(rest_call(r), &set, err);
}

void rest_access_set(HttpReq *r)
{
    Err err;
    if (access_set(r, &err) != E_OK)
        http_reply_problem(r, &err);
    else
        http_reply(r, 200, REST_JSON, STR("{\"changed\":true}\n"));
}

void rest_access_revoke(HttpReq *r)
{
    Err err;
    if (api_access_revoke(rest_call(r), http_req_arg(r, "id"), &err) != E_OK)
        http_reply_problem(r, &err);
    else
        http_reply(r, 200, REST_JSON, STR("{\"revoked\":true}\n"));
}
