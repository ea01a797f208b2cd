/* Covers crash_point.c: only the armed place, only the n-th time, and as by kill -9. */
#include "os/crash_point.h"

#include "base/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int times_reached(const char *armed, uint64_t nth)
{
    int status = -1, reached = 0, pipes[2];
    CHECK(pipe(pipes) == 0);
    pid_t child = fork();
    if (child == 0) {
        crash_point_arm(armed, nth);
        for (int i = 0; i < 3; i++) {
            CRASH_POINT_AT("other");
            CHECK(write(pipes[1], "x", 1) == 1);
            CRASH_POINT_AT("here");
        }
        _exit(0);
    }
    close(pipes[1]);
    for (char c; read(pipes[0], &c, 1) == 1;)
        reached++;
    close(pipes[0]);
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? reached : -reached;
}

TEST(crash_point_ends_the_process_where_it_is_armed)
{
    CHECK_INT(times_reached("here", 1), 1);
    CHECK_INT(times_reached("here", 2), 2);
    CHECK_INT(times_reached("other", 3), 2);
    CHECK_INT(times_reached("here", 4), -3);
    CHECK_INT(times_reached(NULL, 0), -3);
}
