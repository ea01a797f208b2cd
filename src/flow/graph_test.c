#include "flow/graph.h"

#include "base/test.h"

TEST(graph_puts_inputs_first)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    const size_t of_a[] = { 2, 1 };
    const size_t of_b[] = { 2 };
    const GraphNode nodes[] = { { STR("a"), of_a, 2 }, { STR("b"), of_b, 1 }, { STR("c"), NULL, 0 } };
    size_t *order;
    CHECK_OK(graph_order(&arena, nodes, 3, &order, &err), &err);
    CHECK_INT(order[0], 2);
    CHECK_INT(order[1], 1);
    CHECK_INT(order[2], 0);
}

TEST(graph_shows_the_cycle_and_only_it)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    const size_t of_a[] = { 1 };
    const size_t of_b[] = { 3, 2 };
    const size_t of_c[] = { 1 };
    const GraphNode nodes[] = { { STR("a"), of_a, 1 }, { STR("b"), of_b, 2 }, { STR("c"), of_c, 1 },
                                { STR("d"), NULL, 0 } };
    size_t *order;
    CHECK_CODE(graph_order(&arena, nodes, 4, &order, &err), E_INVALID);
    CHECK(str_ends(str_z(err.text), STR("circle: b -> c -> b")));
}

TEST(graph_shows_a_model_that_reads_itself)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    const size_t of_a[] = { 0 };
    const GraphNode nodes[] = { { STR("a"), of_a, 1 } };
    size_t *order;
    CHECK_CODE(graph_order(&arena, nodes, 1, &order, &err), E_INVALID);
    CHECK(str_ends(str_z(err.text), STR("circle: a -> a")));
}
