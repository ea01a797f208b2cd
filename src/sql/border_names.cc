/* Before the engine binds a text, every table reference in it is looked up in the request's
 * bindings. One that is bound gets a schema that no catalog has, so that the replacement scan is
 * asked for it; one that is not, and is no CTE of the text, is an error with its position. The
 * engine's own catalogs, files named as tables and views of settings are thus never reached. Within
 * the text of a binding the same holds, and its expressions lose their places, which would be read
 * as places in the user's text. */
#include "sql/border_priv.h"

#include "duckdb/function/replacement_scan.hpp"
#include "duckdb/parser/expression/constant_expression.hpp"
#include "duckdb/parser/expression/function_expression.hpp"
#include "duckdb/parser/expression/subquery_expression.hpp"
#include "duckdb/parser/parsed_expression_iterator.hpp"
#include "duckdb/parser/parser.hpp"
#include "duckdb/parser/query_node/list.hpp"
#include "duckdb/parser/statement/select_statement.hpp"
#include "duckdb/parser/tableref/list.hpp"

#include <set>

using namespace duckdb;
using namespace tarn;

namespace
{

const char *const BOUND_PREFIX = "tarn:"; /* of the schema of a reference that is bound */
const size_t REPLACEMENTS_MAX = 1024;     /* a request; also ends bindings that name themselves */

/* Expressions of a binding's text keep no place: it would be read as one in the user's text. */
void forget_places(QueryNode &node)
{
    std::function<void(unique_ptr<ParsedExpression> &)> visit =
        [&](unique_ptr<ParsedExpression> &e) {
            e->SetQueryLocation(optional_idx());
            if (e->GetExpressionClass() == ExpressionClass::SUBQUERY)
                forget_places(*e->Cast<SubqueryExpression>().subquery->node);
            ParsedExpressionIterator::EnumerateChildren(*e, visit);
        };
    ParsedExpressionIterator::EnumerateQueryNodeChildren(
        node, visit, [](TableRef &ref) { ref.query_location = optional_idx(); });
}

class NameCheck
{
  public:
    explicit NameCheck(Request &request) : request(request)
    {
    }
    void check(QueryNode &root)
    {
        collect_names(root);
        walk(root, &NameCheck::note);
        walk(root, &NameCheck::bind);
    }

  private:
    typedef void (NameCheck::*Visit)(TableRef &);

    void walk(QueryNode &node, Visit visit)
    {
        std::function<void(unique_ptr<ParsedExpression> &)> on_expr =
            [&](unique_ptr<ParsedExpression> &e) {
                if (e->GetExpressionClass() == ExpressionClass::SUBQUERY) {
                    auto &inner = *e->Cast<SubqueryExpression>().subquery->node;
                    collect_names(inner);
                    walk(inner, visit);
                }
                ParsedExpressionIterator::EnumerateChildren(*e, on_expr);
            };
        ParsedExpressionIterator::EnumerateQueryNodeChildren(node, on_expr, [&](TableRef &ref) {
            (this->*visit)(ref);
            if (ref.type == TableReferenceType::TABLE_FUNCTION &&
                ref.Cast<TableFunctionRef>().subquery)
                walk(*ref.Cast<TableFunctionRef>().subquery->node, visit);
            if (ref.type == TableReferenceType::SHOW_REF && ref.Cast<ShowRef>().query)
                walk(*ref.Cast<ShowRef>().query, visit);
        });
    }
    void collect_names(QueryNode &node)
    {
        for (auto &entry : node.cte_map.map) {
            ctes.insert(StringUtil::Lower(entry.first));
            collect_names(*entry.second->query->node);
        }
        if (node.type == QueryNodeType::SET_OPERATION_NODE)
            for (auto &child : node.Cast<SetOperationNode>().children)
                collect_names(*child);
        if (node.type == QueryNodeType::RECURSIVE_CTE_NODE) {
            ctes.insert(StringUtil::Lower(node.Cast<RecursiveCTENode>().ctename));
            collect_names(*node.Cast<RecursiveCTENode>().left);
            collect_names(*node.Cast<RecursiveCTENode>().right);
        }
    }
    void note(TableRef &ref)
    {
        if (ref.type == TableReferenceType::SUBQUERY)
            collect_names(*ref.Cast<SubqueryRef>().subquery->node);
    }
    void bind(TableRef &ref)
    {
        if (ref.type == TableReferenceType::SHOW_REF && !ref.Cast<ShowRef>().query)
            fail(ref, E_UNSUPPORTED, "SHOW and DESCRIBE of names are not the engine's");
        if (ref.type != TableReferenceType::BASE_TABLE)
            return;
        auto &table = ref.Cast<BaseTableRef>();
        if (StringUtil::StartsWith(table.schema_name, BOUND_PREFIX))
            return;
        bool cte = table.schema_name.empty() && ctes.count(StringUtil::Lower(table.table_name));
        auto binding = table.catalog_name.empty()
                           ? request.find(table.schema_name, table.table_name)
                           : nullptr;
        if (cte)
            return;
        if (!binding)
            fail(ref, E_NOT_FOUND,
                 "there is no table " + ReplacementScan::GetFullPath(table.catalog_name,
                                                                     table.schema_name,
                                                                     table.table_name));
        if (binding->code != E_OK) {
            Err err;
            err_clear(&err);
            err_set(&err, binding->code, "%.*s", STR_ARG(binding->error));
            if (binding->hint.len)
                err_hint(&err, binding->code, "%.*s", STR_ARG(binding->hint));
            fail_with(ref, err);
        }
        table.schema_name = BOUND_PREFIX + table.schema_name;
    }
    [[noreturn]] void fail(TableRef &ref, Code code, const string &text)
    {
        Err err;
        err_clear(&err);
        err_set(&err, code, "%s", text.c_str());
        fail_with(ref, err);
    }
    [[noreturn]] void fail_with(TableRef &ref, Err &err)
    {
        if (ref.query_location.IsValid())
            err_at(&err, err.code, (int64_t)ref.query_location.GetIndex());
        throw_err(&request, err);
    }

    Request &request;
    std::set<string> ctes;
};

unique_ptr<SelectStatement> parse_select(ClientContext &context, const string &text)
{
    Parser parser(context.GetParserOptions());
    parser.ParseQuery(text);
    if (parser.statements.size() != 1 ||
        parser.statements[0]->type != StatementType::SELECT_STATEMENT)
        throw InvalidInputException("what stands for a name is not one SELECT");
    return unique_ptr_cast<SQLStatement, SelectStatement>(std::move(parser.statements[0]));
}

} /* namespace */

void tarn::names_check(Request &request, QueryNode &node)
{
    NameCheck(request).check(node);
}

unique_ptr<TableRef> tarn::names_replace(ClientContext &context, ReplacementScanInput &input,
                                         optional_ptr<ReplacementScanData>)
{
    auto request = request_of(context);
    string schema = input.schema_name;
    if (StringUtil::StartsWith(schema, BOUND_PREFIX))
        schema = schema.substr(strlen(BOUND_PREFIX));
    auto binding =
        request && input.catalog_name.empty() ? request->find(schema, input.table_name) : nullptr;
    string shown = ReplacementScan::GetFullPath(input.catalog_name, schema, input.table_name);
    if (!binding || binding->code != E_OK)
        throw CatalogException("there is no table %s", shown);
    if (++request->replacements > REPLACEMENTS_MAX)
        throw InvalidInputException("%s: names stand for one another more than %llu times", shown,
                                    (idx_t)REPLACEMENTS_MAX);
    if (binding->source) {
        auto ref = make_uniq<TableFunctionRef>();
        vector<unique_ptr<ParsedExpression>> children;
        children.push_back(make_uniq<ConstantExpression>(
            Value::UBIGINT((uint64_t)(binding - request->request.bindings))));
        ref->function = make_uniq<FunctionExpression>("tarn_source", std::move(children));
        ref->alias = input.table_name;
        return std::move(ref);
    }
    auto select = parse_select(context, text_of(binding->sql));
    forget_places(*select->node);
    names_check(*request, *select->node);
    auto ref = make_uniq<SubqueryRef>(std::move(select));
    ref->alias = input.table_name;
    return std::move(ref);
}
