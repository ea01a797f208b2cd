/* RFC 6455 section 4.2 and RFC 8441 section 5, the server's side. */
#include "base/text.h"
#include "format/digest.h"
#include "front/ws/ws_priv.h"

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static bool refuse(HttpReq *r, int status, Code code, const char *text)
{
    Err err;
    IGNORE(err_set(&err, code, "%s", text)); /* sent */
    http_reply_problem_status(r, status, &err, STR_NONE);
    return false;
}

/* What an answer of 426 carries (RFC 9110 section 15.5.22). */
static void upgrade_put(HttpReq *r)
{
    http_reply_header(r, "Upgrade", STR("websocket"));
    http_reply_header(r, "Connection", STR("Upgrade"));
}

static bool is_http1(const HttpReq *r)
{
    return str_starts(http_req_version(r), STR("HTTP/1"));
}

/* All fields of that name as one list; false: they are too long. */
static bool fields_join(HttpReq *r, Str name, Str *ret_value)
{
    Str value = STR_NONE;
    for (size_t i = 0; i < http_req_field_count(r); i++) {
        if (!str_ieq(http_req_field_name(r, i), name))
            continue;
        Str more = http_req_field_value(r, i);
        if (value.len + more.len > WS_FIELD_MAX)
            return false;
        value = value.ptr ? str_format(http_req_arena(r), STR_FMT ", " STR_FMT, STR_ARG(value),
                                       STR_ARG(more))
                          : more;
    }
    *ret_value = value;
    return true;
}

static size_t field_times(const HttpReq *r, Str name)
{
    size_t times = 0;
    for (size_t i = 0; i < http_req_field_count(r); i++)
        times += str_ieq(http_req_field_name(r, i), name);
    return times;
}

static bool version_check(HttpReq *r)
{
    if (field_times(r, STR("Sec-WebSocket-Version")) == 1 &&
        str_eq(http_req_header(r, "Sec-WebSocket-Version"), STR("13")))
        return true;
    http_reply_header(r, "Sec-WebSocket-Version", STR("13"));
    if (is_http1(r))
        upgrade_put(r);
    return refuse(r, 426, E_UNSUPPORTED, "only version 13 of WebSocket is spoken here");
}

/* HTTP/1.1: GET, Upgrade, no body, a key of 16 bytes. */
static bool upgrade_check(HttpReq *r)
{
    if (!str_eq(http_req_method(r), STR("GET")))
        return refuse(r, 405, E_INVALID, "WebSocket begins with GET");
    if (!http_req_upgrades(r, "websocket")) {
        upgrade_put(r);
        return refuse(r, 426, E_INVALID, "this path speaks WebSocket");
    }
    if (http_req_length(r) != 0)
        return refuse(r, 400, E_INVALID, "a WebSocket handshake has no body");
    Str key = http_req_header(r, "Sec-WebSocket-Key"), bytes;
    if (field_times(r, STR("Sec-WebSocket-Key")) != 1 || key.len != WS_KEY_TEXT_LEN ||
        !base64_parse(http_req_arena(r), key, &bytes) || bytes.len != WS_KEY_LEN)
        return refuse(r, 400, E_INVALID, "Sec-WebSocket-Key is not 16 bytes in base64");
    return true;
}

static bool origin_check(HttpReq *r, const WsOptions *options)
{
    Str origin = http_req_header(r, "Origin");
    if (options->origin_count == 0 || !origin.ptr) /* no browser: nothing to protect it from */
        return true;
    for (size_t i = 0; i < options->origin_count; i++)
        if (str_ieq(options->origins[i], origin))
            return true;
    return refuse(r, 403, E_FORBIDDEN, "pages of this origin may not connect");
}

static bool is_token(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c <= 0x20 || c >= 0x7F || str_find_char(STR("()<>@,;:\\\"/[]?={}"), c) >= 0)
            return false;
    }
    return s.len > 0;
}

static bool subprotocol_choose(HttpReq *r, const WsOptions *options, WsAgreed *agreed)
{
    Str list, name;
    if (!fields_join(r, STR("Sec-WebSocket-Protocol"), &list))
        return refuse(r, 400, E_LIMIT, "Sec-WebSocket-Protocol is too long");
    while (list.ptr && str_split(&list, ',', &name)) {
        name = str_trim(name);
        if (!is_token(name))
            return refuse(r, 400, E_INVALID, "Sec-WebSocket-Protocol is not a list of names");
        for (size_t i = 0; i < options->subprotocol_count && !agreed->subprotocol.ptr; i++)
            if (str_eq(options->subprotocols[i], name))
                agreed->subprotocol = options->subprotocols[i];
    }
    if (agreed->subprotocol.ptr)
        http_reply_header(r, "Sec-WebSocket-Protocol", agreed->subprotocol);
    return true;
}

static bool deflate_choose(HttpReq *r, const WsOptions *options, WsAgreed *agreed)
{
    Str list;
    if (!fields_join(r, STR("Sec-WebSocket-Extensions"), &list))
        return refuse(r, 400, E_LIMIT, "Sec-WebSocket-Extensions is too long");
    int bits = options->deflate_bits ? options->deflate_bits : WS_DEFLATE_BITS;
    WsDeflate most = { bits, bits, !options->deflate_forgets, !options->deflate_forgets };
    Buf answer AUTO(buf_done);
    buf_init(&answer, WS_FIELD_MAX);
    WsOffer offer = ws_offer_take(list, &most, &agreed->deflate, &answer);
    if (offer == WS_OFFER_MALFORMED)
        return refuse(r, 400, E_INVALID, "Sec-WebSocket-Extensions is not a list of offers");
    agreed->deflates = offer == WS_OFFER_TAKEN && options->deflate;
    if (agreed->deflates)
        http_reply_header(r, "Sec-WebSocket-Extensions", buf_str(&answer));
    return true;
}

static void accept_put(HttpReq *r)
{
    Digest digest AUTO(digest_done);
    digest_init(&digest, DIGEST_SHA1);
    digest_update(&digest, http_req_header(r, "Sec-WebSocket-Key"));
    digest_update(&digest, STR(WS_GUID));
    DigestValue value = digest_final(&digest);
    Buf text AUTO(buf_done);
    buf_init(&text, WS_FIELD_MAX);
    base64_put(&text, digest_str(&value));
    upgrade_put(r);
    http_reply_header(r, "Sec-WebSocket-Accept", buf_str(&text));
}

bool ws_handshake(HttpReq *r, const WsOptions *options, WsAgreed *ret_agreed)
{
    WsAgreed agreed = { .status = is_http1(r) ? 101 : 200 };
    if (agreed.status == 101 && !upgrade_check(r))
        return false;
    if (agreed.status == 200 && !http_req_upgrades(r, "websocket"))
        return refuse(r, 400, E_INVALID, "on HTTP/2 this path wants CONNECT with :protocol websocket");
    if (!version_check(r) || !origin_check(r, options) || !subprotocol_choose(r, options, &agreed) ||
        !deflate_choose(r, options, &agreed))
        return false;
    if (agreed.status == 101)
        accept_put(r);
    *ret_agreed = agreed;
    return true;
}
