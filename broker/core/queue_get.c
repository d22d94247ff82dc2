/* GET, CONSUME, UNCONSUME and CREDIT: who wants messages, and how many. */
#include "broker/core/queue.h"

#include "common/base/panic.h"

#include <utlist.h>

/* ---- checks --------------------------------------------------------------------------------- */

static struct refusal check_names(const struct core *core, const struct cmd_get *get)
{
    uint64_t missing = 0;
    if (get->queues_count == 0 || get->queues_count > LIMIT_GET_QUEUES) {
        return (struct refusal){STW_EINVAL, "a get names 1 to 64 queues"};
    }
    for (size_t i = 0; i < get->queues_count; i++) {
        if (name_check(get->queues[i]) != STW_OK) {
            return (struct refusal){STW_EINVAL, "not a valid name"};
        }
        for (size_t k = 0; k < i; k++) {
            if (slice_equal(get->queues[i], get->queues[k])) {
                return (struct refusal){STW_EINVAL, "a queue is named twice"};
            }
        }
        missing += !queue_find(core, get->queues[i]);
    }
    if (!queues_room(core, missing)) {
        return (struct refusal){STW_ELIMIT, "too many queues"};
    }
    return (struct refusal){0};
}

static struct refusal check_get(const struct core *core, const struct cmd_get *get)
{
    if (get->max == 0 || get->max > LIMIT_BATCH) {
        return (struct refusal){STW_EINVAL, "a get asks for 1 to 1024 messages"};
    }
    if (!duration_good(get->timeout_ms, TIMEOUT_FOREVER)) {
        return (struct refusal){STW_EINVAL, "the time-out is longer than the limit"};
    }
    return check_names(core, get);
}

static struct refusal check_lease(uint64_t lease_ms)
{
    if (!duration_good(lease_ms, SETTING_DEFAULT) || lease_ms < LIMIT_LEASE_MIN_MS) {
        return (struct refusal){STW_EINVAL, "the lease is shorter or longer than the limits"};
    }
    return (struct refusal){0};
}

/* ---- GET ------------------------------------------------------------------------------------ */

/* A get under way: its queues in the order of asking. */
struct get {
    struct core *core;
    struct session *session;
    uint64_t request;
    const struct cmd_get *command;
    struct queue *queues[LIMIT_GET_QUEUES];
};

static void find_queues(struct get *get)
{
    for (size_t i = 0; i < get->command->queues_count; i++) {
        int code = STW_OK;
        get->queues[i] = queue_get_or_create(get->core, get->command->queues[i], &code);
        STEWARD_ASSERT(get->queues[i]);
        queue_wake(get->core, get->queues[i]); /* new ones may be idle from now on */
    }
}

static void refuse(const struct get *get, int code, const char *why)
{
    struct slice name =
        get->command->queues_count > 0 ? get->command->queues[0] : slice_of(NULL, 0);
    answer_error(get->core, get->session, get->request, code, about(why, name));
}

/* The first queue with a message. One that waits does not overtake those who wait already. */
static struct queue *first_ready(const struct get *get)
{
    for (size_t i = 0; i < get->command->queues_count; i++) {
        struct queue *queue = get->queues[i];
        if (queue_deliverable(queue) && (!queue->getters || get->command->timeout_ms == 0)) {
            return queue;
        }
    }
    return NULL;
}

static bool all_drained(const struct get *get)
{
    for (size_t i = 0; i < get->command->queues_count; i++) {
        if (!queue_drained(get->queues[i])) {
            return false;
        }
    }
    return true;
}

static void get_now(const struct get *get, struct queue *queue)
{
    struct session *session = get->session;
    uint64_t first_tag;
    struct lease_order order = {.session = session,
                                .queue = queue,
                                .channel = get->request,
                                .lease_ms = get->command->lease_ms,
                                .max = get->command->max,
                                .auto_ack = get->command->auto_ack};
    if (session->leases.live + session->holders_count + order.max > LIMIT_HELD_SESSION) {
        refuse(get, STW_ELIMIT, "the session holds too many leases");
        return;
    }
    size_t count = lease_deliver(get->core, &order, &first_tag);
    answer_got(get->core, session, get->request, first_tag, count);
    work_take(get->core, count);
}

static void get_wait(struct get *get)
{
    const struct cmd_get *command = get->command;
    uint32_t links = (uint32_t)command->queues_count;
    if (waiter_check(get->core, get->session, 1) != STW_OK) {
        refuse(get, STW_ELIMIT, "too many requests are waiting");
        return;
    }
    struct waiter *waiter = waiter_new(get->core, get->session, WAIT_GET, get->request, links);
    waiter_deadline(get->core, waiter, command->timeout_ms);
    waiter->max = (uint32_t)command->max;
    waiter->lease_ms = command->lease_ms;
    waiter->auto_ack = command->auto_ack;
    for (uint32_t i = 0; i < links; i++) {
        waiter_link(get->core, waiter, i, get->queues[i]);
    }
    answer_wait(get->core, get->session, get->request, waiter);
}

void queue_apply_get(struct core *core, struct session *session, uint64_t request,
                     const struct cmd_get *command)
{
    struct get get = {.core = core, .session = session, .request = request, .command = command};
    struct refusal refusal = check_get(core, command);
    if (refusal.code == STW_OK) {
        refusal = check_lease(command->lease_ms);
    }
    if (refusal.code != STW_OK) {
        refuse(&get, refusal.code, refusal.why);
        return;
    }
    find_queues(&get);
    struct queue *ready = first_ready(&get);
    if (ready) {
        get_now(&get, ready);
    } else if (all_drained(&get)) {
        refuse(&get, STW_ESHUTDOWN, NULL);
    } else if (command->timeout_ms == 0) {
        refuse(&get, STW_EEMPTY, NULL);
    } else {
        get_wait(&get);
    }
    queues_run(core);
}

/* ---- consumers ------------------------------------------------------------------------------ */

/* Adds without wrapping. */
static void credit_add(struct waiter *waiter, uint64_t messages, uint64_t bytes)
{
    uint64_t room = UINT64_MAX - waiter->credit_messages;
    waiter->credit_messages += messages < room ? messages : room;
    uint64_t most = (uint64_t)INT64_MAX / 2;
    int64_t more = (int64_t)(bytes < most ? bytes : most);
    int64_t sum = waiter->credit_bytes + more;
    waiter->credit_bytes = sum < (int64_t)most ? sum : (int64_t)most;
}

static bool has_credit(const struct waiter *waiter)
{
    return waiter->credit_messages > 0 && waiter->credit_bytes > 0;
}

static void consume(struct get *get)
{
    struct core *core = get->core;
    uint32_t links = (uint32_t)get->command->queues_count;
    struct waiter *waiter = waiter_new(core, get->session, WAIT_CONSUME, get->request, links);
    waiter->lease_ms = get->command->lease_ms;
    credit_add(waiter, get->command->credit_messages, get->command->credit_bytes);
    waiter->parked = !has_credit(waiter);
    for (uint32_t i = 0; i < links; i++) {
        waiter_link(core, waiter, i, get->queues[i]);
    }
    answer_plain(core, get->session, get->request, 1);
}

void queue_apply_consume(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_get *command)
{
    struct get get = {.core = core, .session = session, .request = request, .command = command};
    struct refusal refusal = check_names(core, command);
    if (refusal.code == STW_OK) {
        refusal = check_lease(command->lease_ms);
    }
    if (refusal.code == STW_OK && waiter_check(core, session, 1) != STW_OK) {
        refusal = (struct refusal){STW_ELIMIT, "too many requests are waiting"};
    }
    if (refusal.code != STW_OK) {
        refuse(&get, refusal.code, refusal.why);
        return;
    }
    find_queues(&get);
    if (all_drained(&get)) {
        refuse(&get, STW_ESHUTDOWN, NULL);
    } else {
        consume(&get);
    }
    queues_run(core);
}

static struct waiter *consumer_find(const struct session *session, uint64_t channel)
{
    struct waiter *waiter;
    DL_FOREACH (session->consumers, waiter) {
        if (waiter->request == channel) {
            return waiter;
        }
    }
    return NULL;
}

void queue_apply_unconsume(struct core *core, struct session *session, uint64_t request,
                           uint64_t channel)
{
    struct waiter *waiter = consumer_find(session, channel);
    if (!waiter) {
        answer_error(core, session, request, STW_ENOENT,
                     about("there is no such consumer", slice_of(NULL, 0)));
        return;
    }
    queue_waiter_done(core, waiter);
    answer_plain(core, session, request, 1);
    queues_run(core);
}

/* Credit for a consumer that has ended meanwhile is nobody's mistake. */
void queue_apply_credit(struct core *core, struct session *session, const struct cmd_credit *credit)
{
    struct waiter *waiter = consumer_find(session, credit->channel);
    if (!waiter) {
        return;
    }
    credit_add(waiter, credit->messages, credit->bytes);
    if (waiter->parked && has_credit(waiter)) {
        consumer_unpark(core, waiter);
        queues_run(core);
    }
}
