/* Compression of replies.
 *
 * Invariants:
 * 1. A stream decides with its first block, before the head goes out, so a short one stays as it is.
 * 2. The budget that an open stream took is given back by its `done`, which runs exactly once.
 * 3. A block that the socket waits for is never empty unless the stream says LATER or ends. */
#include "front/http/http_encode.h"

#include "front/http/http_priv.h"

enum { FULL_Q = 1000, BLOCK_IN_MAX = 1 << 20 /* pulled for one block that goes out */ };

/* ---- what is asked for ---- */

/* `q=0.123` of a weight in thousandths; -1: none that is valid. */
static int weight_parse(Str text)
{
    int q = 0, scale = FULL_Q;
    if (text.len < 3 || text.len > 7 || (text.ptr[0] | 32) != 'q' || text.ptr[1] != '=' ||
        (text.len > 3 && text.ptr[3] != '.'))
        return -1;
    for (size_t i = 2; i < text.len; i++) {
        if (i == 3)
            continue;
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        q += (text.ptr[i] - '0') * scale;
        scale /= 10;
    }
    return q <= FULL_Q ? q : -1;
}

static int weight_of(Str coding)
{
    ptrdiff_t semicolon = str_find_char(coding, ';');
    return semicolon < 0 ? FULL_Q : weight_parse(str_trim(str_from(coding, (size_t)semicolon + 1)));
}

int encode_choose(Str accept)
{
    enum { ZSTD, GZIP, IDENTITY, STAR, CODINGS };
    int q[CODINGS] = { -1, -1, -1, -1 };
    Str coding;
    while (str_split(&accept, ',', &coding)) {
        ptrdiff_t semicolon = str_find_char(coding, ';');
        Str name = str_trim(semicolon < 0 ? coding : str_sub(coding, 0, (size_t)semicolon));
        int at = str_ieq(name, STR("zstd")) ? ZSTD
                 : str_ieq(name, STR("gzip")) || str_ieq(name, STR("x-gzip")) ? GZIP
                 : str_ieq(name, STR("identity")) ? IDENTITY
                 : str_eq(name, STR("*")) ? STAR : CODINGS;
        int weight = weight_of(coding);
        if (at < CODINGS && weight >= 0)
            q[at] = weight;
    }
    for (int at = ZSTD; at <= GZIP; at++)
        q[at] = q[at] < 0 ? MAX(q[STAR], 0) : q[at];
    int best = MAX(q[ZSTD], q[GZIP]);
    if (best == 0 || q[IDENTITY] > best)
        return ENCODE_IDENTITY;
    return q[ZSTD] == best ? ENCODE_ZSTD : ENCODE_GZIP;
}

bool encode_type_ok(Str type)
{
    static const Str whole[] = {
        STR_INIT("application/json"), STR_INIT("application/x-ndjson"), STR_INIT("application/ndjson"),
        STR_INIT("application/javascript"), STR_INIT("application/xml"), STR_INIT("application/yaml"),
        STR_INIT("application/graphql"), STR_INIT("application/sql"), STR_INIT("application/wasm"),
        STR_INIT("application/x-www-form-urlencoded"), STR_INIT("application/toml"),
        STR_INIT("application/vnd.apache.arrow.stream"), STR_INIT("image/bmp"), STR_INIT("font/ttf"),
    };
    ptrdiff_t semicolon = str_find_char(type, ';');
    Str name = str_trim(semicolon < 0 ? type : str_sub(type, 0, (size_t)semicolon));
    bool ok = str_istarts(name, STR("text/")) || str_ends(name, STR("+json")) || str_ends(name, STR("+xml"));
    for (size_t i = 0; i < ARRAY_LEN(whole) && !ok; i++)
        ok = str_ieq(name, whole[i]);
    return ok;
}

/* ---- fields of the reply ---- */

static HttpPair *field_find(HttpReq *r, Str name)
{
    for (size_t i = 0; i < r->reply_field_count; i++) {
        if (str_ieq(r->reply_fields[i].name, name))
            return &r->reply_fields[i];
    }
    return NULL;
}

static void field_drop(HttpReq *r, Str name)
{
    HttpPair *field = field_find(r, name);
    if (field)
        *field = r->reply_fields[--r->reply_field_count];
}

/* Encoded bytes are another representation: a strong tag must not name both (RFC 9110 8.8.3). */
static void encoded_fields_set(HttpReq *r, EncodeKind kind)
{
    HttpPair *etag = field_find(r, STR("ETag"));
    http_reply_header(r, "Content-Encoding", kind == ENCODE_GZIP ? STR("gzip") : STR("zstd"));
    if (etag && !str_starts(etag->value, STR("W/")))
        etag->value = str_format(&r->arena, "W/" STR_FMT, STR_ARG(etag->value));
    field_drop(r, STR("Accept-Ranges"));
    r->policy.encoded = true;
}

static int level_of(const EncodeRules *rules, EncodeKind kind)
{
    return kind == ENCODE_GZIP ? rules->gzip_level : rules->zstd_level;
}

/* ---- whole bodies ---- */

static void whole_encode(HttpReq *r, const EncodeRules *rules, EncodeKind kind)
{
    Encoder *encoder AUTO(encoder_free) = NULL;
    Buf out AUTO(buf_done) = { 0 };
    Str body = buf_str(&r->reply_body);
    Err err;
    bool on_loop = r->parked || !r->route || http_req_on_loop(r);
    if (body.len < rules->bytes_min || (on_loop && body.len > ENCODE_ON_LOOP_MAX))
        return;
    buf_init(&out, MAX(body.len, (size_t)64 << 10)); /* more is no gain; the encoder wants some room */
    err_clear(&err);
    if (encoder_open(kind, level_of(rules, kind), &encoder, &err) != E_OK ||
        encoder_put(encoder, body, ENCODE_END, &out, &err) != E_OK || out.len >= body.len)
        return;
    Buf whole = r->reply_body;
    r->reply_body = out;
    r->reply_body.max = MAX(whole.max, out.max);
    out = whole; /* freed here */
    encoded_fields_set(r, kind);
}

/* ---- streams ---- */

typedef struct EncodeStream {
    HttpReq *r;
    const HttpPull *inner;
    void *inner_self;
    Limits *limits;
    EncodeRules rules;
    EncodeKind kind;
    Encoder *encoder;
    size_t budget;
    bool begun, live;      /* live: each block is for somebody who waits */
    Buf in;
} EncodeStream;

static void stream_begin(EncodeStream *stream, HttpPullState state)
{
    int level = level_of(&stream->rules, stream->kind);
    size_t needs = encoder_bytes(stream->kind, level);
    Err err;
    stream->begun = true;
    err_clear(&err);
    if (state == HTTP_PULL_CUT || (state == HTTP_PULL_END && stream->in.len < stream->rules.bytes_min) ||
        !limits_bytes_take(stream->limits, NULL, needs))
        return;
    stream->budget = needs;
    if (encoder_open(stream->kind, level, &stream->encoder, &err) != E_OK)
        return;
    encoded_fields_set(stream->r, stream->kind);
    stream->r->length = -1;
}

static Code stream_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    EncodeStream *stream = self;
    size_t before = out->len, taken = 0;
    do {
        buf_clear(&stream->in);
        TRY(stream->inner->pull(stream->inner_self, &stream->in, ret_state, err));
        TRY(buf_end(&stream->in, "a block of the reply", err));
        taken += stream->in.len;
        if (!stream->begun)
            stream_begin(stream, *ret_state);
        if (!stream->encoder) {
            buf_put(out, buf_str(&stream->in));
            return E_OK;
        }
        EncodeStep step = *ret_state == HTTP_PULL_END ? ENCODE_END
                          : *ret_state != HTTP_PULL_MORE || stream->live || taken >= BLOCK_IN_MAX
                              ? ENCODE_FLUSH : ENCODE_MORE;
        bool nothing = stream->in.len == 0 && step == ENCODE_FLUSH && taken == 0;
        if (!nothing)
            TRY(encoder_put(stream->encoder, buf_str(&stream->in), step, out, err));
    } while (*ret_state == HTTP_PULL_MORE && out->len == before);
    buf_done(&stream->in); /* a reader that is slow holds one block, not two */
    return E_OK;
}

static void stream_done(void *self)
{
    EncodeStream *stream = self;
    encoder_free(&stream->encoder);
    buf_done(&stream->in);
    if (stream->budget > 0)
        limits_bytes_give(stream->limits, NULL, stream->budget);
    stream->budget = 0;
    if (stream->inner->done)
        stream->inner->done(stream->inner_self);
}

static void stream_wrap(HttpReq *r, const EncodeRules *rules, EncodeKind kind, Limits *limits)
{
    static const HttpPull pull = { stream_pull, stream_done };
    EncodeStream *stream = arena_new(&r->arena, EncodeStream);
    Str type = str_z(r->type);
    *stream = (EncodeStream){ .r = r, .inner = r->pull, .inner_self = r->pull_self, .limits = limits,
                              .rules = *rules, .kind = kind,
                              .live = str_istarts(type, STR("text/event-stream")) ||
                                      str_find(type, STR("ndjson")) >= 0 };
    buf_init(&stream->in, HTTP_PULLED_MAX);
    r->pull = &pull;
    r->pull_self = stream;
}

/* ---- */

static bool transformable(HttpReq *r)
{
    HttpPair *cache = field_find(r, STR("Cache-Control"));
    return !field_find(r, STR("Content-Encoding")) && !field_find(r, STR("Content-Range")) &&
           !(cache && str_find(cache->value, STR("no-transform")) >= 0);
}

void encode_reply(HttpReq *r, const EncodeRules *rules, Limits *limits)
{
    bool whole = r->reply == REPLY_WHOLE, stream = r->reply == REPLY_STREAM;
    if (rules->off || (!whole && !stream) || !r->type || r->status < 200 || r->status == 204 ||
        r->status == 206 || r->status == 304)
        return;
    if (whole ? r->reply_body.len < rules->bytes_min
              : r->length >= 0 && (uint64_t)r->length < rules->bytes_min)
        return;
    if (!encode_type_ok(str_z(r->type)) || !transformable(r))
        return;
    if (r->route && (r->route->flags & HTTP_ROUTE_NO_COMPRESS))
        return;
    http_reply_header(r, "Vary", STR("Accept-Encoding"));
    int kind = encode_choose(http_known(&r->head, HTTP_FIELD_ACCEPT_ENCODING));
    if (kind == ENCODE_IDENTITY || str_eq(r->head.method, STR("HEAD")))
        return;
    if (whole)
        whole_encode(r, rules, (EncodeKind)kind);
    else
        stream_wrap(r, rules, (EncodeKind)kind, limits);
}
