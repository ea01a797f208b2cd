/* The multi handle of libcurl on a loop, and the life of a fetch.
 *
 * Invariants:
 * 1. libcurl is never called from within its callbacks: what a handler asks for there (start, cancel,
 *    go on) waits on `pending` until libcurl has returned.
 * 2. `done` is called once, from the loop, outside of libcurl; a cancelled fetch has none.
 * 3. A descriptor is watched from libcurl's word on it to the next one; the Watched is libcurl's then.
 *
 *   state of a Fetch         what moves it on                          function
 *   pending, wants_start     libcurl has returned                      pending_run
 *   running                  libcurl says that the try is over         try_over
 *   waits (timer)            the time before the next try is over      try_timer
 *   cancelled                libcurl has returned                      pending_run */
#include "os/fetch_priv.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

/* Loop timers know a few durations: a longer wait is made of those that fit into it. */
static const uint32_t rungs_ms[] = { 10000, 1000, 100, 10, 1 };

static void wait_set(Fetcher *fetcher, LoopTimer *timer, int64_t due_us)
{
    int64_t left_ms = (due_us - os_monotonic_us(fetcher->options.os) + 999) / 1000;
    size_t rung = 0;
    while (rung + 1 < ARRAY_LEN(rungs_ms) && left_ms < rungs_ms[rung])
        rung++;
    loop_timer_set(fetcher->options.loop, timer, rungs_ms[rung]);
}

static bool wait_over(Fetcher *fetcher, LoopTimer *timer, int64_t due_us)
{
    if (os_monotonic_us(fetcher->options.os) >= due_us)
        return true;
    wait_set(fetcher, timer, due_us);
    return false;
}

/* ---- the end of a fetch ---- */

static void fetch_free(Fetch *fetch)
{
    Fetcher *fetcher = fetch->fetcher;
    loop_timer_stop(fetcher->options.loop, &fetch->timer);
    if (fetch->running)
        curl_multi_remove_handle(fetcher->multi, fetch->easy);
    Fetch **place = &fetcher->pending;
    while (*place && *place != fetch)
        place = &(*place)->next_pending;
    if (*place)
        *place = fetch->next_pending;
    if (fetch->prev)
        fetch->prev->next = fetch->next;
    else
        fetcher->first = fetch->next;
    if (fetch->next)
        fetch->next->prev = fetch->prev;
    fetcher->count--;
    curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->headers);
    curl_url_cleanup(fetch->url);
    fetch_reply_done(&fetch->reply);
    arena_done(&fetch->arena);
    mem_free(&fetch);
}

static void finish(Fetch *fetch, Code code, const Err *err)
{
    if (fetch->options.handler->done)
        fetch->options.handler->done(fetch->options.self, code == E_OK ? &fetch->reply : NULL, code, err);
    fetch_free(fetch);
}

/* ---- tries ---- */

static void pend(Fetch *fetch)
{
    if (fetch->pends)
        return;
    fetch->pends = true;
    fetch->next_pending = fetch->fetcher->pending;
    fetch->fetcher->pending = fetch;
}

static void try_start(Fetch *fetch)
{
    Err err;
    err_clear(&err);
    Code code = try_begin(fetch, &err);
    if (code == E_OK && curl_multi_add_handle(fetch->fetcher->multi, fetch->easy) != CURLM_OK)
        code = err_set(&err, E_UNAVAILABLE, "a request could not be started");
    fetch->running = code == E_OK;
    if (code != E_OK)
        finish(fetch, code, &err);
}

static void unpend(Fetch *fetch)
{
    Fetcher *fetcher = fetch->fetcher;
    if (fetch->cancelled) {
        fetch_free(fetch);
    } else if (fetch->wants_start) {
        fetch->wants_start = fetch->wants_resume = false;
        try_start(fetch);
    } else if (fetch->wants_resume && fetch->running) {
        fetch->wants_resume = fetch->paused = fetch->body_paused = false;
        fetcher->inside = true;
        curl_easy_pause(fetch->easy, CURLPAUSE_CONT);
        fetcher->inside = false;
    }
}

static void try_over(Fetch *fetch, int result)
{
    Err err;
    Code code = E_OK;
    err_clear(&err);
    curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
    fetch->running = false;
    if (fetch->cancelled) {
        fetch_free(fetch);
        return;
    }
    switch (try_end(fetch, result, &code, &err)) {
    case TRY_OVER:
        finish(fetch, code, &err);
        break;
    case TRY_AGAIN:
        fetch->reply.tries++;
        fetch->due_us = os_monotonic_us(fetch->fetcher->options.os) + (int64_t)fetch->wait_ms * 1000;
        wait_set(fetch->fetcher, &fetch->timer, fetch->due_us);
        break;
    case TRY_FOLLOWED:
        fetch->wants_start = true;
        pend(fetch);
        break;
    }
}

/* libcurl has returned: what it has finished, and what was asked for meanwhile. */
static void settle(Fetcher *fetcher)
{
    bool more = true;
    while (more) {
        int left;
        CURLMsg *message;
        more = false;
        while ((message = curl_multi_info_read(fetcher->multi, &left))) {
            Fetch *fetch = NULL;
            if (message->msg != CURLMSG_DONE)
                continue;
            int result = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
            try_over(fetch, result);
        }
        while (fetcher->pending) {
            Fetch *fetch = fetcher->pending;
            fetcher->pending = fetch->next_pending;
            fetch->pends = false;
            unpend(fetch);
            more = true;
        }
    }
}

static void act(Fetcher *fetcher, curl_socket_t fd, int events)
{
    int running;
    fetcher->inside = true;
    curl_multi_socket_action(fetcher->multi, fd, events, &running);
    fetcher->inside = false;
    settle(fetcher);
}

static void try_timer(LoopTimer *timer)
{
    Fetch *fetch = (Fetch *)((char *)timer - offsetof(Fetch, timer));
    if (!wait_over(fetch->fetcher, timer, fetch->due_us))
        return;
    Fetcher *fetcher = fetch->fetcher;
    try_start(fetch);
    settle(fetcher);
}

/* ---- libcurl's descriptors and its timer ---- */

typedef struct Watched {
    LoopWatch watch; /* first */
    Fetcher *fetcher;
} Watched;

static void watched_fire(LoopWatch *watch, uint32_t events)
{
    Fetcher *fetcher = ((Watched *)watch)->fetcher;
    int mask = (events & LOOP_IN ? CURL_CSELECT_IN : 0) | (events & LOOP_OUT ? CURL_CSELECT_OUT : 0) |
               (events & LOOP_BROKEN ? CURL_CSELECT_ERR : 0);
    act(fetcher, watch->fd, mask);
}

static int socket_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    Fetcher *fetcher = arg;
    Watched *watched = known;
    Err err;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched)
            loop_watch_stop(fetcher->options.loop, &watched->watch);
        mem_free(&watched);
        curl_multi_assign(fetcher->multi, fd, NULL);
        return 0;
    }
    if (!watched) {
        watched = mem_new(sizeof *watched);
        *watched = (Watched){ .watch = { .fd = fd, .fire = watched_fire }, .fetcher = fetcher };
        curl_multi_assign(fetcher->multi, fd, watched);
    }
    watched->watch.events = (what & CURL_POLL_IN ? LOOP_IN : 0) | (what & CURL_POLL_OUT ? LOOP_OUT : 0);
    return loop_watch_set(fetcher->options.loop, &watched->watch, &err) == E_OK ? 0 : -1;
}

static int timer_set(CURLM *multi, long wait_ms, void *arg)
{
    Fetcher *fetcher = arg;
    (void)multi;
    loop_timer_stop(fetcher->options.loop, &fetcher->timer);
    if (wait_ms < 0)
        return 0;
    fetcher->due_us = os_monotonic_us(fetcher->options.os) + wait_ms * 1000;
    wait_set(fetcher, &fetcher->timer, fetcher->due_us);
    return 0;
}

static void timer_fire(LoopTimer *timer)
{
    Fetcher *fetcher = (Fetcher *)((char *)timer - offsetof(Fetcher, timer));
    if (wait_over(fetcher, timer, fetcher->due_us))
        act(fetcher, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- the fetcher ---- */

static void library_begin(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void options_copy(Fetcher *fetcher, const FetcherOptions *options)
{
    Arena *arena = &fetcher->arena;
    const char **texts[] = { &fetcher->options.agent, &fetcher->options.ca_path, &fetcher->options.cert_path,
                             &fetcher->options.key_path, &fetcher->options.proxy };
    fetcher->options = *options;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = *texts[i] ? str_copy_z(arena, str_z(*texts[i])) : NULL;
    for (size_t i = 0; i < options->resolve_count; i++)
        fetcher->resolve = curl_slist_append(fetcher->resolve, str_copy_z(arena, options->resolve[i]));
}

Code fetcher_new(const FetcherOptions *options, Fetcher **ret_fetcher, Err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    FetchRulesTable *rules = NULL;
    TRY(fetch_rules_new(&options->rules, &rules, err));
    pthread_once(&once, library_begin);
    Fetcher *fetcher = mem_new(sizeof *fetcher);
    fetcher->rules = rules;
    options_copy(fetcher, options);
    fetcher->timer.fire = timer_fire;
    fetcher->multi = curl_multi_init();
    ASSERT(fetcher->multi);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, socket_watch);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, timer_set);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    *ret_fetcher = fetcher;
    return E_OK;
}

/* What another thread has the loop do, waiting. */
typedef struct Ask {
    LoopPost post; /* first */
    Fetcher *fetcher;
    Mutex mutex; /* guards what follows */
    Cond changed;
    bool over;
} Ask;

static void ask_over(Ask *ask)
{
    mutex_lock(&ask->mutex);
    ask->over = true;
    cond_signal(&ask->changed);
    mutex_unlock(&ask->mutex);
}

static void close_run(LoopPost *post)
{
    Ask *ask = (Ask *)post;
    Fetcher *fetcher = ask->fetcher;
    Err err;
    Code code = err_set(&err, E_CANCELLED, "the server ends");
    fetcher->closing = true;
    while (fetcher->first)
        finish(fetcher->first, code, &err);
    curl_multi_cleanup(fetcher->multi);
    loop_timer_stop(fetcher->options.loop, &fetcher->timer);
    ask_over(ask);
}

void fetcher_free(Fetcher **place)
{
    Fetcher *fetcher = *place;
    if (!fetcher)
        return;
    Ask ask = { .post.run = close_run, .fetcher = fetcher };
    mutex_init(&ask.mutex);
    cond_init(&ask.changed);
    loop_post(fetcher->options.loop, &ask.post);
    mutex_lock(&ask.mutex);
    while (!ask.over)
        cond_wait(&ask.changed, &ask.mutex);
    mutex_unlock(&ask.mutex);
    mutex_done(&ask.mutex);
    cond_done(&ask.changed);
    curl_slist_free_all(fetcher->resolve);
    fetch_rules_free(&fetcher->rules);
    arena_done(&fetcher->arena);
    mem_free(place);
}

/* ---- a fetch ---- */

static void fetch_copy(Fetch *fetch, const FetchOptions *from)
{
    Arena *arena = &fetch->arena;
    FetchOptions *to = &fetch->options;
    *to = *from;
    FetchHeader *headers = arena_array(arena, FetchHeader, from->header_count + 1);
    for (size_t i = 0; i < from->header_count; i++)
        headers[i] = (FetchHeader){ str_copy(arena, from->headers[i].name), str_copy(arena, from->headers[i].value),
                                    from->headers[i].secret };
    to->headers = headers;
    to->url = STR_NONE;
    to->method = from->method.len ? str_copy(arena, from->method) : STR("GET");
    to->body = from->body_pull ? STR_NONE : str_copy(arena, from->body);
    to->connect_ms = from->connect_ms ? from->connect_ms : FETCH_CONNECT_MS;
    to->total_ms = from->total_ms ? from->total_ms : FETCH_TOTAL_MS;
    to->stall_ms = from->stall_ms ? from->stall_ms : FETCH_STALL_MS;
    to->reply_max = from->reply_max ? from->reply_max : FETCH_REPLY_MAX;
    to->retry_ms = from->retry_ms ? from->retry_ms : FETCH_RETRY_MS;
    to->retry_ms_max = from->retry_ms_max ? from->retry_ms_max : FETCH_RETRY_MS_MAX;
    to->tries_max = MAX(from->tries_max, 1u);
    fetch->method = to->method;
    fetch->body = to->body;
}

Code fetch_start(Fetcher *fetcher, const FetchOptions *options, Fetch **ret_fetch, Err *err)
{
    ASSERT(options->handler);
    TRY(fetch_options_check(options, err));
    if (fetcher->closing || fetcher->count >= FETCH_AT_ONCE_MAX)
        return err_set(err, E_UNAVAILABLE, "%zu requests of ours are on their way", fetcher->count);
    Fetch *fetch = mem_new(sizeof *fetch);
    fetch->fetcher = fetcher;
    fetch_copy(fetch, options);
    fetch->timer.fire = try_timer;
    fetch->deadline_us = os_monotonic_us(fetcher->options.os) + (int64_t)fetch->options.total_ms * 1000;
    fetch->reply.tries = 1;
    buf_init(&fetch->reply.head, FETCH_HEAD_BYTES_MAX);
    buf_init(&fetch->reply.body, fetch->options.reply_max);
    fetch->next = fetcher->first;
    if (fetch->next)
        fetch->next->prev = fetch;
    fetcher->first = fetch;
    fetcher->count++;
    Code code = fetch_url_set(fetch, options->url, err);
    if (code == E_OK)
        code = try_begin(fetch, err);
    if (code != E_OK) {
        fetch_free(fetch);
        return code;
    }
    *ret_fetch = fetch;
    fetch->wants_start = true;
    pend(fetch);
    if (!fetcher->inside)
        settle(fetcher);
    return E_OK;
}

void fetch_cancel(Fetch *fetch)
{
    fetch->cancelled = true;
    if (fetch->fetcher->inside)
        pend(fetch);
    else
        fetch_free(fetch);
}

static void go_on(Fetch *fetch)
{
    fetch->wants_resume = true;
    pend(fetch);
    if (!fetch->fetcher->inside)
        settle(fetch->fetcher);
}

void fetch_rest(Fetch *fetch, bool resting)
{
    fetch->resting = resting;
    if (!resting && fetch->paused)
        go_on(fetch);
}

void fetch_more(Fetch *fetch)
{
    if (fetch->body_paused)
        go_on(fetch);
}

/* ---- waiting ---- */

typedef struct Wait {
    Ask ask; /* first */
    const FetchOptions *options;
    Fetch *fetch;
    FetchReply reply;
    Code code;
    Err err;
} Wait;

static void wait_head(void *self, Fetch *fetch, const FetchReply *reply)
{
    const FetchOptions *users = ((Wait *)self)->options;
    if (users->handler && users->handler->head)
        users->handler->head(users->self, fetch, reply);
}

static Code wait_bytes(void *self, Fetch *fetch, Str bytes, Err *err)
{
    const FetchOptions *users = ((Wait *)self)->options;
    return users->handler->bytes(users->self, fetch, bytes, err);
}

static void wait_done(void *self, FetchReply *reply, Code code, const Err *err)
{
    Wait *wait = self;
    wait->fetch = NULL;
    wait->code = code;
    wait->err = *err;
    if (reply) {
        wait->reply = *reply;
        *reply = (FetchReply){ 0 };
    }
    ask_over(&wait->ask);
}

static void wait_start(LoopPost *post)
{
    static const FetchHandler collects = { wait_head, NULL, wait_done };
    static const FetchHandler streams = { wait_head, wait_bytes, wait_done };
    Wait *wait = (Wait *)post;
    FetchOptions options = *wait->options;
    options.handler = options.handler && options.handler->bytes ? &streams : &collects;
    options.self = wait;
    err_clear(&wait->err);
    wait->code = fetch_start(wait->ask.fetcher, &options, &wait->fetch, &wait->err);
    if (wait->code != E_OK)
        ask_over(&wait->ask);
}

typedef struct WaitEnd {
    Ask ask; /* first */
    Wait *wait;
} WaitEnd;

static void wait_cancel(LoopPost *post)
{
    WaitEnd *end = (WaitEnd *)post;
    Wait *wait = end->wait;
    if (wait->fetch) {
        fetch_cancel(TAKE(wait->fetch));
        wait->code = err_set(&wait->err, E_CANCELLED, "the request was cancelled");
        ask_over(&wait->ask);
    }
    ask_over(&end->ask);
}

static void ask_begin(Ask *ask, Fetcher *fetcher, void (*run)(LoopPost *post))
{
    ask->post.run = run;
    ask->fetcher = fetcher;
    mutex_init(&ask->mutex);
    cond_init(&ask->changed);
    loop_post(fetcher->options.loop, &ask->post);
}

/* True: it is over; false: `cancel` is raised. */
static bool ask_wait(Ask *ask, const bool *cancel)
{
    enum { LOOK_US = 10000 };
    MUTEX_HELD(&ask->mutex);
    while (!ask->over) {
        if (!cancel)
            cond_wait(&ask->changed, &ask->mutex);
        else if (__atomic_load_n(cancel, __ATOMIC_ACQUIRE))
            return false;
        else
            IGNORE(cond_wait_us(&ask->changed, &ask->mutex, LOOK_US));
    }
    return true;
}

static void ask_done(Ask *ask)
{
    mutex_done(&ask->mutex);
    cond_done(&ask->changed);
}

Code fetch_wait(Fetcher *fetcher, const FetchOptions *options, const bool *cancel, FetchReply *ret_reply,
                Err *err)
{
    Wait wait = { .options = options };
    ask_begin(&wait.ask, fetcher, wait_start);
    if (!ask_wait(&wait.ask, cancel)) {
        WaitEnd end = { .wait = &wait };
        ask_begin(&end.ask, fetcher, wait_cancel);
        ask_wait(&end.ask, NULL);
        ask_wait(&wait.ask, NULL);
        ask_done(&end.ask);
    }
    ask_done(&wait.ask);
    if (wait.code == E_OK)
        *ret_reply = wait.reply;
    else if (err)
        *err = wait.err;
    return wait.code;
}

Str fetch_reply_header(const FetchReply *reply, const char *name)
{
    Str rest = buf_str(&reply->head), line;
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        ptrdiff_t colon = str_find_char(line, ':');
        if (colon > 0 && str_ieq(str_sub(line, 0, (size_t)colon), str_z(name)))
            return str_trim(str_from(line, (size_t)colon + 1));
    }
    return STR_NONE;
}

void fetch_reply_done(FetchReply *reply)
{
    buf_done(&reply->head);
    buf_done(&reply->body);
}
