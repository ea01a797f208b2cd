#include "os/service.h"

#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int listener_new(const char *path, int type)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    CHECK_INT(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

TEST(service_notices_arrive)
{
    char path[100], got[64];
    Err err;
    unsetenv("NOTIFY_SOCKET");
    CHECK_OK(service_notify(STR("READY=1"), &err), &err);
    snprintf(path, sizeof path, "%s/notify", test_dir());
    int fd = listener_new(path, SOCK_DGRAM);
    setenv("NOTIFY_SOCKET", path, 1);
    CHECK_OK(service_notify(STR("READY=1\nSTATUS=up"), &err), &err);
    ssize_t len = recv(fd, got, sizeof got, 0);
    CHECK_STR(str_of(got, (size_t)MAX(len, (ssize_t)0)), STR("READY=1\nSTATUS=up"));
    close(fd);
    CHECK_CODE(service_notify(STR("READY=1"), &err), E_IO);
    setenv("NOTIFY_SOCKET", "relative", 1);
    CHECK_CODE(service_notify(STR("READY=1"), &err), E_INVALID);
    unsetenv("NOTIFY_SOCKET");
}

TEST(service_watchdog)
{
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    CHECK_INT(service_watchdog_us(), 0);
    setenv("WATCHDOG_USEC", "3000000", 1);
    CHECK_INT(service_watchdog_us(), 3000000);
    setenv("WATCHDOG_PID", pid, 1);
    CHECK_INT(service_watchdog_us(), 3000000);
    setenv("WATCHDOG_PID", "1", 1);
    CHECK_INT(service_watchdog_us(), 0);
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
}

/* In a process of its own: descriptor 3 is ours there. */
static int child_takes(int fd, const char *pid, const char *count, const char *names)
{
    ServiceSocket sockets[SERVICE_SOCKETS_MAX];
    size_t taken = 0;
    char own[32];
    snprintf(own, sizeof own, "%d", (int)getpid());
    if (dup2(fd, 3) != 3)
        return 90;
    setenv("LISTEN_PID", pid ? pid : own, 1);
    setenv("LISTEN_FDS", count, 1);
    setenv("LISTEN_FDNAMES", names, 1);
    Code code = service_listen_fds(sockets, &taken, NULL);
    if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
        return 91;
    if (code != E_OK)
        return 80;
    if (taken == 1 && (sockets[0].fd != 3 || strcmp(sockets[0].name, "https") != 0))
        return 92;
    return (int)taken;
}

static int in_child(int fd, const char *pid, const char *count, const char *names)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(child_takes(fd, pid, count, names));
    CHECK_INT(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

TEST(service_sockets_are_taken_when_they_are_ours)
{
    char path[100];
    snprintf(path, sizeof path, "%s/stream", test_dir());
    int fd = listener_new(path, SOCK_STREAM);
    CHECK_INT(in_child(fd, NULL, "1", "https"), 80); /* it does not listen yet */
    CHECK_INT(listen(fd, 1), 0);
    CHECK_INT(in_child(fd, NULL, "1", "https"), 1);
    CHECK_INT(in_child(fd, NULL, "1", "https:more"), 1);
    CHECK_INT(in_child(fd, "1", "1", "https"), 0);
    CHECK_INT(in_child(fd, NULL, "0", ""), 0);
    CHECK_INT(in_child(fd, NULL, "x", ""), 0);
    CHECK_INT(in_child(fd, NULL, "17", ""), 80);
    close(fd);
}
