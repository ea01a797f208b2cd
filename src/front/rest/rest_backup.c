/* The lake holds still for a copy: begin, again, end. */
#include "front/rest/rest_priv.h"

enum { BACKUP_REPLY_MAX = 4096 };

void rest_backup_begin(HttpReq *r)
{
    Err err;
    Buf out;
    buf_init(&out, BACKUP_REPLY_MAX);
    rest_send(r, 201, &out, api_backup_begin(rest_call(r), &out, &err), &err);
}

void rest_backup_renew(HttpReq *r)
{
    Err err;
    if (api_backup_renew(rest_call(r), http_req_arg(r, "id"), &err) != E_OK)
        http_reply_problem(r, &err);
    else
        http_reply(r, 200, REST_JSON, STR("{\"renewed\":true}\n"));
}

static Code backup_end(HttpReq *r, Err *err)
{
    int64_t copied;
    TRY(rest_number(r, "copied", 0, &copied, err));
    return api_backup_end(rest_call(r), http_req_arg(r, "id"), (uint64_t)MAX(copied, (int64_t)0), err);
}

void rest_backup_end(HttpReq *r)
{
    Err err;
    if (backup_end(r, &err) != E_OK)
        http_reply_problem(r, &err);
    else
        http_reply(r, 200, REST_JSON, STR("{\"ended\":true}\n"));
}
