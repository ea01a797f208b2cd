/* Idempotency-Key: the claim before the work, the reply kept after it, replayed for the same request. */
#include "format/checksum.h"
#include "front/rest/rest_priv.h"

Code rest_claim(HttpReq *r, Str key, Str body, uint8_t ret_fingerprint[32], bool *ret_replayed, Err *err)
{
    ApiCall *call = rest_call(r);
    uint8_t body_hash[32];
    ApiClaim claim;
    ApiKept kept = { 0 };
    sha256_of(body, body_hash);
    Str hash = hex_format(call->arena, str_of((const char *)body_hash, 32));
    Str type = rest_media_type(r);
    Str text = str_format(call->arena, STR_FMT "\n" STR_FMT "\n" STR_FMT "\n%lld\n" STR_FMT,
                          STR_ARG(http_req_method(r)), STR_ARG(http_req_target(r)), STR_ARG(type),
                          (long long)http_req_length(r), STR_ARG(hash));
    sha256_of(text, ret_fingerprint);
    TRY(api_idempotency_claim(call, key, ret_fingerprint, &claim, &kept, err));
    *ret_replayed = claim == API_CLAIM_REPLAY;
    if (claim == API_CLAIM_REPLAY) {
        http_reply_header(r, "Idempotency-Replayed", STR("true"));
        http_reply(r, kept.status, str_copy_z(call->arena, kept.type), kept.body);
    }
    return E_OK;
}

void rest_claim_problem(HttpReq *r, Code code, const Err *err)
{
    int status = code == E_PRECONDITION ? 422 : code_info(code)->http;
    http_reply_problem_status(r, status, err, STR_NONE);
}

void rest_claim_release(HttpReq *r, Str key, const uint8_t fingerprint[32])
{
    /* When this fails the claim stays in flight, and a repeated request is told so. */
    IGNORE(api_idempotency_end(rest_call(r), key, fingerprint, NULL, NULL) != E_OK);
}

void rest_claim_end(HttpReq *r, Str key, const uint8_t fingerprint[32])
{
    ApiKept kept = { 0 };
    bool whole = http_reply_peek(r, &kept.status, &kept.type, &kept.body);
    bool may_change = kept.status >= 500 || kept.status == 408 || kept.status == 409 || kept.status == 429;
    if (!whole || may_change || kept.body.len > API_REPLY_KEPT_MAX)
        rest_claim_release(r, key, fingerprint);
    else
        IGNORE(api_idempotency_end(rest_call(r), key, fingerprint, &kept, NULL) != E_OK); /* as above */
}

/* on_end of routes with a handler in `once`. */
void rest_once(HttpReq *r)
{
    const RestMore *more = http_req_route(r)->more;
    Str key = http_req_header(r, "Idempotency-Key");
    uint8_t fingerprint[32];
    bool replayed = false;
    Err err;
    if (key.len == 0) {
        more->once(r);
        return;
    }
    Code code = rest_claim(r, key, http_req_body(r), fingerprint, &replayed, &err);
    if (code != E_OK) {
        rest_claim_problem(r, code, &err);
        return;
    }
    if (replayed)
        return;
    more->once(r);
    rest_claim_end(r, key, fingerprint);
}
