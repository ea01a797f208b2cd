/* arrow_ipc_priv.h: what the files of the IPC codec share: one file a message, one for the stream.
 * Owner:   as in arrow.h.
 * Threads: one at a time.
 * Errors:  as in arrow.h.
 * Limits:  as in arrow.h.
 * Units:   bytes. */
#pragma once

#include "format/arrow_priv.h"
#include "base/cursor.h"
#include "format/flat_priv.h"

enum {
    IPC_VERSION_V5 = 4,
    IPC_HEADER_SCHEMA = 1,
    IPC_HEADER_DICTIONARY = 2,
    IPC_HEADER_BATCH = 3,
    IPC_ALIGN = 8,
    IPC_MARK = 0xFFFFFFFF
};

/* The type that is written for a node: of a dictionary its values' type. UNKNOWN: cannot be
 * written. */
ArrowType ipc_written_type(const ArrowSchema *schema);

/* Finishes a message around `header` and puts it with its frame; the body follows it. */
Code ipc_message_put(Buf *out, FlatBuilder *b, uint8_t header_type, FlatRef header,
                     int64_t body_len, Err *err);

Code ipc_schema_get(Flat *flat, FlatTable header, ArrowSchema *ret_schema, Err *err);
Code ipc_batch_get(Flat *flat, FlatTable header, Str body, const ArrowSchema *schema,
                   ArrowArray *ret_array, Err *err);
