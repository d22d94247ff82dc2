/* Names of queues, locks and semaphores: what is allowed, how they compare; texts for people. */
#include "broker/core/internal.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

/* Bytes of the sequence that `lead` begins; 0: it begins none. Overlong leads are refused here. */
static size_t utf8_size(uint8_t lead)
{
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 2;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        return 3;
    }
    return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

/* The code point of a sequence of `size` bytes whose lead is right; UINT32_MAX: not UTF-8. */
static uint32_t utf8_decode(const uint8_t *at, size_t size)
{
    static const uint8_t lead_mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t point = at[0] & lead_mask[size];
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return UINT32_MAX;
        }
        point = (point << 6) | (at[i] & 0x3Fu);
    }
    bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point < smallest[size] || point > 0x10FFFF || surrogate ? UINT32_MAX : point;
}

/* Bytes of the character at `at`, 0 when it is a control character (C0, DEL, C1) or not UTF-8. */
static size_t character_size(const uint8_t *at, size_t left)
{
    size_t size = utf8_size(at[0]);
    if (size == 0 || size > left) {
        return 0;
    }
    uint32_t point = utf8_decode(at, size);
    bool control = point < 0x20 || (point >= 0x7F && point <= 0x9F);
    return control || point == UINT32_MAX ? 0 : size;
}

int name_check(struct slice name)
{
    if (name.size == 0 || name.size > LIMIT_NAME_BYTES || name.data[0] == '$') {
        return STW_EINVAL;
    }
    for (size_t i = 0; i < name.size;) {
        size_t size = character_size(name.data + i, name.size - i);
        if (size == 0) {
            return STW_EINVAL;
        }
        i += size;
    }
    return STW_OK;
}

char *text_copy(struct slice text)
{
    char *copy = mem_alloc(text.size + 1);
    for (size_t i = 0; i < text.size;) {
        size_t size = character_size(text.data + i, text.size - i);
        if (size == 0) {
            copy[i++] = '?';
            continue;
        }
        memcpy(copy + i, text.data + i, size);
        i += size;
    }
    copy[text.size] = '\0';
    return copy;
}

struct slice slice_decimal(uint64_t number, uint8_t *digits)
{
    size_t at = DECIMAL_BYTES;
    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return slice_of(digits + at, DECIMAL_BYTES - at);
}

void name_set(struct name *name, struct slice text)
{
    STEWARD_ASSERT(text.size <= LIMIT_NAME_BYTES);
    name->size = (uint8_t)text.size;
    if (text.size > 0) {
        memcpy(name->text, text.data, text.size);
    }
}

int name_order(struct slice a, struct slice b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    if (order != 0) {
        return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool name_has_prefix(struct slice name, struct slice prefix)
{
    return name.size >= prefix.size &&
           (prefix.size == 0 || memcmp(name.data, prefix.data, prefix.size) == 0);
}
