/* migrations.h: the numbered steps that bring the metadata database to its present shape.
 * Owner:   a const table; a step that was released never changes.
 * Threads: the writer's, while the database is opened.
 * Errors:  UNSUPPORTED: the database is newer; CORRUPT: it is not ours; IO, NO_SPACE.
 * Limits:  none.
 * Units:   none. */
#pragma once

#include "meta/sqlite_db.h"

enum { META_VERSION = 5 }; /* the number of the last step */

/* Each step is one transaction with its number in it (PRAGMA user_version): after a crash the
 * database has all of a step or nothing of it. Up to `version_max`, 0: all. */
Code meta_migrate(MetaDb *db, uint32_t version_max, uint32_t *ret_version, Err *err) CHECKED;
