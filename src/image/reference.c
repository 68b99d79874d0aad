#include "image/reference.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/scope.h"

bool reference_is_digest(const char *text)
{
    if (strncmp(text, "sha256:", 7) != 0)
        return false;
    return strspn(text + 7, "0123456789abcdef") == 64 && text[7 + 64] == '\0';
}

static int fail(const char *text, const char *reason, struct error *err)
{
    return error_set(err, 0, "invalid image name '%.300s': %s", text, reason);
}

/* Whether the first component names a registry and not a part of the path. */
static bool is_domain(const char *component, size_t length)
{
    if (length == strlen("localhost") && memcmp(component, "localhost", length) == 0)
        return true;
    for (size_t i = 0; i < length; i++)
        if (component[i] == '.' || component[i] == ':' || isupper((unsigned char)component[i]))
            return true;
    return false;
}

/* A host name or address, with an optional port. */
static bool is_valid_domain(const char *domain)
{
    const char *port;
    if (*domain == '[') {
        size_t length = strspn(domain + 1, "0123456789abcdefABCDEF:.");
        if (length == 0 || domain[length + 1] != ']')
            return false;
        port = domain + length + 2;
    } else {
        size_t label = 0;
        for (port = domain; *port && *port != ':'; port++) {
            bool edge = label == 0 || port[1] == '.' || port[1] == ':' || port[1] == '\0';
            if (*port == '.') {
                if (label == 0)
                    return false;
                label = 0;
                continue;
            }
            if (!isalnum((unsigned char)*port) && (*port != '-' || edge))
                return false;
            label++;
        }
        if (label == 0)
            return false;
    }
    if (*port == '\0')
        return true;
    size_t digits = strspn(port + 1, "0123456789");
    return *port == ':' && digits >= 1 && digits <= 5 && port[1 + digits] == '\0';
}

/* Components of lower-case letters and digits, which single '.', one or two '_' or any number of
 * '-' may separate (distribution's reference grammar, "path-component"). */
static const char *check_path(const char *path)
{
    bool after_word = false;
    for (const char *c = path; *c;) {
        if (islower((unsigned char)*c) || isdigit((unsigned char)*c)) {
            after_word = true;
            c++;
            continue;
        }
        if (isupper((unsigned char)*c))
            return "the repository must be in lower case";
        size_t length = *c == '-' ? strspn(c, "-") : *c == '_' ? strspn(c, "_") : 1;
        if (!strchr("/._-", *c))
            return "the repository may only have letters, digits, and . _ - between them";
        if (!after_word || c[length] == '\0' || (*c == '_' && length > 2))
            return "each part of the repository must begin and end with a letter or a digit";
        after_word = false;
        c += length;
    }
    return *path ? NULL : "the repository is empty";
}

static bool is_valid_tag(const char *tag)
{
    if (!isalnum((unsigned char)*tag) && *tag != '_')
        return false;
    for (const char *c = tag; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_.-", *c))
            return false;
    return strlen(tag) <= 128;
}

/* Takes "@digest" and ":tag" off the end of text. */
static int split_ends(char *text, const char *whole, struct reference *reference, struct error *err)
{
    char *at = strchr(text, '@');
    if (at) {
        *at = '\0';
        if (!reference_is_digest(at + 1))
            return fail(whole, "a digest is sha256: and 64 lower-case hexadecimal digits", err);
        strcpy(reference->digest, at + 1);
    }
    char *colon = strrchr(text, ':');
    if (colon && !strchr(colon, '/')) {
        *colon = '\0';
        if (!is_valid_tag(colon + 1))
            return fail(whole, "a tag has up to 128 letters, digits, and _ . - not at its begin",
                        err);
        strcpy(reference->tag, colon + 1);
    }
    return 0;
}

int reference_parse(const char *text, struct reference *reference, struct error *err)
{
    char rest[REFERENCE_TEXT_SIZE];
    *reference = (struct reference){0};
    if (strlen(text) >= sizeof rest)
        return fail(text, "it is too long", err);
    if (strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64)
        return fail(text, "64 hexadecimal digits are an id, not a name", err);
    strcpy(rest, text);
    if (split_ends(rest, text, reference, err) < 0)
        return -1;
    const char *path = rest;
    char *slash = strchr(rest, '/');
    if (slash && is_domain(rest, (size_t)(slash - rest))) {
        *slash = '\0';
        if (!is_valid_domain(rest) || strlen(rest) >= sizeof reference->domain)
            return fail(text, "its registry is not a host name with an optional port", err);
        strcpy(reference->domain,
               strcmp(rest, "index.docker.io") == 0 ? REFERENCE_DEFAULT_DOMAIN : rest);
        path = slash + 1;
    } else {
        strcpy(reference->domain, REFERENCE_DEFAULT_DOMAIN);
        reference->short_name = true;
    }
    const char *reason = check_path(path);
    if (reason)
        return fail(text, reason, err);
    bool official = strcmp(reference->domain, REFERENCE_DEFAULT_DOMAIN) == 0 && !strchr(path, '/');
    int length =
        snprintf(reference->path, sizeof reference->path, "%s%s", official ? "library/" : "", path);
    if (length < 0 || (size_t)length >= sizeof reference->path)
        return fail(text, "the repository has more than 255 characters", err);
    return 0;
}

void reference_default_tag(struct reference *reference)
{
    if (!*reference->tag && !*reference->digest)
        strcpy(reference->tag, "latest");
}

static const char *find_alias(const struct reference_search *search, const char *repository)
{
    const char *const *alias = search ? search->aliases : NULL;
    for (; alias && alias[0]; alias += 2)
        if (strcmp(alias[0], repository) == 0)
            return alias[1];
    return NULL;
}

static int add_candidate(const char *prefix, const char *rest, struct reference **candidates,
                         size_t *count, struct error *err)
{
    scope_free char *text = memory_format("%s%s", prefix, rest);
    struct reference candidate;
    if (reference_parse(text, &candidate, err) < 0)
        return -1;
    reference_default_tag(&candidate);
    *candidates = memory_resize(*candidates, *count + 1, sizeof candidate);
    (*candidates)[(*count)++] = candidate;
    return 0;
}

int reference_candidates(const char *text, const struct reference_search *search,
                         struct reference **candidates, size_t *count, struct error *err)
{
    struct reference reference;
    *candidates = NULL;
    *count = 0;
    if (reference_parse(text, &reference, err) < 0)
        return -1;
    if (!reference.short_name)
        return add_candidate("", text, candidates, count, err);
    const char *last = strrchr(text, '/');
    size_t length = (size_t)(last ? last - text : 0);
    length += strcspn(text + length, ":@");
    scope_free char *repository = memory_format("%.*s", (int)length, text);
    const char *alias = find_alias(search, repository);
    if (alias)
        return add_candidate(alias, text + length, candidates, count, err);
    static const char *const only_default[] = {REFERENCE_DEFAULT_DOMAIN, NULL};
    const char *const *domain = search && search->domains ? search->domains : only_default;
    for (; *domain; domain++) {
        scope_free char *prefix = memory_format("%s/", *domain);
        if (add_candidate(prefix, text, candidates, count, err) < 0) {
            free(*candidates);
            *candidates = NULL;
            return -1;
        }
    }
    return 0;
}

static const char *print(const struct reference *reference, const char *domain, const char *path,
                         bool ends, char text[REFERENCE_TEXT_SIZE])
{
    bool tag = ends && *reference->tag, digest = ends && *reference->digest;
    snprintf(text, REFERENCE_TEXT_SIZE, "%s%s%s%s%s%s%s", domain, *domain ? "/" : "", path,
             tag ? ":" : "", tag ? reference->tag : "", digest ? "@" : "",
             digest ? reference->digest : "");
    return text;
}

const char *reference_format(const struct reference *reference, char text[REFERENCE_TEXT_SIZE])
{
    return print(reference, reference->domain, reference->path, true, text);
}

const char *reference_format_repository(const struct reference *reference,
                                        char text[REFERENCE_TEXT_SIZE])
{
    return print(reference, reference->domain, reference->path, false, text);
}

static const char *print_familiar(const struct reference *reference, bool ends,
                                  char text[REFERENCE_TEXT_SIZE])
{
    bool usual = strcmp(reference->domain, REFERENCE_DEFAULT_DOMAIN) == 0;
    const char *path = reference->path, *slash = strchr(path, '/');
    /* "docker.io/a.b/c" without its domain would be another one. */
    if (slash && is_domain(path, (size_t)(slash - path)))
        usual = false;
    if (usual && strncmp(path, "library/", 8) == 0 && !strchr(path + 8, '/'))
        path += 8;
    return print(reference, usual ? "" : reference->domain, path, ends, text);
}

const char *reference_format_familiar(const struct reference *reference,
                                      char text[REFERENCE_TEXT_SIZE])
{
    return print_familiar(reference, true, text);
}

const char *reference_format_familiar_repository(const struct reference *reference,
                                                 char text[REFERENCE_TEXT_SIZE])
{
    return print_familiar(reference, false, text);
}
