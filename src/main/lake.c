/* The rooms in the order in which they open. Invariants:
 * 1. DIR/LOCK is held before anything else is touched and until everything is closed.
 * 2. DIR/FORMAT is written once, when the directory is empty; a newer one is refused.
 * 3. The bucket names are fixed at the first start (settings of the metadata). */
#include "main/lake.h"

#include "api/system_tables.h"
#include "flow/flow.h"
#include "format/json.h"
#include "base/log.h"
#include "govern/access.h"
#include "govern/govern.h"
#include "meta/meta.h"
#include "os/worker.h"
#include "source/landing.h"
#include "source/source.h"
#include "sql/raw.h"
#include "sql/sql.h"
#include "store/store_keep.h"
#include "table/catalog.h"

#include <stdlib.h>
#include <unistd.h>

enum { FORMAT_FILE_MAX = 4096, ADMIN_FILE_MAX = 64 << 10, LOCK_TEXT_MAX = 32 };

Code lake_workers_start(Err *err)
{
    raw_register();
    return worker_start(1, err);
}

static const char *path_in(Lake *lake, const char *name)
{
    return str_copy_z(&lake->arena, str_format(&lake->arena, "%s/%s", lake->dir, name));
}

Code lake_unwritable(Code code, Err *err)
{
    if (code == E_OK || code == E_NO_SPACE || (err && err->hint[0]))
        return code;
    return err_hint(err, code, "it takes a directory that this user can write, on a file system mounted for writing");
}

Code lake_dirs_make(const char *path, Err *err)
{
    char part[OS_PATH_MAX];
    Str whole = str_z(path);
    if (whole.len == 0 || whole.len >= sizeof part)
        return err_set(err, E_INVALID, "the data directory's path has 1 to %d bytes", OS_PATH_MAX - 1);
    for (size_t i = 1; i <= whole.len; i++) {
        if (i < whole.len && whole.ptr[i] != '/')
            continue;
        Str front = str_sub(whole, 0, i);
        for (size_t k = 0; k < front.len; k++)
            part[k] = front.ptr[k];
        part[front.len] = '\0';
        OsStat stat;
        if (os_stat(os_real(), part, &stat, NULL) == E_OK && stat.is_dir)
            continue;
        TRY(lake_unwritable(os_dir_make(os_real(), part, err), err));
    }
    return E_OK;
}

static Code format_check(Lake *lake, Err *err)
{
    Buf text AUTO(buf_done);
    buf_init(&text, FORMAT_FILE_MAX);
    const char *path = path_in(lake, "FORMAT");
    Code code = os_read_whole(os_real(), path, &text, err);
    if (code == E_NOT_FOUND)
        return os_write_whole(os_real(), path,
                              str_format(&lake->arena, "tarn data directory, layout %d\n", LAKE_FORMAT), err);
    TRY(code);
    Str line = str_trim(buf_str(&text));
    int64_t layout;
    if (str_eq(line, STR(LAKE_UNFINISHED))) {
        code = err_set(err, E_PRECONDITION, "the restore of %s was not finished: it is no whole lake", lake->dir);
        return err_hint(err, code, "remove the directory and run `tarn backup restore` again");
    }
    ptrdiff_t space = str_rfind_char(line, ' ');
    if (space < 0 || !str_i64(str_from(line, (size_t)space + 1), &layout))
        return err_place(err, err_set(err, E_CORRUPT, "this is no data directory of tarn"), "%s", path);
    if (layout > LAKE_FORMAT) {
        code = err_set(err, E_UNSUPPORTED, "the data directory has layout %lld, this tarn knows %d",
                       (long long)layout, LAKE_FORMAT);
        return err_hint(err, code, "a newer tarn has written it: use that one");
    }
    return E_OK;
}

/* The process that holds the lock, as it wrote it down; 0: it did not yet. */
static int64_t lock_holder(Lake *lake)
{
    char bytes[LOCK_TEXT_MAX];
    size_t len = 0;
    int64_t pid = 0;
    if (os_file_pread(lake->lock, bytes, sizeof bytes, 0, &len, NULL) != E_OK)
        return 0;
    return str_i64(str_trim(str_of(bytes, len)), &pid) ? pid : 0;
}

static Code lock_take(Lake *lake, Err *err)
{
    Code code = os_file_open(os_real(), path_in(lake, "LOCK"), OS_READ | OS_WRITE | OS_CREATE, &lake->lock, err);
    TRY(lake_unwritable(code, err));
    code = os_file_lock(lake->lock, err);
    if (code == E_UNAVAILABLE) {
        int64_t pid = lock_holder(lake);
        if (pid > 0)
            err_set(err, code, "the data directory %s is open in process %lld", lake->dir, (long long)pid);
        else
            err_set(err, code, "the data directory %s is open in another tarn", lake->dir);
        return err_hint(err, code, "talk to that server (its address is in %s/admin.json) or stop it", lake->dir);
    }
    TRY(code);
    TRY(os_file_truncate(lake->lock, 0, err));
    return os_file_pwrite(lake->lock, str_format(&lake->arena, "%d\n", (int)getpid()), 0, err);
}

/* Removes what an earlier process spilled: DIR/tmp is ours alone. */
static Code tmp_empty(Lake *lake, Err *err)
{
    const char *dir = path_in(lake, "tmp");
    TRY(os_dir_make(os_real(), dir, err));
    OsDirEntry *entries;
    size_t count;
    TRY(os_dir_list(os_real(), dir, &lake->arena, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        if (!entries[i].is_dir)
            TRY(os_unlink(os_real(), path_in(lake, str_copy_z(&lake->arena,
                str_format(&lake->arena, "tmp/" STR_FMT, STR_ARG(entries[i].name)))), err));
    return E_OK;
}

/* The prefix of the first start stays; another one afterwards is refused. */
static Code buckets_name(const Conf *conf, Lake *lake, Err *err)
{
    Str wanted = conf_text(conf, "init.bucket_prefix");
    AUTO(meta_read_end) MetaRead *read = NULL;
    MetaSetting setting = { 0 };
    TRY(meta_read_begin(lake->api.meta, &read, err));
    Code code = meta_get_setting(read, STR("lake.bucket_prefix"), &lake->arena, &setting, err);
    meta_read_end(&read);
    if (code == E_NOT_FOUND) {
        MetaTxn txn;
        meta_txn_init(&txn, &lake->arena);
        meta_put_setting(&txn, STR("lake.bucket_prefix"), str_format(&lake->arena, "=" STR_FMT, STR_ARG(wanted)));
        TRY(meta_commit(lake->api.meta, &txn, err));
        setting.value = str_format(&lake->arena, "=" STR_FMT, STR_ARG(wanted));
    } else {
        TRY(code);
    }
    Str kept = str_from(setting.value, 1);
    if (wanted.len && !str_eq(wanted, kept))
        return err_set(err, E_PRECONDITION, "the bucket prefix was fixed as '" STR_FMT "' at the first start",
                       STR_ARG(kept));
    lake->bronze_bucket = str_format(&lake->arena, STR_FMT "bronze", STR_ARG(kept));
    lake->lake_bucket = str_format(&lake->arena, STR_FMT "lake", STR_ARG(kept));
    lake->api.lake_bucket = lake->lake_bucket;
    lake->api.bronze_bucket = lake->bronze_bucket;
    return E_OK;
}

static uint64_t machine_memory(void)
{
    Buf text AUTO(buf_done);
    buf_init(&text, 256);
    uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t group;
    OsFile *file = NULL;
    size_t len = 0;
    char bytes[64];
    if (os_file_open(os_real(), "/sys/fs/cgroup/memory.max", OS_READ, &file, NULL) != E_OK)
        return host;
    Code code = os_file_pread(file, bytes, sizeof bytes, 0, &len, NULL);
    os_file_close(&file);
    return code == E_OK && str_u64(str_trim(str_of(bytes, len)), &group) ? MIN(group, host) : host;
}

uint64_t lake_memory(const Conf *conf)
{
    uint64_t total = (uint64_t)conf_number(conf, "memory.total");
    return total ? total : machine_memory() / 10 * 6;
}

/* The one division of memory: half of the whole for the engines, an eighth for bodies that are
 * held, the rest for workers, index cache, SQLite and headroom. */
static uint64_t engine_memory(const Conf *conf)
{
    return MAX(lake_memory(conf) / 2, (uint64_t)64 << 20);
}

static Code meta_room(const Conf *conf, Lake *lake, Err *err)
{
    (void)conf;
    TRY(os_dir_make(os_real(), path_in(lake, "meta"), err));
    return meta_open(os_real(), &(MetaOptions){ .path = path_in(lake, "meta/tarn.db") }, &lake->api.meta, err);
}

static const char *const space_levels[] = { "store.space_alarm", "store.space_background", "store.space_full" };

Code lake_settings_check(const Conf *conf, Err *err)
{
    for (size_t i = 1; i < ARRAY_LEN(space_levels); i++) {
        int64_t low = conf_number(conf, space_levels[i - 1]), high = conf_number(conf, space_levels[i]);
        if (high < low)
            return err_hint(err, err_set(err, E_INVALID, "%s is %lld, below %s, which is %lld", space_levels[i],
                                         (long long)high, space_levels[i - 1], (long long)low),
                            "they go up: alarm, background, full");
    }
    return E_OK;
}

static Code store_room(const Conf *conf, Lake *lake, Err *err)
{
    if (getenv("TARN_TEST_MODE") && !store_crash_arm(str_z(getenv("TARN_CRASH_AT"))))
        return err_set(err, E_INVALID, "TARN_CRASH_AT names no place of src/store/crash_points.def");
    int64_t trash_ms = conf_number(conf, "store.trash");
    StoreOptions store = { .dir = path_in(lake, "store"), .trash_seconds = trash_ms ? MAX(trash_ms / 1000, 1) : -1,
                           .reserve_bytes = (uint64_t)conf_number(conf, "store.reserve"),
                           .feed_journal_bytes = (uint64_t)conf_number(conf, "store.feed_journal") };
    TRY(lake_settings_check(conf, err));
    for (size_t i = 0; i < ARRAY_LEN(space_levels); i++)
        store.space_percent[i] = (unsigned)conf_number(conf, space_levels[i]);
    TRY(store_open(os_real(), &store, &lake->api.store, err));
    StoreRemade remade;
    store_index_remade(lake->api.store, &remade);
    if (remade.remade)
        log_line(LOG_WARN, "event=index_remade took_ms=%lld reason=\"%s\"", (long long)(remade.took_us / 1000),
                 remade.reason);
    return E_OK;
}

static Code bottom_open(const Conf *conf, Lake *lake, Err *err)
{
    ApiLake *api = &lake->api;
    TRY(buckets_name(conf, lake, err));
    CatalogOptions catalog = { .os = os_real(), .store = api->store, .meta = api->meta,
                               .lake_bucket = lake->lake_bucket };
    TRY(catalog_open(&catalog, &api->catalog, err));
    TRY(govern_open(os_real(), api->meta, &api->govern, err));
    govern_clock_set(api->govern, lake->clock);
    return E_OK;
}

static Code top_open(const Conf *conf, Lake *lake, Err *err)
{
    ApiLake *api = &lake->api;
    SourceOptions source = { .os = os_real(), .store = api->store, .bronze_bucket = lake->bronze_bucket,
                             .lake_bucket = lake->lake_bucket };
    TRY(source_open(&source, &api->source, err));
    SqlOptions sql = {
        .os = os_real(), .catalog = api->catalog, .store = api->store, .lake_bucket = lake->lake_bucket,
        .threads = (unsigned)conf_number(conf, "sql.threads"),
        .slots = (unsigned)conf_number(conf, "sql.slots"),
        .memory_bytes = engine_memory(conf),
        .spill_bytes_max = (uint64_t)conf_number(conf, "sql.spill_max"),
        .temp_dir = path_in(lake, "tmp"),
        .timeout_ms = conf_number(conf, "sql.timeout"),
    };
    TRY(sql_open(&sql, &api->sql, err));
    LandingOptions landing = { .os = os_real(), .store = api->store, .meta = api->meta, .catalog = api->catalog,
                               .sql = api->sql, .source = api->source,
                               .interval_ms = conf_number(conf, "objects.interval") };
    TRY(landing_open(&landing, &api->landing, err));
    SystemTablesOptions system = { .catalog = api->catalog, .meta = api->meta, .store = api->store };
    TRY(system_tables_open(&system, api->sql, &api->system_tables, err));
    FlowOptions flow = { .os = os_real(), .sql = api->sql, .catalog = api->catalog, .store = api->store,
                         .meta = api->meta, .source = api->source,
                         .threads = (size_t)conf_number(conf, "flow.threads") };
    TRY(flow_open(&flow, &api->flow, err));
    return api_open(api, err);
}

/* A master key that is lost is never replaced by another one unasked: the access keys would be lost unseen. */
static Code master_need(const Conf *conf, Lake *lake, Err *err)
{
    OsStat stat;
    size_t keys, closed;
    const char *path = path_in(lake, "keys/master");
    TRY(govern_access_sealed(lake->api.govern, &keys, &closed, err));
    if (!keys || conf_bool(conf, "init.new_master_key") || os_stat(os_real(), path, &stat, NULL) == E_OK)
        return E_OK;
    Code code = err_set(err, E_PRECONDITION, "%s is missing, and %zu access keys are sealed with it", path, keys);
    return err_hint(err, code, "put it back from a backup, or name it in TARN_MASTER_KEY; if it is lost: `tarn init "
                    "--data %s --set init.new_master_key=true` makes another and revokes them", lake->dir);
}

static Code master_open(const Conf *conf, Lake *lake, Err *err)
{
    const char *text = getenv("TARN_MASTER_KEY");
    TRY(os_dir_make(os_real(), path_in(lake, "keys"), err));
    if (!text || !*text)
        TRY(master_need(conf, lake, err));
    TRY(govern_master_load(lake->api.govern, path_in(lake, "keys/master"), text ? str_z(text) : STR_NONE, err));
    if (!conf_bool(conf, "init.new_master_key"))
        return E_OK;
    return govern_access_drop_closed(lake->api.govern, STR("tarn"), err);
}

/* The access key of the last start, when it still signs; else a new one of the principal `admin`. */
static Code access_find(Lake *lake, Err *err)
{
    Buf text AUTO(buf_done);
    const Json *root;
    AccessGrant grant;
    MetaPrincipal principal;
    buf_init(&text, ADMIN_FILE_MAX);
    if (os_read_whole(os_real(), path_in(lake, "admin.json"), &text, NULL) == E_OK &&
        json_parse(&lake->arena, buf_str(&text), NULL, &root, NULL) == E_OK) {
        lake->access_key = str_copy(&lake->arena, json_str(json_get(root, "access_key")));
        lake->secret_key = str_copy(&lake->arena, json_str(json_get(root, "secret_key")));
        Code code = govern_access_find(lake->api.govern, lake->access_key, STR_NONE, &lake->arena, &grant, err);
        if (code == E_OK && str_eq(grant.secret, lake->secret_key))
            return E_OK;
        if (code == E_CORRUPT)
            return err_hint(err, code, "is %s/keys/master, or TARN_MASTER_KEY, the one of this directory?", lake->dir);
        if (code != E_UNAUTHENTICATED && code != E_OK)
            return code;
    }
    Code code = govern_principal_create(lake->api.govern, STR("admin"), ROLE_ADMIN, STR("tarn"), &lake->arena,
                                        &principal, err);
    if (code != E_OK && code != E_EXISTS)
        return code;
    return govern_access_create(lake->api.govern, STR("admin"), 0, STR("tarn"), &lake->arena, &lake->access_key,
                                &lake->secret_key, err);
}

/* The token of the last start, when it still opens; else a new key. */
static Code token_find(Lake *lake, Err *err)
{
    Buf text AUTO(buf_done);
    buf_init(&text, ADMIN_FILE_MAX);
    const Json *root;
    Principal principal;
    if (os_read_whole(os_real(), path_in(lake, "admin.json"), &text, NULL) == E_OK &&
        json_parse(&lake->arena, buf_str(&text), NULL, &root, NULL) == E_OK) {
        lake->token = str_copy(&lake->arena, json_str(json_get(root, "token")));
        Code code = govern_authenticate(lake->api.govern, lake->token, &lake->arena, &principal, err);
        if (code == E_OK && principal.role == ROLE_ADMIN)
            return E_OK;
        if (code != E_UNAUTHENTICATED && code != E_OK)
            return code;
    }
    Str id;
    Str name = str_format(&lake->arena, "admin-" STR_FMT,
                          STR_ARG(str_sub(uuid_format(&lake->arena, os_uuid(os_real())), 24, 12)));
    KeyCreate create = { .name = name, .role = ROLE_ADMIN, .principal = STR("tarn") };
    lake->first_start = true;
    return govern_key_create(lake->api.govern, &create, &lake->arena, &id, &lake->token, err);
}

/* A lake that is opened is changed, and files of a backup are shared with the backups before and behind it. */
static Code backup_refuse(Lake *lake, Err *err)
{
    OsStat stat;
    if (os_stat(os_real(), path_in(lake, "../backup.json"), &stat, NULL) != E_OK)
        return E_OK;
    Code code = err_set(err, E_PRECONDITION, "%s is part of a backup: opened here it would be none any more",
                        lake->dir);
    return err_hint(err, code, "`tarn backup restore` copies it to a directory of its own");
}

static Code start(const Conf *conf, Lake *lake, Err *err)
{
    *lake = (Lake){ .api = { .os = os_real(), .version = STR(TARN_VERSION) } };
    lake->dir = str_copy_z(&lake->arena, conf_text(conf, "data.dir"));
    lake->api.data_dir = lake->dir;
    TRY(backup_refuse(lake, err));
    TRY(lake_dirs_make(lake->dir, err));
    return lock_take(lake, err);
}

static void clock_open(Lake *lake)
{
    Err err;
    lake->clock = clock_new(os_real(), path_in(lake, "clock"));
    Code code = clock_load(lake->clock, &err);
    if (code != E_OK && code != E_NOT_FOUND)
        log_line(LOG_WARN, "event=clock state=lost begins=\"at the machine's clock\" error=\"%s\"", err.text);
    else if (code == E_NOT_FOUND)
        log_line(LOG_INFO, "event=clock state=new begins=\"at the machine's clock\"");
}

/* A floor that cannot be written is an older one: no reason to stand still. */
static void clock_write(Lake *lake)
{
    Err err;
    if (clock_save(lake->clock, &err) != E_OK)
        log_line(LOG_WARN, "event=clock state=not_kept error=\"%s\"", err.text);
}

static Code layout(const Conf *conf, Lake *lake, Err *err)
{
    (void)conf;
    TRY(format_check(lake, err));
    clock_open(lake);
    return tmp_empty(lake, err);
}

static Code rooms(const Conf *conf, Lake *lake, Err *err)
{
    TRY(bottom_open(conf, lake, err));
    return top_open(conf, lake, err);
}

/* `*ret_again`: a room has found that the store's index is damaged, so that the next try has it made again. */
static Code look_once(const Conf *conf, Lake *ret_lake, const char **ret_stage, bool *ret_again, Err *err)
{
    static const struct {
        const char *name;
        Code (*open)(const Conf *conf, Lake *lake, Err *err);
    } stages[] = { { "lock", start }, { "layout", layout }, { "metadata", meta_room }, { "store", store_room },
                   { "rooms", rooms } };
    for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
        Code code = stages[i].open(conf, ret_lake, err);
        if (code == E_OK)
            continue;
        *ret_stage = stages[i].name;
        *ret_again = ret_lake->api.store && store_index_bad(ret_lake->api.store);
        lake_close(ret_lake);
        return code;
    }
    return E_OK;
}

Code lake_look(const Conf *conf, Lake *ret_lake, const char **ret_stage, Err *err)
{
    bool again = false;
    Code code = look_once(conf, ret_lake, ret_stage, &again, err);
    return code != E_OK && again ? look_once(conf, ret_lake, ret_stage, &again, err) : code;
}

Code lake_open(const Conf *conf, Lake *ret_lake, Err *err)
{
    const char *stage;
    TRY(lake_look(conf, ret_lake, &stage, err));
    Code code = master_open(conf, ret_lake, err);
    if (code == E_OK)
        code = token_find(ret_lake, err);
    if (code == E_OK)
        code = access_find(ret_lake, err);
    if (code != E_OK) {
        lake_close(ret_lake);
        return code;
    }
    ret_lake->keeps_clock = true;
    clock_write(ret_lake);
    return E_OK;
}

void lake_close(Lake *lake)
{
    ApiLake *api = &lake->api;
    if (api->state)
        api_close(api);
    flow_free(&api->flow);
    landing_free(&api->landing);
    sql_free(&api->sql);
    system_tables_free(&api->system_tables);
    source_free(&api->source);
    if (api->govern)
        IGNORE(govern_access_flush(api->govern, NULL)); /* when keys were used last: lost without harm */
    govern_free(&api->govern);
    if (lake->keeps_clock)
        clock_write(lake);
    clock_free(&lake->clock);
    catalog_free(&api->catalog);
    store_free(&api->store);
    meta_free(&api->meta);
    os_file_close(&lake->lock);
    arena_done(&lake->arena);
    *lake = (Lake){ 0 };
}
