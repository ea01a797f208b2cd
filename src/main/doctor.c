/* What `tarn doctor` looks at, offline: it takes the lock of the data directory. */
#include "govern/access.h"
#include "main/command.h"
#include "main/doctor.h"
#include "main/door_settings.h"
#include "main/render.h"
#include "main/scrub.h"
#include "main/settings.h"
#include "meta/meta.h"
#include "os/worker.h"
#include "store/store_keep.h"
#include "table/catalog.h"
#include "table/scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const OptionRow doctor_options[] = {
    { "--hashes", NULL, "read every byte and compare its checksum" },
    { "--deep", NULL, "make the index a second time, from the journal, and compare every row" },
    { "--config", "FILE", "settings file (default DIR/tarn.yaml when it is there)" },
    { "--set", "KEY=VALUE", "any setting by its key" },
    { NULL, NULL, NULL },
};

void doctor_good(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("  ok   ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

void doctor_finding(Doctor *doctor, Str what, const char *advice)
{
    doctor->findings++;
    printf("%s  BAD  " STR_FMT "%s\n       %s\n", render_red(), STR_ARG(what), render_plain(), advice);
}

static void meta_look(Doctor *doctor)
{
    Err err;
    Str *texts = NULL;
    size_t count = 0;
    Code code = meta_check(doctor->lake->api.meta, doctor->tmp, &texts, &count, &err);
    if (code != E_OK)
        doctor_finding(doctor, str_z(err.text), "restore meta/ from the last backup");
    for (size_t i = 0; i < count; i++)
        doctor_finding(doctor, texts[i], "restore meta/ from the last backup");
    if (code == E_OK && !count)
        doctor_good("metadata database: whole, and its tables agree");
}

/* Findings of one kind are not printed without end. */
typedef struct StoreLook {
    Doctor *doctor;
    size_t found;
} StoreLook;

static void store_found(void *arg, const StoreFinding *found)
{
    StoreLook *look = arg;
    Doctor *doctor = look->doctor;
    if (++look->found > DOCTOR_SHOWN_MAX) {
        doctor->findings++;
        return;
    }
    Str text = str_z(found->text), name = STR("");
    if (found->bucket.len)
        name = str_format(doctor->tmp, "s3://" STR_FMT "/" STR_FMT ": ", STR_ARG(found->bucket), STR_ARG(found->key));
    if (str_starts(text, name))
        text = str_from(text, name.len);
    Str at = found->file[0] ? str_format(doctor->tmp, " (%s, byte %llu)", found->file, (unsigned long long)found->at)
                            : STR("");
    bool missing = found->code == E_NOT_FOUND || str_find(text, STR("No such file")) >= 0;
    doctor_finding(doctor, str_format(doctor->tmp, STR_FMT STR_FMT STR_FMT, STR_ARG(name), STR_ARG(text), STR_ARG(at)),
                   found->bucket.len && missing
                       ? "its bytes are missing: put the object again from its source, or its file back from a backup"
                       : found->advice);
}

static void store_look(Doctor *doctor)
{
    Err err;
    StoreVerified verified;
    StoreLook look = { doctor, 0 };
    size_t before = doctor->findings;
    StoreRemade remade;
    store_index_remade(doctor->lake->api.store, &remade);
    if (remade.remade)
        doctor_finding(doctor, str_format(doctor->tmp, "the index was of no use: %s", remade.reason),
                       "it was made again from the journal just now, nothing is lost; what was damaged lies in "
                       "store/index.old: check the drive");
    Code code = store_verify(doctor->lake->api.store, doctor->hashes, store_found, &look, &verified, &err);
    if (code != E_OK)
        doctor_finding(doctor, str_format(doctor->tmp, "store: %s%s%s", err.text, err.place[0] ? ", at " : "",
                                          err.place),
                       code == E_CORRUPT ? "the index is damaged: the next start makes it again from the journal"
                                         : "the check itself could not run: is the disk well?");
    else if (doctor->findings == before)
        doctor_good("store: %llu objects, %llu journal records%s", (unsigned long long)verified.objects,
                    (unsigned long long)verified.records, doctor->hashes ? ", every byte compared" : "");
    if (look.found > DOCTOR_SHOWN_MAX)
        printf("       and %zu more of these\n", look.found - DOCTOR_SHOWN_MAX);
}

/* What no count misses. It takes the time and the room of an index that is made again. */
static void index_look(Doctor *doctor)
{
    Err err;
    StoreLook look = { doctor, 0 };
    StoreCompared compared = { 0 };
    Code code = store_compare(doctor->lake->api.store, store_found, &look, NULL, &compared, &err);
    if (code != E_OK)
        doctor_finding(doctor, str_format(doctor->tmp, "the index could not be compared with the journal: %s%s%s",
                                          err.text, err.place[0] ? ", at " : "", err.place),
                       code == E_CORRUPT ? "see to the journal first: what is said of it above"
                                         : "make room for a second index beside it, and look again");
    else if (compared.findings == 0)
        doctor_good("index: all %llu rows as the journal says", (unsigned long long)compared.rows);
    if (look.found > DOCTOR_SHOWN_MAX)
        printf("       and %zu more of these\n", look.found - DOCTOR_SHOWN_MAX);
}

/* What the server has read by itself: told, not counted, for this look finds what is still damaged. */
static void scrub_look(Doctor *doctor)
{
    ScrubLast last;
    scrub_last(os_real(), doctor->dir, doctor->tmp, &last);
    if (last.ended_us == 0)
        return;
    Str time = time_format(doctor->tmp, last.ended_us);
    if (last.findings == 0)
        doctor_good("every byte was read last at " STR_FMT ": %llu objects, %llu bytes, all whole", STR_ARG(time),
                    (unsigned long long)last.objects, (unsigned long long)last.bytes);
    else
        printf("  note every byte was read last at " STR_FMT ": %llu damaged, the first is " STR_FMT
               "\n       `tarn doctor --hashes` says what is still damaged, and what to do\n",
               STR_ARG(time), (unsigned long long)last.findings, STR_ARG(last.first));
}

static bool principal_is_there(const MetaPrincipal *rows, size_t count, Str id)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(rows[i].id, id))
            return true;
    return false;
}

static void principals_look(Doctor *doctor)
{
    Err err;
    MetaAccessKey *keys;
    MetaPrincipal *principals;
    size_t key_count, count, lost = 0;
    Govern *govern = doctor->lake->api.govern;
    Code code = govern_principals(govern, doctor->tmp, &principals, &count, &err);
    if (code == E_OK)
        code = govern_access_list(govern, STR_NONE, doctor->tmp, &keys, &key_count, &err);
    if (code != E_OK) {
        doctor_finding(doctor, str_z(err.text), "restore meta/ from the last backup");
        return;
    }
    for (size_t i = 0; i < key_count; i++)
        lost += !principal_is_there(principals, count, keys[i].principal_id);
    if (lost)
        doctor_finding(doctor,
                       str_format(doctor->tmp, "%zu of %zu access keys belong to no principal", lost, key_count),
                       "restore meta/ from the last backup");
}

static void keys_look(Doctor *doctor)
{
    Err err;
    size_t keys, closed;
    const char *variable = getenv("TARN_MASTER_KEY");
    Govern *govern = doctor->lake->api.govern;
    OsStat stat;
    const char *path = str_copy_z(doctor->tmp, str_format(doctor->tmp, "%s/keys/master", doctor->dir));
    bool named = variable && *variable;
    if (!named && os_stat(os_real(), path, &stat, NULL) != E_OK)
        return; /* told already */
    Code code = govern_master_load(govern, path, named ? str_z(variable) : STR_NONE, &err);
    if (code == E_OK)
        code = govern_access_sealed(govern, &keys, &closed, &err);
    if (code != E_OK)
        doctor_finding(doctor, str_z(err.text), "put keys/master back from a backup");
    else if (closed)
        doctor_finding(doctor, str_format(doctor->tmp, "%zu of %zu access keys were sealed by another master key",
                                          closed, keys),
                       "put the right keys/master back from a backup, or revoke those keys and make new ones");
    else
        doctor_good("access keys: the master key opens all %zu", keys);
}

static Code table_look(Doctor *doctor, const TableEntry *entry, size_t *ret_files, Err *err)
{
    AUTO(table_version_free) TableVersion *version = NULL;
    ScanPlan plan;
    TRY(catalog_load(doctor->lake->api.catalog, entry->ns, entry->name, &version, err));
    TRY(table_scan(version, &(TableScan){ 0 }, doctor->tmp, &plan, err));
    for (size_t i = 0; i < plan.file_count; i++) {
        Str bucket, key;
        ObjectInfo info;
        if (!store_address_parse(plan.files[i]->address, &bucket, &key))
            return err_set(err, E_CORRUPT, "'" STR_FMT "' is no address", STR_ARG(plan.files[i]->address));
        TRY(store_head(doctor->lake->api.store, bucket, key, doctor->tmp, &info, err));
        if (info.size_bytes != (uint64_t)plan.files[i]->size_bytes)
            return err_set(err, E_CORRUPT, STR_FMT " has %llu bytes, its manifest says %lld",
                           STR_ARG(plan.files[i]->address), (unsigned long long)info.size_bytes,
                           (long long)plan.files[i]->size_bytes);
    }
    *ret_files += plan.file_count;
    return E_OK;
}

static void tables_look(Doctor *doctor)
{
    Err err;
    TableEntry *entries = NULL;
    size_t count = 0, files = 0, before = doctor->findings;
    if (catalog_table_list(doctor->lake->api.catalog, STR_NONE, doctor->tmp, &entries, &count, &err) != E_OK) {
        doctor_finding(doctor, str_z(err.text), "restore meta/ from the last backup");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_view || table_look(doctor, &entries[i], &files, &err) == E_OK)
            continue;
        doctor_finding(doctor, str_format(doctor->tmp, "table " STR_FMT "." STR_FMT ": %s", STR_ARG(entries[i].ns),
                                   STR_ARG(entries[i].name), err.text),
                "run its model again with `tarn run --model NAME --force`, or restore a backup");
    }
    if (doctor->findings == before)
        printf("  ok   tables: %zu, with %zu data files of their current snapshots\n", count, files);
}

/* The database alone, when another room keeps the lake closed. */
static void meta_alone(Doctor *doctor)
{
    Err err;
    Meta *meta = NULL;
    Lake lake = { 0 };
    OsStat stat;
    const char *path = str_copy_z(doctor->tmp, str_format(doctor->tmp, "%s/meta/tarn.db", doctor->dir));
    if (os_stat(os_real(), path, &stat, NULL) != E_OK ||
        meta_open(os_real(), &(MetaOptions){ .path = path }, &meta, &err) != E_OK)
        return;
    lake.api.meta = meta;
    doctor->lake = &lake;
    meta_look(doctor);
    doctor->lake = NULL;
    meta_free(&meta);
}

static void lake_inside(Doctor *doctor)
{
    Err err;
    Lake lake;
    const char *stage;
    err_clear(&err);
    if (doctor->missing) {
        meta_alone(doctor);
        return;
    }
    if (lake_look(doctor->conf, &lake, &stage, &err) != E_OK) {
        doctor_room(doctor, stage, &err);
        if (strcmp(stage, "store") == 0 || strcmp(stage, "rooms") == 0)
            meta_alone(doctor);
        return;
    }
    doctor->lake = &lake;
    meta_look(doctor);
    store_look(doctor);
    if (doctor->deep)
        index_look(doctor);
    keys_look(doctor);
    principals_look(doctor);
    tables_look(doctor);
    doctor->lake = NULL;
    lake_close(&lake);
}

/* What a start would refuse is no damage. False: with these settings the lake itself does not open. */
static bool settings_look(Doctor *doctor)
{
    Err err;
    err_clear(&err);
    bool opens = lake_settings_check(doctor->conf, &err) == E_OK;
    if (opens && door_settings_check(doctor->conf, &err) == E_OK)
        return true;
    doctor_finding(doctor, str_format(doctor->tmp, "settings: %s", err.text),
                   err.hint[0] ? err.hint : "`tarn config explain` says where each setting stands");
    return opens;
}

Code command_doctor(const Args *args, Err *err)
{
    Conf conf AUTO(conf_done) = { 0 };
    Arena tmp AUTO(arena_done) = { 0 };
    TRY(command_no_words(args, "doctor", err));
    TRY(settings_load(&conf, args, err));
    Str dir = conf_text(&conf, "data.dir");
    OsStat stat;
    Code there = os_stat(os_real(), str_copy_z(&tmp, str_format(&tmp, STR_FMT "/FORMAT", STR_ARG(dir))), &stat, err);
    if (there != E_OK && there != E_NOT_FOUND)
        return there;
    if (there != E_OK)
        return err_hint(err, err_set(err, E_NOT_FOUND, STR_FMT " is no data directory", STR_ARG(dir)),
                        "name it with --data DIR");
    Code workers = lake_workers_start(err);
    if (workers != E_OK)
        printf("  BAD  workers: %s\n", err->text);
    printf("tarn %s, %s\n", TARN_VERSION, str_copy_z(&tmp, dir));
    Doctor doctor = { .conf = &conf, .dir = str_copy_z(&tmp, dir), .tmp = &tmp, .findings = workers != E_OK,
                      .hashes = args_has(args, "--hashes"), .deep = args_has(args, "--deep") };
    if (workers == E_OK && worker_running())
        doctor_good("workers for raw files start, locked in");
    doctor_space(&doctor);
    doctor_files(&doctor);
    scrub_look(&doctor);
    if (settings_look(&doctor))
        lake_inside(&doctor);
    else
        meta_alone(&doctor);
    worker_stop();
    if (!doctor.findings) {
        printf("all is well\n");
        return E_OK;
    }
    if (doctor.in_use && doctor.findings == 1)
        return err_hint(err, err_set(err, E_UNAVAILABLE, "the data directory %s is in use", doctor.dir),
                        "all else that can be looked at is well; stop its server and look again for the rest");
    return err_set(err, E_CORRUPT, "%zu finding%s", doctor.findings, doctor.findings == 1 ? "" : "s");
}
