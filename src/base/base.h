/* base.h: the few macros that every file is written in.
 * Owner:   nobody; it holds no state.
 * Threads: any.
 * Errors:  ASSERT ends the process: it is for mistakes of ours and never looks at input.
 * Limits:  none.
 * Units:   none. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKED __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

/* Runs `destructor(&variable)` on every way out of the scope. */
#define AUTO(destructor) __attribute__((cleanup(destructor)))

/* Moves a pointer out of its variable, which is NULL afterwards. */
#define TAKE(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

/* Returns from the function when `expr` is not E_OK: the only macro that hides control flow. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        Code try_code_ = (expr);                                                                   \
        if (try_code_ != E_OK)                                                                     \
            return try_code_;                                                                      \
    } while (0)

/* Says that a result is ignored on purpose; the reason stands beside it. */
#define IGNORE(expr)                                                                               \
    do {                                                                                           \
        if (expr) {                                                                                \
        }                                                                                          \
    } while (0)

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            assert_failed(#condition, __FILE__, __LINE__);                                         \
    } while (0)

/* Prints the condition and its place to standard error and aborts. */
_Noreturn void assert_failed(const char *condition, const char *file, int line);

/* Memory that the process cannot go on without: never NULL, zeroed; ends the process when there is
 * none. A size that comes from input is checked against a named maximum before. */
void *mem_new(size_t size);
void *mem_grow(void *memory, size_t size);
void mem_free(void *memory_pointer); /* takes the address of a pointer, frees it, sets it to NULL */
