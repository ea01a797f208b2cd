/* Invariants:
 * 1. `now` is `synced` with all `writes` applied in order, unless a sync of the file failed.
 * 2. `entries` is `entries_synced` with all `changes` applied in order.
 * 3. After sim_disk_cut nothing is pending, and `now` equals `synced`. */
#include "os/os_sim_disk_priv.h"

#include <stdlib.h>
#include <string.h>

uint64_t sim_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a + 0x9E3779B97F4A7C15u * (b + 1);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static char *name_new(Str name)
{
    char *z = mem_new(name.len + 1);
    memcpy(z, name.ptr, name.len);
    return z;
}

/* Grows with zeros or cuts. */
static void bytes_resize(SimBytes *bytes, size_t len)
{
    if (len > bytes->cap) {
        bytes->cap = MAX(len, bytes->cap * 2);
        bytes->ptr = mem_grow(bytes->ptr, bytes->cap);
    }
    if (len > bytes->len)
        memset(bytes->ptr + bytes->len, 0, len - bytes->len);
    bytes->len = len;
}

static void bytes_write(SimBytes *bytes, const char *from, size_t len, uint64_t at)
{
    if (len == 0)
        return;
    if (at + len > bytes->len)
        bytes_resize(bytes, (size_t)at + len);
    memcpy(bytes->ptr + at, from, len);
}

static void bytes_copy(SimBytes *to, const SimBytes *from)
{
    bytes_resize(to, from->len);
    if (from->len)
        memcpy(to->ptr, from->ptr, from->len);
}

static void writes_clear(SimNode *file)
{
    for (size_t i = 0; i < file->writes.len; i++)
        free(file->writes.items[i].bytes);
    file->writes.len = 0;
}

static void changes_clear(SimNode *dir)
{
    for (size_t i = 0; i < dir->changes.len; i++)
        free(dir->changes.items[i].name);
    dir->changes.len = 0;
}

static void entries_done(SimEntryVec *entries)
{
    for (size_t i = 0; i < entries->len; i++)
        free(entries->items[i].name);
    vec_done(entries);
}

static void entries_set(SimEntryVec *entries, Str name, SimNode *node)
{
    size_t at = 0;
    while (at < entries->len && !str_eq(str_z(entries->items[at].name), name))
        at++;
    if (at < entries->len && node) {
        entries->items[at].node = node;
    } else if (at < entries->len) {
        free(entries->items[at].name);
        entries->items[at] = *vec_last(entries);
        entries->len--;
    } else if (node) {
        vec_push(entries, (SimEntry){ name_new(name), node });
    }
}

static void entries_copy(SimEntryVec *to, const SimEntryVec *from)
{
    entries_done(to);
    for (size_t i = 0; i < from->len; i++)
        vec_push(to, (SimEntry){ name_new(str_z(from->items[i].name)), from->items[i].node });
}

void sim_disk_init(SimDisk *disk)
{
    *disk = (SimDisk){ .groups = 0 };
    disk->root = sim_node_new(disk, true);
}

void sim_disk_done(SimDisk *disk)
{
    for (size_t i = 0; i < disk->nodes.len; i++) {
        SimNode *node = disk->nodes.items[i];
        writes_clear(node);
        changes_clear(node);
        vec_done(&node->writes);
        vec_done(&node->changes);
        entries_done(&node->entries);
        entries_done(&node->entries_synced);
        free(node->now.ptr);
        free(node->synced.ptr);
        free(node);
    }
    vec_done(&disk->nodes);
}

SimNode *sim_node_new(SimDisk *disk, bool is_dir)
{
    SimNode *node = mem_new(sizeof *node);
    node->id = disk->nodes.len;
    node->is_dir = is_dir;
    vec_push(&disk->nodes, node);
    return node;
}

SimNode *sim_dir_get(const SimNode *dir, Str name)
{
    for (size_t i = 0; i < dir->entries.len; i++)
        if (str_eq(str_z(dir->entries.items[i].name), name))
            return dir->entries.items[i].node;
    return NULL;
}

void sim_dir_set(SimNode *dir, Str name, SimNode *node, uint64_t group)
{
    entries_set(&dir->entries, name, node);
    vec_push(&dir->changes, (SimNameChange){ name_new(name), node, group });
}

void sim_dir_sync(SimNode *dir)
{
    entries_copy(&dir->entries_synced, &dir->entries);
    changes_clear(dir);
}

void sim_file_write(SimNode *file, Str bytes, uint64_t at)
{
    if (bytes.len == 0)
        return;
    bytes_write(&file->now, bytes.ptr, bytes.len, at);
    char *copy = mem_new(bytes.len);
    memcpy(copy, bytes.ptr, bytes.len);
    vec_push(&file->writes, (SimWrite){ at, copy, bytes.len });
}

void sim_file_set_size(SimNode *file, uint64_t size)
{
    bytes_resize(&file->now, (size_t)size);
    vec_push(&file->writes, (SimWrite){ size, NULL, 0 });
}

void sim_file_sync(SimNode *file)
{
    for (size_t i = 0; i < file->writes.len; i++) {
        const SimWrite *write = &file->writes.items[i];
        if (write->bytes)
            bytes_write(&file->synced, write->bytes, write->len, write->at);
        else
            bytes_resize(&file->synced, (size_t)write->at);
    }
    writes_clear(file);
}

/* How many of `count` changes a place has seen: none, all, or any number between. */
static size_t cut_stop(uint64_t seed, uint64_t place, size_t count)
{
    uint64_t h = sim_mix(seed, place);
    switch (h & 3) {
    case 0:
        return 0;
    case 1:
        return count;
    }
    return (size_t)((h >> 8) % (count + 1));
}

/* Applies a change to each sector that has seen it. Zeros when `bytes` is NULL. */
static void sectors_write(SimBytes *disk, uint64_t seed, const SimNode *file, size_t change,
                          const char *bytes, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to;) {
        uint64_t sector = at / OS_SIM_SECTOR_BYTES;
        uint64_t end = MIN(to, (sector + 1) * OS_SIM_SECTOR_BYTES);
        if (change < cut_stop(seed, sector + 1, file->writes.len)) {
            if (bytes)
                memcpy(disk->ptr + at, bytes + (at - from), end - at);
            else
                memset(disk->ptr + at, 0, end - at);
        }
        at = end;
    }
}

/* Each sector and the size, one by one, keep a state that they had since the last sync. */
static void file_cut_torn(SimNode *file, uint64_t seed)
{
    uint64_t size = file->synced.len;
    size_t size_stop = cut_stop(seed, 0, file->writes.len);
    SimBytes *disk = &file->synced;
    for (size_t i = 0; i < file->writes.len; i++) {
        const SimWrite *write = &file->writes.items[i];
        uint64_t end = write->at + write->len;
        if (end > disk->len)
            bytes_resize(disk, (size_t)end);
        if (i < size_stop)
            size = write->bytes ? MAX(size, end) : write->at;
        if (write->bytes)
            sectors_write(disk, seed, file, i, write->bytes, write->at, end);
        else
            sectors_write(disk, seed, file, i, NULL, write->at, disk->len);
    }
    bytes_resize(disk, (size_t)size);
    writes_clear(file);
}

void sim_file_sync_lost(SimNode *file, uint64_t seed)
{
    switch (seed & 3) {
    case 0:
        writes_clear(file);
        return;
    case 1:
        sim_file_sync(file);
        return;
    }
    file_cut_torn(file, seed);
}

static void dir_cut_torn(SimNode *dir, uint64_t seed)
{
    bool in_order = seed & 1;
    size_t stop = cut_stop(seed, 0, dir->changes.len);
    uint64_t group_stop =
        stop < dir->changes.len ? dir->changes.items[stop].group : UINT64_MAX;
    for (size_t i = 0; i < dir->changes.len; i++) {
        const SimNameChange *change = &dir->changes.items[i];
        if (in_order ? change->group < group_stop : sim_mix(seed, change->group) & 1)
            entries_set(&dir->entries_synced, str_z(change->name), change->node);
    }
    changes_clear(dir);
}

void sim_disk_cut(SimDisk *disk, uint64_t seed)
{
    /* A quarter of the cuts takes all that was not synced, a quarter nothing, the rest some. */
    unsigned kind = sim_mix(seed, 0) & 3;
    disk->used_bytes = 0;
    for (size_t i = 0; i < disk->nodes.len; i++) {
        SimNode *node = disk->nodes.items[i];
        uint64_t node_seed = sim_mix(seed, node->id + 1);
        if (kind == 0) {
            writes_clear(node);
            changes_clear(node);
        } else if (kind == 1) {
            sim_file_sync(node);
            sim_dir_sync(node);
        } else {
            file_cut_torn(node, node_seed);
            dir_cut_torn(node, node_seed);
        }
        bytes_copy(&node->now, &node->synced);
        entries_copy(&node->entries, &node->entries_synced);
    }
    for (size_t i = 0; i < disk->nodes.len; i++)
        for (size_t e = 0; e < disk->nodes.items[i]->entries.len; e++)
            disk->used_bytes += disk->nodes.items[i]->entries.items[e].node->now.len;
}
