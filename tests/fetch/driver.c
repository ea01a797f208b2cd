/* One request of os/fetch.h from the command line, its outcome as a line of JSON: tests/fetch/test_fetch.py
 * drives it against servers that misbehave.
 *
 *   fetch_driver [--method M] [--header N:V] [--secret N:V] [--body TEXT] [--pull BYTES] [--user]
 *       [--connect MS] [--total MS] [--stall MS] [--max BYTES] [--redirects N] [--tries N] [--retry MS]
 *       [--retry-max MS] [--http1] [--http2] [--ca F] [--cert F] [--key F] [--proxy URL] [--resolve R]
 *       [--network N] [--host H] [--cancel MS] [--repeat N] [--stream] URL */
#include "os/fetch.h"

#include "base/text.h"
#include "format/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 32, SHOWN_MAX = 4096 };

typedef struct Setup {
    FetcherOptions fetcher;
    FetchOptions options;
    FetchHeader headers[LIST_MAX];
    Str resolve[LIST_MAX], networks[LIST_MAX], hosts[LIST_MAX];
    uint64_t pull, pulled, streamed;
    int repeat, cancel_ms;
    bool cancel, streams;
} Setup;

static FetchMore pull(void *arg, void *bytes, size_t cap, size_t *ret_len)
{
    Setup *setup = arg;
    size_t len = (size_t)MIN((uint64_t)cap, setup->pull - setup->pulled);
    memset(bytes, 'p', len);
    setup->pulled += len;
    *ret_len = len;
    return len > 0 ? FETCH_MORE : FETCH_END;
}

static Code take(void *self, Fetch *fetch, Str bytes, Err *err)
{
    (void)fetch;
    (void)err;
    ((Setup *)self)->streamed += bytes.len;
    return E_OK;
}

static const FetchHandler streams = { .bytes = take };

static void header_add(Setup *setup, const char *text, bool secret)
{
    const char *colon = strchr(text, ':');
    if (!colon || setup->options.header_count == LIST_MAX)
        exit(2);
    setup->headers[setup->options.header_count++] =
        (FetchHeader){ str_of(text, (size_t)(colon - text)), str_z(colon + 1), secret };
}

static bool flag(Setup *setup, const char *name)
{
    if (strcmp(name, "--user") == 0)
        setup->options.from_user = true;
    else if (strcmp(name, "--http1") == 0)
        setup->options.version = FETCH_HTTP_1;
    else if (strcmp(name, "--http2") == 0)
        setup->options.version = FETCH_HTTP_2;
    else if (strcmp(name, "--stream") == 0)
        setup->streams = true;
    else
        return false;
    return true;
}

static bool number(Setup *setup, const char *name, const char *value)
{
    FetchOptions *o = &setup->options;
    const struct {
        const char *name;
        uint32_t *place;
    } rows[] = { { "--connect", &o->connect_ms }, { "--total", &o->total_ms }, { "--stall", &o->stall_ms },
                 { "--redirects", &o->redirects_max }, { "--tries", &o->tries_max }, { "--retry", &o->retry_ms },
                 { "--retry-max", &o->retry_ms_max }, { "--repeat", (uint32_t *)&setup->repeat },
                 { "--cancel", (uint32_t *)&setup->cancel_ms } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(name, rows[i].name) == 0) {
            *rows[i].place = (uint32_t)strtoul(value, NULL, 10);
            return true;
        }
    }
    if (strcmp(name, "--max") == 0)
        o->reply_max = strtoull(value, NULL, 10);
    else if (strcmp(name, "--pull") == 0)
        setup->pull = strtoull(value, NULL, 10);
    else
        return false;
    return true;
}

static bool text(Setup *setup, const char *name, const char *value)
{
    FetcherOptions *f = &setup->fetcher;
    if (strcmp(name, "--method") == 0)
        setup->options.method = str_z(value);
    else if (strcmp(name, "--body") == 0)
        setup->options.body = str_z(value);
    else if (strcmp(name, "--ca") == 0)
        f->ca_path = value;
    else if (strcmp(name, "--cert") == 0)
        f->cert_path = value;
    else if (strcmp(name, "--key") == 0)
        f->key_path = value;
    else if (strcmp(name, "--proxy") == 0)
        f->proxy = value;
    else if (strcmp(name, "--resolve") == 0)
        setup->resolve[f->resolve_count++] = str_z(value);
    else if (strcmp(name, "--network") == 0)
        setup->networks[f->rules.network_count++] = str_z(value);
    else if (strcmp(name, "--host") == 0)
        setup->hosts[f->rules.host_count++] = str_z(value);
    else if (strcmp(name, "--header") == 0)
        header_add(setup, value, false);
    else if (strcmp(name, "--secret") == 0)
        header_add(setup, value, true);
    else
        return false;
    return true;
}

static void *cancel_later(void *arg)
{
    Setup *setup = arg;
    Mutex mutex;
    Cond never;
    mutex_init(&mutex);
    cond_init(&never);
    mutex_lock(&mutex);
    IGNORE(cond_wait_us(&never, &mutex, (int64_t)setup->cancel_ms * 1000));
    mutex_unlock(&mutex);
    __atomic_store_n(&setup->cancel, true, __ATOMIC_RELEASE);
    return NULL;
}

static void say(const Setup *setup, Code code, const Err *err, const FetchReply *reply, int64_t took_us)
{
    Buf out AUTO(buf_done);
    buf_init(&out, 1 << 20);
    JsonWriter w = json_writer(&out);
    json_begin_object(&w);
    json_field_str(&w, "code", str_z(code_info(code)->name));
    json_field_i64(&w, "ms", took_us / 1000);
    if (code == E_OK) {
        json_field_i64(&w, "status", reply->status);
        json_field_i64(&w, "tries", reply->tries);
        json_field_i64(&w, "redirects", reply->redirects);
        json_field_i64(&w, "version", reply->version);
        json_field_u64(&w, "bytes", setup->streams ? setup->streamed : reply->body.len);
        json_field_str(&w, "head", buf_str(&reply->head));
        json_field_str(&w, "body", str_sub(buf_str(&reply->body), 0, SHOWN_MAX));
    } else {
        json_field_str(&w, "error", str_z(err->text));
        json_field_str(&w, "place", str_z(err->place));
    }
    json_end_object(&w);
    printf(STR_FMT "\n", STR_ARG(buf_str(&out)));
}

static void run(Setup *setup, Fetcher *fetcher)
{
    Thread thread = { 0 };
    Err err;
    Os *os = os_real();
    if (setup->cancel_ms && thread_start(&thread, "cancel", cancel_later, setup, &err) != E_OK)
        exit(2);
    for (int i = 0; i < MAX(setup->repeat, 1); i++) {
        FetchReply reply = { 0 };
        int64_t began_us = os_monotonic_us(os);
        err_clear(&err);
        setup->streamed = setup->pulled = 0;
        Code code = fetch_wait(fetcher, &setup->options, &setup->cancel, &reply, &err);
        say(setup, code, &err, &reply, os_monotonic_us(os) - began_us);
        fetch_reply_done(&reply);
    }
    thread_join(&thread);
}

int main(int argc, char **argv)
{
    static Setup setup;
    Loops *loops = NULL;
    Fetcher *fetcher = NULL;
    Err err;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-')
            setup.options.url = str_z(argv[i]);
        else if (flag(&setup, argv[i]))
            continue;
        else if (i + 1 >= argc || (!number(&setup, argv[i], argv[i + 1]) && !text(&setup, argv[i], argv[i + 1])))
            return 2;
        else
            i++;
    }
    LoopOptions options = { .os = os_real(), .loops = 1 };
    if (loops_start(&options, &loops, &err) != E_OK)
        return 2;
    setup.fetcher.os = os_real();
    setup.fetcher.loop = loops_at(loops, 0);
    setup.fetcher.agent = "tarn/test";
    setup.fetcher.resolve = setup.resolve;
    setup.fetcher.rules.networks = setup.networks;
    setup.fetcher.rules.hosts = setup.hosts;
    setup.options.headers = setup.headers;
    if (setup.pull) {
        setup.options.body_pull = pull;
        setup.options.body_arg = &setup;
        setup.options.body_bytes = -1;
    }
    if (setup.streams) {
        setup.options.handler = &streams;
        setup.options.self = &setup;
    }
    Code code = fetcher_new(&setup.fetcher, &fetcher, &err);
    if (code == E_OK)
        run(&setup, fetcher);
    else
        say(&setup, code, &err, NULL, 0);
    fetcher_free(&fetcher);
    loops_free(&loops);
    return 0;
}
