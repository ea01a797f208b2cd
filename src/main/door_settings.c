#include "main/door_settings.h"

enum { LIST_PARTS_MAX = 64, BUFFERED_SHARE = 8 /* of memory.total */ };

_Static_assert((int)LIST_PARTS_MAX <= (int)TLS_CERTS_MAX, "lists fit");

static Code setting_refuse(const char *key, Str value, const char *right, Err *err)
{
    Code code = err_set(err, E_INVALID, "%s is '" STR_FMT "'", key, STR_ARG(value));
    return err_hint(err, code, "%s", right);
}

/* "a, b,c": the parts without the white space around them; empty ones are refused. */
static Code list_read(const Conf *conf, const char *key, Arena *arena, const Str **ret_parts,
                      size_t *ret_count, Err *err)
{
    Str text = str_trim(conf_text(conf, key));
    Str *parts = arena_array(arena, Str, LIST_PARTS_MAX);
    size_t count = 0;
    Str rest = text, part;
    while (text.len && str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (!part.len)
            return setting_refuse(key, text, "write values with one comma between two", err);
        if (count == LIST_PARTS_MAX)
            return err_set(err, E_LIMIT, "%s has more than %d values", key, LIST_PARTS_MAX);
        parts[count++] = str_copy(arena, part);
    }
    *ret_parts = parts;
    *ret_count = count;
    return E_OK;
}

bool door_is_off(const Conf *conf, const char *key)
{
    return str_eq(conf_text(conf, key), STR("off"));
}

void door_http_options(const Conf *conf, HttpOptions *options)
{
    options->loops = (uint32_t)conf_number(conf, "http.loops");
    options->head_ms_max = (uint32_t)conf_number(conf, "http.head_timeout");
    options->idle_ms_max = (uint32_t)conf_number(conf, "http.idle_timeout");
    options->request_ms_max = (uint32_t)conf_number(conf, "http.request_timeout");
    options->rate_bytes_min = (uint32_t)conf_number(conf, "http.rate_min");
    options->rate_window_ms = (uint32_t)conf_number(conf, "http.rate_window");
    options->connections_max = (uint32_t)conf_number(conf, "http.connections_max");
}

/* The choices of rate.anonymous and its like: off, then the tiers in order. */
static int tier_of(const Conf *conf, const char *key)
{
    return (int)conf_number(conf, key) - 1;
}

DoorTiers door_tiers(const Conf *conf)
{
    return (DoorTiers){ .anonymous = tier_of(conf, "rate.anonymous"),
                        .reader = tier_of(conf, "rate.reader"),
                        .admin = tier_of(conf, "rate.admin") };
}

static void limits_fill(const Conf *conf, uint64_t memory_bytes, LimitOptions *limits)
{
    limits->connections_an_address = (uint32_t)conf_number(conf, "http.connections_per_client");
    limits->requests_an_address = (uint32_t)conf_number(conf, "http.requests_per_client");
    limits->requests_max = (uint32_t)conf_number(conf, "http.requests_max");
    limits->bytes_max = (uint64_t)conf_number(conf, "http.buffered_max");
    if (limits->bytes_max == 0)
        limits->bytes_max = memory_bytes / BUFFERED_SHARE;
    const LimitTier tiers[DOOR_TIERS] = {
        { "low", (uint32_t)conf_number(conf, "rate.tier_low"), 60 },
        { "standard", (uint32_t)conf_number(conf, "rate.tier_standard"), 60 },
        { "high", (uint32_t)conf_number(conf, "rate.tier_high"), 60 },
    };
    for (size_t i = 0; i < DOOR_TIERS; i++)
        limits->tiers[i] = tiers[i];
    limits->tier_count = DOOR_TIERS;
}

static Code log_fill(const Conf *conf, Arena *arena, HttpPolicy *policy, Err *err)
{
    static const HttpLogFormat formats[] = { HTTP_LOG_LINE, HTTP_LOG_JSON, HTTP_LOG_COMBINED, HTTP_LOG_NONE };
    policy->log_format = formats[conf_number(conf, "http.access_log")];
    Str path = conf_text(conf, "http.access_log_file");
    bool to_file = policy->log_format == HTTP_LOG_JSON || policy->log_format == HTTP_LOG_COMBINED;
    if (path.len && !to_file)
        return setting_refuse("http.access_log_file", path,
                              "a file takes http.access_log `json` or `combined`", err);
    policy->log_path = path.len ? str_copy_z(arena, path) : NULL;
    return E_OK;
}

Code door_policy(const Conf *conf, uint64_t memory_bytes, Arena *arena, HttpPolicy *ret_policy, Err *err)
{
    static const ForwardKind kinds[] = { FORWARD_X, FORWARD_RFC7239 };
    HttpPolicy policy = {
        .forwarded = kinds[conf_number(conf, "http.forwarded")],
        .public_url = str_copy(arena, conf_text(conf, "http.public_url")),
        .tier_address = door_tiers(conf).anonymous,
        .failures_a_minute = (uint32_t)conf_number(conf, "rate.failures"),
        .cors_credentials = conf_bool(conf, "cors.credentials"),
        .cors_max_age_s = (uint32_t)(conf_number(conf, "cors.max_age") / 1000),
        .hsts_max_age_s = (uint32_t)(conf_number(conf, "http.hsts") / 1000),
        .compress_off = !conf_bool(conf, "http.compress"),
    };
    Str url = policy.public_url;
    if (url.len && !str_starts(url, STR("https://")) && !str_starts(url, STR("http://")))
        return setting_refuse("http.public_url", url, "write it with its scheme: https://lake.example.org", err);
    TRY(list_read(conf, "http.trusted_proxies", arena, &policy.trusted_proxies,
                  &policy.trusted_proxy_count, err));
    if (conf_bool(conf, "http.proxy_protocol") && policy.trusted_proxy_count == 0)
        return setting_refuse("http.proxy_protocol", STR("true"),
                              "name the proxies in http.trusted_proxies: nobody else may send the header", err);
    TRY(list_read(conf, "cors.origins", arena, &policy.cors_origins, &policy.cors_origin_count, err));
    for (size_t i = 0; i < policy.cors_origin_count; i++)
        if (policy.cors_credentials && str_eq(policy.cors_origins[i], STR("*")))
            return setting_refuse("cors.credentials", STR("true"),
                                  "not with cors.origins `*`: name the origins", err);
    limits_fill(conf, memory_bytes, &policy.limits);
    TRY(log_fill(conf, arena, &policy, err));
    *ret_policy = policy;
    return E_OK;
}

/* "cert.pem key.pem" */
static Code pair_read(Str pair, Arena *arena, TlsCert *ret_cert, Err *err)
{
    Str rest = pair, word, words[2] = { { 0 } };
    size_t count = 0;
    while (str_split(&rest, ' ', &word))
        if (word.len && count++ < ARRAY_LEN(words))
            words[count - 1] = word;
    if (count != ARRAY_LEN(words))
        return setting_refuse("tls.certificates", pair,
                              "write `CERTIFICATE.pem KEY.pem`, further pairs behind commas", err);
    *ret_cert = (TlsCert){ str_copy_z(arena, words[0]), str_copy_z(arena, words[1]) };
    return E_OK;
}

static const char *path_of(Arena *arena, const char *dir, const char *name)
{
    return str_copy_z(arena, str_format(arena, "%s/tls/%s", dir, name));
}

static Code certs_read(const Conf *conf, const char *dir, Arena *arena, TlsOptions *tls, Err *err)
{
    const Str *pairs;
    TRY(list_read(conf, "tls.certificates", arena, &pairs, &tls->cert_count, err));
    for (size_t i = 0; i < tls->cert_count; i++)
        TRY(pair_read(pairs[i], arena, &tls->certs[i], err));
    if (tls->cert_count)
        return E_OK;
    tls->certs[0] = (TlsCert){ path_of(arena, dir, "server.pem"), path_of(arena, dir, "server.key") };
    tls->cert_count = 1;
    OsStat stat;
    if (os_stat(tls->os, tls->certs[0].cert_path, &stat, NULL) == E_OK)
        return E_OK;
    Code code = err_set(err, E_NOT_FOUND, "https.listen is set, but neither tls.certificates nor %s is there",
                        tls->certs[0].cert_path);
    return err_hint(err, code, "`tarn cert --data %s` makes one for this machine", dir);
}

Code door_tls(const Conf *conf, const char *dir, Arena *arena, TlsOptions *ret_tls, Err *err)
{
    static const TlsClientMode modes[] = { TLS_CLIENT_OFF, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };
    static const TlsVersion versions[] = { TLS_1_3, TLS_1_2 };
    TlsOptions *tls = arena_new(arena, TlsOptions);
    *tls = (TlsOptions){ .os = os_real(),
                         .client = modes[conf_number(conf, "tls.client")],
                         .least = versions[conf_number(conf, "tls.min")],
                         .alpn = { STR_INIT("h2"), STR_INIT("http/1.1") },
                         .ticket_ms = (uint32_t)conf_number(conf, "tls.ticket_rotation") };
    TRY(certs_read(conf, dir, arena, tls, err));
    Str ca = conf_text(conf, "tls.client_ca");
    if (tls->client != TLS_CLIENT_OFF)
        tls->client_ca_path = ca.len ? str_copy_z(arena, ca) : path_of(arena, dir, "ca.pem");
    *ret_tls = *tls;
    return E_OK;
}

Code door_fetch(const Conf *conf, Arena *arena, FetcherOptions *ret_options, Err *err)
{
    FetcherOptions options = { .agent = "tarn" };
    FetchRules *rules = &options.rules;
    FetchRulesTable *trial AUTO(fetch_rules_free) = NULL;
    TRY(list_read(conf, "fetch.allow_hosts", arena, &rules->hosts, &rules->host_count, err));
    TRY(list_read(conf, "fetch.allow_private", arena, &rules->networks, &rules->network_count, err));
    if (fetch_rules_new(rules, &trial, err) != E_OK)
        return setting_refuse("fetch.allow_private", conf_text(conf, "fetch.allow_private"),
                              "write networks: 10.1.0.0/16, fd00::/8, 127.0.0.1", err);
    Str proxy = conf_text(conf, "fetch.proxy");
    if (proxy.len && !str_starts(proxy, STR("http://")) && !str_starts(proxy, STR("https://")))
        return setting_refuse("fetch.proxy", proxy, "write it with its scheme: http://10.0.0.1:3128", err);
    options.proxy = proxy.len ? str_copy_z(arena, proxy) : NULL;
    *ret_options = options;
    return E_OK;
}

Code door_domains(const Conf *conf, Arena *arena, Str ret_domains[S3_DOMAINS_MAX], size_t *ret_count, Err *err)
{
    const Str *domains;
    size_t count;
    TRY(list_read(conf, "s3.domain", arena, &domains, &count, err));
    if (count > S3_DOMAINS_MAX)
        return err_set(err, E_LIMIT, "s3.domain has more than %d names", S3_DOMAINS_MAX);
    for (size_t i = 0; i < count; i++)
        ret_domains[i] = domains[i];
    *ret_count = count;
    return E_OK;
}

Code door_settings_check(const Conf *conf, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    HttpPolicy policy;
    FetcherOptions fetch;
    Str domains[S3_DOMAINS_MAX];
    size_t count;
    TRY(door_policy(conf, 0, &tmp, &policy, err));
    TRY(door_fetch(conf, &tmp, &fetch, err));
    return door_domains(conf, &tmp, domains, &count, err);
}
