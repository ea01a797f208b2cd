#include "flow/model.h"

#include "base/buf.h"
#include "base/text.h"
#include "flow/model_lex.h"

typedef struct Parser {
    Arena *arena;
    Model *model;
    const HeadItem *item; /* the property at hand */
    const HeadAtom *args; /* its atoms behind the name */
    size_t count;
    Err *err;
} Parser;

static const double GATE_SILVER = 0.90;
static const double GATE_GOLD = 0.99;
static const double COMPLETE_MIN = 0.5;
static const int64_t DAY_US = INT64_C(86400) * 1000000;

Str model_kind_name(ModelKind kind)
{
    switch (kind) {
    case MODEL_FULL:
        return STR("FULL");
    case MODEL_VIEW:
        return STR("VIEW");
    case MODEL_SEED:
        return STR("SEED");
    case MODEL_INCREMENTAL:
        return STR("INCREMENTAL_BY_TIME_RANGE");
    }
    return STR("");
}

static Code bad_at(Parser *p, size_t at, const char *what, Str value)
{
    return err_at(p->err, err_set(p->err, E_INVALID, STR_FMT ": %s", STR_ARG(value), what),
                  (int64_t)at);
}

static Code bad(Parser *p, const char *what)
{
    return bad_at(p, p->item->from, what, p->item->atoms[0].text);
}

static bool is_name(Str name, bool dots)
{
    bool fresh = true;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || c == '_';
        if (c == '.' && dots && !fresh) {
            fresh = true;
            continue;
        }
        if (!letter && (fresh || c < '0' || c > '9'))
            return false;
        fresh = false;
    }
    return name.len > 0 && !fresh;
}

/* One word or quoted text. */
static Code one_text(Parser *p, Str *ret_text)
{
    if (p->count != 1 || p->args[0].list || p->args[0].kind == HEAD_ASSIGN)
        return bad(p, "one value belongs here");
    *ret_text = p->args[0].text;
    return E_OK;
}

/* The texts of a list's items: a name, a text, or as written (`day(ts)`). */
static Code list_texts(Parser *p, const HeadList *list, Str **ret_texts, size_t *ret_count)
{
    if (!list)
        return bad(p, "a list in brackets belongs here");
    if (list->count > MODEL_LIST_MAX)
        return bad(p, "the list is too long");
    Str *texts = arena_array(p->arena, Str, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const HeadItem *item = &list->items[i];
        bool plain = item->count == 1 && !item->atoms[0].list && item->atoms[0].kind != HEAD_ASSIGN;
        texts[i] = plain ? item->atoms[0].text
                         : str_sub(p->model->text, item->from, item->to - item->from);
    }
    *ret_texts = texts;
    *ret_count = list->count;
    return E_OK;
}

static Code one_list(Parser *p, Str **ret_texts, size_t *ret_count)
{
    if (p->count != 1 || p->args[0].kind != HEAD_LIST)
        return bad(p, "a list in brackets belongs here");
    return list_texts(p, p->args[0].list, ret_texts, ret_count);
}

static Code read_name(Parser *p)
{
    Model *m = p->model;
    TRY(one_text(p, &m->name));
    ptrdiff_t dot = str_find_char(m->name, '.');
    if (m->name.len > MODEL_NAME_MAX || !is_name(m->name, true) || dot < 0
        || str_find_char(str_from(m->name, (size_t)dot + 1), '.') >= 0)
        return bad(p, "a model is called NAMESPACE.TABLE: a-z, 0-9 and _");
    m->ns = str_sub(m->name, 0, (size_t)dot);
    m->table = str_from(m->name, (size_t)dot + 1);
    if (str_eq(m->ns, STR("quarantine")) || str_eq(m->ns, STR("tarn"))
        || str_eq(m->ns, STR("bronze")))
        return bad(p, "no model may write to this namespace");
    return E_OK;
}

/* `key value` inside the brackets of a property; the rest of an unknown one is refused. */
static Code pair_text(Parser *p, const HeadItem *item, Str *ret_value)
{
    if (item->count != 2 || item->atoms[1].list || item->atoms[1].kind == HEAD_ASSIGN)
        return bad_at(p, item->from, "one value belongs behind it", item->atoms[0].text);
    *ret_value = item->atoms[1].text;
    return E_OK;
}

static Code pair_days(Parser *p, const HeadItem *item, int64_t *ret_days)
{
    Str text;
    int64_t days;
    TRY(pair_text(p, item, &text));
    if (!str_i64(text, &days) || days < 0 || days > MODEL_BATCH_MAX)
        return bad_at(p, item->from, "a number of days, 0 to 36500", item->atoms[0].text);
    *ret_days = days;
    return E_OK;
}

static Code pair_part(Parser *p, const HeadItem *item, double *ret_part)
{
    Str text;
    double part;
    TRY(pair_text(p, item, &text));
    if (!str_f64(text, &part) || !(part >= 0 && part <= 1))
        return bad_at(p, item->from, "a number from 0 to 1", item->atoms[0].text);
    *ret_part = part;
    return E_OK;
}

static Code kind_pair(Parser *p, const HeadItem *item)
{
    Model *m = p->model;
    Str key = item->atoms[0].text;
    if (m->kind == MODEL_SEED && str_ieq(key, STR("path")))
        return pair_text(p, item, &m->seed_path);
    if (m->kind == MODEL_INCREMENTAL && str_ieq(key, STR("time_column")))
        return pair_text(p, item, &m->time_column);
    if (m->kind == MODEL_INCREMENTAL && str_ieq(key, STR("batch_size")))
        return pair_days(p, item, &m->batch_size);
    if (m->kind == MODEL_INCREMENTAL && str_ieq(key, STR("lookback")))
        return pair_days(p, item, &m->lookback);
    return bad_at(p, item->from, "this kind of model has no such property", key);
}

static Code read_kind(Parser *p)
{
    static const Str names[] = { STR_INIT("FULL"), STR_INIT("VIEW"), STR_INIT("SEED"),
                                 STR_INIT("INCREMENTAL_BY_TIME_RANGE") };
    if (p->count != 1 || p->args[0].kind != HEAD_WORD)
        return bad(p, "FULL, VIEW, SEED (...) or INCREMENTAL_BY_TIME_RANGE (...)");
    size_t kind = 0;
    while (kind < ARRAY_LEN(names) && !str_ieq(p->args[0].text, names[kind]))
        kind++;
    if (kind == ARRAY_LEN(names))
        return bad(p, "FULL, VIEW, SEED (...) or INCREMENTAL_BY_TIME_RANGE (...)");
    p->model->kind = (ModelKind)kind;
    const HeadList *list = p->args[0].list;
    for (size_t i = 0; list && i < list->count; i++)
        TRY(kind_pair(p, &list->items[i]));
    return E_OK;
}

static Code read_cron(Parser *p)
{
    TRY(one_text(p, &p->model->cron));
    return str_eq(p->model->cron, STR("@daily")) ? E_OK : bad(p, "only '@daily' is known so far");
}

static Code read_on(Parser *p)
{
    Str event;
    TRY(one_text(p, &event));
    p->model->on_arrival = str_ieq(event, STR("arrival"));
    return p->model->on_arrival ? E_OK : bad(p, "on arrival: the only event so far");
}

static Code read_time(Parser *p, int64_t *ret_us)
{
    Str text;
    int64_t us;
    TRY(one_text(p, &text));
    if (!time_parse(text, &us) || us % DAY_US != 0)
        return bad(p, "a day belongs here: '2001-01-01'");
    *ret_us = us;
    return E_OK;
}

static Code read_start(Parser *p)
{
    p->model->has_start = true;
    return read_time(p, &p->model->start_us);
}

static Code read_end(Parser *p)
{
    p->model->has_end = true;
    return read_time(p, &p->model->end_us);
}

static Code read_grain(Parser *p)
{
    return one_list(p, &p->model->grain, &p->model->grain_count);
}

static Code read_dedup(Parser *p)
{
    if (p->count == 1 && p->args[0].kind == HEAD_WORD && str_ieq(p->args[0].text, STR("all"))
        && !p->args[0].list) {
        p->model->dedup = DEDUP_ALL;
        return E_OK;
    }
    TRY(one_list(p, &p->model->dedup_keys, &p->model->dedup_key_count));
    p->model->dedup = DEDUP_KEY;
    return p->model->dedup_key_count > 0 ? E_OK : bad(p, "`all` or a list of key columns");
}

static Code read_columns(Parser *p)
{
    if (p->count != 1 || p->args[0].kind != HEAD_LIST || p->args[0].list->count == 0)
        return bad(p, "(name TYPE, ...) belongs here");
    const HeadList *list = p->args[0].list;
    ModelColumn *columns = arena_array(p->arena, ModelColumn, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const HeadItem *item = &list->items[i];
        bool named = item->atoms[0].kind == HEAD_NAME
                     || (item->atoms[0].kind == HEAD_WORD && !item->atoms[0].list);
        if (item->count < 2 || !named || item->atoms[0].text.len == 0)
            return bad_at(p, item->from, "a column is `name TYPE`", item->atoms[0].text);
        size_t from = item->atoms[1].from;
        columns[i] = (ModelColumn){ item->atoms[0].text,
                                    str_sub(p->model->text, from, item->to - from) };
    }
    p->model->columns = columns;
    p->model->column_count = list->count;
    return E_OK;
}

static Code read_complete(Parser *p)
{
    if (p->count != 1 || p->args[0].kind != HEAD_LIST)
        return bad(p, "(min_part 0.5, on_low flag|hold) belongs here");
    Model *m = p->model;
    m->complete_min = COMPLETE_MIN;
    const HeadList *list = p->args[0].list;
    for (size_t i = 0; i < list->count; i++) {
        const HeadItem *item = &list->items[i];
        Str value;
        if (str_ieq(item->atoms[0].text, STR("min_part"))) {
            TRY(pair_part(p, item, &m->complete_min));
            continue;
        }
        TRY(pair_text(p, item, &value));
        m->complete_hold = str_ieq(value, STR("hold"));
        if (!str_ieq(item->atoms[0].text, STR("on_low"))
            || (!m->complete_hold && !str_ieq(value, STR("flag"))))
            return bad(p, "(min_part 0.5, on_low flag|hold) belongs here");
    }
    return E_OK;
}

static Code read_suite(Parser *p)
{
    return one_text(p, &p->model->suite);
}

static Code read_arg(Parser *p, const HeadItem *item, ModelArg *ret_arg)
{
    if (item->count != 3 || item->atoms[1].kind != HEAD_ASSIGN)
        return bad_at(p, item->from, "an argument is `name := value`", item->atoms[0].text);
    const HeadAtom *value = &item->atoms[2];
    ModelArg arg = { .name = item->atoms[0].text };
    if (value->kind == HEAD_LIST) {
        TRY(list_texts(p, value->list, &arg.values, &arg.count));
    } else {
        arg.values = arena_new(p->arena, Str);
        arg.values[0] = value->text;
        arg.count = 1;
    }
    *ret_arg = arg;
    return E_OK;
}

static Code read_audits(Parser *p)
{
    if (p->count != 1 || p->args[0].kind != HEAD_LIST)
        return bad(p, "a list in brackets belongs here");
    const HeadList *list = p->args[0].list;
    if (list->count > MODEL_AUDITS_MAX)
        return bad(p, "too many audits");
    ModelAudit *audits = arena_array(p->arena, ModelAudit, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const HeadItem *item = &list->items[i];
        if (item->count != 1 || item->atoms[0].kind != HEAD_WORD || !item->atoms[0].list)
            return bad_at(p, item->from, "an audit is `name(argument := value)`",
                          item->atoms[0].text);
        const HeadList *args = item->atoms[0].list;
        audits[i] = (ModelAudit){ .name = item->atoms[0].text, .arg_count = args->count };
        audits[i].args = arena_array(p->arena, ModelArg, args->count);
        for (size_t j = 0; j < args->count; j++)
            TRY(read_arg(p, &args->items[j], &audits[i].args[j]));
    }
    p->model->audits = audits;
    p->model->audit_count = list->count;
    return E_OK;
}

static Code read_on_fail(Parser *p, Str value)
{
    static const Str names[] = { STR_INIT("block"), STR_INIT("quarantine"), STR_INIT("warn") };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_ieq(value, names[i])) {
            p->model->on_fail = (ModelOnFail)i;
            return E_OK;
        }
    }
    return bad(p, "on_fail is block, quarantine or warn");
}

static Code read_gate(Parser *p)
{
    if (p->count != 1 || p->args[0].kind != HEAD_LIST)
        return bad(p, "(min_score 0.99, on_fail block|quarantine|warn) belongs here");
    const HeadList *list = p->args[0].list;
    for (size_t i = 0; i < list->count; i++) {
        const HeadItem *item = &list->items[i];
        Str value;
        if (str_ieq(item->atoms[0].text, STR("min_score"))) {
            TRY(pair_part(p, item, &p->model->gate_min));
        } else if (str_ieq(item->atoms[0].text, STR("on_fail"))) {
            TRY(pair_text(p, item, &value));
            TRY(read_on_fail(p, value));
        } else {
            return bad_at(p, item->from, "a gate has min_score and on_fail", item->atoms[0].text);
        }
    }
    return E_OK;
}

static Code read_partitioned_by(Parser *p)
{
    return one_list(p, &p->model->partitioned_by, &p->model->partition_count);
}

static Code read_sorted_by(Parser *p)
{
    return one_list(p, &p->model->sorted_by, &p->model->sort_count);
}

static Code read_owner(Parser *p)
{
    return one_text(p, &p->model->owner);
}

static Code read_description(Parser *p)
{
    return one_text(p, &p->model->description);
}

static Code read_tags(Parser *p)
{
    return one_list(p, &p->model->tags, &p->model->tag_count);
}

static const struct Property {
    Str name;
    Code (*read)(Parser *p);
} PROPERTIES[] = {
#define PROP(name, read, doc) { STR_INIT(name), read },
#include "flow/model_props.def"
#undef PROP
};

static Code read_property(Parser *p, uint32_t *seen)
{
    Str name = p->item->atoms[0].text;
    /* `columns (...)` is one atom with a list behind it: give the list as the value. */
    HeadAtom own = p->item->atoms[0];
    own.kind = HEAD_LIST;
    p->args = own.list ? &own : p->item->atoms + 1;
    p->count = own.list ? p->item->count : p->item->count - 1;
    Str names[ARRAY_LEN(PROPERTIES)];
    for (size_t i = 0; i < ARRAY_LEN(PROPERTIES); i++) {
        names[i] = PROPERTIES[i].name;
        if (!str_ieq(name, names[i]))
            continue;
        if (*seen & (UINT32_C(1) << i))
            return bad(p, "stands in the MODEL header twice");
        *seen |= UINT32_C(1) << i;
        return PROPERTIES[i].read(p);
    }
    Code code = bad(p, "no property of a MODEL header");
    Str nearest = str_nearest(name, names, ARRAY_LEN(names));
    return nearest.ptr ? err_hint(p->err, code, "did you mean " STR_FMT "?", STR_ARG(nearest))
                       : code;
}

static void defaults(Model *m)
{
    bool silver = str_eq(m->ns, STR("silver"));
    bool gold = str_eq(m->ns, STR("gold"));
    if (m->gate_min < 0)
        m->gate_min = silver ? GATE_SILVER : gold ? GATE_GOLD : 0;
    if ((int)m->on_fail < 0)
        m->on_fail = gold ? ON_FAIL_BLOCK : ON_FAIL_QUARANTINE;
}

static Code check_whole(Parser *p)
{
    Model *m = p->model;
    if (m->name.len == 0)
        return err_set(p->err, E_INVALID, "the MODEL header has no name");
    if (m->kind == MODEL_INCREMENTAL && (m->time_column.len == 0 || !m->has_start))
        return err_set(p->err, E_INVALID, STR_FMT ": an incremental model needs a time_column and a"
                       " start", STR_ARG(m->name));
    if (m->has_end && m->end_us <= m->start_us)
        return err_set(p->err, E_INVALID, STR_FMT ": end is not after start", STR_ARG(m->name));
    if (m->kind == MODEL_SEED && m->seed_path.len == 0)
        return err_set(p->err, E_INVALID, STR_FMT ": a seed needs (path 'seeds/x.csv')",
                       STR_ARG(m->name));
    if (m->kind == MODEL_SEED && m->sql.len > 0)
        return err_set(p->err, E_INVALID, STR_FMT ": a seed has no SELECT", STR_ARG(m->name));
    if (m->kind != MODEL_SEED && m->sql.len == 0)
        return err_set(p->err, E_INVALID, STR_FMT ": the SELECT is missing", STR_ARG(m->name));
    if (m->kind == MODEL_VIEW && (m->column_count > 0 || m->dedup != DEDUP_NONE))
        return err_set(p->err, E_INVALID, STR_FMT ": a view has neither columns nor dedup",
                       STR_ARG(m->name));
    if (m->kind != MODEL_INCREMENTAL && m->complete_min > 0)
        return err_set(p->err, E_INVALID, STR_FMT ": only an incremental model has days to be"
                       " complete", STR_ARG(m->name));
    return E_OK;
}

static void take_body(Model *m, size_t end)
{
    size_t at = head_skip_blank(m->text, end);
    if (at < m->text.len && m->text.ptr[at] == ';')
        at = head_skip_blank(m->text, at + 1);
    Str body = str_trim(str_from(m->text, at));
    while (body.len > 0 && body.ptr[body.len - 1] == ';')
        body = str_trim(str_sub(body, 0, body.len - 1));
    m->sql = body;
    m->sql_at = (size_t)(body.ptr - m->text.ptr);
}

static Code parse_into(Parser *p)
{
    Model *m = p->model;
    HeadList *list;
    size_t end;
    if (m->text.len > MODEL_TEXT_MAX)
        return err_set(p->err, E_LIMIT, "a model file has at most %d bytes", MODEL_TEXT_MAX);
    if (!str_is_utf8(m->text) || str_find_char(m->text, 0) >= 0)
        return err_set(p->err, E_INVALID, "a model file is UTF-8 text without NUL");
    TRY(head_parse(p->arena, m->text, &list, &end, p->err));
    uint32_t seen = 0;
    for (size_t i = 0; i < list->count; i++) {
        p->item = &list->items[i];
        TRY(read_property(p, &seen));
    }
    take_body(m, end);
    defaults(m);
    return check_whole(p);
}

static Code with_place(Err *err, Code code, Str path, Str text)
{
    size_t line = 1;
    for (size_t i = 0; err && err->position > 0 && i < (size_t)err->position && i < text.len; i++)
        line += text.ptr[i] == '\n';
    return err_place(err, code, STR_FMT ":%zu", STR_ARG(path), line);
}

Code model_parse(Arena *arena, Str path, Str text, Model *ret_model, Err *err)
{
    Model model = { .path = str_copy(arena, path), .text = str_copy(arena, text), .gate_min = -1,
                    .on_fail = (ModelOnFail)-1 };
    Parser parser = { .arena = arena, .model = &model, .err = err };
    Code code = parse_into(&parser);
    if (code != E_OK)
        return with_place(err, code, path, text);
    *ret_model = model;
    return E_OK;
}

/* The end of what begins with a quote at `at`: '..', "..", $tag$..$tag$; `at` when it is no quote. */
static size_t quoted_end(Str text, size_t at)
{
    char c = text.ptr[at];
    if (c == '\'' || c == '"') {
        ptrdiff_t end = str_find_char(str_from(text, at + 1), c);
        return end < 0 ? text.len : at + 1 + (size_t)end + 1;
    }
    if (c != '$')
        return at;
    ptrdiff_t tag = str_find_char(str_from(text, at + 1), '$');
    if (tag < 0)
        return at;
    Str mark = str_sub(text, at, (size_t)tag + 2);
    for (size_t i = 1; i + 1 < mark.len; i++) {
        if (!is_name(str_sub(mark, 1, mark.len - 2), false))
            return at;
    }
    ptrdiff_t end = str_find(str_from(text, at + mark.len), mark);
    return end < 0 ? text.len : at + mark.len + (size_t)end + mark.len;
}

Str model_canonical(Arena *arena, Str text)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    size_t at = 0;
    while (at < text.len) {
        size_t next = head_skip_blank(text, at);
        if (next > at && len > 0 && next < text.len)
            out[len++] = ' ';
        at = next;
        if (at >= text.len)
            break;
        size_t end = MAX(quoted_end(text, at), at + 1);
        while (at < end)
            out[len++] = text.ptr[at++];
    }
    return str_of(out, len);
}
