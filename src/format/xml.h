/* xml.h: small XML documents: bodies of S3 requests into a tree, answers out of a writer.
 * Owner:   the tree lives in the given arena; an XmlWriter borrows its Buf.
 * Threads: any; one writer at a time.
 * Errors:  SYNTAX (not well-formed XML 1.0 in UTF-8, with the byte's line as place, whatever encoding
 *          the declaration claims), LIMIT, UNSUPPORTED for a document type or an entity that is not
 *          one of the five.
 * Limits:  XML_*_MAX; no document type, so no entity can grow.
 * Units:   bytes. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum {
    XML_DEPTH_MAX = 16,
    XML_NODES_MAX = 60000, /* 10,000 parts with their numbers, tags and checksums */
    XML_ATTRIBUTES_MAX = 2048, /* of one element; names are compared with each other */
    XML_BYTES_MAX = 4 << 20
};

typedef struct XmlNode {
    Str name;      /* local name, without a prefix */
    Str space;     /* namespace, empty: none */
    Str text;      /* of its own, all pieces joined, as sent */
    struct XmlNode *first, *next;
} XmlNode;

Code xml_parse(Arena *arena, Str text, const XmlNode **ret_root, Err *err) CHECKED;
const XmlNode *xml_child(const XmlNode *node, const char *name); /* the first; NULL: none, NULL-safe */
const XmlNode *xml_next(const XmlNode *node, const char *name);  /* the next sibling of that name */
Str xml_text(const XmlNode *node, const char *child);            /* STR_NONE: no such child */

typedef struct XmlWriter {
    Buf *out;
} XmlWriter;

XmlWriter xml_writer(Buf *out);                                   /* puts the declaration */
void xml_open(XmlWriter *w, const char *name);
void xml_open_in(XmlWriter *w, const char *name, const char *space); /* with a default namespace */
void xml_close(XmlWriter *w, const char *name);
void xml_field(XmlWriter *w, const char *name, Str value);
void xml_field_u64(XmlWriter *w, const char *name, uint64_t value);
void xml_field_bool(XmlWriter *w, const char *name, bool value);
/* Escapes the five, and controls that XML 1.0 has as character references. What it cannot hold at all
 * (other controls, bytes that are no UTF-8) becomes U+FFFD, so that the document can be read. */
void xml_put_text(Buf *out, Str text);
