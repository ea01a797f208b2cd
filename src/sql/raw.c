/* The parent's side of a scan: objects become descriptors of verified bytes in memory, a worker
 * reads them, its answer is an Arrow IPC stream.
 * 1. Bytes are compared with their checksums (object_pread) before a worker sees them, and are
 * looked at by nobody here.
 * 2. A job has at most RAW_JOB_OBJECTS objects; a scan of more runs job after job, in order. Every
 * job is asked for the columns and types that the first one described.
 * 3. The descriptors of the first job's objects are kept from raw_open to raw_free: describing and
 * scanning read them once, and the job that describes is the one that checks them. */
#include "sql/raw_priv.h"

#include "format/arrow.h"

#include <string.h>
#include <unistd.h> /* tidy: machine because the descriptors of a job are closed here */

enum {
    CHUNK = 256 << 10,
    REQUEST_MAX = WORKER_REQUEST_BYTES_MAX,
    READ_PIECE = 4 << 20,
    TIMEOUT_MS = 300000,
    FIELD_TEXT_MAX = 64 << 10,
    PARQUET_ROW_BYTES = 8, /* about, of a row in a file */
    TEXT_ROW_BYTES = 64,
    WHERE_MAX = 16 << 10 /* longer ones are only the engine's */
};

struct RawScan {
    RawOptions options;
    Arena arena;
    RawCall call;
    int fds[RAW_JOB_OBJECTS]; /* of the first objects */
    size_t fd_count;
    uint64_t bytes; /* of them */
    ArrowSchema schema;
    RawColumn *columns; /* of the schema, with SQL types */
    ScanSource source;
    int64_t problems; /* atomic */
};

typedef struct RawCursor {
    RawScan *scan;
    Arena arena;
    RawColumn *wanted;
    size_t wanted_count;
    Str where;
    const bool *interrupted;
    size_t problem;     /* of wanted; wanted_count: it is not read */
    size_t next_object; /* the first of the next job */
    WorkerJob *job;
    ArrowIpcReader *reader;
    char *chunk;
} RawCursor;

bool raw_format_of(Str address, RawFormat *ret_format)
{
    static const struct {
        const char *end;
        RawFormat format;
    } ends[] = {
        { ".parquet", RAW_PARQUET }, { ".csv", RAW_CSV },    { ".tsv", RAW_CSV },
        { ".json", RAW_JSON },       { ".jsonl", RAW_JSON }, { ".ndjson", RAW_JSON },
        { ".geojson", RAW_JSON },
    };
    static const char *const packed[] = { ".gz", ".gzip", ".zst" };
    Arena arena AUTO(arena_done) = { 0 };
    Str name = str_lower(&arena, address);
    for (size_t i = 0; i < ARRAY_LEN(packed); i++)
        if (str_ends(name, str_z(packed[i]))) {
            name = str_sub(name, 0, name.len - strlen(packed[i]));
            break;
        }
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (str_ends(name, str_z(ends[i].end))) {
            *ret_format = ends[i].format;
            return true;
        }
    return false;
}

/* ---- descriptors ---- */

static Code read_object(ObjectReader *reader, uint64_t size, const bool *cancel, Buf *ret_bytes,
                        Err *err)
{
    if (!buf_reserve(ret_bytes, size + 1))
        return buf_end(ret_bytes, "the object", err);
    while (ret_bytes->len < size) {
        if (cancel && __atomic_load_n(cancel, __ATOMIC_ACQUIRE))
            return err_set(err, E_CANCELLED, "the statement was cancelled");
        size_t got = 0;
        size_t want = MIN((size_t)READ_PIECE, (size_t)(size - ret_bytes->len));
        TRY(object_pread(reader, ret_bytes->ptr + ret_bytes->len, want, ret_bytes->len, &got, err));
        if (got == 0)
            return err_set(err, E_CORRUPT, "the object ends too early");
        ret_bytes->len += got;
    }
    return E_OK;
}

static Code open_object(const RawScan *scan, Str address, const bool *cancel, int *ret_fd,
                        uint64_t *bytes_sum, Err *err)
{
    Str bucket, key;
    if (!store_address_parse(address, &bucket, &key))
        return err_set(err, E_INVALID, "'" STR_FMT "' is no address of an object (s3://bucket/key)",
                       STR_ARG(address));
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    TRY(store_reader_open(scan->options.store, bucket, key, 0, &reader, err));
    const ObjectInfo *info = object_reader_info(reader);
    if (info->trust == TRUST_REFUSED)
        return err_set(err, E_CORRUPT, "the object was refused when it was checked");
    if (info->size_bytes > RAW_OBJECT_BYTES_MAX)
        return err_set(err, E_LIMIT, "the object has %llu bytes, more than %llu",
                       (unsigned long long)info->size_bytes,
                       (unsigned long long)RAW_OBJECT_BYTES_MAX);
    Buf bytes AUTO(buf_done);
    buf_init(&bytes, RAW_OBJECT_BYTES_MAX + 1);
    TRY(read_object(reader, info->size_bytes, cancel, &bytes, err));
    *bytes_sum += bytes.len;
    return worker_memory_fd(buf_str(&bytes), ret_fd, err);
}

static void close_fds(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static Code open_objects(const RawScan *scan, size_t first, size_t count, const bool *cancel,
                         int *ret_fds, uint64_t *bytes_sum, Err *err)
{
    for (size_t i = 0; i < count; i++) {
        Str address = scan->call.files[first + i];
        Code code = open_object(scan, address, cancel, &ret_fds[i], bytes_sum, err);
        if (code != E_OK) {
            close_fds(ret_fds, i);
            return err_place(err, code, STR_FMT, STR_ARG(address));
        }
    }
    return E_OK;
}

/* ---- jobs ---- */

static Code start_job(const RawScan *scan, const RawCall *call, const int *fds, const bool *cancel,
                      WorkerJob **ret_job, Err *err)
{
    Buf request AUTO(buf_done);
    buf_init(&request, REQUEST_MAX);
    TRY(raw_call_encode(call, &request, err));
    int64_t timeout_ms = scan->options.timeout_ms > 0 ? scan->options.timeout_ms : TIMEOUT_MS;
    WorkerRequest job = {
        .id = RAW_WORKER_ID,
        .request = buf_str(&request),
        .fds = fds,
        .fd_count = call->file_count,
        .limits = { .memory_bytes = scan->options.memory_bytes },
        .what = call->files[0],
        .timeout_ms = (int)MIN(timeout_ms, (int64_t)INT32_MAX),
        .cancel = cancel,
    };
    return worker_job_new(&job, ret_job, err);
}

static Code describe(RawScan *scan, Err *err)
{
    RawCall call = scan->call;
    call.describe = true;
    call.file_count = scan->fd_count;
    WorkerJob *job AUTO(worker_job_free) = NULL;
    ArrowIpcReader *reader AUTO(arrow_ipc_reader_free) = NULL;
    TRY(arrow_ipc_reader_new(&reader, err));
    TRY(start_job(scan, &call, scan->fds, scan->options.cancel, &job, err));
    char chunk[8192];
    for (size_t len = 1; len > 0;) {
        TRY(worker_job_read(job, chunk, sizeof chunk, &len, err));
        TRY(arrow_ipc_reader_feed(reader, str_of(chunk, len), err));
    }
    const ArrowSchema *schema = NULL;
    TRY(arrow_ipc_reader_schema(reader, &schema, err));
    if (!schema || schema->n_children == 0)
        return err_set(err, E_CORRUPT, STR_FMT " has no columns", STR_ARG(scan->call.files[0]));
    arrow_schema_copy(schema, &scan->schema);
    scan->columns = arena_array(&scan->arena, RawColumn, (size_t)schema->n_children);
    Buf type AUTO(buf_done);
    buf_init(&type, FIELD_TEXT_MAX);
    for (int64_t i = 0; i < schema->n_children; i++) {
        buf_clear(&type);
        arrow_put_type_name(&type, scan->schema.children[i]);
        TRY(buf_end(&type, "the type of a column", err));
        scan->columns[i].name = str_z(scan->schema.children[i]->name);
        scan->columns[i].type = str_copy(&scan->arena, buf_str(&type));
    }
    return E_OK;
}

/* ---- the source ---- */

static Code source_schema(void *self, struct ArrowSchema *ret_schema, Err *err)
{
    (void)err;
    arrow_schema_copy(&((RawScan *)self)->schema, ret_schema);
    return E_OK;
}

/* From the bytes of the first objects: near enough for the order of joins. */
static int64_t source_rows(void *self)
{
    const RawScan *scan = self;
    uint64_t row_bytes = scan->call.format == RAW_PARQUET ? PARQUET_ROW_BYTES : TEXT_ROW_BYTES;
    return (int64_t)(scan->bytes * scan->call.file_count / scan->fd_count / row_bytes + 1);
}

static void cursor_close(void *self)
{
    RawCursor *cursor = self;
    worker_job_free(&cursor->job);
    arrow_ipc_reader_free(&cursor->reader);
    mem_free(&cursor->chunk);
    arena_done(&cursor->arena);
    mem_free(&cursor);
}

static Code source_open(void *self, const ScanQuery *query, void **ret_scan, Err *err)
{
    (void)err;
    RawCursor *cursor = mem_new(sizeof *cursor);
    cursor->scan = self;
    cursor->interrupted = query->interrupted;
    cursor->chunk = mem_new(CHUNK);
    cursor->wanted_count = query->column_count;
    cursor->wanted = arena_array(&cursor->arena, RawColumn, query->column_count);
    for (size_t i = 0; i < query->column_count; i++)
        cursor->wanted[i] = cursor->scan->columns[query->columns[i]];
    if (cursor->scan->call.format == RAW_PARQUET && !cursor->scan->call.as_text &&
        query->where.len <= WHERE_MAX)
        cursor->where = str_copy(&cursor->arena, query->where);
    while (cursor->problem < cursor->wanted_count &&
           !(cursor->scan->call.problems &&
             str_eq(cursor->wanted[cursor->problem].name, STR("_problem"))))
        cursor->problem++;
    *ret_scan = cursor;
    return E_OK;
}

static Code next_job(RawCursor *cursor, Err *err)
{
    RawScan *scan = cursor->scan;
    size_t first = cursor->next_object;
    RawCall call = scan->call;
    call.files += first;
    call.file_count = MIN((size_t)RAW_JOB_OBJECTS, scan->call.file_count - first);
    call.wanted = cursor->wanted;
    call.wanted_count = cursor->wanted_count;
    call.where = cursor->where;
    TRY(arrow_ipc_reader_new(&cursor->reader, err));
    if (first == 0) {
        call.checked = true;
        TRY(start_job(scan, &call, scan->fds, cursor->interrupted, &cursor->job, err));
    } else {
        int fds[RAW_JOB_OBJECTS];
        uint64_t bytes = 0;
        TRY(open_objects(scan, first, call.file_count, cursor->interrupted, fds, &bytes, err));
        Code code = start_job(scan, &call, fds, cursor->interrupted, &cursor->job, err);
        close_fds(fds, call.file_count);
        TRY(code);
    }
    cursor->next_object = first + call.file_count;
    return E_OK;
}

static Code end_job(RawCursor *cursor, Err *err)
{
    bool whole = arrow_ipc_reader_at_end(cursor->reader);
    worker_job_free(&cursor->job);
    arrow_ipc_reader_free(&cursor->reader);
    if (!whole)
        return err_set(err, E_WORKER_DIED, "the answer of a scan worker is not complete");
    return E_OK;
}

static void count_problems(RawCursor *cursor, const ArrowArray *array)
{
    if (cursor->problem < cursor->wanted_count)
        __atomic_add_fetch(&cursor->scan->problems,
                           array->length - array->children[cursor->problem]->null_count,
                           __ATOMIC_RELAXED);
}

static Code cursor_next(void *self, struct ArrowArray *ret_array, Err *err)
{
    RawCursor *cursor = self;
    for (;;) {
        ret_array->release = NULL;
        if (cursor->reader) {
            TRY(arrow_ipc_reader_next(cursor->reader, ret_array, err));
            if (ret_array->release && ret_array->length > 0) {
                count_problems(cursor, ret_array);
                return E_OK;
            }
            if (ret_array->release)
                ret_array->release(ret_array);
        }
        if (!cursor->job) {
            if (cursor->next_object >= cursor->scan->call.file_count)
                return E_OK;
            TRY(next_job(cursor, err));
        }
        size_t len = 0;
        TRY(worker_job_read(cursor->job, cursor->chunk, CHUNK, &len, err));
        if (len == 0)
            TRY(end_job(cursor, err));
        else
            TRY(arrow_ipc_reader_feed(cursor->reader, str_of(cursor->chunk, len), err));
    }
}

/* ---- opening ---- */

static RawColumn *copy_columns(Arena *arena, const RawColumn *columns, size_t count)
{
    RawColumn *copy = arena_array(arena, RawColumn, count + 1);
    for (size_t i = 0; i < count; i++)
        copy[i] = (RawColumn){ str_copy(arena, columns[i].name), str_copy(arena, columns[i].type) };
    return copy;
}

static Code check_request(const RawRequest *request, Err *err)
{
    if (request->address_count == 0)
        return err_set(err, E_INVALID, "no object is named");
    if (request->address_count > RAW_OBJECTS_MAX)
        return err_set(err, E_LIMIT, "more than %d objects", RAW_OBJECTS_MAX);
    if (request->column_count > RAW_COLUMNS_MAX)
        return err_set(err, E_LIMIT, "more than %d columns", RAW_COLUMNS_MAX);
    if (request->delim.len > 1 || request->quote.len > 1 ||
        request->null_text.len > RAW_OPTIONS_TEXT_MAX)
        return err_set(err, E_INVALID, "delim and quote are one byte, nullstr %d at most",
                       RAW_OPTIONS_TEXT_MAX);
    return E_OK;
}

static void copy_request(RawScan *scan, const RawRequest *request)
{
    Arena *arena = &scan->arena;
    scan->call = (RawCall){
        .format = request->format,
        .as_text = request->as_text,
        .problems = request->problems && request->as_text && request->format != RAW_PARQUET,
        .union_by_name = request->union_by_name,
        .header = request->header,
        .delim = str_copy(arena, request->delim),
        .quote = str_copy(arena, request->quote),
        .null_text = str_copy(arena, request->null_text),
        .files = arena_array(arena, Str, request->address_count),
        .file_count = request->address_count,
        .columns = copy_columns(arena, request->columns, request->column_count),
        .column_count = request->column_count,
    };
    for (size_t i = 0; i < request->address_count; i++)
        scan->call.files[i] = str_copy(arena, request->addresses[i]);
    scan->source = (ScanSource){ .self = scan,
                                 .schema = source_schema,
                                 .open = source_open,
                                 .next = cursor_next,
                                 .close = cursor_close,
                                 .rows_estimate = source_rows };
}

Code raw_open(const RawOptions *options, const RawRequest *request, RawScan **ret_scan, Err *err)
{
    TRY(check_request(request, err));
    RawScan *scan = mem_new(sizeof *scan);
    scan->options = *options;
    copy_request(scan, request);
    size_t first = MIN((size_t)RAW_JOB_OBJECTS, request->address_count);
    Code code = open_objects(scan, 0, first, options->cancel, scan->fds, &scan->bytes, err);
    if (code == E_OK) {
        scan->fd_count = first;
        code = describe(scan, err);
    }
    if (code != E_OK)
        raw_free(&scan);
    else
        *ret_scan = scan;
    return code;
}

const ScanSource *raw_source(const RawScan *scan)
{
    return &scan->source;
}

int64_t raw_problem_count(const RawScan *scan)
{
    return __atomic_load_n(&scan->problems, __ATOMIC_RELAXED);
}

void raw_free(RawScan **scan_place)
{
    RawScan *scan = *scan_place;
    if (!scan)
        return;
    close_fds(scan->fds, scan->fd_count);
    arrow_schema_done(&scan->schema);
    arena_done(&scan->arena);
    mem_free(scan_place);
}
