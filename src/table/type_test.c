/* Types as Iceberg and as SQL write them: type.c, type_sql.c. */
#include "base/test.h"
#include "table/type.h"

static Str round_trip(Arena *arena, const char *sql)
{
    const IceType *type = NULL;
    Err err;
    CHECK_OK(ice_type_from_sql(arena, str_z(sql), &type, &err), &err);
    return type ? ice_type_to_sql(arena, type) : STR("");
}

TEST(type_sql_is_read_and_written)
{
    static const struct {
        const char *sql, *wanted;
    } ROWS[] = {
        { "INTEGER", "INTEGER" },
        { "int4", "INTEGER" },
        { "bigint", "BIGINT" },
        { "varchar(20)", "VARCHAR" },
        { "DECIMAL(9,2)", "DECIMAL(9,2)" },
        { "numeric(5)", "DECIMAL(5,0)" },
        { "decimal", "DECIMAL(18,3)" },
        { "timestamp  with time zone", "TIMESTAMP WITH TIME ZONE" },
        { "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE" },
        { "double precision", "DOUBLE" },
        { "BLOB", "BLOB" },
        { "uuid", "UUID" },
        { "JSON", "VARCHAR" },
        { "INTEGER[]", "INTEGER[]" },
        { "VARCHAR[][]", "VARCHAR[][]" },
        { "MAP(VARCHAR, INT)", "MAP(VARCHAR, INTEGER)" },
        { "STRUCT(a INTEGER, \"b \"\"c\" TIMESTAMP WITH TIME ZONE[])",
          "STRUCT(\"a\" INTEGER, \"b \"\"c\" TIMESTAMP WITH TIME ZONE[])" },
        { "USMALLINT", "INTEGER" },
        { "UINTEGER", "BIGINT" },
        { "DATE", "DATE" },
        { "TIME", "TIME" },
    };
    Arena AUTO(arena_done) arena = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        CHECK_STR(round_trip(&arena, ROWS[i].sql), str_z(ROWS[i].wanted));
}

TEST(type_sql_refuses_with_the_cast_to_use)
{
    Arena AUTO(arena_done) arena = { 0 };
    const IceType *type = NULL;
    Err err;
    CHECK_CODE(ice_type_from_sql(&arena, STR("HUGEINT"), &type, &err), E_TYPE);
    CHECK_STR(str_z(err.hint), STR("cast it: CAST(... AS DECIMAL(38,0))"));
    CHECK_CODE(ice_type_from_sql(&arena, STR("VARCHA"), &type, &err), E_TYPE);
    CHECK_STR(str_z(err.hint), STR("did you mean VARCHAR?"));
    CHECK_CODE(ice_type_from_sql(&arena, STR("INTEGER[3]"), &type, &err), E_SYNTAX);
    CHECK_CODE(ice_type_from_sql(&arena, STR("STRUCT(a INTEGER"), &type, &err), E_SYNTAX);
    CHECK_CODE(ice_type_from_sql(&arena, STR("STRUCT(a INT, A INT)"), &type, &err), E_SYNTAX);
    CHECK_CODE(ice_type_from_sql(&arena, STR("DECIMAL(39,0)"), &type, &err), E_SYNTAX);
    CHECK_CODE(ice_type_from_sql(&arena, STR("INTEGER x y"), &type, &err), E_TYPE);
    CHECK_CODE(ice_type_from_sql(&arena, STR(""), &type, &err), E_SYNTAX);
    CHECK_CODE(ice_type_from_sql(&arena, STR("MAP(INT)"), &type, &err), E_SYNTAX);
    CHECK(type == NULL);
}

TEST(type_sql_nesting_has_a_limit)
{
    Arena AUTO(arena_done) arena = { 0 };
    Buf AUTO(buf_done) text;
    const IceType *type;
    Err err;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_put(&text, STR("MAP(INT,"));
    CHECK_CODE(ice_type_from_sql(&arena, buf_str(&text), &type, &err), E_LIMIT);
    buf_clear(&text);
    buf_put(&text, STR("INT"));
    for (int i = 0; i < 100; i++)
        buf_put(&text, STR("[]"));
    CHECK_CODE(ice_type_from_sql(&arena, buf_str(&text), &type, &err), E_LIMIT);
}

TEST(type_text_of_iceberg)
{
    static const char *const ROWS[] = {
        "boolean", "int",       "long",        "float",  "double", "decimal(38, 10)", "date",
        "time",    "timestamp", "timestamptz", "string", "uuid",   "fixed[16]",       "binary"
    };
    Arena AUTO(arena_done) arena = { 0 };
    const IceType *type;
    Err err;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        CHECK_OK(ice_type_parse(&arena, str_z(ROWS[i]), &type, &err), &err);
        CHECK_STR(ice_type_format(&arena, type), str_z(ROWS[i]));
    }
    CHECK_OK(ice_type_parse(&arena, STR("decimal(9,2)"), &type, &err), &err);
    CHECK_INT(type->scale, 2);
    CHECK_CODE(ice_type_parse(&arena, STR("timestamp_ns"), &type, &err), E_UNSUPPORTED);
    CHECK_CODE(ice_type_parse(&arena, STR("decimal(0,2)"), &type, &err), E_TYPE);
    CHECK_CODE(ice_type_parse(&arena, STR("fixed[-1]"), &type, &err), E_CORRUPT);
    CHECK_CODE(ice_type_parse(&arena, STR("struct"), &type, &err), E_CORRUPT);
}

TEST(type_widening_is_the_specs)
{
    static const struct {
        const char *from, *to;
        bool wanted;
    } ROWS[] = {
        { "INTEGER", "BIGINT", true },
        { "BIGINT", "INTEGER", false },
        { "FLOAT", "DOUBLE", true },
        { "BIGINT", "DOUBLE", false },
        { "DECIMAL(9,2)", "DECIMAL(12,2)", true },
        { "DECIMAL(9,2)", "DECIMAL(12,3)", false },
        { "DATE", "TIMESTAMP", false },
        { "DATE", "DATE", true },
    };
    Arena AUTO(arena_done) arena = { 0 };
    Err err;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const IceType *from, *to;
        CHECK_OK(ice_type_from_sql(&arena, str_z(ROWS[i].from), &from, &err), &err);
        CHECK_OK(ice_type_from_sql(&arena, str_z(ROWS[i].to), &to, &err), &err);
        CHECK_INT(ice_type_widens(from, to), ROWS[i].wanted);
    }
}
