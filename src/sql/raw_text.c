/* CSV and JSON as text columns with `_file`, `_row`, `_raw`, read by code of ours inside of a
 * worker.
 * 1. Every record of an object gives exactly one row. A record with another number of fields or
 * text behind a quote, or a JSON value that is no object, gives NULL in every column, its text in
 * `_raw` and the reason in `_problem`.
 * 2. Rows go out in batches when ROWS_MAX rows or BYTES_MAX bytes are there. */
#include "sql/raw_priv.h"

#include "base/vec.h"
#include "format/arrow.h"
#include "format/json.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 8192, BYTES_MAX = 2 << 20, COLUMN_BYTES_MAX = 1 << 30, EXTRA = 4, SAMPLE = 100 };

typedef Vec(Str) StrVec;

/* One column of a batch that is being filled. */
typedef struct TextColumn {
    Str name;
    bool number; /* _row */
    bool is_wanted;
    Buf data;
    Buf offsets; /* int32, one more than rows; or the int64 numbers */
    uint8_t valid[ROWS_MAX / 8];
    int64_t nulls;
    ArrowSchema schema;
    ArrowArray array;
    const void *buffers[3];
} TextColumn;

typedef struct Text {
    const RawCall *call;
    RawSend *send;
    void *to;
    Arena arena;
    TextColumn *columns; /* all: declared or found, then _file, _row, _raw, _problem */
    size_t column_count;
    size_t *wanted; /* of columns, in the order of the answer */
    size_t wanted_count;
    int64_t rows; /* in the batch */
    size_t bytes;
    Buf out;
} Text;

static void nothing_release(ArrowArray *array)
{
    array->release = NULL;
}

static void nothing_release_schema(ArrowSchema *schema)
{
    schema->release = NULL;
}

/* ---- batches ---- */

static void put_value(Text *t, size_t at, Str value)
{
    TextColumn *c = &t->columns[at];
    if (!c->is_wanted)
        return;
    if (value.ptr) {
        buf_put(&c->data, value);
        c->valid[t->rows / 8] |= (uint8_t)(1 << (t->rows % 8));
        t->bytes += value.len;
    } else {
        c->nulls++;
    }
    int32_t end = (int32_t)c->data.len;
    buf_put(&c->offsets, str_of(&end, sizeof end));
}

static void put_number(Text *t, size_t at, int64_t value)
{
    TextColumn *c = &t->columns[at];
    c->valid[t->rows / 8] |= (uint8_t)(1 << (t->rows % 8));
    buf_put(&c->offsets, str_of(&value, sizeof value));
}

static void batch_clear(Text *t)
{
    for (size_t i = 0; i < t->column_count; i++) {
        TextColumn *c = &t->columns[i];
        buf_clear(&c->data);
        buf_clear(&c->offsets);
        if (!c->number)
            buf_put_zeros(&c->offsets, sizeof(int32_t));
        memset(c->valid, 0, sizeof c->valid);
        c->nulls = 0;
    }
    t->rows = 0;
    t->bytes = 0;
}

/* The struct of the wanted columns; the children stay the Text's. */
static void batch_view(Text *t, ArrowSchema *schema, ArrowSchema **schemas, ArrowArray *array,
                       ArrowArray **arrays)
{
    static const void *no_buffer[1];
    for (size_t i = 0; i < t->wanted_count; i++) {
        TextColumn *c = &t->columns[t->wanted[i]];
        c->schema = (ArrowSchema){ .format = c->number ? "l" : "u",
                                   .name = c->name.ptr,
                                   .flags = ARROW_FLAG_NULLABLE,
                                   .release = nothing_release_schema };
        c->buffers[0] = c->nulls ? c->valid : NULL;
        c->buffers[1] = c->offsets.ptr;
        c->buffers[2] = c->data.ptr ? c->data.ptr : "";
        c->array = (ArrowArray){ .length = t->rows,
                                 .null_count = c->nulls,
                                 .n_buffers = c->number ? 2 : 3,
                                 .buffers = c->buffers,
                                 .release = nothing_release };
        schemas[i] = &c->schema;
        arrays[i] = &c->array;
    }
    *schema = (ArrowSchema){ .format = "+s",
                             .name = "",
                             .n_children = (int64_t)t->wanted_count,
                             .children = schemas,
                             .release = nothing_release_schema };
    *array = (ArrowArray){ .length = t->rows,
                           .n_buffers = 1,
                           .buffers = no_buffer,
                           .n_children = (int64_t)t->wanted_count,
                           .children = arrays,
                           .release = nothing_release };
}

static Code batch_send(Text *t, bool schema_too, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    ArrowSchema schema;
    ArrowArray array;
    batch_view(t, &schema, arena_array(&arena, ArrowSchema *, t->wanted_count), &array,
               arena_array(&arena, ArrowArray *, t->wanted_count));
    buf_clear(&t->out);
    if (schema_too)
        TRY(arrow_ipc_schema_put(&t->out, &schema, err));
    if (t->rows > 0)
        TRY(arrow_ipc_batch_put(&t->out, &schema, &array, err));
    batch_clear(t);
    TRY(buf_end(&t->out, "a batch of text", err));
    return t->send(t->to, buf_str(&t->out), err);
}

/* `values` has a Str a declared column. With a problem all are NULL. */
static Code row_put(Text *t, const Str *values, Str problem, size_t file, int64_t row, Str raw,
                    Err *err)
{
    size_t declared = t->column_count - EXTRA;
    for (size_t i = 0; i < declared; i++)
        put_value(t, i, problem.ptr ? STR_NONE : values[i]);
    put_value(t, declared, t->call->files[file]);
    put_number(t, declared + 1, row);
    put_value(t, declared + 2, raw);
    put_value(t, declared + 3, problem);
    t->rows++;
    if (t->rows < ROWS_MAX && t->bytes < BYTES_MAX)
        return E_OK;
    return batch_send(t, false, err);
}

static void columns_set(Text *t, const Str *names, size_t count)
{
    static const char *const extra[EXTRA] = { "_file", "_row", "_raw", "_problem" };
    t->column_count = count + EXTRA;
    t->columns = arena_array(&t->arena, TextColumn, t->column_count);
    for (size_t i = 0; i < t->column_count; i++) {
        TextColumn *c = &t->columns[i];
        Str name = i < count ? names[i] : str_z(extra[i - count]);
        c->name = str_of(str_copy_z(&t->arena, name), name.len);
        c->number = i == count + 1;
        buf_init(&c->data, COLUMN_BYTES_MAX);
        buf_init(&c->offsets, COLUMN_BYTES_MAX);
    }
    batch_clear(t);
}

static Code wanted_set(Text *t, Err *err)
{
    const RawCall *call = t->call;
    size_t shown = t->column_count - !call->problems;
    t->wanted_count = call->describe ? shown : call->wanted_count;
    t->wanted = arena_array(&t->arena, size_t, t->wanted_count + 1);
    for (size_t i = 0; i < t->wanted_count; i++) {
        size_t at = call->describe ? i : 0;
        while (!call->describe && at < t->column_count &&
               !str_eq(t->columns[at].name, call->wanted[i].name))
            at++;
        if (at == t->column_count)
            return err_set(err, E_INVALID, "there is no column " STR_FMT,
                           STR_ARG(call->wanted[i].name));
        t->wanted[i] = at;
        t->columns[at].is_wanted = true;
    }
    return batch_send(t, true, err);
}

/* ---- CSV (RFC 4180, any one-byte delimiter and quote) ---- */

typedef struct Csv {
    Str rest;
    RawDialect dialect;
    Str null_text;
    bool has_more; /* text behind a closing quote, somewhere in the record */
    Arena scratch; /* of one record's unescaped fields */
    StrVec fields;
    Str raw;
} Csv;

static Str csv_unescape(Csv *csv, Str inside)
{
    char *out = arena_alloc(&csv->scratch, inside.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < inside.len; i++) {
        out[len++] = inside.ptr[i];
        if (inside.ptr[i] == csv->dialect.quote)
            i++;
    }
    return str_of(out, len);
}

/* The end of the field at `at`. */
static size_t csv_field(Csv *csv, size_t at, Str *ret_field)
{
    RawField field;
    at = raw_csv_field(csv->rest, at, csv->dialect, &field);
    csv->has_more = csv->has_more || field.has_more;
    *ret_field = field.is_doubled ? csv_unescape(csv, field.text) : field.text;
    if (!field.is_quoted && str_eq(field.text, csv->null_text))
        *ret_field = STR_NONE;
    return at;
}

/* The next record that is not an empty line; false at the end. */
static bool csv_record(Csv *csv)
{
    while (csv->rest.len && (csv->rest.ptr[0] == '\n' || csv->rest.ptr[0] == '\r'))
        csv->rest = str_from(csv->rest, 1);
    if (!csv->rest.len)
        return false;
    arena_reset(&csv->scratch);
    csv->fields.len = 0;
    csv->has_more = false;
    size_t at = 0;
    for (;;) {
        Str field = STR_NONE;
        at = csv_field(csv, at, &field);
        vec_push(&csv->fields, field);
        if (at >= csv->rest.len || csv->rest.ptr[at] != csv->dialect.delim)
            break;
        at++;
    }
    csv->raw = str_sub(csv->rest, 0, at);
    csv->rest = str_from(csv->rest, at);
    return true;
}

static Csv csv_open(const RawCall *call, const RawInput *input)
{
    Str text = buf_str(&input->text);
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_from(text, 3);
    return (Csv){ .rest = text,
                  .dialect = raw_csv_dialect(text, call->delim, call->quote),
                  .null_text = call->null_text };
}

static void csv_close(Csv *csv)
{
    arena_done(&csv->scratch);
    vec_done(&csv->fields);
}

static void csv_names(Text *t, RawInput *input)
{
    if (t->call->column_count) {
        Str *names = arena_array(&t->arena, Str, t->call->column_count);
        for (size_t i = 0; i < t->call->column_count; i++)
            names[i] = t->call->columns[i].name;
        columns_set(t, names, t->call->column_count);
        return;
    }
    Csv csv = csv_open(t->call, input);
    size_t count = csv_record(&csv) ? csv.fields.len : 0;
    Str *names = arena_array(&t->arena, Str, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = t->call->header != 0 && csv.fields.items[i].len
                       ? str_copy(&t->arena, csv.fields.items[i])
                       : str_format(&t->arena, "column%zu", i);
    columns_set(t, names, count);
    csv_close(&csv);
}

/* Where each declared column stands in the records: by the header's names, else by place. */
static Code csv_places(const Text *t, const Csv *header, size_t *places, Str address, Err *err)
{
    size_t declared = t->column_count - EXTRA;
    for (size_t i = 0; i < declared; i++) {
        places[i] = i;
        if (!header)
            continue;
        size_t at = 0;
        while (at < header->fields.len &&
               !str_ieq(str_trim(header->fields.items[at]), t->columns[i].name))
            at++;
        if (at == header->fields.len) {
            Str near = str_nearest(t->columns[i].name, header->fields.items, header->fields.len);
            err_set(err, E_INVALID, "the file has no column " STR_FMT, STR_ARG(t->columns[i].name));
            if (near.ptr)
                err_hint(err, E_INVALID, "did you mean " STR_FMT "?", STR_ARG(near));
            return err_place(err, E_INVALID, STR_FMT ":1", STR_ARG(address));
        }
        places[i] = at;
    }
    return E_OK;
}

static Code csv_rows(Text *t, Csv *csv, size_t file, Err *err)
{
    size_t declared = t->column_count - EXTRA;
    Str address = t->call->files[file];
    size_t *places = arena_array(&t->arena, size_t, declared + 1);
    Str *values = arena_array(&t->arena, Str, declared + 1);
    bool header = t->call->header != 0;
    size_t width = declared;
    if (header && csv_record(csv)) {
        TRY(csv_places(t, csv, places, address, err));
        width = csv->fields.len;
    } else {
        TRY(csv_places(t, NULL, places, address, err));
    }
    for (int64_t row = 1; csv_record(csv); row++) {
        Str problem = csv->has_more              ? STR("record(text behind a quote)")
                      : csv->fields.len != width ? STR("record(number of fields)")
                                                 : STR_NONE;
        for (size_t i = 0; i < declared && !problem.ptr; i++)
            values[i] = csv->fields.items[places[i]];
        TRY(row_put(t, values, problem, file, row, csv->raw, err));
    }
    return E_OK;
}

/* ---- JSON ---- */

/* Strings bare, everything else as JSON text. */
static Str json_text(Arena *arena, const Json *value)
{
    if (json_is_null(value))
        return STR_NONE;
    if (json_type(value) == JSON_STRING)
        return json_str(value);
    Buf buf AUTO(buf_done);
    buf_init(&buf, RAW_FIELD_BYTES_MAX);
    JsonWriter w = json_writer(&buf);
    json_put_value(&w, value);
    return str_copy(arena, buf_str(&buf));
}

static Code json_row(Text *t, Arena *tmp, const Json *value, size_t file, int64_t row, Str raw,
                     Err *err)
{
    size_t declared = t->column_count - EXTRA;
    Str *values = arena_array(tmp, Str, declared + 1);
    bool object = value && json_type(value) == JSON_OBJECT;
    for (size_t i = 0; i < declared && object; i++)
        values[i] = json_text(tmp, json_get_str(value, t->columns[i].name));
    return row_put(t, values, object ? STR_NONE : STR("record(no JSON object)"), file, row, raw,
                   err);
}

/* Gives each value in turn: the items of one array, or a value a line. */
typedef struct JsonValues {
    Str rest;
    const Json *array;
    JsonIter iter;
    Arena all, one;
    const Json *value;    /* NULL: it does not parse */
    const Json *document; /* the whole text is one object over several lines; NULL: not, or taken */
    Str raw;
    Code code; /* why it ended early */
} JsonValues;

static const JsonLimits VALUE_LIMITS = { .bytes_max = RAW_FIELD_BYTES_MAX,
                                         .depth_max = RAW_JSON_DEPTH_MAX,
                                         .keeps_duplicates = true };

static Code value_too_long(Str address, Err *err)
{
    err_set(err, E_LIMIT, "a value has more than %d bytes", RAW_FIELD_BYTES_MAX);
    return err_place(err, E_LIMIT, STR_FMT, STR_ARG(address));
}

static Code values_open(JsonValues *v, const RawInput *input, Err *err)
{
    JsonLimits limits = { .bytes_max = RAW_TEXT_BYTES_MAX,
                          .depth_max = RAW_JSON_DEPTH_MAX + 1,
                          .keeps_duplicates = true };
    *v = (JsonValues){ .rest = buf_str(&input->text) };
    if (str_starts(v->rest, STR("\xef\xbb\xbf")))
        v->rest = str_from(v->rest, 3);
    Str trimmed = str_trim(v->rest);
    if (!trimmed.len || trimmed.ptr[0] != '[') {
        bool lines = str_find_char(trimmed, '\n') >= 0;
        if (lines && json_parse(&v->all, trimmed, &limits, &v->document, NULL) == E_OK)
            v->raw = trimmed;
        if (v->document && trimmed.len > RAW_FIELD_BYTES_MAX)
            return value_too_long(input->address, err);
        return E_OK;
    }
    Code code = json_parse(&v->all, trimmed, &limits, &v->array, err);
    if (code != E_OK)
        return err_place(err, code, STR_FMT, STR_ARG(input->address));
    v->iter = json_iter(v->array);
    return E_OK;
}

static bool values_next(JsonValues *v)
{
    arena_reset(&v->one);
    if (v->array) {
        if (!json_next(&v->iter))
            return false;
        Buf raw AUTO(buf_done);
        buf_init(&raw, RAW_FIELD_BYTES_MAX);
        JsonWriter w = json_writer(&raw);
        json_put_value(&w, v->iter.value);
        v->code = buf_end(&raw, "a value", NULL);
        if (v->code != E_OK)
            return false;
        v->raw = str_copy(&v->one, buf_str(&raw));
        v->value = v->iter.value;
        return true;
    }
    if (v->document) {
        v->value = v->document;
        v->document = NULL;
        v->rest = STR_NONE;
        return true;
    }
    Str line;
    while (str_split(&v->rest, '\n', &line)) {
        v->raw = str_trim(line);
        if (!v->raw.len)
            continue;
        if (json_parse(&v->one, v->raw, &VALUE_LIMITS, &v->value, NULL) != E_OK)
            v->value = NULL;
        return true;
    }
    return false;
}

static void values_close(JsonValues *v)
{
    arena_done(&v->all);
    arena_done(&v->one);
}

/* The keys of the first SAMPLE objects, in the order they are met. */
static Code json_names(Text *t, RawInput *input, Err *err)
{
    StrVec names = { 0 };
    for (size_t i = 0; i < t->call->column_count; i++)
        vec_push(&names, t->call->columns[i].name);
    JsonValues v;
    Code code = names.len ? E_OK : values_open(&v, input, err);
    for (size_t n = 0; code == E_OK && !t->call->column_count && n < SAMPLE && values_next(&v); n++)
        for (JsonIter it = json_iter(v.value);
             v.value && json_type(v.value) == JSON_OBJECT && json_next(&it);) {
            bool known = false;
            for (size_t i = 0; i < names.len; i++)
                known = known || str_eq(names.items[i], it.key);
            if (!known && names.len < RAW_COLUMNS_MAX)
                vec_push(&names, str_copy(&t->arena, it.key));
        }
    if (!t->call->column_count)
        values_close(&v);
    if (code == E_OK)
        columns_set(t, names.items, names.len);
    vec_done(&names);
    return code;
}

static Code json_rows(Text *t, const RawInput *input, size_t file, Err *err)
{
    JsonValues v;
    Code code = values_open(&v, input, err);
    for (int64_t row = 1; code == E_OK && values_next(&v); row++)
        code = json_row(t, &v.one, v.value, file, row, v.raw, err);
    if (code == E_OK && v.code != E_OK)
        code = value_too_long(input->address, err);
    values_close(&v);
    return code;
}

/* ---- both ---- */

static Code text_rows(Text *t, RawInput *inputs, Err *err)
{
    for (size_t i = 0; i < t->call->file_count && !t->call->describe; i++) {
        if (t->call->format == RAW_JSON) {
            TRY(json_rows(t, &inputs[i], i, err));
            continue;
        }
        Csv csv = csv_open(t->call, &inputs[i]);
        Code code = csv_rows(t, &csv, i, err);
        csv_close(&csv);
        TRY(code);
    }
    if (t->rows > 0)
        TRY(batch_send(t, false, err));
    buf_clear(&t->out);
    arrow_ipc_eos_put(&t->out);
    return t->send(t->to, buf_str(&t->out), err);
}

/* All objects of the job are empty: the columns are those that were declared or found before. */
static Code empty_names(Text *t, Str address, Err *err)
{
    const RawCall *call = t->call;
    if (call->describe && call->column_count == 0)
        return raw_empty_error(address, err);
    const RawColumn *columns = call->column_count ? call->columns : call->wanted;
    size_t count = call->column_count ? call->column_count : call->wanted_count;
    Str *names = arena_array(&t->arena, Str, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = columns[i].name;
    columns_set(t, names, count);
    return E_OK;
}

Code raw_text_run(const RawCall *raw, RawInput *inputs, RawSend *send, void *to, Err *err)
{
    Text t = { .call = raw, .send = send, .to = to };
    buf_init(&t.out, COLUMN_BYTES_MAX);
    size_t first = 0; /* that has records */
    while (first < raw->file_count && raw_text_is_empty(raw->format, buf_str(&inputs[first].text)))
        first++;
    Code code = E_OK;
    if (first == raw->file_count)
        code = empty_names(&t, inputs[0].address, err);
    else if (raw->format == RAW_JSON)
        code = json_names(&t, &inputs[first], err);
    else
        csv_names(&t, &inputs[first]);
    if (code == E_OK)
        code = wanted_set(&t, err);
    if (code == E_OK)
        code = text_rows(&t, inputs, err);
    for (size_t i = 0; i < t.column_count; i++) {
        buf_done(&t.columns[i].data);
        buf_done(&t.columns[i].offsets);
    }
    buf_done(&t.out);
    arena_done(&t.arena);
    return code;
}
