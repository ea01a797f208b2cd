/* One TLS connection: OpenSSL between two pieces of memory.
 *
 * Invariants:
 * 1. The BIO reads `work->in` and writes `work->out` of the call that is under way, and never a socket.
 * 2. `in` is used up before a call says MORE: what is left of a record waits inside OpenSSL.
 * 3. After BROKEN nothing but tls_conn_free and tls_conn_left is done with OpenSSL's object.
 * 4. OpenSSL's queue of errors is empty between calls. */
#include "os/tls_server_priv.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { OUT_BYTES_MAX = 4 << 20, PEER_NAME_MAX = 256 };

struct TlsConn {
    SSL *ssl;
    TlsWork *work;
    TlsConfig *config;
    TlsLeft left;
    char *peer_name;
    TlsInfo info;
    bool ready, broken;
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *bytes, int len)
{
    TlsConn *conn = BIO_get_data(bio);
    Str *in = &conn->work->in;
    size_t taken = MIN((size_t)MAX(len, 0), in->len);
    BIO_clear_retry_flags(bio);
    if (taken == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(bytes, in->ptr, taken);
    *in = str_from(*in, taken);
    return (int)taken;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    TlsConn *conn = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    buf_put(&conn->work->out, str_of(bytes, (size_t)len));
    return conn->work->out.over ? -1 : len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop");
    ASSERT(method && BIO_meth_set_read(method, bio_read) == 1 &&
           BIO_meth_set_write(method, bio_write) == 1 && BIO_meth_set_ctrl(method, bio_ctrl) == 1);
    return method;
}

TlsWork *tls_work_new(size_t plain_cap)
{
    TlsWork *work = mem_new(sizeof *work);
    work->plain = mem_grow(NULL, plain_cap);
    work->plain_cap = plain_cap;
    buf_init(&work->out, OUT_BYTES_MAX);
    return work;
}

void tls_work_free(TlsWork **work)
{
    if (!*work)
        return;
    OPENSSL_cleanse((*work)->plain, (*work)->plain_cap);
    mem_free(&(*work)->plain);
    buf_done(&(*work)->out);
    mem_free(work);
}

/* ---- life ---- */

Code tls_conn_new(TlsServer *server, TlsWork *work, TlsConn **ret_conn, Err *err)
{
    TlsConn *conn AUTO(tls_conn_free) = mem_new(sizeof *conn);
    conn->work = work;
    conn->config = tls_config_take(server);
    conn->ssl = SSL_new(conn->config->certs[0]);
    BIO *bio = conn->ssl ? BIO_new(server->method) : NULL;
    if (!bio) {
        ERR_clear_error();
        return err_set(err, E_UNAVAILABLE, "no TLS connection can be made");
    }
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    SSL_set_bio(conn->ssl, bio, bio);
    SSL_set_accept_state(conn->ssl);
    *ret_conn = TAKE(conn);
    return E_OK;
}

void tls_conn_free(TlsConn **conn_at)
{
    TlsConn *conn = TAKE(*conn_at);
    if (!conn)
        return;
    SSL_free(conn->ssl);
    tls_config_give(&conn->config);
    mem_free(&conn->left.ptr);
    mem_free(&conn->peer_name);
    mem_free(&conn);
}

static TlsStep conn_break(TlsConn *conn)
{
    ERR_clear_error();
    conn->broken = true;
    return TLS_BROKEN;
}

/* ---- what is known about the peer ---- */

static bool text_is_plain(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F)
            return false;
    }
    return text.len > 0 && text.len <= PEER_NAME_MAX && str_is_utf8(text);
}

static bool peer_name_set(TlsConn *conn, const ASN1_STRING *string)
{
    unsigned char *text = NULL;
    int len = string ? ASN1_STRING_to_UTF8(&text, string) : -1;
    bool plain = len > 0 && text_is_plain(str_of(text, (size_t)len));
    if (plain) {
        conn->peer_name = mem_new((size_t)len);
        memcpy(conn->peer_name, text, (size_t)len);
        conn->info.peer_name = str_of(conn->peer_name, (size_t)len);
    }
    OPENSSL_free(text);
    return plain;
}

static void peer_name_find(TlsConn *conn, X509 *cert)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0 && peer_name_set(conn, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))))
        return;
    GENERAL_NAMES *others = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(others); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(others, i);
        bool text = name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI;
        if (text && peer_name_set(conn, name->d.ia5))
            break;
    }
    GENERAL_NAMES_free(others);
}

static void info_set(TlsConn *conn)
{
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    X509 *cert = SSL_get0_peer_certificate(conn->ssl);
    Str name = str_z(SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name));
    SSL_get0_alpn_selected(conn->ssl, &alpn, &alpn_len);
    conn->info.alpn = str_of(alpn, alpn_len);
    conn->info.server_name = text_is_plain(name) ? name : STR_NONE;
    conn->info.version = str_z(SSL_get_version(conn->ssl));
    conn->info.cipher = str_z(SSL_CIPHER_standard_name(SSL_get_current_cipher(conn->ssl)));
    conn->info.resumed = SSL_session_reused(conn->ssl) == 1;
    if (cert && SSL_get_verify_result(conn->ssl) == X509_V_OK)
        peer_name_find(conn, cert);
}

/* ---- bytes ---- */

TlsStep tls_conn_handshake(TlsConn *conn)
{
    if (conn->broken)
        return TLS_BROKEN;
    int done = SSL_do_handshake(conn->ssl);
    if (done == 1) {
        conn->ready = true;
        info_set(conn);
        ERR_clear_error(); /* looking at certificates may leave some */
        return TLS_READY;
    }
    return SSL_get_error(conn->ssl, done) == SSL_ERROR_WANT_READ ? TLS_MORE : conn_break(conn);
}

TlsStep tls_conn_open(TlsConn *conn, size_t *ret_len)
{
    TlsWork *work = conn->work;
    size_t len = 0;
    *ret_len = 0;
    if (conn->broken)
        return TLS_BROKEN;
    while (work->in.len > 0 && work->plain_cap - len >= TLS_RECORD_BYTES_MAX) {
        int got = SSL_read(conn->ssl, work->plain + len, (int)(work->plain_cap - len));
        if (got <= 0) {
            *ret_len = len;
            int number = SSL_get_error(conn->ssl, got);
            if (number == SSL_ERROR_ZERO_RETURN)
                return TLS_ENDED;
            return number == SSL_ERROR_WANT_READ ? TLS_MORE : conn_break(conn);
        }
        len += (size_t)got;
    }
    *ret_len = len;
    return work->in.len > 0 ? TLS_READY : TLS_MORE;
}

bool tls_conn_seal(TlsConn *conn, Str bytes)
{
    while (!conn->broken && bytes.len > 0) {
        int put = SSL_write(conn->ssl, bytes.ptr, (int)MIN(bytes.len, (size_t)TLS_RECORD_BYTES_MAX));
        if (put <= 0)
            conn_break(conn);
        else
            bytes = str_from(bytes, (size_t)put);
    }
    return !conn->broken;
}

void tls_conn_end(TlsConn *conn)
{
    if (!conn->ready || conn->broken)
        return;
    if (SSL_shutdown(conn->ssl) < 0)
        conn_break(conn);
}

void tls_conn_slim(TlsConn *conn)
{
    if (!conn->broken)
        IGNORE(SSL_free_buffers(conn->ssl) != 1); /* half a record is there: next time */
}

const TlsInfo *tls_conn_info(const TlsConn *conn)
{
    return &conn->info;
}

TlsLeft *tls_conn_left(TlsConn *conn)
{
    return &conn->left;
}
