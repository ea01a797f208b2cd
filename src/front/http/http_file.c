/* Replies that are a cut of an open file.
 *
 * Invariants:
 * 1. `done` runs exactly once: when the bytes have gone, or when it is known that they never will.
 * 2. A wire that sends files itself gets the HttpFile's parts and `done`; else the file is read block
 *    by block as any stream, in the route's lane.
 * 3. While the socket has a cut (`sending`) nothing is pulled for its request; a cut begins behind what
 *    was pulled before it, and `seek` comes before the next pull. */
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

/* ---- streams that stand in files ---- */

_Static_assert((int)HTTP_CUT_ROOM_BYTES <= (int)LOOP_READ_BYTES, "the room is the loop's");
enum { CUT_BACKOFF_MAX = 16 }; /* blocks that are pulled behind a cut that got nowhere */

typedef struct HttpCutting {
    LoopCut cut; /* first */
    HttpReq *r;
    const HttpCuts *cuts;
    void *self;
    uint64_t from; /* where the cut that is sent begins */
    uint64_t pulled_to; /* up to there the next bytes are pulled */
    size_t backoff; /* blocks of it: twice as many each time that nothing went */
    bool sending;
} HttpCutting;

static size_t cut_check(LoopCut *cut, uint64_t at, size_t len, char *room, int *ret_fd, uint64_t *ret_file_at)
{
    HttpCutting *c = (HttpCutting *)cut;
    return c->cuts->check(c->self, c->from + at, len, room, ret_fd, ret_file_at);
}

static void cut_over(LoopCut *cut, uint64_t sent)
{
    HttpCutting *c = (HttpCutting *)cut;
    c->sending = false;
    c->r->sent_bytes += sent;
    c->backoff = sent > 0 ? 1 : MIN(MAX(c->backoff, (size_t)1) * 2, (size_t)CUT_BACKOFF_MAX);
    c->pulled_to = c->r->sent_bytes + c->backoff * HTTP_PULL_BYTES;
    c->cuts->seek(c->self, c->r->sent_bytes);
}

void http_reply_cuts(HttpReq *r, const HttpCuts *cuts, void *self)
{
    if (r->reply != REPLY_STREAM || r->length < 0 || !r->wire->file_cuts)
        return;
    HttpCutting *c = r->cutting = arena_new(&r->arena, HttpCutting);
    *c = (HttpCutting){ .cut = { cut_check, cut_over }, .r = r, .cuts = cuts, .self = self };
}

/* The cut begins when all before has left memory, and is charged nothing. */
bool cuts_go(HttpReq *r)
{
    if (r->phase != REQ_SENDING || r->finishing || r->running)
        return false; /* before anything that a worker writes is looked at */
    HttpCutting *c = r->cutting;
    if (!c || !r->head_sent || r->pull_self != c->self)
        return false;
    if (c->sending)
        return true;
    uint64_t left = (uint64_t)r->length - r->sent_bytes;
    if (left == 0) {
        stream_sent(r);
        return true;
    }
    if (r->sent_bytes < c->pulled_to)
        return false;
    if (r->wire->queued(r) > 0)
        return true;
    reply_hold(r); /* gives back */
    c->from = r->sent_bytes;
    c->sending = true;
    if (r->wire->file_cuts(r, left, &c->cut))
        return true;
    r->cutting = NULL;
    return false;
}
