/* Which small files of a table become one.
 *
 * Invariants
 *  1. A bin holds files of one spec and one tuple of partition values: no row changes its partition.
 *  2. A file that is larger than all smaller ones of its partition together stays: files grow by
 *     doubling, so a row is written again a logarithmic number of times.
 *  3. The files of a bin stand in the order of their age, which is the order of their rows. */
#include "table/catalog_priv.h"
#include "table/table_keep.h"

#include <stdlib.h>
#include <string.h>

typedef struct Small {
    DataFile *file;
    Str partition;
} Small;

Code table_partition_key(Arena *arena, const TableMetadata *m, const DataFile *file, Str *ret_key, Err *err)
{
    const IceType **types;
    Buf AUTO(buf_done) key;
    buf_init(&key, 1 << 20);
    buf_format(&key, "%d", file->spec_id);
    TRY(partition_types(m, table_spec(m, file->spec_id), arena, &types, err));
    for (size_t i = 0; i < file->partition_count; i++) {
        Str text = ice_value_format(arena, types[i], &file->partition[i]);
        buf_format(&key, "/%d:%zu:", file->partition[i].present, text.len);
        buf_put(&key, text);
    }
    TRY(buf_end(&key, "a partition's values", err));
    *ret_key = str_copy(arena, buf_str(&key));
    return E_OK;
}

static int small_order(const void *a, const void *b)
{
    const Small *left = a, *right = b;
    int order = str_cmp(left->partition, right->partition);
    if (order)
        return order;
    if (left->file->size_bytes != right->file->size_bytes)
        return left->file->size_bytes < right->file->size_bytes ? -1 : 1;
    return str_cmp(left->file->address, right->file->address);
}

static int age_order(const void *a, const void *b)
{
    const DataFile *left = a, *right = b;
    if (left->sequence_number != right->sequence_number)
        return left->sequence_number < right->sequence_number ? -1 : 1;
    return str_cmp(left->address, right->address);
}

/* How many of one partition's files, the smallest first, are worth it: 0 or at least two. */
static size_t worth(const Small *files, size_t count, size_t files_min)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += files[i].file->size_bytes;
    while (count && files[count - 1].file->size_bytes > bytes - files[count - 1].file->size_bytes)
        bytes -= files[--count].file->size_bytes;
    return count >= MAX(files_min, (size_t)2) ? count : 0;
}

static void bin_make(const TableMetadata *m, const Small *files, size_t count, Arena *arena,
                     CompactBin *ret_bin)
{
    CompactBin bin = { .spec = table_spec(m, files[0].file->spec_id),
                       .files = arena_array(arena, DataFile, count),
                       .file_count = count };
    for (size_t i = 0; i < count; i++) {
        bin.files[i] = *files[i].file;
        bin.records += files[i].file->record_count;
        bin.bytes += files[i].file->size_bytes;
    }
    qsort(bin.files, count, sizeof *bin.files, age_order);
    *ret_bin = bin;
}

static size_t bins_fill(const TableMetadata *m, const CompactRule *rule, const Small *files,
                        size_t count, Arena *arena, CompactBin *bins)
{
    size_t made = 0;
    for (size_t at = 0, next; at < count; at = next) {
        uint64_t bytes = 0;
        for (next = at; next < count && next - at < COMPACT_FILES_MAX && bytes < rule->target_bytes; next++)
            bytes += (uint64_t)files[next].file->size_bytes;
        if (next - at > 1)
            bin_make(m, files + at, next - at, arena, &bins[made++]);
    }
    return made;
}

Code table_compact_plan(const TableVersion *version, const CompactRule *rule, Arena *arena,
                        CompactBin **ret_bins, size_t *ret_count, Err *err)
{
    const TableMetadata *m = version->metadata;
    DataFile *files;
    size_t count, small = 0, made = 0, next;
    TRY(table_files(version, 0, arena, &files, &count, err));
    Small *list = arena_array(arena, Small, count + 1);
    for (size_t i = 0; i < count; i++) {
        if ((uint64_t)files[i].size_bytes >= rule->small_bytes)
            continue;
        list[small].file = &files[i];
        TRY(table_partition_key(arena, m, &files[i], &list[small++].partition, err));
    }
    if (small)
        qsort(list, small, sizeof *list, small_order);
    CompactBin *bins = arena_array(arena, CompactBin, small / 2 + 1);
    for (size_t at = 0; at < small; at = next) {
        for (next = at + 1; next < small && str_eq(list[next].partition, list[at].partition); next++)
            ;
        size_t taken = worth(list + at, next - at, rule->files_min);
        made += bins_fill(m, rule, list + at, taken, arena, bins + made);
    }
    *ret_bins = bins;
    *ret_count = made;
    return E_OK;
}
