/* The reader is libxml2's push parser with handlers of ours: it never makes a tree of its own, never
 * opens anything, and a document type ends it at once. */
#include "format/xml.h"

#include <libxml/parser.h>
#include <string.h>

typedef struct Build {
    Arena *arena;
    XmlNode *root, *open[XML_DEPTH_MAX], *last[XML_DEPTH_MAX]; /* last: child of open */
    Buf texts[XML_DEPTH_MAX];
    size_t depth, nodes;
    Code code;
    const char *what;
    xmlParserCtxtPtr parser;
} Build;

static void build_stop(Build *build, Code code, const char *what)
{
    if (build->code == E_OK) {
        build->code = code;
        build->what = what;
    }
    xmlStopParser(build->parser);
}

static void element_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *space,
                          int space_count, const xmlChar **spaces, int attribute_count,
                          int defaulted, const xmlChar **attributes)
{
    (void)prefix, (void)space_count, (void)spaces, (void)attribute_count, (void)defaulted;
    (void)attributes;
    Build *build = arg;
    if (build->depth == XML_DEPTH_MAX || ++build->nodes > XML_NODES_MAX) {
        build_stop(build, E_LIMIT, "the XML is too deep or has too many elements");
        return;
    }
    XmlNode *node = arena_new(build->arena, XmlNode);
    node->name = str_copy(build->arena, str_z((const char *)name));
    if (space)
        node->space = str_copy(build->arena, str_z((const char *)space));
    if (build->depth == 0) {
        build->root = node;
    } else {
        XmlNode *parent = build->open[build->depth - 1], **last = &build->last[build->depth - 1];
        *(*last ? &(*last)->next : &parent->first) = node;
        *last = node;
    }
    build->last[build->depth] = NULL;
    buf_clear(&build->texts[build->depth]);
    build->open[build->depth++] = node;
}

static void element_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *space)
{
    (void)name, (void)prefix, (void)space;
    Build *build = arg;
    if (build->code != E_OK || build->depth == 0)
        return;
    build->depth--;
    XmlNode *node = build->open[build->depth];
    node->text = str_copy(build->arena, buf_str(&build->texts[build->depth]));
}

static void characters(void *arg, const xmlChar *text, int len)
{
    Build *build = arg;
    if (build->depth > 0 && build->code == E_OK)
        buf_put(&build->texts[build->depth - 1], str_of(text, (size_t)len));
}

static void subset(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    (void)name, (void)external, (void)system;
    build_stop(arg, E_UNSUPPORTED, "the XML has a document type, which is not taken");
}

static void reference(void *arg, const xmlChar *name)
{
    (void)name;
    build_stop(arg, E_UNSUPPORTED, "the XML names an entity that is not one of the five");
}

static void nothing(void *arg, const char *format, ...)
{
    (void)arg, (void)format;
}

static Code build_end(Build *build, Err *err)
{
    const xmlError *error = xmlCtxtGetLastError(build->parser);
    if (build->code == E_OK && build->parser->wellFormed && build->root && build->depth == 0)
        return E_OK;
    if (build->code != E_OK)
        return err_set(err, build->code, "%s", build->what);
    Code code = err_set(err, E_SYNTAX, "no well-formed XML: %s",
                        error && error->message ? error->message : "it ends too early");
    if (err && err->text[0] && err->text[strlen(err->text) - 1] == '\n')
        err->text[strlen(err->text) - 1] = 0;
    return error ? err_place(err, code, "line %d", error->line) : code;
}

/* The parser compares each attribute's name with those before it. A tag ends before the next `<`. */
static bool attributes_fit(Str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count = text.ptr[i] == '<' ? 0 : count + (text.ptr[i] == '=');
        if (count > XML_ATTRIBUTES_MAX)
            return false;
    }
    return true;
}

/* libxml2 begins by itself, but not for two threads at once. */
__attribute__((constructor)) static void library_begin(void)
{
    xmlInitParser();
}

Code xml_parse(Arena *arena, Str text, const XmlNode **ret_root, Err *err)
{
    xmlSAXHandler handler = { .initialized = XML_SAX2_MAGIC, .startElementNs = element_start,
                              .endElementNs = element_end, .characters = characters,
                              .cdataBlock = characters, .ignorableWhitespace = characters,
                              .internalSubset = subset, .reference = reference, .error = nothing,
                              .warning = nothing, .fatalError = nothing };
    Build build = { .arena = arena };
    if (text.len > XML_BYTES_MAX)
        return err_set(err, E_LIMIT, "the XML has %zu bytes, at most %d are taken", text.len,
                       XML_BYTES_MAX);
    /* Texts of UTF-16 and UTF-32 have zeros. */
    if (!str_is_utf8(text) || (text.len && memchr(text.ptr, 0, text.len)))
        return err_set(err, E_SYNTAX, "no well-formed XML: its bytes are not UTF-8");
    if (!attributes_fit(text))
        return err_set(err, E_LIMIT, "an element has more than %d attributes", XML_ATTRIBUTES_MAX);
    build.parser = xmlCreatePushParserCtxt(&handler, &build, NULL, 0, NULL);
    ASSERT(build.parser != NULL);
    xmlCtxtUseOptions(build.parser, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                        XML_PARSE_IGNORE_ENC);
    for (size_t i = 0; i < XML_DEPTH_MAX; i++)
        buf_init(&build.texts[i], XML_BYTES_MAX);
    xmlParseChunk(build.parser, text.ptr, (int)text.len, 1);
    Code code = build_end(&build, err);
    for (size_t i = 0; i < XML_DEPTH_MAX; i++)
        buf_done(&build.texts[i]);
    xmlDocPtr doc = build.parser->myDoc;
    xmlFreeParserCtxt(build.parser);
    xmlFreeDoc(doc);
    if (code == E_OK)
        *ret_root = build.root;
    return code;
}

const XmlNode *xml_child(const XmlNode *node, const char *name)
{
    const XmlNode *child = node ? node->first : NULL;
    return child && !str_eq(child->name, str_z(name)) ? xml_next(child, name) : child;
}

const XmlNode *xml_next(const XmlNode *node, const char *name)
{
    for (node = node->next; node; node = node->next) {
        if (str_eq(node->name, str_z(name)))
            return node;
    }
    return NULL;
}

Str xml_text(const XmlNode *node, const char *child)
{
    const XmlNode *found = xml_child(node, child);
    return !found ? STR_NONE : found->text.ptr ? found->text : STR("");
}

XmlWriter xml_writer(Buf *out)
{
    buf_put(out, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
    return (XmlWriter){ out };
}

void xml_open(XmlWriter *w, const char *name)
{
    buf_put_char(w->out, '<');
    buf_put(w->out, str_z(name));
    buf_put_char(w->out, '>');
}

void xml_open_in(XmlWriter *w, const char *name, const char *space)
{
    buf_format(w->out, "<%s xmlns=\"%s\">", name, space);
}

void xml_close(XmlWriter *w, const char *name)
{
    buf_put(w->out, STR("</"));
    buf_put(w->out, str_z(name));
    buf_put_char(w->out, '>');
}

/* What stands for a byte: itself, unless `plain` says otherwise. */
static Str escape(unsigned char c)
{
    switch (c) {
    case '&':
        return STR("&amp;");
    case '<':
        return STR("&lt;");
    case '>':
        return STR("&gt;");
    case '"':
        return STR("&quot;");
    case '\'':
        return STR("&#39;");
    case '\t':
        return STR("&#x9;");
    case '\n':
        return STR("&#xA;");
    case '\r':
        return STR("&#xD;");
    default:
        return STR("\xEF\xBF\xBD");
    }
}

static bool plain(unsigned char c)
{
    return c >= ' ' && c != '&' && c != '<' && c != '>' && c != '"' && c != '\'';
}

void xml_put_text(Buf *out, Str text)
{
    size_t from = 0;
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c >= 'a' && c <= 'z') || (c >= '-' && c <= '9')) { /* most of most texts */
            i++;
            continue;
        }
        size_t len = c < 0x80 ? plain(c) : str_utf8_len(str_from(text, i));
        if (len == 3 && c == 0xEF && memcmp(text.ptr + i, "\xEF\xBF\xBE", 2) == 0 &&
            (unsigned char)text.ptr[i + 2] >= 0xBE)
            len = 0; /* U+FFFE, U+FFFF */
        if (len > 0) {
            i += len;
            continue;
        }
        buf_put(out, str_sub(text, from, i - from));
        buf_put(out, escape(c));
        from = ++i;
    }
    buf_put(out, str_from(text, from));
}

void xml_field(XmlWriter *w, const char *name, Str value)
{
    xml_open(w, name);
    xml_put_text(w->out, value);
    xml_close(w, name);
}

void xml_field_u64(XmlWriter *w, const char *name, uint64_t value)
{
    buf_format(w->out, "<%s>%llu</%s>", name, (unsigned long long)value, name);
}

void xml_field_bool(XmlWriter *w, const char *name, bool value)
{
    xml_field(w, name, value ? STR("true") : STR("false"));
}
