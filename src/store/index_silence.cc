/* index_silence.cc: RocksDB without a diary of its own. On a full disk the writer of its file LOG ends the process:
 * after a line that could not be written the next one is an assertion (7.8, as Debian builds it), at its start,
 * while it runs and at its end. C callers cannot make a logger: this is the one place with its C++ interface. */
#include "store/index_silence.h"

#include <memory>
#include <rocksdb/env.h>

/* What c.h only declares: rocksdb_options_set_info_log takes `rep` out of it. */
struct rocksdb_logger_t {
    std::shared_ptr<rocksdb::Logger> rep;
};

namespace
{

class Silence final : public rocksdb::Logger
{
  public:
    void LogHeader(const char *, va_list) override
    {
    }
    void Logv(const char *, va_list) override
    {
    }
    void Logv(rocksdb::InfoLogLevel, const char *, va_list) override
    {
    }

  protected:
    rocksdb::Status CloseImpl() override
    {
        return rocksdb::Status::OK();
    }
};

} /* namespace */

void index_silence(rocksdb_options_t *options)
{
    rocksdb_logger_t none = { std::make_shared<Silence>() };
    rocksdb_options_set_info_log(options, &none);
}
