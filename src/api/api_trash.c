/* The trash of buckets for people: a page of it, and the way back (store/undelete.c). */
#include "api/api_trash.h"

#include "api/api_priv.h"
#include "govern/access.h"
#include "store/store_trash.h"

enum { VERSION_DIGITS = 24, NUMBER_DIGITS = 16 };

/* As object_version writes it. */
static bool version_read(Arena *arena, Str text, uint64_t *ret_sequence)
{
    uint64_t sequence = 0;
    if (text.len != VERSION_DIGITS)
        return false;
    for (size_t i = 0; i < NUMBER_DIGITS; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        sequence = sequence << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret_sequence = sequence;
    return sequence > 0 && str_eq(object_version(arena, sequence), text);
}

static Code version_need(ApiCall *call, Str text, uint64_t *ret_sequence, Err *err)
{
    if (version_read(call->arena, text, ret_sequence))
        return E_OK;
    return err_hint(err, err_set(err, E_INVALID, "'" STR_FMT "' is no version in the trash",
                                 STR_ARG(str_sub(text, 0, 2 * VERSION_DIGITS))),
                    "`tarn object trash ls` shows what can be taken back");
}

/* Of a bucket that is deleted only admins are told. */
static Code trash_enter(ApiCall *call, Str bucket, BucketRight right, const char *what, Err *err)
{
    StoreBucket row = { 0 };
    if (!store_bucket_name_ok(bucket))
        return err_set(err, E_NOT_FOUND, "no bucket has such a name");
    Code code = store_bucket_find(call->lake->store, bucket, call->arena, &row, err);
    if (code != E_OK && code != E_NOT_FOUND)
        return code;
    if (code == E_NOT_FOUND && call->principal.role == ROLE_ADMIN)
        return E_OK;
    if (code == E_NOT_FOUND)
        return code;
    if (govern_bucket_may(&call->principal, right, row.owner))
        return E_OK;
    api_count(call, API_COUNT_refusals, 1);
    return err_set(err, E_FORBIDDEN, "'" STR_FMT "' (" STR_FMT ") may not %s s3://" STR_FMT,
                   STR_ARG(call->principal.name), STR_ARG(govern_role_name(call->principal.role)), what,
                   STR_ARG(bucket));
}

/* An empty page of a bucket that was never there, or whose trash is over, is no answer. */
static Code bucket_need(ApiCall *call, Str bucket, Err *err)
{
    StoreBucket row;
    Code code = store_bucket_find(call->lake->store, bucket, call->arena, &row, err);
    if (code != E_NOT_FOUND)
        return code;
    return err_hint(err, err_set(err, code, "there is no bucket '" STR_FMT "', and nothing of one in the trash",
                                 STR_ARG(bucket)), "`tarn bucket ls` shows the buckets");
}

static void item_write(ApiCall *call, JsonWriter *w, const StoreTrashed *item)
{
    const ObjectInfo *info = &item->object;
    json_begin_object(w);
    json_field_str(w, "key", info->key);
    json_field_str(w, "version", object_version(call->arena, info->sequence));
    json_field_u64(w, "size_bytes", info->size_bytes);
    json_field_str(w, "content_type", info->content_type);
    api_time_field(w, call->arena, "modified", info->modified_us);
    api_time_field(w, call->arena, "deleted", item->deleted_us);
    api_time_field(w, call->arena, "until", item->until_us);
    json_end_object(w);
}

Code api_trash(ApiCall *call, const ApiTrashAsk *ask, Buf *out, Err *err)
{
    StoreTrashQuery query = { .bucket = ask->bucket, .prefix = ask->prefix, .limit = ask->limit };
    StoreTrashPage page;
    TRY(trash_enter(call, ask->bucket, BUCKET_LIST, "see the trash of", err));
    if (ask->cursor.len) { /* a version, then its key */
        TRY(version_need(call, str_sub(ask->cursor, 0, VERSION_DIGITS), &query.after_sequence, err));
        query.start_after = str_from(ask->cursor, VERSION_DIGITS);
    }
    TRY(store_trash_list(call->lake->store, &query, call->arena, &page, err));
    if (page.count == 0 && !query.after_sequence)
        TRY(bucket_need(call, ask->bucket, err));
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (size_t i = 0; i < page.count; i++)
        item_write(call, &w, &page.items[i]);
    json_end_array(&w);
    Str next = page.truncated ? str_format(call->arena, STR_FMT STR_FMT,
                                           STR_ARG(object_version(call->arena, page.next_sequence)), STR_ARG(page.next))
                              : STR_NONE;
    json_field_str(&w, "next_cursor", next);
    json_end_object(&w);
    return buf_end(out, "a page of the trash", err);
}

Code api_undelete(ApiCall *call, Str bucket, Str key, Str version, Buf *out, Err *err)
{
    uint64_t which = 0;
    ObjectInfo info;
    TRY(trash_enter(call, bucket, BUCKET_WRITE, "take back what was in", err));
    if (version.len)
        TRY(version_need(call, version, &which, err));
    TRY(store_undelete(call->lake->store, bucket, key, which, call->arena, &info, err));
    api_count(call, API_COUNT_object_writes, 1);
    api_audit_behind(call, "object.undelete", str_format(call->arena, "s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket),
                                                         STR_ARG(key)), STR_NONE);
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_field_str(&w, "bucket", bucket);
    json_field_str(&w, "key", key);
    json_field_str(&w, "version", object_version(call->arena, info.sequence));
    json_field_u64(&w, "size_bytes", info.size_bytes);
    json_end_object(&w);
    return buf_end(out, "an answer", err);
}
