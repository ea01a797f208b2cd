#include "os/cert.h"

#include "base/test.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

typedef struct Pems {
    Buf cert, key;
} Pems;

static Pems pems_new(void)
{
    return (Pems){ { .max = CERT_PEM_BYTES_MAX }, { .max = CERT_PEM_BYTES_MAX } };
}

static void pems_done(Pems *pems)
{
    buf_done(&pems->cert);
    buf_done(&pems->key);
}

static X509 *parsed(const Buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    CHECK(cert != NULL);
    return cert;
}

/* What a strict verifier says of a leaf under a CA; X509_V_OK is 0. */
static int verified(const Pems *ca, const Pems *leaf, int purpose, const char *host, const char *ip)
{
    X509 *root = parsed(&ca->cert), *cert = parsed(&leaf->cert);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, root);
    CHECK_INT(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_purpose(param, purpose);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    if (host)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    if (ip)
        X509_VERIFY_PARAM_set1_ip_asc(param, ip);
    int code = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(root);
    X509_free(cert);
    ERR_clear_error();
    return code;
}

static Code leaf_make(const Pems *ca, const Str *names, size_t count, int days, CertUse use, Pems *ret,
                      Err *err)
{
    CertLeaf leaf = { buf_str(&ca->cert), buf_str(&ca->key), names, count, days, use };
    return cert_make_leaf(&leaf, &ret->cert, &ret->key, err);
}

TEST(cert_leaves_pass_a_strict_verifier)
{
    static const Str names[] = { STR_INIT("lake.example"), STR_INIT("*.lake.example"),
                                 STR_INIT("127.0.0.1"), STR_INIT("::1"), STR_INIT("localhost") };
    Pems ca AUTO(pems_done) = pems_new(), leaf AUTO(pems_done) = pems_new();
    Pems other AUTO(pems_done) = pems_new();
    Err err;
    CHECK_OK(cert_make_ca("tarn local", 365, &ca.cert, &ca.key, &err), &err);
    CHECK_OK(cert_make_ca("tarn local", 365, &other.cert, &other.key, &err), &err);
    CHECK_OK(leaf_make(&ca, names, ARRAY_LEN(names), 30, CERT_SERVER, &leaf, &err), &err);
    CHECK_INT(verified(&ca, &leaf, X509_PURPOSE_SSL_SERVER, "lake.example", NULL), X509_V_OK);
    CHECK_INT(verified(&ca, &leaf, X509_PURPOSE_SSL_SERVER, "a.lake.example", NULL), X509_V_OK);
    CHECK_INT(verified(&ca, &leaf, X509_PURPOSE_SSL_SERVER, "localhost", NULL), X509_V_OK);
    CHECK_INT(verified(&ca, &leaf, X509_PURPOSE_SSL_SERVER, NULL, "127.0.0.1"), X509_V_OK);
    CHECK_INT(verified(&ca, &leaf, X509_PURPOSE_SSL_SERVER, NULL, "::1"), X509_V_OK);
    CHECK_INT(verified(&ca, &leaf, X509_PURPOSE_SSL_SERVER, "else.example", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
    CHECK_INT(verified(&ca, &leaf, X509_PURPOSE_SSL_CLIENT, NULL, NULL), X509_V_ERR_INVALID_PURPOSE);
    CHECK(verified(&other, &leaf, X509_PURPOSE_SSL_SERVER, NULL, NULL) != X509_V_OK);
    CHECK(verified(&leaf, &leaf, X509_PURPOSE_SSL_SERVER, NULL, NULL) != X509_V_OK);
}

TEST(cert_clients_and_times)
{
    static const Str ann[] = { STR_INIT("Ann B\xc3\xa9 (admin)") };
    static const Str mail[] = { STR_INIT("ann@lake.example") };
    Pems ca AUTO(pems_done) = pems_new();
    Err err;
    CHECK_OK(cert_make_ca("tarn local", 365, &ca.cert, &ca.key, &err), &err);
    Pems one AUTO(pems_done) = pems_new(), two AUTO(pems_done) = pems_new();
    Pems old AUTO(pems_done) = pems_new(), both AUTO(pems_done) = pems_new();
    CHECK_OK(leaf_make(&ca, ann, 1, 30, CERT_CLIENT, &one, &err), &err);
    CHECK_INT(verified(&ca, &one, X509_PURPOSE_SSL_CLIENT, NULL, NULL), X509_V_OK);
    CHECK_INT(verified(&ca, &one, X509_PURPOSE_SSL_SERVER, NULL, NULL), X509_V_ERR_INVALID_PURPOSE);
    CHECK_OK(leaf_make(&ca, mail, 1, 30, CERT_CLIENT, &two, &err), &err);
    CHECK_INT(verified(&ca, &two, X509_PURPOSE_SSL_CLIENT, NULL, NULL), X509_V_OK);
    CHECK_OK(leaf_make(&ca, ann, 1, -1, CERT_CLIENT, &old, &err), &err);
    CHECK_INT(verified(&ca, &old, X509_PURPOSE_SSL_CLIENT, NULL, NULL), X509_V_ERR_CERT_HAS_EXPIRED);
    CHECK_OK(leaf_make(&ca, mail, 1, 30, CERT_SERVER | CERT_CLIENT, &both, NULL) == E_INVALID ? E_OK : E_IO, &err);
    CHECK_CODE(leaf_make(&ca, ann, 1, CERT_DAYS_MAX + 1, CERT_CLIENT, &both, &err), E_INVALID);
}

TEST(cert_names_that_are_none)
{
    static const char *const rows[] = { "", " ", "a b", "-a.test", "a-.test", "a..test", ".test", "a.*",
                                        "*", "*.", "a/b", "a@b.test", "1.2.3.4.", "[::1]", "a\nb" };
    Pems ca AUTO(pems_done) = pems_new(), leaf AUTO(pems_done) = pems_new();
    Err err;
    CHECK_OK(cert_make_ca("tarn local", 365, &ca.cert, &ca.key, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Str names[] = { STR("good.test"), str_z(rows[i]) };
        CHECK_CODE(leaf_make(&ca, names, 2, 30, CERT_SERVER, &leaf, &err), E_INVALID);
    }
    CHECK_CODE(leaf_make(&ca, NULL, 0, 30, CERT_SERVER, &leaf, &err), E_INVALID);
    CHECK_CODE(cert_make_ca("", 30, &ca.cert, &ca.key, &err), E_INVALID);
    CHECK_INT(leaf.cert.len, 0);
}

TEST(cert_long_names_stand_only_among_the_alternatives)
{
    char name[200];
    Pems ca AUTO(pems_done) = pems_new(), leaf AUTO(pems_done) = pems_new();
    Err err;
    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name; i += 50)
        name[i] = '.';
    Str names[] = { str_of(name, sizeof name - 1) };
    name[sizeof name - 1] = 0;
    CHECK_OK(cert_make_ca("tarn local", 365, &ca.cert, &ca.key, &err), &err);
    CHECK_OK(leaf_make(&ca, names, 1, 30, CERT_SERVER, &leaf, &err), &err);
    CHECK_INT(verified(&ca, &leaf, X509_PURPOSE_SSL_SERVER, name, NULL), X509_V_OK);
}

TEST(cert_authorities_that_are_none)
{
    static const Str names[] = { STR_INIT("a.test") };
    Pems ca AUTO(pems_done) = pems_new(), other AUTO(pems_done) = pems_new();
    Pems leaf AUTO(pems_done) = pems_new(), sub AUTO(pems_done) = pems_new();
    Err err;
    CHECK_OK(cert_make_ca("one", 30, &ca.cert, &ca.key, &err), &err);
    CHECK_OK(cert_make_ca("two", 30, &other.cert, &other.key, &err), &err);
    CertLeaf mixed = { buf_str(&ca.cert), buf_str(&other.key), names, 1, 30, CERT_SERVER };
    CHECK_CODE(cert_make_leaf(&mixed, &leaf.cert, &leaf.key, &err), E_INVALID);
    mixed.ca_key_pem = STR("nothing");
    CHECK_CODE(cert_make_leaf(&mixed, &leaf.cert, &leaf.key, &err), E_INVALID);
    CHECK_OK(leaf_make(&ca, names, 1, 30, CERT_SERVER, &leaf, &err), &err);
    CHECK_CODE(leaf_make(&leaf, names, 1, 30, CERT_SERVER, &sub, &err), E_INVALID);
}
