#include "os/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static bool variable_u64(const char *name, uint64_t *ret_value)
{
    return str_u64(str_z(getenv(name)), ret_value);
}

static Code socket_take(int fd, Str name, ServiceSocket *ret_socket, Err *err)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || !listens)
        return err_set(err, E_INVALID, "descriptor %d of the service manager is no listening stream "
                       "socket", fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return err_set(err, E_IO, "descriptor %d of the service manager: %s", fd, strerror(errno));
    *ret_socket = (ServiceSocket){ .fd = fd };
    memcpy(ret_socket->name, name.ptr ? name.ptr : "", MIN(name.len, (size_t)SERVICE_NAME_MAX - 1));
    return E_OK;
}

static Code sockets_take(ServiceSocket *ret_sockets, size_t *ret_count, Err *err)
{
    uint64_t pid = 0, count = 0;
    Str names = str_z(getenv("LISTEN_FDNAMES"));
    *ret_count = 0;
    if (!variable_u64("LISTEN_PID", &pid) || pid != (uint64_t)getpid() ||
        !variable_u64("LISTEN_FDS", &count))
        return E_OK;
    if (count > SERVICE_SOCKETS_MAX)
        return err_set(err, E_INVALID, "the service manager gives more than %d sockets",
                       SERVICE_SOCKETS_MAX);
    for (uint64_t i = 0; i < count; i++) {
        Str name = STR_NONE;
        IGNORE(!str_split(&names, ':', &name)); /* fewer names than sockets: those have none */
        TRY(socket_take(FIRST_FD + (int)i, name, &ret_sockets[i], err));
    }
    *ret_count = (size_t)count;
    return E_OK;
}

Code service_listen_fds(ServiceSocket *ret_sockets, size_t *ret_count, Err *err)
{
    Code code = sockets_take(ret_sockets, ret_count, err);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return code;
}

Code service_notify(Str state, Err *err)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t len = path ? strlen(path) : 0;
    if (len == 0)
        return E_OK;
    if (len >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return err_set(err, E_INVALID, "NOTIFY_SOCKET '%s' is no socket's path", path);
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(err, E_UNAVAILABLE, "no socket to notify with: %s", strerror(errno));
    socklen_t to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t sent = sendto(fd, state.ptr, state.len, MSG_NOSIGNAL, (struct sockaddr *)&to, to_len);
    int number = errno;
    close(fd);
    if (sent != (ssize_t)state.len)
        return err_set(err, E_IO, "cannot notify '%s': %s", path, strerror(number));
    return E_OK;
}

int64_t service_watchdog_us(void)
{
    uint64_t pid = 0, wait_us = 0;
    if (variable_u64("WATCHDOG_PID", &pid) && pid != (uint64_t)getpid())
        return 0;
    return variable_u64("WATCHDOG_USEC", &wait_us) ? (int64_t)MIN(wait_us, (uint64_t)INT64_MAX) : 0;
}
