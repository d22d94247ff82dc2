/*
 * Simulation A2, the oracle: every command on its way to the core, every effect on its way out and
 * every outcome that a program sees pass by here. It knows each message, lease and grant, and fails
 * the seed at the first promise that is broken. See net.h.
 *
 * Effects of one command are read twice: first what ends (answers, losses), then what begins
 * (deliveries, grants), because what ends may stand behind what it made possible.
 */
#include "tests/sim/net.h"

#include "common/base/alloc.h"

#include <stdlib.h>

typedef unsigned long long ull;

struct net_session *oracle_session(struct net_world *world, uint64_t id)
{
    struct oracle *oracle = &world->oracle;
    for (size_t i = oracle->sessions_count; i-- > 0;) {
        if (oracle->sessions[i].id == id) {
            return &oracle->sessions[i];
        }
    }
    return NULL;
}

static struct net_request *find_request(struct net_session *session, uint64_t id)
{
    return id > 0 && id <= session->requests_count ? &session->requests[id - 1] : NULL;
}

static struct net_item *item_at(struct net_world *world, uint64_t item)
{
    if (item == 0 || item > world->oracle.items_count) {
        net_fail(world, "a message that nobody put");
    }
    return &world->oracle.items[item - 1];
}

/* The live lease, or NULL. */
static struct net_lease *find_lease(struct net_session *session, uint64_t tag)
{
    bool live = tag > 0 && tag <= session->leases_count && session->leases[tag - 1].live;
    return live ? &session->leases[tag - 1] : NULL;
}

/* ---- items ----------------------------------------------------------------------------------- */

uint64_t oracle_put(struct net_world *world, const struct client *client, int queue, bool plain)
{
    struct oracle *oracle = &world->oracle;
    if (oracle->items_count == oracle->items_room) {
        oracle->items_room = oracle->items_room ? oracle->items_room * 2 : 256;
        oracle->items = mem_realloc(oracle->items, oracle->items_room, sizeof *oracle->items);
    }
    uint64_t size = rng_between(&world->rng, 8, rng_chance(&world->rng, 90) ? 40 : 3000);
    if (world->plan.large && rng_chance(&world->rng, 12)) {
        size = LIMIT_BODY_FRAME_BYTES + rng_below(&world->rng, 3);
    }
    oracle->items[oracle->items_count++] = (struct net_item){
        .queue = queue, .author = client->life, .size = (size_t)size, .plain = plain};
    return oracle->items_count;
}

void oracle_body(const struct net_world *world, uint64_t item, struct buf *out)
{
    size_t size = world->oracle.items[item - 1].size;
    buf_u64(out, item);
    uint8_t *at = buf_reserve(out, size - 8);
    for (size_t i = 8; i < size; i++) {
        *at++ = (uint8_t)(item + i);
    }
    out->size += size - 8;
}

static uint64_t read_item(struct net_world *world, struct slice body)
{
    struct reader in;
    reader_init(&in, body);
    uint64_t item = reader_u64(&in);
    bool good = body.size == item_at(world, item)->size;
    for (size_t i = 8; i < body.size && good; i++) {
        good = body.data[i] == (uint8_t)(item + i);
    }
    if (!good) {
        net_fail(world, "the body of item %llu was changed", (ull)item);
    }
    return item;
}

static void confirm(struct net_world *world, uint64_t id)
{
    struct net_item *item = item_at(world, id);
    net_note(world, "taken", id, item->author, (uint64_t)item->queue);
    if (++item->confirmed > 1) {
        net_fail(world, "item %llu was taken twice by the manager", (ull)id);
    }
    if (item->outcome == ITEM_REFUSED) {
        net_fail(world, "item %llu was taken, its put had been refused", (ull)id);
    }
}

/* ---- leases ---------------------------------------------------------------------------------- */

static void end_lease(struct net_world *world, struct net_session *session, uint64_t tag)
{
    struct net_lease *lease = find_lease(session, tag);
    if (lease) {
        net_note(world, "returned", lease->item, session->id, tag);
        lease->live = false;
        item_at(world, lease->item)->session = 0;
    }
}

static void ack(struct net_world *world, struct net_session *session, uint64_t tag)
{
    const struct net_lease *lease = find_lease(session, tag);
    struct net_item *item = lease ? item_at(world, lease->item) : NULL;
    if (item == NULL || item->acked) {
        net_fail(world, "session %llu acked tag %llu with success: %s", (ull)session->id, (ull)tag,
                 item ? "it was acked before" : "no lease");
    }
    item->acked = true;
    net_note(world, "acked", lease->item, session->id, tag);
    world->counts.acked++;
    end_lease(world, session, tag);
}

static void end_channel(struct net_world *world, struct net_session *session, uint64_t channel,
                        bool acked)
{
    for (uint64_t tag = 1; tag <= session->leases_count; tag++) {
        const struct net_lease *lease = find_lease(session, tag);
        if (lease && lease->channel == channel) {
            if (acked) {
                ack(world, session, tag);
            } else {
                end_lease(world, session, tag);
            }
        }
    }
}

/* ---- commands -------------------------------------------------------------------------------- */

static struct net_request describe(struct net_world *world, const struct command *command,
                                   uint64_t index)
{
    struct net_request request = {.kind = command->kind, .lock = -1};
    switch (command->kind) {
    case COMMAND_PUT:
        request.value = read_item(world, command->put.bodies[index]);
        request.count = 1;
        break;
    case COMMAND_PUT_MANY:
        request.value = read_item(world, command->put.bodies[0]);
        request.count = command->put.count;
        break;
    case COMMAND_GET: request.auto_ack = command->get.auto_ack; break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW: request.value = command->settle.first_tag + index; break;
    case COMMAND_CANCEL: request.value = command->target; break;
    case COMMAND_ACQUIRE: request.lock = oracle_lock(command->acquire.name); break;
    case COMMAND_UNLOCK: request.value = command->unlock.token; break;
    default: break;
    }
    return request;
}

static void add_request(struct net_session *session, struct net_request request)
{
    if (session->requests_count == session->requests_room) {
        session->requests_room = session->requests_room ? session->requests_room * 2 : 64;
        session->requests =
            mem_realloc(session->requests, session->requests_room, sizeof *session->requests);
    }
    session->requests[session->requests_count++] = request;
}

/* What a get with auto_ack delivered is acknowledged once its answer was seen. */
static void seen(struct net_world *world, struct net_session *session, const struct cmd_seen *seen)
{
    for (size_t i = 0; i < seen->count; i++) {
        for (uint64_t n = 0; n < seen->ranges[i].count; n++) {
            uint64_t id = seen->ranges[i].first + n;
            struct net_request *request = find_request(session, id);
            if (request) {
                request->seen = true;
            }
            if (request && request->auto_ack && request->answered && request->code == 0) {
                end_channel(world, session, id, true);
            }
        }
    }
}

void oracle_command(struct net_world *world, const struct command *command)
{
    struct oracle *oracle = &world->oracle;
    struct net_session *session = oracle_session(world, command->session);
    oracle->command = command;
    oracle->highest = session ? session->requests_count : 0;
    net_note(world, "command", command->kind, command->session, command->request);
    oracle_full_time(world, command);
    if (session == NULL || !session->alive) {
        return;
    }
    if (command->kind == COMMAND_SEEN) {
        seen(world, session, &command->seen);
    } else if (command->kind == COMMAND_SESSION_END) {
        oracle_session_end(world, session);
    }
    for (uint64_t i = 0; command->request && i < command_requests(command); i++) {
        if (command->request + i == session->requests_count + 1) {
            add_request(session, describe(world, command, i));
        }
    }
}

/* ---- effects: what ends ---------------------------------------------------------------------- */

static void stray(struct net_world *world, struct net_session *session, uint64_t tag)
{
    const struct net_lease *lease = find_lease(session, tag);
    if (lease) {
        item_at(world, lease->item)->strayed = true;
    }
}

static void settled(struct net_world *world, struct net_session *session,
                    const struct net_request *request)
{
    if (request->kind == COMMAND_ACK) {
        if (request->code == 0) {
            ack(world, session, request->value);
        } else if (find_lease(session, request->value)) {
            net_fail(world, "session %llu: an ack of tag %llu was refused although it was leased",
                     (ull)session->id, (ull)request->value);
        }
    } else if (request->code == 0 && request->kind != COMMAND_RENEW) {
        if (request->kind == COMMAND_REJECT) {
            stray(world, session, request->value);
        }
        end_lease(world, session, request->value);
    }
}

static void canceled(struct net_world *world, struct net_session *session, uint64_t target)
{
    struct net_request *request = find_request(session, target);
    if (request == NULL) {
        return;
    }
    if (request->kind == COMMAND_GET) {
        end_channel(world, session, target, false);
    } else if (request->kind == COMMAND_ACQUIRE && request->value) {
        oracle_released(world, session->id, request->value);
    }
    request->code = STW_ECANCELED;
}

static void answer_first(struct net_world *world, struct net_session *session,
                         struct net_request *request, const struct effect *effect)
{
    request->answered = true;
    request->code = effect->code;
    bool put = request->kind == COMMAND_PUT || request->kind == COMMAND_PUT_MANY;
    for (uint64_t i = 0; put && effect->code == 0 && i < request->count; i++) {
        confirm(world, request->value + i);
    }
    if (request->kind == COMMAND_RENEW && effect->code == 0) {
        struct net_lease *lease = find_lease(session, request->value);
        if (lease) {
            lease->until_ms = world->oracle.now_ms + effect->value;
        }
    }
    if (request->kind >= COMMAND_ACK && request->kind <= COMMAND_RENEW) {
        settled(world, session, request);
    } else if (request->kind == COMMAND_CANCEL && effect->code == 0 &&
               effect->reply == REPLY_PLAIN) {
        canceled(world, session, request->value);
    } else if (request->kind == COMMAND_UNLOCK && effect->code == 0 && effect->value == 0) {
        oracle_released(world, session->id, request->value);
    }
}

static void answered(struct net_world *world, struct net_session *session,
                     const struct effect *effect, bool begins)
{
    for (uint64_t id = effect->first; id < effect->first + effect->count; id++) {
        struct net_request *request = find_request(session, id);
        if (!session->alive && effect->code == STW_ESESSION) {
            continue; /* came while the session's end was on its way */
        }
        if (request == NULL) {
            if (!begins && effect->code != STW_EPROTO) {
                net_fail(world, "session %llu: an answer to request %llu that was never asked",
                         (ull)session->id, (ull)id);
            }
            continue;
        }
        bool grant = request->kind == COMMAND_ACQUIRE && effect->code == 0;
        if (begins) {
            if (grant && request->value == 0) {
                request->value = effect->value;
                oracle_granted(world, session->id, request->lock, effect->value);
            }
        } else if (!request->answered) {
            answer_first(world, session, request, effect);
        } else if (request->kind == COMMAND_GET && effect->code == STW_ELEASE) {
            request->code = STW_ELEASE; /* sent again when some of its leases had run out */
            end_channel(world, session, id, false);
        } else if (request->code != effect->code && request->code != STW_ECANCELED &&
                   effect->code != STW_ECANCELED) {
            net_fail(world, "session %llu: request %llu was answered %d, then %d", (ull)session->id,
                     (ull)id, request->code, effect->code);
        } else if (grant && request->value != effect->value) {
            net_fail(world, "session %llu: the grant of request %llu came again with another token",
                     (ull)session->id, (ull)id);
        }
    }
}

static void ended(struct net_world *world, struct net_session *session)
{
    session->alive = false;
    world->counts.ended++;
    for (uint64_t tag = 1; tag <= session->leases_count; tag++) {
        end_lease(world, session, tag);
    }
    oracle_released(world, session->id, 0);
}

static void ends(struct net_world *world, const struct effect *effect)
{
    struct net_session *session = oracle_session(world, effect->session);
    if (session == NULL) {
        return;
    }
    switch (effect->kind) {
    case EFFECT_REPLY: answered(world, session, effect, false); break;
    case EFFECT_LEASE_LOST:
        for (uint64_t i = 0; i < effect->count; i++) {
            oracle_ran_out(world, session, effect->first + i);
            end_lease(world, session, effect->first + i);
        }
        break;
    case EFFECT_LOCK_LOST: oracle_released(world, session->id, effect->token); break;
    case EFFECT_SESSION_ENDED: ended(world, session); break;
    default: break;
    }
}

/* ---- effects: what begins -------------------------------------------------------------------- */

static struct net_lease *add_lease(struct net_session *session)
{
    if (session->leases_count == session->leases_room) {
        session->leases_room = session->leases_room ? session->leases_room * 2 : 64;
        session->leases =
            mem_realloc(session->leases, session->leases_room, sizeof *session->leases);
    }
    session->leases[session->leases_count] = (struct net_lease){0};
    return &session->leases[session->leases_count++];
}

/* Puts of one client to one queue come out in their order, the first time. */
static void in_order(struct net_world *world, uint64_t id)
{
    struct oracle *oracle = &world->oracle;
    const struct net_item *item = item_at(world, id);
    size_t place = (size_t)item->author * NET_QUEUES + (size_t)item->queue;
    if (place >= oracle->authors_room) {
        size_t room = place + 256;
        oracle->first_delivered =
            mem_realloc(oracle->first_delivered, room, sizeof *oracle->first_delivered);
        memset(oracle->first_delivered + oracle->authors_room, 0,
               (room - oracle->authors_room) * sizeof *oracle->first_delivered);
        oracle->authors_room = room;
    }
    if (item->plain && item->delivered == 1) {
        if (oracle->first_delivered[place] > id && !oracle->unordered) {
            net_fail(world, "item %llu was delivered after item %llu of the same client", (ull)id,
                     (ull)oracle->first_delivered[place]);
        }
        oracle->first_delivered[place] = id;
    }
}

static void leased(struct net_world *world, struct net_session *session, uint64_t id, uint64_t tag,
                   uint64_t token)
{
    struct net_item *item = item_at(world, id);
    if (item->session) {
        net_fail(world, "item %llu is leased to session %llu and to session %llu", (ull)id,
                 (ull)item->session, (ull)session->id);
    }
    if (item->acked || !item->confirmed) {
        net_fail(world, "item %llu was delivered %s", (ull)id,
                 item->acked ? "after its ack" : "and its put was not answered");
    }
    oracle_token(world, token);
    net_note(world, "leased", id, session->id, tag);
    item->session = session->id;
    item->tag = tag;
    item->token = token;
    item->delivered++;
    in_order(world, id);
}

static void delivered(struct net_world *world, struct net_session *session,
                      const struct effect *effect)
{
    for (uint64_t i = 0; i < effect->count; i++) {
        uint64_t tag = effect->first_tag + i, token = effect->first_token + i;
        uint64_t id = read_item(world, effect->messages[i].body);
        if (tag <= session->leases_count) { /* once more, after a resume or a resend */
            const struct net_lease *lease = find_lease(session, tag);
            if (lease == NULL || lease->item != id || lease->token != token) {
                net_fail(world, "session %llu: tag %llu came again with something else",
                         (ull)session->id, (ull)tag);
            }
            continue;
        }
        if (tag != session->leases_count + 1) {
            net_fail(world, "session %llu: tag %llu was skipped", (ull)session->id,
                     (ull)session->leases_count + 1);
        }
        *add_lease(session) =
            (struct net_lease){.item = id,
                               .token = token,
                               .channel = effect->first,
                               .lease_ms = effect->lease_ms,
                               .until_ms = world->oracle.now_ms + effect->lease_ms,
                               .live = true};
        leased(world, session, id, tag, token);
    }
}

static void begins(struct net_world *world, const struct effect *effect)
{
    struct oracle *oracle = &world->oracle;
    if (effect->kind == EFFECT_SESSION_OPENED && !effect->resumed) {
        if (oracle->sessions_count == oracle->sessions_room) {
            oracle->sessions_room = oracle->sessions_room ? oracle->sessions_room * 2 : 16;
            oracle->sessions =
                mem_realloc(oracle->sessions, oracle->sessions_room, sizeof *oracle->sessions);
        }
        struct net_session *opened = &oracle->sessions[oracle->sessions_count++];
        *opened = (struct net_session){.id = effect->session, .alive = true};
        oracle_opened(world, opened);
        return;
    }
    struct net_session *session = oracle_session(world, effect->session);
    if (session && effect->kind == EFFECT_SESSION_OPENED) {
        oracle_opened(world, session);
    }
    bool hands = effect->kind == EFFECT_DELIVER || effect->kind == EFFECT_REPLY;
    bool refused = effect->kind == EFFECT_REPLY && effect->code == STW_ESESSION;
    if (session && hands && !refused && !session->alive) {
        net_fail(world, "something was given to session %llu, which has ended", (ull)session->id);
    }
    if (session && effect->kind == EFFECT_DELIVER) {
        delivered(world, session, effect);
    } else if (session && effect->kind == EFFECT_REPLY) {
        answered(world, session, effect, true);
    }
}

void oracle_effects(struct net_world *world, const struct effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->items[i];
        net_note(world, "effect", effect->kind, effect->session, effect->first);
        ends(world, effect);
    }
    for (size_t i = 0; i < effects->count; i++) {
        begins(world, &effects->items[i]);
    }
}

void oracle_free(struct oracle *oracle)
{
    for (size_t i = 0; i < oracle->sessions_count; i++) {
        free(oracle->sessions[i].requests);
        free(oracle->sessions[i].leases);
    }
    free(oracle->sessions);
    free(oracle->items);
    free(oracle->first_delivered);
}
