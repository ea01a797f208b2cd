/* os_sim.h: a machine in memory, made from a seed, that loses power and breaks when a test says so.
 * Owner:   os_sim_new gives it, os_sim_free takes it; open files die with it at the latest.
 * Threads: one; os_has_threads() is false on it.
 * Errors:  as os.h; after the crash every call gives IO "the machine is off".
 * Limits:  the machine's memory.
 * Units:   bytes; _us: microseconds; a call is one fallible call of OsOps (not clock and random).
 *
 * What a power cut takes: of what was written to a file since its last sync, each 512-byte sector
 * keeps any of the versions that it had since then (lost, torn, in any order), sizes likewise; of the
 * names that a directory gained, lost or changed since its dir_sync, any part. A call that is under
 * way when the power goes may or may not have reached the disk. Two runs with the same seed and the
 * same calls give the same trace. */
#pragma once

#include "os/os.h"

enum { OS_SIM_SECTOR_BYTES = 512 };

typedef struct OsSim OsSim;

OsSim *os_sim_new(uint64_t seed);
void os_sim_free(OsSim **sim);
Os *os_sim_os(OsSim *sim); /* lives as long as the sim */

/* Fallible calls so far, and the hash over each call, its arguments and its result. */
uint64_t os_sim_calls(const OsSim *sim);
uint64_t os_sim_trace(const OsSim *sim);

/* The power goes in the call with this number (the first call is 1); 0: never. The loop of a crash
 * test: count the calls of a clean run, then for each n in 1 .. count: a new sim of the same seed,
 * crash_at(n), the same work until it fails, reboot, look. */
void os_sim_crash_at(OsSim *sim, uint64_t call);
void os_sim_crash(OsSim *sim); /* now, between two calls */
bool os_sim_is_crashed(const OsSim *sim);
/* The machine after the power cut: on again, with the disk as the cut left it, files of before
 * closed (they fail with IO; closing them is fine). What is left counts as synced. Crash point 0. */
void os_sim_reboot(OsSim *sim);

/* `count` calls from this number on fail with `code` (IO, NO_SPACE), without effect but for writes,
 * of which a part may be done. A failed sync loses what it should have synced: the next one lies. */
void os_sim_fail_at(OsSim *sim, uint64_t call, uint64_t count, Code code);
void os_sim_set_capacity(OsSim *sim, uint64_t bytes); /* NO_SPACE beyond; 0: no end */
/* False: syncs of files and directories do nothing. The control run: a crash test that passes so
 * is broken. */
void os_sim_set_honest(OsSim *sim, bool honest);

void os_sim_set_now_us(OsSim *sim, int64_t now_us); /* each look at the clock adds 1 */
void os_sim_advance_us(OsSim *sim, int64_t by_us);  /* also the monotonic clock */

/* Damage at rest, synced: one bit of a file. NOT_FOUND, INVALID beyond the end. */
Code os_sim_flip_bit(OsSim *sim, const char *path, uint64_t byte_at, unsigned bit, Err *err) CHECKED;
