#include "sql/fake_files.h"

#include <string.h>

void fake_files_init(FakeFiles *fake)
{
    memset(fake, 0, sizeof *fake);
    mutex_init(&fake->mutex);
}

void fake_files_done(FakeFiles *fake)
{
    for (size_t i = 0; i < fake->count; i++)
        buf_done(&fake->items[i].bytes);
    mutex_done(&fake->mutex);
}

FakeFile *fake_files_find(FakeFiles *fake, Str address)
{
    for (size_t i = fake->count; i-- > 0;)
        if (fake->items[i].finished && str_eq(str_z(fake->items[i].address), address))
            return &fake->items[i];
    return NULL;
}

static FakeFile *add(FakeFiles *fake, Str address)
{
    ASSERT(fake->count < FAKE_FILES_MAX && address.len < sizeof fake->items[0].address);
    FakeFile *file = &fake->items[fake->count++];
    memcpy(file->address, address.ptr, address.len);
    buf_init(&file->bytes, FAKE_FILE_BYTES);
    file->version = fake->count;
    file->files = fake;
    return file;
}

FakeFile *fake_files_put(FakeFiles *fake, Str address, Str bytes)
{
    MUTEX_HELD(&fake->mutex);
    FakeFile *file = add(fake, address);
    buf_put(&file->bytes, bytes);
    file->finished = true;
    return file;
}

static Code reader_open(void *self, Str address, void **ret_file, BorderFileInfo *ret_info,
                        Err *err)
{
    FakeFiles *fake = self;
    MUTEX_HELD(&fake->mutex);
    FakeFile *file = fake_files_find(fake, address);
    if (!file)
        return err_set(err, E_NOT_FOUND, "there is no object " STR_FMT, STR_ARG(address));
    fake->opens++;
    fake->open_now++;
    *ret_info = (BorderFileInfo){ .size_bytes = file->bytes.len, .version = file->version };
    *ret_file = file;
    return E_OK;
}

static Code reader_pread(void *self, void *bytes, size_t len, uint64_t at, size_t *ret_len,
                         Err *err)
{
    FakeFile *file = self;
    MUTEX_HELD(&file->files->mutex);
    if (at > file->bytes.len)
        return err_set(err, E_IO, "byte %llu is behind the end", (unsigned long long)at);
    size_t got = MIN(len, file->bytes.len - (size_t)at);
    memcpy(bytes, file->bytes.ptr + at, got);
    file->files->preads++;
    file->files->pread_bytes += got;
    *ret_len = got;
    return E_OK;
}

static void reader_close(void *self)
{
    FakeFile *file = self;
    MUTEX_HELD(&file->files->mutex);
    file->files->open_now--;
}

BorderFiles fake_files_reader(FakeFiles *fake)
{
    return (BorderFiles){
        .self = fake, .open = reader_open, .pread = reader_pread, .close = reader_close
    };
}

static Code sink_create(void *self, Str address, void **ret_file, Err *err)
{
    FakeFiles *fake = self;
    MUTEX_HELD(&fake->mutex);
    if (fake->count == FAKE_FILES_MAX)
        return err_set(err, E_LIMIT, "too many files");
    *ret_file = add(fake, address);
    return E_OK;
}

static Code sink_write(void *self, Str bytes, Err *err)
{
    FakeFile *file = self;
    MUTEX_HELD(&file->files->mutex);
    if (++file->files->writes == file->files->fail_write)
        return err_set(err, E_NO_SPACE, "the fake drive is full");
    buf_put(&file->bytes, bytes);
    return E_OK;
}

static Code sink_finish(void *self, Err *err)
{
    FakeFile *file = self;
    (void)err;
    MUTEX_HELD(&file->files->mutex);
    file->finished = true;
    return E_OK;
}

static void sink_abandon(void *self)
{
    FakeFile *file = self;
    MUTEX_HELD(&file->files->mutex);
    file->abandoned = true;
}

BorderSink fake_files_sink(FakeFiles *fake)
{
    return (BorderSink){ .self = fake,
                         .create = sink_create,
                         .write = sink_write,
                         .finish = sink_finish,
                         .abandon = sink_abandon };
}
