/* Writes and reads tables for the proof with PyIceberg: one JSON command a line on standard input,
 * one JSON answer a line on standard output. `table_tool DIR`: a lake in DIR (store in drives,
 * metadata database).
 *
 *   {"op":"create","ns","name","columns":[["id","BIGINT"]],"partition":[["day","month"]],"sort":[["id","desc"]]}
 *   {"op":"put","address":"s3://...","file":"/path"}
 *   {"op":"commit","ns","name","kind":"append","files":[{"address","values":["2020-01-01",null]}],"remove":[]}
 *   {"op":"alter","ns","name","changes":[["add","x","INTEGER"],["rename","x","y"],["widen","y","BIGINT"],
 *                                        ["drop","y"],["first","x"],["after","x","id"]]}
 *   {"op":"register","ns","name","location","metadata"}
 *   {"op":"plan","ns","name","where":[["id","=","7"]],"ref":"main"}
 *   {"op":"export","dir"}
 */
#include "format/json.h"
#include "table/scan.h"
#include "table/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LINE_MAX_BYTES = 16 << 20, FILE_BYTES_MAX = 1 << 30, LIST_MAX = 10000 };

typedef struct Tool {
    Arena arena;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    JsonWriter out;
    uint64_t exported; /* the newest change that `export` has written */
} Tool;

static Str text_at(const Json *list, size_t at)
{
    return json_str(json_at(list, at));
}

static TableName name_of(const Json *in)
{
    return (TableName){ json_str(json_get(in, "ns")), json_str(json_get(in, "name")) };
}

static Code create(Tool *tool, const Json *in, Err *err)
{
    const Json *columns = json_get(in, "columns"), *partition = json_get(in, "partition"),
               *sort = json_get(in, "sort");
    IceField *fields = arena_array(&tool->arena, IceField, json_len(columns) + 1);
    PartitionColumn *parts = arena_array(&tool->arena, PartitionColumn, json_len(partition) + 1);
    SortColumn *sorts = arena_array(&tool->arena, SortColumn, json_len(sort) + 1);
    for (size_t i = 0; i < json_len(columns); i++) {
        fields[i].name = text_at(json_at(columns, i), 0);
        TRY(ice_type_from_sql(&tool->arena, text_at(json_at(columns, i), 1), &fields[i].type, err));
    }
    for (size_t i = 0; i < json_len(partition); i++) {
        parts[i].column = text_at(json_at(partition, i), 0);
        TRY(ice_transform_parse(text_at(json_at(partition, i), 1), &parts[i].transform, err));
    }
    for (size_t i = 0; i < json_len(sort); i++)
        sorts[i] = (SortColumn){ .column = text_at(json_at(sort, i), 0),
                                 .descending = str_eq(text_at(json_at(sort, i), 1), STR("desc")),
                                 .nulls_last = true };
    TableName name = name_of(in);
    Code code = catalog_namespace_create(tool->catalog, name.ns, NULL, 0, NULL, err);
    if (code && code != E_EXISTS)
        return code;
    TableCreate create = { .ns = name.ns,
                           .name = name.name,
                           .columns = fields,
                           .column_count = json_len(columns),
                           .partition = parts,
                           .partition_count = json_len(partition),
                           .sort = sorts,
                           .sort_count = json_len(sort) };
    return catalog_table_create(tool->catalog, &create, NULL, err);
}

static Code put(Tool *tool, const Json *in, Err *err)
{
    Buf AUTO(buf_done) bytes;
    Str bucket, key;
    buf_init(&bytes, FILE_BYTES_MAX);
    TRY(os_read_whole(os_real(), str_copy_z(&tool->arena, json_str(json_get(in, "file"))), &bytes,
                      err));
    if (!store_address_parse(json_str(json_get(in, "address")), &bucket, &key))
        return err_set(err, E_INVALID, "no address");
    StorePut put = { .bucket = bucket, .key = key, .trust = TRUST_OURS };
    return store_put(tool->store, &put, buf_str(&bytes), NULL, err);
}

static Code file_describe(Tool *tool, const TableMetadata *m, const Json *in, DataFile *file,
                          Err *err)
{
    Str address = json_str(json_get(in, "address")), bucket, key;
    const Json *values = json_get(in, "values");
    const IcePartitionSpec *spec = table_spec_default(m);
    ObjectReader *AUTO(object_reader_free) reader = NULL;
    if (!store_address_parse(address, &bucket, &key) || json_len(values) != spec->field_count)
        return err_set(err, E_INVALID, "no address, or not one value a partition field");
    TRY(store_reader_open(tool->store, bucket, key, 0, &reader, err));
    TRY(data_file_from_footer(reader, table_schema_current(m), m, &tool->arena, file, err));
    file->address = address;
    file->spec_id = spec->id;
    file->partition_count = spec->field_count;
    file->partition = arena_array(&tool->arena, IceValue, spec->field_count + 1);
    for (size_t i = 0; i < spec->field_count; i++) {
        const IceType *type =
            ice_schema_field(table_schema_current(m), spec->fields[i].source_id)->type;
        IceValue source = ICE_NULL;
        if (!json_is_null(json_at(values, i)))
            TRY(ice_value_parse(type, text_at(values, i), &tool->arena, &source, err));
        TRY(ice_transform_apply(spec->fields[i].transform, type, &source, &file->partition[i],
                                err));
    }
    return E_OK;
}

static const struct {
    const char *name;
    CommitKind kind;
} KINDS[] = { { "append", COMMIT_APPEND },
              { "overwrite", COMMIT_OVERWRITE },
              { "delete", COMMIT_DELETE },
              { "replace", COMMIT_REPLACE } };

static Code commit(Tool *tool, const Json *in, Err *err)
{
    TableVersion *AUTO(table_version_free) version = NULL;
    TableName name = name_of(in);
    const Json *files = json_get(in, "files"), *remove = json_get(in, "remove");
    TRY(catalog_load(tool->catalog, name.ns, name.name, &version, err));
    DataFile *add = arena_array(&tool->arena, DataFile, json_len(files) + 1);
    Str *gone = arena_array(&tool->arena, Str, json_len(remove) + 1);
    for (size_t i = 0; i < json_len(files); i++)
        TRY(file_describe(tool, table_version_metadata(version), json_at(files, i), &add[i], err));
    for (size_t i = 0; i < json_len(remove); i++)
        gone[i] = text_at(remove, i);
    TableCommit commit = { .name = name,
                           .add = add,
                           .add_count = json_len(files),
                           .remove = gone,
                           .remove_count = json_len(remove) };
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
        if (str_eq(str_z(KINDS[i].name), json_str(json_get(in, "kind"))))
            commit.kind = KINDS[i].kind;
    CommitResult result;
    TRY(catalog_commit(tool->catalog, &commit, 1, NULL, &result, err));
    json_field_i64(&tool->out, "snapshot", result.snapshot_id);
    return E_OK;
}

static Code alter(Tool *tool, const Json *in, Err *err)
{
    static const char *const NAMES[] = { "add",      "drop", "rename", "widen",
                                         "optional", "doc",  "first",  "after" };
    const Json *list = json_get(in, "changes");
    SchemaChange *changes = arena_array(&tool->arena, SchemaChange, json_len(list) + 1);
    for (size_t i = 0; i < json_len(list); i++) {
        const Json *change = json_at(list, i);
        for (unsigned kind = 0; kind < ARRAY_LEN(NAMES); kind++)
            if (str_eq(text_at(change, 0), str_z(NAMES[kind])))
                changes[i].kind = kind;
        changes[i].column = text_at(change, 1);
        if (changes[i].kind == SCHEMA_ADD || changes[i].kind == SCHEMA_WIDEN)
            TRY(ice_type_from_sql(&tool->arena, text_at(change, 2), &changes[i].type, err));
        else
            changes[i].text = text_at(change, 2);
    }
    TableCommit commit = { .name = name_of(in),
                           .kind = COMMIT_SCHEMA,
                           .changes = changes,
                           .change_count = json_len(list) };
    CommitResult result;
    return catalog_commit(tool->catalog, &commit, 1, NULL, &result, err);
}

/* A table that someone else wrote: only the row, as a REST catalog would make it. */
static Code register_table(Tool *tool, const Json *in, Err *err)
{
    TableName name = name_of(in);
    Code code = catalog_namespace_create(tool->catalog, name.ns, NULL, 0, NULL, err);
    if (code && code != E_EXISTS)
        return code;
    MetaTxn txn;
    meta_txn_init(&txn, &tool->arena);
    meta_txn_set_commit(&txn, os_uuid(os_real()));
    meta_add_table(&txn, &(MetaTable){ .uuid = os_uuid(os_real()),
                                       .namespace_name = name.ns,
                                       .name = name.name,
                                       .location = json_str(json_get(in, "location")),
                                       .metadata_location = json_str(json_get(in, "metadata")),
                                       .created_us = 1 });
    return meta_commit(tool->meta, &txn, err);
}

static Code predicates_read(Tool *tool, const IceSchema *schema, const Json *list,
                            ScanPredicate *out, Err *err)
{
    static const char *const OPS[] = { "=",  "!=", "<",      "<=",   ">",
                                       ">=", "in", "starts", "null", "not null" };
    for (size_t i = 0; i < json_len(list); i++) {
        const Json *item = json_at(list, i);
        const IceField *field = ice_schema_find(schema, text_at(item, 0));
        if (!field)
            return err_set(err, E_NOT_FOUND, "no such column");
        for (unsigned op = 0; op < ARRAY_LEN(OPS); op++)
            if (str_eq(text_at(item, 1), str_z(OPS[op])))
                out[i].op = op;
        out[i].field_id = field->id;
        IceValue *values = arena_array(&tool->arena, IceValue, json_len(item));
        for (size_t j = 2; j < json_len(item); j++)
            TRY(ice_value_parse(field->type, text_at(item, j), &tool->arena,
                                &values[out[i].value_count++], err));
        out[i].values = values;
    }
    return E_OK;
}

static Code plan(Tool *tool, const Json *in, Err *err)
{
    TableVersion *AUTO(table_version_free) version = NULL;
    TableName name = name_of(in);
    const Json *where = json_get(in, "where");
    TRY(catalog_load(tool->catalog, name.ns, name.name, &version, err));
    const TableMetadata *m = table_version_metadata(version);
    ScanPredicate *predicates = arena_array(&tool->arena, ScanPredicate, json_len(where) + 1);
    TRY(predicates_read(tool, table_schema_current(m), where, predicates, err));
    TableScan query = { .ref = json_str(json_get(in, "ref")),
                        .predicates = predicates,
                        .predicate_count = json_len(where) };
    ScanPlan plan;
    TRY(table_scan(version, &query, &tool->arena, &plan, err));
    JsonWriter *w = &tool->out;
    json_field_str(w, "metadata", table_version_entry(version)->metadata_location);
    json_field_str(w, "location", m->location);
    json_field_i64(w, "records", plan.record_count);
    json_key(w, STR("files"));
    json_begin_array(w);
    for (size_t i = 0; i < plan.file_count; i++) {
        const DataFile *file = plan.files[i];
        const IceType **types;
        TRY(partition_types(m, table_spec(m, file->spec_id), &tool->arena, &types, err));
        json_begin_object(w);
        json_field_str(w, "address", file->address);
        json_field_i64(w, "records", file->record_count);
        json_key(w, STR("partition"));
        json_begin_array(w);
        for (size_t j = 0; j < file->partition_count; j++)
            json_put_str(w, ice_value_format(&tool->arena, types[j], &file->partition[j]));
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
    return E_OK;
}

static void directories_make(const char *path)
{
    char part[OS_PATH_MAX];
    for (size_t i = 1; path[i] && i < sizeof part; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        IGNORE(mkdir(part, 0777)); /* there already is fine */
    }
}

/* For a reader in the next moment: nothing is synced. */
static Code file_write(const char *path, Str bytes, Err *err)
{
    directories_make(path);
    FILE *file = fopen(path, "wb");
    bool fine = file && fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len;
    if (file && fclose(file))
        fine = false;
    return fine ? E_OK : err_set(err, E_IO, "%s cannot be written", path);
}

/* What was put since the export before: objects of tables do not change. */
static Code export(Tool *tool, const Json *in, Err *err)
{
    StoreListQuery query = { .bucket = STR("lake") };
    StoreListPage page;
    uint64_t from = tool->exported;
    do {
        TRY(store_list(tool->store, &query, &tool->arena, &page, err));
        for (size_t i = 0; i < page.object_count; i++) {
            const ObjectInfo *info = &page.objects[i];
            if (info->sequence <= from)
                continue;
            tool->exported = MAX(tool->exported, info->sequence);
            Str path = str_format(&tool->arena, STR_FMT "/" STR_FMT "/" STR_FMT,
                                  STR_ARG(json_str(json_get(in, "dir"))), STR_ARG(info->bucket),
                                  STR_ARG(info->key));
            ObjectReader *AUTO(object_reader_free) reader = NULL;
            char *bytes = arena_alloc(&tool->arena, info->size_bytes + 1);
            size_t got;
            const char *z = str_copy_z(&tool->arena, path);
            TRY(store_reader_open(tool->store, info->bucket, info->key, 0, &reader, err));
            TRY(object_pread(reader, bytes, info->size_bytes, 0, &got, err));
            TRY(file_write(z, str_of(bytes, got), err));
        }
        query.start_after = page.next;
    } while (page.truncated);
    return E_OK;
}

static const struct {
    const char *name;
    Code (*run)(Tool *tool, const Json *in, Err *err);
} OPS[] = {
    { "create", create },           { "put", put },   { "commit", commit }, { "alter", alter },
    { "register", register_table }, { "plan", plan }, { "export", export }
};

static Code command_run(Tool *tool, Str line, Err *err)
{
    const Json *in;
    TRY(json_parse(&tool->arena, line, NULL, &in, err));
    for (size_t i = 0; i < ARRAY_LEN(OPS); i++)
        if (str_eq(json_str(json_get(in, "op")), str_z(OPS[i].name)))
            return OPS[i].run(tool, in, err);
    return err_set(err, E_INVALID, "unknown command");
}

static void answer(Tool *tool, Str line)
{
    Buf AUTO(buf_done) text;
    Err err;
    err_clear(&err);
    buf_init(&text, 64 << 20);
    tool->out = json_writer(&text);
    json_begin_object(&tool->out);
    Code code = command_run(tool, line, &err);
    if (code) { /* what was begun is thrown away */
        buf_clear(&text);
        tool->out = json_writer(&text);
        json_begin_object(&tool->out);
        json_field_str(&tool->out, "code", str_z(code_info(code)->name));
        json_field_str(&tool->out, "error", str_z(err.text));
    }
    json_end_object(&tool->out);
    printf(STR_FMT "\n", STR_ARG(buf_str(&text)));
    fflush(stdout);
    arena_reset(&tool->arena);
}

static Code tool_open(Tool *tool, const char *dir, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    Str path = str_format(&tmp, "%s/tarn.db", dir), objects = str_format(&tmp, "%s/store", dir);
    TRY(store_open(os_real(),
                   &(StoreOptions){ .backend = "drives",
                                    .index = "memory",
                                    .dir = str_copy_z(&tmp, objects),
                                    .segment_bytes = 16 << 20 },
                   &tool->store, err));
    TRY(meta_open(os_real(), &(MetaOptions){ .path = str_copy_z(&tmp, path) }, &tool->meta, err));
    CatalogOptions options = {
        .os = os_real(), .store = tool->store, .meta = tool->meta, .lake_bucket = STR("lake")
    };
    return catalog_open(&options, &tool->catalog, err);
}

int main(int argc, char **argv)
{
    Tool tool = { 0 };
    Err err;
    char *line = mem_new(LINE_MAX_BYTES);
    if (argc != 2 || tool_open(&tool, argv[1], &err)) {
        fprintf(stderr, "table_tool DIR: %s\n", argc == 2 ? err.text : "which directory?");
        return 1;
    }
    while (fgets(line, LINE_MAX_BYTES, stdin))
        answer(&tool, str_trim(str_z(line)));
    catalog_free(&tool.catalog);
    meta_free(&tool.meta);
    store_free(&tool.store);
    arena_done(&tool.arena);
    mem_free(&line);
    return 0;
}
