/* The requests of a run, signed (Signature Version 4) before its clock starts. */
#include "load.h"

#include "base/text.h"
#include "format/checksum.h"
#include "front/s3/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

typedef struct Signer {
    const LoadPlan *plan;
    LoadAsks *asks;
    Arena tmp;
    SigClaim claim;
    SigKey key;
} Signer;

void load_stamp(uint64_t number, char ret_stamp[LOAD_STAMP])
{
    memset(ret_stamp, 't', LOAD_STAMP);
    for (size_t i = 0; i < 8; i++)
        ret_stamp[i] = (char)(number >> (8 * i));
}

static Str key_name(Signer *signer, uint64_t number)
{
    const LoadPlan *plan = signer->plan;
    if (plan->fold)
        return str_format(&signer->tmp, "%s%06llu/%06llu", plan->prefix, (unsigned long long)(number / plan->fold),
                          (unsigned long long)(number % plan->fold));
    return str_format(&signer->tmp, "%s%09llu", plan->prefix, (unsigned long long)number);
}

static Str payload_of(Signer *signer, const LoadAsk *ask)
{
    const LoadPlan *plan = signer->plan;
    uint8_t digest[SHA256_LEN];
    char stamp[LOAD_STAMP];
    if (plan->unsigned_payload)
        return STR("UNSIGNED-PAYLOAD");
    if (ask->verb != LOAD_PUT)
        return STR(EMPTY_SHA256);
    size_t head = (size_t)MIN(plan->size, (uint64_t)LOAD_STAMP);
    Sha256 sha AUTO(sha256_done) = { 0 };
    load_stamp(ask->number, stamp);
    sha256_init(&sha);
    sha256_update(&sha, str_of(stamp, head));
    sha256_update(&sha, str_of(signer->asks->body + head, (size_t)plan->size - head));
    sha256_final(&sha, digest);
    return hex_format(&signer->tmp, str_of((char *)digest, sizeof digest));
}

static void head_put(Signer *signer, LoadAsk *ask, const char *method, Str path, Str query)
{
    const LoadPlan *plan = signer->plan;
    Buf *heads = &signer->asks->heads;
    ask->at = heads->len;
    buf_format(heads, "%s " STR_FMT "%s" STR_FMT " HTTP/1.1\r\nHost: %s\r\n", method, STR_ARG(path), query.len ? "?" : "",
               STR_ARG(query), plan->address);
    if (!plan->plain) {
        signer->claim.payload = payload_of(signer, ask);
        const SigField fields[] = { { STR("host"), str_z(plan->address) },
                                    { STR("x-amz-content-sha256"), signer->claim.payload },
                                    { STR("x-amz-date"), signer->claim.amz_date } };
        SigRequest request = { str_z(method), path, query, fields, ARRAY_LEN(fields) };
        Str signature = sig_sign(&request, &signer->claim, &signer->key, &signer->tmp);
        buf_format(heads,
                   "x-amz-content-sha256: " STR_FMT "\r\nx-amz-date: " STR_FMT
                   "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=%s/" STR_FMT ", SignedHeaders=" STR_FMT
                   ", Signature=" STR_FMT "\r\n",
                   STR_ARG(signer->claim.payload), STR_ARG(signer->claim.amz_date), plan->access,
                   STR_ARG(signer->claim.scope), STR_ARG(signer->claim.signed_headers), STR_ARG(signature));
    }
    if (ask->verb == LOAD_PUT)
        buf_format(heads, "Content-Length: %llu\r\n", (unsigned long long)plan->size);
    buf_put(heads, STR("\r\n"));
    ask->len = (uint32_t)(heads->len - ask->at);
}

/* Page `i` of the keys, or of their folders: what stands behind the last key of the page before. */
static void list_put(Signer *signer, LoadAsk *ask, uint64_t i)
{
    const LoadPlan *plan = signer->plan;
    Arena *tmp = &signer->tmp;
    uint64_t each = plan->delimiter ? plan->fold : 1, from = i * plan->page * each;
    uint64_t left = (plan->keys - from + each - 1) / each;
    Str query, after;
    ask->items = (uint32_t)MIN(left, plan->page);
    Buf escaped AUTO(buf_done);
    buf_init(&escaped, 3 * LOAD_NAME_MAX);
    if (from > 0)
        url_encode(&escaped, key_name(signer, plan->first + from - 1), false);
    after = buf_str(&escaped);
    /* in the order of the canonical query */
    if (plan->versions)
        query = str_format(tmp, "%skey-marker=" STR_FMT "&max-keys=%llu&prefix=%s&versions=",
                           plan->delimiter ? "delimiter=%2F&" : "", STR_ARG(after), (unsigned long long)plan->page, plan->prefix);
    else
        query = str_format(tmp, "%slist-type=2&max-keys=%llu&prefix=%s&start-after=" STR_FMT,
                           plan->delimiter ? "delimiter=%2F&" : "", (unsigned long long)plan->page, plan->prefix, STR_ARG(after));
    head_put(signer, ask, "GET", str_format(tmp, "/%s", plan->bucket), query);
}

static void ask_put(Signer *signer, size_t i)
{
    const LoadPlan *plan = signer->plan;
    LoadAsk *ask = &signer->asks->asks[i];
    bool mixed = plan->verb == LOAD_MIX, walks = plan->verb == LOAD_PUT || mixed;
    uint64_t number = walks ? i : i * 7919 % plan->keys; /* reads come in another order than writes went */
    ask->number = plan->first + number % plan->keys;
    ask->verb = mixed ? (i % 2 ? LOAD_GET : LOAD_PUT) : plan->verb;
    if (ask->verb == LOAD_LIST) {
        list_put(signer, ask, i);
        return;
    }
    Str path = str_format(&signer->tmp, "/%s/" STR_FMT, plan->bucket, STR_ARG(key_name(signer, ask->number)));
    head_put(signer, ask, ask->verb == LOAD_PUT ? "PUT" : ask->verb == LOAD_GET ? "GET" : "HEAD", path, STR(""));
}

static void body_make(const LoadPlan *plan, LoadAsks *asks)
{
    uint64_t state = 88172645463325252ull;
    asks->body = malloc((size_t)plan->size + LOAD_STAMP);
    for (uint64_t i = 0; asks->body && i < plan->size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        asks->body[i] = (char)state;
    }
}

void load_sign(const LoadPlan *plan, LoadAsks *ret_asks)
{
    uint64_t each = plan->delimiter ? plan->fold : 1, pages = (plan->keys + plan->page * each - 1) / (plan->page * each);
    size_t count = plan->verb == LOAD_LIST ? (size_t)pages : (size_t)plan->keys;
    char date[32];
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &parts);
    *ret_asks = (LoadAsks){ .count = count };
    if (count == 0 || count > LOAD_ASKS_MAX) {
        fprintf(stderr, "load: %zu requests\n", count);
        exit(2);
    }
    buf_init(&ret_asks->heads, (size_t)4 << 30);
    ret_asks->asks = mem_new(count * sizeof *ret_asks->asks);
    body_make(plan, ret_asks);
    Signer signer = { .plan = plan, .asks = ret_asks };
    Arena kept = { 0 };
    Str day = str_of(date, 8);
    signer.key = sig_key(str_z(plan->secret), day, str_z(plan->region), STR("s3"));
    signer.claim = (SigClaim){ .kind = SIG_HEADER,
                               .access_key = str_z(plan->access),
                               .day = day,
                               .region = str_z(plan->region),
                               .service = STR("s3"),
                               .scope = str_format(&kept, "%.8s/%s/s3/aws4_request", date, plan->region),
                               .amz_date = str_z(date),
                               .signed_headers = STR("host;x-amz-content-sha256;x-amz-date") };
    for (size_t i = 0; i < count; i++) {
        ask_put(&signer, i);
        arena_reset(&signer.tmp);
    }
    arena_done(&signer.tmp);
    arena_done(&kept);
}
