#include "source/objects_priv.h"

#include "base/text.h"
#include "base/vec.h"

#include <stdlib.h>

struct SourceObjects {
    Store *store;
    Arena arena;
    Str bucket;
};

Str source_tag(const ObjectInfo *info, Str key)
{
    for (size_t i = 0; i < info->tag_count; i++) {
        if (str_eq(info->tags[i].key, key))
            return info->tags[i].value;
    }
    return STR_NONE;
}

/* An object that came through another door has no tags: its key says as much as it can. */
static Str name_of(const ObjectInfo *info)
{
    Str name = source_tag(info, STR("name"));
    return name.len > 0 ? name : str_from(info->key, (size_t)(str_rfind_char(info->key, '/') + 1));
}

SourceObjects *source_objects_new(Store *store, Str bucket)
{
    SourceObjects *objects = mem_new(sizeof *objects);
    objects->store = store;
    objects->bucket = str_copy(&objects->arena, bucket);
    return objects;
}

void source_objects_free(SourceObjects **objects_pointer)
{
    SourceObjects *objects = TAKE(*objects_pointer);
    if (!objects)
        return;
    arena_done(&objects->arena);
    mem_free(&objects);
}

typedef Vec(ObjectInfo) InfoVec;
typedef Vec(Str) NameVec;

static int by_sequence(const void *a, const void *b)
{
    const ObjectInfo *left = a;
    const ObjectInfo *right = b;
    return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

static Code collect(SourceObjects *objects, Str source, Str name, Arena *arena, InfoVec *found,
                    NameVec *names, Err *err)
{
    StoreListQuery query = { .bucket = objects->bucket,
                             .prefix = str_format(arena, STR_FMT "/", STR_ARG(source)) };
    for (;;) {
        StoreListPage page;
        TRY(store_list(objects->store, &query, arena, &page, err));
        for (size_t i = 0; i < page.object_count; i++) {
            Str its = name_of(&page.objects[i]);
            if (found->len >= OBJECTS_FOUND_MAX)
                return err_set(err, E_LIMIT, "more than %d objects under one name",
                               OBJECTS_FOUND_MAX);
            if (str_eq(its, name))
                vec_push(found, page.objects[i]);
            else if (names->len < OBJECTS_FOUND_MAX)
                vec_push(names, its);
        }
        if (!page.truncated)
            return E_OK;
        query.start_after = page.next;
    }
}

static Code none_found(Str source, Str name, const NameVec *names, Err *err)
{
    Code code = err_set(err, E_NOT_FOUND, "source '" STR_FMT "' has no object '" STR_FMT "'",
                        STR_ARG(source), STR_ARG(name));
    Str nearest = str_nearest(name, names->items, names->len);
    if (nearest.ptr)
        return err_hint(err, code, "did you mean '" STR_FMT "'?", STR_ARG(nearest));
    return err_hint(err, code, "tarn ingest PATH --source " STR_FMT, STR_ARG(source));
}

Code source_objects_find(SourceObjects *objects, Str source, Str name, bool all, Arena *arena,
                         ObjectInfo **ret_objects, size_t *ret_count, Err *err)
{
    InfoVec found = { 0 };
    NameVec names = { 0 };
    Code code = collect(objects, source, name, arena, &found, &names, err);
    if (code == E_OK && found.len == 0)
        code = none_found(source, name, &names, err);
    if (code == E_OK) {
        qsort(found.items, found.len, sizeof *found.items, by_sequence);
        size_t count = all ? found.len : 1;
        *ret_objects = arena_copy(arena, found.items + found.len - count,
                                  count * sizeof *found.items);
        *ret_count = count;
    }
    vec_done(&found);
    vec_done(&names);
    return code;
}
