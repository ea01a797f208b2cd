#include "format/xml.h"

#include "base/test.h"

#include <pthread.h>
#include <string.h>

enum { FIRST_THREADS = 4 };

static void *parse_first(void *arg)
{
    pthread_barrier_t *start = arg;
    Arena arena AUTO(arena_done) = { 0 };
    const XmlNode *root;
    Err err;
    pthread_barrier_wait(start);
    CHECK_OK(xml_parse(&arena, STR("<a><b>c</b></a>"), &root, &err), &err);
    return NULL;
}

/* The first documents of a process may come at once: the library is begun before. */
TEST(xml_first_documents_at_once)
{
    pthread_t threads[FIRST_THREADS];
    pthread_barrier_t start;
    CHECK_INT(pthread_barrier_init(&start, NULL, FIRST_THREADS), 0);
    for (size_t i = 0; i < FIRST_THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, parse_first, &start), 0);
    for (size_t i = 0; i < FIRST_THREADS; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK_INT(pthread_barrier_destroy(&start), 0);
}

TEST(xml_reads_a_tree)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    const XmlNode *root = NULL;
    Str text = STR("<?xml version=\"1.0\"?>\n<Delete xmlns=\"urn:x\"><Quiet>true</Quiet>\n <Object><Key>a&amp;b"
                   "&#34;</Key></Object><Object><Key><![CDATA[<c>]]></Key><V/></Object></Delete>");
    CHECK_OK(xml_parse(&arena, text, &root, &err), &err);
    CHECK_STR(root->name, STR("Delete"));
    CHECK_STR(root->space, STR("urn:x"));
    CHECK_STR(xml_text(root, "Quiet"), STR("true"));
    const XmlNode *object = xml_child(root, "Object");
    CHECK_STR(xml_text(object, "Key"), STR("a&b\""));
    object = xml_next(object, "Object");
    CHECK_STR(xml_text(object, "Key"), STR("<c>"));
    CHECK_STR(xml_text(object, "V"), STR(""));
    CHECK(xml_text(object, "W").ptr == NULL);
    CHECK(xml_next(object, "Object") == NULL);
    CHECK(xml_child(NULL, "x") == NULL);
}

TEST(xml_refuses)
{
    static const struct {
        const char *text;
        Code code;
    } table[] = {
        { "", E_SYNTAX },
        { "x", E_SYNTAX },
        { "<a>", E_SYNTAX },
        { "<a></b>", E_SYNTAX },
        { "<a/><b/>", E_SYNTAX },
        { "<a>\x01</a>", E_SYNTAX },
        { "<a>&#0;</a>", E_SYNTAX },
        { "<a>\xff</a>", E_SYNTAX },
        { "<a><![CDATA[\xc1\xbb]]></a>", E_SYNTAX },
        { "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe4</a>", E_SYNTAX },
        { "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>", E_UNSUPPORTED },
        { "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", E_UNSUPPORTED },
        { "<a>&unknown;</a>", E_SYNTAX },
        { "<a x=\"&unknown;\"/>", E_SYNTAX },
        { "<a><b><c><d><e><f><g><h><i><j><k><l><m><n><o><p><q/></p></o></n></m></l></k></j></i></h></g></f></e>"
          "</d></c></b></a>", E_LIMIT },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        const XmlNode *root = NULL;
        Code code = xml_parse(&arena, str_z(table[i].text), &root, &err);
        if (code != table[i].code)
            test_failed(__FILE__, __LINE__, "%s gave %s: %s", table[i].text, code_info(code)->name,
                        code ? err.text : "");
        CHECK(root == NULL);
    }
}

TEST(xml_many_elements)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    const XmlNode *root = NULL;
    Buf text AUTO(buf_done);
    buf_init(&text, XML_BYTES_MAX + 1);
    buf_put(&text, STR("<a>"));
    for (int i = 0; i < XML_NODES_MAX - 1; i++)
        buf_put(&text, STR("<b/>"));
    buf_put(&text, STR("</a>"));
    CHECK_OK(xml_parse(&arena, buf_str(&text), &root, &err), &err);
    text.len -= strlen("</a>");
    buf_put(&text, STR("<b/></a>"));
    CHECK_CODE(xml_parse(&arena, buf_str(&text), &root, &err), E_LIMIT);
}

TEST(xml_cannot_hold_every_byte)
{
    static const char mark[] = "\xEF\xBF\xBD";
    const struct {
        Str text;
        const char *written;
    } cases[] = { { STR("a\r\n"), "a&#xD;&#xA;" },
                  { str_of("a\0b", 3), "a\xEF\xBF\xBD""b" },
                  { STR("\x01"), mark },
                  { STR("\xff\xfe"), "\xEF\xBF\xBD\xEF\xBF\xBD" },
                  { STR("\xEF\xBF\xBF"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
                  { STR("\xC3"), mark },
                  { STR("\xC3\xBC<\x7f"), "\xC3\xBC&lt;\x7f" } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Buf out AUTO(buf_done);
        buf_init(&out, 4096);
        xml_put_text(&out, cases[i].text);
        CHECK_STR(buf_str(&out), str_z(cases[i].written));
    }
}

TEST(xml_attributes_are_few)
{
    Arena arena AUTO(arena_done) = { 0 };
    const XmlNode *root = NULL;
    Err err;
    Buf text AUTO(buf_done);
    buf_init(&text, XML_BYTES_MAX);
    buf_put(&text, STR("<a"));
    for (int i = 0; i <= XML_ATTRIBUTES_MAX; i++)
        buf_format(&text, " a%d='b'", i);
    buf_put(&text, STR("/>"));
    CHECK_CODE(xml_parse(&arena, buf_str(&text), &root, &err), E_LIMIT);
    CHECK_OK(xml_parse(&arena, STR("<a b='c'>d = e</a>"), &root, &err), &err);
}

TEST(xml_written_reads_back)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    const XmlNode *root = NULL;
    Buf out AUTO(buf_done);
    buf_init(&out, 4096);
    XmlWriter w = xml_writer(&out);
    xml_open_in(&w, "R", "http://s3.amazonaws.com/doc/2006-03-01/");
    xml_field(&w, "Key", STR("a<&>\"'\n\tü"));
    xml_field_u64(&w, "Size", 18446744073709551615ull);
    xml_field_bool(&w, "IsTruncated", false);
    xml_close(&w, "R");
    CHECK_OK(xml_parse(&arena, buf_str(&out), &root, &err), &err);
    CHECK_STR(xml_text(root, "Key"), STR("a<&>\"'\n\tü"));
    CHECK_STR(xml_text(root, "Size"), STR("18446744073709551615"));
    CHECK_STR(xml_text(root, "IsTruncated"), STR("false"));
}
