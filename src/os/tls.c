#include "os/tls_priv.h"
Code tls_server_new(const TlsOptions *options, TlsServer **ret_server, Err *err)
{ (void)options; (void)ret_server; return err_set(err, E_UNAVAILABLE, "TLS is not there"); }
Code tls_server_reload(TlsServer *server, const TlsOptions *options, Err *err)
{ (void)options; (void)server; return err_set(err, E_UNAVAILABLE, "TLS is not there"); }
int64_t tls_server_expires(TlsServer *server) { (void)server; return 0; }
void tls_server_free(TlsServer **server) { (void)server; }
TlsWork *tls_work_new(size_t plain_cap) { (void)plain_cap; return NULL; }
void tls_work_free(TlsWork **work) { (void)work; }
Code tls_conn_new(TlsServer *server, TlsWork *work, TlsConn **ret_conn, Err *err)
{ (void)server; (void)work; (void)ret_conn; return err_set(err, E_UNAVAILABLE, "TLS is not there"); }
void tls_conn_free(TlsConn **conn) { (void)conn; }
TlsStep tls_conn_handshake(TlsConn *conn) { (void)conn; return TLS_BROKEN; }
TlsStep tls_conn_open(TlsConn *conn, size_t *ret_len) { (void)conn; (void)ret_len; return TLS_BROKEN; }
bool tls_conn_seal(TlsConn *conn, Str bytes) { (void)conn; (void)bytes; return false; }
void tls_conn_end(TlsConn *conn) { (void)conn; }
const TlsInfo *tls_conn_info(const TlsConn *conn) { (void)conn; return NULL; }
TlsLeft *tls_conn_left(TlsConn *conn) { (void)conn; return NULL; }
