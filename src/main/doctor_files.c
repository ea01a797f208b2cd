/* What can be seen of a data directory before it is opened. */
#include "base/text.h"
#include "main/door_settings.h"
#include "main/doctor.h"
#include "os/clock.h"
#include "os/tls.h"
#include "store/store_keep.h"

#include <stdlib.h>
#include <string.h>

enum { MASTER_HEX = 64, MASTER_FILE_MAX = 256, REASON_MAX = 4096, CERT_WARN_DAYS = 21, DAY_S = 86400 };

static const char *path_in(Doctor *doctor, const char *name)
{
    return str_copy_z(doctor->tmp, str_format(doctor->tmp, "%s/%s", doctor->dir, name));
}

/* ---- owners and modes ---- */

static const struct {
    const char *name;
    bool secret; /* nobody but the owner may read it */
} watched[] = {
    { "", false },           { "FORMAT", false },        { "LOCK", false },         { "admin.json", true },
    { "clock", false },
    { "keys", true },        { "keys/master", true },    { "meta", false },         { "meta/tarn.db", false },
    { "store", false },      { "store/journal", false }, { "store/objects", false }, { "store/index", false },
    { "tls/server.key", true }, { "tls/ca.key", true },
};

static void mode_look(Doctor *doctor, const char *path, bool secret, uint32_t owner)
{
    OsStat stat;
    if (os_stat(os_real(), path, &stat, NULL) != E_OK)
        return;
    uint32_t needed = stat.is_dir ? 0700 : 0600;
    if ((stat.mode & needed) != needed)
        doctor_finding(doctor, str_format(doctor->tmp, "%s has the mode %03o: its owner cannot use it", path,
                                          stat.mode),
                       stat.is_dir ? "chmod u+rwx it" : "chmod u+rw it");
    if (secret && (stat.mode & 077))
        doctor_finding(doctor, str_format(doctor->tmp, "%s has the mode %03o: others can read a secret", path,
                                          stat.mode),
                       stat.is_dir ? "chmod 700 it, and rotate the keys if others use this machine"
                                   : "chmod 600 it, and rotate the keys if others use this machine");
    if (stat.owner != owner)
        doctor_finding(doctor, str_format(doctor->tmp, "%s belongs to user %u, the directory to %u", path,
                                          stat.owner, owner),
                       "chown -R the data directory to the user that runs `tarn serve`, and run doctor as that user");
}

static void modes_look(Doctor *doctor)
{
    OsStat stat;
    Err err;
    OsDirEntry *entries;
    size_t count, before = doctor->findings;
    if (os_stat(os_real(), doctor->dir, &stat, &err) != E_OK) {
        doctor_finding(doctor, str_z(err.text), "is the disk mounted?");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(watched); i++)
        mode_look(doctor, path_in(doctor, watched[i].name), watched[i].secret, stat.owner);
    const char *journal = path_in(doctor, "store/journal");
    if (os_dir_list(os_real(), journal, doctor->tmp, &entries, &count, NULL) == E_OK)
        for (size_t i = 0; i < count; i++)
            mode_look(doctor, str_copy_z(doctor->tmp, str_format(doctor->tmp, "%s/" STR_FMT, journal,
                                                                 STR_ARG(entries[i].name))), false, stat.owner);
    if (doctor->findings == before)
        doctor_good("files: owners and modes");
}

/* ---- what is missing ---- */

static void missing_look(Doctor *doctor)
{
    static const struct {
        const char *name, *advice;
    } rows[] = {
        { "meta/tarn.db", "restore meta/ from the last backup: a start would begin an empty lake" },
        { "store/journal", "is the disk mounted? restore store/ from the last backup: a start would begin an empty "
                           "store" },
        { "store/objects", "is the disk mounted? restore store/ from the last backup" },
    };
    OsStat stat;
    size_t before = doctor->findings;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (os_stat(os_real(), path_in(doctor, rows[i].name), &stat, NULL) != E_OK)
            doctor_finding(doctor, str_format(doctor->tmp, "%s is missing", path_in(doctor, rows[i].name)),
                           rows[i].advice);
    doctor->missing = doctor->findings != before;
    if (!doctor->missing)
        doctor_good("directories: all are there");
}

static void master_look(Doctor *doctor)
{
    Buf text AUTO(buf_done) = { 0 };
    Str bytes;
    const char *path = path_in(doctor, "keys/master"), *variable = getenv("TARN_MASTER_KEY");
    buf_init(&text, MASTER_FILE_MAX);
    if (variable && *variable) {
        doctor_good("master key: from TARN_MASTER_KEY");
        return;
    }
    Code code = os_read_whole(os_real(), path, &text, NULL);
    if (code == E_NOT_FOUND)
        doctor_finding(doctor, str_format(doctor->tmp, "%s is missing: it seals the secrets of all access keys", path),
                       "put it back from a backup, or name it in TARN_MASTER_KEY; if it is lost: `tarn init --set "
                       "init.new_master_key=true` makes another and revokes those keys");
    else if (code != E_OK || str_trim(buf_str(&text)).len != MASTER_HEX ||
             !hex_parse(doctor->tmp, str_trim(buf_str(&text)), &bytes))
        doctor_finding(doctor, str_format(doctor->tmp, "%s is not %d hexadecimal digits", path, MASTER_HEX),
                       "put it back from a backup");
    else
        doctor_good("master key: is there");
}

/* What a start could not use, and has made again. */
static void index_look(Doctor *doctor)
{
    Buf text AUTO(buf_done) = { 0 };
    buf_init(&text, REASON_MAX);
    if (os_read_whole(os_real(), path_in(doctor, "store/index.old/REASON"), &text, NULL) == E_OK)
        doctor_good("index: was made again from the journal, the damaged one lies in store/index.old: " STR_FMT,
                    STR_ARG(str_trim(buf_str(&text))));
}

/* ---- the clock ---- */

static void clock_tell(Doctor *doctor, const ClockLook *look)
{
    int64_t ahead_s = (look->floor_us - look->wall_us) / 1000000;
    Str floor = time_format(doctor->tmp, look->floor_us), wall = time_format(doctor->tmp, look->wall_us);
    if (look->state == CLOCK_BEHIND)
        doctor_finding(doctor,
                       str_format(doctor->tmp,
                                  "the machine's clock says " STR_FMT ", %lld seconds behind what the lake has seen "
                                  "(" STR_FMT "): keys and sessions end by the latter until it has caught up",
                                  STR_ARG(wall), (long long)ahead_s, STR_ARG(floor)),
                       "set it right; if it is right and the date was wrong before, remove DIR/clock while no server "
                       "runs: what ended by the wrong date is good again");
    else
        doctor_good("clock: the lake saw " STR_FMT " last, %lld seconds ago", STR_ARG(floor), (long long)-ahead_s);
}

static void clock_seen(Doctor *doctor)
{
    Err err;
    ClockLook look;
    Clock *clock AUTO(clock_free) = clock_new(os_real(), path_in(doctor, "clock"));
    Code code = clock_load(clock, &err);
    clock_look(clock, &look);
    if (code == E_OK)
        clock_tell(doctor, &look);
    else if (code == E_NOT_FOUND)
        doctor_good("clock: nothing is kept yet, the next start begins at the machine's, " STR_FMT,
                    STR_ARG(time_format(doctor->tmp, look.wall_us)));
    else
        doctor_finding(doctor, str_format(doctor->tmp, "clock: %s", err.text),
                       "the next start begins at the machine's clock and writes it anew: see that the date is right");
}

/* ---- certificates ---- */

static void certificates_look(Doctor *doctor)
{
    Err err;
    TlsOptions options;
    OsStat stat;
    AUTO(tls_server_free) TlsServer *server = NULL;
    bool wanted = !door_is_off(doctor->conf, "https.listen") || !door_is_off(doctor->conf, "s3.listen_tls") ||
                  conf_text(doctor->conf, "tls.certificates").len ||
                  os_stat(os_real(), path_in(doctor, "tls/server.pem"), &stat, NULL) == E_OK;
    if (!wanted)
        return;
    Code code = door_tls(doctor->conf, doctor->dir, doctor->tmp, &options, &err);
    if (code == E_OK)
        code = tls_server_new(&options, &server, &err);
    if (code != E_OK) {
        doctor_finding(doctor, str_format(doctor->tmp, "certificates: %s", err.text),
                       "`tarn cert --data DIR NAME...` makes new ones, or put yours back");
        return;
    }
    int64_t days = (tls_server_expires(server) - os_now_us(os_real()) / 1000000) / DAY_S;
    if (days < CERT_WARN_DAYS)
        doctor_finding(doctor,
                       days < 0 ? STR("a certificate has expired") : STR("a certificate expires within three weeks"),
                       "`tarn cert --renew` for those of tarn, then SIGHUP");
    else
        doctor_good("certificates: valid for %lld days", (long long)days);
}

void doctor_files(Doctor *doctor)
{
    modes_look(doctor);
    missing_look(doctor);
    master_look(doctor);
    index_look(doctor);
    clock_seen(doctor);
    certificates_look(doctor);
}

/* ---- rooms that do not open ---- */

static bool process_runs(Doctor *doctor, int64_t pid)
{
    OsStat stat;
    const char *path = str_copy_z(doctor->tmp, str_format(doctor->tmp, "/proc/%lld", (long long)pid));
    return os_stat(os_real(), path, &stat, NULL) == E_OK;
}

static void lock_tell(Doctor *doctor, const Err *err)
{
    Buf text AUTO(buf_done) = { 0 };
    int64_t pid = 0;
    buf_init(&text, MASTER_FILE_MAX);
    if (os_read_whole(os_real(), path_in(doctor, "LOCK"), &text, NULL) == E_OK)
        (void)str_i64(str_trim(buf_str(&text)), &pid);
    doctor->in_use = pid > 0 && process_runs(doctor, pid);
    if (doctor->in_use)
        doctor_finding(doctor, str_z(err->text), "stop that server: doctor looks at what nobody changes");
    else
        doctor_finding(doctor, str_format(doctor->tmp, "%s/LOCK is held, but not by the process %lld that it names",
                                          doctor->dir, (long long)pid),
                       "`fuser -v` LOCK tells who has it open (a backup, a container); a lock that nobody holds is "
                       "free");
}

void doctor_room(Doctor *doctor, const char *stage, const Err *err)
{
    static const struct {
        const char *stage, *advice;
    } rows[] = {
        { "layout", "FORMAT says which tarn wrote the directory: use that one, or put the file back from a backup" },
        { "metadata", "restore meta/ from the last backup" },
        { "store", "if it names the journal: restore store/ from the last backup; a damaged index is made again by "
                   "each start" },
        { "rooms", "restore the data directory from the last backup" },
    };
    if (strcmp(stage, "lock") == 0 && err->code == E_UNAVAILABLE) {
        lock_tell(doctor, err);
        return;
    }
    const char *advice = err->hint[0] ? err->hint : "see the message";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(stage, rows[i].stage) == 0 && err->code != E_PRECONDITION) /* its hint says more */
            advice = rows[i].advice;
    doctor_finding(doctor, str_format(doctor->tmp, "%s: %s%s%s%s", stage, err->text, err->place[0] ? " (" : "",
                                      err->place, err->place[0] ? ")" : ""), advice);
}

void doctor_space(Doctor *doctor)
{
    Err err;
    uint64_t free_bytes = 0, total = 0;
    if (os_space(os_real(), doctor->dir, &free_bytes, &total, &err) != E_OK || !total) {
        doctor_finding(doctor, str_z(err.text), "is the directory on a mounted disk?");
        return;
    }
    uint64_t used = (total - MIN(free_bytes, total)) * 100 / total, free_mib = free_bytes >> 20;
    uint64_t alarm = (uint64_t)conf_number(doctor->conf, "store.space_alarm");
    uint64_t full = (uint64_t)conf_number(doctor->conf, "store.space_full");
    if (used >= alarm)
        doctor_finding(doctor, str_format(doctor->tmp, "the disk is %llu %% full, %llu MiB are free: %s",
                                          (unsigned long long)used, (unsigned long long)free_mib,
                                          used >= full ? "writes are refused" : "the trash is emptied early"),
                       "remove objects or old versions (`tarn bucket usage`, `tarn object rm`), end abandoned uploads "
                       "(`tarn bucket uploads`), or make the disk larger");
    else
        doctor_good("space: %llu MiB free, %llu %% used", (unsigned long long)free_mib, (unsigned long long)used);
}
