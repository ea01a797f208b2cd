#include "os/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool host_put(Str host, uint16_t port, NetAddress *ret_address)
{
    char text[INET6_ADDRSTRLEN];
    NetAddress address = { 0 };
    struct sockaddr_in *four = (struct sockaddr_in *)&address.inner;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address.inner;
    if (str_eq(host, STR("localhost")))
        host = STR("127.0.0.1");
    if (host.len == 0)
        host = STR("0.0.0.0");
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        address.len = sizeof *four;
    } else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        address.len = sizeof *six;
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

Code net_address_parse(Str text, NetAddress *ret_address, Err *err)
{
    ptrdiff_t colon = str_rfind_char(text, ':');
    uint64_t port = 0;
    Str host = colon < 0 ? STR_NONE : str_sub(text, 0, (size_t)colon);
    bool boxed = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (boxed)
        host = str_sub(host, 1, host.len - 2);
    bool plain_six = !boxed && str_find_char(host, ':') >= 0;
    if (colon < 0 || plain_six || !str_u64(str_from(text, (size_t)colon + 1), &port) ||
        port > UINT16_MAX || !host_put(host, (uint16_t)port, ret_address)) {
        Code code = err_set(err, E_INVALID, "'" STR_FMT "' is no address to listen on or call",
                            STR_ARG(text));
        return err_hint(err, code, "write NUMBERS:PORT, such as 127.0.0.1:8080 or [::1]:8080");
    }
    return E_OK;
}

Str net_address_format(const NetAddress *address, char *text)
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool six = address->inner.ss_family == AF_INET6;
    const void *at = six ? (const void *)&((const struct sockaddr_in6 *)&address->inner)->sin6_addr
                         : (const void *)&((const struct sockaddr_in *)&address->inner)->sin_addr;
    IGNORE(inet_ntop(six ? AF_INET6 : AF_INET, at, host, sizeof host) == NULL);
    int len = snprintf(text, NET_ADDRESS_TEXT_MAX, six ? "[%s]:%u" : "%s:%u", host,
                       net_address_port(address));
    return str_of(text, (size_t)len);
}

uint16_t net_address_port(const NetAddress *address)
{
    if (address->inner.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&address->inner)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&address->inner)->sin_port);
}

static Code failed(Err *err, const char *what, const NetAddress *address)
{
    char text[NET_ADDRESS_TEXT_MAX];
    int number = errno;
    Code code = E_IO;
    if (number == EADDRINUSE)
        code = E_EXISTS;
    else if (number == EACCES || number == EPERM)
        code = E_FORBIDDEN;
    else if (number == ECONNREFUSED || number == EADDRNOTAVAIL || number == EMFILE)
        code = E_UNAVAILABLE;
    else if (number == EINPROGRESS || number == EAGAIN || number == ETIMEDOUT)
        code = E_TIMEOUT;
    Str shown = net_address_format(address, text);
    return err_set(err, code, "cannot %s " STR_FMT ": %s", what, STR_ARG(shown), strerror(number));
}

Code net_listen(const NetAddress *address, int *ret_fd, NetAddress *ret_bound, Err *err)
{
    int on = 1;
    NetAddress bound = { .len = sizeof bound.inner };
    int fd = socket(address->inner.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(err, "make a socket for", address);
    bool listens = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                   bind(fd, (const struct sockaddr *)&address->inner, address->len) == 0 &&
                   listen(fd, NET_BACKLOG) == 0 &&
                   getsockname(fd, (struct sockaddr *)&bound.inner, &bound.len) == 0;
    if (!listens) {
        Code code = failed(err, "listen on", address);
        net_close(&fd);
        return code;
    }
    *ret_fd = fd;
    if (ret_bound)
        *ret_bound = bound;
    return E_OK;
}

int net_accept(int listen_fd, NetAddress *ret_peer)
{
    int on = 1;
    NetAddress peer = { .len = sizeof peer.inner };
    int fd = accept4(listen_fd, (struct sockaddr *)&peer.inner, &peer.len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return -1;
        return errno == EMFILE || errno == ENFILE ? -2 : -3;
    }
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)); /* only slower without */
    *ret_peer = peer;
    return fd;
}

static bool connect_within(int fd, const NetAddress *address, int64_t timeout_ms)
{
    struct timeval time = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
    int on = 1;
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)); /* only slower without */
    if (timeout_ms > 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) != 0 ||
                           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) != 0))
        return false;
    return connect(fd, (const struct sockaddr *)&address->inner, address->len) == 0;
}

Code net_connect(const NetAddress *address, int64_t timeout_ms, int *ret_fd, Err *err)
{
    int fd = socket(address->inner.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(err, "make a socket for", address);
    if (!connect_within(fd, address, timeout_ms)) {
        Code code = failed(err, "connect to", address);
        net_close(&fd);
        return code;
    }
    *ret_fd = fd;
    return E_OK;
}

ptrdiff_t net_read(int fd, void *bytes, size_t len)
{
    for (;;) {
        ssize_t got = recv(fd, bytes, len, MSG_DONTWAIT);
        if (got >= 0)
            return got;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return -1;
        if (errno != EINTR)
            return -2;
    }
}

ptrdiff_t net_write(int fd, const struct iovec *parts, size_t count)
{
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = count };
    for (;;) {
        ssize_t put = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put >= 0)
            return put;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return -1;
        if (errno != EINTR)
            return -2;
    }
}

void net_shutdown_write(int fd)
{
    IGNORE(shutdown(fd, SHUT_WR)); /* a peer that is gone already is as good */
}

void net_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

uint64_t net_descriptors_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit.rlim_cur = before;
    }
    return limit.rlim_cur;
}
