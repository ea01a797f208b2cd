/* ws_frame.h: WebSocket frames (RFC 6455 section 5) and the messages in them, nothing of sockets.
 * Owner:   a WsReader belongs to whoever initialised it; ws_reader_done frees what it holds. An event's
 *          bytes are borrowed until the next call.
 * Threads: one at a time.
 * Errors:  WS_FAILED with the close code that the peer is told and one sentence; it sticks.
 * Limits:  WsReaderOptions; control frames have 125 bytes at most.
 * Units:   bytes.
 *
 * Beyond the words of the RFC: a length that is not written in its shortest form is refused, and so is a text
 * at the first byte that cannot be UTF-8, even inside of a frame. */
#pragma once

#include "base/buf.h"
#include "format/deflate_stream.h"
#include "front/ws/ws_utf8.h"

enum {
    WS_HEAD_MAX = 14,
    WS_CONTROL_MAX = 125,
    WS_MASK_LEN = 4,
    WS_KEEP_BYTES = 4 << 10 /* memory that a reader keeps between two messages at most */
};

typedef enum WsOpcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
} WsOpcode;

/* Close codes: RFC 6455 section 7.4.1 and the registry of IANA. */
typedef enum WsCode {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED_DATA = 1003,
    WS_NO_STATUS = 1005, /* never sent: a close frame without a code came */
    WS_ABNORMAL = 1006,  /* never sent: the connection ended without a close frame */
    WS_INVALID_DATA = 1007,
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009,
    WS_INTERNAL_ERROR = 1011,
    WS_RESTART = 1012,
    WS_TRY_LATER = 1013
} WsCode;

typedef struct WsReaderOptions {
    size_t message_max;     /* of a whole message, inflated */
    uint32_t fragments_max; /* frames of one message */
    bool from_client;       /* frames must be masked; else they must not be */
    bool deflate;           /* RFC 7692 was agreed: RSV1 says that a message is compressed */
    bool keeps_window;      /* the peer compresses with the window of the message before */
    int window_bits;        /* its size */
} WsReaderOptions;

typedef enum WsStep { WS_MORE, WS_EVENT, WS_FAILED } WsStep;

typedef struct WsEvent {
    WsOpcode opcode; /* WS_TEXT, WS_BINARY: a whole message; WS_CLOSE, WS_PING, WS_PONG */
    Str bytes;       /* the payload; of WS_CLOSE: the reason */
    uint16_t code;   /* of WS_CLOSE; WS_NO_STATUS: none was sent */
} WsEvent;

typedef struct WsReader {
    WsReaderOptions options;
    uint8_t head[WS_HEAD_MAX];
    uint8_t head_len, head_need;
    bool in_payload, fin, compressed, dropped;
    uint8_t opcode;      /* of the frame */
    uint8_t message;     /* WS_TEXT or WS_BINARY: a message is open; 0: none */
    uint8_t mask[WS_MASK_LEN];
    uint8_t control_len;
    uint32_t fragments;
    uint64_t left;       /* of the frame's payload */
    uint64_t payload_at; /* bytes of it that were read, for the mask */
    uint64_t wire_bytes; /* of the message's payloads so far */
    Utf8Check utf8;
    Buf bytes;           /* the message so far */
    Inflater *inflater;  /* made when the first compressed message comes */
    char control[WS_CONTROL_MAX];
    uint16_t fail_code;
    const char *fail_text;
} WsReader;

void ws_reader_init(WsReader *reader, const WsReaderOptions *options);
void ws_reader_done(WsReader *reader);

/* Takes bytes off the front of `*in`. WS_MORE: `in` is empty. WS_EVENT: call again with the rest.
 * WS_FAILED: fail_code and fail_text say why; nothing more may be read. After a close frame came every
 * byte is dropped. */
WsStep ws_reader_next(WsReader *reader, Str *in, WsEvent *ret_event);

/* A code that may stand in a close frame. */
bool ws_code_valid(uint16_t code);

/* One frame. `mask` has WS_MASK_LEN bytes when a client sends, else it is NULL. */
typedef struct WsFrame {
    WsOpcode opcode;
    bool fin, compressed;
    const uint8_t *mask;
} WsFrame;

void ws_frame_put(Buf *out, const WsFrame *frame, Str payload);
/* Only the head, for a payload that follows as it is (no mask). */
size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], const WsFrame *frame, uint64_t payload_len);
/* A close frame; WS_NO_STATUS: without code. The reason is cut to what fits, at the edge of a character. */
void ws_close_put(Buf *out, uint16_t code, Str reason, const uint8_t *mask);

/* `out` = `in` under the mask, whose first byte belongs to payload byte 0; `at`: where `in` begins. */
void ws_mask(char *out, Str in, const uint8_t mask[WS_MASK_LEN], uint64_t at);
