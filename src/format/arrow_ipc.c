/* The stream: messages one behind the other, each `FFFFFFFF`, length, metadata, body.
 * Invariants of the reader:
 * 1. bytes[at..] begins at a message; what is before `at` was read.
 * 2. A schema was read before the first batch, and only once. */
#include "format/arrow_ipc_priv.h"

enum { MESSAGE_VERSION, MESSAGE_HEADER_TYPE, MESSAGE_HEADER, MESSAGE_BODY_LEN };
enum { FRAME_LEN = 8, COMPACT_BYTES = 1 << 20 };

struct ArrowIpcReader {
    Buf bytes;
    size_t at;
    ArrowSchema schema;
    bool at_end;
};

Code ipc_message_put(Buf *out, FlatBuilder *b, uint8_t header_type, FlatRef header,
                     int64_t body_len, Err *err)
{
    flat_table_begin(b);
    flat_add(b, MESSAGE_BODY_LEN, (uint64_t)body_len, 8);
    flat_add_ref(b, MESSAGE_HEADER, header);
    flat_add(b, MESSAGE_VERSION, IPC_VERSION_V5, 2);
    flat_add(b, MESSAGE_HEADER_TYPE, header_type, 1);
    Str metadata = flat_finish(b, flat_table_end(b));
    if (metadata.len > ARROW_METADATA_BYTES_MAX)
        return err_set(err, E_LIMIT, "Arrow message with %zu bytes of metadata", metadata.len);
    write_u32le(out, IPC_MARK);
    write_u32le(out, (uint32_t)metadata.len);
    buf_put(out, metadata);
    return buf_end(out, "Arrow stream", err);
}

void arrow_ipc_eos_put(Buf *out)
{
    write_u32le(out, IPC_MARK);
    write_u32le(out, 0);
}

Code arrow_ipc_reader_new(ArrowIpcReader **ret_reader, Err *err)
{
    (void)err;
    ArrowIpcReader *reader = mem_new(sizeof *reader);
    buf_init(&reader->bytes, (size_t)ARROW_METADATA_BYTES_MAX + 2 * (size_t)ARROW_BODY_BYTES_MAX);
    *ret_reader = reader;
    return E_OK;
}

void arrow_ipc_reader_free(ArrowIpcReader **reader)
{
    if (!*reader)
        return;
    arrow_schema_done(&(*reader)->schema);
    buf_done(&(*reader)->bytes);
    mem_free(reader);
}

Code arrow_ipc_reader_feed(ArrowIpcReader *reader, Str bytes, Err *err)
{
    if (reader->at_end && bytes.len > 0)
        return err_set(err, E_CORRUPT, "Arrow stream: bytes behind its end");
    if (reader->at == reader->bytes.len || reader->at > COMPACT_BYTES) {
        buf_drop_front(&reader->bytes, reader->at);
        reader->at = 0;
    }
    buf_put(&reader->bytes, bytes);
    return buf_end(&reader->bytes, "Arrow stream", err);
}

typedef struct Message {
    Flat flat;
    FlatTable header;
    uint8_t type; /* 0: not all of it is there, or the stream is over */
    Str body;
    size_t len; /* with its frame */
} Message;

/* Looks at the next message without taking it. */
static Code peek(ArrowIpcReader *reader, Message *ret_message, Err *err)
{
    Str left = str_from(buf_str(&reader->bytes), reader->at);
    *ret_message = (Message){ .type = 0 };
    if (reader->at_end || left.len < FRAME_LEN)
        return E_OK;
    size_t metadata_len = load_u32le(left.ptr + 4);
    if (load_u32le(left.ptr) != IPC_MARK)
        return err_set(err, E_CORRUPT, "Arrow stream: no message where one must start");
    if (metadata_len == 0) {
        reader->at_end = true;
        reader->at += FRAME_LEN;
        return E_OK;
    }
    if (metadata_len > ARROW_METADATA_BYTES_MAX)
        return err_set(err, E_LIMIT, "Arrow message with %zu bytes of metadata", metadata_len);
    if (left.len - FRAME_LEN < metadata_len)
        return E_OK;
    Message message = { .flat.bytes = str_sub(left, FRAME_LEN, metadata_len) };
    FlatTable root = flat_root(&message.flat);
    int64_t body_len = flat_i64(&message.flat, root, MESSAGE_BODY_LEN, 0);
    int16_t version = flat_i16(&message.flat, root, MESSAGE_VERSION, 0);
    message.type = flat_u8(&message.flat, root, MESSAGE_HEADER_TYPE, 0);
    message.header = flat_table(&message.flat, root, MESSAGE_HEADER);
    if (message.flat.failure || body_len < 0 || message.header.at == 0)
        return err_set(err, E_CORRUPT, "Arrow message: %s",
                       message.flat.failure ? message.flat.failure
                                            : "no header or no possible length");
    if (body_len > ARROW_BODY_BYTES_MAX)
        return err_set(err, E_LIMIT, "Arrow message with a body of %lld bytes",
                       (long long)body_len);
    if (version != IPC_VERSION_V5 && version != IPC_VERSION_V5 - 1)
        return err_set(err, E_UNSUPPORTED, "Arrow message of version %d", version + 1);
    message.len = FRAME_LEN + metadata_len + (size_t)body_len;
    if (left.len < message.len)
        return E_OK;
    message.body = str_sub(left, FRAME_LEN + metadata_len, (size_t)body_len);
    *ret_message = message;
    return E_OK;
}

Code arrow_ipc_reader_schema(ArrowIpcReader *reader, const ArrowSchema **ret_schema, Err *err)
{
    if (!reader->schema.release) {
        Message message;
        TRY(peek(reader, &message, err));
        if (message.type != 0) {
            if (message.type != IPC_HEADER_SCHEMA || message.body.len > 0)
                return err_set(err, E_CORRUPT, "Arrow stream: it does not start with a schema");
            TRY(ipc_schema_get(&message.flat, message.header, &reader->schema, err));
            reader->at += message.len;
        }
    }
    *ret_schema = reader->schema.release ? &reader->schema : NULL;
    return E_OK;
}

Code arrow_ipc_reader_next(ArrowIpcReader *reader, ArrowArray *ret_array, Err *err)
{
    const ArrowSchema *schema = NULL;
    Message message;
    TRY(arrow_ipc_reader_schema(reader, &schema, err));
    *ret_array = (ArrowArray){ .release = NULL };
    if (!schema)
        return E_OK;
    TRY(peek(reader, &message, err));
    if (message.type == 0)
        return E_OK;
    if (message.type == IPC_HEADER_DICTIONARY)
        return err_set(err, E_UNSUPPORTED, "Arrow stream with dictionaries");
    if (message.type != IPC_HEADER_BATCH)
        return err_set(err, E_CORRUPT, "Arrow stream: a message that is no batch");
    TRY(ipc_batch_get(&message.flat, message.header, message.body, schema, ret_array, err));
    reader->at += message.len;
    return E_OK;
}

bool arrow_ipc_reader_at_end(const ArrowIpcReader *reader)
{
    return reader->at_end;
}
