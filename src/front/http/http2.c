/* HTTP/2 is not spoken: its preface is refused as a head of HTTP/1.1 would be. */
#include "front/http/http_priv.h"

void http2_open(HttpConn *conn)
{
    http1_open(conn);
}
