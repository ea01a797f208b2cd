/* A load generator for S3: one thread, keep-alive connections, requests signed before the clock starts.
 *
 *   load put|get|head|list|mix|file ADDRESS ACCESS SECRET BUCKET [NAME=VALUE...]
 *
 * size=BYTES keys=N first=N fold=N prefix=TEXT page=N connections=N requests=N seconds=N region=TEXT, and the words unsigned,
 * plain, versions, delimiter, fresh. A run ends with its seconds or its requests; what is in flight then is waited for. Objects
 * differ in their first bytes; every reply's status is checked, of a get every byte, of a list the number of its items. `mix`:
 * puts and gets in turns. Prints one line of JSON. `file` writes what `put` would put under `first` to standard output. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, READ_BYTES = 1 << 20, EVENTS_MAX = 256, STEPS = 64, OCTAVES = 32, EXCUSE_MAX = 300 };

typedef struct Conn {
    int fd;
    const LoadAsk *ask; /* NULL: at rest */
    uint64_t sent;      /* of head and body */
    uint64_t began_us;
    char head[HEAD_MAX];
    size_t head_len;
    int status;      /* 0: the head is not complete */
    uint64_t length; /* of the reply's body */
    uint64_t got;
    size_t matched; /* of a tag that lies over two reads */
    uint32_t items;
    bool wrong, out, last;
} Conn;

static struct {
    LoadPlan plan;
    LoadAsks asks;
    struct sockaddr_in to;
    int epoll_fd;
    Conn *conns;
    char *block;
    uint64_t begun, done, errors, reconnects, bytes, items, end_us, busy;
    uint64_t histogram[OCTAVES * STEPS];
    uint64_t max_us;
    char excuse[EXCUSE_MAX]; /* of the first error */
} the;

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- times ---- */

static size_t step_of(uint64_t us)
{
    if (us < STEPS)
        return (size_t)us;
    unsigned octave = 63 - (unsigned)__builtin_clzll(us) - 5; /* 2^6 us and up: 1 and up */
    size_t step = octave * STEPS / 2 + (size_t)(us >> octave);
    return step < OCTAVES * STEPS ? step : OCTAVES * STEPS - 1;
}

static uint64_t step_us(size_t step)
{
    if (step < STEPS)
        return step;
    size_t octave = step / (STEPS / 2) - 1;
    return (uint64_t)(step - octave * STEPS / 2) << octave;
}

static uint64_t percentile(double part)
{
    uint64_t wanted = (uint64_t)((double)the.done * part), seen = 0;
    for (size_t i = 0; i < OCTAVES * STEPS; i++) {
        seen += the.histogram[i];
        if (seen > wanted)
            return step_us(i);
    }
    return the.max_us;
}

/* ---- one connection ---- */

static void watch(Conn *c, bool out)
{
    if (c->out == out)
        return;
    c->out = out;
    struct epoll_event event = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c };
    epoll_ctl(the.epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void conn_open(Conn *c)
{
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&the.to, sizeof the.to) != 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    c->out = c->last = false;
    epoll_ctl(the.epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void excuse(const Conn *c, const char *what)
{
    if (the.errors++ == 0)
        snprintf(the.excuse, sizeof the.excuse, "%s, status %d, request %.120s", what, c->status,
                 the.asks.heads.ptr + c->ask->at);
    for (char *p = the.excuse; *p; p++)
        if ((unsigned char)*p < ' ' || *p == '"' || *p == '\\')
            *p = ' ';
}

static void send_more(Conn *c)
{
    const LoadAsk *ask = c->ask;
    uint64_t body = ask->verb == LOAD_PUT ? the.plan.size : 0, stamp_len = MIN(body, (uint64_t)LOAD_STAMP);
    char stamp[LOAD_STAMP];
    load_stamp(ask->number, stamp);
    struct {
        char *ptr;
        uint64_t len;
    } pieces[] = { { the.asks.heads.ptr + ask->at, ask->len }, { stamp, stamp_len }, { the.asks.body + stamp_len, body - stamp_len } };
    while (c->sent < ask->len + body) {
        struct iovec parts[3];
        struct msghdr message = { .msg_iov = parts };
        uint64_t skip = c->sent;
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
            uint64_t from = MIN(skip, pieces[i].len);
            skip -= from;
            if (pieces[i].len > from)
                parts[message.msg_iovlen++] = (struct iovec){ pieces[i].ptr + from, (size_t)(pieces[i].len - from) };
        }
        ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            return; /* what the server says, or its end, is read */
        c->sent += (uint64_t)sent;
    }
    watch(c, c->sent < ask->len + body);
}

static void ask_next(Conn *c)
{
    if (c->last) {
        close(c->fd);
        conn_open(c);
        the.reconnects++;
    }
    c->ask = NULL;
    bool over = (the.plan.requests && the.begun == the.plan.requests) || now_us() >= the.end_us;
    if (over) {
        the.busy--;
        return;
    }
    c->ask = &the.asks.asks[the.begun++ % the.asks.count];
    c->sent = c->head_len = c->got = c->length = c->matched = 0;
    c->status = 0;
    c->items = 0;
    c->wrong = false;
    c->began_us = now_us();
    send_more(c);
}

static void reply_end(Conn *c)
{
    uint64_t took = now_us() - c->began_us;
    the.histogram[step_of(took)]++;
    the.max_us = MAX(the.max_us, took);
    the.done++;
    if (c->status != 200 && c->status != 204)
        excuse(c, "refused");
    else if (c->wrong)
        excuse(c, "other bytes than were put");
    else if (c->ask->verb == LOAD_LIST && c->items != c->ask->items)
        excuse(c, "another number of items");
    else
        the.bytes += c->ask->verb == LOAD_PUT ? the.plan.size : c->got;
    the.items += c->items;
    ask_next(c);
}

/* ---- the reply ---- */

static void items_count(Conn *c, const char *bytes, size_t len)
{
    static const char *const tags[] = { "<Key>", "<CommonPrefixes>" };
    const char *tag = tags[the.plan.delimiter != NULL];
    for (size_t i = 0; i < len; i++) {
        if (c->matched == 0) {
            const char *next = memchr(bytes + i, '<', len - i);
            if (!next)
                return;
            i = (size_t)(next - bytes);
        }
        c->matched = bytes[i] == tag[c->matched] ? c->matched + 1 : bytes[i] == '<';
        if (!tag[c->matched]) {
            c->items++;
            c->matched = 0;
        }
    }
}

static void body_take(Conn *c, const char *bytes, size_t len)
{
    char stamp[LOAD_STAMP];
    if (c->ask->verb == LOAD_LIST)
        items_count(c, bytes, len);
    if (c->ask->verb == LOAD_GET && c->status == 200) {
        size_t at = (size_t)c->got, head = at < LOAD_STAMP ? MIN(len, LOAD_STAMP - at) : 0;
        load_stamp(c->ask->number, stamp);
        c->wrong = c->wrong || at + len > the.plan.size || memcmp(stamp + (head ? at : 0), bytes, head) != 0 ||
                   memcmp(the.asks.body + at + head, bytes + head, len - head) != 0;
    }
    c->got += len;
}

static void head_parse(Conn *c)
{
    c->head[c->head_len] = 0;
    if (sscanf(c->head, "HTTP/1.1 %d", &c->status) != 1)
        c->status = 599;
    for (char *line = strstr(c->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
            c->length = strtoull(line + 17, NULL, 10);
        if (strncasecmp(line + 2, "Connection: close", 17) == 0)
            c->last = true;
        if (strncasecmp(line + 2, "Transfer-Encoding:", 18) == 0) {
            errno = EPROTO;
            die("a reply without a length");
        }
    }
    if (c->ask->verb == LOAD_HEAD || c->status == 204)
        c->length = 0;
    c->wrong = c->ask->verb == LOAD_GET && c->status == 200 && c->length != the.plan.size;
}

/* Bytes that belong to the head. */
static size_t head_take(Conn *c, const char *bytes, size_t len)
{
    size_t before = c->head_len, room = HEAD_MAX - 1 - before, part = MIN(len, room);
    memcpy(c->head + before, bytes, part);
    c->head_len += part;
    size_t from = before > 3 ? before - 3 : 0;
    char *end = memmem(c->head + from, c->head_len - from, "\r\n\r\n", 4);
    if (!end && c->head_len == HEAD_MAX - 1) {
        errno = EPROTO;
        die("the head of a reply");
    }
    if (!end)
        return len;
    c->head_len = (size_t)(end - c->head) + 4;
    head_parse(c);
    return c->head_len - before;
}

static void conn_lost(Conn *c)
{
    excuse(c, "the connection ended");
    the.done++;
    c->last = true;
    ask_next(c);
}

static void receive(Conn *c)
{
    ssize_t got = recv(c->fd, the.block, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        if (c->ask)
            conn_lost(c);
        else
            close(c->fd);
        return;
    }
    if (!c->ask)
        return;
    size_t len = (size_t)got, used = c->status == 0 ? head_take(c, the.block, len) : 0;
    if (c->status == 0)
        return;
    if (c->status == 100) {
        errno = EPROTO;
        die("100 was not asked for");
    }
    body_take(c, the.block + used, len - used);
    if (c->got >= c->length)
        reply_end(c);
}

/* ---- the run ---- */

static void run(void)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t began = now_us();
    the.end_us = the.plan.seconds ? began + the.plan.seconds * 1000000 : UINT64_MAX;
    the.busy = the.plan.connections;
    for (uint64_t i = 0; i < the.plan.connections; i++)
        ask_next(&the.conns[i]);
    while (the.busy > 0) {
        int count = epoll_wait(the.epoll_fd, events, EVENTS_MAX, 30000);
        if (count <= 0 && errno != EINTR)
            die("nothing came for 30 seconds");
        for (int i = 0; i < count; i++) {
            Conn *c = events[i].data.ptr;
            if (c->ask && (events[i].events & EPOLLOUT))
                send_more(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(c);
        }
    }
    uint64_t took = now_us() - began;
    printf("{\"requests\": %llu, \"us\": %llu, \"bytes\": %llu, \"items\": %llu, \"errors\": %llu, \"reconnects\": %llu, "
           "\"wrapped\": %llu, \"p50_us\": %llu, \"p90_us\": %llu, \"p99_us\": %llu, \"p999_us\": %llu, \"max_us\": %llu, "
           "\"first_error\": \"%s\"}\n",
           (unsigned long long)the.done, (unsigned long long)took, (unsigned long long)the.bytes, (unsigned long long)the.items,
           (unsigned long long)the.errors, (unsigned long long)the.reconnects,
           (unsigned long long)(the.begun > the.asks.count ? the.begun - the.asks.count : 0),
           (unsigned long long)percentile(0.5), (unsigned long long)percentile(0.9), (unsigned long long)percentile(0.99),
           (unsigned long long)percentile(0.999), (unsigned long long)the.max_us, the.excuse);
}

static bool word_take(LoadPlan *plan, char *word)
{
    static const struct {
        const char *name;
        size_t at;
    } numbers[] = { { "size", offsetof(LoadPlan, size) },         { "keys", offsetof(LoadPlan, keys) },
                    { "first", offsetof(LoadPlan, first) },       { "fold", offsetof(LoadPlan, fold) },
                    { "page", offsetof(LoadPlan, page) },         { "connections", offsetof(LoadPlan, connections) },
                    { "requests", offsetof(LoadPlan, requests) }, { "seconds", offsetof(LoadPlan, seconds) } };
    char *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) : 0;
    plan->unsigned_payload = plan->unsigned_payload || strcmp(word, "unsigned") == 0;
    plan->plain = plan->plain || strcmp(word, "plain") == 0;
    plan->versions = plan->versions || strcmp(word, "versions") == 0;
    if (strcmp(word, "delimiter") == 0)
        plan->delimiter = "/";
    if (!equals)
        return strcmp(word, "unsigned") == 0 || strcmp(word, "plain") == 0 || strcmp(word, "versions") == 0 || plan->delimiter;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (strlen(numbers[i].name) == len && strncmp(word, numbers[i].name, len) == 0) {
            *(uint64_t *)((char *)plan + numbers[i].at) = strtoull(equals + 1, NULL, 10);
            return true;
        }
    }
    if (strncmp(word, "prefix", len) == 0)
        plan->prefix = equals + 1;
    else if (strncmp(word, "region", len) == 0)
        plan->region = equals + 1;
    else
        return false;
    return true;
}

static void usage(const char *what)
{
    fprintf(stderr, "load: %s\nusage: load put|get|head|list|mix|file HOST:PORT ACCESS SECRET BUCKET [WORD...]\n", what);
    exit(2);
}

static void plan_take(int count, char **words)
{
    static const char *const verbs[] = { "put", "get", "head", "list", "mix", "file" };
    LoadPlan *plan = &the.plan;
    *plan = (LoadPlan){ .verb = (LoadVerb)ARRAY_LEN(verbs), .region = "us-east-1", .prefix = "k", .size = 16384, .keys = 10000,
                        .page = 1000, .connections = 64 };
    if (count < 6)
        usage("too few words");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(words[1], verbs[i]) == 0)
            plan->verb = (LoadVerb)i;
    if (plan->verb == (LoadVerb)ARRAY_LEN(verbs))
        usage(words[1]);
    plan->address = words[2];
    plan->access = words[3];
    plan->secret = words[4];
    plan->bucket = words[5];
    for (int i = 6; i < count; i++)
        if (!word_take(plan, words[i]))
            usage(words[i]);
    if (!plan->seconds && !plan->requests)
        plan->requests = plan->keys;
    if (plan->connections == 0 || plan->page == 0 || plan->keys == 0 || (plan->delimiter && !plan->fold))
        usage("connections, page, keys, and fold with a delimiter");
}

static int file_write(void)
{
    char stamp[LOAD_STAMP];
    size_t size = (size_t)the.plan.size, head = MIN(size, (size_t)LOAD_STAMP);
    load_stamp(the.plan.first, stamp);
    memcpy(the.asks.body, stamp, head);
    return fwrite(the.asks.body, 1, size, stdout) != size || fflush(stdout) != 0;
}

int main(int count, char **words)
{
    char host[64] = "";
    plan_take(count, words);
    const char *colon = strrchr(the.plan.address, ':');
    if (!colon || (size_t)(colon - the.plan.address) >= sizeof host)
        usage("an address is IPV4:PORT");
    memcpy(host, the.plan.address, (size_t)(colon - the.plan.address));
    the.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1)) };
    if (inet_pton(AF_INET, host, &the.to.sin_addr) != 1)
        usage("an address is IPV4:PORT");
    load_sign(&the.plan, &the.asks);
    if (the.plan.verb == LOAD_FILE)
        return file_write();
    the.epoll_fd = epoll_create1(0);
    the.conns = calloc((size_t)the.plan.connections, sizeof *the.conns);
    the.block = malloc(READ_BYTES);
    if (!the.conns || !the.block || the.epoll_fd < 0)
        die("memory");
    for (uint64_t i = 0; i < the.plan.connections; i++)
        conn_open(&the.conns[i]);
    run();
    return the.errors > 0;
}
