/* compare.c: the index beside one that is made from the journal alone: a row that was lost and that no count misses is
 * found by nothing else.
 *
 * Invariants
 * 1. The second index has a directory of its own, which goes again; the store's own is only read.
 * 2. Of the feed only what its readers may still ask for is compared, and only what the journal says: it may have let
 *    go what they have given back, which the index does a little later.
 * 3. Findings say that the index is wrong. The journal is the truth, so the next start makes the index again. */
#include "store/store_priv.h"

#include "base/text.h"

static const char INDEX_AGAIN[] = "start tarn again: it makes the index again from the journal, and nothing is lost";
static const char TRASH_AGAIN[] = "start tarn again: it makes the index again from the journal, and nothing is lost; "
                                  "what was removed while store.trash was 0 is no damage";

typedef struct Compare {
    Store *store;
    Store *shadow; /* what the journal says */
    StoreFindingVisit *visit;
    void *arg;
    uint64_t trimmed; /* of the feed */
    StoreCompared seen;
} Compare;

typedef enum Difference { LOST, UNKNOWN, ANOTHER } Difference;

static const char *kind_name(char kind, Str value)
{
    Arena tmp AUTO(arena_done) = { 0 };
    ObjectRecord record;
    switch (kind) {
    case 's':
        return "its own state: counts, or how far it goes";
    case 'b':
        return "a bucket";
    case 'o':
        return object_decode(value, true, &tmp, &record, NULL) == E_OK && record.info.delete_marker ? "a delete marker"
                                                                                                   : "a version";
    case 'd':
        return "a version in the trash";
    case 'n':
        return "which version is the null version";
    case 'f':
        return "a change of the feed";
    case 'q':
        return "the counts of a bucket";
    case 'u':
        return "an upload in parts";
    case 'p':
        return "a part of an upload";
    case 'g':
        return "how much lives in a segment of the journal";
    case 't':
        return "since when something is trash";
    case 'x':
        return "whose the bytes of a file are";
    default:
        return "a row of no kind that there is";
    }
}

/* The bucket and, where there is one, the object key that the row is about. */
static void name_parse(Str row, Arena *arena, StoreFinding *found, Str *ret_rest)
{
    Str none = str_sub(row, 0, 0);
    StoreUploadId id;
    char kind = row.ptr[0];
    ptrdiff_t zero = str_find_char(row, 0);
    found->bucket = found->key = none;
    *ret_rest = none;
    if (kind == 'b' || kind == 'q')
        found->bucket = str_from(row, 1);
    else if (zero > 0 && (kind == 'o' || kind == 'd'))
        IGNORE(key_object_parse(row, arena, &found->bucket, &found->key, &found->sequence, NULL)); /* else the bytes */
    else if (zero > 0 && kind == 'u' && key_upload_parse(row, arena, &found->key, &id, NULL) == E_OK)
        found->bucket = str_sub(row, 1, (size_t)zero - 1);
    else if (zero > 0 && kind == 'n' && row.len > (size_t)zero + 3) {
        found->bucket = str_sub(row, 1, (size_t)zero - 1);
        found->key = str_sub(row, (size_t)zero + 1, row.len - (size_t)zero - 3); /* as it stands there: 00 is 00 ff */
    }
    if (found->bucket.len == 0)
        *ret_rest = hex_format(arena, str_from(row, 1));
}

static void differ(Compare *compare, Difference difference, Str row, Str value)
{
    static const char *const said[] = { [LOST] = "the index has lost ", [UNKNOWN] = "the journal does not know of ",
                                        [ANOTHER] = "the index and the journal do not agree on " };
    Arena tmp AUTO(arena_done) = { 0 };
    bool trash = str_find_char(STR("dtsqg"), row.ptr[0]) >= 0; /* its rows, and what counts them */
    StoreFinding found = { .code = E_CORRUPT, .file = "", .advice = trash ? TRASH_AGAIN : INDEX_AGAIN };
    Str rest;
    compare->seen.findings++;
    name_parse(row, &tmp, &found, &rest);
    Str version = found.sequence ? object_version(&tmp, found.sequence) : rest;
    found.text = str_format(&tmp, "%s%s%s" STR_FMT "%c", said[difference], kind_name(row.ptr[0], value),
                            version.len ? " " : "", STR_ARG(version), 0).ptr;
    if (compare->visit)
        compare->visit(compare->arg, &found);
}

/* Whether its readers may still ask for this change. */
static bool unread(const Compare *compare, Str row)
{
    Reader r = reader_of(str_from(row, 1));
    return read_u64be(&r) > compare->trimmed;
}

static void row_look(Compare *compare, const Cursor *is, const Cursor *said)
{
    int order = !is->there ? 1 : !said->there ? -1 : str_cmp(cursor_key(is), cursor_key(said));
    Str row = cursor_key(order < 0 ? is : said);
    bool change = row.ptr[0] == 'f';
    compare->seen.rows++;
    if (change && (order < 0 || !unread(compare, row)))
        return;
    if (order != 0)
        differ(compare, order < 0 ? UNKNOWN : LOST, row, cursor_value(order < 0 ? is : said));
    else if (!str_eq(cursor_value(is), cursor_value(said)))
        differ(compare, ANOTHER, row, cursor_value(is));
}

static Code rows_compare(Compare *compare, const bool *stop, Err *err)
{
    Cursor is AUTO(cursor_done) = { 0 }, said AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&is, compare->store, err));
    TRY(cursor_init(&said, compare->shadow, err));
    TRY(cursor_seek(&is, STR_NONE, err));
    TRY(cursor_seek(&said, STR_NONE, err));
    while (is.there || said.there) {
        if (stop && __atomic_load_n(stop, __ATOMIC_ACQUIRE))
            return err_set(err, E_CANCELLED, "stopped");
        row_look(compare, &is, &said);
        int order = !is.there ? 1 : !said.there ? -1 : str_cmp(cursor_key(&is), cursor_key(&said));
        if (order <= 0)
            TRY(cursor_next(&is, err));
        if (order >= 0)
            TRY(cursor_next(&said, err));
    }
    return E_OK;
}

static uint64_t applied(Store *store)
{
    MUTEX_HELD(&store->mutex);
    return store->applied_lsn;
}

Code store_compare(Store *store, StoreFindingVisit *visit, void *arg, const bool *stop, StoreCompared *ret_compared,
                   Err *err)
{
    Compare compare = { .store = store, .visit = visit, .arg = arg, .trimmed = store_feed_begin(store) };
    Err why;
    if (!store->backend_ops->journal(store->backend))
        return err_set(err, E_UNSUPPORTED, "a store in memory has no journal");
    MUTEX_HELD(&store->compacting);
    uint64_t before = applied(store);
    TRY(store_shadow_open(store, &compare.shadow, err));
    Code code = rows_compare(&compare, stop, err);
    store_shadow_close(store, &compare.shadow);
    TRY(code);
    if (applied(store) != before)
        return err_set(err, E_CONFLICT, "the store was changed while its index was compared");
    if (compare.seen.findings > 0) {
        err_set(&why, E_CORRUPT, "%llu rows are not as the journal says", (unsigned long long)compare.seen.findings);
        index_damaged(store, &why);
    }
    *ret_compared = compare.seen;
    return E_OK;
}
