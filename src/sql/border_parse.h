/* border_parse.h: the engine's own parser as flat C structs, with the places in the text.
 * Owner:   results live in the given arena; texts are copies, positions point into the given text.
 * Threads: any.
 * Errors:  SYNTAX with the position and the parser's words; LIMIT.
 * Limits:  those of border.h.
 * Units:   positions in bytes from the start of the text. */
#pragma once

#include "sql/border.h"

typedef enum BorderKind {
    BORDER_SELECT, /* also VALUES, FROM, WITH, TABLE, DESCRIBE, SHOW, SUMMARIZE: gate them */
    BORDER_INSERT,
    BORDER_UPDATE,
    BORDER_DELETE, /* also TRUNCATE, which has no where */
    BORDER_MERGE,
    BORDER_CREATE_TABLE, /* `select.text` is set: CREATE TABLE AS */
    BORDER_CREATE_VIEW,
    BORDER_CREATE_SCHEMA,
    BORDER_CREATE_OTHER,
    BORDER_DROP_TABLE,
    BORDER_DROP_VIEW,
    BORDER_DROP_SCHEMA,
    BORDER_DROP_OTHER,
    BORDER_ALTER,
    BORDER_EXPLAIN, /* `select` is what is explained, `analyze` */
    BORDER_SET,
    BORDER_TRANSACTION,
    BORDER_COPY,
    BORDER_OTHER /* `word` says which: PRAGMA, ATTACH, ... */
} BorderKind;

typedef enum BorderAlter {
    BORDER_ALTER_NONE,
    BORDER_ALTER_ADD_COLUMN,     /* column; if_column */
    BORDER_ALTER_DROP_COLUMN,    /* old_name; if_column */
    BORDER_ALTER_RENAME_COLUMN,  /* old_name, new_name */
    BORDER_ALTER_COLUMN_TYPE,    /* old_name, column.type */
    BORDER_ALTER_SET_NOT_NULL,   /* old_name */
    BORDER_ALTER_DROP_NOT_NULL,  /* old_name */
    BORDER_ALTER_RENAME_TABLE,   /* new_name */
    BORDER_ALTER_PARTITION,      /* partition: SET PARTITIONED BY (...) */
    BORDER_ALTER_SORT,           /* sort */
    BORDER_ALTER_OPTIONS,        /* options: SET (k = v) */
    BORDER_ALTER_RESET_OPTIONS,  /* options with empty values */
    BORDER_ALTER_COMMENT,        /* COMMENT ON TABLE|VIEW; new_name: the comment */
    BORDER_ALTER_COLUMN_COMMENT, /* COMMENT ON COLUMN; old_name, new_name: the comment */
    BORDER_ALTER_OTHER
} BorderAlter;

/* A piece of the text; ptr is NULL when it is absent. */
typedef struct BorderText {
    Str text;
    int64_t position;
} BorderText;

typedef struct BorderColumn {
    Str name;
    Str type; /* "DECIMAL(9, 2)", "STRUCT(a INTEGER)[]"; of INSERT and views: empty */
    bool not_null;
    bool primary_key; /* PRIMARY KEY or UNIQUE, of the column or of the table */
    BorderText dflt;  /* DEFAULT expression as the parser prints it, position -1 */
} BorderColumn;

/* UPDATE ... SET column = value. */
typedef struct BorderAssign {
    Str column;
    BorderText value;
} BorderAssign;

typedef struct BorderOption {
    Str name;
    Str value; /* of a constant: its text; else the expression as printed */
} BorderOption;

typedef struct BorderStatement {
    BorderKind kind;
    BorderText whole;          /* without the semicolon */
    Str word;                  /* first keyword, upper case */
    Str catalog, schema, name; /* the target; empty parts were not written */
    int64_t name_position;     /* -1: none */
    Str alias;                 /* of an UPDATE's or DELETE's target */
    bool if_exists, if_not_exists, or_replace, cascade, temporary, analyze;
    bool by_name;        /* INSERT BY NAME */
    bool default_values; /* INSERT ... DEFAULT VALUES */
    bool has_with;       /* CTEs before INSERT, UPDATE, DELETE */
    bool has_conflict;   /* ON CONFLICT, OR REPLACE, OR IGNORE of an INSERT */
    bool has_returning;
    bool has_using; /* DELETE USING, UPDATE FROM */
    BorderColumn *columns;
    size_t column_count;
    BorderText select; /* the embedded query */
    BorderText where;  /* without the word WHERE */
    BorderText tables; /* of USING or FROM, without that word */
    BorderAssign *assigns;
    size_t assign_count;
    BorderAlter alter;
    Str old_name, new_name;
    bool if_column; /* IF [NOT] EXISTS of the column */
    Str *partition; /* PARTITIONED BY, each as printed: `day(ts)`, `bucket(16, id)` */
    size_t partition_count;
    Str *sort; /* SORTED BY, each as printed */
    size_t sort_count;
    BorderOption *options; /* WITH (k = v) or SET (k = v) */
    size_t option_count;
} BorderStatement;

Code border_parse(Str text, Arena *arena, BorderStatement **ret_statements, size_t *ret_count,
                  Err *err) CHECKED;
