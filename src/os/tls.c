/* The TLS server: what is current, and who still uses what was.
 *
 * Invariants:
 * 1. A TlsConfig never changes; a reload makes a new one and swaps the pointer under the mutex.
 * 2. Each TlsConn holds a reference to the config it was made from, so that an old one goes with its
 *    last connection. */
#include "os/tls_server_priv.h"

#include <openssl/err.h>

Code tls_failed(Err *err, Code code, const char *what, const char *path)
{
    unsigned long number = ERR_peek_last_error();
    const char *reason = number ? ERR_reason_error_string(number) : NULL;
    ERR_clear_error();
    return err_set(err, code, "%s '%s': %s", what, path, reason ? reason : "not usable");
}

TlsConfig *tls_config_take(TlsServer *server)
{
    MUTEX_HELD(&server->mutex);
    atomic_fetch_add(&server->config->refs, 1);
    return server->config;
}

void tls_config_give(TlsConfig **config_at)
{
    TlsConfig *config = TAKE(*config_at);
    if (config && atomic_fetch_sub(&config->refs, 1) == 1)
        tls_config_free(&config);
}

Code tls_server_new(const TlsOptions *options, TlsServer **ret_server, Err *err)
{
    TlsServer *server AUTO(tls_server_free) = mem_new(sizeof *server);
    server->os = options->os;
    server->method = tls_bio_new();
    mutex_init(&server->mutex);
    server->tickets.period_ms = options->ticket_ms ? options->ticket_ms : TLS_TICKET_MS;
    TRY(tls_config_new(server, options, &server->config, err));
    *ret_server = TAKE(server);
    return E_OK;
}

Code tls_server_reload(TlsServer *server, const TlsOptions *options, Err *err)
{
    TlsConfig *fresh AUTO(tls_config_give) = NULL;
    TRY(tls_config_new(server, options, &fresh, err));
    MUTEX_HELD(&server->mutex);
    TlsConfig *old = server->config;
    server->config = fresh;
    fresh = old;
    server->tickets.period_ms = options->ticket_ms ? options->ticket_ms : TLS_TICKET_MS;
    return E_OK;
}

int64_t tls_server_expires(TlsServer *server)
{
    MUTEX_HELD(&server->mutex);
    return server->config->expires_s;
}

void tls_server_free(TlsServer **server_at)
{
    TlsServer *server = TAKE(*server_at);
    if (!server)
        return;
    tls_config_give(&server->config);
    OPENSSL_cleanse(&server->tickets, sizeof server->tickets);
    BIO_meth_free(server->method);
    mutex_done(&server->mutex);
    mem_free(&server);
}
