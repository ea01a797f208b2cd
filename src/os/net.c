#include "os/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <unistd.h>

static bool host_put(Str host, uint16_t port, NetAddress *ret_address)
{
    char text[INET6_ADDRSTRLEN];
    NetAddress address = { 0 };
    struct sockaddr_in *four = &address.inner.four;
    struct sockaddr_in6 *six = &address.inner.six;
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
    bool six = address->inner.any.sa_family == AF_INET6;
    const void *at = six ? (const void *)&address->inner.six.sin6_addr
                         : (const void *)&address->inner.four.sin_addr;
    IGNORE(inet_ntop(six ? AF_INET6 : AF_INET, at, host, sizeof host) == NULL);
    int len = snprintf(text, NET_ADDRESS_TEXT_MAX, six ? "[%s]:%u" : "%s:%u", host,
                       net_address_port(address));
    return str_of(text, (size_t)len);
}

void net_address_set(NetAddress *address, Str host, uint16_t port)
{
    ASSERT(host.len == 4 || host.len == 16);
    *address = (NetAddress){ 0 };
    if (host.len == 4) {
        memcpy(&address->inner.four.sin_addr, host.ptr, 4);
        address->inner.four.sin_family = AF_INET;
        address->inner.four.sin_port = htons(port);
        address->len = sizeof address->inner.four;
    } else {
        memcpy(&address->inner.six.sin6_addr, host.ptr, 16);
        address->inner.six.sin6_family = AF_INET6;
        address->inner.six.sin6_port = htons(port);
        address->len = sizeof address->inner.six;
    }
}

static const uint8_t mapped[12] = { [10] = 0xFF, [11] = 0xFF };

void net_address_bytes(const NetAddress *address, uint8_t ret_bytes[16])
{
    sa_family_t family = address->inner.any.sa_family;
    memset(ret_bytes, 0, 16);
    if (family == AF_INET6) {
        memcpy(ret_bytes, &address->inner.six.sin6_addr, 16);
    } else if (family == AF_INET) {
        memcpy(ret_bytes, mapped, sizeof mapped);
        memcpy(ret_bytes + sizeof mapped, &address->inner.four.sin_addr, 4);
    }
}

uint16_t net_address_port(const NetAddress *address)
{
    bool six = address->inner.any.sa_family == AF_INET6;
    return ntohs(six ? address->inner.six.sin6_port : address->inner.four.sin_port);
}

Str net_address_host(const NetAddress *address)
{
    const struct in6_addr *six = &address->inner.six.sin6_addr;
    if (address->inner.any.sa_family != AF_INET6)
        return str_of(&address->inner.four.sin_addr, 4);
    return IN6_IS_ADDR_V4MAPPED(six) ? str_of(six->s6_addr + 12, 4) : str_of(six, 16);
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

/* Makes one socket of the group. The first is bound alone, so that it fails where anybody listens
 * already, also who shares his port; then it lets the others in. */
static Code listen_one(const NetAddress *address, bool first, bool last, int *ret_fd, Err *err)
{
    int on = 1;
    int fd = socket(address->inner.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(err, "make a socket for", address);
    bool bound = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                 (first || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
                 bind(fd, &address->inner.any, address->len) == 0 &&
                 (!first || last || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
                 listen(fd, NET_BACKLOG) == 0;
    if (!bound) {
        Code code = failed(err, "listen on", address);
        net_close(&fd);
        return code;
    }
    *ret_fd = fd;
    return E_OK;
}

Code net_listen(const NetAddress *address, int *ret_fds, size_t count, NetAddress *ret_bound,
                Err *err)
{
    NetAddress bound = *address;
    size_t made = 0;
    Code code = E_OK;
    for (; code == E_OK && made < count; made += code == E_OK) {
        code = listen_one(&bound, made == 0, made + 1 == count, &ret_fds[made], err);
        if (code == E_OK && made == 0)
            code = net_local(ret_fds[0], &bound, err);
    }
    if (code != E_OK) {
        while (made > 0)
            net_close(&ret_fds[--made]);
        return code;
    }
    if (ret_bound)
        *ret_bound = bound;
    return E_OK;
}

Code net_local(int fd, NetAddress *ret_address, Err *err)
{
    NetAddress local = { .len = sizeof local.inner };
    if (getsockname(fd, &local.inner.any, &local.len) != 0)
        return err_set(err, E_IO, "a socket has no address: %s", strerror(errno));
    sa_family_t family = local.inner.any.sa_family;
    if (family != AF_INET && family != AF_INET6)
        return err_set(err, E_INVALID, "a socket is not one of IPv4 or IPv6");
    *ret_address = local;
    return E_OK;
}

void net_unsent(int fd, uint32_t unsent_bytes)
{
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes)); /* more */
}

void net_tune(int listen_fd, uint32_t unsent_bytes)
{
    int on = 1;
    IGNORE(setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)); /* only slower without */
    net_unsent(listen_fd, unsent_bytes);
}

int net_accept(int listen_fd, NetAddress *ret_peer)
{
    NetAddress peer = { .len = sizeof peer.inner };
    int fd = accept4(listen_fd, &peer.inner.any, &peer.len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return -1;
        return errno == EMFILE || errno == ENFILE ? -2 : -3;
    }
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
    while (connect(fd, &address->inner.any, address->len) != 0) {
        if (errno != EINTR) /* a signal ends the call and not the connecting: Linux goes on waiting when asked again */
            return false;
    }
    return true;
}

Code net_connect(const NetAddress *address, int64_t timeout_ms, int *ret_fd, Err *err)
{
    int fd = socket(address->inner.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
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

ptrdiff_t net_write(int fd, const struct iovec *parts, size_t count, bool more)
{
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = count };
    for (;;) {
        ssize_t put = count == 1 ? send(fd, parts->iov_base, parts->iov_len, flags)
                                 : sendmsg(fd, &message, flags);
        if (put >= 0)
            return put;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return -1;
        if (errno != EINTR)
            return -2;
    }
}

ptrdiff_t net_send_file(int fd, int file_fd, uint64_t at, size_t len)
{
    off_t offset = (off_t)at;
    for (;;) {
        ssize_t put = sendfile(fd, file_fd, &offset, len);
        if (put > 0)
            return put;
        if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return -1;
        if (put == 0 || errno != EINTR)
            return -2;
    }
}

bool net_file_read(int file_fd, void *bytes, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t got = pread(file_fd, bytes, len, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes = (char *)bytes + got;
        at += (uint64_t)got;
        len -= (size_t)got;
    }
    return true;
}

size_t net_unacknowledged(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void net_shutdown_write(int fd)
{
    IGNORE(shutdown(fd, SHUT_WR)); /* a peer that is gone already is as good */
}

void net_reset(int fd)
{
    struct linger none = { .l_onoff = 1 };
    IGNORE(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none)); /* closed all the same */
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
