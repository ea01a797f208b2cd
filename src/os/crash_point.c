/* crash_point.c: which place is armed, and the end of the process in it. */
#include "os/crash_point.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

bool crash_point_armed;
static const char *armed_name;
static atomic_uint_fast64_t times_left;

void crash_point_arm(const char *name, uint64_t times)
{
    armed_name = name;
    atomic_store(&times_left, times);
    crash_point_armed = name != NULL;
}

void crash_point_reached(const char *name)
{
    if (strcmp(name, armed_name) == 0 && atomic_fetch_sub(&times_left, 1) == 1)
        kill(getpid(), SIGKILL);
}
