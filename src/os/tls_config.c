/* One state of the TLS options: a context for each certificate, all alike but for it. */
#include "os/tls_server_priv.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

enum { VERIFY_DEPTH_MAX = 8, SESSION_S_MAX = 7 * 24 * 3600, HOST_BYTES_MAX = 253 };

/* Forward secret, authenticated; the cheap one first where both sides have AES in hardware. */
static const char suites[] =
    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
static const char suites_before[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
static const char groups[] = "X25519:P-256:P-384";
static const char signatures[] =
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"
    "RSA+SHA256:RSA+SHA384:RSA+SHA512";

static void bytes_free(Buf *buf)
{
    if (buf->ptr)
        OPENSSL_cleanse(buf->ptr, buf->cap);
    buf_done(buf);
}

static void bio_free(BIO **bio)
{
    BIO_free(*bio);
}

static void x509_free(X509 **cert)
{
    X509_free(*cert);
}

static Code pem_open(const TlsOptions *options, const char *path, Buf *bytes, BIO **ret_bio, Err *err)
{
    buf_init(bytes, TLS_FILE_BYTES_MAX);
    TRY(os_read_whole(options->os, path, bytes, err));
    *ret_bio = BIO_new_mem_buf(bytes->ptr ? bytes->ptr : "", (int)bytes->len);
    ASSERT(*ret_bio);
    return E_OK;
}

/* ---- names ---- */

static void name_add(TlsConfig *config, Str name)
{
    if (name.len == 0 || name.len > HOST_BYTES_MAX || memchr(name.ptr, 0, name.len))
        return;
    config->names = mem_grow(config->names, (config->name_count + 1) * sizeof *config->names);
    TlsName *added = &config->names[config->name_count++];
    *added = (TlsName){ mem_new(name.len + 1), config->count };
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        added->text[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
}

static void names_add(TlsConfig *config, X509 *cert)
{
    GENERAL_NAMES *others = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(others); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(others, i);
        if (name->type == GEN_DNS)
            name_add(config, str_of(ASN1_STRING_get0_data(name->d.dNSName),
                                    (size_t)ASN1_STRING_length(name->d.dNSName)));
    }
    GENERAL_NAMES_free(others);
}

static const TlsName *name_find(const TlsConfig *config, Str name)
{
    for (size_t i = 0; i < config->name_count; i++) {
        if (str_ieq(str_z(config->names[i].text), name))
            return &config->names[i];
    }
    return NULL;
}

SSL_CTX *tls_config_find(const TlsConfig *config, Str name)
{
    char wild[HOST_BYTES_MAX + 2] = "*";
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    const TlsName *found = name_find(config, name);
    ptrdiff_t dot = str_find_char(name, '.');
    if (!found && dot > 0 && name.len - (size_t)dot < sizeof wild - 1) {
        memcpy(wild + 1, name.ptr + dot, name.len - (size_t)dot);
        found = name_find(config, str_of(wild, name.len - (size_t)dot + 1));
    }
    return config->certs[found ? found->cert : 0];
}

static int name_asked(SSL *ssl, int *alert, void *arg)
{
    const TlsConfig *config = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *ctx = tls_config_find(config, str_z(name));
    (void)alert;
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    if (ctx != SSL_get_SSL_CTX(ssl))
        SSL_set_SSL_CTX(ssl, ctx);
    return SSL_TLSEXT_ERR_OK;
}

/* ---- ALPN: our preference; nothing in common ends the handshake (RFC 7301 section 3.2) ---- */

static int alpn_select(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                       const unsigned char *asked, unsigned asked_len, void *arg)
{
    const TlsConfig *config = arg;
    unsigned char *found = NULL;
    (void)ssl;
    if (SSL_select_next_proto(&found, ret_len, config->alpn, (unsigned)config->alpn_len, asked,
                              asked_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = found;
    return SSL_TLSEXT_ERR_OK;
}

static void alpn_put(TlsConfig *config, const TlsOptions *options)
{
    for (size_t i = 0; i < TLS_ALPN_MAX && options->alpn[i].len > 0; i++) {
        Str name = options->alpn[i];
        ASSERT(name.len < 256 && config->alpn_len + 1 + name.len <= sizeof config->alpn);
        config->alpn[config->alpn_len++] = (uint8_t)name.len;
        memcpy(config->alpn + config->alpn_len, name.ptr, name.len);
        config->alpn_len += name.len;
    }
}

/* ---- contexts ---- */

/* Clients' certificates; a ticket of a session opens only where the same ones are asked for. */
static Code client_set(SSL_CTX *ctx, const TlsOptions *options, Err *err)
{
    Buf bytes AUTO(bytes_free) = { 0 };
    BIO *bio AUTO(bio_free) = NULL;
    uint8_t context[32] = { 0 };
    size_t count = 0;
    if (options->client != TLS_CLIENT_OFF) {
        ASSERT(options->client_ca_path);
        TRY(pem_open(options, options->client_ca_path, &bytes, &bio, err));
        for (X509 *ca; (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)); count++) {
            bool added = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1 &&
                         SSL_CTX_add_client_CA(ctx, ca) == 1;
            X509_free(ca);
            if (!added)
                return tls_failed(err, E_INVALID, "authority of clients", options->client_ca_path);
        }
        if (count == 0)
            return tls_failed(err, E_INVALID, "authority of clients", options->client_ca_path);
        ERR_clear_error();
        bool required = options->client == TLS_CLIENT_REQUIRED;
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
        SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH_MAX);
        buf_put_char(&bytes, required ? 'r' : 'o');
    }
    ASSERT(EVP_Digest(bytes.ptr ? bytes.ptr : "", bytes.len, context, NULL, EVP_sha256(), NULL) == 1);
    ASSERT(SSL_CTX_set_session_id_context(ctx, context, sizeof context) == 1);
    return E_OK;
}

static void sessions_set(SSL_CTX *ctx, TlsServer *server, const TlsOptions *options)
{
    uint64_t period_ms = options->ticket_ms ? options->ticket_ms : TLS_TICKET_MS;
    SSL_CTX_set_app_data(ctx, server);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, (long)MIN(MAX(period_ms / 500, (uint64_t)1), (uint64_t)SESSION_S_MAX));
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_ticket_key);
    ASSERT(SSL_CTX_set_session_ticket_cb(ctx, NULL, tls_ticket_opened, server) == 1);
}

static Code context_new(TlsServer *server, const TlsOptions *options, TlsConfig *config,
                        SSL_CTX **ret_ctx, Err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ASSERT(ctx);
    *ret_ctx = ctx;
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    ASSERT(SSL_CTX_set_min_proto_version(ctx, options->least == TLS_1_2 ? TLS1_2_VERSION
                                                                        : TLS1_3_VERSION) == 1);
    ASSERT(SSL_CTX_set_ciphersuites(ctx, suites) == 1 && SSL_CTX_set_cipher_list(ctx, suites_before) == 1 &&
           SSL_CTX_set1_groups_list(ctx, groups) == 1 && SSL_CTX_set1_sigalgs_list(ctx, signatures) == 1);
    SSL_CTX_set_tlsext_servername_callback(ctx, name_asked);
    SSL_CTX_set_tlsext_servername_arg(ctx, config);
    if (config->alpn_len > 0)
        SSL_CTX_set_alpn_select_cb(ctx, alpn_select, config);
    sessions_set(ctx, server, options);
    return client_set(ctx, options, err);
}

static Code chain_load(SSL_CTX *ctx, const TlsOptions *options, const char *path, TlsConfig *config,
                       Err *err)
{
    Buf bytes AUTO(bytes_free) = { 0 };
    BIO *bio AUTO(bio_free) = NULL;
    struct tm until;
    TRY(pem_open(options, path, &bytes, &bio, err));
    X509 *cert AUTO(x509_free) = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    if (!cert || SSL_CTX_use_certificate(ctx, cert) != 1 ||
        ASN1_TIME_to_tm(X509_get0_notAfter(cert), &until) != 1)
        return tls_failed(err, E_INVALID, "certificate", path);
    for (X509 *issuer; (issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL));) {
        if (SSL_CTX_add0_chain_cert(ctx, issuer) != 1) {
            X509_free(issuer);
            return tls_failed(err, E_INVALID, "certificate", path);
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return tls_failed(err, E_INVALID, "certificate", path);
    ERR_clear_error();
    int64_t expires_s = timegm(&until);
    config->expires_s = config->count == 0 ? expires_s : MIN(config->expires_s, expires_s);
    names_add(config, cert);
    return E_OK;
}

static int no_password(char *text, int size, int writes, void *arg)
{
    (void)text, (void)size, (void)writes, (void)arg;
    return -1;
}

static Code key_load(SSL_CTX *ctx, const TlsOptions *options, const TlsCert *cert, Err *err)
{
    Buf bytes AUTO(bytes_free) = { 0 };
    BIO *bio AUTO(bio_free) = NULL;
    TRY(pem_open(options, cert->key_path, &bytes, &bio, err));
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    if (!key)
        return tls_failed(err, E_INVALID, "key (PEM, without a password)", cert->key_path);
    bool fits = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    if (fits)
        return E_OK;
    Code code = tls_failed(err, E_INVALID, "key", cert->key_path);
    return err_hint(err, code, "it must be that of the certificate '%s'", cert->cert_path);
}

Code tls_config_new(TlsServer *server, const TlsOptions *options, TlsConfig **ret_config, Err *err)
{
    TlsConfig *config AUTO(tls_config_free) = mem_new(sizeof *config);
    atomic_init(&config->refs, 1);
    if (options->cert_count == 0 || options->cert_count > TLS_CERTS_MAX)
        return err_set(err, E_INVALID, "TLS needs 1 to %d certificates", TLS_CERTS_MAX);
    if (options->client != TLS_CLIENT_OFF && !options->client_ca_path)
        return err_set(err, E_INVALID, "certificates of clients need an authority to check them by");
    alpn_put(config, options);
    for (size_t i = 0; i < options->cert_count; i++) {
        const TlsCert *cert = &options->certs[i];
        SSL_CTX **ctx = &config->certs[i];
        TRY(context_new(server, options, config, ctx, err));
        TRY(chain_load(*ctx, options, cert->cert_path, config, err));
        TRY(key_load(*ctx, options, cert, err));
        config->count++;
    }
    *ret_config = TAKE(config);
    return E_OK;
}

void tls_config_free(TlsConfig **config_at)
{
    TlsConfig *config = TAKE(*config_at);
    if (!config)
        return;
    for (size_t i = 0; i < TLS_CERTS_MAX; i++)
        SSL_CTX_free(config->certs[i]);
    for (size_t i = 0; i < config->name_count; i++)
        mem_free(&config->names[i].text);
    mem_free(&config->names);
    mem_free(&config);
}
