/* XML bodies: whatever parses, written again, parses to the same texts. */
#include "format/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t nodes_count(const XmlNode *node, size_t depth)
{
    size_t count = 0;
    ASSERT(depth < XML_DEPTH_MAX);
    for (; node; node = node->next)
        count += 1 + nodes_count(node->first, depth + 1);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf out AUTO(buf_done);
    Err err;
    const XmlNode *root = NULL, *again = NULL;
    buf_init(&out, 16 << 20);
    if (xml_parse(&arena, str_of(bytes, len), &root, &err) != E_OK) {
        ASSERT(err.code == E_SYNTAX || err.code == E_LIMIT || err.code == E_UNSUPPORTED);
        return 0;
    }
    ASSERT(nodes_count(root, 0) <= XML_NODES_MAX);
    XmlWriter w = xml_writer(&out);
    xml_field(&w, "Text", root->text);
    if (out.len <= XML_BYTES_MAX) {
        ASSERT(xml_parse(&arena, buf_str(&out), &again, &err) == E_OK);
        ASSERT(str_eq(again->text, root->text));
    }
    return 0;
}
