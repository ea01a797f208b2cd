#include "base/log.h"

#include "base/test.h"

#include <stdio.h>
#include <string.h>

static char seen[256];

static void sink_of_test(LogLevel level, Str line)
{
    (void)level;
    snprintf(seen, sizeof seen, STR_FMT, STR_ARG(line));
}


TEST(log_line_cannot_be_forged)
{
    log_init(sink_of_test, LOG_INFO);
    log_line(LOG_INFO, "user=%s", "a\nroot logged in");
    CHECK(strchr(seen, '\n') == NULL);
    CHECK(strstr(seen, "a\\x0aroot") != NULL);
    seen[0] = '\0';
    log_line(LOG_DEBUG, "quiet");
    CHECK_INT(seen[0], 0);
    log_init(NULL, LOG_INFO);
}
