/* Invariants:
 * 1. Bytes get a key only in source_ingest_finish, with their whole length and hash known.
 * 2. A claim of the index is held from the hash until the publish is decided, and always settled: so the
 *    same bytes sent twice at once are stored once.
 * 3. An object under bronze is never replaced from here: every put is PUT_IF_ABSENT.
 * 4. `front` holds the first SOURCE_SNIFF_BYTES of what was written, all of it when it is shorter. */
#include "source/source.h"

#include "source/index_priv.h"
#include "source/objects_priv.h"
#include "source/rows_priv.h"

#include <string.h>

struct Source {
    Os *os;
    Store *store;
    Arena arena; /* of the names below, until source_free */
    Str bucket;
    SourceIndex *index;
    SourceObjects *objects;
    SourceChanges *changes;
};

struct Ingest {
    Source *source;
    Arena arena; /* of this ingest */
    IngestBegin begin;
    StagedObject *staged;
    Buf front;
    RowCheck *rows; /* NULL: any bytes */
};

Code source_open(const SourceOptions *options, Source **ret_source, Err *err)
{
    Str bucket = options->bronze_bucket.len > 0 ? options->bronze_bucket : STR("bronze");
    bool exists;
    TRY(store_bucket_exists(options->store, bucket, &exists, err));
    if (!exists)
        TRY(store_bucket_create(options->store, bucket, err));
    Source *source = mem_new(sizeof *source);
    source->os = options->os;
    source->store = options->store;
    source->bucket = str_copy(&source->arena, bucket);
    source->index = source_index_new(options->store, source->bucket);
    source->objects = source_objects_new(options->store, source->bucket);
    source->changes = source_changes_new(options->store, options->lake_bucket.len > 0 ? options->lake_bucket
                                                                                      : STR("lake"));
    *ret_source = source;
    return E_OK;
}

void source_free(Source **source_pointer)
{
    Source *source = TAKE(*source_pointer);
    if (!source)
        return;
    source_changes_free(&source->changes);
    source_objects_free(&source->objects);
    source_index_free(&source->index);
    arena_done(&source->arena);
    mem_free(&source);
}

Str source_bucket(const Source *source)
{
    return source->bucket;
}

const ScanSource *source_changes(Source *source)
{
    return source_changes_scan(source->changes);
}

bool source_counts(const Source *source, const StoreChange *change)
{
    return source_change_counts(source->changes, change);
}

static Code consent_check(Str consent, Err *err)
{
    if (consent.len > SOURCE_CONSENT_MAX)
        return err_set(err, E_INVALID, "consent is longer than %d bytes", SOURCE_CONSENT_MAX);
    for (size_t i = 0; i < consent.len; i++) {
        char c = consent.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!plain && c != ',')
            return err_set(err, E_INVALID, "consent is a list of words such as research,contact");
    }
    return E_OK;
}

static Str name_made(Ingest *ingest, bool rows)
{
    Str id = uuid_format(&ingest->arena, os_uuid(ingest->source->os));
    return rows ? str_format(&ingest->arena, "rows-" STR_FMT ".ndjson", STR_ARG(id))
                : str_format(&ingest->arena, "file-" STR_FMT, STR_ARG(id));
}

Code source_ingest_begin(Source *source, const IngestBegin *begin, Ingest **ret_ingest, Err *err)
{
    TRY(source_id_check(begin->source, err));
    if (begin->name.len > 0)
        TRY(source_name_check(begin->name, err));
    TRY(consent_check(begin->consent, err));
    Ingest *ingest AUTO(source_ingest_abort) = mem_new(sizeof *ingest);
    ingest->source = source;
    buf_init(&ingest->front, SOURCE_SNIFF_BYTES);
    ingest->begin = (IngestBegin){
        .source = str_copy(&ingest->arena, begin->source),
        .name = begin->name.len > 0 ? str_copy(&ingest->arena, begin->name)
                                    : name_made(ingest, begin->rows),
        .content_type = str_copy(&ingest->arena, begin->content_type),
        .consent = str_copy(&ingest->arena, begin->consent),
        .rows = begin->rows,
    };
    if (begin->rows)
        ingest->rows = row_check_new(SOURCE_ROW_BYTES_MAX);
    TRY(store_stage(source->store, &ingest->staged, err));
    *ret_ingest = TAKE(ingest);
    return E_OK;
}

Code source_ingest_write(Ingest *ingest, Str bytes, Err *err)
{
    size_t room = SOURCE_SNIFF_BYTES - ingest->front.len;
    buf_put(&ingest->front, str_sub(bytes, 0, MIN(room, bytes.len)));
    if (ingest->rows)
        TRY(row_check_write(ingest->rows, bytes, err));
    return store_stage_write(ingest->staged, bytes, err);
}

void source_ingest_abort(Ingest **ingest_pointer)
{
    Ingest *ingest = TAKE(*ingest_pointer);
    if (!ingest)
        return;
    store_stage_abort(&ingest->staged);
    row_check_free(&ingest->rows);
    buf_done(&ingest->front);
    arena_done(&ingest->arena);
    mem_free(&ingest);
}

/* STEM~HASH8.EXT */
static Str name_with_hash(Arena *arena, Str name, const uint8_t sha256[32])
{
    Str hash = str_sub(hex_format(arena, str_of(sha256, 32)), 0, 8);
    size_t folder = (size_t)(str_rfind_char(name, '/') + 1);
    ptrdiff_t dot = str_rfind_char(str_from(name, folder), '.');
    size_t stem = dot > 0 ? folder + (size_t)dot : name.len;
    return str_format(arena, STR_FMT "~" STR_FMT STR_FMT, STR_ARG(str_sub(name, 0, stem)),
                      STR_ARG(hash), STR_ARG(str_from(name, stem)));
}

static Code publish_as(Ingest *ingest, Str key, Str content_type, uint64_t *ret_sequence, Err *err)
{
    StoreTag tags[] = {
        { STR("source"), ingest->begin.source },
        { STR("name"), ingest->begin.name },
        { STR("consent"), ingest->begin.consent },
    };
    StorePut put = {
        .take_staged = ingest->staged,
        .bucket = ingest->source->bucket,
        .key = key,
        .condition = PUT_IF_ABSENT,
        .content_type = content_type,
        .tags = tags,
        .tag_count = ingest->begin.consent.len > 0 ? 3 : 2,
        .trust = TRUST_UNKNOWN,
    };
    Code code = store_publish(ingest->source->store, &put, 1, ret_sequence, err);
    ingest->staged = put.take_staged;
    return code;
}

/* Under NAME, or under STEM~HASH8.EXT when NAME holds other bytes today. */
static Code publish(Ingest *ingest, const uint8_t sha256[32], Str type, Arena *arena, Str *ret_key,
                    Err *err)
{
    Str day = date_format(&ingest->arena, os_now_us(ingest->source->os));
    Str names[2] = { ingest->begin.name,
                     name_with_hash(&ingest->arena, ingest->begin.name, sha256) };
    Code code = E_PRECONDITION;
    for (size_t i = 0; i < ARRAY_LEN(names) && code == E_PRECONDITION; i++) {
        Str key = str_format(arena, STR_FMT "/ingest_date=" STR_FMT "/" STR_FMT,
                             STR_ARG(ingest->begin.source), STR_ARG(day), STR_ARG(names[i]));
        code = publish_as(ingest, key, type, NULL, err);
        if (code == E_OK)
            *ret_key = key;
    }
    return code;
}

/* What the store says about the key is the answer, for the first time and for duplicates alike. */
static Code fill_result(Source *source, Str key, bool duplicate, Arena *arena,
                        IngestResult *ret_result, Err *err)
{
    ObjectInfo info;
    TRY(store_head(source->store, source->bucket, key, arena, &info, err));
    size_t folder = (size_t)(str_find_char(key, '/') + 1);
    Str dated = str_from(key, folder);
    IngestResult result = {
        .address = str_format(arena, "s3://" STR_FMT "/" STR_FMT, STR_ARG(source->bucket),
                              STR_ARG(key)),
        .source = str_sub(key, 0, folder - 1),
        .name = str_from(dated, (size_t)(str_find_char(dated, '/') + 1)),
        .size_bytes = info.size_bytes,
        .sequence = info.sequence,
        .content_type = info.content_type,
        .ingested_us = info.modified_us,
        .duplicate = duplicate,
    };
    memcpy(result.sha256, info.sha256, sizeof result.sha256);
    *ret_result = result;
    return E_OK;
}

static Code finish(Ingest *ingest, Arena *arena, IngestResult *ret_result, Err *err)
{
    Source *source = ingest->source;
    uint64_t rows = 0;
    if (ingest->rows)
        TRY(row_check_end(ingest->rows, &rows, err));
    TRY(store_stage_finish(ingest->staged, err));
    uint8_t sha256[32];
    memcpy(sha256, store_stage_sha256(ingest->staged), sizeof sha256);
    bool whole = store_stage_size(ingest->staged) <= SOURCE_SNIFF_BYTES;
    Str type = ingest->rows ? STR("application/x-ndjson")
                            : source_content_type(buf_str(&ingest->front), whole,
                                                  ingest->begin.name, ingest->begin.content_type);
    Str key = STR_NONE;
    TRY(source_index_claim(source->index, ingest->begin.source, sha256, arena, &key, err));
    bool duplicate = key.len > 0;
    if (!duplicate) {
        Code code = publish(ingest, sha256, type, arena, &key, err);
        source_index_settle(source->index, ingest->begin.source, sha256,
                            code == E_OK ? key : STR(""));
        TRY(code);
    }
    TRY(fill_result(source, key, duplicate, arena, ret_result, err));
    ret_result->rows = rows;
    return E_OK;
}

Code source_ingest_finish(Ingest **take_ingest, Arena *arena, IngestResult *ret_result, Err *err)
{
    Ingest *ingest AUTO(source_ingest_abort) = TAKE(*take_ingest);
    return finish(ingest, arena, ret_result, err);
}

Code source_ingest_bytes(Source *source, const IngestBegin *begin, Str bytes, Arena *arena,
                         IngestResult *ret_result, Err *err)
{
    Ingest *ingest AUTO(source_ingest_abort) = NULL;
    TRY(source_ingest_begin(source, begin, &ingest, err));
    TRY(source_ingest_write(ingest, bytes, err));
    return source_ingest_finish(&ingest, arena, ret_result, err);
}

Code source_find(Source *source, Str source_id, Str name, bool all, Arena *arena,
                 ObjectInfo **ret_objects, size_t *ret_count, Err *err)
{
    TRY(source_id_check(source_id, err));
    return source_objects_find(source->objects, source_id, name, all, arena, ret_objects, ret_count,
                               err);
}
