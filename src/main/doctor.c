/* What `tarn doctor` looks at, offline: it takes the lock of the data directory. */
#include "main/command.h"
#include "main/lake.h"
#include "main/render.h"
#include "main/settings.h"
#include "meta/meta.h"
#include "os/worker.h"
#include "store/store_keep.h"
#include "table/catalog.h"
#include "table/scan.h"

#include <stdio.h>

const OptionRow doctor_options[] = {
    { "--hashes", NULL, "read every byte and compare its checksum" },
    { NULL, NULL, NULL },
};

typedef struct Doctor {
    Lake *lake;
    Arena *tmp;
    size_t findings;
} Doctor;

static void good(const char *what)
{
    printf("  ok   %s\n", what);
}

static void finding(Doctor *doctor, Str what, const char *advice)
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
        finding(doctor, str_z(err.text), "restore meta/ from the last backup");
    for (size_t i = 0; i < count; i++)
        finding(doctor, texts[i], "restore meta/ from the last backup");
    if (code == E_OK && !count)
        good("metadata database: whole, and its tables agree");
}

static void store_found(void *arg, const StoreFinding *found)
{
    Doctor *doctor = arg;
    Str text = found->bucket.len ? str_format(doctor->tmp, "s3://" STR_FMT "/" STR_FMT ": %s",
                                              STR_ARG(found->bucket), STR_ARG(found->key), found->text)
                                 : str_format(doctor->tmp, "%s", found->text);
    finding(doctor, text, "put the object again from its source, or restore it from a backup");
}

static void store_look(Doctor *doctor, bool hashes)
{
    Err err;
    StoreVerified verified;
    size_t before = doctor->findings;
    Code code = store_verify(doctor->lake->api.store, hashes, store_found, doctor, &verified, &err);
    if (code != E_OK)
        finding(doctor, str_z(err.text), "the check itself could not run");
    else if (doctor->findings == before)
        printf("  ok   store: %llu objects, %llu journal records%s\n", (unsigned long long)verified.objects,
               (unsigned long long)verified.records, hashes ? ", every byte compared" : "");
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
        finding(doctor, str_z(err.text), "restore meta/ from the last backup");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_view || table_look(doctor, &entries[i], &files, &err) == E_OK)
            continue;
        finding(doctor, str_format(doctor->tmp, "table " STR_FMT "." STR_FMT ": %s", STR_ARG(entries[i].ns),
                                   STR_ARG(entries[i].name), err.text),
                "run its model again with `tarn run --model NAME --force`, or restore a backup");
    }
    if (doctor->findings == before)
        printf("  ok   tables: %zu, with %zu data files of their current snapshots\n", count, files);
}

static void machine_look(Doctor *doctor)
{
    Err err;
    uint64_t free_bytes = 0;
    if (os_space_free(os_real(), doctor->lake->dir, &free_bytes, &err) != E_OK)
        finding(doctor, str_z(err.text), "is the directory on a mounted disk?");
    else if (free_bytes < (uint64_t)1 << 30)
        finding(doctor, str_format(doctor->tmp, "%llu MiB are free", (unsigned long long)(free_bytes >> 20)),
                "free some space: below 1 GiB writes may be refused");
    else
        printf("  ok   space: %llu GiB free\n", (unsigned long long)(free_bytes >> 30));
    if (worker_running())
        good("workers for raw files start, locked in");
}

Code command_doctor(const Args *args, Err *err)
{
    Conf conf AUTO(conf_done) = { 0 };
    Arena tmp AUTO(arena_done) = { 0 };
    TRY(settings_load(&conf, args, err));
    Str dir = conf_text(&conf, "data.dir");
    OsStat stat;
    Code there = os_stat(os_real(), str_copy_z(&tmp, str_format(&tmp, STR_FMT "/FORMAT", STR_ARG(dir))), &stat, err);
    if (there != E_OK)
        return err_hint(err, err_set(err, E_NOT_FOUND, STR_FMT " is no data directory", STR_ARG(dir)),
                        "name it with --data DIR");
    Code workers = lake_workers_start(err);
    if (workers != E_OK)
        printf("  BAD  workers: %s\n", err->text);
    printf("tarn %s, %s\n", TARN_VERSION, str_copy_z(&tmp, dir));
    Lake lake;
    TRY(lake_open(&conf, &lake, err));
    Doctor doctor = { .lake = &lake, .tmp = &tmp, .findings = workers != E_OK };
    machine_look(&doctor);
    meta_look(&doctor);
    store_look(&doctor, args_has(args, "--hashes"));
    tables_look(&doctor);
    lake_close(&lake);
    worker_stop();
    if (!doctor.findings) {
        printf("all is well\n");
        return E_OK;
    }
    return err_set(err, E_CORRUPT, "%zu finding%s", doctor.findings, doctor.findings == 1 ? "" : "s");
}
