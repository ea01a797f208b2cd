/* border_priv.h: what the C++ files of the border share: the request, errors both ways, text.
 * Owner:   the Request hangs in its client context from border_query_start to border_query_free.
 * Threads: a Request: any, under its lock; the rest holds no state.
 * Errors:  throw_err carries an Err of a callback through the engine; it becomes the query's error.
 * Limits:  those of border.h.
 * Units:   positions in bytes. */
#pragma once

#include "duckdb.hpp"
#include "duckdb/main/client_context_state.hpp"

#include <deque>

#define _Noreturn [[noreturn]]
extern "C" {
#include "sql/border.h"
}

namespace duckdb
{
class ExtensionLoader;
class SelectStatement;
} /* namespace duckdb */

namespace tarn
{

inline std::string text_of(Str s)
{
    return s.len ? std::string(s.ptr, s.len) : std::string();
}

inline Str str_of_string(const std::string &s)
{
    return Str{ s.data(), s.size() };
}

/* The tuples that tarn_ordinal met, numbered from 0. */
struct Tuples {
    std::mutex lock;
    size_t parts = 0;
    std::unordered_map<std::string, int32_t> ordinals;
    std::deque<std::vector<std::pair<bool, std::string>>> items; /* present?, text */
};

struct Request : duckdb::ClientContextState {
    BorderRequest request{};
    std::mutex lock;
    bool failed = false;
    Err failure; /* the first one of a callback */
    size_t replacements = 0;
    const bool *interrupted = nullptr; /* of the connection */
    Tuples tuples;

    const BorderBinding *find(const std::string &schema, const std::string &name) const;
};

duckdb::shared_ptr<Request> request_of(duckdb::ClientContext &context);
void request_set(duckdb::ClientContext &context,
                 duckdb::shared_ptr<Request> request); /* null: none */
[[noreturn]] void throw_err(Request *request, const Err &err);

/* The engine's error as one of ours; the kept failure of `request` when the error came from it. */
Code error_to_err(const duckdb::ErrorData &error, Request *request, Err *err);
/* Of the exception that is being caught. */
Code exception_to_err(Request *request, Err *err);

/* Throws when the text would keep the planner, which cannot be interrupted, for minutes. */
void check_size(const std::string &text);

/* border_files.cc */
duckdb::unique_ptr<duckdb::FileSystem> object_file_system(const BorderFiles &files);
duckdb::unique_ptr<duckdb::FileSystem> spill_file_system(const std::string &folder);

/* border_names.cc: every table of `node` is bound or refused; the scan that answers for the bound.
 */
void names_check(Request &request, duckdb::QueryNode &node);
duckdb::unique_ptr<duckdb::TableRef>
names_replace(duckdb::ClientContext &context, duckdb::ReplacementScanInput &input,
              duckdb::optional_ptr<duckdb::ReplacementScanData>);

/* border_scan.cc: tarn_parquet. */
void scan_register(duckdb::ExtensionLoader &loader);

/* border_functions.cc: tarn_source, tarn_hash, tarn_ordinal. */
void functions_register(duckdb::ExtensionLoader &loader, const BorderOptions &options);

} /* namespace tarn */
