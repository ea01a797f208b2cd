/* tarn_parquet(paths, schema => MAP {...}, explicit_cardinality => rows, bounds => [[column, least,
 * most, nulls], ...]): the engine's parquet_scan over files that manifests of ours describe. With a
 * schema parquet_scan opens no file while it binds, so it knows neither how many threads a lone
 * file is worth nor what its columns hold; both are told here.
 *
 * 1. A bound holds for every row of every file: the optimizer drops filters and picks narrow keys
 *    by it. What is not known is not told.
 * 2. Bounds hang on the list of files: a list that the planner made shorter has none. */
#include "sql/border_priv.h"

#include "duckdb/catalog/catalog_entry/table_function_catalog_entry.hpp"
#include "duckdb/common/multi_file/multi_file_list.hpp"
#include "duckdb/common/multi_file/multi_file_states.hpp"
#include "duckdb/main/extension/extension_loader.hpp"
#include "duckdb/parallel/task_scheduler.hpp"
#include "duckdb/storage/statistics/numeric_stats.hpp"

using namespace duckdb;
using namespace tarn;

namespace
{

const idx_t ROWS_A_THREAD = 122880; /* a row group of the engine's writer */

/* parquet_scan's own; the same in every instance. */
table_function_bind_t parquet_bind;
table_function_init_global_t parquet_init;
table_function_cardinality_t parquet_cardinality;

struct BoundedFiles : SimpleMultiFileList {
    explicit BoundedFiles(vector<OpenFileInfo> files) : SimpleMultiFileList(std::move(files))
    {
    }
    unique_ptr<MultiFileList> Copy() const override
    {
        auto copy = make_uniq<BoundedFiles>(GetAllFiles());
        copy->columns = columns;
        return std::move(copy);
    }
    std::unordered_map<idx_t, shared_ptr<BaseStatistics>> columns;
};

bool value_of(const LogicalType &type, int64_t number, Value &out)
{
    switch (type.id()) {
    case LogicalTypeId::INTEGER:
        out = Value::INTEGER((int32_t)number);
        return true;
    case LogicalTypeId::BIGINT:
        out = Value::BIGINT(number);
        return true;
    case LogicalTypeId::DATE:
        out = Value::DATE(date_t((int32_t)number));
        return true;
    case LogicalTypeId::TIMESTAMP:
        out = Value::TIMESTAMP(timestamp_t(number));
        return true;
    case LogicalTypeId::TIMESTAMP_TZ:
        out = Value::TIMESTAMPTZ(timestamp_tz_t(number));
        return true;
    case LogicalTypeId::DECIMAL:
        out = Value::DECIMAL(number, DecimalType::GetWidth(type), DecimalType::GetScale(type));
        return true;
    default:
        return false;
    }
}

void note_bound(BoundedFiles &files, const vector<LogicalType> &types, const Value &bound)
{
    auto &parts = ListValue::GetChildren(bound);
    if (parts.size() != 4)
        throw BinderException("a bound of tarn_parquet has four parts");
    auto column = parts[0].GetValue<uint64_t>();
    Value least, most;
    if (column >= types.size() || !value_of(types[column], parts[1].GetValue<int64_t>(), least) ||
        !value_of(types[column], parts[2].GetValue<int64_t>(), most))
        return;
    auto stats = NumericStats::CreateUnknown(types[column]);
    NumericStats::SetMin(stats, least);
    NumericStats::SetMax(stats, most);
    if (parts[3].GetValue<int64_t>() == 0)
        stats.Set(StatsInfo::CANNOT_HAVE_NULL_VALUES);
    files.columns[column] = stats.ToUnique();
}

unique_ptr<FunctionData> files_bind(ClientContext &context, TableFunctionBindInput &input,
                                    vector<LogicalType> &types, vector<string> &names)
{
    if (!request_of(context))
        throw BinderException("tarn_parquet is not for texts of users");
    Value bounds;
    auto found = input.named_parameters.find("bounds");
    if (found != input.named_parameters.end()) {
        bounds = found->second;
        input.named_parameters.erase(found);
    }
    auto bound = parquet_bind(context, input, types, names);
    if (!bounds.IsNull()) {
        auto &data = bound->Cast<MultiFileBindData>();
        auto files = make_shared_ptr<BoundedFiles>(data.file_list->GetAllFiles());
        for (auto &each : ListValue::GetChildren(bounds))
            note_bound(*files, types, each);
        data.file_list = std::move(files);
    }
    return bound;
}

/* parquet_scan gives a lone file that it has not opened one thread. */
unique_ptr<GlobalTableFunctionState> files_init(ClientContext &context,
                                                TableFunctionInitInput &input)
{
    auto state = parquet_init(context, input);
    auto rows = parquet_cardinality(context, input.bind_data.get());
    auto threads = NumericCast<idx_t>(TaskScheduler::GetScheduler(context).NumberOfThreads());
    idx_t useful = rows && rows->has_estimated_cardinality
                       ? rows->estimated_cardinality / ROWS_A_THREAD + 1
                       : 1;
    auto &global = state->Cast<MultiFileGlobalState>();
    global.max_threads = MaxValue(global.max_threads, MinValue(threads, useful));
    return state;
}

unique_ptr<BaseStatistics> files_statistics(ClientContext &, const FunctionData *bind_data,
                                            column_t column)
{
    auto files = dynamic_cast<const BoundedFiles *>(
        bind_data->Cast<MultiFileBindData>().file_list.get());
    if (!files)
        return nullptr;
    auto found = files->columns.find(column);
    return found == files->columns.end() ? nullptr : found->second->ToUnique();
}

} /* namespace */

void tarn::scan_register(ExtensionLoader &loader)
{
    TableFunctionSet files("tarn_parquet");
    for (auto function : loader.GetTableFunction("parquet_scan").functions.functions) {
        parquet_bind = function.bind;
        parquet_init = function.init_global;
        parquet_cardinality = function.cardinality;
        function.name = "tarn_parquet";
        function.named_parameters["bounds"] =
            LogicalType::LIST(LogicalType::LIST(LogicalType::BIGINT));
        function.bind = files_bind;
        function.init_global = files_init;
        function.statistics = files_statistics;
        function.statistics_extended = nullptr;
        files.AddFunction(function);
    }
    loader.RegisterFunction(std::move(files));
}
