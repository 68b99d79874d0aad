#include "monitor/log_record.h"

#include <string.h>

static char *append(char *to, const char *text)
{
    size_t length = strlen(text);
    return (char *)memcpy(to, text, length) + length;
}

/* The length of the well-formed UTF-8 sequence (Unicode 15, table 3-7) at text, or 0. */
static size_t sequence_length(const unsigned char *text, size_t count)
{
    unsigned char first = text[0], low = 0x80, high = 0xbf;
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || length == 0 || length > count)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf) {
        if (text[i] < low || text[i] > high)
            return 0;
    }
    return length;
}

static char *append_hexadecimal(char *to, unsigned int byte)
{
    static const char digits[] = "0123456789abcdef";
    to = append(to, "\\u00");
    *to++ = digits[byte >> 4];
    *to++ = digits[byte & 15];
    return to;
}

/* As Go's encoding/json escapes, which docker's readers compare byte by byte: <, > and & too. */
static char *append_ascii(char *to, unsigned char byte)
{
    switch (byte) {
    case '"':
    case '\\':
        *to++ = '\\';
        *to++ = (char)byte;
        return to;
    case '\n':
        return append(to, "\\n");
    case '\r':
        return append(to, "\\r");
    case '<':
    case '>':
    case '&':
        return append_hexadecimal(to, byte);
    default:
        if (byte < 0x20)
            return append_hexadecimal(to, byte);
        *to++ = (char)byte;
        return to;
    }
}

static char *append_text(char *to, const char *text, size_t count)
{
    const unsigned char *from = (const unsigned char *)text;
    while (count > 0) {
        size_t length = sequence_length(from, count);
        if (length == 0) {
            to = append(to, "\\ufffd");
            length = 1;
        } else if (length == 1) {
            to = append_ascii(to, *from);
        } else if (length == 3 && memcmp(from, "\xe2\x80", 2) == 0 && (from[2] & ~1) == 0xa8) {
            to = append(to, from[2] == 0xa8 ? "\\u2028" : "\\u2029");
        } else {
            memcpy(to, from, length);
            to += length;
        }
        from += length;
        count -= length;
    }
    return to;
}

size_t log_record_format(char *to, int stream, const char *text, size_t count, bool ends,
                         const char *time, const char *attributes)
{
    char *at = append(to, "{\"log\":\"");
    at = append_text(at, text, count);
    at = append(at, ends ? "\\n" : "");
    at = append(at, stream == 2 ? "\",\"stream\":\"stderr\"" : "\",\"stream\":\"stdout\"");
    if (attributes)
        at = append(append(at, ",\"attrs\":"), attributes);
    at = append(append(append(at, ",\"time\":\""), time), "\"}\n");
    return (size_t)(at - to);
}

size_t log_record_whole_characters(const char *text, size_t count)
{
    size_t back = 0;
    while (back < 3 && back + 1 < count && ((unsigned char)text[count - 1 - back] & 0xc0) == 0x80)
        back++;
    unsigned char first = (unsigned char)text[count - 1 - back];
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    return length > back + 1 && count > back + 1 ? count - back - 1 : count;
}
