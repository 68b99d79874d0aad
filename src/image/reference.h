/* Names of images: [DOMAIN/]PATH[:TAG][@DIGEST], as docker's client reads and shows them.
 *
 * Normalised, "busybox" is docker.io/library/busybox:latest: the first component is a domain only
 * if it has a dot, a colon, an upper-case letter, or is "localhost"; docker.io has its official
 * images below library/; index.docker.io is docker.io. */
#ifndef HULL_IMAGE_REFERENCE_H
#define HULL_IMAGE_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define REFERENCE_DEFAULT_DOMAIN "docker.io"

struct reference {
    char domain[256]; /* "docker.io", "localhost:5000", "[::1]:5000" */
    char path[256];   /* "library/busybox" */
    char tag[129];    /* "" if there is none */
    char digest[72];  /* "sha256:…", or "" */
    bool short_name;  /* no domain was given */
};

#define REFERENCE_TEXT_SIZE 768 /* of any reference, with the NUL */

/* Reads and normalises. A reference without tag and digest gets no tag: see
 * reference_default_tag(). Errors say what is wrong with it. */
int reference_parse(const char *text, struct reference *reference, struct error *err);
/* Gives it the tag "latest" if it has neither tag nor digest. */
void reference_default_tag(struct reference *reference);

/* What a short name may mean, in the order to try. */
struct reference_search {
    const char *const *domains; /* ends with NULL; NULL: only docker.io */
    const char *const
        *aliases; /* pairs of short name and full repository, ends with NULL; or NULL */
};
/* The candidates of text: one if it names a domain (or is an alias), else one for each domain.
 * *candidates is an array that the caller frees. search may be NULL. The tag is defaulted. */
int reference_candidates(const char *text, const struct reference_search *search,
                         struct reference **candidates, size_t *count, struct error *err);

/* "docker.io/library/busybox:latest", with the digest if there is one. Returns text. */
const char *reference_format(const struct reference *reference, char text[REFERENCE_TEXT_SIZE]);
/* "docker.io/library/busybox". */
const char *reference_format_repository(const struct reference *reference,
                                        char text[REFERENCE_TEXT_SIZE]);
/* As docker shows it: "busybox:latest", "someone/thing:1", "localhost:5000/thing:1". */
const char *reference_format_familiar(const struct reference *reference,
                                      char text[REFERENCE_TEXT_SIZE]);
/* The same without tag and digest: the REPOSITORY column. */
const char *reference_format_familiar_repository(const struct reference *reference,
                                                 char text[REFERENCE_TEXT_SIZE]);

/* Whether text is "sha256:" and 64 lower-case hexadecimal digits. */
bool reference_is_digest(const char *text);

#endif
