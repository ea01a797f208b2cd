/* Any bytes as CSV and JSON of a raw scan: the checks end, and what passes them is read into rows whose
 * Arrow stream the reader of the other side takes whole. */
#include "format/arrow.h"
#include "sql/raw_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Code send_to_reader(void *to, Str bytes, Err *err)
{
    return arrow_ipc_reader_feed(to, bytes, err);
}

static void read_as(RawFormat format, Str text, int header)
{
    Str file = STR("s3://b/k");
    RawColumn column = { STR("a"), STR("") };
    RawCall raw = { .format = format, .as_text = true, .problems = header > 0, .describe = header < 0, .header = header,
                    .files = &file, .file_count = 1, .columns = &column, .column_count = header > 0,
                    .wanted = &column, .wanted_count = 1 };
    RawInput input = { .address = file, .fd = -1 };
    Err err;
    ArrowIpcReader *reader AUTO(arrow_ipc_reader_free) = NULL;
    ASSERT(arrow_ipc_reader_new(&reader, &err) == E_OK);
    buf_init(&input.text, RAW_TEXT_BYTES_MAX);
    buf_put(&input.text, text);
    Code code = raw_text_run(&raw, &input, send_to_reader, reader, &err);
    for (ArrowArray array = { .length = 1 }; code == E_OK && array.length > 0;) {
        array = (ArrowArray){ 0 };
        ASSERT(arrow_ipc_reader_next(reader, &array, &err) == E_OK);
        ASSERT(array.release || arrow_ipc_reader_at_end(reader));
        int64_t rows = array.length;
        arrow_array_done(&array);
        array.length = rows;
    }
    buf_done(&input.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Str text = str_of((const char *)data, size);
    Err err;
    RawDialect dialect = raw_csv_dialect(text, STR(""), STR(""));
    IGNORE(raw_check_csv(text, dialect, false, STR("s3://b/k"), &err)); /* either answer is fine */
    IGNORE(raw_check_json(text, false, STR("s3://b/k"), &err));
    if (raw_check_csv(text, dialect, true, STR("s3://b/k"), &err) == E_OK)
        for (int header = -1; header <= 1; header++)
            read_as(RAW_CSV, text, header);
    if (raw_check_json(text, true, STR("s3://b/k"), &err) == E_OK)
        for (int header = -1; header <= 1; header++)
            read_as(RAW_JSON, text, header);
    return 0;
}
