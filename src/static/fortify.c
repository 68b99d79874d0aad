/* The distribution's libjansson.a and libmicrohttpd.a were compiled for glibc with _FORTIFY_SOURCE:
 * these are the checked functions that they call (Linux Standard Base, Core, 5.0, "baselib"), for a
 * program that is linked with musl. They end the process where the result would not fit the object.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

int __snprintf_chk(char *text, size_t size, int flag, size_t object, const char *format, ...);
int __vsnprintf_chk(char *text, size_t size, int flag, size_t object, const char *format,
                    va_list values);
char *__strncpy_chk(char *to, const char *from, size_t size, size_t object);
int __vfprintf_chk(FILE *file, int flag, const char *format, va_list values);
int __fprintf_chk(FILE *file, int flag, const char *format, ...);
void *__memcpy_chk(void *to, const void *from, size_t size, size_t object);
long __fdelt_chk(long descriptor);

int __vsnprintf_chk(char *text, size_t size, int flag, size_t object, const char *format,
                    va_list values)
{
    (void)flag;
    if (size > object)
        abort();
    return vsnprintf(text, size, format, values);
}

int __snprintf_chk(char *text, size_t size, int flag, size_t object, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = __vsnprintf_chk(text, size, flag, object, format, values);
    va_end(values);
    return length;
}

char *__strncpy_chk(char *to, const char *from, size_t size, size_t object)
{
    if (size > object)
        abort();
    return strncpy(to, from, size);
}

int __vfprintf_chk(FILE *file, int flag, const char *format, va_list values)
{
    (void)flag;
    return vfprintf(file, format, values);
}

int __fprintf_chk(FILE *file, int flag, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = __vfprintf_chk(file, flag, format, values);
    va_end(values);
    return length;
}

void *__memcpy_chk(void *to, const void *from, size_t size, size_t object)
{
    if (size > object)
        abort();
    return memcpy(to, from, size);
}

/* The word of a descriptor set that a descriptor is in. */
long __fdelt_chk(long descriptor)
{
    if (descriptor < 0 || descriptor >= FD_SETSIZE)
        abort();
    return descriptor / (8 * (long)sizeof(long));
}
