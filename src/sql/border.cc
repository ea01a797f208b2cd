/* 1. No exception leaves this file: every function of border.h catches all.
 * 2. A request's state hangs in its client context from border_query_start to border_query_free;
 * file systems, names and functions find it there and nowhere else.
 * 3. Only SELECT, EXPLAIN of one and, with a sink, COPY of one TO are run at all.
 * 4. The first Err of a callback is kept in the request's state and becomes the query's error. */
#include "sql/border_priv.h"

#include "duckdb/common/arrow/arrow_appender.hpp"
#include "duckdb/common/arrow/arrow_converter.hpp"
#include "duckdb/common/arrow/schema_metadata.hpp"
#include "duckdb/common/arrow/arrow_type_extension.hpp"
#include "duckdb/common/virtual_file_system.hpp"
#include "duckdb/main/extension/extension_loader.hpp"
#include "duckdb/main/pending_query_result.hpp"
#include "duckdb/main/stream_query_result.hpp"
#include "duckdb/parser/expression/constant_expression.hpp"
#include "duckdb/parser/parsed_data/copy_info.hpp"
#include "duckdb/parser/parser.hpp"
#include "duckdb/parser/simplified_token.hpp"
#include "duckdb/parser/statement/list.hpp"

using namespace duckdb;
using namespace tarn;

struct Border {
    BorderOptions options;
    unique_ptr<DuckDB> db;
    atomic<bool> broken{ false };
};

struct BorderConn {
    Border *border;
    unique_ptr<Connection> connection;
    bool interrupted = false; /* atomic; of the query that runs: its sources look at it */

    void interrupt(bool now)
    {
        __atomic_store_n(&interrupted, now, __ATOMIC_RELEASE);
        if (now)
            connection->Interrupt();
        else
            connection->context->ClearInterrupt();
    }
};

struct BorderQuery {
    BorderConn *conn;
    shared_ptr<Request> request;
    unique_ptr<PendingQueryResult> pending;
    unique_ptr<QueryResult> result;
    vector<string> names;
    vector<LogicalType> types;
    vector<string> type_names;
    unique_ptr<DataChunk> held; /* fetched, belongs to the next batch */
    bool first = true;
    bool ended = false;
};

namespace
{

const char *const STATE_KEY = "tarn";
const size_t FIRST_ROWS = 2048;

Code code_of(ExceptionType type, const string &text)
{
    switch (type) {
    case ExceptionType::PARSER:
    case ExceptionType::SYNTAX:
        return E_SYNTAX;
    case ExceptionType::CATALOG:
        return StringUtil::StartsWith(text, "there is no table") ? E_NOT_FOUND : E_INVALID;
    case ExceptionType::CONVERSION:
    case ExceptionType::MISMATCH_TYPE:
    case ExceptionType::INVALID_TYPE:
    case ExceptionType::DECIMAL:
    case ExceptionType::OUT_OF_RANGE:
    case ExceptionType::DIVIDE_BY_ZERO:
        return E_TYPE;
    case ExceptionType::INTERRUPT:
        return E_CANCELLED;
    case ExceptionType::OUT_OF_MEMORY:
    case ExceptionType::OBJECT_SIZE:
        return E_LIMIT;
    case ExceptionType::IO:
        return E_IO;
    case ExceptionType::NOT_IMPLEMENTED:
    case ExceptionType::MISSING_EXTENSION:
    case ExceptionType::AUTOLOAD:
        return E_UNSUPPORTED;
    case ExceptionType::PERMISSION:
    case ExceptionType::HTTP:
        return E_FORBIDDEN;
    case ExceptionType::TRANSACTION:
        return E_CONFLICT;
    case ExceptionType::FATAL:
    case ExceptionType::INTERNAL:
    case ExceptionType::NULL_POINTER:
        return E_INTERNAL;
    default:
        return E_INVALID;
    }
}

/* Without "LINE 1: ..." with its caret, and stack traces, which the engine adds to some. */
string plain_text(const string &raw)
{
    auto cut = MinValue(raw.find("\n\nLINE "), raw.find("\n\nStack Trace"));
    string text = raw.substr(0, cut);
    StringUtil::Trim(text);
    return text;
}

Code query_failed(BorderQuery *query, const ErrorData &error, Err *err)
{
    Code code = error_to_err(error, query->request.get(), err);
    if (error.Type() == ExceptionType::FATAL || error.Type() == ExceptionType::INTERNAL)
        query->conn->border->broken = true;
    return code;
}

void need_select(const SQLStatement &statement)
{
    if (statement.type != StatementType::SELECT_STATEMENT)
        throw PermissionException("the engine runs SELECT only, this is %s",
                                  StatementTypeToString(statement.type));
}

/* Invariant 3, and names of what will be bound. */
void check_statement(SQLStatement &statement, Request &request)
{
    if (statement.type == StatementType::EXPLAIN_STATEMENT) {
        auto &inner = *statement.Cast<ExplainStatement>().stmt;
        need_select(inner);
        names_check(request, *inner.Cast<SelectStatement>().node);
        return;
    }
    if (statement.type == StatementType::COPY_STATEMENT && request.request.sink) {
        auto &info = *statement.Cast<CopyStatement>().info;
        if (info.is_from || !info.select_statement)
            throw PermissionException("COPY is for writing a SELECT");
        names_check(request, *info.select_statement);
        return;
    }
    need_select(statement);
    names_check(request, *statement.Cast<SelectStatement>().node);
}

Value value_of(const BorderParam &param)
{
    switch (param.kind) {
    case BORDER_PARAM_NULL:
        return Value();
    case BORDER_PARAM_BOOL:
        return Value::BOOLEAN(param.boolean);
    case BORDER_PARAM_I64:
        return Value::BIGINT(param.i64);
    case BORDER_PARAM_F64:
        return Value::DOUBLE(param.f64);
    case BORDER_PARAM_TEXT:
        if (!str_is_utf8(param.text))
            throw InvalidInputException("a text parameter is not UTF-8");
        return Value(text_of(param.text));
    case BORDER_PARAM_BLOB:
        return Value::BLOB_RAW(text_of(param.text));
    case BORDER_PARAM_TIMESTAMP:
        return Value::TIMESTAMP(timestamp_t(param.i64));
    case BORDER_PARAM_DATE:
        return Value::DATE(date_t((int32_t)param.i64));
    }
    return Value();
}

case_insensitive_map_t<BoundParameterData> params_of(const BorderRequest &request)
{
    case_insensitive_map_t<BoundParameterData> params;
    size_t place = 0;
    for (size_t i = 0; i < request.param_count; i++) {
        auto &param = request.params[i];
        string name = param.name.len ? text_of(param.name) : std::to_string(++place);
        params.emplace(name, BoundParameterData(value_of(param)));
    }
    return params;
}

unique_ptr<SQLStatement> parse_one(ClientContext &context, const string &text)
{
    Parser parser(context.GetParserOptions());
    parser.ParseQuery(text);
    if (parser.statements.size() != 1)
        throw ParserException("one statement is wanted, these are %llu",
                              (idx_t)parser.statements.size());
    auto statement = std::move(parser.statements[0]);
    statement->query.clear(); /* else errors are drawn as text and lose their position */
    return statement;
}

/* LIMIT 0 in place of its own: threads of the engine begin with a query when it is planned. */
void keep_columns_only(QueryNode &node)
{
    auto none = make_uniq<LimitModifier>();
    none->limit = make_uniq<ConstantExpression>(Value::BIGINT(0));
    auto &modifiers = node.modifiers;
    modifiers.erase(std::remove_if(modifiers.begin(), modifiers.end(),
                                   [](const unique_ptr<ResultModifier> &m) {
                                       return m->type == ResultModifierType::LIMIT_MODIFIER ||
                                              m->type == ResultModifierType::LIMIT_PERCENT_MODIFIER;
                                   }),
                    modifiers.end());
    modifiers.push_back(std::move(none));
}

Code start(BorderQuery &query, Err *err)
{
    auto &context = *query.conn->connection->context;
    auto &request = query.request->request;
    check_size(text_of(request.text));
    auto statement = parse_one(context, text_of(request.text));
    check_statement(*statement, *query.request);
    if (request.columns_only && statement->type == StatementType::SELECT_STATEMENT)
        keep_columns_only(*statement->Cast<SelectStatement>().node);
    auto params = params_of(request);
    query.pending = context.PendingQuery(std::move(statement), params, QueryParameters(true));
    if (query.pending->HasError())
        return query_failed(&query, query.pending->GetErrorObject(), err);
    query.names = query.pending->names;
    query.types = query.pending->types;
    for (auto &type : query.types)
        query.type_names.push_back(type.ToString());
    return E_OK;
}

void set_options(DBConfig &config, const BorderOptions &options)
{
    config.SetOptionByName("autoinstall_known_extensions", Value::BOOLEAN(false));
    config.SetOptionByName("autoload_known_extensions", Value::BOOLEAN(false));
    config.SetOptionByName("threads", Value::BIGINT(options.threads ? options.threads : 1));
    uint64_t memory = options.memory_bytes ? options.memory_bytes : (uint64_t)1 << 30;
    config.SetOptionByName("memory_limit", Value(std::to_string(memory) + "B"));
    config.SetOptionByName("preserve_insertion_order", Value::BOOLEAN(!options.any_order));
    config.SetOptionByName("temp_directory", Value(options.temp_dir ? options.temp_dir : ""));
    if (options.temp_dir) {
        uint64_t bytes = options.temp_bytes ? options.temp_bytes : (uint64_t)8 << 30;
        config.SetOptionByName("max_temp_directory_size", Value(std::to_string(bytes) + "B"));
    }
    auto files =
        make_uniq<VirtualFileSystem>(spill_file_system(options.temp_dir ? options.temp_dir : ""));
    files->RegisterSubSystem(object_file_system(options.files));
    config.file_system = std::move(files);
    config.replacement_scans.clear();
    config.replacement_scans.emplace_back(names_replace);
}

/* What can be set only once the extensions are there; the last one shuts the door. */
const char *const AFTER_OPEN[] = {
    "SET GLOBAL TimeZone = 'UTC'",
    "SET GLOBAL Calendar = 'gregorian'",
    "SET allow_persistent_secrets = false",
    "SET allow_community_extensions = false",
    "SET parquet_metadata_cache = true",
#define CAP(statement) statement,
#include "sql/caps.def"
#undef CAP
    "SET allowed_directories = ['s3://']",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
};

void open_instance(Border &border)
{
    DBConfig config;
    set_options(config, border.options);
    border.db = make_uniq<DuckDB>(nullptr, &config);
    auto &instance = *border.db->instance;
    auto &scans = DBConfig::GetConfig(instance).replacement_scans;
    scans.clear(); /* the engine's own: files named as tables */
    scans.emplace_back(names_replace);
    ExtensionLoader loader(instance, "tarn");
    functions_register(loader, border.options);
    scan_register(loader);
    Connection connection(*border.db);
    for (auto text : AFTER_OPEN) {
        auto result = connection.Query(text);
        if (result->HasError())
            result->ThrowError(string(text) + ": ");
    }
}

/* About; nested values count as 32 bytes a row. */
size_t chunk_bytes(DataChunk &chunk)
{
    size_t bytes = 0;
    for (auto &column : chunk.data) {
        auto physical = column.GetType().InternalType();
        if (physical != PhysicalType::VARCHAR) {
            bytes += chunk.size() * (TypeIsConstantSize(physical) ? GetTypeIdSize(physical) : 32);
            continue;
        }
        UnifiedVectorFormat format;
        column.ToUnifiedFormat(chunk.size(), format);
        auto values = UnifiedVectorFormat::GetData<string_t>(format);
        for (idx_t i = 0; i < chunk.size(); i++) {
            auto at = format.sel->get_index(i);
            bytes += 4 + (format.validity.RowIsValid(at) ? values[at].GetSize() : 0);
        }
    }
    return bytes;
}

Code fetch_chunk(BorderQuery &query, unique_ptr<DataChunk> &chunk, Err *err)
{
    if (query.held) {
        chunk = std::move(query.held);
        return E_OK;
    }
    do {
        chunk = query.result->FetchRaw();
        if (query.result->HasError())
            return query_failed(&query, query.result->GetErrorObject(), err);
    } while (chunk && chunk->size() == 0 && query.result->type == QueryResultType::STREAM_RESULT &&
             query.result->Cast<StreamQueryResult>().IsOpen());
    if (chunk && chunk->size() == 0)
        chunk.reset();
    return E_OK;
}

Code fetch(BorderQuery &query, size_t rows_max, size_t bytes_max, ::ArrowArray *ret_array,
           size_t *ret_bytes, Err *err)
{
    *ret_bytes = 0;
    ret_array->release = nullptr;
    if (query.ended)
        return E_OK;
    auto &context = *query.conn->connection->context;
    auto properties = context.GetClientProperties();
    unique_ptr<ArrowAppender> appender;
    size_t rows = 0, bytes = 0;
    if (query.first)
        rows_max = MinValue(rows_max, FIRST_ROWS);
    while (rows < rows_max && bytes < bytes_max) {
        unique_ptr<DataChunk> chunk;
        TRY(fetch_chunk(query, chunk, err));
        if (!chunk) {
            query.ended = true;
            break;
        }
        if (rows && rows + chunk->size() > rows_max) {
            query.held = std::move(chunk);
            break;
        }
        if (!appender)
            appender = make_uniq<ArrowAppender>(
                query.types, query.first ? FIRST_ROWS : MinValue<size_t>(rows_max, 8192),
                properties, ArrowTypeExtensionData::GetExtensionTypes(context, query.types));
        bytes += chunk_bytes(*chunk);
        appender->Append(*chunk, 0, chunk->size(), chunk->size());
        rows += chunk->size();
    }
    query.first = false;
    if (appender)
        *ret_array = appender->Finalize();
    *ret_bytes = bytes;
    return E_OK;
}

} /* namespace */

/* ---- shared by the files of the border ---- */

const BorderBinding *Request::find(const string &schema, const string &name) const
{
    for (size_t i = 0; i < request.binding_count; i++) {
        const BorderBinding *b = &request.bindings[i];
        if (str_ieq(b->schema, str_of_string(schema)) && str_ieq(b->name, str_of_string(name)))
            return b;
    }
    return nullptr;
}

shared_ptr<Request> tarn::request_of(ClientContext &context)
{
    return context.registered_state->Get<Request>(STATE_KEY);
}

void tarn::request_set(ClientContext &context, shared_ptr<Request> request)
{
    context.registered_state->Remove(STATE_KEY);
    if (request)
        context.registered_state->Insert(STATE_KEY, std::move(request));
}

void tarn::throw_err(Request *request, const Err &err)
{
    if (request) {
        lock_guard<std::mutex> held(request->lock);
        if (!request->failed) {
            request->failed = true;
            request->failure = err;
        }
    }
    throw IOException("%s", string(err.text));
}

Code tarn::error_to_err(const ErrorData &error, Request *request, Err *err)
{
    auto extra = error.ExtraInfo();
    int64_t position = -1;
    auto found = extra.find("position");
    if (found != extra.end())
        position = std::strtoll(found->second.c_str(), nullptr, 10);
    if (request) {
        lock_guard<std::mutex> held(request->lock);
        if (request->failed && error.RawMessage().find(request->failure.text) != string::npos) {
            if (err)
                *err = request->failure;
            if (request->failure.position < 0 && position >= 0)
                return err_at(err, request->failure.code, position);
            return request->failure.code;
        }
    }
    string text = plain_text(error.RawMessage());
    Code code = err_set(err, code_of(error.Type(), text), "%s", text.c_str());
    return position >= 0 ? err_at(err, code, position) : code;
}

Code tarn::exception_to_err(Request *request, Err *err)
{
    try {
        throw;
    } catch (const std::bad_alloc &) {
        return err_set(err, E_LIMIT, "there is not enough memory for this");
    } catch (const std::exception &e) {
        return error_to_err(ErrorData(e), request, err);
    } catch (...) {
        return err_set(err, E_INTERNAL, "the engine threw something unknown");
    }
}

void tarn::check_size(const string &text)
{
    size_t sets = 0, conjunctions = 0;
    for (auto &token : Parser::Tokenize(text)) {
        if (token.type != SimplifiedTokenType::SIMPLIFIED_TOKEN_KEYWORD)
            continue;
        auto is = [&](const char *word) {
            return StringUtil::CIEquals(text.substr(token.start, strlen(word)), word);
        };
        sets += is("UNION") || is("EXCEPT") || is("INTERSECT");
        conjunctions += is("AND") || is("OR");
    }
    if (sets > BORDER_SET_OPERATIONS_MAX)
        throw OutOfMemoryException("the text has more than %d set operations",
                                   (int)BORDER_SET_OPERATIONS_MAX);
    if (conjunctions > BORDER_CONJUNCTIONS_MAX)
        throw OutOfMemoryException("the text has more than %d AND and OR",
                                   (int)BORDER_CONJUNCTIONS_MAX);
}

/* ---- border.h ---- */

extern "C" {

#define EXPORTED __attribute__((visibility("default")))

EXPORTED Code border_open(const BorderOptions *options, Border **ret_border, Err *err)
{
    try {
        auto border = make_uniq<Border>();
        border->options = *options;
        open_instance(*border);
        *ret_border = border.release();
        return E_OK;
    } catch (...) {
        return exception_to_err(nullptr, err);
    }
}

EXPORTED void border_close(Border **border)
{
    try {
        delete *border;
    } catch (...) {
    }
    *border = nullptr;
}

EXPORTED Code border_connect(Border *border, BorderConn **ret_conn, Err *err)
{
    try {
        auto conn = make_uniq<BorderConn>();
        conn->border = border;
        conn->connection = make_uniq<Connection>(*border->db);
        *ret_conn = conn.release();
        return E_OK;
    } catch (...) {
        return exception_to_err(nullptr, err);
    }
}

EXPORTED void border_disconnect(BorderConn **conn)
{
    try {
        delete *conn;
    } catch (...) {
    }
    *conn = nullptr;
}

EXPORTED const char *border_version(void)
{
    return DuckDB::LibraryVersion();
}

EXPORTED void border_trim(void)
{
    try {
        Allocator::FlushAll();
    } catch (...) {
    }
}

EXPORTED bool border_is_broken(const Border *border)
{
    return border->broken;
}

EXPORTED Code border_query_start(BorderConn *conn, const BorderRequest *request,
                                 BorderQuery **ret_query, Err *err)
{
    if (request->text.len > BORDER_TEXT_MAX)
        return err_set(err, E_LIMIT, "the text has %zu bytes, more than %d", request->text.len,
                       BORDER_TEXT_MAX);
    if (request->param_count > BORDER_PARAMS_MAX || request->binding_count > BORDER_BINDINGS_MAX)
        return err_set(err, E_LIMIT, "too many parameters or names");
    auto query = new BorderQuery();
    query->conn = conn;
    Code code;
    try {
        query->request = make_shared_ptr<Request>();
        query->request->request = *request;
        query->request->interrupted = &conn->interrupted;
        __atomic_store_n(&conn->interrupted, false, __ATOMIC_RELEASE);
        request_set(*conn->connection->context, query->request);
        code = start(*query, err);
    } catch (...) {
        code = exception_to_err(query->request.get(), err);
    }
    if (code != E_OK)
        border_query_free(&query);
    else
        *ret_query = query;
    return code;
}

EXPORTED Code border_query_step(BorderQuery *query, BorderStep *ret_step, Err *err)
{
    try {
        if (query->result) {
            *ret_step = BORDER_READY;
            return E_OK;
        }
        auto state = query->pending->ExecuteTask();
        if (state == PendingExecutionResult::EXECUTION_ERROR)
            return query_failed(query, query->pending->GetErrorObject(), err);
        if (!PendingQueryResult::IsResultReady(state)) {
            *ret_step =
                state == PendingExecutionResult::RESULT_NOT_READY ? BORDER_MORE : BORDER_WAIT;
            return E_OK;
        }
        query->result = query->pending->Execute();
        if (query->result->HasError())
            return query_failed(query, query->result->GetErrorObject(), err);
        *ret_step = BORDER_READY;
        return E_OK;
    } catch (...) {
        return exception_to_err(query->request.get(), err);
    }
}

EXPORTED size_t border_query_columns(const BorderQuery *query)
{
    return query->names.size();
}

EXPORTED Str border_query_column_name(const BorderQuery *query, size_t column)
{
    return str_of_string(query->names[column]);
}

EXPORTED Str border_query_column_type(const BorderQuery *query, size_t column)
{
    return str_of_string(query->type_names[column]);
}

EXPORTED Code border_query_schema(BorderQuery *query, ::ArrowSchema *ret_schema, Err *err)
{
    try {
        auto properties = query->conn->connection->context->GetClientProperties();
        ArrowConverter::ToArrowSchema(ret_schema, query->types, query->names, properties);
        return E_OK;
    } catch (...) {
        return exception_to_err(query->request.get(), err);
    }
}

EXPORTED Code border_query_fetch(BorderQuery *query, size_t rows_max, size_t bytes_max,
                                 ::ArrowArray *ret_array, size_t *ret_bytes, Err *err)
{
    try {
        return fetch(*query, rows_max, bytes_max, ret_array, ret_bytes, err);
    } catch (...) {
        return exception_to_err(query->request.get(), err);
    }
}

EXPORTED void border_query_free(BorderQuery **query_place)
{
    BorderQuery *query = *query_place;
    *query_place = nullptr;
    if (!query)
        return;
    try {
        if (!query
                 ->ended) /* tasks on other threads would go on, and the next lines wait for them */
            query->conn->interrupt(true);
        query->held.reset();
        query->result.reset();
        query->pending.reset();
        /* ends the transaction and the tasks of a query that was not read to its end */
        query->conn->connection->context->CancelTransaction();
        query->conn->interrupt(false);
    } catch (...) {
    }
    try {
        request_set(*query->conn->connection->context, nullptr);
        delete query;
    } catch (...) {
    }
}

EXPORTED size_t border_query_tuples(BorderQuery *query, size_t *ret_parts)
{
    *ret_parts = query->request->tuples.parts;
    return query->request->tuples.items.size();
}

EXPORTED Str border_query_tuple_part(BorderQuery *query, size_t tuple, size_t part)
{
    auto &item = query->request->tuples.items[tuple][part];
    return item.first ? Str{ item.second.data() ? item.second.data() : "", item.second.size() }
                      : Str{ nullptr, 0 };
}

EXPORTED void border_interrupt(BorderConn *conn)
{
    conn->interrupt(true);
}

EXPORTED Code border_serialize(BorderConn *conn, Str text, Arena *arena, Str *ret_json, Err *err)
{
    if (text.len > BORDER_TEXT_MAX)
        return err_set(err, E_LIMIT, "the text has %zu bytes, more than %d", text.len,
                       BORDER_TEXT_MAX);
    try {
        check_size(text_of(text));
        Parser parser(conn->connection->context->GetParserOptions());
        parser.ParseQuery(text_of(text));
        for (auto &statement : parser.statements)
            if (statement->type != StatementType::SELECT_STATEMENT)
                return err_set(err, E_UNSUPPORTED, "%s is no SELECT",
                               StatementTypeToString(statement->type).c_str());
        vector<Value> params{ Value(text_of(text)) };
        auto statement = conn->connection->Prepare("SELECT json_serialize_sql($1::VARCHAR)");
        auto result = statement->Execute(params, false);
        if (result->HasError())
            return error_to_err(result->GetErrorObject(), nullptr, err);
        auto chunk = result->Fetch();
        string json = chunk && chunk->size() ? chunk->GetValue(0, 0).ToString() : string();
        *ret_json = str_copy(arena, str_of_string(json));
        return E_OK;
    } catch (...) {
        return exception_to_err(nullptr, err);
    }
}

} /* extern "C" */
