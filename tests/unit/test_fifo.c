/* The deque of plain messages: order, random access, rings that wrap and grow. */
#include "broker/core/internal.h"
#include "tests/unit/core_fixture.h"

/* The fifo never looks at what the pointers point to. */
static struct message *number(uintptr_t i)
{
    return (struct message *)(i + 1);
}

START_TEST(first_in_first_out)
{
    struct fifo fifo = {0};
    ck_assert_ptr_null(fifo_pop(&fifo));
    for (uintptr_t i = 0; i < 1000; i++) {
        fifo_push(&fifo, number(i));
        ck_assert_uint_eq(fifo.count, i + 1);
    }
    for (uintptr_t i = 0; i < 1000; i++) {
        ck_assert_ptr_eq(fifo_pop(&fifo), number(i));
    }
    ck_assert_ptr_null(fifo_pop(&fifo));
    ck_assert_ptr_null(fifo.chunks); /* an empty one costs nothing */
}
END_TEST

/* Depths that drift through chunk and ring boundaries, compared with two counters. */
START_TEST(any_depth_wraps)
{
    struct fifo fifo = {0};
    uintptr_t in = 0, out = 0;
    uint32_t random = 1;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525u + 1013904223u;
        uint32_t burst = random >> 24;
        bool push = (random >> 16 & 1u) || fifo.count == 0;
        for (uint32_t i = 0; i < burst; i++) {
            if (push) {
                fifo_push(&fifo, number(in++));
            } else if (out < in) {
                ck_assert_ptr_eq(fifo_pop(&fifo), number(out++));
            }
        }
        ck_assert_uint_eq(fifo.count, in - out);
        if (fifo.count > 0) {
            size_t k = random % fifo.count;
            ck_assert_ptr_eq(fifo_at(&fifo, k), number(out + k));
            ck_assert_ptr_eq(fifo_at(&fifo, fifo.count - 1), number(in - 1));
        }
    }
    fifo_fini(&fifo);
    ck_assert_uint_eq(fifo.count, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {first_in_first_out, any_depth_wraps};
    return fixture_run("fifo", tests, sizeof tests / sizeof *tests);
}
