/* Every command kind there and back; cut, changed and random bytes. */
#include "tests/unit/core_fixture.h"

static const struct slice bodies[3] = {
    {(const uint8_t *)"A", 1}, {(const uint8_t *)"", 0}, {(const uint8_t *)"CCC", 3}};
static const struct id_range ranges[2] = {{1, 5}, {9, UINT64_MAX}};

/* A command of the kind whose every field is set. `options` lives as long as the caller's. */
static struct command sample(enum command_kind kind, const struct put_options *options)
{
    struct command c = {.kind = kind, .session = 3, .request = 17};
    switch (kind) {
    case COMMAND_BOOTSTRAP: c.bootstrap = (struct cmd_bootstrap){1, 2}; break;
    case COMMAND_CLOCK_GAP: c.gap_ms = 5; break;
    case COMMAND_SESSION_OPEN:
        c.open = (struct cmd_open){1, "secret", 2, 3, 4, bodies[0], bodies[2]};
        break;
    case COMMAND_SESSION_RESUME: c.resume = (struct cmd_resume){1, 2, "secret", 3}; break;
    case COMMAND_SESSION_END: c.text = bodies[2]; break;
    case COMMAND_SEEN: c.seen = (struct cmd_seen){ranges, 2}; break;
    case COMMAND_CREDIT: c.credit = (struct cmd_credit){1, 2, 3}; break;
    case COMMAND_PUT: c.put = (struct cmd_put){bodies[0], bodies, 3, 7, NULL}; break;
    case COMMAND_PUT_MANY: c.put = (struct cmd_put){bodies[0], bodies, 3, 7, options}; break;
    case COMMAND_GET:
    case COMMAND_CONSUME: c.get = (struct cmd_get){bodies, 3, 1, 2, 3, 4, 5, true}; break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW: c.settle = (struct cmd_settle){1, 2, 3, 4, bodies[2]}; break;
    case COMMAND_ACQUIRE:
        c.acquire = (struct cmd_acquire){bodies[0], LOCK_SEMAPHORE, 1, 2, 3, 4, true};
        break;
    case COMMAND_UNLOCK:
    case COMMAND_LOCK_RENEW: c.unlock = (struct cmd_unlock){bodies[0], 1, 2, 3}; break;
    case COMMAND_LOCK_LIST:
    case COMMAND_QUEUE_LIST:
    case COMMAND_SESSION_LIST: c.page = (struct cmd_page){bodies[0], bodies[2], 9}; break;
    case COMMAND_QUEUE_DECLARE:
    case COMMAND_QUEUE_ALTER:
        c.queue = (struct cmd_queue){
            bodies[0],
            {QUEUE_MAXSIZE | QUEUE_TTL, OVERFLOW_REJECT, 1, 2, 3, 4, 5, 6, 7, bodies[2]}};
        break;
    case COMMAND_QUEUE_PEEK: c.peek = (struct cmd_peek){bodies[0], 1, 2}; break;
    case COMMAND_QUEUE_REDRIVE: c.redrive = (struct cmd_redrive){bodies[0], bodies[2], 4}; break;
    case COMMAND_QUEUE_JOIN: c.join = (struct cmd_join){bodies[0], 4}; break;
    case COMMAND_REFUSE: c.refuse = (struct cmd_refuse){3, STW_ETOOBIG, bodies[2]}; break;
    case COMMAND_SESSION_DETACH:
    case COMMAND_HANDED:
    case COMMAND_UNCONSUME:
    case COMMAND_CANCEL:
    case COMMAND_SESSION_SHOW:
    case COMMAND_SESSION_KILL: c.target = 77; break;
    case COMMAND_TICK:
    case COMMAND_LEADER_START:
    case COMMAND_STAT: break;
    default: c.named = (struct cmd_named){bodies[0], true}; break;
    }
    return c;
}

START_TEST(every_kind_round_trips)
{
    static const struct header_pair headers[2] = {{{(const uint8_t *)"n", 1}, {NULL, 0}},
                                                  {{(const uint8_t *)"m", 1}, {NULL, 0}}};
    struct put_options options = {1, 2, 3, bodies[2], headers, 2};
    struct command_arena arena = {0};
    for (int kind = COMMAND_BOOTSTRAP; kind < COMMAND_KIND_END; kind++) {
        struct command command = sample((enum command_kind)kind, &options);
        struct command decoded;
        struct buf first = {0};
        struct buf second = {0};
        ck_assert_str_ne(command_name((enum command_kind)kind), "?");
        command_encode(&first, &command);
        ck_assert_int_eq(command_decode(buf_view(&first), &arena, &decoded), STW_OK);
        ck_assert_int_eq(decoded.kind, command.kind);
        ck_assert_uint_eq(command_requests(&decoded), command_requests(&command));
        command_encode(&second, &decoded);
        ck_assert(slice_equal(buf_view(&first), buf_view(&second)));
        for (size_t cut = 0; cut < first.size; cut++) {
            uint8_t *exact = malloc(cut ? cut : 1); /* so that sanitizers see every overrun */
            memcpy(exact, first.data, cut);
            ck_assert_int_eq(command_decode(slice_of(exact, cut), &arena, &decoded), STW_EPROTO);
            free(exact);
        }
        buf_u8(&first, 0);
        ck_assert_int_eq(command_decode(buf_view(&first), &arena, &decoded), STW_EPROTO);
        first.data[0]++;
        ck_assert_int_eq(command_decode(buf_view(&first), &arena, &decoded), STW_EVERSION);
        buf_fini(&first);
        buf_fini(&second);
    }
    command_arena_fini(&arena);
}
END_TEST

START_TEST(changed_bytes_are_refused_or_canonical)
{
    struct put_options options = {1, 2, 3, bodies[2], NULL, 0};
    struct command_arena arena = {0};
    uint32_t random = 1;
    for (int i = 0; i < 60000; i++) {
        random = random * 1664525u + 1013904223u;
        enum command_kind kind = (enum command_kind)(1 + (random >> 16) % (COMMAND_KIND_END - 1));
        struct command command = sample(kind, &options);
        struct buf bytes = {0};
        struct buf again = {0};
        command_encode(&bytes, &command);
        random = random * 1664525u + 1013904223u;
        bytes.data[(random >> 12) % bytes.size] = (uint8_t)(random >> 4);
        struct command decoded;
        if (command_decode(buf_view(&bytes), &arena, &decoded) == STW_OK) {
            command_encode(&again, &decoded);
            ck_assert(slice_equal(buf_view(&bytes), buf_view(&again)));
        }
        buf_fini(&bytes);
        buf_fini(&again);
    }
    command_arena_fini(&arena);
}
END_TEST

START_TEST(counts_are_bounded)
{
    struct slice many[LIMIT_BATCH];
    for (size_t i = 0; i < LIMIT_BATCH; i++) {
        many[i] = bodies[0];
    }
    struct command command = {.kind = COMMAND_PUT, .put = {bodies[0], many, LIMIT_BATCH, 0, NULL}};
    struct command_arena arena = {0};
    struct command decoded;
    struct buf bytes = {0};
    command_encode(&bytes, &command);
    ck_assert_int_eq(command_decode(buf_view(&bytes), &arena, &decoded), STW_OK);
    ck_assert_uint_eq(decoded.put.count, LIMIT_BATCH);
    size_t count_at = 1 + 1 + 8 + 8 + 4 + 1 + 8;
    ck_assert_uint_eq(bytes.data[count_at + 1], LIMIT_BATCH >> 8);
    bytes.data[count_at + 3] = 0x7F;
    ck_assert_int_eq(command_decode(buf_view(&bytes), &arena, &decoded), STW_EPROTO);
    buf_fini(&bytes);
    command_arena_fini(&arena);
}
END_TEST

START_TEST(a_refusal_names_a_known_error)
{
    struct command_arena arena = {0};
    struct command decoded;
    for (int number = 0; number <= UINT8_MAX; number++) {
        struct command command = {.kind = COMMAND_REFUSE, .refuse = {1, -number, {NULL, 0}}};
        struct buf bytes = {0};
        command_encode(&bytes, &command);
        bool known = number != 0 && strcmp(error_name(-number), "EUNKNOWN") != 0;
        ck_assert_int_eq(command_decode(buf_view(&bytes), &arena, &decoded),
                         known ? STW_OK : STW_EPROTO);
        buf_fini(&bytes);
    }
    command_arena_fini(&arena);
}
END_TEST

START_TEST(names_of_unknown_kinds)
{
    ck_assert_str_eq(command_name(COMMAND_ACQUIRE), "ACQUIRE");
    ck_assert_str_eq(command_name((enum command_kind)0), "?");
    ck_assert_str_eq(command_name((enum command_kind)250), "?");
    struct command tick = {.kind = COMMAND_TICK};
    ck_assert_uint_eq(command_requests(&tick), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {every_kind_round_trips, changed_bytes_are_refused_or_canonical,
                                  counts_are_bounded, a_refusal_names_a_known_error,
                                  names_of_unknown_kinds};
    return fixture_run("command_codec", tests, sizeof tests / sizeof *tests);
}
