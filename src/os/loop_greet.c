/* What comes before a connection is the protocol's: who may connect, and the PROXY header. */
#include "os/loop_priv.h"
#include "os/proxy_v2.h"

bool conn_trusted(const LoopListener *listener, const NetAddress *peer, void **ret_seat)
{
    const LoopListen *listen = &listener->listen;
    if (listen->proxy_protocol)
        return listen->trusted(listen->guard, peer);
    return !listen->admit || listen->admit(listen->guard, peer, ret_seat);
}

/* The client is known: admits it and goes on. */
static bool proxy_known(LoopConn *conn)
{
    const LoopListen *listen = &conn->listener->listen;
    if (listen->admit && !listen->admit(listen->guard, &conn->address, &conn->seat)) {
        atomic_fetch_add(&conn->loop->loops->refused, 1);
        conn_refuse(conn->fd, listen);
        conn_die(conn);
        return false;
    }
    conn->admitted = true;
    if (!listen->tls) {
        conn_begin(conn);
        return conn->phase == CONN_OPEN;
    }
    conn->phase = CONN_HANDSHAKE;
    if (conn_tls_new(conn, NULL) == E_OK)
        return true;
    conn_die(conn);
    return false;
}

bool conn_proxy_in(LoopConn *conn, Str *bytes)
{
    ProxyHeader header;
    size_t before = conn->held ? conn->held->len : 0, used = 0;
    Str seen = *bytes;
    if (before > 0) {
        size_t more = MIN(bytes->len, PROXY_V2_BYTES_MAX - before);
        conn_hold(conn, str_sub(*bytes, 0, more));
        seen = buf_str(conn->held);
    }
    switch (proxy_v2_decode(seen, &header, &used)) {
    case PROXY_V2_MORE:
        if (before == 0)
            conn_hold(conn, seen);
        return false;
    case PROXY_V2_REFUSE:
        conn_fail(conn);
        return false;
    case PROXY_V2_DONE:
        break;
    }
    if (header.announces)
        net_address_set(&conn->address, str_of(header.source, header.source_len), header.source_port);
    conn_unhold(conn);
    *bytes = str_from(*bytes, used - before);
    return proxy_known(conn);
}
