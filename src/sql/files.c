#include "sql/files.h"

/* ---- reading ---- */

static Code file_open(void *self, Str address, void **ret_file, BorderFileInfo *ret_info, Err *err)
{
    Str bucket, key;
    if (!store_address_parse(address, &bucket, &key))
        return err_set(err, E_INVALID, STR_FMT " is no address of an object", STR_ARG(address));
    ObjectReader *reader = NULL;
    Code code = store_reader_open(self, bucket, key, 0, &reader, err);
    if (code != E_OK)
        return err_place(err, code, STR_FMT, STR_ARG(address));
    const ObjectInfo *info = object_reader_info(reader);
    if (info->trust != TRUST_OURS &&
        info->trust != TRUST_CHECKED) { /* not in this process, ever */
        object_reader_free(&reader);
        err_set(err, E_FORBIDDEN, "the object was not checked, so it is read by scan workers only");
        return err_place(err, E_FORBIDDEN, STR_FMT, STR_ARG(address));
    }
    *ret_info = (BorderFileInfo){ .size_bytes = info->size_bytes,
                                  .version = info->sequence,
                                  .modified_us = info->modified_us };
    *ret_file = reader;
    return E_OK;
}

static Code file_pread(void *file, void *bytes, size_t len, uint64_t at, size_t *ret_len, Err *err)
{
    return object_pread(file, bytes, len, at, ret_len, err);
}

static void file_close(void *file)
{
    ObjectReader *reader = file;
    object_reader_free(&reader);
}

BorderFiles store_files(Store *store)
{
    return (
        BorderFiles){ .self = store, .open = file_open, .pread = file_pread, .close = file_close };
}

/* ---- writing ---- */

static int32_t ordinal_of(Str address)
{
    ptrdiff_t at = str_find(address, STR("/" STAGE_PART "="));
    if (at < 0)
        return -1;
    Str rest = str_from(address, (size_t)at + sizeof("/" STAGE_PART "=") - 1);
    ptrdiff_t end = str_find_char(rest, '/');
    int64_t ordinal;
    if (end < 0 || !str_i64(str_sub(rest, 0, (size_t)end), &ordinal) || ordinal > INT32_MAX)
        return -1;
    return (int32_t)ordinal;
}

static Code sink_create(void *self, Str address, void **ret_file, Err *err)
{
    StageSink *sink = self;
    MUTEX_HELD(&sink->mutex);
    if (sink->count == STAGE_FILES_MAX)
        return err_set(err, E_LIMIT, "one write makes more than %d files", STAGE_FILES_MAX);
    StagedObject *staged = NULL;
    TRY(store_stage(sink->store, &staged, err));
    if (sink->from_reserve)
        store_stage_from_reserve(staged);
    StageFile *file = mem_new(sizeof *file);
    *file = (StageFile){ .sink = sink, .staged = staged, .ordinal = ordinal_of(address) };
    sink->files[sink->count++] = file;
    *ret_file = file;
    return E_OK;
}

static Code sink_write(void *file, Str bytes, Err *err)
{
    return store_stage_write(((StageFile *)file)->staged, bytes, err);
}

static Code sink_finish(void *self, Err *err)
{
    StageFile *file = self;
    TRY(store_stage_finish(file->staged, err));
    file->finished = true;
    return E_OK;
}

static void sink_abandon(void *file)
{
    store_stage_abort(&((StageFile *)file)->staged);
}

BorderSink stage_sink_border(StageSink *sink)
{
    return (BorderSink){ .self = sink,
                         .create = sink_create,
                         .write = sink_write,
                         .finish = sink_finish,
                         .abandon = sink_abandon };
}

StageSink *stage_sink_new(Store *store, bool from_reserve)
{
    StageSink *sink = mem_new(sizeof *sink);
    sink->store = store;
    sink->from_reserve = from_reserve;
    mutex_init(&sink->mutex);
    return sink;
}

void stage_sink_free(StageSink **sink_place)
{
    StageSink *sink = *sink_place;
    if (!sink)
        return;
    for (size_t i = 0; i < sink->count; i++) {
        store_stage_abort(&sink->files[i]->staged);
        mem_free(&sink->files[i]);
    }
    mutex_done(&sink->mutex);
    mem_free(sink_place);
}
