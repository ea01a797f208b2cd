/* One try: a request to one URL, and what its end means.
 *
 * Invariants:
 * 1. Nothing reaches the handler of a reply that will be tried again or followed: that is decided when
 *    its head is complete, its body is read away or cut off.
 * 2. A request of a user connects to no address that the rules keep away: asked for each socket, and
 *    again before the request when a connection is used another time.
 * 3. A callback of libcurl keeps its reason in `code` and `err`; try_end takes it before libcurl's. */
#include "os/fetch_priv.h"

#include <curl/curl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SPEED_LEAST = 1, BUFFER_BYTES = 128 << 10, RETRY_SHIFT_MAX = 16 };

static size_t fail(Fetch *fetch, Code code)
{
    if (fetch->code == E_OK)
        fetch->code = code;
    return CURL_WRITEFUNC_ERROR;
}

/* ---- may it be tried again? ---- */

static bool is_idempotent(const Fetch *fetch)
{
    static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "PUT", "DELETE" };
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (str_eq(fetch->method, str_z(methods[i])))
            return true;
    }
    for (size_t i = 0; i < fetch->options.header_count; i++) {
        if (fetch_header_is(&fetch->options.headers[i], "Idempotency-Key"))
            return true;
    }
    return false;
}

/* `least_ms`: of Retry-After. Full jitter, so that those who failed together do not come back together. */
static bool again_plan(Fetch *fetch, bool sent, uint64_t least_ms)
{
    const FetchOptions *options = &fetch->options;
    uint32_t shift = MIN(fetch->reply.tries - 1, (uint32_t)RETRY_SHIFT_MAX), random;
    uint64_t most_ms = MIN((uint64_t)options->retry_ms << shift, (uint64_t)options->retry_ms_max);
    if (fetch->reply.tries >= options->tries_max || fetch->delivered || fetch->pulled ||
        (sent && !is_idempotent(fetch)) || least_ms > options->retry_ms_max)
        return false;
    os_random(fetch->fetcher->options.os, &random, sizeof random);
    uint64_t wait_ms = MAX(random % (most_ms + 1), least_ms);
    if (os_monotonic_us(fetch->fetcher->options.os) + (int64_t)wait_ms * 1000 >= fetch->deadline_us)
        return false;
    fetch->wait_ms = (uint32_t)wait_ms;
    return true;
}

static bool status_again(int status)
{
    static const int those[] = { 408, 425, 429, 502, 503, 504 };
    for (size_t i = 0; i < ARRAY_LEN(those); i++) {
        if (those[i] == status)
            return true;
    }
    return false;
}

static bool status_leads(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* ---- callbacks of libcurl ---- */

static bool address_check(Fetch *fetch, const NetAddress *address)
{
    char text[NET_ADDRESS_TEXT_MAX];
    if (!fetch->options.from_user || fetch->fetcher->options.proxy ||
        fetch_rules_address(fetch->fetcher->rules, address))
        return true;
    Str shown = net_address_format(address, text);
    fetch->refused = true;
    fetch->code = err_set(&fetch->err, E_FORBIDDEN, "the host is at " STR_FMT ", which may not be reached from here",
                          STR_ARG(shown));
    fetch->code = err_hint(&fetch->err, fetch->code, "public hosts and the networks that the operator has opened");
    return false;
}

static curl_socket_t socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *wanted)
{
    NetAddress address = { .len = wanted->addrlen };
    if (purpose != CURLSOCKTYPE_IPCXN || wanted->addrlen > sizeof address.inner)
        return CURL_SOCKET_BAD;
    memcpy(&address.inner, &wanted->addr, wanted->addrlen);
    if (!address_check(arg, &address))
        return CURL_SOCKET_BAD;
    return socket(wanted->family, wanted->socktype | SOCK_CLOEXEC, wanted->protocol);
}

/* Connected, perhaps long ago for somebody else. */
static int before_request(void *arg, char *peer, char *ours, int peer_port, int our_port)
{
    NetAddress address;
    (void)ours;
    (void)our_port;
    Err err;
    char text[NET_ADDRESS_TEXT_MAX];
    bool six = strchr(peer, ':') != NULL;
    Buf buf AUTO(buf_done);
    buf_init(&buf, sizeof text);
    buf_format(&buf, six ? "[%s]:%d" : "%s:%d", peer, peer_port);
    Fetch *fetch = arg;
    if (!fetch->options.from_user || fetch->fetcher->options.proxy)
        return CURL_PREREQFUNC_OK;
    if (net_address_parse(buf_str(&buf), &address, &err) != E_OK) {
        fetch->code = err_set(&fetch->err, E_FORBIDDEN, "the address of the host is not known");
        return CURL_PREREQFUNC_ABORT;
    }
    return address_check(fetch, &address) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static void head_complete(Fetch *fetch)
{
    curl_off_t after_s = 0;
    long status = 0;
    curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &after_s);
    fetch->head_over = true;
    fetch->reply.status = (int)status;
    Str location = fetch_reply_header(&fetch->reply, "Location");
    uint64_t after_ms = after_s < 0 ? 0 : (uint64_t)MIN(after_s, (curl_off_t)INT32_MAX) * 1000;
    fetch->redirected = status_leads(fetch->reply.status) && location.ptr && fetch->options.redirects_max > 0;
    fetch->again = status_again(fetch->reply.status) && again_plan(fetch, true, after_ms);
    const FetchHandler *handler = fetch->options.handler;
    if (!fetch->redirected && !fetch->again && handler->head)
        handler->head(fetch->options.self, fetch, &fetch->reply);
}

static size_t line_in(char *bytes, size_t size, size_t count, void *arg)
{
    Fetch *fetch = arg;
    Str line = str_of(bytes, size * count);
    if (fetch->cancelled)
        return CURL_WRITEFUNC_ERROR;
    if (fetch->head_over)
        return line.len; /* trailers */
    if (str_starts(line, STR("HTTP/")))
        buf_clear(&fetch->reply.head);
    buf_put(&fetch->reply.head, line);
    if (fetch->reply.head.over)
        return fail(fetch, err_set(&fetch->err, E_LIMIT, "the head of the reply has more than %d bytes",
                                   FETCH_HEAD_BYTES_MAX));
    long status = 0;
    curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    if (str_trim(line).len == 0 && (status >= 200 || status == 101))
        head_complete(fetch);
    return fetch->cancelled ? CURL_WRITEFUNC_ERROR : line.len;
}

static size_t bytes_in(char *bytes, size_t size, size_t count, void *arg)
{
    Fetch *fetch = arg;
    const FetchHandler *handler = fetch->options.handler;
    Str block = str_of(bytes, size * count);
    if (fetch->cancelled)
        return CURL_WRITEFUNC_ERROR;
    if (fetch->again || fetch->redirected) {
        fetch->body_bytes += block.len;
        return fetch->body_bytes > FETCH_DISCARD_MAX ? CURL_WRITEFUNC_ERROR : block.len;
    }
    if (fetch->resting) {
        fetch->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    fetch->body_bytes += block.len;
    if (fetch->body_bytes > fetch->options.reply_max)
        return fail(fetch, err_set(&fetch->err, E_LIMIT, "the reply has more than %llu bytes",
                                   (unsigned long long)fetch->options.reply_max));
    if (!handler->bytes) {
        buf_put(&fetch->reply.body, block);
        return block.len;
    }
    fetch->delivered = true;
    Code code = handler->bytes(fetch->options.self, fetch, block, &fetch->err);
    if (code != E_OK)
        return fail(fetch, code);
    return fetch->cancelled ? CURL_WRITEFUNC_ERROR : block.len;
}

static size_t body_out(char *bytes, size_t size, size_t count, void *arg)
{
    Fetch *fetch = arg;
    size_t len = 0;
    if (fetch->cancelled)
        return CURL_READFUNC_ABORT;
    fetch->pulled = true;
    switch (fetch->options.body_pull(fetch->options.body_arg, bytes, size * count, &len)) {
    case FETCH_MORE:
        return len;
    case FETCH_LATER:
        fetch->body_paused = true;
        return CURL_READFUNC_PAUSE;
    case FETCH_END:
        return 0;
    case FETCH_FAIL:
        break;
    }
    fail(fetch, err_set(&fetch->err, E_CANCELLED, "the body could not be made"));
    return CURL_READFUNC_ABORT;
}

/* ---- the beginning ---- */

static bool header_goes(const Fetch *fetch, const FetchHeader *header)
{
    static const char *const secrets[] = { "Authorization", "Cookie", "Proxy-Authorization", "Host" };
    if (fetch_header_is(header, "Content-Type"))
        return str_eq(fetch->method, fetch->options.method);
    if (!fetch->elsewhere)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        if (fetch_header_is(header, secrets[i]))
            return false;
    }
    return !header->secret;
}

static void headers_make(Fetch *fetch)
{
    bool typed = false;
    curl_slist_free_all(fetch->headers);
    fetch->headers = curl_slist_append(NULL, "Expect:");
    for (size_t i = 0; i < fetch->options.header_count; i++) {
        const FetchHeader *header = &fetch->options.headers[i];
        Arena tmp AUTO(arena_done) = { 0 };
        if (!header_goes(fetch, header))
            continue;
        typed |= fetch_header_is(header, "Content-Type");
        Str line = str_format(&tmp, STR_FMT "%s" STR_FMT, STR_ARG(header->name), header->value.len ? ": " : ";",
                              STR_ARG(header->value));
        fetch->headers = curl_slist_append(fetch->headers, str_copy_z(&tmp, line));
    }
    if (!typed)
        fetch->headers = curl_slist_append(fetch->headers, "Content-Type:");
    curl_easy_setopt(fetch->easy, CURLOPT_HTTPHEADER, fetch->headers);
}

static void method_set(Fetch *fetch)
{
    CURL *easy = fetch->easy;
    bool bodied = str_eq(fetch->method, STR("POST")) || str_eq(fetch->method, STR("PUT")) ||
                  str_eq(fetch->method, STR("PATCH"));
    if (fetch->options.body_pull) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, body_out);
        curl_easy_setopt(easy, CURLOPT_READDATA, fetch);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)fetch->options.body_bytes);
    } else if (fetch->body.len > 0 || bodied) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, fetch->body.len ? fetch->body.ptr : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)fetch->body.len);
    } else if (str_eq(fetch->method, STR("HEAD"))) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, str_copy_z(&fetch->arena, fetch->method));
}

static void bounds_set(Fetch *fetch)
{
    static const long versions[] = { [FETCH_ANY_VERSION] = CURL_HTTP_VERSION_2TLS,
                                     [FETCH_HTTP_1] = CURL_HTTP_VERSION_1_1,
                                     [FETCH_HTTP_2] = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE };
    const FetchOptions *options = &fetch->options;
    int64_t left_ms = (fetch->deadline_us - os_monotonic_us(fetch->fetcher->options.os)) / 1000;
    CURL *easy = fetch->easy;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)MAX(left_ms, 1));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SPEED_LEAST);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((options->stall_ms + 999) / 1000));
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, versions[options->version]);
    curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
}

static void ways_set(Fetch *fetch)
{
    const FetcherOptions *options = &fetch->fetcher->options;
    CURL *easy = fetch->easy;
    curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy ? options->proxy : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (options->ca_path)
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_path);
    if (options->cert_path && !fetch->elsewhere) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, options->cert_path);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, options->key_path ? options->key_path : options->cert_path);
    }
    if (options->agent)
        curl_easy_setopt(easy, CURLOPT_USERAGENT, options->agent);
    if (fetch->fetcher->resolve)
        curl_easy_setopt(easy, CURLOPT_RESOLVE, fetch->fetcher->resolve);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, socket_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, fetch);
}

Code try_begin(Fetch *fetch, Err *err)
{
    if (!fetch->easy)
        fetch->easy = curl_easy_init();
    else
        curl_easy_reset(fetch->easy);
    if (!fetch->easy)
        return err_set(err, E_UNAVAILABLE, "no memory for a request");
    CURL *easy = fetch->easy;
    fetch->head_over = fetch->again = fetch->redirected = fetch->refused = false;
    fetch->paused = fetch->body_paused = false;
    fetch->body_bytes = 0;
    fetch->code = E_OK;
    fetch->error[0] = 0;
    buf_clear(&fetch->reply.head);
    buf_clear(&fetch->reply.body);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(easy, CURLOPT_CURLU, fetch->url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, line_in);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, bytes_in);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    bounds_set(fetch);
    ways_set(fetch);
    headers_make(fetch);
    method_set(fetch);
    return E_OK;
}

/* ---- the end ---- */

static Code code_of(int result)
{
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return E_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return E_FORBIDDEN;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return E_INVALID;
    case CURLE_FILESIZE_EXCEEDED:
        return E_LIMIT;
    default:
        return E_UNAVAILABLE;
    }
}

static bool result_again(const Fetch *fetch, int result, bool *ret_sent)
{
    curl_off_t began_us = 0;
    curl_easy_getinfo(fetch->easy, CURLINFO_PRETRANSFER_TIME_T, &began_us);
    *ret_sent = began_us > 0;
    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
        *ret_sent = false;
        return true;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static Code failed(Fetch *fetch, int result, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Code code = fetch->code;
    if (code != E_OK)
        *err = fetch->err;
    else
        code = err_set(err, code_of(result), "%s", fetch->error[0] ? fetch->error : curl_easy_strerror(result));
    return err_place(err, code, STR_FMT, STR_ARG(fetch_url_shown(fetch, &tmp)));
}

static TryEnd follow(Fetch *fetch, Code *ret_code, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    char *url = NULL;
    curl_easy_getinfo(fetch->easy, CURLINFO_REDIRECT_URL, &url);
    Str target = str_copy(&tmp, str_z(url ? url : ""));
    *ret_code = fetch_url_follow(fetch, fetch->reply.status, target, err);
    return *ret_code == E_OK ? TRY_FOLLOWED : TRY_OVER;
}

TryEnd try_end(Fetch *fetch, int result, Code *ret_code, Err *err)
{
    long version = 0;
    bool sent;
    curl_easy_getinfo(fetch->easy, CURLINFO_HTTP_VERSION, &version);
    fetch->reply.version = version == CURL_HTTP_VERSION_1_0   ? 10
                           : version == CURL_HTTP_VERSION_2_0 ? 20
                                                              : 11;
    if (fetch->again)
        return TRY_AGAIN;
    if (fetch->redirected)
        return follow(fetch, ret_code, err);
    *ret_code = E_OK;
    if (result == CURLE_OK && fetch->code == E_OK && fetch->head_over)
        *ret_code = buf_end(&fetch->reply.body, "the reply", err);
    else if (fetch->code == E_OK && result_again(fetch, result, &sent) && again_plan(fetch, sent, 0))
        return TRY_AGAIN;
    else
        *ret_code = failed(fetch, result, err);
    return TRY_OVER;
}
