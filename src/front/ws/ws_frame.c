/* Invariants:
 * 1. A rule is checked as soon as the bytes that break it are here: reserved bits and the opcode after the
 *    first byte, lengths after the head, text at its first wrong byte. Nothing is kept of what is refused.
 * 2. Memory grows with the bytes that came, never with the length that a frame claims.
 * 3. `bytes` holds the open message only; its maximum is the message's, also for what an inflater gives.
 * 4. A control frame never touches the open message (section 5.4): it has its own bytes.
 *
 * States: head (head_len < head_need), payload (in_payload); after a close frame `dropped`. */
#include "front/ws/ws_frame.h"

#include <string.h>

enum {
    BIT_FIN = 0x80,
    BIT_RSV1 = 0x40,
    BITS_RSV23 = 0x30,
    BITS_OPCODE = 0x0F,
    BIT_MASK = 0x80,
    BITS_LEN = 0x7F,
    LEN_16 = 126, /* the length stands in the next two bytes */
    LEN_64 = 127,
    OPCODE_CONTROL = 8,
    PIECE_BYTES = 4 << 10 /* unmasked at once before it is inflated */
};

void ws_reader_init(WsReader *reader, const WsReaderOptions *options)
{
    *reader = (WsReader){ .options = *options, .head_need = 2 };
    buf_init(&reader->bytes, options->message_max);
}

void ws_reader_done(WsReader *reader)
{
    buf_done(&reader->bytes);
    inflater_free(&reader->inflater);
}

static WsStep fail(WsReader *reader, WsCode code, const char *text)
{
    reader->fail_code = (uint16_t)code;
    reader->fail_text = text;
    return WS_FAILED;
}

bool ws_code_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

void ws_mask(char *out, Str in, const uint8_t mask[WS_MASK_LEN], uint64_t at)
{
    uint8_t turned[8];
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(at + i) % WS_MASK_LEN];
    uint64_t key, word;
    memcpy(&key, turned, sizeof key);
    size_t i = 0;
    for (; in.len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, in.ptr + i, sizeof word);
        word ^= key;
        memcpy(out + i, &word, sizeof word);
    }
    for (; i < in.len; i++)
        out[i] = (char)((uint8_t)in.ptr[i] ^ turned[i % WS_MASK_LEN]);
}

static bool is_control(const WsReader *reader)
{
    return reader->opcode >= OPCODE_CONTROL;
}

/* Section 5.2, the first byte. */
static WsStep first_byte(WsReader *reader, uint8_t byte)
{
    reader->fin = byte & BIT_FIN;
    reader->opcode = byte & BITS_OPCODE;
    if (byte & BITS_RSV23)
        return fail(reader, WS_PROTOCOL_ERROR, "a reserved bit is set");
    if ((reader->opcode > WS_BINARY && reader->opcode < WS_CLOSE) || reader->opcode > WS_PONG)
        return fail(reader, WS_PROTOCOL_ERROR, "a reserved opcode");
    bool first = reader->opcode == WS_TEXT || reader->opcode == WS_BINARY;
    if ((byte & BIT_RSV1) && (!reader->options.deflate || !first))
        return fail(reader, WS_PROTOCOL_ERROR, "RSV1 is set where nothing gives it a meaning");
    if (is_control(reader))
        return reader->fin ? WS_MORE : fail(reader, WS_PROTOCOL_ERROR, "a control frame in pieces");
    if (first && reader->message)
        return fail(reader, WS_PROTOCOL_ERROR, "a new message inside of another one");
    if (!first && !reader->message)
        return fail(reader, WS_PROTOCOL_ERROR, "a continuation of nothing");
    if (first) {
        reader->message = reader->opcode;
        reader->compressed = byte & BIT_RSV1;
        reader->fragments = 0;
        reader->wire_bytes = 0;
        reader->utf8 = (Utf8Check){ 0 };
    }
    if (++reader->fragments > reader->options.fragments_max)
        return fail(reader, WS_POLICY, "a message in too many frames");
    return WS_MORE;
}

static WsStep second_byte(WsReader *reader, uint8_t byte)
{
    bool masked = byte & BIT_MASK;
    unsigned len = byte & BITS_LEN;
    if (masked != reader->options.from_client)
        return fail(reader, WS_PROTOCOL_ERROR,
                    masked ? "a frame of the server is masked" : "a frame is not masked");
    if (is_control(reader) && len > WS_CONTROL_MAX)
        return fail(reader, WS_PROTOCOL_ERROR, "a control frame of more than 125 bytes");
    if (reader->opcode == WS_CLOSE && len == 1)
        return fail(reader, WS_PROTOCOL_ERROR, "a close frame of one byte");
    reader->head_need = (uint8_t)(2 + (len == LEN_16 ? 2 : len == LEN_64 ? 8 : 0) +
                                  (masked ? WS_MASK_LEN : 0));
    return WS_MORE;
}

static uint64_t be_number(const uint8_t *at, size_t len)
{
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++)
        number = number << 8 | at[i];
    return number;
}

/* The head is complete. */
static WsStep head_over(WsReader *reader)
{
    unsigned short_len = reader->head[1] & BITS_LEN;
    size_t at = 2, wide = short_len == LEN_16 ? 2 : short_len == LEN_64 ? 8 : 0;
    uint64_t len = wide ? be_number(reader->head + at, wide) : short_len;
    if ((wide == 2 && len < LEN_16) || (wide == 8 && len <= UINT16_MAX))
        return fail(reader, WS_PROTOCOL_ERROR, "a length that is not in its shortest form");
    if (len >> 63)
        return fail(reader, WS_PROTOCOL_ERROR, "a length with its top bit set");
    if (reader->options.from_client)
        memcpy(reader->mask, reader->head + at + wide, WS_MASK_LEN);
    reader->left = len;
    reader->payload_at = 0;
    reader->control_len = 0;
    reader->in_payload = true;
    reader->head_len = 0;
    reader->head_need = 2;
    if (is_control(reader))
        return WS_MORE;
    uint64_t max = reader->options.message_max;
    if (reader->compressed)
        max += (max >> 6) + 64; /* what cannot be compressed grows a little */
    if (len > max || reader->wire_bytes > max - len)
        return fail(reader, WS_TOO_BIG, "the message is too big");
    reader->wire_bytes += len;
    return WS_MORE;
}

static WsStep head_in(WsReader *reader, Str *in)
{
    while (in->len > 0 && reader->head_len < reader->head_need) {
        uint8_t byte = (uint8_t)in->ptr[0];
        reader->head[reader->head_len++] = byte;
        *in = str_from(*in, 1);
        WsStep step = reader->head_len == 1   ? first_byte(reader, byte)
                      : reader->head_len == 2 ? second_byte(reader, byte)
                                              : WS_MORE;
        if (step != WS_MORE)
            return step;
    }
    return reader->head_len == reader->head_need ? head_over(reader) : WS_MORE;
}

/* What was added to the message from `from` on. */
static WsStep added(WsReader *reader, size_t from)
{
    if (reader->message == WS_TEXT &&
        !utf8_add(&reader->utf8, str_from(buf_str(&reader->bytes), from)))
        return fail(reader, WS_INVALID_DATA, "a text that is not UTF-8");
    return WS_MORE;
}

static WsStep inflate_failed(WsReader *reader, Code code)
{
    return code == E_LIMIT ? fail(reader, WS_TOO_BIG, "the message is too big")
                           : fail(reader, WS_INVALID_DATA, "a compressed message is damaged");
}

static WsStep inflate_in(WsReader *reader, Str piece)
{
    if (!reader->inflater && inflater_open(reader->options.window_bits, &reader->inflater, NULL))
        return fail(reader, WS_INTERNAL_ERROR, "no memory to inflate");
    char plain[PIECE_BYTES];
    while (piece.len > 0) {
        Str part = str_sub(piece, 0, sizeof plain);
        ws_mask(plain, part, reader->mask, reader->payload_at);
        size_t from = reader->bytes.len;
        Code code = inflater_piece(reader->inflater, str_of(plain, part.len), &reader->bytes, NULL);
        if (added(reader, from) != WS_MORE)
            return WS_FAILED;
        if (code != E_OK)
            return inflate_failed(reader, code);
        reader->payload_at += part.len;
        piece = str_from(piece, part.len);
    }
    return WS_MORE;
}

static WsStep data_in(WsReader *reader, Str piece)
{
    if (reader->compressed)
        return inflate_in(reader, piece);
    size_t from = reader->bytes.len;
    if (!buf_reserve(&reader->bytes, piece.len))
        return fail(reader, WS_TOO_BIG, "the message is too big");
    ws_mask(reader->bytes.ptr + from, piece, reader->mask, reader->payload_at);
    reader->bytes.len += piece.len;
    reader->payload_at += piece.len;
    return added(reader, from);
}

static WsStep message_over(WsReader *reader, WsEvent *ret_event)
{
    if (reader->compressed && reader->inflater) {
        size_t from = reader->bytes.len;
        Code code = inflater_message_end(reader->inflater, reader->options.keeps_window,
                                         &reader->bytes, NULL);
        if (added(reader, from) != WS_MORE)
            return WS_FAILED;
        if (code != E_OK)
            return inflate_failed(reader, code);
        if (!reader->options.keeps_window)
            inflater_free(&reader->inflater);
    }
    if (reader->message == WS_TEXT && !utf8_complete(&reader->utf8))
        return fail(reader, WS_INVALID_DATA, "a text that ends inside of a character");
    *ret_event = (WsEvent){ (WsOpcode)reader->message, buf_str(&reader->bytes), 0 };
    reader->message = 0;
    return WS_EVENT;
}

static WsStep close_over(WsReader *reader, WsEvent *ret_event)
{
    Str bytes = str_of(reader->control, reader->control_len);
    ret_event->code = WS_NO_STATUS;
    reader->dropped = true;
    if (bytes.len == 0)
        return WS_EVENT;
    ret_event->code = (uint16_t)be_number((const uint8_t *)bytes.ptr, 2);
    ret_event->bytes = str_from(bytes, 2);
    if (!ws_code_valid(ret_event->code))
        return fail(reader, WS_PROTOCOL_ERROR, "a close code that must not be sent");
    if (!str_is_utf8(ret_event->bytes))
        return fail(reader, WS_INVALID_DATA, "a reason that is not UTF-8");
    return WS_EVENT;
}

static WsStep frame_over(WsReader *reader, WsEvent *ret_event)
{
    reader->in_payload = false;
    if (is_control(reader)) {
        *ret_event = (WsEvent){ (WsOpcode)reader->opcode,
                                str_of(reader->control, reader->control_len), 0 };
        return reader->opcode == WS_CLOSE ? close_over(reader, ret_event) : WS_EVENT;
    }
    return reader->fin ? message_over(reader, ret_event) : WS_MORE;
}

static WsStep payload_in(WsReader *reader, Str *in, WsEvent *ret_event)
{
    Str piece = str_sub(*in, 0, (size_t)MIN(reader->left, (uint64_t)in->len));
    *in = str_from(*in, piece.len);
    reader->left -= piece.len;
    WsStep step = WS_MORE;
    if (is_control(reader)) {
        ws_mask(reader->control + reader->control_len, piece, reader->mask, reader->payload_at);
        reader->control_len = (uint8_t)(reader->control_len + piece.len);
        reader->payload_at += piece.len;
    } else if (piece.len > 0) {
        step = data_in(reader, piece);
    }
    return step == WS_MORE && reader->left == 0 ? frame_over(reader, ret_event) : step;
}

/* The message that was given is over: its memory stays only when it is little. */
static void message_forget(WsReader *reader)
{
    if (reader->bytes.cap > WS_KEEP_BYTES) {
        size_t max = reader->bytes.max;
        buf_done(&reader->bytes);
        buf_init(&reader->bytes, max);
    }
    buf_clear(&reader->bytes);
}

WsStep ws_reader_next(WsReader *reader, Str *in, WsEvent *ret_event)
{
    if (reader->fail_code)
        return WS_FAILED;
    if (reader->dropped) {
        *in = str_from(*in, in->len);
        return WS_MORE;
    }
    if (!reader->message && reader->bytes.len > 0)
        message_forget(reader);
    WsStep step = WS_MORE;
    while (step == WS_MORE && (in->len > 0 || (reader->in_payload && reader->left == 0)))
        step = reader->in_payload ? payload_in(reader, in, ret_event) : head_in(reader, in);
    return step;
}

size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], const WsFrame *frame, uint64_t payload_len)
{
    size_t wide = payload_len > UINT16_MAX ? 8 : payload_len >= LEN_16 ? 2 : 0, at = 2;
    out[0] = (uint8_t)((frame->fin ? BIT_FIN : 0) | (frame->compressed ? BIT_RSV1 : 0) |
                       (unsigned)frame->opcode);
    out[1] = (uint8_t)((frame->mask ? BIT_MASK : 0) |
                       (wide == 8   ? LEN_64
                        : wide == 2 ? LEN_16
                                    : (unsigned)payload_len));
    for (size_t i = wide; i-- > 0;)
        out[at++] = (uint8_t)(payload_len >> (8 * i));
    if (frame->mask) {
        memcpy(out + at, frame->mask, WS_MASK_LEN);
        at += WS_MASK_LEN;
    }
    return at;
}

void ws_frame_put(Buf *out, const WsFrame *frame, Str payload)
{
    uint8_t head[WS_HEAD_MAX];
    size_t head_len = ws_frame_head(head, frame, payload.len);
    if (!buf_reserve(out, head_len + payload.len))
        return;
    buf_put(out, str_of(head, head_len));
    if (!frame->mask) {
        buf_put(out, payload);
        return;
    }
    ws_mask(out->ptr + out->len, payload, frame->mask, 0);
    out->len += payload.len;
}

void ws_close_put(Buf *out, uint16_t code, Str reason, const uint8_t *mask)
{
    char payload[WS_CONTROL_MAX];
    WsFrame frame = { WS_CLOSE, true, false, mask };
    if (code == WS_NO_STATUS) {
        ws_frame_put(out, &frame, STR_NONE);
        return;
    }
    size_t len = MIN(reason.len, (size_t)WS_CONTROL_MAX - 2);
    while (len > 0 && !str_is_utf8(str_sub(reason, 0, len)))
        len--;
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    if (len > 0)
        memcpy(payload + 2, reason.ptr, len);
    ws_frame_put(out, &frame, str_of(payload, len + 2));
}
