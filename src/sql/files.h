/* files.h: the store's objects as the engine's files: read by address, written as staged objects.
 * Owner:   a StageSink is its opener's; the staged objects are its until they are taken.
 * Threads: any.
 * Errors:  those of the store; INVALID for an address that is none; FORBIDDEN for an object that is
 *          neither ours nor checked.
 * Limits:  STAGE_FILES_MAX files a sink.
 * Units:   bytes. */
#pragma once

#include "os/thread.h"
#include "sql/border.h"
#include "store/store.h"

enum { STAGE_FILES_MAX = STORE_PUBLISH_MAX };

/* Reads the newest version of each address. Borrows the store. */
BorderFiles store_files(Store *store);

/* One file that a COPY wrote. */
typedef struct StageFile {
    struct StageSink *sink;
    StagedObject *staged;
    int32_t ordinal; /* of `.../STAGE_PART=N/...`; -1: none in the address */
    bool finished;
} StageFile;

typedef struct StageSink {
    Store *store;
    bool from_reserve;
    Mutex mutex; /* of files */
    StageFile *files[STAGE_FILES_MAX];
    size_t count;
} StageSink;

#define STAGE_PART "__tarn_part"

StageSink *stage_sink_new(Store *store, bool from_reserve); /* as StorePut's */
BorderSink stage_sink_border(StageSink *sink);
void stage_sink_free(StageSink **sink); /* aborts what was not taken */
