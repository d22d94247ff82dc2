/* The list of a cluster's nodes as options name it. */
#include "broker/shell/peers.h"

#include <check.h>
#include <string.h>

static struct peers peers;

START_TEST(a_list_is_read)
{
    ck_assert_ptr_null(peers_parse(&peers, "1=127.0.0.1:5758,20=tcp://[::1]:9,3=host.example:7"));
    ck_assert_uint_eq(peers.count, 3);
    ck_assert_str_eq(peers_find(&peers, 1)->address, "tcp://127.0.0.1:5758");
    ck_assert_str_eq(peers_find(&peers, 20)->address, "tcp://[::1]:9");
    ck_assert_str_eq(peers_find(&peers, 3)->address, "tcp://host.example:7");
    ck_assert_ptr_null(peers_find(&peers, 2));
    ck_assert(!peers_local(&peers));
    ck_assert_ptr_null(peers_parse(&peers, "1=127.0.0.1:5758,20=[::1]:9"));
    ck_assert(peers_local(&peers));
}
END_TEST

START_TEST(what_is_wrong_is_said)
{
    static const struct {
        const char *text, *word;
    } WRONG[] = {
        {"", "ID=HOST:PORT"},
        {"1", "ID=HOST:PORT"},
        {"1=", "HOST:PORT"},
        {"=h:1", "ID=HOST:PORT"},
        {"1=h", "HOST:PORT"},
        {"1=h:0", "HOST:PORT"},
        {"1=h:65536", "HOST:PORT"},
        {"1=h:*", "a number"},
        {"1=ipc://x:1", "HOST:PORT"},
        {"-1=h:1", "ID=HOST:PORT"},
        {" 1=h:1", "ID=HOST:PORT"},
        {"0=h:1", "from 1 on"},
        {"4611686018427387904=h:1", "from 1 on"},
        {"99999999999999999999999=h:1", "from 1 on"},
        {"1=h:1,", "ID=HOST:PORT"},
        {"1=h:1,,2=h:2", "ID=HOST:PORT"},
        {"1=h:1,1=h:2", "id is there twice"},
        {"1=h:1,2=h:1", "address is there twice"},
        {"1=a b:1", "blank"},
        {"1=h:1,2=h:2,3=h:3,4=h:4,5=h:5,6=h:6,7=h:7,8=h:8,9=h:9,10=h:10", "too many"},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        const char *problem = peers_parse(&peers, WRONG[i].text);
        ck_assert_msg(problem && strstr(problem, WRONG[i].word), "%s: %s", WRONG[i].text,
                      problem ? problem : "(nothing)");
    }
    char text[LIMIT_LINK_ADDRESS_BYTES + 50];
    memset(text, 'h', sizeof text);
    memcpy(text, "1=", 2);
    memcpy(text + sizeof text - 4, ":77", 4);
    ck_assert_ptr_nonnull(strstr(peers_parse(&peers, text), "too long"));
}
END_TEST

START_TEST(a_name_is_listened_for_on_all_addresses)
{
    char listen[LIMIT_LINK_ADDRESS_BYTES + 1];
    peers_listen(listen, "tcp://10.0.0.1:5758");
    ck_assert_str_eq(listen, "tcp://10.0.0.1:5758");
    peers_listen(listen, "tcp://[fe80::1]:5758");
    ck_assert_str_eq(listen, "tcp://[fe80::1]:5758");
    peers_listen(listen, "tcp://node1:5758");
    ck_assert_str_eq(listen, "tcp://0.0.0.0:5758");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peers");
    TCase *tcase = tcase_create("peers");
    tcase_add_test(tcase, a_list_is_read);
    tcase_add_test(tcase, what_is_wrong_is_said);
    tcase_add_test(tcase, a_name_is_listened_for_on_all_addresses);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
