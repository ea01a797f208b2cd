/* manifest_priv.h: what the files of manifests share.
 * Owner:   nobody; plain functions.
 * Threads: any.
 * Errors:  none.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "format/avro.h"
#include "table/manifest.h"

enum { MANIFEST_SCHEMA_BYTES_MAX = 1 << 20 };

/* `types`: one a field of the spec. */
void manifest_schema_put(Buf *json, const IcePartitionSpec *spec, const IceType *const *types);
void manifest_list_schema_put(Buf *json);
size_t decimal_fixed_len(int32_t precision);

/* Partition values between Avro and IceValue. */
AvroValue partition_value_to_avro(Arena *arena, const IceType *type, const IceValue *value);
Code partition_value_from_avro(const IceType *type, const AvroValue *avro, IceValue *ret_value,
                               Err *err) CHECKED;

/* Avro values of optional numbers: absent and null give the fallback. */
int64_t avro_i64_or(const AvroSchema *record, const AvroValue *value, int32_t field_id,
                    int64_t fallback);
