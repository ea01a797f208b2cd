#include "front/ws/ws_deflate.h"
#include "format/deflate_stream.h"

/* One `name` or `name=value`. */
typedef struct Parameter {
    Str name, value;
    bool has_value;
} Parameter;

typedef struct Offer {
    Str name;
    Parameter parameters[WS_PARAMETERS_MAX];
    size_t count;
} Offer;

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && str_find_char(STR("!#$%&'*+-.^_`|~"), c) >= 0);
}

static void skip_blanks(Str *in)
{
    while (in->len > 0 && (in->ptr[0] == ' ' || in->ptr[0] == '\t'))
        *in = str_from(*in, 1);
}

static bool take_char(Str *in, char c)
{
    skip_blanks(in);
    if (in->len == 0 || in->ptr[0] != c)
        return false;
    *in = str_from(*in, 1);
    skip_blanks(in);
    return true;
}

static bool take_token(Str *in, Str *ret_token)
{
    size_t len = 0;
    while (len < in->len && is_token_char(in->ptr[len]))
        len++;
    *ret_token = str_sub(*in, 0, len);
    *in = str_from(*in, len);
    return len > 0;
}

/* A token, or one in quotes: what stands in the quotes must be a token (section 9.1). */
static bool take_value(Str *in, Str *ret_value)
{
    if (in->len == 0 || in->ptr[0] != '"')
        return take_token(in, ret_value);
    *in = str_from(*in, 1);
    if (!take_token(in, ret_value) || in->len == 0 || in->ptr[0] != '"')
        return false;
    *in = str_from(*in, 1);
    return true;
}

static bool take_offer(Str *in, Offer *ret_offer)
{
    ret_offer->count = 0;
    skip_blanks(in);
    if (!take_token(in, &ret_offer->name))
        return false;
    while (take_char(in, ';')) {
        Parameter parameter = { 0 };
        if (!take_token(in, &parameter.name) || ret_offer->count == WS_PARAMETERS_MAX)
            return false;
        if (take_char(in, '=')) {
            parameter.has_value = true;
            if (!take_value(in, &parameter.value))
                return false;
        }
        ret_offer->parameters[ret_offer->count++] = parameter;
    }
    skip_blanks(in);
    return in->len == 0 || in->ptr[0] == ',';
}

/* Section 7.1.2: 8 to 15, without leading zeros. */
static bool bits_parse(const Parameter *parameter, int *ret_bits)
{
    uint64_t bits;
    if (!parameter->has_value || parameter->value.len == 0 || parameter->value.ptr[0] == '0' ||
        !str_u64(parameter->value, &bits) || bits < INFLATE_BITS_MIN || bits > DEFLATE_BITS_MAX)
        return false;
    *ret_bits = (int)bits;
    return true;
}

/* What a client offers; 0 bits: it says nothing of that window. */
typedef struct Asked {
    bool server_forgets, client_forgets, client_bits_known;
    int server_bits, client_bits;
} Asked;

/* False: a parameter that is unknown, twice, or has a value that it must not have: the offer is declined. */
static bool asked_parse(const Offer *offer, Asked *ret_asked)
{
    *ret_asked = (Asked){ 0 };
    for (size_t i = 0; i < offer->count; i++) {
        const Parameter *p = &offer->parameters[i];
        bool *flag = str_ieq(p->name, STR("server_no_context_takeover"))
                         ? &ret_asked->server_forgets
                     : str_ieq(p->name, STR("client_no_context_takeover"))
                         ? &ret_asked->client_forgets
                         : NULL;
        if (flag) {
            if (p->has_value || *flag)
                return false;
            *flag = true;
        } else if (str_ieq(p->name, STR("server_max_window_bits"))) {
            if (ret_asked->server_bits || !bits_parse(p, &ret_asked->server_bits))
                return false;
        } else if (str_ieq(p->name, STR("client_max_window_bits"))) {
            if (ret_asked->client_bits_known)
                return false;
            ret_asked->client_bits_known = true;
            if (p->has_value && !bits_parse(p, &ret_asked->client_bits))
                return false;
        } else {
            return false;
        }
    }
    return true;
}

static bool offer_meet(const Offer *offer, const WsDeflate *most, WsDeflate *ret_deflate, Buf *answer)
{
    Asked asked;
    if (!str_ieq(offer->name, STR("permessage-deflate")) || !asked_parse(offer, &asked))
        return false;
    if (asked.server_bits && asked.server_bits < DEFLATE_BITS_MIN)
        return false; /* zlib has no such window */
    WsDeflate deflate = { most->server_bits, DEFLATE_BITS_MAX,
                          most->server_keeps && !asked.server_forgets,
                          most->client_keeps && !asked.client_forgets };
    if (asked.server_bits)
        deflate.server_bits = MIN(deflate.server_bits, asked.server_bits);
    if (asked.client_bits_known)
        deflate.client_bits =
            asked.client_bits ? MIN(most->client_bits, asked.client_bits) : most->client_bits;
    buf_put(answer, STR("permessage-deflate"));
    if (!deflate.server_keeps)
        buf_put(answer, STR("; server_no_context_takeover"));
    if (!deflate.client_keeps)
        buf_put(answer, STR("; client_no_context_takeover"));
    if (deflate.server_bits < DEFLATE_BITS_MAX || asked.server_bits)
        buf_format(answer, "; server_max_window_bits=%d", deflate.server_bits);
    if (asked.client_bits_known && (deflate.client_bits < DEFLATE_BITS_MAX || asked.client_bits))
        buf_format(answer, "; client_max_window_bits=%d", deflate.client_bits);
    *ret_deflate = deflate;
    return true;
}

WsOffer ws_offer_take(Str value, const WsDeflate *most, WsDeflate *ret_deflate, Buf *answer)
{
    WsOffer result = WS_OFFER_NONE;
    Offer offer;
    size_t count = 0;
    for (;;) {
        while (take_char(&value, ',')) {
        } /* empty elements of a list mean nothing (RFC 9110 section 5.6.1) */
        skip_blanks(&value);
        if (value.len == 0)
            return result;
        if (++count > WS_OFFERS_MAX || !take_offer(&value, &offer)) {
            buf_clear(answer);
            return WS_OFFER_MALFORMED;
        }
        if (result == WS_OFFER_NONE && offer_meet(&offer, most, ret_deflate, answer))
            result = WS_OFFER_TAKEN;
    }
}
