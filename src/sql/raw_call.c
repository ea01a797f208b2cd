#include "sql/raw_priv.h"

#include "format/json.h"

static void put_columns(JsonWriter *w, const char *key, const RawColumn *columns, size_t count)
{
    json_key(w, str_z(key));
    json_begin_array(w);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(w);
        json_field_str(w, "name", columns[i].name);
        json_field_str(w, "type", columns[i].type.ptr ? columns[i].type : STR(""));
        json_end_object(w);
    }
    json_end_array(w);
}

static Str or_empty(Str s)
{
    return s.ptr ? s : STR("");
}

Code raw_call_encode(const RawCall *call, Buf *ret_json, Err *err)
{
    JsonWriter w = json_writer(ret_json);
    json_begin_object(&w);
    json_field_i64(&w, "format", call->format);
    json_field_bool(&w, "describe", call->describe);
    json_field_bool(&w, "as_text", call->as_text);
    json_field_bool(&w, "problems", call->problems);
    json_field_bool(&w, "checked", call->checked);
    json_field_bool(&w, "union_by_name", call->union_by_name);
    json_field_i64(&w, "header", call->header);
    json_field_str(&w, "delim", or_empty(call->delim));
    json_field_str(&w, "quote", or_empty(call->quote));
    json_field_str(&w, "null_text", or_empty(call->null_text));
    json_key(&w, STR("files"));
    json_begin_array(&w);
    for (size_t i = 0; i < call->file_count; i++)
        json_put_str(&w, call->files[i]);
    json_end_array(&w);
    put_columns(&w, "columns", call->columns, call->column_count);
    put_columns(&w, "wanted", call->wanted, call->wanted_count);
    json_field_str(&w, "where", or_empty(call->where));
    json_end_object(&w);
    return buf_end(ret_json, "the request to a scan worker", err);
}

static Code get_columns(const Json *json, const char *key, Arena *arena, RawColumn **ret_columns,
                        size_t *ret_count, Err *err)
{
    const Json *list;
    TRY(json_need_arr(json, key, &list, err));
    RawColumn *columns = arena_array(arena, RawColumn, json_len(list) + 1);
    size_t count = 0;
    for (JsonIter it = json_iter(list); json_next(&it); count++) {
        TRY(json_need_str(it.value, "name", &columns[count].name, err));
        TRY(json_need_str(it.value, "type", &columns[count].type, err));
    }
    *ret_columns = columns;
    *ret_count = count;
    return E_OK;
}

Code raw_call_decode(Str text, Arena *arena, RawCall *ret_call, Err *err)
{
    const Json *json, *files;
    RawCall call = { 0 };
    TRY(json_parse(arena, text, NULL, &json, err));
    call.format = (RawFormat)json_i64(json_get(json, "format"), RAW_PARQUET);
    call.describe = json_bool(json_get(json, "describe"), false);
    call.as_text = json_bool(json_get(json, "as_text"), false);
    call.problems = json_bool(json_get(json, "problems"), false);
    call.checked = json_bool(json_get(json, "checked"), false);
    call.union_by_name = json_bool(json_get(json, "union_by_name"), false);
    call.header = (int)json_i64(json_get(json, "header"), -1);
    TRY(json_need_str(json, "delim", &call.delim, err));
    TRY(json_need_str(json, "quote", &call.quote, err));
    TRY(json_need_str(json, "null_text", &call.null_text, err));
    TRY(json_need_arr(json, "files", &files, err));
    call.files = arena_array(arena, Str, json_len(files) + 1);
    for (JsonIter it = json_iter(files); json_next(&it);)
        call.files[call.file_count++] = json_str(it.value);
    TRY(get_columns(json, "columns", arena, &call.columns, &call.column_count, err));
    TRY(get_columns(json, "wanted", arena, &call.wanted, &call.wanted_count, err));
    TRY(json_need_str(json, "where", &call.where, err));
    *ret_call = call;
    return E_OK;
}
