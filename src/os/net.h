/* net.h: TCP sockets: addresses, listening, accepting, connecting.
 * Owner:   a descriptor belongs to whoever asked for it, until net_close.
 * Threads: any; a descriptor has no lock of its own.
 * Errors:  INVALID for an address that is none, EXISTS for one that is taken, UNAVAILABLE, TIMEOUT, IO.
 * Limits:  NET_ADDRESS_TEXT_MAX; numbers only, no names are looked up except "localhost".
 * Units:   _ms. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { NET_ADDRESS_TEXT_MAX = 80, NET_BACKLOG = 4096 };

typedef struct NetAddress {
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } inner;
    socklen_t len;
} NetAddress;

/* "127.0.0.1:8080", "[::1]:8080", "localhost:0", ":8080" (all of IPv4). */
Code net_address_parse(Str text, NetAddress *ret_address, Err *err) CHECKED;
/* Writes "127.0.0.1:8080"; `text` holds NET_ADDRESS_TEXT_MAX bytes and borrows them to the result. */
Str net_address_format(const NetAddress *address, char *text);
uint16_t net_address_port(const NetAddress *address);
/* The host alone: 4 bytes, or 16 of IPv6 (an IPv4 address mapped into IPv6 gives its 4). Borrowed. */
Str net_address_host(const NetAddress *address);

/* From a host of 4 or 16 bytes. */
void net_address_set(NetAddress *address, Str host, uint16_t port);
/* All hosts in one form: IPv6 as it is, IPv4 as ::ffff:a.b.c.d, another family as zeros. */
void net_address_bytes(const NetAddress *address, uint8_t ret_bytes[16]);

/* Listens on `count` sockets of one port; the kernel spreads clients over them. A port that another
 * process listens on gives EXISTS. `ret_bound` may be NULL. */
Code net_listen(const NetAddress *address, int *ret_fds, size_t count, NetAddress *ret_bound,
                Err *err) CHECKED;
/* The address that a socket is bound to. */
Code net_local(int fd, NetAddress *ret_address, Err *err) CHECKED;

/* What accepted sockets have from their listener: no delay of small packets, and room for more output
 * is told when less than `unsent_bytes` wait for the wire. */
void net_tune(int listen_fd, uint32_t unsent_bytes);
void net_unsent(int fd, uint32_t unsent_bytes); /* of one socket; 0: as the machine is set */

/* Accepts one, not blocking. -1: nobody waits; -2: no descriptors
 * are left; -3: that one went wrong, try again. */
int net_accept(int listen_fd, NetAddress *ret_peer);

/* Connects and gives a blocking descriptor, with `timeout_ms` for the connect and each later read
 * and write (0: none). A signal does not end it; it begins the time of the connect anew. */
Code net_connect(const NetAddress *address, int64_t timeout_ms, int *ret_fd, Err *err) CHECKED;

/* Not blocking: bytes moved; 0: the end (read only); -1: would block; -2: broken. */
ptrdiff_t net_read(int fd, void *bytes, size_t len);
ptrdiff_t net_write(int fd, const struct iovec *parts, size_t count, bool more); /* more comes at once */
/* A part of a file; one that ends before `at` + 1 is broken. */
ptrdiff_t net_send_file(int fd, int file_fd, uint64_t at, size_t len);
bool net_file_read(int file_fd, void *bytes, size_t len, uint64_t at); /* all of it; false: it cannot */
size_t net_unacknowledged(int fd); /* bytes that were written and have not reached the peer */
void net_shutdown_write(int fd);
void net_reset(int fd);   /* closing it will tell the peer so, and drop what is queued */
void net_close(int *fd); /* sets it to -1 */

/* The most descriptors this process may hold; raises the soft limit to the hard one. */
uint64_t net_descriptors_max(void);
