/*
 * A queue's options: DECLARE makes a queue with them or compares them, ALTER changes them.
 *
 * A new option: a bit in enum queue_option, a field in struct queue_options and queue_settings, and
 * a row in `numbers` below (or a case beside overflow and dead_letter).
 */
#include "broker/core/queue.h"

#include "common/base/panic.h"

/* The options that are numbers. */
struct number {
    uint32_t bit;
    const char *differs; /* the sentence of EEXIST */
    size_t option;       /* offset in struct queue_options */
    size_t setting;      /* offset in struct queue_settings */
};

#define NUMBER(bit, name)                                                                          \
    {                                                                                              \
        bit, "it exists with another " #name, offsetof(struct queue_options, name),                \
            offsetof(struct queue_settings, name)                                                  \
    }

static const struct number numbers[] = {
    NUMBER(QUEUE_MAXSIZE, maxsize),
    NUMBER(QUEUE_MAX_BYTES, max_bytes),
    NUMBER(QUEUE_LEASE, lease_ms),
    NUMBER(QUEUE_MAX_DELIVERIES, max_deliveries),
    NUMBER(QUEUE_TTL, ttl_ms),
    NUMBER(QUEUE_DELAY, delay_ms),
    NUMBER(QUEUE_DEDUP_WINDOW, dedup_window_ms),
};
#define NUMBERS (sizeof numbers / sizeof numbers[0])

static uint64_t option_of(const struct queue_options *options, const struct number *number)
{
    uint64_t value;
    memcpy(&value, (const char *)options + number->option, sizeof value);
    return value;
}

static uint64_t setting_of(const struct queue_settings *settings, const struct number *number)
{
    uint64_t value;
    memcpy(&value, (const char *)settings + number->setting, sizeof value);
    return value;
}

/* ---- checks --------------------------------------------------------------------------------- */

static struct refusal check_dead_letter(struct slice name, const struct queue_options *options,
                                        const struct queue *queue)
{
    bool given = options->given & QUEUE_DEAD_LETTER;
    bool named =
        given ? options->dead_letter.size > 0 : queue && queue->settings.dead_letter.size > 0;
    uint64_t max_deliveries = queue ? queue->settings.max_deliveries : 0;
    if (options->given & QUEUE_MAX_DELIVERIES) {
        max_deliveries = options->max_deliveries;
    }
    if (given && options->dead_letter.size > 0 && name_check(options->dead_letter) != STW_OK) {
        return (struct refusal){STW_EINVAL, "dead_letter is not a valid name"};
    }
    if (given && slice_equal(options->dead_letter, name)) {
        return (struct refusal){STW_EINVAL, "dead_letter names the queue itself"};
    }
    if (max_deliveries > 0 && !named && !dead_letter_nameable(name)) {
        return (struct refusal){STW_EINVAL,
                                "with max_deliveries a name this long must name dead_letter"};
    }
    return (struct refusal){0};
}

static struct refusal check_durations(const struct queue_options *options)
{
    if ((options->given & QUEUE_LEASE) &&
        (options->lease_ms < LIMIT_LEASE_MIN_MS || options->lease_ms > LIMIT_DURATION_MS)) {
        return (struct refusal){STW_EINVAL, "lease_ms is shorter or longer than the limits"};
    }
    if ((options->given & QUEUE_TTL) && options->ttl_ms > LIMIT_DURATION_MS) {
        return (struct refusal){STW_EINVAL, "ttl_ms is longer than the limit"};
    }
    if ((options->given & QUEUE_DELAY) && options->delay_ms > LIMIT_DURATION_MS) {
        return (struct refusal){STW_EINVAL, "delay_ms is longer than the limit"};
    }
    if ((options->given & QUEUE_DEDUP_WINDOW) && options->dedup_window_ms > LIMIT_DURATION_MS) {
        return (struct refusal){STW_EINVAL, "dedup_window_ms is longer than the limit"};
    }
    return (struct refusal){0};
}

static struct refusal check_options(struct slice name, const struct queue_options *options,
                                    const struct queue *queue)
{
    if (options->given & ~(uint32_t)QUEUE_OPTIONS_ALL) {
        return (struct refusal){STW_EINVAL, "there is no such option"};
    }
    if ((options->given & QUEUE_OVERFLOW) && (unsigned)options->overflow > OVERFLOW_DROP_OLDEST) {
        return (struct refusal){STW_EINVAL, "overflow is block, reject or drop_oldest"};
    }
    struct refusal refusal = check_durations(options);
    return refusal.code ? refusal : check_dead_letter(name, options, queue);
}

/* The sentence for the first option that differs; NULL: all are equal. */
static const char *difference(const struct queue *queue, const struct queue_options *options)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        if ((options->given & numbers[i].bit) &&
            option_of(options, &numbers[i]) != setting_of(&queue->settings, &numbers[i])) {
            return numbers[i].differs;
        }
    }
    if ((options->given & QUEUE_OVERFLOW) &&
        (uint8_t)options->overflow != queue->settings.overflow) {
        return "it exists with another overflow";
    }
    if ((options->given & QUEUE_DEAD_LETTER) &&
        !slice_equal(options->dead_letter, name_slice(&queue->settings.dead_letter))) {
        return "it exists with another dead_letter";
    }
    return NULL;
}

/* ---- commands ------------------------------------------------------------------------------- */

static void change(struct queue *queue, const struct queue_options *options)
{
    struct queue_settings *settings = &queue->settings;
    for (size_t i = 0; i < NUMBERS; i++) {
        if (options->given & numbers[i].bit) {
            uint64_t value = option_of(options, &numbers[i]);
            memcpy((char *)settings + numbers[i].setting, &value, sizeof value);
        }
    }
    if (options->given & QUEUE_OVERFLOW) {
        settings->overflow = (uint8_t)options->overflow;
    }
    if (options->given & QUEUE_DEAD_LETTER) {
        name_set(&settings->dead_letter, options->dead_letter);
    }
}

void queue_apply_declare(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_queue *declare)
{
    struct queue *queue = queue_find(core, declare->name);
    struct refusal refusal = check_options(declare->name, &declare->options, queue);
    if (refusal.code == STW_OK && queue) {
        refusal.why = difference(queue, &declare->options);
        refusal.code = refusal.why ? STW_EEXIST : STW_OK;
    } else if (refusal.code == STW_OK) {
        queue = queue_get_or_create(core, declare->name, &refusal.code);
        if (queue) {
            change(queue, &declare->options);
        }
    }
    if (refusal.code != STW_OK) {
        answer_error(core, session, request, refusal.code, about(refusal.why, declare->name));
        return;
    }
    queue->declared = true;
    queue_settle_life(core, queue);
    answer_plain(core, session, request, 1);
}

void queue_apply_alter(struct core *core, struct session *session, uint64_t request,
                       const struct cmd_queue *alter)
{
    struct queue *queue = queue_find(core, alter->name);
    struct refusal refusal = {STW_ENOENT, NULL};
    if (queue) {
        refusal = check_options(alter->name, &alter->options, queue);
    }
    if (refusal.code != STW_OK) {
        answer_error(core, session, request, refusal.code, about(refusal.why, alter->name));
        return;
    }
    change(queue, &alter->options);
    answer_plain(core, session, request, 1);
    queue_wake(core, queue); /* a larger maxsize lets blocked puts in */
    queues_run(core);
}
