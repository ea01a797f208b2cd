/* index_priv.h: which bytes a source has sent before: SHA-256 to object key.
 * Owner:   the Source; keys are the index's own copies.
 * Threads: any; a claim is held by the thread that made it until it is settled.
 * Errors:  those of store_list, when a source is asked for the first time.
 * Limits:  memory: about 120 bytes an object of the sources that were used since start.
 * Units:   none. */
#pragma once

#include "store/store.h"

typedef struct SourceIndex SourceIndex;

SourceIndex *source_index_new(Store *store, Str bucket);
void source_index_free(SourceIndex **index);

/* Either `*ret_key` is the key of the same bytes (in the arena), or it is empty and the caller owns the
 * claim: others with the same bytes wait until source_index_settle. */
Code source_index_claim(SourceIndex *index, Str source, const uint8_t sha256[32], Arena *arena,
                        Str *ret_key, Err *err) CHECKED;
/* `key` empty: nothing was written, the claim is given up. */
void source_index_settle(SourceIndex *index, Str source, const uint8_t sha256[32], Str key);
