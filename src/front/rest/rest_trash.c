/* What was deleted or replaced, and taking it back. */
#include "api/api_trash.h"
#include "front/rest/rest_priv.h"
#include "store/object.h"

void rest_trash(HttpReq *r)
{
    Err err;
    Buf out;
    int64_t limit = 0;
    buf_init(&out, REST_JSON_MAX);
    Code code = rest_number(r, "limit", STORE_LIST_MAX, &limit, &err);
    ApiTrashAsk ask = { .bucket = http_req_arg(r, "bucket"), .prefix = rest_query(r, "prefix"),
                        .cursor = rest_query(r, "cursor"), .limit = (size_t)MIN(limit, (int64_t)STORE_LIST_MAX) };
    if (code == E_OK)
        code = api_trash(rest_call(r), &ask, &out, &err);
    rest_send(r, 200, &out, code, &err);
}

void rest_undelete(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    Code code = api_undelete(rest_call(r), http_req_arg(r, "bucket"), rest_query(r, "key"), rest_query(r, "version"),
                             &out, &err);
    rest_send(r, 201, &out, code, &err);
}
