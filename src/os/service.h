/* service.h: what a service manager (systemd) gives and wants to hear.
 * Owner:   inherited descriptors are the caller's.
 * Threads: the main thread, before others are started (the environment is read and cleaned).
 * Errors:  INVALID for a descriptor that is no listening stream socket; IO for a notice not delivered.
 * Limits:  SERVICE_SOCKETS_MAX.
 * Units:   _us. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { SERVICE_SOCKETS_MAX = 16, SERVICE_NAME_MAX = 64 };

typedef struct ServiceSocket {
    int fd;
    char name[SERVICE_NAME_MAX]; /* FileDescriptorName= of the unit, "" when it has none */
} ServiceSocket;

/* Listening sockets of socket activation (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES), closed on exec
 * from now on; none is no error. The variables are removed, so that no child believes them. */
Code service_listen_fds(ServiceSocket *ret_sockets, size_t *ret_count, Err *err) CHECKED;

/* Tells the manager, for example "READY=1", "RELOADING=1\nMONOTONIC_USEC=...", "STOPPING=1",
 * "STATUS=..."; does nothing without NOTIFY_SOCKET. */
Code service_notify(Str state, Err *err) CHECKED;

/* How often the manager wants "WATCHDOG=1"; 0: it does not. Half of it is a good interval. */
int64_t service_watchdog_us(void);
