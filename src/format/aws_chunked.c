/*   state      what moves it on
 *   LINE       a chunk's line is whole              line_over
 *   DATA       the chunk's bytes have come          AWS_CHUNKS_CHUNK_END
 *   DATA_CR    CR behind them
 *   DATA_LF    LF behind them                       LINE
 *   TRAILER    a trailer's line, an empty one ends  DONE
 *   OVER       nothing more */
#include "format/aws_chunked.h"

#include <string.h>

enum { LINE, DATA, DATA_CR, DATA_LF, TRAILER, OVER };

void aws_chunks_init(AwsChunks *chunks, bool is_signed, bool has_trailer)
{
    *chunks = (AwsChunks){ .is_signed = is_signed, .has_trailer = has_trailer };
    buf_init(&chunks->trailers, AWS_CHUNK_TRAILER_MAX);
}

void aws_chunks_done(AwsChunks *chunks)
{
    buf_done(&chunks->trailers);
}

static AwsChunkStep refuse(AwsChunks *chunks, AwsChunkFault fault)
{
    chunks->fault = fault;
    chunks->state = OVER;
    return AWS_CHUNKS_REFUSE;
}

/* Moves bytes into the line up to LF; true: the line is whole, without its CRLF. */
static bool line_take(AwsChunks *chunks, Str *in, AwsChunkStep *ret_step, AwsChunkFault fault)
{
    ptrdiff_t end = str_find_char(*in, '\n');
    *ret_step = AWS_CHUNKS_MORE;
    while (in->len > 0) {
        size_t len = end < 0 ? in->len : (size_t)end + 1;
        if (chunks->line_len + len > sizeof chunks->line) {
            *ret_step = refuse(chunks, fault);
            return false;
        }
        memcpy(chunks->line + chunks->line_len, in->ptr, len);
        chunks->line_len += len;
        *in = str_from(*in, len);
        if (end < 0)
            return false;
        if (chunks->line_len >= 2 && chunks->line[chunks->line_len - 2] == '\r') {
            chunks->line_len -= 2;
            return true;
        }
        /* A lone LF: some signers end a trailer by LF CRLF. */
        if (chunks->state != TRAILER) {
            *ret_step = refuse(chunks, fault);
            return false;
        }
        end = str_find_char(*in, '\n');
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool size_parse(Str digits, uint64_t *ret_size)
{
    uint64_t size = 0;
    if (digits.len == 0 || digits.len > 15)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        int digit = hex_digit(digits.ptr[i]);
        if (digit < 0)
            return false;
        size = size << 4 | (unsigned)digit;
    }
    *ret_size = size;
    return true;
}

static bool signature_take(AwsChunks *chunks, Str extension)
{
    if (!str_starts(extension, STR("chunk-signature=")))
        return false;
    Str signature = str_from(extension, strlen("chunk-signature="));
    if (signature.len != AWS_CHUNK_SIGNATURE_LEN)
        return false;
    for (size_t i = 0; i < signature.len; i++) {
        if (hex_digit(signature.ptr[i]) < 0)
            return false;
    }
    memcpy(chunks->signature, signature.ptr, signature.len);
    return true;
}

static AwsChunkStep line_over(AwsChunks *chunks)
{
    Str line = str_of(chunks->line, chunks->line_len), extension = STR_NONE;
    ptrdiff_t semicolon = str_find_char(line, ';');
    chunks->line_len = 0;
    if (semicolon >= 0) {
        extension = str_from(line, (size_t)semicolon + 1);
        line = str_sub(line, 0, (size_t)semicolon);
    }
    if (!size_parse(line, &chunks->size))
        return refuse(chunks, AWS_FAULT_SYNTAX);
    if (chunks->is_signed != (semicolon >= 0) ||
        (chunks->is_signed && !signature_take(chunks, extension)))
        return refuse(chunks, AWS_FAULT_SIGNATURE);
    chunks->number++;
    if (chunks->size > 0 && chunks->was_small)
        return refuse(chunks, AWS_FAULT_CHUNK_SIZE);
    chunks->was_small = chunks->size < AWS_CHUNK_BYTES_MIN;
    chunks->left = chunks->size;
    chunks->state = chunks->size > 0 ? DATA : TRAILER;
    return chunks->size > 0 ? AWS_CHUNKS_MORE : AWS_CHUNKS_CHUNK_END;
}

static bool name_ok(Str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return name.len > 0;
}

static AwsChunkStep trailer_over(AwsChunks *chunks)
{
    Str line = str_of(chunks->line, chunks->line_len);
    chunks->line_len = 0;
    if (line.len > 0 && line.ptr[line.len - 1] == '\n')
        line.len--;
    if (line.len == 0) {
        chunks->state = OVER;
        return AWS_CHUNKS_DONE;
    }
    if (str_find_char(line, '\r') >= 0) /* no trailer that is wrong, but lines that do not end */
        return refuse(chunks, AWS_FAULT_SYNTAX);
    ptrdiff_t colon = str_find_char(line, ':');
    if (!chunks->has_trailer || colon < 0 || !name_ok(str_sub(line, 0, (size_t)colon)))
        return refuse(chunks, AWS_FAULT_TRAILER);
    Str value = str_trim(str_from(line, (size_t)colon + 1));
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.ptr[i] <= ' ' || value.ptr[i] == 127)
            return refuse(chunks, AWS_FAULT_TRAILER);
    }
    for (size_t i = 0; i < (size_t)colon; i++) {
        char c = line.ptr[i];
        buf_put_char(&chunks->trailers, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
    buf_put_char(&chunks->trailers, ':');
    buf_put(&chunks->trailers, value);
    buf_put_char(&chunks->trailers, '\n');
    return chunks->trailers.over ? refuse(chunks, AWS_FAULT_TRAILER) : AWS_CHUNKS_MORE;
}

static AwsChunkStep data_take(AwsChunks *chunks, Str *in, Str *ret_data)
{
    size_t len = (size_t)MIN((uint64_t)in->len, chunks->left);
    if (len > 0) {
        *ret_data = str_sub(*in, 0, len);
        *in = str_from(*in, len);
        chunks->left -= len;
        chunks->total += len;
        return AWS_CHUNKS_DATA;
    }
    chunks->state = DATA_CR;
    return AWS_CHUNKS_CHUNK_END;
}

AwsChunkStep aws_chunks_next(AwsChunks *chunks, Str *in, Str *ret_data)
{
    AwsChunkStep step = AWS_CHUNKS_MORE;
    *ret_data = STR_NONE;
    while (step == AWS_CHUNKS_MORE && (in->len > 0 || (chunks->state == DATA && chunks->left == 0))) {
        switch (chunks->state) {
        case LINE:
            if (line_take(chunks, in, &step, AWS_FAULT_SYNTAX))
                step = line_over(chunks);
            break;
        case DATA:
            step = data_take(chunks, in, ret_data);
            break;
        case DATA_CR:
        case DATA_LF:
            if (in->ptr[0] != (chunks->state == DATA_CR ? '\r' : '\n'))
                return refuse(chunks, AWS_FAULT_SYNTAX);
            *in = str_from(*in, 1);
            chunks->state = chunks->state == DATA_CR ? DATA_LF : LINE;
            break;
        case TRAILER:
            if (line_take(chunks, in, &step, AWS_FAULT_TRAILER))
                step = trailer_over(chunks);
            break;
        default:
            return chunks->fault == AWS_FAULT_NONE ? AWS_CHUNKS_DONE : AWS_CHUNKS_REFUSE;
        }
    }
    return step;
}

bool aws_trailer_next(Str *rest, Str *ret_name, Str *ret_value)
{
    Str line;
    if (rest->len == 0 || !str_split(rest, '\n', &line))
        return false;
    size_t colon = (size_t)str_find_char(line, ':');
    *ret_name = str_sub(line, 0, colon);
    *ret_value = str_from(line, colon + 1);
    return true;
}
