/* Session tickets (RFC 8446 section 4.6.1, RFC 5077 section 4): the state of a session goes to the
 * client, sealed by a key that only this process has.
 *
 * Invariants:
 * 1. `now` seals for one period and is then `before`, which only opens, for one more.
 * 2. Keys are random, never written anywhere, and wiped when they go.
 * 3. A session ends with the client's certificate that it was made with, though it is not verified anew. */
#include "os/tls_server_priv.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

static void keys_turn(TlsServer *server, int64_t now_us)
{
    TicketKeys *keys = &server->tickets;
    int64_t period_us = (int64_t)keys->period_ms * 1000;
    int64_t age_us = now_us - keys->born_us;
    if (keys->born_us != 0 && age_us < period_us)
        return;
    keys->has_before = keys->born_us != 0 && age_us < 2 * period_us;
    keys->before = keys->now;
    if (!keys->has_before)
        OPENSSL_cleanse(&keys->before, sizeof keys->before);
    os_random(server->os, &keys->now, sizeof keys->now);
    keys->born_us = MAX(now_us, (int64_t)1);
}

/* 0: no key has the name; 1: the current one; 2: the one before, the ticket is to be renewed. */
static int key_find(TlsServer *server, const unsigned char *name, TicketKey *ret_key)
{
    MUTEX_HELD(&server->mutex);
    TicketKeys *keys = &server->tickets;
    keys_turn(server, os_monotonic_us(server->os));
    if (!name || memcmp(name, keys->now.name, TICKET_NAME_BYTES) == 0) {
        *ret_key = keys->now;
        return 1;
    }
    if (!keys->has_before || memcmp(name, keys->before.name, TICKET_NAME_BYTES) != 0)
        return 0;
    *ret_key = keys->before;
    return 2;
}

static bool key_use(TicketKey *key, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                    int seals)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_END,
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, seals) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

int tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int seals)
{
    TlsServer *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    TicketKey key;
    int found = key_find(server, seals ? NULL : name, &key);
    if (found == 0)
        return 0;
    if (seals) {
        memcpy(name, key.name, TICKET_NAME_BYTES);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            found = -1;
    }
    if (found > 0 && !key_use(&key, iv, cipher, mac, seals))
        found = -1;
    OPENSSL_cleanse(&key, sizeof key);
    if (found == 1 && !seals && SSL_version(ssl) == TLS1_3_VERSION)
        return 2; /* a ticket is for one use: RFC 8446 appendix C.4 */
    return found;
}

SSL_TICKET_RETURN tls_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                    size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    TlsServer *server = arg;
    X509 *peer = session ? SSL_SESSION_get0_peer(session) : NULL;
    time_t now_s = (time_t)(os_now_us(server->os) / 1000000);
    bool opened = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    (void)ssl, (void)name, (void)name_len;
    if (!opened || (peer && X509_cmp_time(X509_get0_notAfter(peer), &now_s) < 0))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}
