/* The lake holds still for a copy: begin, again, end; and afterwards: it is whole. */
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

void rest_backup_end(HttpReq *r)
{
    Err err;
    if (api_backup_end(rest_call(r), http_req_arg(r, "id"), &err) != E_OK)
        http_reply_problem(r, &err);
    else
        http_reply(r, 200, REST_JSON, STR("{\"ended\":true}\n"));
}

static Code backup_verified(HttpReq *r, Err *err)
{
    int64_t sequence;
    TRY(rest_number(r, "sequence", -1, &sequence, err));
    if (sequence < 0)
        return err_hint(err, err_set(err, E_INVALID, "`sequence` is missing"),
                        "it is that of the reply of POST /v1/backups");
    return api_backup_verified(rest_call(r), http_req_arg(r, "id"), (uint64_t)sequence, err);
}

void rest_backup_verified(HttpReq *r)
{
    Err err;
    if (backup_verified(r, &err) != E_OK)
        http_reply_problem(r, &err);
    else
        http_reply(r, 200, REST_JSON, STR("{\"noted\":true}\n"));
}
