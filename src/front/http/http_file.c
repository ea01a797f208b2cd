/* Replies that are a cut of an open file.
 *
 * Invariants:
 * 1. `done` runs exactly once: when the bytes have gone, or when it is known that they never will.
 * 2. A wire that sends files itself gets the HttpFile's parts and `done`; else the file is read block
 *    by block as any stream, in the route's lane. */
#include "front/http/http_priv.h"

typedef struct HttpFile {
    HttpReq *r;
    int fd;
    uint64_t at, left;
    void (*done)(void *arg);
    void *arg;
} HttpFile;

static void nothing(void *arg)
{
    (void)arg;
}

static void file_free(HttpFile *file)
{
    file->done(file->arg);
    mem_free(&file);
}

void http_reply_file(HttpReq *r, int status, const char *type, int fd, uint64_t at, uint64_t len,
                     void (*done)(void *arg), void *arg)
{
    done = done ? done : nothing;
    if (http_replied(r)) {
        done(arg);
        return;
    }
    reply_set(r, REPLY_FILE, status, type);
    r->length = (int64_t)len;
    r->file = mem_new(sizeof *r->file);
    *r->file = (HttpFile){ r, fd, at, len, done, arg };
}

void file_drop(HttpReq *r)
{
    HttpFile *file = TAKE(r->file);
    if (file)
        file_free(file);
}

static Code file_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    HttpFile *file = self;
    size_t wanted = (size_t)MIN(file->left, (uint64_t)http_pull_bytes(file->r, HTTP_PULL_BYTES));
    if (!buf_reserve(out, wanted))
        return buf_end(out, "a block of a file", err);
    if (!net_file_read(file->fd, out->ptr + out->len, wanted, file->at))
        return err_set(err, E_CORRUPT, "the file is shorter than its reply");
    out->len += wanted;
    file->at += wanted;
    file->left -= wanted;
    *ret_state = file->left == 0 ? HTTP_PULL_END : HTTP_PULL_MORE;
    return E_OK;
}

static void file_pull_done(void *self)
{
    file_free(self);
}

void file_begin(HttpReq *r)
{
    static const HttpPull pull = { file_pull, file_pull_done };
    HttpFile *file = TAKE(r->file);
    if (r->wire->file || file->left == 0) {
        r->head_sent = true;
        r->wire->head(r, r->length, file->left == 0);
        r->sent_bytes += file->left;
        if (file->left > 0) {
            r->wire->file(r, file->fd, file->at, file->left, file->done, file->arg);
            file->done = nothing;
            r->wire->end(r);
        }
        file_free(file);
        request_over(r);
        return;
    }
    r->reply = REPLY_STREAM;
    r->pull = &pull;
    r->pull_self = file;
    req_pull(r);
}
