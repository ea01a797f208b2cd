#include "sql/border_parse.h"

#include "base/test.h"

static BorderStatement *parse_one(Arena *arena, const char *text)
{
    static BorderStatement none;
    BorderStatement *statements = &none;
    size_t count = 0;
    Err err;
    err_clear(&err);
    CHECK_OK(border_parse(str_z(text), arena, &statements, &count, &err), &err);
    CHECK_INT(count, 1);
    return statements;
}

static void check_piece(BorderText piece, const char *text, const char *wanted)
{
    CHECK_STR(piece.text, str_z(wanted));
    if (piece.position >= 0)
        CHECK_STR(str_sub(str_z(text), (size_t)piece.position, piece.text.len), str_z(wanted));
    else
        CHECK(!piece.text.ptr);
}

TEST(border_parse_kinds)
{
    static const struct {
        const char *text;
        BorderKind kind;
        const char *word;
    } rows[] = {
        { "select 1", BORDER_SELECT, "SELECT" },
        { "values (1)", BORDER_SELECT, "VALUES" },
        { "with a as (select 1) select * from a", BORDER_SELECT, "WITH" },
        { "create schema if not exists gold", BORDER_CREATE_SCHEMA, "CREATE" },
        { "drop schema gold cascade", BORDER_DROP_SCHEMA, "DROP" },
        { "drop table if exists gold.t", BORDER_DROP_TABLE, "DROP" },
        { "drop view gold.v", BORDER_DROP_VIEW, "DROP" },
        { "create index i on t(a)", BORDER_CREATE_OTHER, "CREATE" },
        { "set threads=1", BORDER_SET, "SET" },
        { "begin", BORDER_TRANSACTION, "BEGIN" },
        { "copy (select 1) to 'x'", BORDER_COPY, "COPY" },
        { "attach 'x'", BORDER_OTHER, "ATTACH" },
        { "merge into g.t using s on t.a=s.a when matched then delete", BORDER_MERGE, "MERGE" },
        { "explain select 1", BORDER_EXPLAIN, "EXPLAIN" },
        { "truncate g.t", BORDER_DELETE, "TRUNCATE" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        BorderStatement *s = parse_one(&arena, rows[i].text);
        CHECK_INT(s->kind, rows[i].kind);
        CHECK_STR(s->word, str_z(rows[i].word));
        CHECK_STR(s->whole.text, str_z(rows[i].text));
    }
}

TEST(border_parse_create_table)
{
    Arena arena AUTO(arena_done) = { 0 };
    const char *text =
        "CREATE TABLE IF NOT EXISTS gold.t (id BIGINT NOT NULL, p DECIMAL(9,2) DEFAULT 0, "
        "s STRUCT(a INTEGER, b VARCHAR[]), PRIMARY KEY (id)) PARTITIONED BY (day(ts), "
        "bucket(16, id)) SORTED BY (id) WITH (format_version = 2, \"write.x\" = 'y')";
    BorderStatement *s = parse_one(&arena, text);
    CHECK_INT(s->kind, BORDER_CREATE_TABLE);
    CHECK(s->if_not_exists && !s->or_replace);
    CHECK_STR(s->schema, STR("gold"));
    CHECK_STR(s->name, STR("t"));
    CHECK_INT(s->name_position, 27);
    CHECK_INT(s->column_count, 3);
    CHECK_STR(s->columns[0].type, STR("BIGINT"));
    CHECK(s->columns[0].not_null && s->columns[0].primary_key);
    CHECK_STR(s->columns[1].type, STR("DECIMAL(9, 2)"));
    CHECK_STR(s->columns[1].dflt.text, STR("0"));
    CHECK_STR(s->columns[2].type, STR("STRUCT(a INTEGER, b VARCHAR[])"));
    CHECK_INT(s->partition_count, 2);
    CHECK_STR(s->partition[0], STR("\"day\"(ts)"));
    CHECK_STR(s->partition[1], STR("bucket(16, id)"));
    CHECK_INT(s->sort_count, 1);
    CHECK_INT(s->option_count, 2);
    CHECK(!s->select.text.ptr);
}

TEST(border_parse_embedded_selects)
{
    static const struct {
        const char *text;
        BorderKind kind;
        const char *select;
    } rows[] = {
        { "create or replace table g.t as select 1 as a ;", BORDER_CREATE_TABLE, "select 1 as a" },
        { "create table t as (values (1))", BORDER_CREATE_TABLE, "(values (1))" },
        { "create view g.v (a, b) as /* c */ select 1, 2", BORDER_CREATE_VIEW, "select 1, 2" },
        { "insert into g.t (a, b) select x as a, 2 from s", BORDER_INSERT,
          "select x as a, 2 from s" },
        { "insert into g.t values (1, 'a;b'), (2, 'c')", BORDER_INSERT,
          "values (1, 'a;b'), (2, 'c')" },
        { "insert into g.t (a) (select 1)", BORDER_INSERT, "(select 1)" },
        { "insert into g.t with q as (select 1) select * from q returning a", BORDER_INSERT,
          "with q as (select 1) select * from q" },
        { "insert into g.t by name select 1 as a", BORDER_INSERT, "select 1 as a" },
        { "insert into \"values\".\"select\" from g.s", BORDER_INSERT, "from g.s" },
        { "insert into t select 1 on conflict do nothing", BORDER_INSERT, "select 1" },
        { "explain analyze select 1", BORDER_EXPLAIN, "select 1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        BorderStatement *s = parse_one(&arena, rows[i].text);
        CHECK_INT(s->kind, rows[i].kind);
        check_piece(s->select, rows[i].text, rows[i].select);
    }
}

TEST(border_parse_dml)
{
    Arena arena AUTO(arena_done) = { 0 };
    const char *text =
        "delete from gold.t as x where x.a in (select a from s where b = ';') returning *";
    BorderStatement *s = parse_one(&arena, text);
    CHECK_STR(s->name, STR("t"));
    CHECK_STR(s->alias, STR("x"));
    CHECK(s->has_returning);
    check_piece(s->where, text, "x.a in (select a from s where b = ';')");
    text =
        "update g.t set a = b + f(1, 2), \"c\" = case when a = 1 then 2 end from s where t.a = s.a";
    s = parse_one(&arena, text);
    CHECK_INT(s->assign_count, 2);
    CHECK_STR(s->assigns[1].column, STR("c"));
    check_piece(s->assigns[0].value, text, "b + f(1, 2)");
    check_piece(s->assigns[1].value, text, "case when a = 1 then 2 end");
    check_piece(s->tables, text, "s");
    check_piece(s->where, text, "t.a = s.a");
    s = parse_one(&arena, "delete from t");
    CHECK(!s->where.text.ptr);
}

TEST(border_parse_alter)
{
    static const struct {
        const char *text;
        BorderAlter alter;
        const char *old, *new, *type;
    } rows[] = {
        { "alter table g.t add column if not exists c DECIMAL(5,1)", BORDER_ALTER_ADD_COLUMN, "",
          "", "DECIMAL(5, 1)" },
        { "alter table g.t drop column c", BORDER_ALTER_DROP_COLUMN, "c", "", NULL },
        { "alter table g.t rename column c to d", BORDER_ALTER_RENAME_COLUMN, "c", "d", NULL },
        { "alter table g.t rename to u", BORDER_ALTER_RENAME_TABLE, "", "u", NULL },
        { "alter table g.t alter c type BIGINT", BORDER_ALTER_COLUMN_TYPE, "c", "", "BIGINT" },
        { "alter table g.t alter c set not null", BORDER_ALTER_SET_NOT_NULL, "c", "", NULL },
        { "alter table g.t alter c drop not null", BORDER_ALTER_DROP_NOT_NULL, "c", "", NULL },
        { "alter table g.t set partitioned by (month(ts))", BORDER_ALTER_PARTITION, "", "", NULL },
        { "alter table g.t set sorted by (a desc)", BORDER_ALTER_SORT, "", "", NULL },
        { "alter table g.t set (a = 'b')", BORDER_ALTER_OPTIONS, "", "", NULL },
        { "comment on table g.t is 'hi'", BORDER_ALTER_COMMENT, "", "hi", NULL },
        { "comment on column g.t.c is 'ho'", BORDER_ALTER_COLUMN_COMMENT, "c", "ho", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        BorderStatement *s = parse_one(&arena, rows[i].text);
        CHECK_INT(s->kind, BORDER_ALTER);
        CHECK_INT(s->alter, rows[i].alter);
        CHECK_STR(s->schema, STR("g"));
        CHECK_STR(s->name, STR("t"));
        CHECK_STR(s->old_name, str_z(rows[i].old));
        CHECK_STR(s->new_name, str_z(rows[i].new));
        if (rows[i].type && s->column_count == 1)
            CHECK_STR(s->columns[0].type, str_z(rows[i].type));
        else
            CHECK(!rows[i].type);
    }
}

TEST(border_parse_many_and_errors)
{
    Arena arena AUTO(arena_done) = { 0 };
    BorderStatement *s = NULL;
    size_t count = 0;
    Err err;
    err_clear(&err);
    CHECK_OK(
        border_parse(STR("select 1; -- x\n insert into t select 2;"), &arena, &s, &count, &err),
        &err);
    CHECK_INT(count, 2);
    CHECK_STR(s[0].whole.text, STR("select 1"));
    CHECK_STR(s[1].whole.text, STR("insert into t select 2"));
    CHECK_INT(s[1].select.position, 30);
    CHECK_OK(border_parse(STR(""), &arena, &s, &count, &err), &err);
    CHECK_INT(count, 0);
    CHECK_CODE(border_parse(STR("select * frm t where"), &arena, &s, &count, &err), E_SYNTAX);
    CHECK_INT(err.position, 13);
    CHECK_CODE(border_parse(STR("select '\xff'"), &arena, &s, &count, &err), E_SYNTAX);
}
