/* Invariants:
 * 1. `held` begins where the state says: BEFORE a boundary, at the head of a part, in its data.
 * 2. In DATA so much stays held as could be the beginning of the mark, nothing more, after each feed. */
#include "front/rest/multipart.h"

#include <string.h>

enum { FEED_PIECE = 64 << 10 };

/* `; name="value"` of a header's value. */
static bool parameter(Arena *arena, Str value, Str name, Str *ret_value)
{
    size_t at = 0;
    while (at < value.len && value.ptr[at] != ';')
        at++;
    while (at < value.len) {
        Str rest = str_trim(str_from(value, at + 1));
        size_t skipped = (size_t)(rest.ptr - value.ptr);
        ptrdiff_t equals = str_find_char(rest, '=');
        if (equals < 0)
            return false;
        Str key = str_trim(str_sub(rest, 0, (size_t)equals));
        char *text = arena_alloc(arena, rest.len + 1);
        size_t len = 0, i = (size_t)equals + 1;
        bool quoted = i < rest.len && rest.ptr[i] == '"';
        for (i += quoted; i < rest.len; i++) {
            char c = rest.ptr[i];
            if (quoted ? c == '"' : c == ';')
                break;
            if (quoted && c == '\\' && i + 1 < rest.len && (rest.ptr[i + 1] == '"' || rest.ptr[i + 1] == '\\'))
                c = rest.ptr[++i];
            text[len++] = c;
        }
        if (str_ieq(key, name)) {
            *ret_value = quoted ? str_of(text, len) : str_trim(str_of(text, len));
            return true;
        }
        at = skipped + i;
        while (at < value.len && value.ptr[at] != ';')
            at++;
    }
    return false;
}

Code multipart_init(Multipart *m, Str content_type, const MultipartOps *ops, void *self, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str boundary = STR_NONE;
    *m = (Multipart){ .ops = ops, .self = self };
    buf_init(&m->held, MULTIPART_HEAD_BYTES_MAX + 2 * FEED_PIECE);
    if (!parameter(&tmp, content_type, STR("boundary"), &boundary) || boundary.len == 0 ||
        boundary.len > MULTIPART_BOUNDARY_MAX)
        return err_set(err, E_INVALID, "a multipart form wants its boundary in Content-Type");
    memcpy(m->mark, "\r\n--", 4);
    memcpy(m->mark + 4, boundary.ptr, boundary.len);
    m->mark_len = boundary.len + 4;
    buf_put(&m->held, STR("\r\n")); /* so that a boundary at the very start is found like the others */
    return E_OK;
}

void multipart_done(Multipart *m)
{
    buf_done(&m->held);
}

static Code head_read(Multipart *m, Str head, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MultipartPart part = { .content_type = STR("") };
    Str line;
    while (head.ptr && str_split(&head, '\n', &line)) {
        ptrdiff_t colon = str_find_char(line, ':');
        Str name = colon < 0 ? line : str_trim(str_sub(line, 0, (size_t)colon));
        Str value = colon < 0 ? STR_NONE : str_trim(str_from(line, (size_t)colon + 1));
        if (str_ieq(name, STR("Content-Type")))
            part.content_type = value;
        if (!str_ieq(name, STR("Content-Disposition")))
            continue;
        IGNORE(!parameter(&tmp, value, STR("name"), &part.name));         /* checked below */
        IGNORE(!parameter(&tmp, value, STR("filename"), &part.filename)); /* a field has none */
    }
    if (!part.name.ptr)
        return err_set(err, E_INVALID, "part %zu of the form has no name", m->parts);
    return m->ops->begin(m->self, &part, err);
}

/* What follows a boundary: a line end and a part, or `--` and the end. */
static Code boundary_over(Multipart *m, size_t mark_at, bool *ret_more, Err *err)
{
    Str behind = str_from(buf_str(&m->held), mark_at + m->mark_len);
    *ret_more = false;
    if (behind.len < 2)
        return E_OK;
    if (m->state == MULTIPART_DATA) {
        TRY(m->ops->data(m->self, str_sub(buf_str(&m->held), 0, mark_at), err));
        TRY(m->ops->end(m->self, err));
    }
    *ret_more = true;
    if (str_starts(behind, STR("--"))) {
        m->state = MULTIPART_OVER;
        buf_clear(&m->held);
        return E_OK;
    }
    if (!str_starts(behind, STR("\r\n")))
        return err_set(err, E_INVALID, "a boundary of the form is followed by other bytes");
    if (++m->parts > MULTIPART_PARTS_MAX)
        return err_set(err, E_LIMIT, "a form has at most %d parts", MULTIPART_PARTS_MAX);
    m->state = MULTIPART_HEAD;
    buf_drop_front(&m->held, mark_at + m->mark_len);
    return E_OK;
}

static Code step(Multipart *m, bool *ret_more, Err *err)
{
    Str held = buf_str(&m->held);
    *ret_more = false;
    if (m->state == MULTIPART_OVER) {
        buf_clear(&m->held); /* an epilogue says nothing */
        return E_OK;
    }
    if (m->state == MULTIPART_HEAD) {
        ptrdiff_t end = str_find(held, STR("\r\n\r\n"));
        if (end < 0 && held.len > MULTIPART_HEAD_BYTES_MAX)
            return err_set(err, E_LIMIT, "the head of part %zu of the form is too large", m->parts);
        if (end < 0)
            return E_OK;
        TRY(head_read(m, str_sub(held, 0, (size_t)end), err));
        m->state = MULTIPART_DATA;
        buf_drop_front(&m->held, (size_t)end + 4);
        *ret_more = true;
        return E_OK;
    }
    ptrdiff_t at = str_find(held, str_of(m->mark, m->mark_len));
    if (at >= 0)
        return boundary_over(m, (size_t)at, ret_more, err);
    size_t keep = MIN(held.len, m->mark_len - 1), free_len = held.len - keep;
    if (m->state == MULTIPART_DATA && free_len > 0)
        TRY(m->ops->data(m->self, str_sub(held, 0, free_len), err));
    buf_drop_front(&m->held, free_len);
    return E_OK;
}

Code multipart_feed(Multipart *m, Str bytes, Err *err)
{
    while (bytes.len > 0) {
        bool more = true;
        Str piece = str_sub(bytes, 0, FEED_PIECE);
        bytes = str_from(bytes, piece.len);
        buf_put(&m->held, piece);
        TRY(buf_end(&m->held, "a form", err));
        while (more)
            TRY(step(m, &more, err));
    }
    return E_OK;
}

Code multipart_finish(Multipart *m, Err *err)
{
    if (m->state != MULTIPART_OVER)
        return err_set(err, E_INVALID, "the form ends before its closing boundary");
    return E_OK;
}
