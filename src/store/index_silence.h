/* index_silence.h: options of RocksDB under which it writes no file LOG.
 * Owner:   the caller.
 * Threads: one.
 * Errors:  none.
 * Limits:  none.
 * Units:   none. */
#pragma once

#include <rocksdb/c.h>

#ifdef __cplusplus
extern "C"
#endif
void index_silence(rocksdb_options_t *options);
