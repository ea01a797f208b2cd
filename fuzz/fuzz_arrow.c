/* Arrow IPC: a batch that is taken is safe to print and to send, and comes back as the same rows.
 */
#include "format/arrow.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { ROWS_MAX = 64, BATCHES_MAX = 8 };

static void put_rows(Buf *out, const ArrowSchema *schema, const ArrowArray *array)
{
    JsonWriter w = json_writer(out);
    for (int64_t row = 0; row < array->length && row < ROWS_MAX; row++) {
        arrow_put_json_row(&w, schema, array, row);
        arrow_put_csv_row(out, schema, array, row);
    }
}

static void send_and_read(const ArrowSchema *schema, const ArrowArray *array)
{
    Buf stream AUTO(buf_done), first AUTO(buf_done), second AUTO(buf_done);
    ArrowIpcReader *reader AUTO(arrow_ipc_reader_free) = NULL;
    ArrowArray again AUTO(arrow_array_done) = { .release = NULL };
    const ArrowSchema *schema_again = NULL;
    Err err;
    buf_init(&stream, 64 << 20);
    buf_init(&first, 4 << 20);
    buf_init(&second, 4 << 20);
    if (arrow_ipc_schema_put(&stream, schema, &err) != E_OK ||
        arrow_ipc_batch_put(&stream, schema, array, &err) != E_OK)
        return; /* too large when written out */
    ASSERT(arrow_ipc_reader_new(&reader, &err) == E_OK);
    ASSERT(arrow_ipc_reader_feed(reader, buf_str(&stream), &err) == E_OK);
    ASSERT(arrow_ipc_reader_next(reader, &again, &err) == E_OK && again.release);
    ASSERT(arrow_ipc_reader_schema(reader, &schema_again, &err) == E_OK);
    put_rows(&first, schema, array);
    put_rows(&second, schema_again, &again);
    ASSERT(str_eq(buf_str(&first), buf_str(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    ArrowIpcReader *reader AUTO(arrow_ipc_reader_free) = NULL;
    Err err;
    ASSERT(arrow_ipc_reader_new(&reader, &err) == E_OK);
    if (arrow_ipc_reader_feed(reader, str_of(bytes, len), &err) != E_OK)
        return 0;
    for (int i = 0; i < BATCHES_MAX; i++) {
        ArrowArray array AUTO(arrow_array_done) = { .release = NULL };
        const ArrowSchema *schema = NULL;
        if (arrow_ipc_reader_next(reader, &array, &err) != E_OK || !array.release)
            return 0;
        if (arrow_ipc_reader_schema(reader, &schema, &err) == E_OK)
            send_and_read(schema, &array);
    }
    return 0;
}
