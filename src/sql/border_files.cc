/* 1. Local files open only below the spill folder.
 * 2. `s3://` opens for reading through BorderFiles, for writing through the request's sink, and
 * only inside a request; everything else is refused.
 * 3. A staged file is finished by Close and abandoned by a destructor that no Close went before. */
#include "sql/border_priv.h"

#include "duckdb/common/file_opener.hpp"
#include "duckdb/common/local_file_system.hpp"
#include "duckdb/common/multi_file/multi_file_list.hpp"

using namespace duckdb;
using namespace tarn;

namespace
{

struct ObjectHandle : FileHandle {
    ObjectHandle(FileSystem &fs, const string &path, FileOpenFlags flags,
                 shared_ptr<Request> request)
        : FileHandle(fs, path, flags), request(std::move(request))
    {
    }
    ~ObjectHandle() override
    {
        if (files && object)
            files->close(object);
        if (staged)
            request->request.sink->abandon(staged);
    }
    void Close() override
    {
        if (!staged)
            return;
        Err err;
        err_clear(&err);
        void *file = staged;
        staged = nullptr;
        if (request->request.sink->finish(file, &err) != E_OK)
            throw_err(request.get(), err);
    }
    shared_ptr<Request> request;
    const BorderFiles *files = nullptr;
    void *object = nullptr;
    void *staged = nullptr;
    BorderFileInfo info{};
    idx_t position = 0;
};

class ObjectFileSystem : public FileSystem
{
  public:
    explicit ObjectFileSystem(const BorderFiles &files) : files(files)
    {
    }
    unique_ptr<FileHandle> OpenFile(const string &path, FileOpenFlags flags,
                                    optional_ptr<FileOpener> opener) override
    {
        auto context = FileOpener::TryGetClientContext(opener);
        auto request = context ? request_of(*context) : nullptr;
        if (!request)
            throw PermissionException("%s is opened outside of a request", path);
        auto handle = make_uniq<ObjectHandle>(*this, path, flags, request);
        Err err;
        err_clear(&err);
        if (flags.OpenForWriting()) {
            auto sink = request->request.sink;
            if (!sink)
                throw PermissionException("nothing may be written here: %s", path);
            if (sink->create(sink->self, str_of_string(path), &handle->staged, &err) != E_OK)
                throw_err(request.get(), err);
            return std::move(handle);
        }
        handle->files = &files;
        if (files.open(files.self, str_of_string(path), &handle->object, &handle->info, &err) !=
            E_OK)
            throw_err(request.get(), err);
        return std::move(handle);
    }
    void Read(FileHandle &base, void *bytes, int64_t len, idx_t at) override
    {
        auto &handle = base.Cast<ObjectHandle>();
        size_t got = 0;
        Err err;
        err_clear(&err);
        if (files.pread(handle.object, bytes, (size_t)len, at, &got, &err) != E_OK)
            throw_err(handle.request.get(), err);
        if (got != (size_t)len)
            throw IOException("%s ends before byte %llu", handle.path, at + (idx_t)len);
    }
    int64_t Read(FileHandle &base, void *bytes, int64_t len) override
    {
        auto &handle = base.Cast<ObjectHandle>();
        int64_t left = (int64_t)handle.info.size_bytes - (int64_t)handle.position;
        len = MaxValue<int64_t>(0, MinValue<int64_t>(len, left));
        if (len > 0)
            Read(base, bytes, len, handle.position);
        handle.position += (idx_t)len;
        return len;
    }
    int64_t Write(FileHandle &base, void *bytes, int64_t len) override
    {
        auto &handle = base.Cast<ObjectHandle>();
        Err err;
        err_clear(&err);
        if (!handle.staged)
            throw IOException("%s is closed", handle.path);
        if (handle.request->request.sink->write(
                handle.staged, Str{ (const char *)bytes, (size_t)len }, &err) != E_OK)
            throw_err(handle.request.get(), err);
        handle.position += (idx_t)len;
        handle.info.size_bytes = handle.position;
        return len;
    }
    void Write(FileHandle &base, void *bytes, int64_t len, idx_t at) override
    {
        if (at != base.Cast<ObjectHandle>().position)
            throw NotImplementedException("%s is written in order", base.path);
        Write(base, bytes, len);
    }
    int64_t GetFileSize(FileHandle &base) override
    {
        return (int64_t)base.Cast<ObjectHandle>().info.size_bytes;
    }
    timestamp_t GetLastModifiedTime(FileHandle &base) override
    {
        return timestamp_t(base.Cast<ObjectHandle>().info.modified_us);
    }
    string GetVersionTag(FileHandle &base) override
    {
        return std::to_string(base.Cast<ObjectHandle>().info.version);
    }
    FileType GetFileType(FileHandle &) override
    {
        return FileType::FILE_TYPE_REGULAR;
    }
    bool FileExists(const string &, optional_ptr<FileOpener>) override
    {
        return false; /* asked by COPY of its target, which is always new */
    }
    bool DirectoryExists(const string &, optional_ptr<FileOpener>) override
    {
        return false;
    }
    void CreateDirectory(const string &, optional_ptr<FileOpener>) override
    {
        /* addresses have no folders; COPY with partitions makes some */
    }
    bool ListFilesExtended(const string &, const std::function<void(OpenFileInfo &)> &,
                           optional_ptr<FileOpener>) override
    {
        return false;
    }
    bool SupportsListFilesExtended() const override
    {
        return true;
    }
    bool IsPipe(const string &, optional_ptr<FileOpener>) override
    {
        return false;
    }
    void RemoveFile(const string &, optional_ptr<FileOpener>) override
    {
        /* COPY removes what it left behind after a failure; the sink abandons by itself */
    }
    bool TryRemoveFile(const string &, optional_ptr<FileOpener>) override
    {
        return false;
    }
    void FileSync(FileHandle &) override
    {
    }
    void Seek(FileHandle &base, idx_t position) override
    {
        base.Cast<ObjectHandle>().position = position;
    }
    idx_t SeekPosition(FileHandle &base) override
    {
        return base.Cast<ObjectHandle>().position;
    }
    bool CanSeek() override
    {
        return true;
    }
    bool OnDiskFile(FileHandle &) override
    {
        return false;
    }
    bool CanHandleFile(const string &path) override
    {
        return StringUtil::StartsWith(path, "s3://");
    }
    vector<OpenFileInfo> Glob(const string &path, FileOpener *) override
    {
        return { OpenFileInfo(path) }; /* a path is one object, whatever characters it has */
    }
    string GetName() const override
    {
        return "ObjectFileSystem";
    }

  private:
    BorderFiles files;
};

/* Invariant 1: the local file system cut down to the spill folder, and there to the engine itself:
 * a query's own opener, which carries its client context, is refused. */
class SpillFileSystem : public LocalFileSystem
{
  public:
    explicit SpillFileSystem(string folder) : folder(std::move(folder))
    {
    }
    unique_ptr<FileHandle> OpenFile(const string &path, FileOpenFlags flags,
                                    optional_ptr<FileOpener> opener) override
    {
        need(path, opener);
        return LocalFileSystem::OpenFile(path, flags, opener);
    }
    bool DirectoryExists(const string &path, optional_ptr<FileOpener> opener) override
    {
        return inside(path, opener) && LocalFileSystem::DirectoryExists(path, opener);
    }
    void CreateDirectory(const string &path, optional_ptr<FileOpener> opener) override
    {
        need(path, opener);
        LocalFileSystem::CreateDirectory(path, opener);
    }
    void RemoveDirectory(const string &path, optional_ptr<FileOpener> opener) override
    {
        need(path, opener);
        LocalFileSystem::RemoveDirectory(path, opener);
    }
    void MoveFile(const string &from, const string &to, optional_ptr<FileOpener> opener) override
    {
        need(from, opener);
        need(to, opener);
        LocalFileSystem::MoveFile(from, to, opener);
    }
    bool FileExists(const string &path, optional_ptr<FileOpener> opener) override
    {
        return inside(path, opener) && LocalFileSystem::FileExists(path, opener);
    }
    bool IsPipe(const string &path, optional_ptr<FileOpener> opener) override
    {
        return inside(path, opener) && LocalFileSystem::IsPipe(path, opener);
    }
    void RemoveFile(const string &path, optional_ptr<FileOpener> opener) override
    {
        need(path, opener);
        LocalFileSystem::RemoveFile(path, opener);
    }
    bool ListFilesExtended(const string &path, const std::function<void(OpenFileInfo &)> &callback,
                           optional_ptr<FileOpener> opener) override
    {
        return inside(path, opener) && LocalFileSystem::ListFilesExtended(path, callback, opener);
    }
    unique_ptr<MultiFileList> GlobFilesExtended(const string &path, const FileGlobInput &input,
                                                optional_ptr<FileOpener> opener) override
    {
        need(path, opener);
        return LocalFileSystem::GlobFilesExtended(path, input, opener);
    }

  private:
    bool inside(const string &path, optional_ptr<FileOpener> opener) const
    {
        return !FileOpener::TryGetClientContext(opener) && !folder.empty() &&
               path.find("..") == string::npos &&
               (path == folder || StringUtil::StartsWith(path, folder + "/"));
    }
    void need(const string &path, optional_ptr<FileOpener> opener) const
    {
        if (!inside(path, opener))
            throw PermissionException("no local file can be opened: %s", path);
    }
    string folder;
};

} /* namespace */

unique_ptr<FileSystem> tarn::object_file_system(const BorderFiles &files)
{
    return make_uniq<ObjectFileSystem>(files);
}

unique_ptr<FileSystem> tarn::spill_file_system(const string &folder)
{
    return make_uniq<SpillFileSystem>(folder);
}
