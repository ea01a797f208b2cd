/* doctor.h: what the parts of `tarn doctor` share: each looks at one thing and tells what it found.
 * Owner:   the command.
 * Threads: one.
 * Errors:  none: what cannot be looked at is a finding.
 * Limits:  DOCTOR_SHOWN_MAX findings of a kind are printed, all are counted.
 * Units:   none. */
#pragma once

#include "base/conf.h"
#include "main/lake.h"

enum { DOCTOR_SHOWN_MAX = 100 };

typedef struct Doctor {
    const Conf *conf;
    const char *dir;
    Lake *lake; /* NULL: not open */
    Arena *tmp;
    size_t findings;
    bool hashes, deep; /* as the options say */
    bool in_use;  /* by a server: no damage */
    bool missing; /* what a start would make anew: nothing is opened */
} Doctor;

void doctor_good(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What is wrong, and what to do. */
void doctor_finding(Doctor *doctor, Str what, const char *advice);

/* Files, their owners and modes, the master key, certificates, space: nothing is opened for writing. */
void doctor_files(Doctor *doctor);
void doctor_space(Doctor *doctor);
/* Advice for a room that did not open. */
void doctor_room(Doctor *doctor, const char *stage, const Err *err);
