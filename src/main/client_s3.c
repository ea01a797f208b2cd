#include "main/client_s3.h"

#include "base/text.h"
#include "format/json.h"
#include "format/xml.h"
#include "front/s3/sigv4.h"
#include "os/os.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ADMIN_FILE_MAX = 64 << 10, PATH_BYTES_MAX = 64 << 10, CONNECT_TIMEOUT_MS = 5000 };

struct S3Client {
    CURL *curl;
    Arena arena;
    Str endpoint; /* "http://127.0.0.1:9000" */
    Str host;     /* as it is signed */
    Str region, access, secret;
    const char *ca; /* NULL: the system's authorities */
    const char *cert, *key; /* of the client; NULL: none */
};

/* ---- where and who ---- */

static Str first_of(Str given, const char *variable)
{
    return given.len ? given : str_z(getenv(variable));
}

static Str endpoint_of(Arena *arena, const Json *root)
{
    static const Str every[] = { STR_INIT("0.0.0.0:"), STR_INIT("[::]:") };
    static const char *const loopback[] = { "127.0.0.1", "[::1]" };
    Str clear = json_str(json_get(root, "s3")), address = clear.len ? clear : json_str(json_get(root, "s3_tls"));
    const char *scheme = clear.len ? "http" : "https";
    for (size_t i = 0; i < ARRAY_LEN(every); i++)
        if (str_starts(address, every[i]))
            return str_format(arena, "%s://%s:" STR_FMT, scheme, loopback[i],
                              STR_ARG(str_from(address, every[i].len)));
    return address.len ? str_format(arena, "%s://" STR_FMT, scheme, STR_ARG(address)) : STR_NONE;
}

static Code admin_read(S3Client *client, Str data, Err *err)
{
    Buf text AUTO(buf_done) = { 0 };
    const Json *root;
    buf_init(&text, ADMIN_FILE_MAX);
    const char *path = str_copy_z(&client->arena, str_format(&client->arena, STR_FMT "/admin.json", STR_ARG(data)));
    if (os_read_whole(os_real(), path, &text, err) != E_OK) {
        err_wrap(err, E_UNAVAILABLE, "no server is known");
        return err_hint(err, E_UNAVAILABLE, "start one with `tarn serve --data " STR_FMT "`, or name its S3 door "
                        "with --endpoint URL, TARN_ACCESS_KEY and TARN_SECRET_KEY", STR_ARG(data));
    }
    TRY(json_parse(&client->arena, str_copy(&client->arena, buf_str(&text)), NULL, &root, err));
    if (!client->endpoint.len)
        client->endpoint = endpoint_of(&client->arena, root);
    if (!client->endpoint.len)
        return err_hint(err, err_set(err, E_UNAVAILABLE, "the server has no S3 door open"),
                        "start it with --s3 127.0.0.1:9000");
    if (!client->access.len || !client->secret.len) {
        client->access = json_str(json_get(root, "access_key"));
        client->secret = json_str(json_get(root, "secret_key"));
    }
    if (!client->region.len)
        client->region = json_str(json_get(root, "s3_region"));
    return E_OK;
}

/* Without a port that is the scheme's own, as it is sent. */
static Str host_of(Str endpoint)
{
    ptrdiff_t at = str_find(endpoint, STR("://"));
    Str host = at < 0 ? endpoint : str_from(endpoint, (size_t)at + 3);
    Str usual = str_starts(endpoint, STR("https:")) ? STR(":443") : STR(":80");
    return str_ends(host, usual) ? str_sub(host, 0, host.len - usual.len) : host;
}

bool s3_client_is_named(const Args *args)
{
    return first_of(args_get(args, "--endpoint"), "TARN_S3").len > 0;
}

/* ---- Ctrl-C ---- */

static volatile sig_atomic_t stop_asked;
static int stop_pipe[2] = { -1, -1 }; /* wakes who waits: a signal may come just before the wait */

static void stop_ask(int number)
{
    (void)number;
    int kept = errno;
    stop_asked = 1;
    if (write(stop_pipe[1], "", 1) < 0) { /* full: it wakes all the same */
    }
    errno = kept;
}

static void stop_listen(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    if (stop_pipe[0] < 0 && pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return; /* a signal ends the process as any other's */
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct sigaction now, wanted = { .sa_handler = stop_ask, .sa_flags = (int)SA_RESETHAND };
        if (sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            sigaction(numbers[i], &wanted, NULL);
    }
}

bool s3_client_stopped(void)
{
    return stop_asked != 0;
}

void s3_client_wait(int fd)
{
    struct pollfd waits[] = { { .fd = fd, .events = POLLIN }, { .fd = stop_pipe[0], .events = POLLIN } };
    while (!stop_asked && poll(waits, ARRAY_LEN(waits), -1) < 0 && errno == EINTR) {
    }
}

static int stop_look(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    (void)down_all, (void)down, (void)up_all, (void)up;
    const S3Call *call = arg;
    return stop_asked && !call->at_the_end;
}

Code s3_client_open(const Args *args, S3Client **ret_client, Err *err)
{
    AUTO(s3_client_free) S3Client *client = mem_new(sizeof *client);
    Str data = first_of(args_get(args, "--data"), "TARN_DATA"), ca = first_of(args_get(args, "--ca"), "TARN_CA");
    data = data.len ? data : STR("tarn-data");
    stop_listen();
    client->endpoint = first_of(args_get(args, "--endpoint"), "TARN_S3");
    client->access = str_z(getenv("TARN_ACCESS_KEY"));
    client->secret = str_z(getenv("TARN_SECRET_KEY"));
    client->region = str_z(getenv("TARN_S3_REGION"));
    if (!client->access.len != !client->secret.len) /* or another key than the one that was meant would sign */
        return err_hint(err, err_set(err, E_INVALID, "%s is set without %s", client->access.len ? "TARN_ACCESS_KEY"
                                     : "TARN_SECRET_KEY", client->access.len ? "TARN_SECRET_KEY" : "TARN_ACCESS_KEY"),
                        "set both, or neither: then the key of DIR/admin.json signs");
    Str url = args_get(args, "--url");
    if (!client->endpoint.len && url.len) /* DIR/admin.json may be of another server */
        return err_hint(err, err_set(err, E_INVALID, "--url " STR_FMT " is no S3 door", STR_ARG(url)),
                        "--endpoint URL or TARN_S3 names it; --data DIR finds the one of a server on this machine");
    if (!client->endpoint.len || !client->access.len || !client->secret.len)
        TRY(admin_read(client, data, err));
    if (!client->region.len)
        client->region = STR("us-east-1");
    while (str_ends(client->endpoint, STR("/")))
        client->endpoint.len--;
    client->host = host_of(client->endpoint);
    OsStat stat;
    client->ca = str_copy_z(&client->arena, ca.len ? ca : str_format(&client->arena, STR_FMT "/tls/ca.pem",
                                                                     STR_ARG(data)));
    if (!ca.len && os_stat(os_real(), client->ca, &stat, NULL) != E_OK)
        client->ca = NULL;
    Str cert = first_of(args_get(args, "--cert"), "TARN_CERT"), key = first_of(args_get(args, "--key"), "TARN_KEY");
    client->cert = cert.len ? str_copy_z(&client->arena, cert) : NULL;
    client->key = key.len ? str_copy_z(&client->arena, key) : NULL;
    client->curl = curl_easy_init();
    ASSERT(client->curl);
    *ret_client = TAKE(client);
    return E_OK;
}

void s3_client_free(S3Client **client_at)
{
    S3Client *client = *client_at;
    if (!client)
        return;
    if (client->curl)
        curl_easy_cleanup(client->curl);
    arena_done(&client->arena);
    mem_free(client_at);
}

/* ---- one exchange ---- */

typedef struct Exchange {
    const S3Call *call;
    S3Reply *reply;
    CURL *curl;
    uint64_t sent, received;
    Err *err;
    Code failed; /* of receive */
    char reason[CURL_ERROR_SIZE];
} Exchange;

static size_t bytes_take(char *bytes, size_t size, size_t count, void *arg)
{
    Exchange *exchange = arg;
    Str part = str_of(bytes, size * count);
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &exchange->reply->status);
    exchange->received += part.len;
    if (exchange->reply->status >= 300 || !exchange->call->receive) {
        buf_put(&exchange->reply->body, part);
        return exchange->reply->body.over ? 0 : part.len;
    }
    exchange->failed = exchange->call->receive(exchange->call->arg, part, exchange->err);
    return exchange->failed == E_OK ? part.len : 0;
}

static size_t field_take(char *bytes, size_t size, size_t count, void *arg)
{
    S3Reply *reply = ((Exchange *)arg)->reply;
    Str line = str_trim(str_of(bytes, size * count));
    ptrdiff_t colon = str_find_char(line, ':');
    if (str_starts(line, STR("HTTP/")))
        reply->field_count = 0;
    if (colon > 0 && reply->field_count < S3_FIELDS_MAX) {
        char *name = (char *)str_copy_z(&reply->arena, str_sub(line, 0, (size_t)colon));
        for (char *c = name; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        reply->fields[reply->field_count++] =
            (S3Field){ name, str_copy(&reply->arena, str_trim(str_from(line, (size_t)colon + 1))) };
    }
    return size * count;
}

static size_t body_give(char *bytes, size_t size, size_t count, void *arg)
{
    Exchange *exchange = arg;
    Str rest = str_from(exchange->call->body, exchange->sent);
    size_t len = MIN(rest.len, size * count);
    memcpy(bytes, rest.ptr, len);
    exchange->sent += len;
    if (exchange->call->sent)
        exchange->call->sent(exchange->call->arg, exchange->sent);
    return len;
}

static int body_seek(void *arg, curl_off_t at, int from)
{
    Exchange *exchange = arg;
    if (from != SEEK_SET || at < 0)
        return CURL_SEEKFUNC_FAIL;
    exchange->sent = (uint64_t)at;
    return CURL_SEEKFUNC_OK;
}

static Str path_of(const S3Call *call, Arena *tmp)
{
    Buf path AUTO(buf_done) = { 0 };
    buf_init(&path, PATH_BYTES_MAX);
    buf_put_char(&path, '/');
    url_encode(&path, call->bucket, false);
    if (call->key.len) {
        buf_put_char(&path, '/');
        url_encode(&path, call->key, true);
    }
    return str_copy(tmp, buf_str(&path));
}

static Str query_of(const S3Call *call, Arena *tmp)
{
    Buf query AUTO(buf_done) = { 0 };
    buf_init(&query, PATH_BYTES_MAX);
    for (size_t i = 0; i < call->query_count; i++) {
        buf_format(&query, "%s%s%s", i ? "&" : "", call->query[i].name, call->query[i].value.ptr ? "=" : "");
        url_encode(&query, call->query[i].value, false);
    }
    return str_copy(tmp, buf_str(&query));
}

static int field_order(const void *a, const void *b)
{
    return strcmp(((const S3Field *)a)->name, ((const S3Field *)b)->name);
}

/* "20261122T180000Z" of now. */
static Str amz_date(Arena *tmp)
{
    Str time = time_format(tmp, os_now_us(os_real()));
    const char *t = time.ptr; /* 2026-11-22T18:25:00.000000Z */
    return str_format(tmp, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", t, t + 5, t + 8, t + 11, t + 14, t + 17);
}

/* Every field of the request is signed. */
static struct curl_slist *headers_sign(S3Client *client, const S3Call *call, Str path, Str query, Arena *tmp)
{
    S3Field all[S3_FIELDS_MAX];
    SigField fields[S3_FIELDS_MAX];
    struct curl_slist *headers = NULL;
    size_t count = 0;
    Buf names AUTO(buf_done) = { 0 };
    buf_init(&names, PATH_BYTES_MAX);
    ASSERT(call->field_count + 3 <= S3_FIELDS_MAX);
    Str date = amz_date(tmp);
    all[count++] = (S3Field){ "host", client->host };
    all[count++] = (S3Field){ "x-amz-content-sha256", STR("UNSIGNED-PAYLOAD") };
    all[count++] = (S3Field){ "x-amz-date", date };
    for (size_t i = 0; i < call->field_count; i++)
        all[count++] = call->fields[i];
    qsort(all, count, sizeof *all, field_order);
    for (size_t i = 0; i < count; i++) {
        fields[i] = (SigField){ str_z(all[i].name), all[i].value };
        buf_format(&names, "%s%s", i ? ";" : "", all[i].name);
        Str line = all[i].value.len ? str_format(tmp, "%s: " STR_FMT, all[i].name, STR_ARG(all[i].value))
                                    : str_format(tmp, "%s;", all[i].name); /* curl's word for one that is empty */
        headers = curl_slist_append(headers, str_copy_z(tmp, line));
    }
    SigClaim claim = { .kind = SIG_HEADER, .access_key = client->access, .day = str_sub(date, 0, 8),
                       .region = client->region, .service = STR("s3"), .amz_date = date,
                       .signed_headers = buf_str(&names), .payload = STR("UNSIGNED-PAYLOAD") };
    claim.scope = str_format(tmp, STR_FMT "/" STR_FMT "/s3/aws4_request", STR_ARG(claim.day), STR_ARG(claim.region));
    SigKey key = sig_key(client->secret, claim.day, claim.region, claim.service);
    SigRequest request = { str_z(call->method ? call->method : "GET"), path, query, fields, count };
    Str signature = sig_sign(&request, &claim, &key, tmp);
    explicit_bzero(&key, sizeof key);
    Str line = str_format(tmp, "Authorization: AWS4-HMAC-SHA256 Credential=" STR_FMT "/" STR_FMT ", SignedHeaders="
                          STR_FMT ", Signature=" STR_FMT, STR_ARG(client->access), STR_ARG(claim.scope),
                          STR_ARG(claim.signed_headers), STR_ARG(signature));
    headers = curl_slist_append(headers, str_copy_z(tmp, line));
    return curl_slist_append(headers, "Expect:");
}

/* ---- errors ---- */

static Code code_of_status(long status)
{
    static const struct {
        long status;
        Code code;
    } rows[] = {
        { 401, E_UNAUTHENTICATED }, { 403, E_FORBIDDEN }, { 404, E_NOT_FOUND },  { 409, E_CONFLICT },
        { 412, E_PRECONDITION },    { 501, E_UNSUPPORTED }, { 503, E_UNAVAILABLE }, { 507, E_NO_SPACE },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].code;
    return status >= 500 ? E_INTERNAL : E_INVALID;
}

/* S3's codes that say more than their status, and what to do next. */
static const struct {
    const char *name;
    Code code;
    const char *hint;
} known_errors[] = {
    { "NoSuchBucket", E_NOT_FOUND, "`tarn bucket ls` shows the buckets, `tarn bucket create NAME` makes one" },
    { "NoSuchKey", E_NOT_FOUND, "`tarn object ls BUCKET/PREFIX` shows what is there" },
    { "NoSuchVersion", E_NOT_FOUND, "`tarn object versions BUCKET/KEY` shows them" },
    { "NoSuchCORSConfiguration", E_NOT_FOUND, "`tarn bucket cors NAME --origin URL` sets one" },
    { "BucketAlreadyExists", E_EXISTS, "`tarn bucket ls` shows the buckets" },
    { "BucketAlreadyOwnedByYou", E_EXISTS, "it is yours already" },
    { "BucketNotEmpty", E_CONFLICT, "`tarn bucket rm NAME --force` removes its objects and versions too" },
    { "InvalidAccessKeyId", E_UNAUTHENTICATED, "`tarn key access list` shows the keys that open the door" },
    { "SignatureDoesNotMatch", E_UNAUTHENTICATED, "does TARN_SECRET_KEY belong to TARN_ACCESS_KEY?" },
    { "AccessDenied", E_FORBIDDEN, "`tarn key principal list` shows the roles" },
    { "PreconditionFailed", E_PRECONDITION, "the key is there already: leave --if-absent out to replace it" },
    { "BadDigest", E_CORRUPT, "the bytes changed on their way: send them again" },
    { "RequestTimeTooSkewed", E_UNAUTHENTICATED, "set the clock of this machine" },
};

static bool query_has(const S3Call *call, const char *name)
{
    for (size_t i = 0; i < call->query_count; i++)
        if (strcmp(call->query[i].name, name) == 0)
            return true;
    return false;
}

static Code refusal_tell(const S3Call *call, const S3Reply *reply, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const XmlNode *root = NULL;
    Code code = code_of_status(reply->status);
    if (!reply->body.len || xml_parse(&tmp, buf_str(&reply->body), &root, NULL) != E_OK ||
        !xml_text(root, "Code").len) {
        if (code == E_INVALID && query_has(call, "versionId"))
            return err_hint(err, err_set(err, code, "this is no version"), "`tarn object versions " STR_FMT "/" STR_FMT
                            "` shows them", STR_ARG(call->bucket), STR_ARG(call->key));
        if (code != E_NOT_FOUND) /* to a HEAD */
            return err_set(err, code, "%s: the server answered %ld", call->key.len ? "object" : "bucket",
                           reply->status);
        err_set(err, code, "there is no s3://" STR_FMT "/" STR_FMT, STR_ARG(call->bucket), STR_ARG(call->key));
        return err_hint(err, code, "`tarn object ls " STR_FMT "` shows what is there", STR_ARG(call->bucket));
    }
    Str name = xml_text(root, "Code"), text = xml_text(root, "Message");
    for (size_t i = 0; i < ARRAY_LEN(known_errors); i++) {
        if (!str_eq(name, str_z(known_errors[i].name)))
            continue;
        code = known_errors[i].code;
        err_set(err, code, STR_FMT " (" STR_FMT ")", STR_ARG(text), STR_ARG(name));
        return err_hint(err, code, "%s", known_errors[i].hint);
    }
    err_set(err, code, STR_FMT " (" STR_FMT ")", STR_ARG(text), STR_ARG(name));
    if (code == E_INVALID && query_has(call, "versionId"))
        return err_hint(err, code, "`tarn object versions " STR_FMT "/" STR_FMT "` shows them", STR_ARG(call->bucket),
                        STR_ARG(call->key));
    return code;
}

/* The door's own texts do not name what was asked for. */
static Code refusal_read(const S3Client *client, const S3Call *call, const S3Reply *reply, Err *err)
{
    Code code = refusal_tell(call, reply, err);
    if (code == E_UNAUTHENTICATED)
        return err_place(err, code, "access key " STR_FMT " at " STR_FMT, STR_ARG(client->access),
                         STR_ARG(client->endpoint));
    return call->bucket.len ? err_place(err, code, "s3://" STR_FMT "%s" STR_FMT, STR_ARG(call->bucket),
                                        call->key.len ? "/" : "", STR_ARG(call->key))
                            : code;
}

static Code exchange_end(S3Client *client, Exchange *exchange, CURLcode result, Err *err)
{
    S3Reply *reply = exchange->reply;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &reply->status);
    if (result == CURLE_ABORTED_BY_CALLBACK && stop_asked)
        return err_set(err, E_CANCELLED, "stopped");
    if (exchange->failed != E_OK)
        return exchange->failed;
    if (reply->status >= 300)
        return refusal_read(client, exchange->call, reply, err);
    TRY(buf_end(&reply->body, "the answer", err));
    if (result == CURLE_OK)
        return E_OK;
    if (reply->status >= 200)
        return err_set(err, E_UNAVAILABLE, "the answer was cut off after %llu bytes",
                       (unsigned long long)exchange->received);
    Code code = err_set(err, E_UNAVAILABLE, "no answer from " STR_FMT ": %s", STR_ARG(client->endpoint),
                        exchange->reason[0] ? exchange->reason : curl_easy_strerror(result));
    if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE)
        return err_hint(err, code, "--ca FILE names the authority that its certificate comes from");
    return err_hint(err, code, "is `tarn serve` running there, with its S3 door open?");
}

static void curl_prepare(S3Client *client, const S3Call *call, Exchange *exchange)
{
    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->reason);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, stop_look);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)call);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, bytes_take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, field_take);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
    if (client->ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca);
    if (client->cert)
        curl_easy_setopt(curl, CURLOPT_SSLCERT, client->cert);
    if (client->key)
        curl_easy_setopt(curl, CURLOPT_SSLKEY, client->key);
    if (call->method && strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return;
    }
    bool sends = call->method && (strcmp(call->method, "PUT") == 0 || strcmp(call->method, "POST") == 0);
    if (sends) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, body_give);
        curl_easy_setopt(curl, CURLOPT_READDATA, exchange);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, body_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, exchange);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body.len);
    }
    if (call->method)
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
}

Code s3_call(S3Client *client, const S3Call *call, S3Reply *ret_reply, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    *ret_reply = (S3Reply){ 0 };
    buf_init(&ret_reply->body, S3_REPLY_MAX);
    Exchange exchange = { .call = call, .reply = ret_reply, .curl = client->curl, .err = err };
    Str path = path_of(call, &tmp), query = query_of(call, &tmp);
    curl_easy_reset(client->curl);
    curl_prepare(client, call, &exchange);
    struct curl_slist *headers = headers_sign(client, call, path, query, &tmp);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(client->curl, CURLOPT_URL,
                     str_copy_z(&tmp, str_format(&tmp, STR_FMT STR_FMT "%s" STR_FMT, STR_ARG(client->endpoint),
                                                 STR_ARG(path), query.len ? "?" : "", STR_ARG(query))));
    bool stopped = stop_asked && !call->at_the_end;
    CURLcode result = stopped ? CURLE_ABORTED_BY_CALLBACK : curl_easy_perform(client->curl);
    Code code = exchange_end(client, &exchange, result, err);
    curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    return code;
}

Str s3_reply_field(const S3Reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->field_count; i++)
        if (strcmp(reply->fields[i].name, name) == 0)
            return reply->fields[i].value;
    return STR_NONE;
}

void s3_reply_done(S3Reply *reply)
{
    buf_done(&reply->body);
    arena_done(&reply->arena);
    *reply = (S3Reply){ 0 };
}
