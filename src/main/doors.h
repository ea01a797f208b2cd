/* doors.h: the doors of the server as its settings name them: opened, reloaded, drained, closed.
 * Owner:   `tarn serve`; the lake outlives them.
 * Threads: the main thread.
 * Errors:  INVALID with the setting, EXISTS for a port that is taken, those of files of certificates.
 * Limits:  HTTP_LISTENERS_MAX listeners.
 * Units:   _ms. */
#pragma once

#include "main/lake.h"
#include "os/service.h"

typedef struct Doors Doors;

/* Inherited sockets stand for the addresses of the settings: those called `https` for https.listen, `s3`
 * for s3.listen, `s3-tls` for s3.listen_tls, any other for http.listen. */
typedef struct DoorsOptions {
    const Conf *conf;
    Lake *lake;
    const ServiceSocket *sockets;
    size_t socket_count;
} DoorsOptions;

Code doors_open(const DoorsOptions *options, Doors **ret_doors, Err *err) CHECKED;
typedef enum DoorKind { DOOR_HTTP, DOOR_HTTPS, DOOR_S3, DOOR_S3_TLS } DoorKind;
/* Address of the first such listener; STR_NONE: that door is closed. */
Str doors_address(const Doors *doors, DoorKind kind);
/* `tarn: http ADDRESS` for each listener. */
void doors_print(const Doors *doors);

/* Certificates, policy and log files as settings and files are now; on an error all stays as it was. */
Code doors_reload(Doors *doors, const Conf *conf, Err *err) CHECKED;
bool doors_drain(Doors *doors, uint32_t wait_ms); /* true: every request has ended; may be called again */
/* Sends every loop a pulse; true: all have run the one of the call before. */
bool doors_pulse(Doors *doors);
void doors_close(Doors **doors);
