/* What a request may look like, and where it may go. */
#include "os/fetch_priv.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <string.h>

bool fetch_header_is(const FetchHeader *header, const char *name)
{
    return str_ieq(header->name, str_z(name));
}

static bool is_token(Str text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (c == 0 || !strchr(others, c)))
            return false;
    }
    return text.len > 0;
}

static Code header_check(const FetchHeader *header, bool from_user, Err *err)
{
    static const char *const ours[] = { "Connection",       "Content-Length", "Expect", "Keep-Alive",
                                        "Proxy-Connection", "TE",             "Trailer", "Transfer-Encoding",
                                        "Upgrade" };
    bool bad = !is_token(header->name);
    for (size_t i = 0; i < header->value.len; i++)
        bad |= ((unsigned char)header->value.ptr[i] < ' ' && header->value.ptr[i] != '\t') ||
               header->value.ptr[i] == 127;
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        bad |= fetch_header_is(header, ours[i]);
    if (bad || (from_user && fetch_header_is(header, "Host")))
        return err_set(err, E_INVALID, "the header '" STR_FMT "' cannot be sent",
                       STR_ARG(str_sub(header->name, 0, 64)));
    return E_OK;
}

static bool method_ok(Str method)
{
    for (size_t i = 0; i < method.len; i++) {
        if (method.ptr[i] < 'A' || method.ptr[i] > 'Z')
            return false;
    }
    return method.len <= 16 && !str_eq(method, STR("CONNECT")) && !str_eq(method, STR("TRACE"));
}

Code fetch_options_check(const FetchOptions *options, Err *err)
{
    size_t bytes = 0;
    if (!method_ok(options->method))
        return err_set(err, E_INVALID, "a method is capital letters, not '" STR_FMT "'",
                       STR_ARG(str_sub(options->method, 0, 32)));
    if (options->header_count > FETCH_HEADERS_MAX)
        return err_set(err, E_LIMIT, "more than %d headers", FETCH_HEADERS_MAX);
    for (size_t i = 0; i < options->header_count; i++) {
        bytes += options->headers[i].name.len + options->headers[i].value.len;
        TRY(header_check(&options->headers[i], options->from_user, err));
    }
    if (bytes > FETCH_HEAD_BYTES_MAX)
        return err_set(err, E_LIMIT, "the headers have more than %d bytes", FETCH_HEAD_BYTES_MAX);
    if (options->redirects_max > FETCH_REDIRECTS_MAX || options->tries_max > FETCH_TRIES_MAX)
        return err_set(err, E_LIMIT, "at most %d redirects and %d tries", FETCH_REDIRECTS_MAX,
                       FETCH_TRIES_MAX);
    return E_OK;
}

/* ---- the URL ---- */

/* A part of a URL, copied into `arena`; empty: it has none. */
static Str url_part(CURLU *url, CURLUPart part, Arena *arena)
{
    char *text = NULL;
    Str out = STR("");
    if (curl_url_get(url, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) == CURLUE_OK && text)
        out = str_copy(arena, str_z(text));
    curl_free(text);
    return out;
}

Str fetch_url_shown(const Fetch *fetch, Arena *arena)
{
    return str_format(arena, STR_FMT "://" STR_FMT ":" STR_FMT STR_FMT,
                      STR_ARG(url_part(fetch->url, CURLUPART_SCHEME, arena)),
                      STR_ARG(url_part(fetch->url, CURLUPART_HOST, arena)),
                      STR_ARG(url_part(fetch->url, CURLUPART_PORT, arena)),
                      STR_ARG(url_part(fetch->url, CURLUPART_PATH, arena)));
}

/* A host that is an address in any form that resolvers take: 127.1, 0x7f000001, [::1]. */
static bool literal_address(Str host, Arena *arena, NetAddress *ret_address)
{
    struct in_addr four;
    uint8_t six[16];
    if (str_starts(host, STR("[")))
        host = str_sub(host, 1, host.len - 2);
    const char *text = str_copy_z(arena, host);
    if (inet_pton(AF_INET6, text, six) == 1)
        net_address_set(ret_address, str_of(six, sizeof six), 0);
    else if (inet_aton(text, &four))
        net_address_set(ret_address, str_of(&four, sizeof four), 0);
    else
        return false;
    return true;
}

static Code away(Str host, Err *err)
{
    Code code = err_set(err, E_FORBIDDEN, "'" STR_FMT "' may not be reached from here",
                        STR_ARG(str_sub(host, 0, 255)));
    return err_hint(err, code, "public hosts and the networks that the operator has opened");
}

/* What can be said before it is connected to: the rest is address_check of fetch_try.c. */
static Code rules_check(const Fetch *fetch, Str host, Arena *arena, Err *err)
{
    const Fetcher *fetcher = fetch->fetcher;
    NetAddress address;
    if (!fetch->options.from_user)
        return E_OK;
    if (!fetch_rules_host(fetcher->rules, host))
        return away(host, err);
    if (!fetcher->options.proxy)
        return E_OK;
    bool local = str_ieq(host, STR("localhost")) || str_ieq(host, STR("localhost."));
    if (local || (literal_address(host, arena, &address) && !fetch_rules_address(fetcher->rules, &address)))
        return away(host, err);
    return E_OK;
}

static Code url_parse(const Fetch *fetch, Str text, CURLU **ret_url, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    bool bad = text.len == 0 || text.len > FETCH_URL_MAX || memchr(text.ptr, 0, text.len);
    CURLU *url = bad ? NULL : curl_url();
    if (url && curl_url_set(url, CURLUPART_URL, str_copy_z(&tmp, text), CURLU_PATH_AS_IS) == CURLUE_OK) {
        Str scheme = url_part(url, CURLUPART_SCHEME, &tmp), host = url_part(url, CURLUPART_HOST, &tmp);
        bool web = str_eq(scheme, STR("http")) || str_eq(scheme, STR("https"));
        bool named = url_part(url, CURLUPART_USER, &tmp).len || url_part(url, CURLUPART_PASSWORD, &tmp).len;
        if (web && host.len > 0 && !named) {
            Code code = rules_check(fetch, host, &tmp, err);
            if (code == E_OK)
                *ret_url = url;
            else
                curl_url_cleanup(url);
            return code;
        }
    }
    curl_url_cleanup(url);
    Code code = err_set(err, E_INVALID, "this is no URL to fetch");
    return err_hint(err, code, "http://host/path or https://host/path, without a name and password");
}

Code fetch_url_set(Fetch *fetch, Str text, Err *err)
{
    CURLU *url = NULL;
    TRY(url_parse(fetch, text, &url, err));
    curl_url_cleanup(fetch->url);
    fetch->url = url;
    return E_OK;
}

static bool same_place(CURLU *a, CURLU *b, Arena *arena)
{
    static const CURLUPart parts[] = { CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT };
    bool same = true;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        same &= str_ieq(url_part(a, parts[i], arena), url_part(b, parts[i], arena));
    return same;
}

Code fetch_url_follow(Fetch *fetch, int status, Str text, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    CURLU *url = NULL;
    bool post = str_eq(fetch->method, STR("POST")), head = str_eq(fetch->method, STR("HEAD"));
    if (fetch->reply.redirects >= fetch->options.redirects_max)
        return err_set(err, E_LIMIT, "more than %u redirects", fetch->options.redirects_max);
    TRY(url_parse(fetch, text, &url, err));
    bool secure = str_eq(url_part(fetch->url, CURLUPART_SCHEME, &tmp), STR("https"));
    bool stays = !secure || str_eq(url_part(url, CURLUPART_SCHEME, &tmp), STR("https"));
    bool other = !same_place(fetch->url, url, &tmp);
    curl_url_cleanup(fetch->url);
    fetch->url = url;
    if (!stays)
        return err_set(err, E_FORBIDDEN, "a redirect from https to http is not followed");
    fetch->elsewhere |= other;
    if ((status == 303 && !head) || ((status == 301 || status == 302) && post)) {
        fetch->method = STR("GET");
        fetch->body = STR_NONE;
        fetch->options.body_pull = NULL;
    } else if (fetch->options.body_pull) {
        return err_set(err, E_UNSUPPORTED, "a redirect asks for a body that cannot be sent again");
    }
    fetch->reply.redirects++;
    return E_OK;
}
