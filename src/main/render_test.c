/* Tests of render.c; the commands (client, cmd_ingest, cmd_sql, cmd_show, cmd_run, shell, serve, lake,
 * doctor) are tested through the binary by tests/e2e/test_cli.py; life, doors by tests/life, cmd_cert by tests/tls,
 * cmd_fetch by tests/fetch, cmd_key by tests/e2e/test_keys.py,
 * cmd_backup, backup_set, backup_copy, backup_check by tests/e2e/test_backup.py,
 * cmd_bucket, cmd_object, cmd_trash (test_trash.py), client_s3, s3_listing, s3_work by tests/e2e/test_objects.py,
 * doctor, doctor_files by tests/e2e/test_doctor.py. */
#include "main/render.h"

#include "base/test.h"

#include <stdlib.h>
#include <string.h>

static char *table_text(const char *json, size_t width, void (*draw)(FILE *, const Json *, size_t))
{
    Err err;
    Arena tmp AUTO(arena_done) = { 0 };
    const Json *answer;
    char *text = NULL;
    size_t size;
    CHECK_OK(json_parse(&tmp, str_z(json), NULL, &answer, &err), &err);
    FILE *out = open_memstream(&text, &size);
    draw(out, answer, width);
    fclose(out);
    return text;
}

TEST(render_table_aligns_numbers_and_wide_characters)
{
    char *text = table_text("{\"columns\":[{\"name\":\"城\",\"type\":\"VARCHAR\"},{\"name\":\"n\",\"type\":\"BIGINT\"}],"
                            "\"rows\":[[\"東京\",12],[null,3]]}", 0, render_table);
    CHECK(strstr(text, "│ 東京 │ 12 │"));
    CHECK(strstr(text, "│      │  3 │"));
    free(text);
}

TEST(render_table_fits_the_terminal)
{
    char *text = table_text("{\"columns\":[{\"name\":\"a\",\"type\":\"VARCHAR\"}],\"rows\":[[\"0123456789012345678901234567890\"]]}",
                            20, render_table);
    Str rest = str_z(text), line;
    while (str_split(&rest, '\n', &line))
        CHECK(render_text_width(line) <= 20);
    CHECK(strstr(text, "…"));
    free(text);
}

TEST(render_bars_are_in_proportion)
{
    char *text = table_text("{\"columns\":[],\"rows\":[[\"ORD\",100],[\"LAX\",50],[\"X\",0]]}", 80, render_bars);
    size_t bars[3] = { 0 }, at = 0;
    Str rest = str_z(text), line;
    while (str_split(&rest, '\n', &line) && at < 3) {
        for (ptrdiff_t i; (i = str_find(line, STR("█"))) >= 0; line = str_from(line, (size_t)i + 3))
            bars[at]++;
        at++;
    }
    CHECK(bars[0] > 10);
    CHECK_INT(bars[1], bars[0] / 2);
    CHECK_INT(bars[2], 0);
    free(text);
}

TEST(render_control_characters_cannot_reach_the_terminal)
{
    char *text = table_text("{\"columns\":[{\"name\":\"a\",\"type\":\"VARCHAR\"}],\"rows\":[[\"x\\u001b[2Jy\"]]}", 0,
                            render_table);
    CHECK(strchr(text, 0x1b) == NULL);
    free(text);
}
