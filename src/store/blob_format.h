/* blob_format.h: the end of a body's file: a CRC32C of each STORE_BLOCK_BYTES of the body (u32), then the footer.
 * Owner:   none.
 * Threads: none.
 * Errors:  none.
 * Limits:  none.
 * Units:   bytes; all integers little endian. */
#pragma once

/* magic 8 | version u32 | features u32 | block bytes u32 | blocks u32 | size u64 | id 16 |
 * table CRC u32 | reserved | CRC of all before u32 */
enum { FOOTER_BYTES = 64, BLOB_VERSION = 1 };
#define BLOB_MAGIC "TARNBLOB"
