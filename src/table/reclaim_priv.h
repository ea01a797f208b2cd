/* reclaim_priv.h: what those share that look for files which nothing reaches: reclaim.c, dropped.c, orphans.c.
 * Owner:   everything lives in the Arena that is passed in; a Remover ends with remover_done.
 * Threads: one.
 * Errors:  those of catalog.h.
 * Limits:  REMOVE_GROUP objects a group of the store.
 * Units:   bytes. */
#pragma once

#include "table/catalog_priv.h"
#include "table/table_keep.h"

enum { REMOVE_GROUP = 200 };

/* Addresses. Empty is a set of none. */
typedef struct Names {
    Str *items; /* sorted after names_sort, each once */
    size_t count, cap;
} Names;

void names_add(Arena *arena, Names *names, Str name);
void names_sort(Names *names);
const Str *names_find(const Names *names, Str name); /* after names_sort; NULL: it is not there */

typedef struct Manifests {
    ManifestFile *items;
    size_t count, cap;
} Manifests;

void manifests_add(Arena *arena, Manifests *manifests, const ManifestFile *file);
void manifests_once(Manifests *manifests); /* each once: neighbouring snapshots share most of them */
/* Adds those of a manifest list. NOT_FOUND: the list is gone. */
Code manifests_add_list(Catalog *catalog, Str list, Arena *arena, Manifests *manifests, Err *err) CHECKED;

/* What the snapshots of a table reach, as it is and in each version that somebody in this process holds. */
typedef struct Reached {
    Names lists, paths; /* of manifests */
    Manifests manifests;
} Reached;

/* `more`: lists of snapshots that have expired and are to be reached all the same. */
Code reached_find(TableVersion *now, const Names *more, const bool *stop, Arena *arena, Reached *ret_reached,
                  Err *err) CHECKED;
/* Sets `spared` of each of the sorted `names` that is a data file of a reached manifest. */
Code reached_spare(const TableVersion *now, const Reached *reached, const Names *names, const bool *stop,
                   bool *spared, Err *err) CHECKED;

/* Removes objects by groups: each is the version that was seen, durable after remover_flush. What lies
 * outside of `location` is left alone. */
typedef struct Remover {
    Catalog *catalog;
    Str location; /* without the last slash; empty: anywhere */
    Arena arena;  /* of the group */
    StoreDelete *group;
    uint64_t bytes; /* of the group */
    size_t count;
    size_t objects; /* removed so far */
} Remover;

void remover_done(Remover *remover);
Code remover_add(Remover *remover, Str address, Err *err) CHECKED; /* what is not there is passed over */
Code remover_add_version(Remover *remover, Str address, uint64_t sequence, uint64_t bytes, Err *err) CHECKED;
Code remover_flush(Remover *remover, Err *err) CHECKED;

/* Is `address` below `location`, which has no last slash? */
bool address_is_below(Str address, Str location);

/* dropped.c: the location of a table by the address of its metadata file. */
Str dropped_location(Str metadata_location);
