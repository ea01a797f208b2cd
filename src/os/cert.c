#include "os/cert.h"

#include "os/net.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

enum {
    SERIAL_BITS = 127, /* random and positive: RFC 5280 section 4.1.2.2 */
    DAY_S = 24 * 3600,
    EARLY_S = 3600,    /* for clocks that are behind */
    HOST_BYTES_MAX = 253,
    CN_BYTES_MAX = 64, /* ub-common-name */
    VERSION_3 = 2
};

typedef struct Made {
    X509 *cert;
    EVP_PKEY *key;
} Made;

static void made_done(Made *made)
{
    X509_free(made->cert);
    EVP_PKEY_free(made->key);
    ERR_clear_error();
}

static Code failed(Err *err, const char *what)
{
    unsigned long number = ERR_peek_last_error();
    const char *reason = number ? ERR_reason_error_string(number) : NULL;
    ERR_clear_error();
    return err_set(err, E_INVALID, "%s: %s", what, reason ? reason : "not usable");
}

static bool serial_set(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool set = number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return set;
}

/* Signed is from an hour ago; one that has expired already began a day before that. */
static bool times_set(X509 *cert, int days)
{
    long end_s = (long)days * DAY_S;
    return X509_gmtime_adj(X509_getm_notBefore(cert), days < 0 ? end_s - DAY_S : -EARLY_S) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), end_s);
}

static Code cert_begin(Str name, int days, Made *made, Err *err)
{
    if (days < -CERT_DAYS_MAX || days > CERT_DAYS_MAX)
        return err_set(err, E_INVALID, "a certificate lasts at most %d days", CERT_DAYS_MAX);
    made->cert = X509_new();
    made->key = EVP_EC_gen("P-256");
    if (!made->cert || !made->key || X509_set_version(made->cert, VERSION_3) != 1 ||
        !serial_set(made->cert) || !times_set(made->cert, days) ||
        X509_set_pubkey(made->cert, made->key) != 1)
        return failed(err, "a certificate cannot be made");
    X509_NAME *subject = X509_get_subject_name(made->cert);
    if (name.len > 0 && name.len <= CN_BYTES_MAX &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name.ptr,
                                   (int)name.len, -1, 0) != 1)
        return failed(err, "the name of a certificate");
    return E_OK;
}

static bool extension_add(X509 *cert, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, kind, value);
    bool added = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static Code pem_put(const Made *made, Buf *cert_pem, Buf *key_pem, Err *err)
{
    BIO *bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
    char *bytes = NULL;
    bool put = bio && key_bio && PEM_write_bio_X509(bio, made->cert) == 1 &&
               PEM_write_bio_PrivateKey(key_bio, made->key, NULL, NULL, 0, NULL, NULL) == 1;
    if (put) {
        long len = BIO_get_mem_data(bio, &bytes);
        buf_put(cert_pem, str_of(bytes, (size_t)len));
        len = BIO_get_mem_data(key_bio, &bytes);
        buf_put(key_pem, str_of(bytes, (size_t)len));
    }
    BIO_free(bio);
    BIO_free(key_bio);
    if (!put)
        return failed(err, "a certificate cannot be written");
    TRY(buf_end(cert_pem, "certificate", err));
    return buf_end(key_pem, "key", err);
}

static bool text_is_plain(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F)
            return false;
    }
    return text.len > 0 && str_is_utf8(text);
}

Code cert_make_ca(const char *name, int days, Buf *ret_cert_pem, Buf *ret_key_pem, Err *err)
{
    Made made AUTO(made_done) = { 0 };
    Str cn = str_z(name);
    if (!text_is_plain(cn) || cn.len > CN_BYTES_MAX)
        return err_set(err, E_INVALID, "the name of an authority has 1 to %d bytes", CN_BYTES_MAX);
    TRY(cert_begin(cn, days, &made, err));
    X509 *cert = made.cert;
    if (X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
        !extension_add(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !extension_add(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !extension_add(cert, cert, NID_subject_key_identifier, "hash") ||
        X509_sign(cert, made.key, EVP_sha256()) <= 0)
        return failed(err, "an authority cannot be made");
    return pem_put(&made, ret_cert_pem, ret_key_pem, err);
}

/* ---- names ---- */

static bool is_host(Str name)
{
    size_t label = 0;
    if (str_starts(name, STR("*.")))
        name = str_from(name, 2);
    if (name.len == 0 || name.len > HOST_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        bool inner = c == '-' && label > 0 && i + 1 < name.len && name.ptr[i + 1] != '.';
        if (c == '.' && label > 0 && i + 1 < name.len)
            label = 0;
        else if (!(letter || inner) || ++label > 63)
            return false;
    }
    return true;
}

static GENERAL_NAME *name_new(int type, Str bytes)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    ASSERT(name && value && ASN1_STRING_set(value, bytes.ptr, (int)bytes.len) == 1);
    GENERAL_NAME_set0_value(name, type, value);
    return name;
}

/* NULL: it is none. */
static GENERAL_NAME *name_parse(Str text, bool server)
{
    NetAddress address;
    char boxed[NET_ADDRESS_TEXT_MAX];
    bool six = str_find_char(text, ':') >= 0;
    int len = text.len > 0 && text.len < 64 ? snprintf(boxed, sizeof boxed, six ? "[" STR_FMT "]:0" : STR_FMT ":0",
                                       STR_ARG(text)) : 0;
    if (len > 0 && !str_eq(text, STR("localhost")) &&
        net_address_parse(str_of(boxed, (size_t)len), &address, NULL) == E_OK)
        return name_new(GEN_IPADD, net_address_host(&address));
    if (is_host(text))
        return name_new(GEN_DNS, text);
    ptrdiff_t at = str_find_char(text, '@');
    if (!server && at > 0 && is_host(str_from(text, (size_t)at + 1)))
        return name_new(GEN_EMAIL, text);
    return NULL;
}

static Code names_add(X509 *cert, const CertLeaf *leaf, Err *err)
{
    bool server = (leaf->use & CERT_SERVER) != 0;
    bool nameless = X509_NAME_entry_count(X509_get_subject_name(cert)) == 0; /* then they are critical */
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    Code code = E_OK;
    ASSERT(names);
    for (size_t i = 0; code == E_OK && i < leaf->name_count; i++) {
        GENERAL_NAME *name = name_parse(leaf->names[i], server);
        if (name)
            ASSERT(sk_GENERAL_NAME_push(names, name) > 0);
        else if (server || !text_is_plain(leaf->names[i]) || leaf->names[i].len > CN_BYTES_MAX || i > 0)
            code = err_set(err, E_INVALID, "'" STR_FMT "' is no name of a host and no address",
                           STR_ARG(leaf->names[i]));
    }
    if (code == E_OK && sk_GENERAL_NAME_num(names) > 0 &&
        X509_add1_ext_i2d(cert, NID_subject_alt_name, names, nameless, X509V3_ADD_APPEND) != 1)
        code = failed(err, "names of a certificate");
    GENERAL_NAMES_free(names);
    return code;
}

/* ---- leaves ---- */

static Code issuer_load(const CertLeaf *leaf, Made *issuer, Err *err)
{
    BIO *bio = BIO_new_mem_buf(leaf->ca_cert_pem.ptr, (int)leaf->ca_cert_pem.len);
    issuer->cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    bio = BIO_new_mem_buf(leaf->ca_key_pem.ptr, (int)leaf->ca_key_pem.len);
    issuer->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"");
    BIO_free(bio);
    if (!issuer->cert || !issuer->key || X509_check_ca(issuer->cert) == 0 ||
        X509_check_private_key(issuer->cert, issuer->key) != 1)
        return failed(err, "the authority's certificate and key");
    return E_OK;
}

Code cert_make_leaf(const CertLeaf *leaf, Buf *ret_cert_pem, Buf *ret_key_pem, Err *err)
{
    Made issuer AUTO(made_done) = { 0 }, made AUTO(made_done) = { 0 };
    bool server = (leaf->use & CERT_SERVER) != 0, client = (leaf->use & CERT_CLIENT) != 0;
    const char *use = server && client ? "serverAuth,clientAuth" : server ? "serverAuth" : "clientAuth";
    ASSERT(server || client);
    if (leaf->name_count == 0 || leaf->name_count > CERT_NAMES_MAX)
        return err_set(err, E_INVALID, "a certificate has 1 to %d names", CERT_NAMES_MAX);
    TRY(issuer_load(leaf, &issuer, err));
    TRY(cert_begin(leaf->names[0], leaf->days, &made, err));
    X509 *cert = made.cert;
    if (X509_set_issuer_name(cert, X509_get_subject_name(issuer.cert)) != 1 ||
        !extension_add(cert, issuer.cert, NID_basic_constraints, "critical,CA:FALSE") ||
        !extension_add(cert, issuer.cert, NID_key_usage, "critical,digitalSignature") ||
        !extension_add(cert, issuer.cert, NID_ext_key_usage, use) ||
        !extension_add(cert, issuer.cert, NID_subject_key_identifier, "hash") ||
        !extension_add(cert, issuer.cert, NID_authority_key_identifier, "keyid:always"))
        return failed(err, "a certificate cannot be made");
    TRY(names_add(cert, leaf, err));
    if (X509_sign(cert, issuer.key, EVP_sha256()) <= 0)
        return failed(err, "a certificate cannot be signed");
    return pem_put(&made, ret_cert_pem, ret_key_pem, err);
}
