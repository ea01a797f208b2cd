/* api_trash.h: what was deleted or replaced, and taking it back.
 * Owner:   as api.h.
 * Threads: as api.h.
 * Errors:  those of store/store_trash.h; FORBIDDEN: the role may not write in this bucket; INVALID: no version.
 * Limits:  STORE_LIST_MAX items of a page.
 * Units:   bytes. */
#pragma once

#include "api/api.h"

typedef struct ApiTrashAsk {
    Str bucket;
    Str prefix;
    Str cursor; /* `next_cursor` of the page before */
    size_t limit; /* 0: STORE_LIST_MAX */
} ApiTrashAsk;
/* {"items":[{key, version, size_bytes, content_type, modified, deleted, until}], "next_cursor"} */
Code api_trash(ApiCall *call, const ApiTrashAsk *ask, Buf *out, Err *err) CHECKED;

/* `version` empty: the one that was taken away last. Audited. {bucket, key, version, size_bytes}: of what it is now. */
Code api_undelete(ApiCall *call, Str bucket, Str key, Str version, Buf *out, Err *err) CHECKED;
