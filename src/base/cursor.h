/* cursor.h: the two cursors over bytes, Reader and Writer. Their failure sticks.
 * Owner:   a Reader borrows its bytes; a Writer borrows its Buf.
 * Threads: one at a time.
 * Errors:  reader_end: CORRUPT with the byte; a Writer fails as its Buf does.
 * Limits:  every count is read with its maximum.
 * Units:   bytes; le = little endian, be = big endian. */
#pragma once

#include "base/buf.h"

typedef struct Reader {
    Str bytes;
    size_t at;
    const char *failure; /* NULL: none so far; the first one stays */
    size_t failure_at;
} Reader;

Reader reader_of(Str bytes);
bool reader_ok(const Reader *r);
size_t reader_left(const Reader *r);
void reader_fail(Reader *r, const char *why);             /* keeps the first failure */
Code reader_end(const Reader *r, const char *what, Err *err) CHECKED;  /* also: bytes left over */
Code reader_check(const Reader *r, const char *what, Err *err) CHECKED; /* bytes may be left over */

/* After a failure every read gives 0 or an empty Str. */
uint8_t read_u8(Reader *r);
uint16_t read_u16le(Reader *r);
uint32_t read_u32le(Reader *r);
uint64_t read_u64le(Reader *r);
uint16_t read_u16be(Reader *r);
uint32_t read_u32be(Reader *r);
uint64_t read_u64be(Reader *r);
uint64_t read_varint(Reader *r);                          /* LEB128, at most 10 bytes */
int64_t read_zigzag(Reader *r);
Str read_bytes(Reader *r, size_t count);                  /* borrowed */
Str read_str32(Reader *r, size_t max);                    /* u32le length, bytes */
void read_skip(Reader *r, size_t count);
uint64_t read_count(Reader *r, uint64_t value, uint64_t max); /* value, or fails when over max */

typedef Buf Writer;

void write_u8(Writer *w, uint8_t value);
void write_u16le(Writer *w, uint16_t value);
void write_u32le(Writer *w, uint32_t value);
void write_u64le(Writer *w, uint64_t value);
void write_u16be(Writer *w, uint16_t value);
void write_u32be(Writer *w, uint32_t value);
void write_u64be(Writer *w, uint64_t value);
void write_varint(Writer *w, uint64_t value);
void write_zigzag(Writer *w, int64_t value);
void write_str32(Writer *w, Str bytes);

/* Unaligned loads and stores of fixed places. */
uint32_t load_u32le(const void *at);
uint64_t load_u64le(const void *at);
void store_u32le(void *at, uint32_t value);
void store_u64le(void *at, uint64_t value);
