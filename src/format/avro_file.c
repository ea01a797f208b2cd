/* Object container files. Invariants of the reader:
 * 1. `at` is between blocks, or `left` > 0 values of the current block are still in `block`.
 * 2. A block's bytes end exactly where its last value ends. */
#include "format/avro.h"
#include "format/inflate.h"

enum {
    BLOCK_BYTES_USUAL = 64 << 10,
    DEFLATE_LEVEL = 6,
    ZSTD_LEVEL = 3,
    EMPTY_VALUES_MAX = 4096 /* values of no bytes, in one block */
};

static const Str magic = STR_INIT("Obj\x01");
static const Str codec_names[] = { STR_INIT("null"), STR_INIT("deflate"), STR_INIT("zstandard") };

struct AvroReader {
    Arena arena;
    AvroSchema *schema;
    AvroMeta *meta;
    size_t meta_count;
    AvroCodec codec;
    Str sync;
    Reader file;
    Reader block;
    int64_t left; /* values in `block` */
};

/* ---- header ---- */

static Str header_bytes(Reader *r)
{
    int64_t len = read_zigzag(r);
    if (len < 0 || (uint64_t)len > reader_left(r)) {
        reader_fail(r, "a header length beyond the end");
        return STR_NONE;
    }
    return read_bytes(r, (size_t)len);
}

static void read_header(AvroReader *reader)
{
    Reader *r = &reader->file;
    if (!str_eq(read_bytes(r, magic.len), magic))
        reader_fail(r, "no Avro file: it does not start with Obj1");
    reader->meta = arena_array(&reader->arena, AvroMeta, AVRO_META_MAX);
    for (int64_t count; (count = read_zigzag(r)) != 0 && reader_ok(r);) {
        if (count < 0) {
            read_zigzag(r);
            count = count == INT64_MIN ? INT64_MAX : -count;
        }
        if (count > AVRO_META_MAX - (int64_t)reader->meta_count) {
            reader_fail(r, "too many header entries");
            return;
        }
        for (int64_t i = 0; i < count && reader_ok(r); i++) {
            Str key = header_bytes(r);
            reader->meta[reader->meta_count++] = (AvroMeta){ key, header_bytes(r) };
        }
    }
    reader->sync = read_bytes(r, AVRO_SYNC_LEN);
}

static Code codec_of(Str name, AvroCodec *ret_codec, Err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(codec_names); i++) {
        if (str_eq(name, codec_names[i]) || (i == 0 && name.len == 0)) {
            *ret_codec = (AvroCodec)i;
            return E_OK;
        }
    }
    return err_set(err, E_UNSUPPORTED, "Avro codec '" STR_FMT "': only null, deflate and zstandard",
                   STR_ARG(name));
}

Code avro_reader_open(Str file, AvroReader **ret_reader, Err *err)
{
    AvroReader *reader AUTO(avro_reader_free) = mem_new(sizeof *reader);
    reader->file = reader_of(file);
    read_header(reader);
    TRY(reader_check(&reader->file, "Avro file", err));
    TRY(codec_of(avro_reader_meta(reader, STR("avro.codec")), &reader->codec, err));
    Str json = avro_reader_schema_json(reader);
    if (!json.ptr)
        return err_set(err, E_CORRUPT, "Avro file without a schema");
    TRY(avro_schema_parse(&reader->arena, json, &reader->schema, err));
    *ret_reader = TAKE(reader);
    return E_OK;
}

void avro_reader_free(AvroReader **reader)
{
    if (!*reader)
        return;
    arena_done(&(*reader)->arena);
    mem_free(reader);
}

const AvroSchema *avro_reader_schema(const AvroReader *reader)
{
    return reader->schema;
}

Str avro_reader_schema_json(const AvroReader *reader)
{
    return avro_reader_meta(reader, STR("avro.schema"));
}

Str avro_reader_meta(const AvroReader *reader, Str key)
{
    for (size_t i = 0; i < reader->meta_count; i++)
        if (str_eq(reader->meta[i].key, key))
            return reader->meta[i].value;
    return STR_NONE;
}

/* ---- blocks ---- */

static Code decompress(AvroCodec codec, Str bytes, Arena *arena, Str *ret_block, Err *err)
{
    if (codec == AVRO_CODEC_NULL) {
        *ret_block = bytes;
        return E_OK;
    }
    Buf out AUTO(buf_done);
    buf_init(&out, AVRO_BLOCK_BYTES_MAX);
    InflateKind kind = codec == AVRO_CODEC_DEFLATE ? INFLATE_RAW : INFLATE_ZSTD;
    InflateLimits limits = { .ignores_tail = true }; /* fastavro leaves part of zlib's checksum */
    TRY(inflate_whole(kind, bytes, &limits, &out, err));
    *ret_block = str_copy(arena, buf_str(&out));
    return E_OK;
}

static Code next_block(AvroReader *reader, Arena *arena, Err *err)
{
    Reader *r = &reader->file;
    int64_t count = read_zigzag(r), size = read_zigzag(r);
    if (count < 0 || size < 0 || (uint64_t)size > reader_left(r) || size > AVRO_BLOCK_BYTES_MAX)
        reader_fail(r, "a block's count or size is wrong");
    Str bytes = read_bytes(r, (size_t)MAX(size, 0));
    if (!str_eq(read_bytes(r, AVRO_SYNC_LEN), reader->sync))
        reader_fail(r, "a block does not end with the file's sync marker");
    TRY(reader_check(r, "Avro file", err));
    Str block;
    TRY(decompress(reader->codec, bytes, arena, &block, err));
    if ((uint64_t)count > MAX(block.len, (size_t)EMPTY_VALUES_MAX))
        return err_set(err, E_CORRUPT, "Avro file: %lld values in a block of %zu bytes",
                       (long long)count, block.len);
    reader->block = reader_of(block);
    reader->left = count;
    return E_OK;
}

Code avro_reader_next(AvroReader *reader, Arena *arena, AvroValue *ret_value, bool *ret_more,
                      Err *err)
{
    while (reader->left == 0) {
        if (reader->block.bytes.ptr)
            TRY(reader_end(&reader->block, "Avro block", err));
        if (reader_left(&reader->file) == 0) {
            *ret_more = false;
            return E_OK;
        }
        TRY(next_block(reader, arena, err));
    }
    TRY(avro_decode(&reader->block, arena, reader->schema, ret_value, err));
    reader->left--;
    *ret_more = true;
    return E_OK;
}

/* ---- writing ---- */

struct AvroWriter {
    Arena arena;
    AvroSchema *schema;
    AvroCodec codec;
    Buf *out;
    Buf block;
    Buf squeezed;
    int64_t count; /* values in `block` */
    size_t block_bytes;
    Str sync;
};

static void put_entry(Buf *out, Str key, Str value)
{
    write_zigzag(out, (int64_t)key.len);
    buf_put(out, key);
    write_zigzag(out, (int64_t)value.len);
    buf_put(out, value);
}

Code avro_writer_open(Buf *out, const AvroWriterOptions *options, AvroWriter **ret_writer, Err *err)
{
    if (options->meta_count + 2 > AVRO_META_MAX)
        return err_set(err, E_LIMIT, "an Avro file with %zu header entries", options->meta_count);
    AvroWriter *writer AUTO(avro_writer_free) = mem_new(sizeof *writer);
    buf_init(&writer->block, AVRO_BLOCK_BYTES_MAX);
    buf_init(&writer->squeezed, 2 * (size_t)AVRO_BLOCK_BYTES_MAX);
    writer->out = out;
    writer->codec = options->codec;
    writer->block_bytes = options->block_bytes ? options->block_bytes : BLOCK_BYTES_USUAL;
    writer->sync = str_copy(&writer->arena, str_of(options->sync, AVRO_SYNC_LEN));
    TRY(avro_schema_parse(&writer->arena, options->schema_json, &writer->schema, err));
    buf_put(out, magic);
    write_zigzag(out, (int64_t)options->meta_count + 2);
    put_entry(out, STR("avro.schema"), options->schema_json);
    put_entry(out, STR("avro.codec"), codec_names[options->codec]);
    for (size_t i = 0; i < options->meta_count; i++)
        put_entry(out, options->meta[i].key, options->meta[i].value);
    write_zigzag(out, 0);
    buf_put(out, writer->sync);
    TRY(buf_end(out, "Avro file", err));
    *ret_writer = TAKE(writer);
    return E_OK;
}

static Code flush_block(AvroWriter *writer, Err *err)
{
    TRY(buf_end(&writer->block, "Avro block", err));
    if (writer->count == 0)
        return E_OK;
    Str bytes = buf_str(&writer->block);
    if (writer->codec != AVRO_CODEC_NULL) {
        bool deflate = writer->codec == AVRO_CODEC_DEFLATE;
        buf_clear(&writer->squeezed);
        TRY(deflate_whole(deflate ? INFLATE_RAW : INFLATE_ZSTD, bytes,
                          deflate ? DEFLATE_LEVEL : ZSTD_LEVEL, &writer->squeezed, err));
        bytes = buf_str(&writer->squeezed);
    }
    write_zigzag(writer->out, writer->count);
    write_zigzag(writer->out, (int64_t)bytes.len);
    buf_put(writer->out, bytes);
    buf_put(writer->out, writer->sync);
    buf_clear(&writer->block);
    writer->count = 0;
    return buf_end(writer->out, "Avro file", err);
}

Code avro_writer_put(AvroWriter *writer, const AvroValue *value, Err *err)
{
    size_t before = writer->block.len;
    Code code = avro_encode(&writer->block, writer->schema, value, err);
    if (code != E_OK) {
        writer->block.len = before; /* the values before it stay good */
        return code;
    }
    writer->count++;
    if (writer->block.len >= writer->block_bytes || writer->count >= AVRO_ITEMS_MAX)
        return flush_block(writer, err);
    return buf_end(&writer->block, "Avro block", err);
}

Code avro_writer_finish(AvroWriter *writer, Err *err)
{
    return flush_block(writer, err);
}

void avro_writer_free(AvroWriter **writer)
{
    if (!*writer)
        return;
    buf_done(&(*writer)->block);
    buf_done(&(*writer)->squeezed);
    arena_done(&(*writer)->arena);
    mem_free(writer);
}
