/*
 * The core's state through small windows: written while the buffer spills, read while it refills,
 * loaded in place, and moved on after a backup.
 */
#include "tests/unit/queue_fixture.h"

#include "common/base/alloc.h"

#define WINDOW 64 /* bytes: smaller than most of what is written at once */

/* ---- a stream ---- */

struct stream {
    struct buf bytes;
    size_t pieces;
};

static void stream_take(void *context, struct buf *buf)
{
    struct stream *stream = context;
    buf_add(&stream->bytes, buf->data, buf->size);
    stream->pieces++;
    buf_clear(buf);
}

/* The snapshot, by way of a buffer of WINDOW bytes. */
static struct stream stream_of(const struct core *core)
{
    struct stream stream = {0};
    struct buf window = {.spill = stream_take, .spill_bytes = WINDOW, .spill_context = &stream};
    core_snapshot(core, &window);
    stream_take(&stream, &window);
    buf_fini(&window);
    return stream;
}

/* Gives WINDOW bytes at a time, each time from fresh memory; frees what must not be read any more:
 * all but the last window and the one before it. */
struct source {
    struct slice rest;
    uint8_t *windows[2];
};

static bool source_refill(void *context, struct reader *reader, size_t need)
{
    struct source *source = context;
    size_t left = (size_t)(reader->end - reader->at);
    size_t more = need > WINDOW ? need - left : WINDOW;
    more = more < source->rest.size ? more : source->rest.size;
    if (need > left + more) {
        return false;
    }
    uint8_t *window = mem_alloc(left + more);
    memcpy(window, reader->at, left);
    memcpy(window + left, source->rest.data, more);
    source->rest = slice_of(source->rest.data + more, source->rest.size - more);
    free(source->windows[0]);
    source->windows[0] = source->windows[1];
    source->windows[1] = window;
    reader->at = window;
    reader->end = window + left + more;
    return true;
}

static bool load_in_pieces(struct core *core, struct slice snapshot)
{
    struct source source = {.rest = snapshot};
    struct reader reader;
    reader_init(&reader, slice_of(NULL, 0));
    reader.refill = source_refill;
    reader.refill_context = &source;
    bool good = core_load_from(core, &reader);
    free(source.windows[0]);
    free(source.windows[1]);
    return good;
}

/* ---- a state with a bit of everything ---- */

static void fill(struct queues *q)
{
    static char large[10000];
    struct slice body = slice_of(large, sizeof large);
    queues_begin(q);
    put(q, q->a, "abcdefgh", 0);
    get(q, q->b, 3, 0);
    settle(q, q->b, COMMAND_NACK, 1);
    struct put_options options = no_options();
    options.ttl_ms = 5000;
    options.priority = 3;
    put_with(q, q->a, "xy", 0, &options);
    options.delay_ms = 700;
    put_with(q, q->a, "z", 0, &options);
    struct command blob = {.kind = COMMAND_PUT,
                           .put = {.queue = slice_str("large"), .bodies = &body, .count = 1}};
    fixture_request(&q->f, q->a, blob);
    consume(q, q->b, 2, 100);
    struct command acquire = {
        .kind = COMMAND_ACQUIRE,
        .acquire = {.name = slice_str("lock"), .permits = 1, .owner = 1, .lease_ms = 900}};
    fixture_request(&q->f, q->a, acquire);
    acquire.acquire.timeout_ms = 5000;
    fixture_request(&q->f, q->b, acquire);
}

START_TEST(spilling_changes_no_byte)
{
    struct queues q;
    struct buf whole = {0};
    fill(&q);
    core_snapshot(q.f.core, &whole);
    struct stream stream = stream_of(q.f.core);
    ck_assert_uint_gt(stream.pieces, 10);
    ck_assert(slice_equal(buf_view(&whole), buf_view(&stream.bytes)));
    buf_fini(&stream.bytes);
    buf_fini(&whole);
    queues_end(&q);
}
END_TEST

START_TEST(loads_in_place_and_in_pieces)
{
    struct queues q, other;
    struct buf whole = {0}, again = {0};
    fill(&q);
    core_snapshot(q.f.core, &whole);
    queues_begin(&other); /* has other things: they go */
    put(&other, other.a, "1234", 0);
    get(&other, other.a, 2, 0);
    for (int round = 0; round < 3; round++) {
        struct slice bytes = buf_view(&whole);
        ck_assert(round == 1 ? core_load(other.f.core, bytes)
                             : load_in_pieces(other.f.core, bytes));
        core_check(other.f.core);
        buf_clear(&again);
        core_snapshot(other.f.core, &again);
        ck_assert(slice_equal(bytes, buf_view(&again)));
    }
    buf_fini(&again);
    buf_fini(&whole);
    queues_end(&other);
    queues_end(&q);
}
END_TEST

START_TEST(a_refused_load_leaves_a_new_core)
{
    struct queues q;
    struct buf whole = {0}, new = {0}, left = {0};
    struct core *fresh = core_new();
    core_snapshot(fresh, &new);
    fill(&q);
    core_snapshot(q.f.core, &whole);
    for (size_t cut = 0; cut < whole.size; cut += cut < 1200 ? 1 : 97) {
        struct core *core = core_new();
        ck_assert(core_load(core, buf_view(&whole)));
        struct slice part = slice_of(whole.data, cut);
        ck_assert(cut % 2 ? !core_load(core, part) : !load_in_pieces(core, part));
        buf_clear(&left);
        core_snapshot(core, &left);
        ck_assert(slice_equal(buf_view(&new), buf_view(&left)));
        ck_assert_uint_eq(core_bytes(core), 0);
        core_destroy(&core);
    }
    buf_u8(&whole, 0); /* a byte too many */
    ck_assert(!core_load(fresh, buf_view(&whole)) && !load_in_pieces(fresh, buf_view(&whole)));
    core_destroy(&fresh);
    buf_fini(&left);
    buf_fini(&new);
    buf_fini(&whole);
    queues_end(&q);
}
END_TEST

/* ---- core_jump ---- */

static uint64_t token_of(struct queues *q, const char *name)
{
    struct command acquire = {.kind = COMMAND_ACQUIRE,
                              .acquire = {.name = slice_str(name), .permits = 1, .owner = 1}};
    uint64_t request = fixture_request(&q->f, q->a, acquire);
    assert_reply(&q->f, q->a, request, STW_OK);
    return fixture_reply(&q->f, q->a, request)->value;
}

START_TEST(numbers_go_on_far_ahead)
{
    struct queues q;
    const uint64_t far = 1ULL << 40;
    fill(&q);
    uint64_t before = token_of(&q, "one");
    ck_assert(core_jump(q.f.core, far, 99));
    core_check(q.f.core);
    ck_assert_uint_gt(token_of(&q, "two"), before + far);
    put(&q, q.a, "n", 0);
    uint64_t request = get(&q, q.a, 16, 0);
    assert_reply(&q.f, q.a, request, STW_OK);
    const struct effect *got = fixture_effect(&q.f, EFFECT_DELIVER, q.a);
    ck_assert_uint_gt(got->first_token, far);
    ck_assert_uint_gt(got->messages[got->count - 1].sequence, far);
    struct command open = {.kind = COMMAND_SESSION_OPEN,
                           .open = {.reference = 1, .ttl_ms = 10000, .grace_ms = 2000}};
    fixture_apply(&q.f, &open);
    ck_assert_uint_gt(q.f.effects.items[0].session, far);
    ck_assert_uint_eq(q.f.effects.items[0].incarnation, 99);
    fixture_restart(&q.f);
    ck_assert(!core_jump(q.f.core, (1ULL << 62) - far, 100)); /* too far: nothing is done */
    fixture_apply(&q.f, &open);
    ck_assert_uint_eq(q.f.effects.items[0].incarnation, 99);
    queues_end(&q);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {spilling_changes_no_byte, loads_in_place_and_in_pieces,
                                  a_refused_load_leaves_a_new_core, numbers_go_on_far_ahead};
    return fixture_run("snapshots_core", tests, sizeof tests / sizeof *tests);
}
