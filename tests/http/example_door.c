/* A whole server with a door of its own: counters in memory. It prints its address and ends on SIGTERM.
 * src/front/README.md shows the lines between the two marks; test_example.py keeps them alike and
 * asks the door. */
#include "front/http/http_server.h"
#include "os/os.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

/* A right of 0 needs no key; any other is judged here, before the handler sees the request. */
static Code authorize(HttpReq *r, Err *err)
{
    if (str_eq(http_req_header(r, "Authorization"), STR("Bearer open sesame")))
        return E_OK;
    return err_set(err, E_UNAUTHENTICATED, "adding needs the key");
}

/* [door */
enum { COUNTERS = 100, RIGHT_WRITE = 1 };

static void counter_add(HttpReq *r)
{
    atomic_ullong *counters = http_req_context(r);
    uint64_t at, more = 0;
    Err err;
    if (!str_u64(http_req_arg(r, "number"), &at) || at >= COUNTERS) {
        IGNORE(err_set(&err, E_NOT_FOUND, "counters are 0 to %d", COUNTERS - 1)); /* replied */
        http_reply_problem(r, &err);
    } else if (http_req_body(r).len > 0 && !str_u64(http_req_body(r), &more)) {
        IGNORE(err_set(&err, E_INVALID, "the body is no whole number")); /* replied */
        http_reply_problem(r, &err);
    } else {
        unsigned long long sum = atomic_fetch_add(&counters[at], more) + more;
        http_reply(r, 200, "text/plain", str_format(http_req_arena(r), "%llu\n", sum));
    }
}

static const HttpRoute routes[] = {
    { "GET", "/counters/{number}", "counterGet", .on_end = counter_add, .doc = "A counter." },
    { "POST", "/counters/{number}", "counterAdd", .on_end = counter_add, .right = RIGHT_WRITE,
      .body_max = 20, .timeout_ms = 5000, .doc = "Adds the number in the body." },
};
/* door] */

int main(void)
{
    static atomic_ullong counters[COUNTERS];
    Err err;
    HttpServer *server = NULL;
    int got = 0;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    HttpOptions options = { .os = os_real(), .listen = STR("127.0.0.1:0"), .routes = routes,
                            .route_count = ARRAY_LEN(routes), .context = counters,
                            .authorize = authorize };
    if (http_server_start(&options, &server, &err) != E_OK) {
        fprintf(stderr, "example_door: %s\n", err.text);
        return 1;
    }
    printf("door: http " STR_FMT "\ndoor: ready\n", STR_ARG(http_server_address(server)));
    fflush(stdout);
    bool whole = sigwait(&signals, &got) == 0 && http_server_drain(server, 5000);
    http_server_free(&server);
    return whole ? 0 : 1;
}
