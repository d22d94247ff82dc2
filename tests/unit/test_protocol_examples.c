/*
 * The worked examples of docs/protocol.md: each is encoded by our writer and decoded by our reader,
 * compared byte for byte, and the client's packets are played to a gateway, whose answers must be
 * the manager's packets. A block is:
 *
 *     ```packet client            or: manager
 *     [1, 0] [...]                notation, see notation.h
 *     = 92 01 00 ...              head; goes on in lines that begin with two spaces
 *     + 6c 61 ...                 second frame, if there is one
 *     ```
 */
#include "tests/unit/gateway_rig.h"
#include "tests/unit/notation.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define EXAMPLES_MIN 15

struct example {
    bool from_client;
    char notation[1024];
    struct buf head;
    struct buf body;
};

/* docs/protocol.md of the tree that this file was compiled in. */
static FILE *open_document(void)
{
    char path[1024];
    size_t root = strlen(__FILE__) - strlen("tests/unit/test_protocol_examples.c");
    (void)snprintf(path, sizeof path, "%.*sdocs/protocol.md", (int)root, __FILE__);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    return file;
}

static void add_hex(struct buf *out, const char *text)
{
    char *end;
    for (;;) {
        unsigned long value = strtoul(text, &end, 16);
        if (end == text) {
            return;
        }
        ck_assert_uint_le(value, 0xff);
        buf_u8(out, (uint8_t)value);
        text = end;
    }
}

/* The next block; false: there is none. */
static bool next_example(FILE *file, struct example *example)
{
    static const char fence[] = "```packet ";
    char line[1200];
    do {
        if (fgets(line, sizeof line, file) == NULL) {
            return false;
        }
    } while (strncmp(line, fence, strlen(fence)) != 0);
    *example = (struct example){.from_client = line[strlen(fence)] == 'c'};
    ck_assert_ptr_nonnull(fgets(example->notation, sizeof example->notation, file));
    example->notation[strcspn(example->notation, "\n")] = '\0';
    struct buf *part = &example->head;
    while (fgets(line, sizeof line, file) && line[0] != '`') {
        part = line[0] == '+' ? &example->body : part;
        add_hex(part, line + 1);
    }
    return true;
}

static void check_codec(const struct example *example)
{
    struct buf bytes = {0}, text = {0};
    ck_assert_msg(notation_encode(example->notation, &bytes), "%s", example->notation);
    ck_assert_msg(slice_equal(buf_view(&bytes), buf_view(&example->head)), "hex of %s",
                  example->notation);
    ck_assert(notation_print(buf_view(&example->head), &text));
    ck_assert_str_eq((const char *)text.data, example->notation);
    buf_fini(&bytes);
    buf_fini(&text);
}

static void play(struct rig *rig, const struct example *example)
{
    if (!example->from_client) {
        ck_assert_str_eq(rig_take(rig, "a"), example->notation);
        return;
    }
    struct buf body = {0};
    buf_add(&body, example->body.data, example->body.size);
    buf_u8(&body, '\0');
    rig_receive(rig, "a", example->notation,
                example->body.size > 0 ? (const char *)body.data : NULL);
    buf_fini(&body);
}

START_TEST(the_document_tells_the_truth)
{
    FILE *file = open_document();
    struct rig *rig = rig_new(NULL);
    struct example example;
    size_t count = 0;
    while (next_example(file, &example)) {
        check_codec(&example);
        play(rig, &example);
        buf_fini(&example.head);
        buf_fini(&example.body);
        count++;
    }
    ck_assert_uint_ge(count, EXAMPLES_MIN);
    rig_free(rig);
    (void)fclose(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protocol");
    TCase *tcase = tcase_create("examples");
    tcase_add_test(tcase, the_document_tells_the_truth);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
