#include "flow/graph.h"

#include "base/buf.h"

enum { CYCLE_TEXT_MAX = 1500 };

static bool is_ready(const GraphNode *node, const bool *done)
{
    for (size_t i = 0; i < node->input_count; i++) {
        if (!done[node->inputs[i]])
            return false;
    }
    return true;
}

/* From any node that is left, an input that is left can be followed without end: so the walk comes back
 * to a node it has seen, and from there on it is the cycle. */
static Code show_cycle(Arena *arena, const GraphNode *nodes, size_t count, const bool *done,
                       Err *err)
{
    size_t *path = arena_array(arena, size_t, count + 1);
    size_t *place = arena_array(arena, size_t, count); /* in the path, + 1 */
    size_t at = 0;
    while (done[at])
        at++;
    size_t len = 0;
    while (place[at] == 0) {
        path[len++] = at;
        place[at] = len;
        const GraphNode *node = &nodes[at];
        size_t i = 0;
        while (done[node->inputs[i]])
            i++;
        at = node->inputs[i];
    }
    Buf text AUTO(buf_done);
    buf_init(&text, CYCLE_TEXT_MAX);
    for (size_t i = place[at] - 1; i < len; i++)
        buf_format(&text, STR_FMT " -> ", STR_ARG(nodes[path[i]].name));
    buf_put(&text, nodes[at].name);
    Code code = err_set(err, E_INVALID, "models read from each other in a circle: " STR_FMT,
                        STR_ARG(buf_str(&text)));
    return err_hint(err, code, "a -> b: a reads from b; one of these must read from something else");
}

Code graph_order(Arena *arena, const GraphNode *nodes, size_t count, size_t **ret_order, Err *err)
{
    bool *done = arena_array(arena, bool, count);
    size_t *order = arena_array(arena, size_t, count);
    size_t len = 0;
    while (len < count) {
        size_t before = len;
        for (size_t i = 0; i < count; i++) {
            if (!done[i] && is_ready(&nodes[i], done)) {
                done[i] = true;
                order[len++] = i;
            }
        }
        if (len == before)
            return show_cycle(arena, nodes, count, done, err);
    }
    *ret_order = order;
    return E_OK;
}
