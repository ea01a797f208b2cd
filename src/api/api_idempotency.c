/* Idempotency-Key: a claim is a row before the work, its reply a second row after it.
 *
 * Invariants:
 * 1. Rows are only added. Try N of key K is the row `K<0x1F>N`; its end is `K<0x1F>N<0x1F>end`.
 * 2. An end with status 0 gives the claim back: the next request is try N + 1.
 * 3. A claim without an end is in flight when it was made by this process, else its outcome is not
 *    known: both are CONFLICT, and the texts differ.
 * 4. Rows leave after IDEMPOTENCY_HOURS, at the next start. */
#include "api/api_priv.h"

#include <string.h>

static Code row_get(ApiCall *call, Str key, MetaIdempotency *ret_row, bool *ret_found, Err *err)
{
    MetaRead *read AUTO(meta_read_end) = NULL;
    TRY(meta_read_begin(call->lake->meta, &read, err));
    Code code = meta_get_idempotency(read, call->principal.id, key, call->arena, ret_row, err);
    *ret_found = code == E_OK;
    return code == E_NOT_FOUND ? E_OK : code;
}

static Code row_add(ApiCall *call, Str key, const uint8_t fingerprint[32], int64_t status,
                    Str response, Err *err)
{
    MetaTxn txn;
    MetaIdempotency row = { .principal = call->principal.id, .key = key, .status = status,
                            .request_sha256 = str_of(fingerprint, 32), .response = response,
                            .created_us = govern_now_us(call->lake->govern) };
    meta_txn_init(&txn, call->arena);
    meta_add_idempotency(&txn, &row);
    return meta_commit(call->lake->meta, &txn, err);
}

static Str try_key(ApiCall *call, Str key, int number)
{
    return str_format(call->arena, STR_FMT "\x1f%d", STR_ARG(key), number);
}

static Str end_key(ApiCall *call, Str tried)
{
    return str_format(call->arena, STR_FMT "\x1f" "end", STR_ARG(tried));
}

static Code in_flight(ApiCall *call, const MetaIdempotency *row, Err *err)
{
    if (row->created_us >= call->lake->state->started_us)
        return err_hint(err, err_set(err, E_CONFLICT, "a request with this Idempotency-Key is at work"),
                        "ask again when it has ended");
    return err_hint(err, err_set(err, E_CONFLICT, "the server was restarted while a request with this "
                                 "Idempotency-Key was at work: its outcome is not known"),
                    "look whether it happened, then use a new key");
}

/* The newest try: its claim, and its end when it has one. */
static Code newest_try(ApiCall *call, Str key, int *ret_number, MetaIdempotency *ret_claim,
                       bool *ret_claimed, MetaIdempotency *ret_end, bool *ret_ended, Err *err)
{
    for (int number = 0; number < IDEMPOTENCY_TRIES_MAX; number++) {
        Str tried = try_key(call, key, number);
        *ret_number = number;
        *ret_ended = false;
        TRY(row_get(call, tried, ret_claim, ret_claimed, err));
        if (*ret_claimed)
            TRY(row_get(call, end_key(call, tried), ret_end, ret_ended, err));
        if (!*ret_claimed || !*ret_ended || ret_end->status != 0)
            return E_OK;
    }
    return err_set(err, E_RATE, "this Idempotency-Key was tried too often");
}

Code api_idempotency_claim(ApiCall *call, Str key, const uint8_t fingerprint[32],
                           ApiClaim *ret_claim, ApiKept *ret_kept, Err *err)
{
    MetaIdempotency claim, end;
    bool claimed = false, ended = false;
    int number = 0;
    if (key.len > 255 || str_find_char(key, '\x1f') >= 0)
        return err_set(err, E_INVALID, "an Idempotency-Key has at most 255 bytes");
    TRY(newest_try(call, key, &number, &claim, &claimed, &end, &ended, err));
    if (!claimed) {
        Code code = row_add(call, try_key(call, key, number), fingerprint, 0, STR_NONE, err);
        if (code == E_EXISTS)
            return err_set(err, E_CONFLICT, "a request with this Idempotency-Key is at work");
        TRY(code);
        *ret_claim = API_CLAIM_NEW;
        return E_OK;
    }
    if (claim.request_sha256.len != 32 || memcmp(claim.request_sha256.ptr, fingerprint, 32) != 0)
        return err_hint(err, err_set(err, E_PRECONDITION,
                                     "this Idempotency-Key came with another request before"),
                        "a new request wants a new key");
    if (!ended)
        return in_flight(call, &claim, err);
    Str rest = end.response, type;
    if (!str_split(&rest, '\n', &type))
        type = STR_NONE;
    *ret_kept = (ApiKept){ (int)end.status, type, rest.ptr ? rest : STR("") };
    *ret_claim = API_CLAIM_REPLAY;
    return E_OK;
}

Code api_idempotency_end(ApiCall *call, Str key, const uint8_t fingerprint[32],
                         const ApiKept *kept, Err *err)
{
    MetaIdempotency claim, end;
    bool claimed = false, ended = false;
    int number = 0;
    TRY(newest_try(call, key, &number, &claim, &claimed, &end, &ended, err));
    if (!claimed || ended)
        return err_set(err, E_INTERNAL, "an Idempotency-Key ends that was not claimed");
    Str response = kept ? str_format(call->arena, STR_FMT "\n" STR_FMT, STR_ARG(kept->type),
                                     STR_ARG(kept->body))
                        : STR_NONE;
    return row_add(call, end_key(call, try_key(call, key, number)), fingerprint,
                   kept ? kept->status : 0, response, err);
}
