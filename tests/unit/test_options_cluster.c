/* The options of a cluster: what needs what, and the sentences when it is not there. */
#include "broker/shell/endpoint.h"
#include "broker/shell/options.h"

#include <check.h>
#include <string.h>

static struct options options;
static struct options_error error;

static void setup(void)
{
    options_init(&options);
}

static void teardown(void)
{
    options_fini(&options);
}

struct value {
    size_t id;
    const char *text;
};

/* Sets up to six options; NULL text ends. Returns NULL, or what options_check says. */
static const char *verdict(const struct value values[6])
{
    options_fini(&options);
    options_init(&options);
    error.text[0] = '\0';
    for (size_t i = 0; i < 6 && values[i].text; i++) {
        if (!options_set(&options, values[i].id, values[i].text, SOURCE_COMMAND_LINE, &error)) {
            return error.text;
        }
    }
    return options_check(&options, &error) ? NULL : error.text;
}

#define VERDICT(...)    verdict((const struct value[6]){__VA_ARGS__})
#define SET(name, text) ((struct value){OPTION_ID_##name, text})
#define NODE(text)      SET(NODE, text)
#define CLUSTER(text)   SET(CLUSTER, text)
#define LOCAL           "1=127.0.0.1:1,2=127.0.0.1:2,3=127.0.0.1:3"
#define FAR             "1=10.0.0.1:1,2=10.0.0.2:1"

/* The verdict is a sentence that holds the word. */
static void refused(const char *said, const char *word)
{
    ck_assert_ptr_nonnull(said);
    ck_assert_msg(strstr(said, word) != NULL, "%s", said);
}

START_TEST(a_cluster_is_accepted)
{
    ck_assert_ptr_null(VERDICT(NODE("2"), CLUSTER(LOCAL), SET(BOOTSTRAP, "yes")));
    ck_assert_ptr_null(VERDICT(NODE("2"), CLUSTER(LOCAL)));
    ck_assert_ptr_null(VERDICT(NODE("1"), CLUSTER(FAR), SET(CLUSTER_KEY, "k")));
    ck_assert_ptr_null(VERDICT(NODE("1"), CLUSTER(FAR), SET(CLUSTER_KEY, "k"),
                               SET(CLUSTER_LISTEN, "0.0.0.0:9"),
                               SET(ADVERTISE, "tcp://one.example:5757")));
    ck_assert_ptr_null(VERDICT(SET(BODY_MAX, "1M")));
}
END_TEST

START_TEST(one_needs_the_other)
{
    refused(VERDICT(NODE("1")), "needs --cluster");
    refused(VERDICT(SET(CLUSTER_KEY, "k")), "needs --cluster");
    refused(VERDICT(SET(CLUSTER_LISTEN, "127.0.0.1:1")), "needs --cluster");
    refused(VERDICT(SET(ADVERTISE, "tcp://h:1")), "needs --cluster");
    refused(VERDICT(SET(BOOTSTRAP, "1")), "needs --cluster");
    refused(VERDICT(CLUSTER(LOCAL)), "--node");
    refused(VERDICT(NODE("4"), CLUSTER(LOCAL)), "not one of the nodes");
    refused(VERDICT(NODE("1"), CLUSTER(LOCAL), SET(MEMORY, "1")), "nothing is kept");
}
END_TEST

START_TEST(values_have_their_form)
{
    refused(VERDICT(NODE("0")), "out of range");
    refused(VERDICT(NODE("x")), "whole number");
    refused(VERDICT(NODE("4611686018427387904")), "out of range");
    refused(VERDICT(NODE("1"), CLUSTER("1=127.0.0.1:1,1=127.0.0.1:2")), "twice");
    refused(VERDICT(NODE("1"), CLUSTER("127.0.0.1:1")), "ID=HOST:PORT");
    refused(VERDICT(NODE("1"), CLUSTER(LOCAL), SET(CLUSTER_LISTEN, "x")), "cluster-listen");
    refused(VERDICT(NODE("1"), CLUSTER(LOCAL), SET(ADVERTISE, "h:1")), "advertise");
    refused(VERDICT(NODE("1"), CLUSTER(LOCAL), SET(ADVERTISE, "tcp://h:*")), "number");
    refused(VERDICT(NODE("1"), SET(BOOTSTRAP, "1"), SET(CLUSTER_KEY, "k"),
                    CLUSTER("1=h:1,2=h:2,3=h:3,4=h:4,5=h:5,6=h:6,7=h:7,8=h:8")),
            "at most 7");
}
END_TEST

START_TEST(nothing_beyond_the_loopback_without_a_key)
{
    refused(VERDICT(NODE("1"), CLUSTER(FAR)), "keygen");
    refused(VERDICT(NODE("1"), CLUSTER("1=127.0.0.1:1,2=10.0.0.1:1")), "keygen");
    refused(VERDICT(NODE("1"), CLUSTER("1=127.0.0.1:1,2=localhost:2")), "127.0.0.1");
    refused(VERDICT(NODE("1"), CLUSTER(LOCAL), SET(CLUSTER_LISTEN, "0.0.0.0:1")), "keygen");
}
END_TEST

START_TEST(clients_of_other_nodes_have_to_find_this_one)
{
    struct value insecure = SET(INSECURE, "1");
    struct value any = SET(LISTEN, "tcp://0.0.0.0:5757");
    struct value path = SET(LISTEN, "ipc:///tmp/x");
    refused(VERDICT(NODE("1"), CLUSTER(LOCAL), insecure, any), "--advertise");
    ck_assert_ptr_null(
        VERDICT(NODE("1"), CLUSTER(LOCAL), insecure, any, SET(ADVERTISE, "tcp://127.0.0.1:5757")));
    ck_assert_ptr_null(VERDICT(NODE("1"), CLUSTER(LOCAL), path));
    refused(VERDICT(NODE("1"), CLUSTER(FAR), SET(CLUSTER_KEY, "k"), path), "--advertise");
    ck_assert_ptr_null(VERDICT(NODE("1"), CLUSTER(LOCAL), SET(LISTEN, "tcp://127.0.0.1:*")));
}
END_TEST

START_TEST(what_means_all_addresses_is_told_to_nobody)
{
    ck_assert(endpoint_is_specific("tcp://127.0.0.1:5757"));
    ck_assert(endpoint_is_specific("tcp://one.example:5757"));
    ck_assert(endpoint_is_specific("ipc:///tmp/x"));
    ck_assert(!endpoint_is_specific("tcp://0.0.0.0:5757"));
    ck_assert(!endpoint_is_specific("tcp://[::]:5757"));
    ck_assert(!endpoint_is_specific("tcp://*:5757"));
    ck_assert(!endpoint_is_specific("tcp://127.0.0.1:*"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options_cluster");
    TCase *tcase = tcase_create("options_cluster");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_cluster_is_accepted);
    tcase_add_test(tcase, one_needs_the_other);
    tcase_add_test(tcase, values_have_their_form);
    tcase_add_test(tcase, nothing_beyond_the_loopback_without_a_key);
    tcase_add_test(tcase, clients_of_other_nodes_have_to_find_this_one);
    tcase_add_test(tcase, what_means_all_addresses_is_told_to_nobody);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
