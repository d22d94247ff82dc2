/*
 * The three maps of the protocol: HELLO's info, the options of a put and of a queue. Read through
 * msgpack-c, after our own scan has bounded what it may be asked to allocate.
 *
 * In options an unknown key or a wrong value refuses the request and names the key; a map with a
 * key that is no str breaks the protocol.
 */
#include "broker/gateway/internal.h"

static struct slice object_bytes(const msgpack_object *object)
{
    if (object->type == MSGPACK_OBJECT_STR) {
        return slice_of(object->via.str.ptr, object->via.str.size);
    }
    if (object->type == MSGPACK_OBJECT_BIN) {
        return slice_of(object->via.bin.ptr, object->via.bin.size);
    }
    return slice_of(NULL, 0);
}

static bool key_is(struct slice key, const char *name)
{
    return slice_equal(key, slice_str(name));
}

/* The pairs of the next value, a map with str keys; strings borrow from the packet. */
static const msgpack_object_map *read_map(struct incoming *packet, msgpack_object *root)
{
    msgpack_zone *zone = &packet->gateway->scratch.zone;
    struct slice value = wire_read_value(&packet->in);
    size_t offset = 0;
    msgpack_zone_clear(zone);
    if (packet->in.failed ||
        msgpack_unpack((const char *)value.data, value.size, &offset, zone, root) !=
            MSGPACK_UNPACK_SUCCESS ||
        offset != value.size || root->type != MSGPACK_OBJECT_MAP) {
        decode_wrong(packet, "a map was expected");
        return NULL;
    }
    for (uint32_t i = 0; i < root->via.map.size; i++) {
        if (root->via.map.ptr[i].key.type != MSGPACK_OBJECT_STR) {
            decode_wrong(packet, "a map with a key that is no str");
            return NULL;
        }
    }
    return &root->via.map;
}

/* false: not a uint, or the value that stands for "not given" inside. */
static bool take_uint(const msgpack_object *object, uint64_t *out)
{
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER || object->via.u64 == UINT64_MAX) {
        return false;
    }
    *out = object->via.u64;
    return true;
}

static bool take_text(const msgpack_object *object, size_t most, struct slice *out)
{
    *out = object_bytes(object);
    return object->type == MSGPACK_OBJECT_STR && out->size <= most && wire_utf8(*out);
}

/* ---- HELLO ---------------------------------------------------------------------------------- */

static bool hello_pair(struct slice key, const msgpack_object *value, struct hello_info *info)
{
    if (key_is(key, "ttl_ms")) {
        return take_uint(value, &info->ttl_ms);
    }
    if (key_is(key, "grace_ms")) {
        return take_uint(value, &info->grace_ms);
    }
    if (key_is(key, "pid")) {
        return take_uint(value, &info->pid);
    }
    if (key_is(key, "host")) {
        return take_text(value, LIMIT_INFO_BYTES, &info->host);
    }
    if (key_is(key, "program")) {
        return take_text(value, LIMIT_INFO_BYTES, &info->program);
    }
    if (key_is(key, "session")) {
        info->resume = true;
        return take_uint(value, &info->session);
    }
    if (key_is(key, "secret")) {
        info->secret = object_bytes(value);
        return value->type == MSGPACK_OBJECT_BIN && info->secret.size == LIMIT_SECRET_BYTES;
    }
    if (key_is(key, "last_tag")) {
        return take_uint(value, &info->last_tag);
    }
    return true; /* of a later version */
}

bool decode_hello_info(struct incoming *packet, struct hello_info *info)
{
    msgpack_object root;
    const msgpack_object_map *map = read_map(packet, &root);
    if (map == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < map->size; i++) {
        if (!hello_pair(object_bytes(&map->ptr[i].key), &map->ptr[i].val, info)) {
            decode_wrong(packet, "HELLO's info has a key with a wrong value");
            return false;
        }
    }
    if (info->resume && info->secret.size == 0) {
        decode_wrong(packet, "HELLO names a session and no secret");
        return false;
    }
    return true;
}

/* ---- PUT ------------------------------------------------------------------------------------ */

static bool take_headers(struct gateway *gateway, const msgpack_object *object,
                         struct put_options *options)
{
    if (object->type != MSGPACK_OBJECT_MAP || object->via.map.size > LIMIT_HEADERS) {
        return false;
    }
    struct header_pair *headers = gateway->scratch.headers;
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object_kv *pair = &object->via.map.ptr[i];
        if (!take_text(&pair->key, LIMIT_HEADER_BYTES, &headers[i].name) ||
            !take_text(&pair->val, LIMIT_HEADER_BYTES, &headers[i].value)) {
            return false;
        }
    }
    options->headers = headers;
    options->headers_count = object->via.map.size;
    return true;
}

static bool put_pair(struct gateway *gateway, struct slice key, const msgpack_object *value,
                     struct put_options *options)
{
    if (key_is(key, "delay_ms")) {
        return take_uint(value, &options->delay_ms);
    }
    if (key_is(key, "ttl_ms")) {
        return take_uint(value, &options->ttl_ms);
    }
    if (key_is(key, "priority")) {
        uint64_t priority = 0;
        bool good = take_uint(value, &priority) && priority <= UINT8_MAX;
        options->priority = (uint8_t)priority;
        return good;
    }
    if (key_is(key, "dedup_id")) {
        options->dedup_id = object_bytes(value);
        return value->type == MSGPACK_OBJECT_BIN && options->dedup_id.size > 0;
    }
    return key_is(key, "headers") && take_headers(gateway, value, options);
}

int decode_put_options(struct incoming *packet, struct put_options *options, struct slice *object)
{
    *options = (struct put_options){.delay_ms = SETTING_DEFAULT, .ttl_ms = SETTING_DEFAULT};
    msgpack_object root;
    const msgpack_object_map *map = read_map(packet, &root);
    if (map == NULL) {
        return STW_EPROTO;
    }
    for (uint32_t i = 0; i < map->size; i++) {
        struct slice key = object_bytes(&map->ptr[i].key);
        if (!put_pair(packet->gateway, key, &map->ptr[i].val, options)) {
            *object = key;
            return STW_EINVAL;
        }
    }
    return 0;
}

/* ---- queues --------------------------------------------------------------------------------- */

static bool take_overflow(const msgpack_object *value, struct queue_options *options)
{
    static const char *const names[] = {[OVERFLOW_BLOCK] = "block",
                                        [OVERFLOW_REJECT] = "reject",
                                        [OVERFLOW_DROP_OLDEST] = "drop_oldest"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (value->type == MSGPACK_OBJECT_STR && key_is(object_bytes(value), names[i])) {
            options->overflow = (enum overflow)i;
            return true;
        }
    }
    return false;
}

static bool queue_pair(struct slice key, const msgpack_object *value, struct queue_options *options)
{
    const struct {
        const char *name;
        uint32_t bit;
        uint64_t *out;
    } numbers[] = {{"maxsize", QUEUE_MAXSIZE, &options->maxsize},
                   {"max_bytes", QUEUE_MAX_BYTES, &options->max_bytes},
                   {"lease_ms", QUEUE_LEASE, &options->lease_ms},
                   {"max_deliveries", QUEUE_MAX_DELIVERIES, &options->max_deliveries},
                   {"ttl_ms", QUEUE_TTL, &options->ttl_ms},
                   {"delay_ms", QUEUE_DELAY, &options->delay_ms},
                   {"dedup_window_ms", QUEUE_DEDUP_WINDOW, &options->dedup_window_ms}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (key_is(key, numbers[i].name)) {
            options->given |= numbers[i].bit;
            return take_uint(value, numbers[i].out);
        }
    }
    if (key_is(key, "overflow")) {
        options->given |= QUEUE_OVERFLOW;
        return take_overflow(value, options);
    }
    if (key_is(key, "dead_letter")) {
        options->given |= QUEUE_DEAD_LETTER;
        return take_text(value, LIMIT_NAME_BYTES, &options->dead_letter);
    }
    return false;
}

int decode_queue_options(struct incoming *packet, struct queue_options *options,
                         struct slice *object)
{
    *options = (struct queue_options){0};
    msgpack_object root;
    const msgpack_object_map *map = read_map(packet, &root);
    if (map == NULL) {
        return STW_EPROTO;
    }
    for (uint32_t i = 0; i < map->size; i++) {
        struct slice key = object_bytes(&map->ptr[i].key);
        if (!queue_pair(key, &map->ptr[i].val, options)) {
            *object = key;
            return STW_EINVAL;
        }
    }
    return 0;
}
