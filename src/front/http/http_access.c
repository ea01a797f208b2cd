/* The access log: lines into buffers, one thread that writes them.
 *
 * Invariants:
 * 1. A shard's buffer is changed under its mutex only; the writer swaps it for an empty one and writes
 *    without any lock that access_put takes.
 * 2. `asked` counts wishes to flush, `done` those that are met: everything that was put before a wish
 *    is swapped out after it, because the writer reads `asked` before it swaps.
 * 3. The file is used under `file_mutex`; it is written at its end, so that a file that was cut by
 *    somebody else does not get a hole. */
#include "front/http/http_access.h"

#include "os/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef struct AccessShard {
    Mutex mutex;
    Buf lines;
    uint64_t count;                /* in lines */
    char apart[64];
} AccessShard;

struct AccessLog {
    Os *os;
    bool threaded;
    Thread writer;
    AccessShard shards[ACCESS_SHARDS];
    atomic_uint_fast64_t written, dropped, failed;
    Mutex file_mutex;
    OsFile *file;                  /* NULL: standard output */
    Buf spare;                     /* the writer's, with file_mutex */
    Mutex mutex;                   /* guards what follows */
    Cond wake, met;
    bool woken, ends;
    uint64_t asked, done;
};

/* ---- lines ---- */

typedef struct Line {
    char *to;
    size_t len;
} Line;

static void put(Line *line, Str text)
{
    memcpy(line->to + line->len, text.ptr ? text.ptr : "", text.len);
    line->len += text.len;
}

static void put_number(Line *line, uint64_t value, size_t digits)
{
    char back[20];
    size_t len = 0;
    do
        back[len++] = (char)('0' + value % 10);
    while ((value /= 10) > 0 || len < digits);
    while (len > 0)
        line->to[line->len++] = back[--len];
}

static size_t byte_hex(char *to, unsigned char c)
{
    to[0] = "0123456789abcdef"[c >> 4];
    to[1] = "0123456789abcdef"[c & 15];
    return 2;
}

/* The length of the UTF-8 character at the start of `text`; 0: none, or a control of the C1 row. */
static size_t character_len(Str text)
{
    unsigned char first = (unsigned char)text.ptr[0];
    size_t len = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (len == 0 || len > text.len || !str_is_utf8(str_sub(text, 0, len)))
        return 0;
    bool separator = first == 0xe2 && (unsigned char)text.ptr[1] == 0x80 &&
                     ((unsigned char)text.ptr[2] & 0xfe) == 0xa8; /* U+2028, U+2029: lines to some */
    bool control = first == 0xc2 && (unsigned char)text.ptr[1] < 0xa0;
    return separator || control ? 0 : len;
}

/* Escaped for a JSON string, at most `most` bytes. */
static void put_json_text(Line *line, Str text, size_t most)
{
    size_t end = line->len + most;
    while (text.len > 0 && line->len + 6 <= end) {
        unsigned char c = (unsigned char)text.ptr[0];
        size_t len = c >= 0x80 ? character_len(text) : 1;
        if (c == '"' || c == '\\') {
            line->to[line->len++] = '\\';
            line->to[line->len++] = (char)c;
        } else if (c < ' ' || c == 127) {
            put(line, STR("\\u00"));
            line->len += byte_hex(line->to + line->len, c);
        } else if (len == 0) {
            put(line, STR("\\ufffd"));
            len = 1;
        } else {
            put(line, str_sub(text, 0, len));
        }
        text = str_from(text, len);
    }
}

/* As nginx: what is not printable ASCII, quotes and backslashes become \xNN. */
static void put_plain_text(Line *line, Str text, size_t most)
{
    size_t end = line->len + most;
    if (text.len == 0)
        put(line, STR("-"));
    for (size_t i = 0; i < text.len && line->len + 4 <= end; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c > ' ' - 1 && c < 127 && c != '"' && c != '\\') {
            line->to[line->len++] = (char)c;
        } else {
            put(line, STR("\\x"));
            line->len += byte_hex(line->to + line->len, c);
        }
    }
}

typedef void PutText(Line *line, Str text, size_t most);

static bool is_secret(Str name)
{
    static const Str names[] = {
        STR_INIT("signature"), STR_INIT("sig"), STR_INIT("x-amz-signature"), STR_INIT("x-amz-security-token"),
        STR_INIT("token"), STR_INIT("access_token"), STR_INIT("api_key"), STR_INIT("apikey"),
        STR_INIT("password"), STR_INIT("secret"), STR_INIT("code"),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_ieq(name, names[i]))
            return true;
    }
    return false;
}

/* The raw target; values of secrets are left out. */
static void put_target(Line *line, Str target, PutText *put_text)
{
    size_t end = line->len + ACCESS_TARGET_MAX;
    ptrdiff_t question = str_find_char(target, '?');
    put_text(line, question < 0 ? target : str_sub(target, 0, (size_t)question + 1), ACCESS_TARGET_MAX);
    Str query = question < 0 ? STR_NONE : str_from(target, (size_t)question + 1), pair;
    bool first = true;
    while (str_split(&query, '&', &pair) && line->len + 16 < end) {
        ptrdiff_t equals = str_find_char(pair, '=');
        bool secret = equals > 0 && is_secret(str_sub(pair, 0, (size_t)equals));
        if (!first)
            put(line, STR("&"));
        first = false;
        if (pair.len > 0)
            put_text(line, secret ? str_sub(pair, 0, (size_t)equals + 1) : pair, end - line->len);
        if (secret && line->len + 3 < end)
            put(line, STR("***"));
    }
}

static void put_time(Line *line, int64_t time_us)
{
    int64_t seconds = time_us / 1000000, year;
    unsigned month, day, left = (unsigned)(seconds % 86400);
    civil_from_days(seconds / 86400, &year, &month, &day);
    put_number(line, (uint64_t)year, 4);
    put(line, STR("-"));
    put_number(line, month, 2);
    put(line, STR("-"));
    put_number(line, day, 2);
    put(line, STR("T"));
    put_number(line, left / 3600, 2);
    put(line, STR(":"));
    put_number(line, left / 60 % 60, 2);
    put(line, STR(":"));
    put_number(line, left % 60, 2);
    put(line, STR("."));
    put_number(line, (uint64_t)(time_us % 1000000), 6);
    put(line, STR("Z"));
}

static void put_field(Line *line, Str name, Str value)
{
    if (value.len == 0)
        return;
    put(line, STR(",\""));
    put(line, name);
    put(line, STR("\":\""));
    put_json_text(line, value, ACCESS_TEXT_MAX);
    put(line, STR("\""));
}

static void put_count(Line *line, Str name, uint64_t value)
{
    put(line, STR(",\""));
    put(line, name);
    put(line, STR("\":"));
    put_number(line, value, 1);
}

size_t access_json(const AccessEntry *entry, char *to)
{
    Line line = { to, 0 };
    put(&line, STR("{\"time\":\""));
    put_time(&line, entry->time_us);
    put(&line, STR("\""));
    put_field(&line, STR("client"), entry->client);
    put_field(&line, STR("method"), entry->method);
    put(&line, STR(",\"target\":\""));
    put_target(&line, entry->target, put_json_text);
    put(&line, STR("\""));
    put_field(&line, STR("protocol"), entry->protocol);
    put_field(&line, STR("host"), entry->host);
    put_count(&line, STR("status"), (uint64_t)MAX(entry->status, 0));
    put_count(&line, STR("in"), entry->in);
    put_count(&line, STR("out"), entry->out);
    put_count(&line, STR("us"), entry->took_us);
    put_field(&line, STR("route"), entry->route);
    put_field(&line, STR("principal"), entry->principal);
    put_field(&line, STR("request_id"), entry->id);
    put_field(&line, STR("trace_id"), entry->trace);
    put_field(&line, STR("referer"), entry->referer);
    put_field(&line, STR("agent"), entry->agent);
    put_field(&line, STR("tls"), entry->tls);
    put_field(&line, STR("refused"), entry->refused);
    put(&line, STR("}\n"));
    ASSERT(line.len <= ACCESS_LINE_MAX);
    return line.len;
}

static void put_common_time(Line *line, int64_t time_us)
{
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    int64_t seconds = time_us / 1000000, year;
    unsigned month, day, left = (unsigned)(seconds % 86400);
    civil_from_days(seconds / 86400, &year, &month, &day);
    put(line, STR(" ["));
    put_number(line, day, 2);
    put(line, STR("/"));
    put(line, str_of(months[month - 1], 3));
    put(line, STR("/"));
    put_number(line, (uint64_t)year, 4);
    put(line, STR(":"));
    put_number(line, left / 3600, 2);
    put(line, STR(":"));
    put_number(line, left / 60 % 60, 2);
    put(line, STR(":"));
    put_number(line, left % 60, 2);
    put(line, STR(" +0000] \""));
}

/* A name in a column of its own: a blank would start the next one. */
static void put_column(Line *line, Str text)
{
    size_t from = line->len;
    put_plain_text(line, text, ACCESS_TEXT_MAX);
    for (size_t i = from; i < line->len; i++) {
        if (line->to[i] == ' ')
            line->to[i] = '_';
    }
}

size_t access_combined(const AccessEntry *entry, char *to)
{
    Line line = { to, 0 };
    put_column(&line, entry->client);
    put(&line, STR(" - "));
    put_column(&line, entry->principal);
    put_common_time(&line, entry->time_us);
    put_column(&line, entry->method);
    put(&line, STR(" "));
    put_target(&line, entry->target, put_plain_text);
    put(&line, STR(" "));
    put_column(&line, entry->protocol);
    put(&line, STR("\" "));
    put_number(&line, (uint64_t)MAX(entry->status, 0), 3);
    put(&line, STR(" "));
    put_number(&line, entry->out, 1);
    put(&line, STR(" \""));
    put_plain_text(&line, entry->referer, ACCESS_TEXT_MAX);
    put(&line, STR("\" \""));
    put_plain_text(&line, entry->agent, ACCESS_TEXT_MAX);
    put(&line, STR("\"\n"));
    ASSERT(line.len <= ACCESS_LINE_MAX);
    return line.len;
}

/* ---- writing ---- */

static void lines_write(AccessLog *log, Str lines, uint64_t count)
{
    Err err;
    err_clear(&err);
    uint64_t size = 0;
    bool ok;
    if (!log->file)
        ok = fwrite(lines.ptr, 1, lines.len, stdout) == lines.len && fflush(stdout) == 0;
    else
        ok = os_file_size(log->file, &size, &err) == E_OK &&
             os_file_pwrite(log->file, lines, size, &err) == E_OK;
    atomic_fetch_add(ok ? &log->written : &log->failed, count);
}

static void shards_write(AccessLog *log)
{
    MUTEX_HELD(&log->file_mutex);
    for (size_t i = 0; i < ACCESS_SHARDS; i++) {
        AccessShard *shard = &log->shards[i];
        mutex_lock(&shard->mutex);
        Buf lines = shard->lines;
        uint64_t count = shard->count;
        shard->lines = log->spare;
        shard->count = 0;
        mutex_unlock(&shard->mutex);
        if (lines.len > 0)
            lines_write(log, buf_str(&lines), count);
        buf_clear(&lines);
        log->spare = lines;
    }
}

static void *writer_run(void *arg)
{
    AccessLog *log = arg;
    bool ends = false;
    while (!ends) {
        mutex_lock(&log->mutex);
        while (!log->woken && !log->ends)
            cond_wait(&log->wake, &log->mutex);
        if (!log->ends && log->asked == log->done)
            cond_wait_us(&log->wake, &log->mutex, ACCESS_GATHER_US); /* whoever is in a hurry wakes it */
        log->woken = false;
        ends = log->ends;
        uint64_t asked = log->asked;
        mutex_unlock(&log->mutex);
        shards_write(log);
        mutex_lock(&log->mutex);
        log->done = asked;
        cond_broadcast(&log->met);
        mutex_unlock(&log->mutex);
    }
    return NULL;
}

static void wake(AccessLog *log)
{
    MUTEX_HELD(&log->mutex);
    log->woken = true;
    cond_signal(&log->wake);
}

void access_put(AccessLog *log, size_t shard_at, Str line)
{
    AccessShard *shard = &log->shards[shard_at % ACCESS_SHARDS];
    mutex_lock(&shard->mutex);
    size_t before = shard->lines.len;
    bool fits = before + line.len <= ACCESS_BUFFER_BYTES;
    bool wakes = before == 0 || (before < ACCESS_BUFFER_BYTES / 2 && before + line.len >= ACCESS_BUFFER_BYTES / 2);
    if (fits) {
        buf_put(&shard->lines, line);
        shard->count++;
    }
    mutex_unlock(&shard->mutex);
    if (!fits)
        atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
    else if (!log->threaded)
        shards_write(log);
    else if (wakes)
        wake(log);
}

void access_flush(AccessLog *log)
{
    if (!log->threaded)
        return;
    MUTEX_HELD(&log->mutex);
    uint64_t wish = ++log->asked;
    log->woken = true;
    cond_signal(&log->wake);
    while (log->done < wish)
        cond_wait(&log->met, &log->mutex);
}

static Code file_open(Os *os, const char *path, OsFile **ret_file, Err *err)
{
    if (!path || !path[0]) {
        *ret_file = NULL;
        return E_OK;
    }
    return os_file_open(os, path, OS_WRITE | OS_READ | OS_CREATE, ret_file, err);
}

Code access_open(Os *os, const char *path, AccessLog **ret_log, Err *err)
{
    OsFile *file = NULL;
    TRY(file_open(os, path, &file, err));
    AccessLog *log AUTO(access_free) = mem_new(sizeof *log);
    log->os = os;
    log->file = file;
    mutex_init(&log->file_mutex);
    mutex_init(&log->mutex);
    cond_init(&log->wake);
    cond_init(&log->met);
    buf_init(&log->spare, ACCESS_BUFFER_BYTES);
    for (size_t i = 0; i < ACCESS_SHARDS; i++) {
        mutex_init(&log->shards[i].mutex);
        buf_init(&log->shards[i].lines, ACCESS_BUFFER_BYTES);
    }
    if (os_has_threads(os)) {
        TRY(thread_start(&log->writer, "access log", writer_run, log, err));
        log->threaded = true;
    }
    *ret_log = TAKE(log);
    return E_OK;
}

void access_free(AccessLog **log)
{
    AccessLog *gone = TAKE(*log);
    if (!gone)
        return;
    mutex_lock(&gone->mutex);
    gone->ends = true;
    cond_signal(&gone->wake);
    mutex_unlock(&gone->mutex);
    thread_join(&gone->writer);
    for (size_t i = 0; i < ACCESS_SHARDS; i++) {
        mutex_done(&gone->shards[i].mutex);
        buf_done(&gone->shards[i].lines);
    }
    if (gone->file)
        os_file_close(&gone->file);
    buf_done(&gone->spare);
    cond_done(&gone->wake);
    cond_done(&gone->met);
    mutex_done(&gone->mutex);
    mutex_done(&gone->file_mutex);
    mem_free(&gone);
}

Code access_reopen(AccessLog *log, const char *path, Err *err)
{
    OsFile *file = NULL;
    TRY(file_open(log->os, path, &file, err));
    access_flush(log);
    MUTEX_HELD(&log->file_mutex);
    OsFile *old = log->file;
    log->file = file;
    if (old)
        os_file_close(&old);
    return E_OK;
}

void access_stats(AccessLog *log, AccessStats *ret_stats)
{
    *ret_stats = (AccessStats){ .written = atomic_load(&log->written),
                                .dropped = atomic_load(&log->dropped),
                                .failed = atomic_load(&log->failed) };
}
