/* base/memory: the arena and the formatted strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

static void arena_memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena arena = {0};
    for (size_t size = 1; size < 20000; size = size * 3 + 1) {
        unsigned char *memory = arena_allocate(&arena, size, 1);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xff, size);
    }
    arena_release(&arena);
    assert_null(arena.blocks);
}

static void formatted_strings_hold_all_of_their_text(void **state)
{
    (void)state;
    struct arena arena = {0};
    assert_string_equal(arena_format(&arena, "%s-%d", "long enough", 42), "long enough-42");
    char *text = memory_format("%0200d", 7);
    assert_int_equal(strlen(text), 200);
    free(text);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_and_aligned),
        cmocka_unit_test(formatted_strings_hold_all_of_their_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
