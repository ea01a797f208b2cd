/* os_sim_disk_priv.h: the simulated disk: nodes with what is there now and what would survive.
 * Owner:   the OsSim; nodes live until sim_disk_done.
 * Threads: one.
 * Errors:  none: callers check names and sizes first.
 * Limits:  the machine's memory.
 * Units:   bytes. */
#pragma once

#include "base/vec.h"
#include "os/os_sim.h"

typedef struct SimBytes {
    char *ptr;
    size_t len;
    size_t cap;
} SimBytes;

/* A change of a file that is not synced: bytes written, or a new size (bytes NULL). */
typedef struct SimWrite {
    uint64_t at; /* or the size */
    char *bytes;
    size_t len;
} SimWrite;

typedef struct SimNode SimNode;

typedef struct SimEntry {
    char *name;
    SimNode *node;
} SimEntry;
typedef Vec(SimEntry) SimEntryVec;

/* A change of a directory that is not synced: the name now means `node`, or nothing (NULL). */
typedef struct SimNameChange {
    char *name;
    SimNode *node;
    uint64_t group; /* changes of one group reach the disk together */
} SimNameChange;

struct SimNode {
    uint64_t id;
    bool is_dir;
    int64_t modified_us;
    SimBytes now; /* files */
    SimBytes synced;
    Vec(SimWrite) writes;
    SimEntryVec entries; /* directories */
    SimEntryVec entries_synced;
    Vec(SimNameChange) changes;
};

typedef struct SimDisk {
    Vec(SimNode *) nodes;
    SimNode *root;
    uint64_t used_bytes; /* of the files that have a name */
    uint64_t groups;
} SimDisk;

uint64_t sim_mix(uint64_t a, uint64_t b); /* a hash of two numbers */

void sim_disk_init(SimDisk *disk);
void sim_disk_done(SimDisk *disk);

SimNode *sim_node_new(SimDisk *disk, bool is_dir);
/* The entry of a name, NULL: none. */
SimNode *sim_dir_get(const SimNode *dir, Str name);
/* Gives a name a node (NULL: removes the name); changes of one `group` go together. */
void sim_dir_set(SimNode *dir, Str name, SimNode *node, uint64_t group);
void sim_dir_sync(SimNode *dir);

void sim_file_write(SimNode *file, Str bytes, uint64_t at);
void sim_file_set_size(SimNode *file, uint64_t size);
void sim_file_sync(SimNode *file);
/* A sync that failed: some of it is on the disk, all of it counts as synced, the rest never will be. */
void sim_file_sync_lost(SimNode *file, uint64_t seed);

/* The power cut: what is on the disk becomes what is there. */
void sim_disk_cut(SimDisk *disk, uint64_t seed);
