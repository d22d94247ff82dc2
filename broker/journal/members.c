/* Who belongs to the cluster: see members.h. */
#include "broker/journal/members.h"

#include "common/base/panic.h"

#define MEMBERS_VERSION 1
#define MEMBER_ID_END   (1ULL << 62)

static bool member_valid(uint64_t id, uint8_t role)
{
    return id > 0 && id < MEMBER_ID_END && (role == MEMBER_SPARE || role == MEMBER_VOTER);
}

const struct member *members_find(const struct members *members, uint64_t id)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].id == id)
            return &members->list[i];
    }
    return NULL;
}

bool members_set(struct members *members, uint64_t id, uint8_t role)
{
    if (!member_valid(id, role))
        return false;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].id == id) {
            members->list[i].role = role;
            return true;
        }
    }
    if (members->count == LIMIT_NODES)
        return false;
    members->list[members->count++] = (struct member){.id = id, .role = role};
    return true;
}

bool members_remove(struct members *members, uint64_t id)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].id != id)
            continue;
        members->count--;
        memmove(&members->list[i], &members->list[i + 1],
                (members->count - i) * sizeof(members->list[0]));
        return true;
    }
    return false;
}

bool members_equal(const struct members *a, const struct members *b)
{
    for (uint32_t i = 0; i < a->count && a->count == b->count; i++) {
        if (a->list[i].id != b->list[i].id || a->list[i].role != b->list[i].role)
            return false;
    }
    return a->count == b->count;
}

uint32_t members_voters(const struct members *members)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++)
        voters += members->list[i].role == MEMBER_VOTER;
    return voters;
}

bool members_sole_voter(const struct members *members, uint64_t id)
{
    const struct member *self = members_find(members, id);
    return self && self->role == MEMBER_VOTER && members_voters(members) == 1;
}

void members_encode(const struct members *members, struct buf *out)
{
    STEWARD_ASSERT(members->count > 0 && members->count <= LIMIT_NODES);
    buf_u8(out, MEMBERS_VERSION);
    buf_u8(out, (uint8_t)members->count);
    for (uint32_t i = 0; i < members->count; i++) {
        buf_u64(out, members->list[i].id);
        buf_u8(out, members->list[i].role);
    }
}

bool members_decode(struct slice bytes, struct members *out)
{
    struct reader in;
    *out = (struct members){0};
    reader_init(&in, bytes);
    if (reader_u8(&in) != MEMBERS_VERSION)
        return false;
    uint32_t count = reader_u8(&in);
    if (in.failed || count == 0 || count > LIMIT_NODES)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = reader_u64(&in);
        uint8_t role = reader_u8(&in);
        if (in.failed || members_find(out, id) || !members_set(out, id, role))
            return false;
    }
    return reader_done(&in) && members_voters(out) > 0;
}
