/* Pruning by partition summaries, partition values and bounds (spec, "Scan Planning").
 *
 * Invariants
 *  1. False is answered only when no row can satisfy the predicates; every doubt is a yes.
 *  2. NaN is greater than every number, as in the SQL engine, and stands outside of bounds: where
 * it may be, an upper bound says nothing. -0.0 equals 0.0.
 *  3. Transforms keep the order of values (but bucket): `x < v` becomes `t(x) <= t(v)`. */
#include "table/prune_priv.h"

#include <math.h>
#include <string.h>

typedef struct Range {
    bool may_null, may_value, may_nan;
    bool low_known, high_known;
    IceValue low, high;
} Range;

/* A predicate on the values of one partition field. */
typedef struct Projected {
    size_t field;        /* position in the spec */
    const IceType *type; /* of the partition value */
    PredicateOp op;
    IceValue *values;
    size_t value_count;
} Projected;

typedef struct SpecPruner {
    int32_t spec_id;
    Projected *projected;
    size_t count;
} SpecPruner;

struct Pruner {
    const IceSchema *schema;
    const ScanPredicate *predicates;
    const IceType **types; /* of the predicates' fields; NULL: not usable */
    size_t count;
    SpecPruner *specs;
    size_t spec_count;
};

static bool is_real(const IceType *type)
{
    return type->kind == ICE_FLOAT || type->kind == ICE_DOUBLE;
}

static int compare(const IceType *type, const IceValue *a, const IceValue *b)
{
    if (is_real(type) && a->real == 0 && b->real == 0)
        return 0;
    return ice_value_compare(type, a, b);
}

static bool may_equal(const IceType *type, const IceValue *value, const Range *range)
{
    if (is_real(type) && isnan(value->real))
        return range->may_nan;
    return !(range->low_known && compare(type, value, &range->low) < 0) &&
           !(range->high_known && compare(type, value, &range->high) > 0);
}

/* Bounds cut to the prefix's length, so that "ab" lies in ["abc", "abd"]. */
static bool may_start_with(const IceValue *prefix, const Range *range)
{
    Str low = str_sub(range->low.bytes, 0, prefix->bytes.len);
    Str high = str_sub(range->high.bytes, 0, prefix->bytes.len);
    return !(range->low_known && str_cmp(low, prefix->bytes) > 0) &&
           !(range->high_known && str_cmp(high, prefix->bytes) < 0);
}

/* All values are the same one? */
static bool is_single(const IceType *type, const Range *range)
{
    return range->low_known && range->high_known && !range->may_nan && !is_real(type) &&
           compare(type, &range->low, &range->high) == 0;
}

static bool may_match(const IceType *type, PredicateOp op, const IceValue *values, size_t count,
                      const Range *range)
{
    if (op == PREDICATE_IS_NULL)
        return range->may_null;
    if (!range->may_value)
        return false; /* NULL satisfies no comparison, and is not NOT NULL */
    switch (op) {
    case PREDICATE_EQ:
    case PREDICATE_IN:
        for (size_t i = 0; i < count; i++)
            if (values[i].present && may_equal(type, &values[i], range))
                return true;
        return false;
    case PREDICATE_NE:
        return !(is_single(type, range) && compare(type, values, &range->low) == 0);
    case PREDICATE_LT:
        return !(range->low_known && compare(type, &range->low, values) >= 0);
    case PREDICATE_LE:
        return !(range->low_known && compare(type, &range->low, values) > 0);
    case PREDICATE_GT:
        return range->may_nan || !(range->high_known && compare(type, &range->high, values) <= 0);
    case PREDICATE_GE:
        return range->may_nan || !(range->high_known && compare(type, &range->high, values) < 0);
    case PREDICATE_STARTS_WITH:
        return may_start_with(values, range);
    case PREDICATE_IS_NULL:
    case PREDICATE_NOT_NULL:
        break;
    }
    return true;
}

/* ---- predicates to partition fields ---- */

static bool op_projects(IceTransform transform, PredicateOp *op)
{
    switch (transform.kind) {
    case TRANSFORM_VOID:
        return false;
    case TRANSFORM_IDENTITY:
        return true;
    case TRANSFORM_BUCKET:
        return *op == PREDICATE_EQ || *op == PREDICATE_IN || *op == PREDICATE_IS_NULL ||
               *op == PREDICATE_NOT_NULL;
    case TRANSFORM_TRUNCATE:
    case TRANSFORM_YEAR:
    case TRANSFORM_MONTH:
    case TRANSFORM_DAY:
    case TRANSFORM_HOUR:
        break;
    }
    *op = *op == PREDICATE_LT ? PREDICATE_LE : *op == PREDICATE_GT ? PREDICATE_GE : *op;
    return *op != PREDICATE_NE;
}

static bool project(Arena *arena, const IcePartitionField *field, const IceType *source,
                    const ScanPredicate *predicate, Projected *out)
{
    out->op = predicate->op;
    if (!op_projects(field->transform, &out->op))
        return false;
    if (ice_transform_type(field->transform, source, &out->type, NULL))
        return false;
    out->value_count = predicate->value_count;
    out->values = arena_array(arena, IceValue, predicate->value_count + 1);
    for (size_t i = 0; i < predicate->value_count; i++)
        if (ice_transform_apply(field->transform, source, &predicate->values[i], &out->values[i],
                                NULL))
            return false;
    return true;
}

static void spec_prepare(Arena *arena, const Pruner *pruner, const IcePartitionSpec *spec,
                         SpecPruner *out)
{
    out->spec_id = spec->id;
    out->projected = arena_array(arena, Projected, spec->field_count * pruner->count + 1);
    for (size_t i = 0; i < spec->field_count; i++)
        for (size_t j = 0; j < pruner->count; j++) {
            Projected *projected = &out->projected[out->count];
            if (!pruner->types[j] || pruner->predicates[j].field_id != spec->fields[i].source_id ||
                !project(arena, &spec->fields[i], pruner->types[j], &pruner->predicates[j],
                         projected))
                continue;
            projected->field = i;
            out->count++;
        }
}

static Code predicate_check(const ScanPredicate *predicate, const IceType *type, Err *err)
{
    bool null_test = predicate->op == PREDICATE_IS_NULL || predicate->op == PREDICATE_NOT_NULL;
    if (predicate->value_count > SCAN_VALUES_MAX)
        return err_set(err, E_LIMIT, "a predicate has more than %d values", SCAN_VALUES_MAX);
    if (!null_test && predicate->op != PREDICATE_IN &&
        (predicate->value_count != 1 || !predicate->values[0].present))
        return err_set(err, E_INVALID, "a predicate on field %d needs one value",
                       predicate->field_id);
    if (predicate->op == PREDICATE_STARTS_WITH && type->kind != ICE_STRING &&
        type->kind != ICE_BINARY)
        return err_set(err, E_TYPE, "'starts with' needs text or binary, field %d is none",
                       predicate->field_id);
    return E_OK;
}

Code pruner_new(Arena *arena, const TableMetadata *metadata, const IceSchema *schema,
                const ScanPredicate *predicates, size_t count, Pruner **ret_pruner, Err *err)
{
    if (count > SCAN_PREDICATES_MAX)
        return err_set(err, E_LIMIT, "more than %d predicates", SCAN_PREDICATES_MAX);
    Pruner *pruner = arena_new(arena, Pruner);
    *pruner = (Pruner){ .schema = schema,
                        .predicates = predicates,
                        .count = count,
                        .types = arena_array(arena, const IceType *, count + 1) };
    for (size_t i = 0; i < count; i++) {
        const IceField *field = ice_schema_field(schema, predicates[i].field_id);
        if (!field || ice_is_nested(field->type))
            continue; /* nothing is known about it: it prunes nothing */
        TRY(predicate_check(&predicates[i], field->type, err));
        pruner->types[i] = field->type;
    }
    pruner->specs = arena_array(arena, SpecPruner, metadata->spec_count + 1);
    for (size_t i = 0; i < metadata->spec_count; i++)
        spec_prepare(arena, pruner, &metadata->specs[i], &pruner->specs[pruner->spec_count++]);
    *ret_pruner = pruner;
    return E_OK;
}

static const SpecPruner *spec_find(const Pruner *pruner, int32_t spec_id)
{
    for (size_t i = 0; i < pruner->spec_count; i++)
        if (pruner->specs[i].spec_id == spec_id)
            return &pruner->specs[i];
    return NULL;
}

/* ---- manifests ---- */

static Range range_of_summary(const IceType *type, const PartitionSummary *summary)
{
    Range range = { .may_null = summary->contains_null,
                    .may_value = true,
                    .may_nan = is_real(type) && (!summary->nan_known || summary->contains_nan) };
    range.low_known =
        summary->lower.ptr && !ice_value_decode(type, summary->lower, &range.low, NULL);
    range.high_known =
        summary->upper.ptr && !ice_value_decode(type, summary->upper, &range.high, NULL);
    if (!summary->lower.ptr && !summary->upper.ptr && !is_real(type) && summary->contains_null)
        range.may_value = false;
    return range;
}

bool prune_keeps_manifest(Pruner *pruner, const ManifestFile *manifest)
{
    const SpecPruner *spec = spec_find(pruner, manifest->spec_id);
    if (manifest->added_files == 0 && manifest->existing_files == 0)
        return false; /* nothing but removed files */
    for (size_t i = 0; spec && i < spec->count; i++) {
        const Projected *p = &spec->projected[i];
        if (p->field >= manifest->partition_count)
            continue;
        Range range = range_of_summary(p->type, &manifest->partitions[p->field]);
        if (!may_match(p->type, p->op, p->values, p->value_count, &range))
            return false;
    }
    return true;
}

/* ---- files ---- */

static Range range_of_partition(const IceType *type, const IceValue *value)
{
    Range range = { .may_null = !value->present, .may_value = value->present };
    if (!value->present)
        return range;
    range.may_nan = is_real(type) && isnan(value->real);
    range.low_known = range.high_known = !range.may_nan;
    range.low = range.high = *value;
    return range;
}

static const DataFileColumn *column_find(const DataFile *file, int32_t field_id)
{
    size_t low = 0, high = file->column_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (file->columns[middle].field_id == field_id)
            return &file->columns[middle];
        if (file->columns[middle].field_id < field_id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static Range range_of_column(const IceType *type, const DataFileColumn *column)
{
    Range range = { .may_null = column->null_count != 0,
                    .may_value = true,
                    .may_nan = is_real(type) && column->nan_count != 0 };
    if (column->value_count >= 0 && column->null_count == column->value_count)
        range.may_value = false;
    range.low_known = column->lower.ptr && !ice_value_decode(type, column->lower, &range.low, NULL);
    range.high_known =
        column->upper.ptr && !ice_value_decode(type, column->upper, &range.high, NULL);
    if (is_real(type) && ((range.low_known && isnan(range.low.real)) ||
                          (range.high_known && isnan(range.high.real))))
        range.low_known = range.high_known = false; /* an older writer's mistake */
    return range;
}

bool prune_keeps_file(Pruner *pruner, const DataFile *file)
{
    const SpecPruner *spec = spec_find(pruner, file->spec_id);
    for (size_t i = 0; spec && i < spec->count; i++) {
        const Projected *p = &spec->projected[i];
        Range range = range_of_partition(p->type, &file->partition[p->field]);
        if (!may_match(p->type, p->op, p->values, p->value_count, &range))
            return false;
    }
    for (size_t i = 0; i < pruner->count; i++) {
        const ScanPredicate *predicate = &pruner->predicates[i];
        const DataFileColumn *column =
            pruner->types[i] ? column_find(file, predicate->field_id) : NULL;
        if (!column)
            continue;
        Range range = range_of_column(pruner->types[i], column);
        if (!may_match(pruner->types[i], predicate->op, predicate->values, predicate->value_count,
                       &range))
            return false;
    }
    return true;
}
