/* The frame of the test runners: linked into them only, so it may talk to the machine. */
#include "base/test.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static TestCase *first_case;
static TestCase **last_case = &first_case;
static atomic_int case_failures;
static char case_dir[512];

void test_register(TestCase *test_case)
{
    *last_case = test_case;
    last_case = &test_case->next;
}

void test_failed(const char *file, int line, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "  %s:%d: %s\n", file, line, text);
    atomic_fetch_add(&case_failures, 1);
}

uint64_t test_seed(void)
{
    const char *text = getenv("TARN_SEED");
    uint64_t seed = 1;
    if (text && !str_u64(str_z(text), &seed))
        fprintf(stderr, "  TARN_SEED is no number, 1 is used\n");
    return seed;
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

const char *test_dir(void)
{
    if (!case_dir[0]) {
        const char *top = getenv("TMPDIR");
        snprintf(case_dir, sizeof case_dir, "%s/tarn-test-XXXXXX", top ? top : "/tmp");
        ASSERT(mkdtemp(case_dir));
    }
    return case_dir;
}

static bool case_run(const TestCase *test_case)
{
    atomic_store(&case_failures, 0);
    case_dir[0] = '\0';
    test_case->run();
    bool passed = atomic_load(&case_failures) == 0;
    printf("%s %s\n", passed ? "ok  " : "FAIL", test_case->name);
    if (!passed)
        printf("     seed %llu%s%s\n", (unsigned long long)test_seed(),
               case_dir[0] ? ", files kept in " : "", case_dir);
    else if (case_dir[0])
        nftw(case_dir, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
    fflush(stdout);
    return passed;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    if (test_begin)
        test_begin();
    for (const TestCase *c = first_case; c; c = c->next) {
        if (argc > 1 && !strstr(c->name, argv[1]))
            continue;
        if (case_run(c))
            passed++;
        else
            failed++;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
