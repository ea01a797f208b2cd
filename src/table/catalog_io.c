/* Metadata objects of tables, in and out of the store. */
#include "table/catalog_priv.h"

static Code address_parts(Str address, Str *ret_bucket, Str *ret_key, Err *err)
{
    if (!store_address_parse(address, ret_bucket, ret_key))
        return err_set(err, E_CORRUPT, "'" STR_FMT "' is no address of an object",
                       STR_ARG(address));
    return E_OK;
}

Code catalog_object_load(Catalog *catalog, Str address, size_t size_max, Arena *arena,
                         Str *ret_bytes, Err *err)
{
    Str bucket, key;
    TRY(address_parts(address, &bucket, &key, err));
    ObjectReader *AUTO(object_reader_free) reader = NULL;
    Code code = store_reader_open(catalog->store, bucket, key, 0, &reader, err);
    if (code)
        return err_place(err, err_wrap(err, code, "table metadata"), STR_FMT, STR_ARG(address));
    uint64_t size = object_reader_info(reader)->size_bytes;
    if (size > size_max)
        return err_set(err, E_LIMIT, STR_FMT ": %llu bytes are more than %zu", STR_ARG(address),
                       (unsigned long long)size, size_max);
    char *bytes = arena_alloc(arena, size + 1);
    size_t got = 0;
    TRY(object_pread(reader, bytes, size, 0, &got, err));
    if (got != size)
        return err_set(err, E_CORRUPT, STR_FMT ": %zu of %llu bytes are there", STR_ARG(address),
                       got, (unsigned long long)size);
    *ret_bytes = str_of(bytes, got);
    return E_OK;
}

static Code object_stage(Catalog *catalog, const ObjectOut *object, StorePut *put, Err *err)
{
    Str bucket, key;
    TRY(address_parts(object->address, &bucket, &key, err));
    StagedObject *AUTO(store_stage_abort) staged = NULL;
    TRY(store_stage(catalog->store, &staged, err));
    store_stage_from_reserve(staged); /* deletes and expiry commit too */
    TRY(store_stage_write(staged, object->bytes, err));
    TRY(store_stage_finish(staged, err));
    *put = (StorePut){ .take_staged = TAKE(staged),
                       .bucket = bucket,
                       .key = key,
                       .condition = PUT_IF_ABSENT,
                       .content_type = object->content_type,
                       .trust = TRUST_OURS };
    return E_OK;
}

Code catalog_objects_publish(Catalog *catalog, const ObjectOut *objects, size_t count, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    StorePut *puts = arena_array(&tmp, StorePut, count + 1);
    Code code = E_OK;
    for (size_t i = 0; !code && i < count; i++)
        code = object_stage(catalog, &objects[i], &puts[i], err);
    for (size_t at = 0; !code && at < count; at += STORE_PUBLISH_MAX)
        code = store_publish(catalog->store, puts + at, MIN((size_t)STORE_PUBLISH_MAX, count - at),
                             NULL, err);
    for (size_t i = 0; i < count; i++)
        store_stage_abort(&puts[i].take_staged);
    return code;
}

void catalog_objects_delete(Catalog *catalog, const ObjectOut *objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Str bucket, key;
        if (store_address_parse(objects[i].address, &bucket, &key))
            IGNORE(store_delete(catalog->store, bucket, key,
                                NULL)); /* the intent stays for the sweep */
    }
}

Code catalog_manifests_load(Catalog *catalog, const IceSnapshot *snapshot, Arena *arena,
                            ManifestFile **ret_files, size_t *ret_count, Err *err)
{
    Str bytes;
    TRY(catalog_object_load(catalog, snapshot->manifest_list, MANIFEST_BYTES_MAX, arena, &bytes,
                            err));
    Code code = manifest_list_decode(arena, bytes, ret_files, ret_count, err);
    return err_place(err, code, STR_FMT, STR_ARG(snapshot->manifest_list));
}

Code catalog_entries_load(Catalog *catalog, const TableMetadata *metadata, const ManifestFile *file,
                          Arena *arena, ManifestEntry **ret_entries, size_t *ret_count, Err *err)
{
    Str bytes;
    TRY(catalog_object_load(catalog, file->path, MANIFEST_BYTES_MAX, arena, &bytes, err));
    Code code = manifest_decode(arena, bytes, metadata, file, ret_entries, ret_count, err);
    return err_place(err, code, STR_FMT, STR_ARG(file->path));
}
