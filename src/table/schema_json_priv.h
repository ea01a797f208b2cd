/* schema_json_priv.h: schemas inside larger JSON, for metadata.c and manifest.c.
 * Owner:   results live in the Arena.
 * Threads: any.
 * Errors:  CORRUPT, LIMIT.
 * Limits:  SCHEMA_JSON_DEPTH_MAX levels of JSON: three a level of nesting, and the document around
 * it. Units:   none. */
#pragma once

#include "format/json.h"
#include "table/iceberg.h"

enum { SCHEMA_JSON_DEPTH_MAX = 3 * ICE_DEPTH_MAX + 16 };

Code schema_json_decode(Arena *arena, const Json *json, IceSchema **ret_schema, Err *err) CHECKED;
void schema_json_encode(JsonWriter *w, const IceSchema *schema);
Code spec_json_decode(Arena *arena, const Json *json, IcePartitionSpec *ret_spec, Err *err) CHECKED;
/* A required number of 32 bits; CORRUPT with its key. */
Code ice_json_i32(const Json *object, const char *key, int32_t *ret_number, Err *err) CHECKED;
