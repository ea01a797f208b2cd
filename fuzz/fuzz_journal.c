/* Damage to a journal, as the input says (u16 place, u8 bits, repeated): it is refused, or what is
 * replayed is the start of what was written. */
#include "journal/journal.h"
#include "os/os_sim.h"

#include <string.h>

enum { RECORDS = 6, RECORD_LEN = 200, EDIT_BYTES = 3, AREA_BYTES = 8192 };
#define SEGMENT "/j/0000000000000001.seg"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Code see(void *arg, const JournalRecord *record, Err *err)
{
    (void)err;
    unsigned *next = arg;
    ASSERT(record->payload.len == RECORD_LEN && record->payload.ptr[RECORD_LEN - 1] == (char)*next);
    (*next)++;
    return E_OK;
}

static Journal *journal_at(Os *os, unsigned *seen)
{
    JournalOptions options = { .dir = "/j", .segment_bytes = JOURNAL_SEGMENT_MIN };
    JournalOpened opened;
    Journal *journal = NULL;
    *seen = 0;
    IGNORE(journal_open(os, &options, see, seen, &opened, &journal, NULL)); /* NULL: refused */
    return journal;
}

static void edit(Os *os, const uint8_t *data, size_t size)
{
    OsFile *file AUTO(os_file_close) = NULL;
    ASSERT(os_file_open(os, SEGMENT, OS_READ | OS_WRITE, &file, NULL) == E_OK);
    for (; size >= EDIT_BYTES; data += EDIT_BYTES, size -= EDIT_BYTES) {
        uint64_t at = (data[0] | (uint64_t)data[1] << 8) % AREA_BYTES;
        char byte;
        size_t got;
        ASSERT(os_file_pread(file, &byte, 1, at, &got, NULL) == E_OK && got == 1);
        byte ^= (char)data[2];
        ASSERT(os_file_pwrite(file, str_of(&byte, 1), at, NULL) == E_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Os *os = os_sim_os(sim);
    unsigned seen;
    Journal *journal AUTO(journal_drop) = journal_at(os, &seen);
    for (int i = 0; i < RECORDS; i++) {
        char payload[RECORD_LEN];
        memset(payload, i, sizeof payload);
        JournalRecord record = { .type = JOURNAL_TYPE_USER, .payload = { payload, RECORD_LEN } };
        ASSERT(journal_append(journal, &record, 1, NULL) == E_OK);
    }
    journal_drop(&journal);
    edit(os, data, size);
    journal = journal_at(os, &seen);
    ASSERT(seen <= RECORDS);
    if (!journal)
        return 0;
    unsigned first = seen;
    journal_drop(&journal);
    journal = journal_at(os, &seen); /* what was accepted once stays */
    ASSERT(journal && seen == first);
    return 0;
}
