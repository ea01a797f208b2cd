/* Functions that only texts of ours call; the gate refuses their names in a user's text.
 *   tarn_source(i)         rows of the i-th binding's ScanSource
 *   tarn_hash(x)           Iceberg's 32-bit hash as UINTEGER, NULL of NULL
 *   tarn_ordinal(text...)  the number of a tuple of texts, from 0, in the order they are met */
#include "sql/border_priv.h"

#include "duckdb/common/arrow/arrow.hpp"
#include "duckdb/common/types/uuid.hpp"
#include "duckdb/function/table/arrow.hpp"
#include "duckdb/main/extension/extension_loader.hpp"
#include "duckdb/planner/expression/list.hpp"
#include "duckdb/planner/operator/logical_get.hpp"

#include <set>

using namespace duckdb;
using namespace tarn;

namespace
{

/* ---- tarn_source ---- */

struct SourceFactory {
    const ScanSource *source = nullptr;
    shared_ptr<Request> request;
    std::vector<ScanFilter> filters;
    std::deque<string> texts; /* of the filters */
    std::set<string> conditions;
};

struct SourceData : ArrowScanFunctionData {
    SourceData(stream_factory_produce_t produce, unique_ptr<SourceFactory> factory)
        : ArrowScanFunctionData(produce, (uintptr_t)factory.get()), factory(std::move(factory))
    {
    }
    unique_ptr<SourceFactory> factory;
};

/* One running scan, behind an ArrowArrayStream. */
struct SourceStream {
    SourceFactory *factory = nullptr;
    std::vector<size_t> columns;
    void *scan = nullptr;
    ~SourceStream()
    {
        if (scan)
            factory->source->close(scan);
    }
};

void keep_failure(Request &request, const Err &err)
{
    lock_guard<mutex> held(request.lock);
    if (!request.failed) {
        request.failed = true;
        request.failure = err;
    }
}

int stream_next(ArrowArrayStream *stream, ArrowArray *array)
{
    auto self = (SourceStream *)stream->private_data;
    Err err;
    err_clear(&err);
    array->release = nullptr;
    if (self->factory->source->next(self->scan, array, &err) == E_OK)
        return 0;
    keep_failure(*self->factory->request, err);
    return 1;
}

const char *stream_error(ArrowArrayStream *stream)
{
    return ((SourceStream *)stream->private_data)->factory->request->failure.text;
}

void stream_release(ArrowArrayStream *stream)
{
    delete (SourceStream *)stream->private_data;
    stream->release = nullptr;
}

unique_ptr<ArrowArrayStreamWrapper> source_produce(uintptr_t pointer, ArrowStreamParameters &wanted)
{
    auto factory = (SourceFactory *)pointer;
    auto stream = make_uniq<SourceStream>();
    stream->factory = factory;
    for (idx_t i = 0; i < wanted.projected_columns.columns.size(); i++)
        stream->columns.push_back(wanted.projected_columns.filter_to_col.at(i));
    ScanQuery query{};
    query.columns = stream->columns.data();
    query.column_count = stream->columns.size();
    query.filters = factory->filters.data();
    query.filter_count = factory->filters.size();
    query.interrupted = factory->request->interrupted;
    string where;
    for (auto &condition : factory->conditions)
        where += (where.empty() ? "" : " AND ") + condition;
    if (!where.empty())
        query.where = str_of_string(where);
    Err err;
    err_clear(&err);
    if (factory->source->open(factory->source->self, &query, &stream->scan, &err) != E_OK)
        throw_err(factory->request.get(), err);
    auto wrapper = make_uniq<ArrowArrayStreamWrapper>();
    wrapper->arrow_array_stream.get_schema = nullptr;
    wrapper->arrow_array_stream.get_next = stream_next;
    wrapper->arrow_array_stream.get_last_error = stream_error;
    wrapper->arrow_array_stream.release = stream_release;
    wrapper->arrow_array_stream.private_data = stream.release();
    wrapper->number_of_rows = -1;
    return wrapper;
}

unique_ptr<FunctionData> source_bind(ClientContext &context, TableFunctionBindInput &input,
                                     vector<LogicalType> &types, vector<string> &names)
{
    auto request = request_of(context);
    idx_t index = input.inputs[0].GetValue<uint64_t>();
    if (!request || index >= request->request.binding_count ||
        !request->request.bindings[index].source)
        throw BinderException("tarn_source is not for texts of users");
    auto factory = make_uniq<SourceFactory>();
    factory->source = request->request.bindings[index].source;
    factory->request = request;
    auto data = make_uniq<SourceData>(source_produce, std::move(factory));
    Err err;
    err_clear(&err);
    auto source = data->factory->source;
    if (source->schema(source->self, &data->schema_root.arrow_schema, &err) != E_OK)
        throw_err(request.get(), err);
    ArrowTableFunction::PopulateArrowTableSchema(context, data->arrow_table,
                                                 data->schema_root.arrow_schema);
    names = data->arrow_table.GetNames();
    types = data->arrow_table.GetTypes();
    QueryResult::DeduplicateColumns(names);
    data->all_types = types;
    if (types.empty())
        throw BinderException("a source without columns");
    return std::move(data);
}

bool value_of(const Value &value, SourceFactory &factory, ScanValue &out)
{
    out = ScanValue{};
    if (value.IsNull())
        return false;
    switch (value.type().id()) {
    case LogicalTypeId::BOOLEAN:
        out.kind = SCAN_VALUE_BOOL;
        out.boolean = value.GetValue<bool>();
        return true;
    case LogicalTypeId::TINYINT:
    case LogicalTypeId::SMALLINT:
    case LogicalTypeId::INTEGER:
    case LogicalTypeId::BIGINT:
    case LogicalTypeId::UTINYINT:
    case LogicalTypeId::USMALLINT:
    case LogicalTypeId::UINTEGER:
        out.kind = SCAN_VALUE_I64;
        out.i64 = value.GetValue<int64_t>();
        return true;
    case LogicalTypeId::FLOAT:
    case LogicalTypeId::DOUBLE:
        out.kind = SCAN_VALUE_F64;
        out.f64 = value.GetValue<double>();
        return true;
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_TZ:
        out.kind = SCAN_VALUE_I64;
        out.i64 = value.GetValueUnsafe<int64_t>();
        return true;
    case LogicalTypeId::DATE:
        out.kind = SCAN_VALUE_I64;
        out.i64 = value.GetValueUnsafe<int32_t>();
        return true;
    default:
        factory.texts.push_back(value.ToString());
        out.kind = SCAN_VALUE_TEXT;
        out.text = str_of_string(factory.texts.back());
        return true;
    }
}

bool op_of(ExpressionType type, bool swapped, ScanOp &op)
{
    switch (swapped ? FlipComparisonExpression(type) : type) {
    case ExpressionType::COMPARE_EQUAL:
        op = SCAN_EQ;
        return true;
    case ExpressionType::COMPARE_NOTEQUAL:
        op = SCAN_NE;
        return true;
    case ExpressionType::COMPARE_LESSTHAN:
        op = SCAN_LT;
        return true;
    case ExpressionType::COMPARE_LESSTHANOREQUALTO:
        op = SCAN_LE;
        return true;
    case ExpressionType::COMPARE_GREATERTHAN:
        op = SCAN_GT;
        return true;
    case ExpressionType::COMPARE_GREATERTHANOREQUALTO:
        op = SCAN_GE;
        return true;
    default:
        return false;
    }
}

/* The planner comes by more than once with the same filters. */
bool has_filter(const SourceFactory &factory, const ScanFilter &wanted)
{
    for (auto &f : factory.filters)
        if (f.column == wanted.column && f.op == wanted.op && f.value.kind == wanted.value.kind &&
            f.value.boolean == wanted.value.boolean && f.value.i64 == wanted.value.i64 &&
            f.value.f64 == wanted.value.f64 && str_eq(f.value.text, wanted.value.text))
            return true;
    return false;
}

/* An expression as SQL over the names of a source's columns; false: it has parts that a source need
 * not know. What compares does so in the types of the plan. */
class ConditionText
{
  public:
    explicit ConditionText(const LogicalGet &get) : get(get)
    {
    }
    bool put(const Expression &e, string &out)
    {
        switch (e.GetExpressionClass()) {
        case ExpressionClass::BOUND_COLUMN_REF:
            return put_column(e.Cast<BoundColumnRefExpression>(), out);
        case ExpressionClass::BOUND_CONSTANT:
            return put_typed(e.Cast<BoundConstantExpression>().value.ToSQLString(), e.return_type,
                             out);
        case ExpressionClass::BOUND_COMPARISON: {
            auto &comparison = e.Cast<BoundComparisonExpression>();
            return put_pair(*comparison.left, e.GetExpressionType(), *comparison.right, out);
        }
        case ExpressionClass::BOUND_BETWEEN: {
            auto &between = e.Cast<BoundBetweenExpression>();
            string lower, upper;
            if (!put_pair(*between.input, between.LowerComparisonType(), *between.lower, lower) ||
                !put_pair(*between.input, between.UpperComparisonType(), *between.upper, upper))
                return false;
            out += "(" + lower + " AND " + upper + ")";
            return true;
        }
        case ExpressionClass::BOUND_CONJUNCTION:
            return put_list(
                e.Cast<BoundConjunctionExpression>().children,
                e.GetExpressionType() == ExpressionType::CONJUNCTION_AND ? " AND " : " OR ", out);
        case ExpressionClass::BOUND_OPERATOR:
            return put_operator(e.Cast<BoundOperatorExpression>(), out);
        default:
            return false;
        }
    }

  private:
    bool put_typed(const string &text, const LogicalType &type, string &out)
    {
        if (type.IsNested() || type.id() == LogicalTypeId::ENUM || type.HasAlias())
            return false;
        out += "CAST(" + text + " AS " + type.ToString() + ")";
        return true;
    }
    bool put_column(const BoundColumnRefExpression &ref, string &out)
    {
        auto &ids = get.GetColumnIds();
        if (ref.binding.table_index != get.table_index || ref.binding.column_index >= ids.size())
            return false;
        auto column = ids[ref.binding.column_index].GetPrimaryIndex();
        return column < get.names.size() &&
               put_typed(KeywordHelper::WriteQuoted(get.names[column], '"'), ref.return_type, out);
    }
    bool put_pair(const Expression &left, ExpressionType type, const Expression &right, string &out)
    {
        string l, r, sign = ExpressionTypeToOperator(type);
        if (sign.empty() || !put(left, l) || !put(right, r))
            return false;
        out += "(" + l + " " + sign + " " + r + ")";
        return true;
    }
    bool put_list(const vector<unique_ptr<Expression>> &items, const string &between, string &out)
    {
        string all;
        for (auto &item : items) {
            all += all.empty() ? "" : between;
            if (!put(*item, all))
                return false;
        }
        out += "(" + all + ")";
        return true;
    }
    bool put_after(const vector<unique_ptr<Expression>> &items, const string &after, string &out)
    {
        out += "(";
        if (!put_list(items, "", out))
            return false;
        out += after + ")";
        return true;
    }
    bool put_operator(const BoundOperatorExpression &e, string &out)
    {
        switch (e.GetExpressionType()) {
        case ExpressionType::OPERATOR_NOT:
            return put_after(e.children, " = false", out); /* NOT x, NULL of NULL */
        case ExpressionType::OPERATOR_IS_NULL:
            return put_after(e.children, " IS NULL", out);
        case ExpressionType::OPERATOR_IS_NOT_NULL:
            return put_after(e.children, " IS NOT NULL", out);
        case ExpressionType::OPERATOR_COALESCE:
            out += "coalesce";
            return put_list(e.children, ", ", out);
        default:
            return false;
        }
    }

    const LogicalGet &get;
};

/* Notes what it understands and leaves every filter in the plan. */
void source_filters(ClientContext &, LogicalGet &get, FunctionData *bind_data,
                    vector<unique_ptr<Expression>> &filters)
{
    auto &factory = *((SourceData *)bind_data)->factory;
    auto column_of = [&](const Expression &e, size_t &column) {
        if (e.GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF)
            return false;
        auto &ref = e.Cast<BoundColumnRefExpression>();
        auto &ids = get.GetColumnIds();
        if (ref.binding.table_index != get.table_index || ref.binding.column_index >= ids.size())
            return false;
        column = ids[ref.binding.column_index].GetPrimaryIndex();
        return column < get.names.size();
    };
    auto note = [&](const Expression &column, const Expression &constant, ScanFilter out) {
        if (constant.GetExpressionClass() == ExpressionClass::BOUND_CONSTANT &&
            column_of(column, out.column) &&
            value_of(constant.Cast<BoundConstantExpression>().value, factory, out.value) &&
            !has_filter(factory, out))
            factory.filters.push_back(out);
    };
    for (auto &filter : filters) {
        string condition;
        if (ConditionText(get).put(*filter, condition))
            factory.conditions.insert(condition);
        ScanFilter out{};
        if (filter->GetExpressionClass() == ExpressionClass::BOUND_BETWEEN) {
            auto &between = filter->Cast<BoundBetweenExpression>();
            out.op = between.lower_inclusive ? SCAN_GE : SCAN_GT;
            note(*between.input, *between.lower, out);
            out.op = between.upper_inclusive ? SCAN_LE : SCAN_LT;
            note(*between.input, *between.upper, out);
        }
        if (filter->GetExpressionClass() != ExpressionClass::BOUND_COMPARISON)
            continue;
        auto &comparison = filter->Cast<BoundComparisonExpression>();
        bool swapped = comparison.left->GetExpressionClass() == ExpressionClass::BOUND_CONSTANT;
        auto &column = swapped ? *comparison.right : *comparison.left;
        auto &constant = swapped ? *comparison.left : *comparison.right;
        if (op_of(comparison.GetExpressionType(), swapped, out.op))
            note(column, constant, out);
    }
}

unique_ptr<NodeStatistics> source_cardinality(ClientContext &, const FunctionData *bind_data)
{
    auto source = bind_data->Cast<SourceData>().factory->source;
    int64_t rows = source->rows_estimate ? source->rows_estimate(source->self) : -1;
    return rows < 0 ? make_uniq<NodeStatistics>() : make_uniq<NodeStatistics>((idx_t)rows);
}

struct SourceFunction : ArrowTableFunction {
    static TableFunction make()
    {
        TableFunction f("tarn_source", { LogicalType::UBIGINT }, ArrowScanFunction, source_bind,
                        ArrowScanInitGlobal, ArrowScanInitLocal);
        f.projection_pushdown = true;
        f.filter_pushdown = false;
        f.pushdown_complex_filter = source_filters;
        f.cardinality = source_cardinality;
        f.get_partition_data = ArrowGetPartitionData;
        /* no row ids: count(*) asks for the first column */
        f.get_virtual_columns = [](ClientContext &, optional_ptr<FunctionData>) {
            return virtual_column_map_t();
        };
        return f;
    }
};

/* ---- tarn_hash ---- */

struct HashInfo : ScalarFunctionInfo {
    explicit HashInfo(const BorderOptions &options) : options(options)
    {
    }
    BorderOptions options;
};

template <class T, class F> void hash_each(DataChunk &input, Vector &result, F hash)
{
    UnaryExecutor::Execute<T, uint32_t>(input.data[0], result, input.size(), hash);
}

template <class T> void hash_decimals(DataChunk &input, Vector &result, const BorderOptions &with)
{
    hash_each<T>(input, result, [&](T v) { return with.hash_decimal((__int128)v); });
}

void hash_decimal_column(DataChunk &input, Vector &result, const BorderOptions &with)
{
    switch (input.data[0].GetType().InternalType()) {
    case PhysicalType::INT16:
        return hash_decimals<int16_t>(input, result, with);
    case PhysicalType::INT32:
        return hash_decimals<int32_t>(input, result, with);
    case PhysicalType::INT64:
        return hash_decimals<int64_t>(input, result, with);
    default:
        hash_each<hugeint_t>(input, result, [&](hugeint_t v) {
            return with.hash_decimal(
                (__int128)(((unsigned __int128)(uint64_t)v.upper << 64) | v.lower));
        });
    }
}

void hash_column(DataChunk &input, ExpressionState &state, Vector &result)
{
    auto &function = state.expr.Cast<BoundFunctionExpression>().function;
    auto &with = function.GetExtraFunctionInfo().Cast<HashInfo>().options;
    switch (input.data[0].GetType().id()) {
    case LogicalTypeId::INTEGER:
    case LogicalTypeId::DATE:
        return hash_each<int32_t>(input, result, [&](int32_t v) { return with.hash_i64(v); });
    case LogicalTypeId::BIGINT:
    case LogicalTypeId::TIME:
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_TZ:
        return hash_each<int64_t>(input, result, [&](int64_t v) { return with.hash_i64(v); });
    case LogicalTypeId::VARCHAR:
    case LogicalTypeId::BLOB:
        return hash_each<string_t>(input, result, [&](string_t v) {
            return with.hash_bytes(Str{ v.GetData(), v.GetSize() }, 0);
        });
    case LogicalTypeId::UUID:
        return hash_each<hugeint_t>(input, result, [&](hugeint_t v) {
            char bytes[16];
            BaseUUID::ToBlob(v, (data_ptr_t)bytes);
            return with.hash_bytes(Str{ bytes, sizeof bytes }, 0);
        });
    case LogicalTypeId::DECIMAL:
        return hash_decimal_column(input, result, with);
    case LogicalTypeId::SQLNULL:
        result.SetVectorType(VectorType::CONSTANT_VECTOR);
        ConstantVector::SetNull(result, true);
        return;
    default:
        throw BinderException("tarn_hash does not take %s", input.data[0].GetType().ToString());
    }
}

/* ---- tarn_ordinal ---- */

int32_t ordinal_of(Tuples &tuples, const string &key,
                   const std::vector<UnifiedVectorFormat> &columns, idx_t row)
{
    lock_guard<std::mutex> held(tuples.lock);
    auto found = tuples.ordinals.find(key);
    if (found != tuples.ordinals.end())
        return found->second;
    std::vector<std::pair<bool, string>> parts;
    for (auto &column : columns) {
        idx_t at = column.sel->get_index(row);
        bool present = column.validity.RowIsValid(at);
        auto values = UnifiedVectorFormat::GetData<string_t>(column);
        parts.emplace_back(present, present ? values[at].GetString() : string());
    }
    auto ordinal = (int32_t)tuples.items.size();
    tuples.parts = columns.size();
    tuples.items.push_back(std::move(parts));
    tuples.ordinals.emplace(key, ordinal);
    return ordinal;
}

void ordinal_rows(DataChunk &input, ExpressionState &state, Vector &result)
{
    auto request = request_of(state.GetContext());
    if (!request)
        throw InvalidInputException("tarn_ordinal outside of a request");
    std::vector<UnifiedVectorFormat> columns(input.ColumnCount());
    for (idx_t c = 0; c < input.ColumnCount(); c++)
        input.data[c].ToUnifiedFormat(input.size(), columns[c]);
    result.SetVectorType(VectorType::FLAT_VECTOR);
    auto out = FlatVector::GetData<int32_t>(result);
    string key, last;
    int32_t last_ordinal = -1; /* neighbours are mostly alike */
    for (idx_t row = 0; row < input.size(); row++) {
        key.clear();
        for (auto &column : columns) {
            idx_t at = column.sel->get_index(row);
            if (!column.validity.RowIsValid(at)) {
                key.push_back('n');
                continue;
            }
            auto &value = UnifiedVectorFormat::GetData<string_t>(column)[at];
            uint32_t len = value.GetSize();
            key.push_back('v');
            key.append((const char *)&len, sizeof len);
            key.append(value.GetData(), len);
        }
        if (last_ordinal < 0 || key != last) {
            last_ordinal = ordinal_of(request->tuples, key, columns, row);
            last.swap(key);
        }
        out[row] = last_ordinal;
    }
}

} /* namespace */

void tarn::functions_register(ExtensionLoader &loader, const BorderOptions &options)
{
    loader.RegisterFunction(SourceFunction::make());
    ScalarFunction ordinal("tarn_ordinal", {}, LogicalType::INTEGER, ordinal_rows);
    ordinal.varargs = LogicalType::VARCHAR;
    ordinal.SetNullHandling(FunctionNullHandling::SPECIAL_HANDLING);
    ordinal.SetStability(FunctionStability::VOLATILE);
    loader.RegisterFunction(ordinal);
    if (!options.hash_i64 || !options.hash_bytes || !options.hash_decimal)
        return;
    ScalarFunction hash("tarn_hash", { LogicalType::ANY }, LogicalType::UINTEGER, hash_column);
    hash.SetExtraFunctionInfo(make_shared_ptr<HashInfo>(options));
    loader.RegisterFunction(hash);
}
