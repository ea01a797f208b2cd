/* transform_sql.h: Iceberg's partition transforms as SQL over columns of the engine.
 * Owner:   values live in the given arena.
 * Threads: any.
 * Errors:  UNSUPPORTED for transforms that SQL does not give exactly (truncate of decimals,
 * binary). Limits:  none. Units:   results as in table/value.h. */
#pragma once

#include "base/buf.h"
#include "table/iceberg.h"

/* An expression that gives the transformed value of `field` (a column of that name) as VARCHAR. */
Code transform_put_sql(Buf *buf, IceTransform transform, const IceField *field, Err *err) CHECKED;

/* The same as a number or text that sorts as the spec says. */
Code transform_put_number(Buf *buf, IceTransform transform, const IceField *field,
                          Err *err) CHECKED;

/* Back from that text; ptr NULL is NULL. `type` is that of the result. */
Code transform_value(const IceType *type, Str text, Arena *arena, IceValue *ret_value,
                     Err *err) CHECKED;
