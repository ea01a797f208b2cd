/* graph.h: the order in which nodes can run, or the cycle that makes it impossible.
 * Owner:   the Arena.
 * Threads: any.
 * Errors:  INVALID: the text shows the cycle, a -> b -> a.
 * Limits:  none of its own; no recursion.
 * Units:   nodes are counted from 0. */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct GraphNode {
    Str name;
    const size_t *inputs; /* nodes that must come first */
    size_t input_count;
} GraphNode;

/* `*ret_order` has `count` nodes, inputs first; equals stay in their given order. */
Code graph_order(Arena *arena, const GraphNode *nodes, size_t count, size_t **ret_order,
                 Err *err) CHECKED;
