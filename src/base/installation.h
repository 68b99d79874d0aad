/* Where the other parts of hull lie: its programs and modules. */
#ifndef HULL_BASE_INSTALLATION_H
#define HULL_BASE_INSTALLATION_H

/* `built` lists places that are tried first, relative to the directory of the running program:
 * those of a build tree; it ends with NULL. Else it is `installed`, an absolute path. That follows
 * where its prefix has been moved to, or has been installed below with DESTDIR, if it is there.
 * The caller frees the result. */
char *installation_find(const char *const *built, const char *installed);

#endif
