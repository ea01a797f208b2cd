/* Invariants:
 * 1. Every fallible call begins with call_begin and ends with call_end, which puts it in the trace.
 * 2. After the crash nothing changes until os_sim_reboot.
 * 3. Nothing here looks at the real machine: the same calls and seed give the same trace. */
#include "os/os_sim.h"

#include "os/os_sim_disk_priv.h"

#include <stdlib.h>
#include <string.h>

#define SIM_FILE_BYTES_MAX ((uint64_t)1 << 31)
#define SIM_START_US 1767225600000000 /* 2026-01-01 */
#define SIM_REBOOT_US 5000000

struct OsSim {
    Os os;
    uint64_t seed;
    uint64_t random_state;
    uint64_t calls;
    uint64_t trace;
    uint64_t crash_at;
    uint64_t fail_at;
    uint64_t fail_count;
    Code fail_code;
    uint64_t capacity_bytes;
    uint64_t boots; /* files of an earlier one are closed */
    bool dying;     /* this call is the last */
    bool crashed;
    bool dishonest;
    int64_t now_us;
    int64_t monotonic_us;
    SimDisk disk;
};

typedef struct SimFile {
    SimNode *node;
    uint64_t boot;
    unsigned flags;
} SimFile;

static void trace_add(OsSim *sim, uint64_t value)
{
    sim->trace = sim_mix(sim->trace, value);
}

/* Counts the call; an error when it must fail. */
static Code call_begin(OsSim *sim, const char *what, Str of, uint64_t at, uint64_t len, Err *err)
{
    sim->calls++;
    trace_add(sim, str_hash(str_z(what)));
    trace_add(sim, str_hash(of));
    trace_add(sim, at);
    trace_add(sim, len);
    if (sim->crashed)
        return err_set(err, E_IO, "%s: the machine is off", what);
    sim->dying = sim->calls == sim->crash_at;
    bool failing = sim->calls >= sim->fail_at && sim->calls - sim->fail_at < sim->fail_count;
    if (failing && !sim->dying)
        return err_set(err, sim->fail_code, "%s '" STR_FMT "': made to fail by the test", what,
                       STR_ARG(of));
    return E_OK;
}

static Code call_end(OsSim *sim, Code code, Err *err)
{
    if (sim->dying) {
        sim->dying = false;
        sim->crashed = true;
        code = err_set(err, E_IO, "the power went");
    }
    trace_add(sim, (uint64_t)code);
    return code;
}

static Str file_label(const SimFile *file, char label[32])
{
    size_t len = 0;
    for (uint64_t id = file->node->id; len == 0 || id; id >>= 4)
        label[len++] = "0123456789abcdef"[id & 15];
    return str_of(label, len);
}

static Code file_begin(OsSim *sim, const SimFile *file, const char *what, uint64_t at, uint64_t len,
                       Err *err)
{
    char label[32];
    TRY(call_begin(sim, what, file_label(file, label), at, len, err));
    if (file->boot != sim->boots)
        return err_set(err, E_IO, "%s: the file was open before the power cut", what);
    return E_OK;
}

/* The directory that holds the last part of a path, and that part. */
static Code path_walk(OsSim *sim, const char *path, SimNode **ret_dir, Str *ret_name, Err *err)
{
    Str rest = str_z(path);
    Str part;
    Str name = STR_NONE;
    SimNode *dir = sim->disk.root;
    while (str_split(&rest, '/', &part)) {
        if (part.len == 0 || str_eq(part, STR(".")))
            continue;
        if (name.len) {
            dir = sim_dir_get(dir, name);
            if (!dir || !dir->is_dir)
                return err_set(err, E_NOT_FOUND, "no directory above '%s'", path);
        }
        name = part;
    }
    *ret_dir = dir;
    *ret_name = name;
    return E_OK;
}

static Code path_node(OsSim *sim, const char *path, SimNode **ret_node, Err *err)
{
    SimNode *dir = NULL;
    Str name;
    TRY(path_walk(sim, path, &dir, &name, err));
    SimNode *node = name.len ? sim_dir_get(dir, name) : dir;
    if (!node)
        return err_set(err, E_NOT_FOUND, "'%s' is not there", path);
    *ret_node = node;
    return E_OK;
}

static Code path_dir(OsSim *sim, const char *path, SimNode **ret_dir, Err *err)
{
    SimNode *node = NULL;
    TRY(path_node(sim, path, &node, err));
    if (!node->is_dir)
        return err_set(err, E_NOT_FOUND, "'%s' is no directory", path);
    *ret_dir = node;
    return E_OK;
}

static Code open_node(OsSim *sim, const char *path, unsigned flags, SimNode **ret_node, Err *err)
{
    SimNode *dir = NULL;
    Str name;
    TRY(path_walk(sim, path, &dir, &name, err));
    SimNode *node = name.len ? sim_dir_get(dir, name) : dir;
    if (node && (flags & OS_CREATE) && (flags & OS_EXCLUSIVE))
        return err_set(err, E_EXISTS, "'%s' is there already", path);
    if (node && node->is_dir)
        return err_set(err, E_IO, "'%s' is a directory", path);
    if (!node && !(flags & OS_CREATE))
        return err_set(err, E_NOT_FOUND, "'%s' is not there", path);
    if (!node) {
        node = sim_node_new(&sim->disk, false);
        node->modified_us = sim->now_us;
        sim_dir_set(dir, name, node, sim->disk.groups++);
    }
    if ((flags & OS_TRUNCATE) && node->now.len) {
        sim->disk.used_bytes -= MIN(sim->disk.used_bytes, node->now.len);
        sim_file_set_size(node, 0);
    }
    *ret_node = node;
    return E_OK;
}

static Code sim_file_open(void *self, const char *path, unsigned flags, void **ret_file, Err *err)
{
    OsSim *sim = self;
    SimNode *node = NULL;
    Code code = call_begin(sim, "open", str_z(path), flags, 0, err);
    if (code == E_OK)
        code = open_node(sim, path, flags, &node, err);
    TRY(call_end(sim, code, err));
    SimFile *file = mem_new(sizeof *file);
    *file = (SimFile){ node, sim->boots, flags };
    *ret_file = file;
    return E_OK;
}

static void sim_file_close(void *self, void *inner)
{
    (void)self;
    free(inner);
}

static Code sim_file_pread(void *self, void *inner, void *bytes, size_t len, uint64_t at,
                           size_t *ret_len, Err *err)
{
    OsSim *sim = self;
    SimFile *file = inner;
    TRY(call_end(sim, file_begin(sim, file, "read", at, len, err), err));
    const SimBytes *now = &file->node->now;
    size_t got = at >= now->len ? 0 : MIN(len, now->len - (size_t)at);
    if (got)
        memcpy(bytes, now->ptr + at, got);
    *ret_len = got;
    return E_OK;
}

/* Room for a file of this size. */
static Code room_take(OsSim *sim, const SimNode *node, uint64_t size, Err *err)
{
    if (size > SIM_FILE_BYTES_MAX)
        return err_set(err, E_NO_SPACE, "the simulated disk has no files of %llu bytes",
                       (unsigned long long)size);
    uint64_t more = size > node->now.len ? size - node->now.len : 0;
    if (more && sim->capacity_bytes && sim->disk.used_bytes + more > sim->capacity_bytes)
        return err_set(err, E_NO_SPACE, "the simulated disk is full");
    sim->disk.used_bytes += more;
    return E_OK;
}

static Code sim_file_pwrite(void *self, void *inner, Str bytes, uint64_t at, Err *err)
{
    OsSim *sim = self;
    SimFile *file = inner;
    Code code = file_begin(sim, file, "write", at, bytes.len, err);
    trace_add(sim, str_hash(bytes));
    if (code != E_OK && !sim->crashed && file->boot == sim->boots) {
        /* A write that fails has done a part of its work, or all of it. */
        uint64_t h = sim_mix(sim->seed, sim->calls);
        Str part = h & 3 ? str_sub(bytes, 0, (size_t)((h >> 2) % (bytes.len + 1))) : bytes;
        if (part.len && room_take(sim, file->node, at + part.len, NULL) == E_OK)
            sim_file_write(file->node, part, at);
        return call_end(sim, code, err);
    }
    if (code == E_OK)
        code = room_take(sim, file->node, at + bytes.len, err);
    if (code == E_OK) {
        sim_file_write(file->node, bytes, at);
        file->node->modified_us = sim->now_us;
    }
    return call_end(sim, code, err);
}

static Code sim_file_sync_op(void *self, void *inner, Err *err)
{
    OsSim *sim = self;
    SimFile *file = inner;
    Code code = file_begin(sim, file, "sync", 0, 0, err);
    if (code == E_OK && !sim->dying && !sim->dishonest)
        sim_file_sync(file->node);
    else if (code != E_OK && !sim->crashed && file->boot == sim->boots)
        sim_file_sync_lost(file->node, sim_mix(sim->seed, sim->calls));
    return call_end(sim, code, err);
}

static Code sim_file_size(void *self, void *inner, uint64_t *ret_size, Err *err)
{
    OsSim *sim = self;
    SimFile *file = inner;
    TRY(call_end(sim, file_begin(sim, file, "size", 0, 0, err), err));
    *ret_size = file->node->now.len;
    return E_OK;
}

static Code sim_file_truncate(void *self, void *inner, uint64_t size, Err *err)
{
    OsSim *sim = self;
    SimFile *file = inner;
    Code code = file_begin(sim, file, "truncate", size, 0, err);
    if (code == E_OK)
        code = room_take(sim, file->node, size, err);
    if (code == E_OK) {
        if (size < file->node->now.len)
            sim->disk.used_bytes -= MIN(sim->disk.used_bytes, file->node->now.len - size);
        sim_file_set_size(file->node, size);
    }
    return call_end(sim, code, err);
}

static Code sim_file_allocate(void *self, void *inner, uint64_t size, Err *err)
{
    OsSim *sim = self;
    SimFile *file = inner;
    Code code = file_begin(sim, file, "allocate", size, 0, err);
    if (code == E_OK)
        code = room_take(sim, file->node, size, err);
    if (code == E_OK && size > file->node->now.len)
        sim_file_set_size(file->node, size);
    return call_end(sim, code, err);
}

static Code dir_make(OsSim *sim, const char *path, Err *err)
{
    SimNode *dir = NULL;
    Str name;
    TRY(path_walk(sim, path, &dir, &name, err));
    SimNode *node = name.len ? sim_dir_get(dir, name) : dir;
    if (node)
        return node->is_dir ? E_OK : err_set(err, E_EXISTS, "'%s' is a file", path);
    sim_dir_set(dir, name, sim_node_new(&sim->disk, true), sim->disk.groups++);
    return E_OK;
}

static Code sim_dir_make(void *self, const char *path, Err *err)
{
    OsSim *sim = self;
    Code code = call_begin(sim, "mkdir", str_z(path), 0, 0, err);
    if (code == E_OK)
        code = dir_make(sim, path, err);
    return call_end(sim, code, err);
}

static Code dir_remove(OsSim *sim, const char *path, Err *err)
{
    SimNode *dir = NULL;
    SimNode *node = NULL;
    Str name;
    TRY(path_dir(sim, path, &node, err));
    TRY(path_walk(sim, path, &dir, &name, err));
    if (node->entries.len || node == sim->disk.root)
        return err_set(err, E_IO, "'%s' is not empty", path);
    sim_dir_set(dir, name, NULL, sim->disk.groups++);
    return E_OK;
}

static Code sim_dir_remove(void *self, const char *path, Err *err)
{
    OsSim *sim = self;
    Code code = call_begin(sim, "rmdir", str_z(path), 0, 0, err);
    if (code == E_OK)
        code = dir_remove(sim, path, err);
    return call_end(sim, code, err);
}

static Code sim_dir_sync_op(void *self, const char *path, Err *err)
{
    OsSim *sim = self;
    SimNode *dir = NULL;
    Code code = call_begin(sim, "syncdir", str_z(path), 0, 0, err);
    if (code == E_OK)
        code = path_dir(sim, path, &dir, err);
    if (code == E_OK && !sim->dying && !sim->dishonest)
        sim_dir_sync(dir);
    return call_end(sim, code, err);
}

static int entry_cmp(const void *a, const void *b)
{
    return str_cmp(((const OsDirEntry *)a)->name, ((const OsDirEntry *)b)->name);
}

static Code sim_dir_list(void *self, const char *path, Arena *arena, OsDirEntry **ret_entries,
                         size_t *ret_count, Err *err)
{
    OsSim *sim = self;
    SimNode *dir = NULL;
    Code code = call_begin(sim, "list", str_z(path), 0, 0, err);
    if (code == E_OK)
        code = path_dir(sim, path, &dir, err);
    TRY(call_end(sim, code, err));
    OsDirEntry *entries = arena_array(arena, OsDirEntry, dir->entries.len + 1);
    for (size_t i = 0; i < dir->entries.len; i++)
        entries[i] = (OsDirEntry){ str_copy(arena, str_z(dir->entries.items[i].name)),
                                   dir->entries.items[i].node->is_dir };
    qsort(entries, dir->entries.len, sizeof *entries, entry_cmp);
    *ret_entries = entries;
    *ret_count = dir->entries.len;
    return E_OK;
}

static void name_forgotten(OsSim *sim, const SimNode *node)
{
    if (node && !node->is_dir)
        sim->disk.used_bytes -= MIN(sim->disk.used_bytes, node->now.len);
}

static Code rename_node(OsSim *sim, const char *from, const char *to, Err *err)
{
    SimNode *from_dir = NULL;
    SimNode *to_dir = NULL;
    SimNode *node = NULL;
    Str from_name;
    Str to_name;
    TRY(path_node(sim, from, &node, err));
    TRY(path_walk(sim, from, &from_dir, &from_name, err));
    TRY(path_walk(sim, to, &to_dir, &to_name, err));
    SimNode *replaced = sim_dir_get(to_dir, to_name);
    if (replaced == node)
        return E_OK;
    if (replaced && replaced->is_dir != node->is_dir)
        return err_set(err, node->is_dir ? E_NOT_FOUND : E_IO, "'%s' is in the way", to);
    if (replaced && replaced->entries.len)
        return err_set(err, E_IO, "'%s' is not empty", to);
    name_forgotten(sim, replaced);
    uint64_t group = sim->disk.groups++;
    sim_dir_set(to_dir, to_name, node, group);
    sim_dir_set(from_dir, from_name, NULL, group);
    return E_OK;
}

static Code sim_path_rename(void *self, const char *from, const char *to, Err *err)
{
    OsSim *sim = self;
    Code code = call_begin(sim, "rename", str_z(from), str_hash(str_z(to)), 0, err);
    if (code == E_OK)
        code = rename_node(sim, from, to, err);
    return call_end(sim, code, err);
}

static Code unlink_node(OsSim *sim, const char *path, Err *err)
{
    SimNode *dir = NULL;
    SimNode *node = NULL;
    Str name;
    TRY(path_node(sim, path, &node, err));
    TRY(path_walk(sim, path, &dir, &name, err));
    if (node->is_dir)
        return err_set(err, E_IO, "'%s' is a directory", path);
    name_forgotten(sim, node);
    sim_dir_set(dir, name, NULL, sim->disk.groups++);
    return E_OK;
}

static Code sim_path_unlink(void *self, const char *path, Err *err)
{
    OsSim *sim = self;
    Code code = call_begin(sim, "unlink", str_z(path), 0, 0, err);
    if (code == E_OK)
        code = unlink_node(sim, path, err);
    return call_end(sim, code, err);
}

static Code sim_path_stat(void *self, const char *path, OsStat *ret_stat, Err *err)
{
    OsSim *sim = self;
    SimNode *node = NULL;
    Code code = call_begin(sim, "stat", str_z(path), 0, 0, err);
    if (code == E_OK)
        code = path_node(sim, path, &node, err);
    TRY(call_end(sim, code, err));
    *ret_stat = (OsStat){ .size_bytes = node->now.len, .modified_us = node->modified_us,
                          .mode = node->is_dir ? 0700 : 0600, .is_dir = node->is_dir };
    return E_OK;
}

static Code sim_space(void *self, const char *path, uint64_t *ret_free, uint64_t *ret_total, Err *err)
{
    OsSim *sim = self;
    TRY(call_end(sim, call_begin(sim, "space", str_z(path), 0, 0, err), err));
    uint64_t all = sim->capacity_bytes ? sim->capacity_bytes : (uint64_t)1 << 40;
    *ret_free = all > sim->disk.used_bytes ? all - sim->disk.used_bytes : 0;
    *ret_total = all;
    return E_OK;
}

static int64_t sim_now_us(void *self)
{
    OsSim *sim = self;
    return sim->now_us++;
}

static int64_t sim_monotonic_us(void *self)
{
    OsSim *sim = self;
    return sim->monotonic_us++;
}

static void sim_random(void *self, void *bytes, size_t len)
{
    OsSim *sim = self;
    uint8_t *to = bytes;
    for (size_t i = 0; i < len; i++) {
        if (i % 8 == 0)
            sim->random_state++;
        to[i] = (uint8_t)(sim_mix(sim->seed, sim->random_state) >> (i % 8 * 8));
    }
}

static const OsOps sim_ops = {
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_pread = sim_file_pread,
    .file_pwrite = sim_file_pwrite,
    .file_sync = sim_file_sync_op,
    .file_size = sim_file_size,
    .file_truncate = sim_file_truncate,
    .file_allocate = sim_file_allocate,
    .file_fd = NULL,
    .dir_make = sim_dir_make,
    .dir_remove = sim_dir_remove,
    .dir_sync = sim_dir_sync_op,
    .dir_list = sim_dir_list,
    .path_rename = sim_path_rename,
    .path_unlink = sim_path_unlink,
    .path_stat = sim_path_stat,
    .space = sim_space,
    .now_us = sim_now_us,
    .monotonic_us = sim_monotonic_us,
    .random = sim_random,
    .threads = false,
};

OsSim *os_sim_new(uint64_t seed)
{
    OsSim *sim = mem_new(sizeof *sim);
    sim->os = (Os){ &sim_ops, sim };
    sim->seed = seed;
    sim->trace = sim_mix(seed, 0);
    sim->now_us = SIM_START_US;
    sim_disk_init(&sim->disk);
    return sim;
}

void os_sim_free(OsSim **sim)
{
    if (!*sim)
        return;
    sim_disk_done(&(*sim)->disk);
    mem_free(sim);
}

Os *os_sim_os(OsSim *sim)
{
    return &sim->os;
}

uint64_t os_sim_calls(const OsSim *sim)
{
    return sim->calls;
}

uint64_t os_sim_trace(const OsSim *sim)
{
    return sim->trace;
}

void os_sim_crash_at(OsSim *sim, uint64_t call)
{
    sim->crash_at = call;
}

void os_sim_crash(OsSim *sim)
{
    sim->crashed = true;
}

bool os_sim_is_crashed(const OsSim *sim)
{
    return sim->crashed;
}

void os_sim_reboot(OsSim *sim)
{
    sim_disk_cut(&sim->disk, sim_mix(sim->seed, sim->calls));
    sim->boots++;
    sim->crashed = false;
    sim->crash_at = 0;
    sim->now_us += SIM_REBOOT_US;
    sim->monotonic_us += SIM_REBOOT_US;
    trace_add(sim, sim->boots);
}

void os_sim_fail_at(OsSim *sim, uint64_t call, uint64_t count, Code code)
{
    sim->fail_at = call;
    sim->fail_count = count;
    sim->fail_code = code;
}

void os_sim_set_capacity(OsSim *sim, uint64_t bytes)
{
    sim->capacity_bytes = bytes;
}

void os_sim_set_honest(OsSim *sim, bool honest)
{
    sim->dishonest = !honest;
}

void os_sim_set_now_us(OsSim *sim, int64_t now_us)
{
    sim->now_us = now_us;
}

void os_sim_advance_us(OsSim *sim, int64_t by_us)
{
    sim->now_us += by_us;
    sim->monotonic_us += by_us;
}

Code os_sim_flip_bit(OsSim *sim, const char *path, uint64_t byte_at, unsigned bit, Err *err)
{
    SimNode *node = NULL;
    TRY(path_node(sim, path, &node, err));
    if (node->is_dir || byte_at >= node->now.len || bit > 7)
        return err_set(err, E_INVALID, "'%s' has no byte %llu", path, (unsigned long long)byte_at);
    sim_file_sync(node);
    node->now.ptr[byte_at] ^= (char)(1u << bit);
    if (byte_at < node->synced.len)
        node->synced.ptr[byte_at] ^= (char)(1u << bit);
    return E_OK;
}
