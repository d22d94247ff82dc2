/* The table of names: chained hashing, FNV-1a; names come from the program and its own manager. */
#include "client/lib/names.h"

#include "common/base/alloc.h"

#include <stdlib.h>

#define NAMES_FIRST_BUCKETS 64

static uint32_t name_hash(struct slice text)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < text.size; i++) {
        hash = (hash ^ text.data[i]) * 16777619u;
    }
    return hash;
}

static void names_grow(struct names *names)
{
    size_t count = names->buckets_count ? names->buckets_count * 2 : NAMES_FIRST_BUCKETS;
    struct name **buckets = mem_zalloc(count, sizeof *buckets);
    for (size_t i = 0; i < names->buckets_count; i++) {
        struct name *name = names->buckets[i];
        while (name) {
            struct name *next = name->next;
            name->next = buckets[name->hash & (count - 1)];
            buckets[name->hash & (count - 1)] = name;
            name = next;
        }
    }
    free(names->buckets);
    names->buckets = buckets;
    names->buckets_count = count;
}

struct name *names_intern(struct names *names, struct slice text)
{
    if (names->count >= names->buckets_count) {
        names_grow(names);
    }
    uint32_t hash = name_hash(text);
    struct name **bucket = &names->buckets[hash & (names->buckets_count - 1)];
    for (struct name *name = *bucket; name; name = name->next) {
        if (name->hash == hash && slice_equal(name_slice(name), text)) {
            name->refs++;
            return name;
        }
    }
    struct name *name = mem_alloc(sizeof *name + text.size + 1);
    *name = (struct name){.next = *bucket, .refs = 1, .hash = hash, .size = text.size};
    if (text.size > 0) {
        memcpy(name->text, text.data, text.size);
    }
    name->text[text.size] = 0;
    *bucket = name;
    names->count++;
    return name;
}

void names_release(struct names *names, struct name *name)
{
    if (name == NULL || --name->refs > 0) {
        return;
    }
    struct name **at = &names->buckets[name->hash & (names->buckets_count - 1)];
    while (*at != name) {
        at = &(*at)->next;
    }
    *at = name->next;
    names->count--;
    free(name);
}

void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->buckets_count; i++) {
        while (names->buckets[i]) {
            struct name *name = names->buckets[i];
            names->buckets[i] = name->next;
            free(name);
        }
    }
    free(names->buckets);
    *names = (struct names){0};
}
