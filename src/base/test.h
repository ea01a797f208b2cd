/* test.h: the frame of every *_test.c: TEST declares a case, CHECK_* look, one main per folder runs.
 * Owner:   the test runner of a folder (it links base/test.c, which has main()).
 * Threads: cases run one after another; CHECK from any thread.
 * Errors:  a failed CHECK prints its place and values, the case goes on and counts as failed.
 * Limits:  none.
 * Units:   none.
 *
 * A runner prints one line per case and ends with `N passed, N failed`; `runner NAME` runs the cases
 * whose name contains NAME; TARN_SEED sets the seed that test_seed() gives (printed on failure). */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct TestCase {
    const char *name;
    void (*run)(void);
    struct TestCase *next;
} TestCase;

/* A runner may define it: runs in main() before the first case, when no thread has been started. */
void test_begin(void) __attribute__((weak));

void test_register(TestCase *test_case);
void test_failed(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);
uint64_t test_seed(void);
const char *test_dir(void);   /* a fresh empty directory of this case, removed when it passes */

#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void test_register_##name(void)                            \
    {                                                                                              \
        static TestCase test_case = { #name, test_##name, NULL };                                  \
        test_register(&test_case);                                                                 \
    }                                                                                              \
    static void test_##name(void)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            test_failed(__FILE__, __LINE__, "%s does not hold", #condition);                       \
    } while (0)

#define CHECK_INT(got, wanted)                                                                     \
    do {                                                                                           \
        long long got_ = (long long)(got);                                                         \
        long long wanted_ = (long long)(wanted);                                                   \
        if (got_ != wanted_)                                                                       \
            test_failed(__FILE__, __LINE__, "%s is %lld, wanted %lld", #got, got_, wanted_);       \
    } while (0)

#define CHECK_STR(got, wanted)                                                                     \
    do {                                                                                           \
        Str got_ = (got);                                                                          \
        Str wanted_ = (wanted);                                                                    \
        if (!str_eq(got_, wanted_))                                                                \
            test_failed(__FILE__, __LINE__, "%s is '" STR_FMT "', wanted '" STR_FMT "'", #got,     \
                        STR_ARG(got_), STR_ARG(wanted_));                                          \
    } while (0)

/* `err` is the Err * that the call was given. */
#define CHECK_OK(call, err)                                                                        \
    do {                                                                                           \
        Code code_ = (call);                                                                       \
        if (code_ != E_OK)                                                                         \
            test_failed(__FILE__, __LINE__, "%s gave %s: %s [%s]", #call, code_info(code_)->name,  \
                        (err)->text, (err)->place);                                                \
    } while (0)

#define CHECK_CODE(call, wanted)                                                                   \
    do {                                                                                           \
        Code code_ = (call);                                                                       \
        if (code_ != (wanted))                                                                     \
            test_failed(__FILE__, __LINE__, "%s gave %s, wanted %s", #call,                        \
                        code_info(code_)->name, code_info(wanted)->name);                          \
    } while (0)
