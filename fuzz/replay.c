/* Runs every fuzz target over its corpus, without libFuzzer: `fuzz_replay CORPUS_DIR [NAME]`. Each
 * target runs in a process of its own, so that a crash is one failure and names its input. A target
 * without inputs fails. Ends with `N passed, N failed`. */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz_targets.h"

enum { SECONDS_MAX = 120, INPUT_BYTES_MAX = 16 << 20, PATH_LEN_MAX = 1024 };

#define TARGET(name) int fuzz_##name(const uint8_t *bytes, size_t len);
FUZZ_TARGETS
#undef TARGET

static const struct {
    const char *name;
    int (*run)(const uint8_t *bytes, size_t len);
} targets[] = {
#define TARGET(name) { #name, fuzz_##name },
    FUZZ_TARGETS
#undef TARGET
};

static char current[PATH_LEN_MAX]; /* the input that runs, for crashed() */

static void crashed(int number)
{
    ssize_t put = write(STDOUT_FILENO, current, strlen(current));
    put += write(STDOUT_FILENO, " crashes\n", 9);
    (void)put;
    signal(number, SIG_DFL);
    raise(number);
}

static int run_file(size_t target)
{
    FILE *file = fopen(current, "rb");
    uint8_t *bytes = malloc(INPUT_BYTES_MAX);
    if (!file || !bytes)
        return -1;
    size_t len = fread(bytes, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    uint8_t *exact = malloc(len > 0 ? len : 1); /* so that a sanitizer sees the end */
    if (!exact)
        return -1;
    memcpy(exact, bytes, len);
    free(bytes);
    targets[target].run(exact, len);
    free(exact);
    return 0;
}

/* In a child: the exit status says what happened; the count goes to standard output. */
static int run_target(const char *corpus, size_t target)
{
    static const int signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGALRM };
    char dir_path[PATH_LEN_MAX / 2];
    size_t count = 0;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], crashed);
    alarm(SECONDS_MAX);
    snprintf(dir_path, sizeof dir_path, "%s/%s", corpus, targets[target].name);
    DIR *dir = opendir(dir_path);
    if (dir) {
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (entry->d_name[0] == '.')
                continue;
            snprintf(current, sizeof current, "%s/%s", dir_path, entry->d_name);
            if (run_file(target) != 0)
                return 1;
            count++;
        }
        closedir(dir);
    }
    printf("%s %s, %zu inputs\n", count > 0 ? "ok  " : "FAIL", targets[target].name, count);
    fflush(stdout);
    return count > 0 ? 0 : 1;
}

/* A folder of inputs that no target reads would rot unseen. */
static int orphans(const char *corpus)
{
    int count = 0;
    DIR *dir = opendir(corpus);
    if (!dir)
        return 1;
    for (struct dirent *entry; (entry = readdir(dir));) {
        bool known = entry->d_name[0] == '.';
        for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
            known = known || strcmp(entry->d_name, targets[i].name) == 0;
        if (!known) {
            printf("FAIL %s, no target reads it\n", entry->d_name);
            count++;
        }
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: fuzz_replay CORPUS_DIR [NAME]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        if (argc > 2 && strcmp(argv[2], targets[i].name) != 0)
            continue;
        int status = -1;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            exit(run_target(argv[1], i));
        if (child > 0)
            waitpid(child, &status, 0);
        if (status == 0)
            passed++;
        else
            failed++;
    }
    failed += argc > 2 ? 0 : orphans(argv[1]);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
