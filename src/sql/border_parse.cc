/* The engine's parser as flat structs. Kinds, names and columns come from its statements; pieces of
 * text and their places come from its tokens, since its trees keep no ends. Only keywords outside
 * of all brackets are looked at, so a piece is found by the grammar's own order of clauses. */
#include "sql/border_priv.h"

#include "duckdb/parser/constraints/list.hpp"
#include "duckdb/parser/expression/constant_expression.hpp"
#include "duckdb/parser/parsed_data/alter_table_info.hpp"
#include "duckdb/parser/parsed_data/comment_on_column_info.hpp"
#include "duckdb/parser/parsed_data/create_table_info.hpp"
#include "duckdb/parser/parsed_data/create_view_info.hpp"
#include "duckdb/parser/parsed_data/drop_info.hpp"
#include "duckdb/parser/parser.hpp"
#include "duckdb/parser/simplified_token.hpp"
#include "duckdb/parser/statement/list.hpp"
#include "duckdb/parser/tableref/basetableref.hpp"

extern "C" {
#include "sql/border_parse.h"
}

using namespace duckdb;
using namespace tarn;

namespace
{

struct Token {
    idx_t start, end;
    int depth;   /* of brackets around it */
    bool name;   /* an identifier or keyword without quotes */
    string word; /* upper case, of a name */
    char symbol; /* its first byte */
};

/* One statement being flattened. */
struct Piece {
    const string &text;
    std::vector<Token> tokens;
    Arena *arena;
    BorderStatement *out;
    idx_t end; /* of the statement */

    Str keep(const string &s) const
    {
        return str_copy(arena, str_of_string(s));
    }
    BorderText slice(idx_t from, idx_t to) const
    {
        while (to > from && StringUtil::CharacterIsSpace(text[to - 1]))
            to--;
        return BorderText{ keep(text.substr(from, to - from)), (int64_t)from };
    }
    /* The first top-level token at or after `from` that is one of `words`; tokens.size() when none.
     */
    size_t find(size_t from, const std::vector<string> &words) const
    {
        for (size_t i = from; i < tokens.size(); i++)
            if (tokens[i].depth == 0 && tokens[i].name)
                for (auto &word : words)
                    if (tokens[i].word == word)
                        return i;
        return tokens.size();
    }
    idx_t start_of(size_t token) const
    {
        return token < tokens.size() ? tokens[token].start : end;
    }
};

void measure(Piece &piece, const std::vector<SimplifiedToken> &all, idx_t from)
{
    int depth = 0;
    for (size_t i = 0; i < all.size(); i++) {
        if (all[i].start < from || all[i].start >= piece.end)
            continue;
        Token token{};
        token.start = all[i].start;
        token.end = i + 1 < all.size() ? MinValue<idx_t>(all[i + 1].start, piece.end) : piece.end;
        token.symbol = piece.text[token.start];
        if (token.symbol == ')' || token.symbol == ']' || token.symbol == '}')
            depth--;
        token.depth = depth;
        if (token.symbol == '(' || token.symbol == '[' || token.symbol == '{')
            depth++;
        token.name = StringUtil::CharacterIsAlpha(token.symbol) || token.symbol == '_';
        if (token.name) {
            idx_t stop = token.start;
            while (stop < token.end && (StringUtil::CharacterIsAlphaNumeric(piece.text[stop]) ||
                                        piece.text[stop] == '_'))
                stop++;
            token.word = StringUtil::Upper(piece.text.substr(token.start, stop - token.start));
        }
        piece.tokens.push_back(token);
    }
}

/* The token of the target's first part, behind the words that come before it. */
int64_t name_after(const Piece &piece, const std::vector<string> &words)
{
    size_t at = piece.find(0, words);
    if (at >= piece.tokens.size())
        return -1;
    static const std::vector<string> skipped = { "TABLE",  "VIEW", "SCHEMA", "IF",  "NOT",
                                                 "EXISTS", "INTO", "FROM",   "ONLY" };
    for (at++; at < piece.tokens.size(); at++) {
        bool skip = false;
        for (auto &word : skipped)
            skip = skip || piece.tokens[at].word == word;
        if (!skip)
            return (int64_t)piece.tokens[at].start;
    }
    return -1;
}

/* The catalog and schema that were written; the parser fills in its own defaults for what was not.
 */
void set_target(Piece &piece, const string &catalog, const string &schema, const string &name)
{
    piece.out->catalog = piece.keep(catalog);
    piece.out->schema = piece.keep(schema);
    piece.out->name = piece.keep(name);
}

void set_target(Piece &piece, const TableRef &ref)
{
    piece.out->alias = piece.keep(ref.alias);
    if (ref.type != TableReferenceType::BASE_TABLE)
        throw ParserException("the target is no table");
    auto &table = ref.Cast<BaseTableRef>();
    set_target(piece, table.catalog_name, table.schema_name, table.table_name);
    if (ref.query_location.IsValid())
        piece.out->name_position = (int64_t)ref.query_location.GetIndex();
}

template <class T, class F> Str *keep_all(Piece &piece, const T &items, size_t *ret_count, F print)
{
    auto out = arena_array(piece.arena, Str, items.size());
    size_t count = 0;
    for (auto &item : items)
        out[count++] = piece.keep(print(item));
    *ret_count = count;
    return out;
}

string print_expression(const unique_ptr<ParsedExpression> &e)
{
    return e->ToString();
}

void set_options(Piece &piece, const case_insensitive_map_t<unique_ptr<ParsedExpression>> &options)
{
    piece.out->options = arena_array(piece.arena, BorderOption, options.size());
    for (auto &option : options) {
        auto &out = piece.out->options[piece.out->option_count++];
        out.name = piece.keep(option.first);
        if (option.second && option.second->GetExpressionClass() == ExpressionClass::CONSTANT)
            out.value = piece.keep(option.second->Cast<ConstantExpression>().value.ToString());
        else if (option.second)
            out.value = piece.keep(option.second->ToString());
    }
}

BorderColumn column_of(Piece &piece, const ColumnDefinition &column)
{
    BorderColumn out{};
    out.name = piece.keep(column.Name());
    if (column.Generated())
        throw NotImplementedException("generated columns are not supported: %s", column.Name());
    if (column.Type().id() != LogicalTypeId::INVALID)
        out.type = piece.keep(column.Type().ToString());
    if (column.HasDefaultValue())
        out.dflt = BorderText{ piece.keep(column.DefaultValue().ToString()), -1 };
    return out;
}

void set_constraints(Piece &piece, const CreateTableInfo &info)
{
    auto out = piece.out;
    for (auto &constraint : info.constraints) {
        if (constraint->type == ConstraintType::NOT_NULL) {
            out->columns[constraint->Cast<NotNullConstraint>().index.index].not_null = true;
        } else if (constraint->type == ConstraintType::UNIQUE) {
            auto &unique = constraint->Cast<UniqueConstraint>();
            if (unique.HasIndex())
                out->columns[unique.GetIndex().index].primary_key = true;
            for (auto &name : unique.GetColumnNames())
                for (size_t i = 0; i < out->column_count; i++)
                    if (str_ieq(out->columns[i].name, str_of_string(name)))
                        out->columns[i].primary_key = true;
        } else {
            throw NotImplementedException(
                "constraints other than NOT NULL and PRIMARY KEY are not kept: %s",
                constraint->ToString());
        }
    }
}

void flatten_create_table(Piece &piece, const CreateTableInfo &info)
{
    auto out = piece.out;
    out->kind = BORDER_CREATE_TABLE;
    out->columns = arena_array(piece.arena, BorderColumn, info.columns.LogicalColumnCount());
    for (auto &column : info.columns.Logical())
        out->columns[out->column_count++] = column_of(piece, column);
    set_constraints(piece, info);
    out->partition = keep_all(piece, info.partition_keys, &out->partition_count, print_expression);
    out->sort = keep_all(piece, info.sort_keys, &out->sort_count, print_expression);
    set_options(piece, info.options);
    if (!info.query)
        return;
    size_t as = piece.find(0, { "AS" });
    size_t query = as + 1;
    if (query < piece.tokens.size())
        out->select = piece.slice(piece.start_of(query), piece.end);
}

void flatten_create(Piece &piece, const CreateInfo &info)
{
    auto out = piece.out;
    out->temporary = info.temporary;
    out->if_not_exists = info.on_conflict == OnCreateConflict::IGNORE_ON_CONFLICT;
    out->or_replace = info.on_conflict == OnCreateConflict::REPLACE_ON_CONFLICT;
    out->kind = BORDER_CREATE_OTHER;
    out->name_position = name_after(piece, { "TABLE", "VIEW", "SCHEMA" });
    if (info.type == CatalogType::TABLE_ENTRY) {
        set_target(piece, info.catalog, info.schema, info.Cast<CreateTableInfo>().table);
        flatten_create_table(piece, info.Cast<CreateTableInfo>());
    } else if (info.type == CatalogType::VIEW_ENTRY) {
        auto &view = info.Cast<CreateViewInfo>();
        out->kind = BORDER_CREATE_VIEW;
        set_target(piece, info.catalog, info.schema, view.view_name);
        out->columns = arena_array(piece.arena, BorderColumn, view.aliases.size());
        for (auto &alias : view.aliases)
            out->columns[out->column_count++].name = piece.keep(alias);
        size_t query = piece.find(0, { "AS" }) + 1;
        if (query < piece.tokens.size())
            out->select = piece.slice(piece.start_of(query), piece.end);
    } else if (info.type == CatalogType::SCHEMA_ENTRY) {
        out->kind = BORDER_CREATE_SCHEMA;
        set_target(piece, info.catalog, "", info.schema);
    }
}

void flatten_insert(Piece &piece, const InsertStatement &insert)
{
    auto out = piece.out;
    out->kind = BORDER_INSERT;
    set_target(piece, insert.catalog, insert.schema, insert.table);
    out->name_position = name_after(piece, { "INTO" });
    out->by_name = insert.column_order == InsertColumnOrder::INSERT_BY_NAME;
    out->default_values = insert.default_values;
    out->has_conflict = (bool)insert.on_conflict_info;
    out->has_returning = !insert.returning_list.empty();
    out->has_with = !insert.cte_map.map.empty();
    out->columns = arena_array(piece.arena, BorderColumn, insert.columns.size());
    for (auto &column : insert.columns)
        out->columns[out->column_count++].name = piece.keep(column);
    if (insert.default_values)
        return;
    /* behind the name, its alias and its columns stands the query: a word or a bracket that opens
     * it */
    static const std::vector<string> openers = { "SELECT", "WITH",     "VALUES",  "FROM",
                                                 "TABLE",  "PIVOT",    "UNPIVOT", "DESCRIBE",
                                                 "SHOW",   "SUMMARIZE" };
    size_t into = piece.find(0, { "INTO" });
    size_t query = piece.find(into + 1, openers);
    for (size_t i = into + 1; i + 1 < query && i + 1 < piece.tokens.size(); i++)
        if (piece.tokens[i].depth == 0 && piece.tokens[i].symbol == '(')
            for (auto &word : openers)
                if (piece.tokens[i + 1].word == word)
                    query = MinValue(query, i);
    size_t stop = piece.find(query, { "RETURNING" });
    for (size_t i = query; i + 1 < stop; i++)
        if (out->has_conflict && piece.tokens[i].depth == 0 && piece.tokens[i].word == "ON" &&
            piece.tokens[i + 1].word == "CONFLICT")
            stop = i;
    if (query < piece.tokens.size())
        out->select = piece.slice(piece.start_of(query), piece.start_of(stop));
}

void set_where(Piece &piece, size_t from, bool present)
{
    size_t where = piece.find(from, { "WHERE" });
    size_t stop = piece.find(from, { "RETURNING" });
    if (present && where + 1 < piece.tokens.size())
        piece.out->where = piece.slice(piece.start_of(where + 1), piece.start_of(stop));
}

void flatten_delete(Piece &piece, const DeleteStatement &statement)
{
    auto out = piece.out;
    out->kind = BORDER_DELETE;
    set_target(piece, *statement.table);
    out->has_with = !statement.cte_map.map.empty();
    out->has_using = !statement.using_clauses.empty();
    out->has_returning = !statement.returning_list.empty();
    size_t begin = piece.find(0, { "DELETE" });
    size_t tables = piece.find(begin, { "USING" });
    if (out->has_using && tables + 1 < piece.tokens.size())
        out->tables = piece.slice(piece.start_of(tables + 1),
                                  piece.start_of(piece.find(tables, { "WHERE", "RETURNING" })));
    set_where(piece, begin, (bool)statement.condition);
}

void flatten_update(Piece &piece, const UpdateStatement &statement)
{
    auto out = piece.out;
    out->kind = BORDER_UPDATE;
    set_target(piece, *statement.table);
    out->has_with = !statement.cte_map.map.empty();
    out->has_using = (bool)statement.from_table;
    out->has_returning = !statement.returning_list.empty();
    auto &info = *statement.set_info;
    size_t at = piece.find(piece.find(0, { "UPDATE" }), { "SET" });
    size_t stop = piece.find(at, { "FROM", "WHERE", "RETURNING" });
    out->assigns = arena_array(piece.arena, BorderAssign, info.columns.size());
    /* `col = value` between commas outside of brackets; `(a, b) = ...` is refused by the count */
    for (size_t i = at + 1; i < stop && out->assign_count < info.columns.size();) {
        size_t next = i;
        while (next < stop && !(piece.tokens[next].depth == 0 && piece.tokens[next].symbol == ','))
            next++;
        size_t equals = i;
        while (equals < next && piece.tokens[equals].symbol != '=')
            equals++;
        if (equals + 1 >= next + (next == stop))
            break;
        auto &assign = out->assigns[out->assign_count];
        assign.column = piece.keep(info.columns[out->assign_count]);
        assign.value = piece.slice(piece.start_of(equals + 1), piece.start_of(next));
        out->assign_count++;
        i = next + 1;
    }
    if (out->assign_count != info.columns.size())
        throw NotImplementedException("SET of several columns at once is not supported");
    if (out->has_using && piece.tokens[stop].word == "FROM")
        out->tables = piece.slice(piece.start_of(stop + 1),
                                  piece.start_of(piece.find(stop, { "WHERE", "RETURNING" })));
    set_where(piece, at, (bool)info.condition);
}

void flatten_alter_table(Piece &piece, const AlterTableInfo &info)
{
    auto out = piece.out;
    out->alter = BORDER_ALTER_OTHER;
    switch (info.alter_table_type) {
    case AlterTableType::ADD_COLUMN: {
        auto &add = info.Cast<AddColumnInfo>();
        out->alter = BORDER_ALTER_ADD_COLUMN;
        out->columns = arena_array(piece.arena, BorderColumn, 1);
        out->columns[out->column_count++] = column_of(piece, add.new_column);
        out->if_column = add.if_column_not_exists;
        break;
    }
    case AlterTableType::REMOVE_COLUMN:
        out->alter = BORDER_ALTER_DROP_COLUMN;
        out->old_name = piece.keep(info.Cast<RemoveColumnInfo>().removed_column);
        out->if_column = info.Cast<RemoveColumnInfo>().if_column_exists;
        break;
    case AlterTableType::RENAME_COLUMN:
        out->alter = BORDER_ALTER_RENAME_COLUMN;
        out->old_name = piece.keep(info.Cast<RenameColumnInfo>().old_name);
        out->new_name = piece.keep(info.Cast<RenameColumnInfo>().new_name);
        break;
    case AlterTableType::ALTER_COLUMN_TYPE:
        out->alter = BORDER_ALTER_COLUMN_TYPE;
        out->old_name = piece.keep(info.Cast<ChangeColumnTypeInfo>().column_name);
        out->columns = arena_array(piece.arena, BorderColumn, 1);
        out->columns[out->column_count++] =
            BorderColumn{ out->old_name,
                          piece.keep(info.Cast<ChangeColumnTypeInfo>().target_type.ToString()),
                          false, false, BorderText{ Str{ nullptr, 0 }, -1 } };
        break;
    case AlterTableType::SET_NOT_NULL:
        out->alter = BORDER_ALTER_SET_NOT_NULL;
        out->old_name = piece.keep(info.Cast<SetNotNullInfo>().column_name);
        break;
    case AlterTableType::DROP_NOT_NULL:
        out->alter = BORDER_ALTER_DROP_NOT_NULL;
        out->old_name = piece.keep(info.Cast<DropNotNullInfo>().column_name);
        break;
    case AlterTableType::RENAME_TABLE:
        out->alter = BORDER_ALTER_RENAME_TABLE;
        out->new_name = piece.keep(info.Cast<RenameTableInfo>().new_table_name);
        break;
    case AlterTableType::SET_PARTITIONED_BY:
        out->alter = BORDER_ALTER_PARTITION;
        out->partition = keep_all(piece, info.Cast<SetPartitionedByInfo>().partition_keys,
                                  &out->partition_count, print_expression);
        break;
    case AlterTableType::SET_SORTED_BY:
        out->alter = BORDER_ALTER_SORT;
        out->sort = keep_all(piece, info.Cast<SetSortedByInfo>().orders, &out->sort_count,
                             [](const OrderByNode &node) { return node.ToString(); });
        break;
    case AlterTableType::SET_TABLE_OPTIONS:
        out->alter = BORDER_ALTER_OPTIONS;
        set_options(piece, info.Cast<SetTableOptionsInfo>().table_options);
        break;
    case AlterTableType::RESET_TABLE_OPTIONS:
        out->alter = BORDER_ALTER_RESET_OPTIONS;
        out->options = arena_array(piece.arena, BorderOption,
                                   info.Cast<ResetTableOptionsInfo>().table_options.size());
        for (auto &name : info.Cast<ResetTableOptionsInfo>().table_options)
            out->options[out->option_count++].name = piece.keep(name);
        break;
    default:
        break;
    }
}

void flatten_alter(Piece &piece, const AlterInfo &info)
{
    auto out = piece.out;
    out->kind = BORDER_ALTER;
    out->alter = BORDER_ALTER_OTHER;
    set_target(piece, info.catalog, info.schema, info.name);
    out->name_position = name_after(piece, { "TABLE", "VIEW", "COLUMN" });
    out->if_exists = info.if_not_found == OnEntryNotFound::RETURN_NULL;
    if (info.type == AlterType::ALTER_TABLE)
        flatten_alter_table(piece, info.Cast<AlterTableInfo>());
    if (info.type == AlterType::ALTER_VIEW) {
        out->alter = BORDER_ALTER_RENAME_TABLE;
        out->new_name = piece.keep(info.Cast<RenameViewInfo>().new_view_name);
    }
    if (info.type == AlterType::SET_COMMENT) {
        auto &value = info.Cast<SetCommentInfo>().comment_value;
        out->alter = BORDER_ALTER_COMMENT;
        out->new_name = value.IsNull() ? Str{ nullptr, 0 } : piece.keep(value.ToString());
    }
    if (info.type == AlterType::SET_COLUMN_COMMENT) {
        auto &comment = info.Cast<SetColumnCommentInfo>();
        out->alter = BORDER_ALTER_COLUMN_COMMENT;
        out->old_name = piece.keep(comment.column_name);
        out->new_name = comment.comment_value.IsNull()
                            ? Str{ nullptr, 0 }
                            : piece.keep(comment.comment_value.ToString());
    }
}

void flatten_drop(Piece &piece, const DropInfo &info)
{
    auto out = piece.out;
    out->kind = info.type == CatalogType::TABLE_ENTRY    ? BORDER_DROP_TABLE
                : info.type == CatalogType::VIEW_ENTRY   ? BORDER_DROP_VIEW
                : info.type == CatalogType::SCHEMA_ENTRY ? BORDER_DROP_SCHEMA
                                                         : BORDER_DROP_OTHER;
    set_target(piece, info.catalog, info.schema, info.name);
    out->name_position = name_after(piece, { "TABLE", "VIEW", "SCHEMA" });
    out->if_exists = info.if_not_found == OnEntryNotFound::RETURN_NULL;
    out->cascade = info.cascade;
}

void flatten_explain(Piece &piece, const ExplainStatement &explain)
{
    piece.out->kind = BORDER_EXPLAIN;
    piece.out->analyze = explain.explain_type == ExplainType::EXPLAIN_ANALYZE;
    size_t at = 1;
    while (at < piece.tokens.size() &&
           (piece.tokens[at].word == "ANALYZE" || piece.tokens[at].word == "VERBOSE"))
        at++;
    if (at < piece.tokens.size() && piece.tokens[at].symbol == '(' &&
        at + 1 < piece.tokens.size() &&
        (piece.tokens[at + 1].word == "FORMAT" || piece.tokens[at + 1].word == "ANALYZE"))
        for (at++; at < piece.tokens.size() && piece.tokens[at - 1].symbol != ')'; at++)
            continue;
    if (at < piece.tokens.size())
        piece.out->select = piece.slice(piece.start_of(at), piece.end);
}

void flatten(Piece &piece, const SQLStatement &statement)
{
    switch (statement.type) {
    case StatementType::SELECT_STATEMENT:
        piece.out->kind = BORDER_SELECT;
        break;
    case StatementType::INSERT_STATEMENT:
        flatten_insert(piece, statement.Cast<InsertStatement>());
        break;
    case StatementType::UPDATE_STATEMENT:
        flatten_update(piece, statement.Cast<UpdateStatement>());
        break;
    case StatementType::DELETE_STATEMENT:
        flatten_delete(piece, statement.Cast<DeleteStatement>());
        break;
    case StatementType::MERGE_INTO_STATEMENT:
        piece.out->kind = BORDER_MERGE;
        set_target(piece, *statement.Cast<MergeIntoStatement>().target);
        break;
    case StatementType::CREATE_STATEMENT:
        flatten_create(piece, *statement.Cast<CreateStatement>().info);
        break;
    case StatementType::DROP_STATEMENT:
        flatten_drop(piece, *statement.Cast<DropStatement>().info);
        break;
    case StatementType::ALTER_STATEMENT:
        flatten_alter(piece, *statement.Cast<AlterStatement>().info);
        break;
    case StatementType::EXPLAIN_STATEMENT:
        flatten_explain(piece, statement.Cast<ExplainStatement>());
        break;
    case StatementType::SET_STATEMENT:
    case StatementType::VARIABLE_SET_STATEMENT:
        piece.out->kind = BORDER_SET;
        break;
    case StatementType::TRANSACTION_STATEMENT:
        piece.out->kind = BORDER_TRANSACTION;
        break;
    case StatementType::COPY_STATEMENT:
        piece.out->kind = BORDER_COPY;
        break;
    default:
        piece.out->kind = BORDER_OTHER;
        break;
    }
}

/* Pieces between semicolons that hold a token. The parser's own places of statements are wrong from
 * the second one on. */
std::vector<std::pair<idx_t, idx_t>> segments_of(const string &text,
                                                 const std::vector<SimplifiedToken> &tokens)
{
    std::vector<std::pair<idx_t, idx_t>> segments;
    idx_t from = 0;
    bool holds = false;
    for (auto &token : tokens) {
        if (text[token.start] != ';') {
            holds = true;
            continue;
        }
        if (holds)
            segments.emplace_back(from, token.start);
        from = token.start + 1;
        holds = false;
    }
    if (holds)
        segments.emplace_back(from, text.size());
    return segments;
}

void parse_all(const string &text, Arena *arena, BorderStatement **ret_statements,
               size_t *ret_count)
{
    check_size(text);
    Parser parser;
    parser.ParseQuery(text);
    size_t count = parser.statements.size();
    if (count > BORDER_STATEMENTS_MAX)
        throw OutOfRangeException("the text has %llu statements, more than %d", (idx_t)count,
                                  (int)BORDER_STATEMENTS_MAX);
    auto tokens = Parser::Tokenize(text);
    auto segments = segments_of(text, tokens);
    if (segments.size() != count)
        throw NotImplementedException("PIVOT without IN (...) is not supported: name the values");
    auto out = arena_array(arena, BorderStatement, count);
    for (size_t i = 0; i < count; i++) {
        Piece piece{ text, {}, arena, &out[i], segments[i].second };
        measure(piece, tokens, segments[i].first);
        out[i].whole = piece.slice(piece.tokens[0].start, piece.end);
        out[i].word = piece.keep(piece.tokens[0].word);
        out[i].name_position = -1;
        out[i].select.position = out[i].where.position = out[i].tables.position = -1;
        flatten(piece, *parser.statements[i]);
    }
    *ret_statements = out;
    *ret_count = count;
}

} /* namespace */

extern "C" __attribute__((visibility("default"))) Code
border_parse(Str text, Arena *arena, BorderStatement **ret_statements, size_t *ret_count, Err *err)
{
    if (text.len > BORDER_TEXT_MAX)
        return err_set(err, E_LIMIT, "the text has %zu bytes, more than %d", text.len,
                       BORDER_TEXT_MAX);
    if (!str_is_utf8(text))
        return err_set(err, E_SYNTAX, "the text is not UTF-8");
    try {
        parse_all(text_of(text), arena, ret_statements, ret_count);
        return E_OK;
    } catch (...) {
        return exception_to_err(nullptr, err);
    }
}
