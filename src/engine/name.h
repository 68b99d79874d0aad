#ifndef HULL_ENGINE_NAME_H
#define HULL_ENGINE_NAME_H

/* A name for a container whose user gave none, "swift_ketch", chosen by its id; from the second
 * attempt on with a number behind. The caller frees. */
char *name_generate(const char *id, unsigned int attempt);

#endif
