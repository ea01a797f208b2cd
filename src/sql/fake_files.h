/* fake_files.h: objects in memory behind BorderFiles and BorderSink, for tests of this folder.
 * Owner:   the test; fake_files_done frees.
 * Threads: any.
 * Errors:  NOT_FOUND; FakeFiles.fail_write makes the sink's Nth write fail with NO_SPACE.
 * Limits:  FAKE_FILES_MAX files.
 * Units:   bytes. */
#pragma once

#include "base/buf.h"
#include "os/thread.h"
#include "sql/border.h"

enum { FAKE_FILES_MAX = 256, FAKE_FILE_BYTES = 1 << 30 };

typedef struct FakeFile {
    char address[256];
    Buf bytes;
    uint64_t version;
    bool finished, abandoned;
    struct FakeFiles *files;
} FakeFile;

typedef struct FakeFiles {
    Mutex mutex;
    FakeFile items[FAKE_FILES_MAX];
    size_t count;
    size_t preads, pread_bytes, opens, open_now;
    size_t writes;
    size_t fail_write; /* 0: none */
} FakeFiles;

void fake_files_init(FakeFiles *fake);
void fake_files_done(FakeFiles *fake);
BorderFiles fake_files_reader(FakeFiles *fake);
BorderSink fake_files_sink(FakeFiles *fake);
FakeFile *fake_files_find(FakeFiles *fake, Str address); /* a finished one, or NULL */
FakeFile *fake_files_put(FakeFiles *fake, Str address, Str bytes);
