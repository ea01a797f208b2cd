/* store_trash.h: versions that were deleted or replaced, while they can still be taken back.
 * Owner:   as store.h.
 * Threads: any.
 * Errors:  as store.h.
 * Limits:  STORE_LIST_MAX items of a page.
 * Units:   bytes; _us: microseconds since 1970 UTC; sequence: of the version. */
#pragma once

#include "store/store.h"

/* A version is trash from the change that took it away until `until_us`; under pressure of space it goes sooner, the
 * oldest first. Delete markers and parts of uploads are not listed. */
typedef struct StoreTrashed {
    ObjectInfo object; /* as it was; `sequence` is its name here */
    int64_t deleted_us;
    int64_t until_us;
} StoreTrashed;

typedef struct StoreTrashQuery {
    Str bucket; /* one that is deleted has its trash as long */
    Str prefix;
    Str start_after; /* `next` of the page before */
    uint64_t after_sequence; /* `next_sequence` of the page before */
    size_t limit; /* 0: STORE_LIST_MAX */
} StoreTrashQuery;

typedef struct StoreTrashPage {
    StoreTrashed *items; /* in byte order of their keys, of a key the newest version first */
    size_t count;
    bool truncated;
    Str next;
    uint64_t next_sequence;
} StoreTrashPage;

Code store_trash_list(Store *store, const StoreTrashQuery *query, Arena *arena, StoreTrashPage *ret_page,
                      Err *err) CHECKED;

/* Makes a new version, the newest of its key, with the bytes, type, tags, fields and digests of one in the trash, and
 * takes that out of it; durable on return. `which` 0: the one that was taken away last. NOT_FOUND: it is not
 * there (any more), or its bucket is not. CONFLICT: it would replace one that is there, because the bucket does not
 * count versions (or has stopped, and there is a null version). `ret_info` is in the arena. */
Code store_undelete(Store *store, Str bucket, Str key, uint64_t which, Arena *arena, ObjectInfo *ret_info,
                    Err *err) CHECKED;
