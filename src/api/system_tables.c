/* The lake about itself: rows of the metadata and of the tables' snapshots as Arrow batches.
 *
 * Invariants:
 * 1. All rows of a scan are listed when it is opened, those of the metadata at one snapshot of it;
 *    no read of the metadata stays open behind that.
 * 2. A scan gives every row that its filters keep, or LIMIT: never a part in silence. */
#include "api/system_tables.h"

#include "api/api_priv.h"
#include "format/arrow_build.h"
#include "sql/scan_source.h"
#include "store/store.h"

enum { AUDIT_PAGE_ROWS = 10000 };

typedef enum ColumnType { COLUMN_TEXT, COLUMN_I64, COLUMN_F64, COLUMN_BOOL, COLUMN_TIME } ColumnType;

static const char *const FORMATS[] = { [COLUMN_TEXT] = "u", [COLUMN_I64] = "l", [COLUMN_F64] = "g",
                                       [COLUMN_BOOL] = "b", [COLUMN_TIME] = "tsu:UTC" };

typedef struct Column {
    const char *name;
    ColumnType type;
} Column;

typedef struct Rows Rows;

typedef struct SystemTable {
    const char *name;
    GovernRight right;
    const Column *columns;
    size_t column_count;
    /* `read` is of the metadata; NULL for snapshots. */
    Code (*fill)(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err);
} SystemTable;

#define COLUMN(name, type) { #name, COLUMN_##type },
#define SYSTEM_TABLE(name, right, what, ...)                                                       \
    static const Column columns_##name[] = { __VA_ARGS__ };                                        \
    static Code fill_##name(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err);
#include "api/system_tables.def"
#undef SYSTEM_TABLE
#undef COLUMN

static const SystemTable TABLES[] = {
#define SYSTEM_TABLE(name, right, what, ...)                                                       \
    { #name, right, columns_##name, ARRAY_LEN(columns_##name), fill_##name },
#include "api/system_tables.def"
#undef SYSTEM_TABLE
};

typedef struct TableSource {
    const SystemTable *table;
    const SystemTables *tables;
    ScanSource source;
} TableSource;

struct SystemTables {
    SystemTablesOptions options;
    TableSource sources[ARRAY_LEN(TABLES)];
};

/* ---- cells ---- */

typedef ArrowCell Cell;

static Cell cell_text(Str text)
{
    return (Cell){ .set = text.len > 0, .text = text };
}

static Cell cell_i64(int64_t number)
{
    return (Cell){ .set = true, .number = number };
}

static Cell cell_bool(bool value)
{
    return cell_i64(value);
}

static Cell cell_f64(double real)
{
    return (Cell){ .set = true, .real = real };
}

static Cell cell_time(int64_t time_us)
{
    return (Cell){ .set = time_us != 0, .number = time_us };
}

static const Cell CELL_NULL = { .set = false };

static bool order_passes(ScanOp op, int order)
{
    switch (op) {
    case SCAN_EQ:
        return order == 0;
    case SCAN_NE:
        return order != 0;
    case SCAN_LT:
        return order < 0;
    case SCAN_LE:
        return order <= 0;
    case SCAN_GT:
        return order > 0;
    case SCAN_GE:
        return order >= 0;
    case SCAN_IS_NULL:
    case SCAN_IS_NOT_NULL:
        break;
    }
    return true;
}

/* The engine filters again, so a pair of types that is not compared here passes. */
static bool cell_passes(const ScanFilter *filter, ColumnType type, Cell cell)
{
    if (filter->op == SCAN_IS_NULL || filter->op == SCAN_IS_NOT_NULL)
        return cell.set == (filter->op == SCAN_IS_NOT_NULL);
    if (!cell.set)
        return false;
    if (type == COLUMN_TEXT && filter->value.kind == SCAN_VALUE_TEXT)
        return order_passes(filter->op, str_cmp(cell.text, filter->value.text));
    if ((type == COLUMN_I64 || type == COLUMN_TIME) && filter->value.kind == SCAN_VALUE_I64)
        return order_passes(filter->op, (cell.number > filter->value.i64) -
                                            (cell.number < filter->value.i64));
    return true;
}

/* ---- rows into batches ---- */

typedef Vec(ArrowArray) BatchVec;

struct Rows {
    const SystemTable *table;
    const ScanQuery *query;
    size_t count, count_max;
    uint64_t text_bytes;
    BatchVec batches;
};

static ArrowArray *column_new(ColumnType type)
{
    static const ArrowCellType types[] = {
        [COLUMN_TEXT] = ARROW_CELL_TEXT, [COLUMN_I64] = ARROW_CELL_I64,   [COLUMN_TIME] = ARROW_CELL_I64,
        [COLUMN_F64] = ARROW_CELL_F64,   [COLUMN_BOOL] = ARROW_CELL_BOOL,
    };
    return arrow_column_new(types[type], SYSTEM_BATCH_ROWS, SYSTEM_TEXT_BYTES_MAX);
}

static ArrowArray batch_new(const Rows *rows)
{
    ArrowArray batch = arrow_batch_new(rows->query->column_count);
    for (size_t i = 0; i < rows->query->column_count; i++)
        batch.children[i] = column_new(rows->table->columns[rows->query->columns[i]].type);
    return batch;
}

static Code rows_over(const Rows *rows, size_t count, Err *err)
{
    Code code = err_set(err, E_LIMIT, "tarn.%s gives more than %zu rows", rows->table->name, count);
    return err_hint(err, code, "ask for fewer: WHERE %s ...", rows->table->columns[0].name);
}

static bool rows_want(const Rows *rows, size_t column, Cell cell)
{
    for (size_t i = 0; i < rows->query->filter_count; i++) {
        const ScanFilter *filter = &rows->query->filters[i];
        if (filter->column == column &&
            !cell_passes(filter, rows->table->columns[column].type, cell))
            return false;
    }
    return true;
}

/* `cells`: one for each column of the table. */
static Code rows_add(Rows *rows, const Cell *cells, Err *err)
{
    for (size_t i = 0; i < rows->table->column_count; i++) {
        if (!rows_want(rows, i, cells[i]))
            return E_OK;
    }
    if (rows->count == rows->count_max)
        return rows_over(rows, rows->count_max, err);
    for (size_t i = 0; i < rows->query->column_count; i++)
        rows->text_bytes += cells[rows->query->columns[i]].text.len;
    if (rows->text_bytes > SYSTEM_TEXT_BYTES_MAX) {
        Code code = err_set(err, E_LIMIT, "the texts of tarn.%s have more than %d bytes",
                            rows->table->name, SYSTEM_TEXT_BYTES_MAX);
        return err_hint(err, code, "ask for fewer: WHERE %s ...", rows->table->columns[0].name);
    }
    if (rows->count++ % SYSTEM_BATCH_ROWS == 0)
        vec_push(&rows->batches, batch_new(rows));
    ArrowArray *batch = vec_last(&rows->batches);
    batch->length++;
    for (size_t i = 0; i < rows->query->column_count; i++)
        arrow_column_put(batch->children[i], cells[rows->query->columns[i]]);
    return E_OK;
}

/* ---- the tables ---- */

/* A summary leaves out counts of nothing. */
static Cell cell_added(const IceSnapshot *snapshot, const char *key)
{
    return cell_i64(MAX(api_summary_number(snapshot, key), (int64_t)0));
}

static Code fill_snapshots_of(const SystemTables *tables, const TableEntry *entry, Rows *rows,
                              Err *err)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code = catalog_load(tables->options.catalog, entry->ns, entry->name, &version, err);
    if (code == E_NOT_FOUND) /* dropped since the list was made */
        return E_OK;
    TRY(code);
    const TableMetadata *metadata = table_version_metadata(version);
    for (size_t i = 0; metadata && i < metadata->snapshot_count; i++) {
        const IceSnapshot *snapshot = &metadata->snapshots[i];
        int64_t total = api_summary_number(snapshot, "total-records");
        const Cell cells[ARRAY_LEN(columns_snapshots)] = {
            cell_text(entry->ns),
            cell_text(entry->name),
            cell_i64(snapshot->id),
            snapshot->parent_id < 0 ? CELL_NULL : cell_i64(snapshot->parent_id),
            cell_time(snapshot->timestamp_ms * 1000),
            cell_text(snapshot->operation),
            cell_added(snapshot, "added-records"),
            total < 0 ? CELL_NULL : cell_i64(total),
            cell_added(snapshot, "added-data-files"),
            cell_bool(snapshot->id == metadata->current_snapshot_id),
        };
        TRY(rows_add(rows, cells, err));
    }
    return E_OK;
}

/* A filter on a table's name keeps the metadata of all others unread. */
static Code fill_snapshots(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err)
{
    (void)read;
    TableEntry *entries;
    size_t count;
    TRY(catalog_table_list(tables->options.catalog, STR_NONE, tmp, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].is_view && rows_want(rows, 0, cell_text(entries[i].ns)) &&
            rows_want(rows, 1, cell_text(entries[i].name)))
            TRY(fill_snapshots_of(tables, &entries[i], rows, err));
    }
    return E_OK;
}

static Code fill_runs(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err)
{
    (void)tables;
    Arena part_tmp AUTO(arena_done) = { 0 };
    MetaRun *runs, *parts;
    size_t count, part_count;
    TRY(meta_list_runs(read, 0, META_LIST_MAX, tmp, &runs, &count, err));
    if (count == META_LIST_MAX)
        return rows_over(rows, META_LIST_MAX, err);
    for (size_t i = 0; i < count; i++) {
        arena_reset(&part_tmp);
        if (!rows_want(rows, 0, cell_text(runs[i].run_id)))
            continue;
        TRY(meta_list_run_parts(read, runs[i].run_id, &part_tmp, &parts, &part_count, err));
        for (size_t p = 0; p < part_count; p++) {
            const Cell cells[ARRAY_LEN(columns_runs)] = {
                cell_text(parts[p].run_id),      cell_text(parts[p].model),
                cell_text(parts[p].state),       cell_time(parts[p].started_us),
                cell_time(parts[p].ended_us),
            };
            TRY(rows_add(rows, cells, err));
        }
    }
    return E_OK;
}

static Code fill_quality(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err)
{
    (void)tables;
    MetaQuality *list;
    size_t count;
    TRY(meta_list_quality(read, STR(""), META_LIST_MAX, tmp, &list, &count, err));
    if (count == META_LIST_MAX)
        return rows_over(rows, META_LIST_MAX, err);
    for (size_t i = 0; i < count; i++) {
        const Cell cells[ARRAY_LEN(columns_quality)] = {
            cell_text(list[i].run_id), cell_text(list[i].model),   cell_f64(list[i].score),
            cell_f64(list[i].gate),    cell_bool(list[i].passed), cell_time(list[i].time_us),
        };
        TRY(rows_add(rows, cells, err));
    }
    return E_OK;
}

static Code fill_lineage(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err)
{
    (void)tables;
    MetaLineage *list;
    size_t count;
    TRY(meta_list_lineage(read, STR(""), tmp, &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        const Cell cells[ARRAY_LEN(columns_lineage)] = {
            cell_text(list[i].target),
            cell_text(list[i].source),
            cell_text(list[i].run_id),
            cell_time(list[i].time_us),
        };
        TRY(rows_add(rows, cells, err));
    }
    return E_OK;
}

static Code fill_buckets(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err)
{
    static const char *const versioning[] = { "never", "enabled", "suspended" };
    StoreBucket *buckets;
    size_t count;
    (void)read;
    TRY(store_bucket_list(tables->options.store, tmp, &buckets, &count, err));
    for (size_t i = 0; i < count; i++) {
        const StoreBucket *bucket = &buckets[i];
        const Cell cells[ARRAY_LEN(columns_buckets)] = {
            cell_text(bucket->name),
            cell_time(bucket->created_us),
            cell_text(str_z(versioning[bucket->versioning])),
            cell_text(bucket->owner),
            cell_i64((int64_t)bucket->objects),
            cell_i64((int64_t)bucket->versions),
            cell_i64((int64_t)bucket->bytes),
            cell_i64((int64_t)bucket->trash_bytes),
            cell_i64((int64_t)bucket->uploads),
        };
        TRY(rows_add(rows, cells, err));
    }
    return E_OK;
}

static Code fill_audit(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err)
{
    (void)tables;
    MetaAudit *list;
    size_t count = AUDIT_PAGE_ROWS;
    int64_t after = 0;
    while (count == AUDIT_PAGE_ROWS) {
        arena_reset(tmp);
        TRY(meta_list_audit(read, after, AUDIT_PAGE_ROWS, tmp, &list, &count, err));
        for (size_t i = 0; i < count; i++) {
            const Cell cells[ARRAY_LEN(columns_audit)] = {
                cell_time(list[i].time_us), cell_text(list[i].principal),
                cell_text(list[i].verb),    cell_text(list[i].target),
                cell_text(list[i].outcome), cell_text(list[i].detail_json),
            };
            after = list[i].id;
            TRY(rows_add(rows, cells, err));
        }
    }
    return E_OK;
}

static Code fill_ledger(const SystemTables *tables, MetaRead *read, Rows *rows, Arena *tmp, Err *err)
{
    (void)tables;
    MetaLedger *list;
    size_t count;
    TRY(meta_list_ledger(read, STR(""), STR(""), tmp, &list, &count, err));
    for (size_t i = 0; i < count; i++) {
        bool whole = list[i].start_us == 0 && list[i].end_us == 0;
        const Cell cells[ARRAY_LEN(columns_ledger)] = {
            cell_text(list[i].model),
            whole ? CELL_NULL : cell_i64(list[i].start_us),
            whole ? CELL_NULL : cell_i64(list[i].end_us),
            cell_text(list[i].state),
            cell_i64(list[i].rows),
            cell_text(list[i].reason),
        };
        TRY(rows_add(rows, cells, err));
    }
    return E_OK;
}

/* ---- the source ---- */

/* The texts are constants; only the structs are memory. */
static void schema_release(ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        arrow_schema_done(schema->children[i]);
        mem_free(&schema->children[i]);
    }
    mem_free(&schema->children);
    schema->release = NULL;
}

static Code source_schema(void *self, ArrowSchema *ret_schema, Err *err)
{
    (void)err;
    const SystemTable *table = ((const TableSource *)self)->table;
    ArrowSchema schema = { .format = "+s", .name = "", .n_children = (int64_t)table->column_count,
                           .release = schema_release };
    schema.children = mem_new(table->column_count * sizeof *schema.children);
    for (size_t i = 0; i < table->column_count; i++) {
        schema.children[i] = mem_new(sizeof **schema.children);
        *schema.children[i] = (ArrowSchema){ .format = FORMATS[table->columns[i].type],
                                             .name = table->columns[i].name,
                                             .flags = ARROW_FLAG_NULLABLE,
                                             .release = schema_release };
    }
    *ret_schema = schema;
    return E_OK;
}

typedef struct Scan {
    BatchVec batches;
    size_t given;
} Scan;

static void source_close(void *scan_pointer)
{
    Scan *scan = scan_pointer;
    for (size_t i = scan->given; i < scan->batches.len; i++)
        arrow_array_done(&scan->batches.items[i]);
    vec_done(&scan->batches);
    mem_free(&scan);
}

static Code source_open_scan(void *self, const ScanQuery *query, void **ret_scan, Err *err)
{
    const TableSource *source = self;
    Rows rows = { .table = source->table, .query = query,
                  .count_max = source->tables->options.rows_max };
    Arena tmp AUTO(arena_done) = { 0 };
    MetaRead *read AUTO(meta_read_end) = NULL;
    if (source->table->fill != fill_snapshots) /* the catalog reads by itself: never two at a time */
        TRY(meta_read_begin(source->tables->options.meta, &read, err));
    Code code = source->table->fill(source->tables, read, &rows, &tmp, err);
    Scan *scan = mem_new(sizeof *scan);
    scan->batches = rows.batches;
    if (code != E_OK)
        source_close(scan);
    else
        *ret_scan = scan;
    return code;
}

static Code source_next(void *scan_pointer, ArrowArray *ret_array, Err *err)
{
    (void)err;
    Scan *scan = scan_pointer;
    *ret_array = (ArrowArray){ .release = NULL };
    if (scan->given < scan->batches.len)
        *ret_array = scan->batches.items[scan->given++];
    return E_OK;
}

Code system_tables_open(const SystemTablesOptions *options, Sql *sql, SystemTables **ret_tables,
                        Err *err)
{
    SystemTables *tables AUTO(system_tables_free) = mem_new(sizeof *tables);
    tables->options = *options;
    if (tables->options.rows_max == 0)
        tables->options.rows_max = SYSTEM_ROWS_MAX;
    for (size_t i = 0; i < ARRAY_LEN(TABLES); i++) {
        TableSource *source = &tables->sources[i];
        *source = (TableSource){ .table = &TABLES[i], .tables = tables,
                                 .source = { .self = source, .schema = source_schema,
                                             .open = source_open_scan, .next = source_next,
                                             .close = source_close } };
        TRY(sql_register_source(sql, STR("tarn"), str_z(TABLES[i].name), &source->source, err));
    }
    *ret_tables = TAKE(tables);
    return E_OK;
}

void system_tables_free(SystemTables **tables)
{
    mem_free(tables);
}

/* ---- who may not ---- */

typedef struct Refusal {
    const SystemTable *table;
    const Principal *principal;
    ScanSource source;
} Refusal;

static Code refusal_set(const Refusal *refusal, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str target = str_format(&tmp, "tarn.%s", refusal->table->name);
    Code code = govern_check(refusal->principal, refusal->table->right, target, err);
    ASSERT(code != E_OK);
    return code;
}

static Code refusal_schema(void *self, ArrowSchema *ret_schema, Err *err)
{
    (void)ret_schema;
    return refusal_set(self, err);
}

static Code refusal_open(void *self, const ScanQuery *query, void **ret_scan, Err *err)
{
    (void)query;
    (void)ret_scan;
    return refusal_set(self, err);
}

const SqlBinding *system_tables_refuse(const Principal *principal, Arena *arena, size_t *ret_count)
{
    SqlBinding *bindings = arena_array(arena, SqlBinding, ARRAY_LEN(TABLES));
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(TABLES); i++) {
        if (govern_role_may(principal->role, TABLES[i].right))
            continue;
        Refusal *refusal = arena_new(arena, Refusal);
        *refusal = (Refusal){ .table = &TABLES[i], .principal = principal,
                              .source = { .self = refusal, .schema = refusal_schema,
                                          .open = refusal_open } };
        bindings[count++] = (SqlBinding){ .ns = STR("tarn"), .name = str_z(TABLES[i].name),
                                          .source = &refusal->source };
    }
    *ret_count = count;
    return bindings;
}
