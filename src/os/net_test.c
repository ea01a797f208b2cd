/* Covers net.c where no loop is needed: connecting while signals come. */
#include "os/net.h"

#include "base/test.h"

#include <signal.h>
#include <sys/time.h>

enum { EVERY_US = 20000, ACCEPTED_AT = 10 };

static volatile sig_atomic_t signals_come, door = -1, accepted = -1;

static void signal_comes(int number)
{
    NetAddress peer;
    (void)number;
    signals_come = signals_come + 1;
    if (signals_come == ACCEPTED_AT)
        accepted = net_accept(door, &peer);
}

/* The second client of a full queue waits until there is room and the kernel asks again, which takes a second. */
TEST(net_a_signal_does_not_end_a_connect)
{
    Err err;
    NetAddress any, bound;
    struct sigaction interrupt = { .sa_handler = signal_comes }, before; /* no SA_RESTART */
    struct itimerval often = { { 0, EVERY_US }, { 0, EVERY_US } }, never = { { 0, 0 }, { 0, 0 } };
    int listener = -1, first = -1, second = -1;
    err_clear(&err);
    CHECK_OK(net_address_parse(STR("127.0.0.1:0"), &any, &err), &err);
    CHECK_OK(net_listen(&any, &listener, 1, &bound, &err), &err);
    CHECK_INT(listen(listener, 0), 0);
    door = listener;
    CHECK_OK(net_connect(&bound, 20000, &first, &err), &err);
    CHECK_INT(sigaction(SIGALRM, &interrupt, &before), 0);
    CHECK_INT(setitimer(ITIMER_REAL, &often, NULL), 0);
    Code code = net_connect(&bound, 20000, &second, &err);
    CHECK_INT(setitimer(ITIMER_REAL, &never, NULL), 0);
    CHECK_INT(sigaction(SIGALRM, &before, NULL), 0);
    CHECK_OK(code, &err);
    CHECK(signals_come > ACCEPTED_AT);
    int taken = accepted;
    net_close(&taken);
    net_close(&second);
    net_close(&first);
    net_close(&listener);
}
