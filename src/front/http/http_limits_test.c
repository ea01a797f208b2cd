/* front/limits.def says what the code does: the defaults of its rows are the constants. */
#include "base/test.h"
#include "front/grpc/grpc.h"
#include "front/grpc/grpc_frame.h"
#include "front/http/http2_priv.h"
#include "front/http/http_encode.h"
#include "front/http/http_priv.h"
#include "front/http/http_trace.h"
#include "front/ws/ws.h"
#include "journal/journal.h"

enum { SETTING = -1 };

/* "32 KiB", "10 s", "4096", "20000 us" in bytes, milliseconds, or as it is. */
static int64_t number_of(Str text)
{
    int64_t number = 0;
    ptrdiff_t blank = str_find_char(text, ' ');
    Str unit = blank < 0 ? STR("") : str_from(text, (size_t)blank + 1);
    CHECK(str_i64(blank < 0 ? text : str_sub(text, 0, (size_t)blank), &number));
    return number * (str_eq(unit, STR("KiB")) ? 1024 : str_eq(unit, STR("MiB")) ? 1 << 20 : str_eq(unit, STR("s")) ? 1000 : 1);
}

TEST(limits_stand_in_the_table_as_they_are)
{
    static const struct {
        const char *of, *what, *value, *setting, *beyond, *why;
        int64_t constant;
    } rows[] = {
#define LIMIT(of, what, constant, value, setting, beyond, why) { of, what, value, setting, beyond, why, constant },
#include "front/limits.def"
#undef LIMIT
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].constant != SETTING && number_of(str_z(rows[i].value)) != rows[i].constant)
            test_failed(__FILE__, __LINE__, "%s, %s: %s, but the code has %lld", rows[i].of, rows[i].what, rows[i].value,
                        (long long)rows[i].constant);
        if (rows[i].constant == SETTING && !rows[i].setting[0])
            test_failed(__FILE__, __LINE__, "%s, %s names no setting", rows[i].of, rows[i].what);
        CHECK(rows[i].why[0] != 0);
    }
}
