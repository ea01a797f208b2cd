#include "main/client.h"

#include "format/json.h"
#include "os/os.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ADMIN_FILE_MAX = 64 << 10, CONNECT_TIMEOUT_MS = 5000 };

struct Client {
    CURL *curl;
    Arena arena;
    Str url;
    Str token;
    const char *token_from; /* where it stands */
    const char *ca;       /* NULL: the system's authorities */
    bool ca_only;         /* those of `ca` and no others */
    const char *cert, *key;
};

static Str first_of(Str given, const char *variable)
{
    return given.len ? given : str_z(getenv(variable));
}

/* The door of a server on this machine; one that listens on every address is reached by loopback. */
static Str url_of(Arena *arena, const Json *root)
{
    Str http = json_str(json_get(root, "http"));
    const char *scheme = http.len ? "http" : "https";
    Str address = http.len ? http : json_str(json_get(root, "https"));
    static const Str every[] = { STR_INIT("0.0.0.0:"), STR_INIT("[::]:") };
    static const char *const loopback[] = { "127.0.0.1", "[::1]" };
    for (size_t i = 0; i < ARRAY_LEN(every); i++)
        if (str_starts(address, every[i]))
            return str_format(arena, "%s://%s:" STR_FMT, scheme, loopback[i],
                              STR_ARG(str_from(address, every[i].len)));
    return str_format(arena, "%s://" STR_FMT, scheme, STR_ARG(address));
}

/* Takes what is missing from DIR/admin.json. */
static Code admin_read(Client *client, Str data, Err *err)
{
    Buf text AUTO(buf_done);
    buf_init(&text, ADMIN_FILE_MAX);
    const char *path = str_copy_z(&client->arena, str_format(&client->arena, STR_FMT "/admin.json",
                                                             STR_ARG(data)));
    Code code = os_read_whole(os_real(), path, &text, err);
    if (code != E_OK) {
        err_wrap(err, E_UNAVAILABLE, "no server is known");
        return err_hint(err, E_UNAVAILABLE, "start one with `tarn serve --data " STR_FMT
                        "`, or name it with --url and TARN_TOKEN, or its directory with --data",
                        STR_ARG(data));
    }
    const Json *root;
    TRY(json_parse(&client->arena, buf_str(&text), NULL, &root, err));
    if (!client->url.len)
        client->url = url_of(&client->arena, root);
    if (!client->token.len) {
        client->token = str_copy(&client->arena, json_str(json_get(root, "token")));
        client->token_from = path;
    }
    return E_OK;
}

/* Whom to believe, and what to show: the authority of `tarn cert` counts beside the system's. */
static void tls_take(Client *client, const ClientOptions *options, Str data)
{
    Str ca = first_of(options->ca, "TARN_CA");
    Str cert = first_of(options->cert, "TARN_CERT"), key = first_of(options->key, "TARN_KEY");
    client->ca_only = ca.len > 0;
    client->ca = str_copy_z(&client->arena, ca.len ? ca : str_format(&client->arena, STR_FMT "/tls/ca.pem",
                                                                     STR_ARG(data)));
    OsStat stat;
    if (!client->ca_only && os_stat(os_real(), client->ca, &stat, NULL) != E_OK)
        client->ca = NULL;
    client->cert = cert.len ? str_copy_z(&client->arena, cert) : NULL;
    client->key = key.len ? str_copy_z(&client->arena, key) : NULL;
}

Code client_open(const ClientOptions *options, Client **ret_client, Err *err)
{
    AUTO(client_free) Client *client = mem_new(sizeof *client);
    client->url = first_of(options->url, "TARN_URL");
    client->token = first_of(options->token, "TARN_TOKEN");
    client->token_from = "TARN_TOKEN";
    Str data = first_of(options->data, "TARN_DATA");
    if (!client->url.len || !client->token.len)
        TRY(admin_read(client, data.len ? data : STR("tarn-data"), err));
    tls_take(client, options, data.len ? data : STR("tarn-data"));
    client->curl = curl_easy_init();
    ASSERT(client->curl);
    *ret_client = TAKE(client);
    return E_OK;
}

void client_free(Client **client_pointer)
{
    Client *client = *client_pointer;
    if (!client)
        return;
    if (client->curl)
        curl_easy_cleanup(client->curl);
    arena_done(&client->arena);
    mem_free(client_pointer);
}

Str client_url(const Client *client)
{
    return client->url;
}

typedef struct Exchange {
    const ClientRequest *request;
    CURL *curl;
    Buf *body;    /* kept reply, and every problem document */
    FILE *file;
    uint64_t size; /* of it; UINT64_MAX: a pipe has none */
    uint64_t sent;
    Err *err;
    Code failed;  /* of receive, or of the file */
    char reason[CURL_ERROR_SIZE];
} Exchange;

static size_t exchange_receive(char *bytes, size_t size, size_t count, void *arg)
{
    Exchange *exchange = arg;
    Str part = str_of(bytes, size * count);
    long status = 0;
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 400 || !exchange->request->receive) {
        buf_put(exchange->body, part);
        return exchange->body->over ? 0 : part.len;
    }
    exchange->failed = exchange->request->receive(exchange->request->arg, part, exchange->err);
    return exchange->failed == E_OK ? part.len : 0;
}

static size_t exchange_send(char *bytes, size_t size, size_t count, void *arg)
{
    Exchange *exchange = arg;
    size_t got = fread(bytes, 1, size * count, exchange->file);
    exchange->sent += got;
    if (ferror(exchange->file) || (got == 0 && exchange->size != UINT64_MAX && exchange->sent < exchange->size)) {
        exchange->failed = err_set(exchange->err, E_IO, "%s ended after %llu bytes", exchange->request->file,
                                   (unsigned long long)exchange->sent);
        return CURL_READFUNC_ABORT;
    }
    if (exchange->request->progress)
        exchange->request->progress(exchange->request->arg, exchange->sent);
    return got;
}

/* The error that a problem document (RFC 9457) tells. */
static Code problem_take(const Json *root, Code code, Err *err)
{
    Str name = json_str(json_get(root, "code"));
    for (Code known = E_OK + 1; known < E_COUNT; known++)
        if (str_eq(name, str_z(code_info(known)->name)))
            code = known;
    Str detail = json_str(json_get(root, "detail"));
    err_set(err, code, STR_FMT, STR_ARG(detail.len ? detail : json_str(json_get(root, "title"))));
    Str hint = json_str(json_get(root, "hint"));
    Str place = json_str(json_get(root, "place"));
    if (hint.len)
        err_hint(err, code, STR_FMT, STR_ARG(hint));
    if (place.len)
        err_place(err, code, STR_FMT, STR_ARG(place));
    const Json *position = json_get(root, "position");
    return err_at(err, code, position ? json_i64(json_get(position, "offset"), -1) : -1);
}

static Code problem_read(Str body, long status, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const Json *root;
    Code code = status == 404 ? E_NOT_FOUND : status == 401 ? E_UNAUTHENTICATED : E_INTERNAL;
    if (json_parse(&tmp, body, NULL, &root, NULL) != E_OK)
        return err_set(err, code, "the server answered %ld: " STR_FMT, status,
                       STR_ARG(str_sub(str_trim(body), 0, 300)));
    return problem_take(root, code, err);
}

/* With whose key was refused, and where. */
static Code problem_tell(const Client *client, const Exchange *exchange, long status, Err *err)
{
    Code code = problem_read(buf_str(exchange->body), status, err);
    if (code != E_UNAUTHENTICATED)
        return code;
    return err_place(err, code, "the key of %s, at " STR_FMT, client->token_from, STR_ARG(client->url));
}

/* An answer that was cut off may say why at its end. */
static Code cut_read(Str body, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const Json *root;
    JsonLimits limits = { .bytes_max = CLIENT_REPLY_MAX, .keeps_duplicates = true };
    if (json_parse(&tmp, body, &limits, &root, NULL) != E_OK || !json_get(root, "error"))
        return err_set(err, E_UNAVAILABLE, "the answer was cut off after %zu bytes", body.len);
    return problem_take(json_get(root, "error"), E_INTERNAL, err);
}

static void header_add(struct curl_slist **headers, Arena *tmp, const char *name, Str value)
{
    if (value.len)
        *headers = curl_slist_append(
            *headers, str_copy_z(tmp, str_format(tmp, "%s: " STR_FMT, name, STR_ARG(value))));
}

static Code file_open(Exchange *exchange, Err *err)
{
    const ClientRequest *request = exchange->request;
    struct stat stat;
    exchange->file = fopen(request->file, "rb");
    if (!exchange->file || fstat(fileno(exchange->file), &stat) != 0)
        return err_set(err, errno == ENOENT ? E_NOT_FOUND : E_FORBIDDEN, "cannot read %s: %s", request->file,
                       strerror(errno));
    exchange->size = S_ISREG(stat.st_mode) ? (uint64_t)stat.st_size : UINT64_MAX;
    curl_easy_setopt(exchange->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(exchange->curl, CURLOPT_READFUNCTION, exchange_send);
    curl_easy_setopt(exchange->curl, CURLOPT_READDATA, exchange);
    curl_easy_setopt(exchange->curl, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
    curl_easy_setopt(exchange->curl, CURLOPT_INFILESIZE_LARGE, 
                     exchange->size == UINT64_MAX ? (curl_off_t)-1 : (curl_off_t)exchange->size);
    return E_OK;
}

static Code exchange_run(Client *client, Exchange *exchange, Err *err)
{
    CURLcode result = curl_easy_perform(client->curl);
    long status = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (exchange->failed != E_OK)
        return exchange->failed;
    if (status >= 400)
        return problem_tell(client, exchange, status, err);
    if (exchange->body->over)
        return buf_end(exchange->body, "the answer", err);
    if (result == CURLE_OK)
        return E_OK;
    if (status >= 200)
        return cut_read(buf_str(exchange->body), err);
    Code code = err_set(err, E_UNAVAILABLE, "no answer from " STR_FMT ": %s", STR_ARG(client->url),
                        exchange->reason[0] ? exchange->reason : curl_easy_strerror(result));
    if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE)
        return err_hint(err, code, "--ca FILE names the authority that its certificate comes from");
    return err_hint(err, code, "is `tarn serve` running there?");
}

static void tls_set(const Client *client)
{
    CURL *curl = client->curl;
    if (client->ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
    if (client->ca_only)
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    if (client->cert)
        curl_easy_setopt(curl, CURLOPT_SSLCERT, client->cert);
    if (client->key)
        curl_easy_setopt(curl, CURLOPT_SSLKEY, client->key);
}

Code client_call(Client *client, const ClientRequest *request, Buf *ret_body, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf problem AUTO(buf_done);
    buf_init(&problem, 1 << 20);
    Exchange exchange = { .request = request, .curl = client->curl, .err = err,
                          .body = ret_body ? ret_body : &problem };
    struct curl_slist *headers = NULL;
    header_add(&headers, &tmp, "Accept", request->accept.len ? request->accept : STR("application/json"));
    header_add(&headers, &tmp, "Content-Type", request->content_type);
    header_add(&headers, &tmp, "Authorization",
               client->token.len ? str_format(&tmp, "Bearer " STR_FMT, STR_ARG(client->token)) : STR_NONE);
    CURL *curl = client->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, str_copy_z(&tmp, str_format(&tmp, STR_FMT STR_FMT,
                     STR_ARG(client->url), STR_ARG(request->path))));
    tls_set(client);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange.reason);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, exchange_receive);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    Code code = E_OK;
    if (request->file) {
        code = file_open(&exchange, err);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "POST");
    } else if (request->body.ptr) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.ptr);
    }
    if (request->method)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    if (code == E_OK)
        code = exchange_run(client, &exchange, err);
    if (exchange.file)
        fclose(exchange.file);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    return code;
}
