/* record.c: one record to bytes and back, and the window through which segments are read. */
#include "journal/journal_priv.h"

#include <string.h>

uint64_t record_bytes(size_t payload_len)
{
    uint64_t all = RECORD_HEADER_BYTES + (uint64_t)payload_len;
    return (all + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

bool bytes_are_zeros(Str bytes)
{
    return bytes.len == 0 ||
           (bytes.ptr[0] == 0 && memcmp(bytes.ptr, bytes.ptr + 1, bytes.len - 1) == 0);
}

void record_head(char *head, uint32_t salt, const RecordHeader *header, Str payload)
{
    memset(head, 0, RECORD_HEADER_BYTES);
    store_u32le(head, RECORD_MAGIC);
    store_u32le(head + 4, (uint32_t)payload.len);
    store_u64le(head + 8, header->lsn);
    store_u64le(head + 16, header->durable);
    store_u32le(head + 24, header->type);
    store_u32le(head + 28, crc32c(0, payload));
    store_u32le(head + 36, crc32c(salt, str_of(head, 36)));
}

bool record_header_get(Str bytes, uint32_t salt, uint64_t lsn, RecordHeader *ret_header)
{
    if (bytes.len < RECORD_HEADER_BYTES || load_u32le(bytes.ptr) != RECORD_MAGIC)
        return false;
    if (load_u64le(bytes.ptr + 8) != lsn ||
        load_u32le(bytes.ptr + 36) != crc32c(salt, str_sub(bytes, 0, 36)))
        return false;
    *ret_header = (RecordHeader){
        .payload_len = load_u32le(bytes.ptr + 4),
        .lsn = lsn,
        .durable = load_u64le(bytes.ptr + 16),
        .type = (uint16_t)load_u32le(bytes.ptr + 24),
        .payload_crc = load_u32le(bytes.ptr + 28),
    };
    return ret_header->payload_len <= JOURNAL_PAYLOAD_MAX;
}

uint64_t journal_payload_max(const Journal *journal)
{
    uint64_t room = journal->segment_bytes - SEGMENT_HEADER_BYTES - 2 * RECORD_HEADER_BYTES;
    return MIN(room - RECORD_ALIGN, (uint64_t)JOURNAL_PAYLOAD_MAX);
}

Code window_init(Window *window, OsFile *file, uint64_t file_len, Err *err)
{
    *window = (Window){ .file = file, .file_len = file_len };
    buf_init(&window->bytes, JOURNAL_PAYLOAD_MAX + WINDOW_BYTES);
    return buf_reserve(&window->bytes, WINDOW_BYTES) ? E_OK : err_set(err, E_LIMIT, "window");
}

void window_done(Window *window)
{
    buf_done(&window->bytes);
}

Code window_get(Window *window, uint64_t at, size_t len, Str *ret_bytes, Err *err)
{
    Buf *bytes = &window->bytes;
    len = at < window->file_len ? MIN(len, (size_t)(window->file_len - at)) : 0;
    if (at < window->at || at + len > window->at + bytes->len) {
        buf_clear(bytes);
        size_t wanted =
            (size_t)MIN((uint64_t)MAX(len, (size_t)WINDOW_BYTES), window->file_len - at);
        if (!buf_reserve(bytes, wanted))
            return err_set(err, E_LIMIT, "a record of %zu bytes", len);
        size_t got = 0;
        TRY(os_file_pread(window->file, bytes->ptr, wanted, at, &got, err));
        bytes->len = got;
        window->at = at;
        len = MIN(len, got);
    }
    *ret_bytes = str_of(bytes->ptr + (at - window->at), len);
    return E_OK;
}

Code window_record(Window *window, const Journal *journal, uint64_t lsn, RecordHeader *ret_header,
                   Str *ret_payload, bool *ret_good, Err *err)
{
    uint64_t at = lsn % journal->segment_bytes;
    Str bytes;
    RecordHeader header;
    *ret_good = false;
    TRY(window_get(window, at, RECORD_HEADER_BYTES, &bytes, err));
    if (!record_header_get(bytes, journal->salt, lsn, &header))
        return E_OK;
    TRY(window_get(window, at, RECORD_HEADER_BYTES + header.payload_len, &bytes, err));
    Str payload = str_from(bytes, RECORD_HEADER_BYTES);
    if (payload.len != header.payload_len || crc32c(0, payload) != header.payload_crc)
        return E_OK;
    *ret_header = header;
    *ret_payload = payload;
    *ret_good = true;
    return E_OK;
}
