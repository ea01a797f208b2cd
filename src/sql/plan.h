/* plan.h: a table's state, or a list of files, as the text that stands for its name in the engine.
 * Owner:   results live in the given arena.
 * Threads: any.
 * Errors:  those of table_scan; UNSUPPORTED for a view; LIMIT for a text over PLAN_TEXT_MAX.
 * Limits:  PLAN_TEXT_MAX bytes of text for one table; bounds of PLAN_BOUNDS_FILES_MAX files.
 * Units:   counts of files. */
#pragma once

#include "format/json.h"
#include "sql/lexer.h"
#include "sql/sql.h"
#include "table/catalog.h"

enum {
    PLAN_TEXT_MAX = 256 << 20,
    PLAN_BOUNDS_FILES_MAX = 256 /* the bounds of more files are wide and cost time to gather */
};

/* The column that tells a row's file when it was asked for. */
#define PLAN_FILE_COLUMN "@file"

typedef struct SqlPlan {
    Str sql; /* SELECT columns FROM tarn_parquet([files], schema => MAP {...}) */
    const IceSchema *schema;
    const TableMetadata *metadata;
    DataFile **files;
    size_t file_count;
    uint64_t files_total;
    int64_t snapshot_id; /* -1: the table is empty */
} SqlPlan;

/* The statement in which the table stands once and alone, for leaving files out. */
typedef struct SqlPlanHint {
    const Json *node; /* NULL: nothing is known */
    const SqlRequest *request;
} SqlPlanHint;

/* `travel` NULL: as it is now. */
Code sql_plan_table(const TableVersion *version, const SqlTravel *travel, SqlPlanHint hint,
                    Arena *arena, SqlPlan *ret_plan, Err *err) CHECKED;

/* `count` 0: no rows, of the right types. */
Code sql_plan_files(const IceSchema *schema, DataFile *const *files, size_t count, bool with_file,
                    Arena *arena, Str *ret_sql, Err *err) CHECKED;
