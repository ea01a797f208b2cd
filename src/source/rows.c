#include "source/rows_priv.h"

#include "base/buf.h"
#include "format/json.h"

struct RowCheck {
    Buf line; /* the front of a line whose end has not come */
    Arena tmp;
    uint64_t line_number;
    uint64_t rows;
};

RowCheck *row_check_new(size_t line_bytes_max)
{
    RowCheck *check = mem_new(sizeof *check);
    buf_init(&check->line, line_bytes_max);
    return check;
}

void row_check_free(RowCheck **check_pointer)
{
    RowCheck *check = TAKE(*check_pointer);
    if (!check)
        return;
    buf_done(&check->line);
    arena_done(&check->tmp);
    mem_free(&check);
}

static Code check_line(RowCheck *check, Str line, Err *err)
{
    check->line_number++;
    Str row = str_trim(line);
    if (row.len == 0)
        return E_OK;
    const Json *value;
    arena_reset(&check->tmp);
    Code code = json_parse(&check->tmp, row, NULL, &value, err);
    if (code == E_OK && json_type(value) != JSON_OBJECT)
        code = err_set(err, E_INVALID, "a row is a JSON object, not %s",
                       json_type_name(json_type(value)));
    if (code != E_OK)
        return err_place(err, code, "line %llu", (unsigned long long)check->line_number);
    check->rows++;
    return E_OK;
}

static Code too_long(RowCheck *check, Err *err)
{
    Code code = err_set(err, E_LIMIT, "a row is longer than %zu bytes", check->line.max);
    return err_place(err, code, "line %llu", (unsigned long long)check->line_number + 1);
}

Code row_check_write(RowCheck *check, Str bytes, Err *err)
{
    for (;;) {
        ptrdiff_t end = str_find_char(bytes, '\n');
        Str part = end < 0 ? bytes : str_sub(bytes, 0, (size_t)end);
        if (part.len > check->line.max - check->line.len)
            return too_long(check, err);
        if (end < 0) {
            buf_put(&check->line, part);
            return E_OK;
        }
        if (check->line.len > 0) {
            buf_put(&check->line, part);
            part = buf_str(&check->line);
        }
        TRY(check_line(check, part, err));
        buf_clear(&check->line);
        bytes = str_from(bytes, (size_t)end + 1);
    }
}

Code row_check_end(RowCheck *check, uint64_t *ret_rows, Err *err)
{
    if (check->line.len > 0)
        TRY(check_line(check, buf_str(&check->line), err));
    if (check->rows == 0)
        return err_set(err, E_INVALID, "there is no row in the body");
    *ret_rows = check->rows;
    return E_OK;
}
