/*
 * The bounded scan: is a run of bytes well-formed, shallow and small enough to be handed to a
 * decoder that trusts declared lengths? Walks with a stack of counters, so depth costs no recursion
 * and a hostile frame costs one pass over its bytes at most.
 */
#include "common/wire/codec.h"

#include "common/base/limits.h"
#include "common/base/steward_errors.h"

/* What the marker of a value says about the rest of it. */
struct shape {
    uint8_t number;   /* bytes of the count, size or integer that follows the marker */
    uint8_t elements; /* container: values per element (array 1, map 2); else 0 */
    bool sized;       /* the number is a size: so many bytes follow it */
    bool good;        /* the protocol knows this type */
};

static struct shape marker_shape(uint8_t marker)
{
    switch (marker) {
    case 0xc0: /* nil */
    case 0xc2: /* false */
    case 0xc3: return (struct shape){.good = true};
    case 0xc4: /* bin 8 */
    case 0xd9: return (struct shape){.number = 1, .sized = true, .good = true};
    case 0xc5:
    case 0xda: return (struct shape){.number = 2, .sized = true, .good = true};
    case 0xc6:
    case 0xdb: return (struct shape){.number = 4, .sized = true, .good = true};
    case 0xcc: return (struct shape){.number = 1, .good = true};
    case 0xcd: return (struct shape){.number = 2, .good = true};
    case 0xce: return (struct shape){.number = 4, .good = true};
    case 0xcf: return (struct shape){.number = 8, .good = true};
    case 0xdc: return (struct shape){.number = 2, .elements = 1, .good = true};
    case 0xdd: return (struct shape){.number = 4, .elements = 1, .good = true};
    case 0xde: return (struct shape){.number = 2, .elements = 2, .good = true};
    case 0xdf: return (struct shape){.number = 4, .elements = 2, .good = true};
    default: return (struct shape){.good = false}; /* ext, float, signed, unused */
    }
}

/* Steps over one marker and what is not a container behind it. children: values inside. */
static bool scan_head(struct wire_reader *in, uint64_t *children)
{
    *children = 0;
    uint8_t marker = *in->at++;
    uint64_t left = (uint64_t)(in->end - in->at);
    if (marker < 0x80) {
        return true;
    }
    if (marker < 0xa0) {
        *children = (uint64_t)(marker & 0x0f) * (marker < 0x90 ? 2 : 1);
        return *children <= left;
    }
    if (marker < 0xc0) {
        in->at += (marker & 0x1f) <= left ? (marker & 0x1f) : left;
        return (marker & 0x1f) <= left;
    }
    struct shape shape = marker_shape(marker);
    if (!shape.good || shape.number > left) {
        return false;
    }
    uint64_t number = 0;
    for (uint8_t i = 0; i < shape.number; i++) {
        number = number << 8 | *in->at++;
    }
    left -= shape.number;
    *children = number * shape.elements; /* number has 32 bits at most where elements is not 0 */
    uint64_t payload = shape.sized ? number : 0;
    if (payload > left || *children > left) {
        return false;
    }
    in->at += payload;
    return true;
}

static bool is_container(uint8_t marker)
{
    return (marker >= 0x80 && marker < 0xa0) || (marker >= 0xdc && marker <= 0xdf);
}

/* One whole value; objects: how many may still be met. */
static bool scan_value(struct wire_reader *in, uint32_t *objects)
{
    uint64_t pending[LIMIT_DEPTH + 1] = {1}; /* values still to come at each depth */
    size_t depth = 0;
    while (depth > 0 || pending[0] > 0) {
        if (in->at == in->end || *objects == 0) {
            return false;
        }
        (*objects)--;
        pending[depth]--;
        bool container = is_container(*in->at);
        uint64_t children;
        if ((container && depth == LIMIT_DEPTH) || !scan_head(in, &children)) {
            return false;
        }
        if (children > 0) {
            pending[++depth] = children;
        }
        while (depth > 0 && pending[depth] == 0) {
            depth--;
        }
    }
    return true;
}

struct slice wire_read_value(struct wire_reader *in)
{
    const uint8_t *start = in->at;
    uint32_t objects = LIMIT_OBJECTS;
    if (in->failed || !scan_value(in, &objects)) {
        wire_fail(in);
        return slice_of(in->end, 0);
    }
    return slice_of(start, (size_t)(in->at - start));
}

void wire_skip(struct wire_reader *in)
{
    (void)wire_read_value(in);
}

int wire_scan(struct slice frame)
{
    struct wire_reader in;
    wire_reader_init(&in, frame);
    uint32_t objects = LIMIT_OBJECTS;
    while (in.at != in.end) {
        if (!scan_value(&in, &objects)) {
            return STW_EPROTO;
        }
    }
    return 0;
}

/* How many continuation bytes follow `lead`; and the second byte's least value and its most. */
static int utf8_follow(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 1;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        *low = lead == 0xe0 ? 0xa0 : 0x80;  /* no overlong forms */
        *high = lead == 0xed ? 0x9f : 0xbf; /* no surrogates */
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *low = lead == 0xf0 ? 0x90 : 0x80;
        *high = lead == 0xf4 ? 0x8f : 0xbf;
        return 3;
    }
    return -1;
}

bool wire_utf8(struct slice text)
{
    size_t i = 0;
    while (i < text.size) {
        uint8_t lead = text.data[i++];
        if (lead < 0x80) {
            continue;
        }
        uint8_t low, high;
        int follow = utf8_follow(lead, &low, &high);
        if (follow < 0 || (size_t)follow > text.size - i) {
            return false;
        }
        for (int k = 0; k < follow; k++, i++) {
            if (text.data[i] < low || text.data[i] > high) {
                return false;
            }
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}
