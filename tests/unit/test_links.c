/*
 * Links in one process, on the loopback: nodes that find each other, peers that die, restart, move
 * or stop reading.
 */
#include "tests/unit/links_rig.h"

#include <poll.h>
#include <stdio.h>

/* ---- nodes among themselves ----------------------------------------------------------------- */

static void exchange(const struct cluster_key *with)
{
    start(1, with, "tcp://127.0.0.1:*");
    start(2, with, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(2, 1));
    send_number(1, 2, 7, 100);
    send_number(2, 1, 9, 200000);
    UNTIL(got[2] == 1 && got[1] == 1);
    ck_assert_uint_eq(last[2], 7);
    ck_assert_uint_eq(last[1], 9);
    ck_assert(slice_equal(links_endpoint(nodes[1], 2), slice_str("tcp://client:2")));
    ck_assert(slice_equal(links_endpoint(nodes[1], 1), slice_str("tcp://client:1")));
    ck_assert_uint_eq(links_endpoint(nodes[1], 3).size, 0);
}

START_TEST(two_nodes_talk_with_a_key)
{
    exchange(&key);
}
END_TEST

START_TEST(two_nodes_talk_on_the_loopback_without_one)
{
    exchange(NULL);
}
END_TEST

/* 2 and 3 know only 1, and come to know each other by it. */
START_TEST(a_third_is_learned_from_a_neighbour)
{
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &key, "tcp://127.0.0.1:*");
    struct links *second = nodes[2];
    nodes[2] = NULL;
    start(3, &key, "tcp://127.0.0.1:*");
    nodes[2] = second;
    UNTIL(up(2, 3) && up(3, 2));
    send_number(2, 3, 5, 10);
    UNTIL(got[3] == 1);
    ck_assert_uint_eq(last_from[3], 2);
    ck_assert_uint_ge(events[2][LINK_LEARNED], 1);
}
END_TEST

START_TEST(messages_arrive_in_order_and_gathered)
{
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &key, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(2, 1));
    struct links_counters before;
    struct links_counters after;
    links_counters(nodes[1], &before);
    uint64_t number = 0;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 100; i++) {
            number++;
            send_number(1, 2, number, 8 + (size_t)(number % 5000));
        }
        UNTIL(got[2] == number);
    }
    links_counters(nodes[1], &after);
    ck_assert_uint_eq(disorder, 0);
    ck_assert_uint_eq(after.unsent, before.unsent);
    ck_assert_uint_lt(after.envelopes_out - before.envelopes_out, 150); /* pulses among them */
}
END_TEST

/* More of one turn than one envelope takes: several leave, in order, nothing is lost. */
START_TEST(much_of_one_turn_goes_in_several_envelopes)
{
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &key, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(2, 1));
    for (uint64_t number = 1; number <= 24; number++) {
        send_number(1, 2, number, 1024 * 1024);
    }
    UNTIL(got[2] == 24);
    ck_assert_uint_eq(disorder, 0);
}
END_TEST

START_TEST(what_is_for_nobody_is_counted)
{
    struct links_counters counters;
    start(1, &key, "tcp://127.0.0.1:*");
    send_number(1, 2, 1, 10);
    send_number(1, 1, 1, 10);
    links_counters(nodes[1], &counters);
    ck_assert_uint_eq(counters.unknown, 2);
}
END_TEST

/* ---- peers that die ------------------------------------------------------------------------- */

START_TEST(a_dead_peer_is_seen_and_its_messages_are_dropped)
{
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &key, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(2, 1));
    links_close(&nodes[2]);
    UNTIL(events[1][LINK_DOWN] == 1);
    struct links_counters before;
    struct links_counters after;
    links_counters(nodes[1], &before);
    for (uint64_t i = 0; i < 1000; i++) {
        send_number(1, 2, i, 1000);
        links_flush(nodes[1], now());
    }
    links_counters(nodes[1], &after);
    ck_assert_uint_eq(after.unsent - before.unsent, 1000);
}
END_TEST

START_TEST(a_peer_that_restarts_is_found_again)
{
    char address[128];
    start(1, &key, "tcp://127.0.0.1:*");
    snprintf(address, sizeof address, "%s", links_listening(nodes[1]));
    start(2, &key, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(2, 1));
    links_close(&nodes[1]);
    UNTIL(!up(2, 1));
    uint64_t began_ms = clock_boot_ms();
    struct links *second = nodes[2];
    nodes[2] = NULL; /* the first knows nobody: it learns the second again */
    start(1, &key, address);
    nodes[2] = second;
    UNTIL(up(1, 2) && up(2, 1));
    ck_assert_uint_lt(clock_boot_ms() - began_ms, 3000);
    ck_assert_uint_eq(events[2][LINK_RESTARTED], 1);
    send_number(2, 1, 3, 10);
    send_number(1, 2, 4, 10);
    UNTIL(got[1] == 1 && got[2] == 1);
}
END_TEST

/* A learned node that comes back at another port is followed. */
START_TEST(a_learned_peer_that_moved_is_followed)
{
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &key, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(2, 1));
    links_close(&nodes[2]);
    start(2, &key, "tcp://127.0.0.1:*");
    UNTIL(events[1][LINK_MOVED] == 1);
    send_number(1, 2, 6, 10);
    UNTIL(up(2, 1));
    send_number(1, 2, 8, 10);
    UNTIL(last[2] == 8);
}
END_TEST

/* One that does not read costs a bounded amount of memory and hurts nobody else. */
START_TEST(a_peer_that_does_not_read_is_dropped_for)
{
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &key, "tcp://127.0.0.1:*");
    start(3, &key, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(1, 3) && up(2, 1) && up(3, 1));
    struct links_counters counters = {0};
    uint64_t number = 0;
    while (counters.unsent == 0 && number < 2000) {
        send_number(1, 2, ++number, 256 * 1024);
        links_flush(nodes[1], now());
        links_counters(nodes[1], &counters);
    }
    ck_assert_uint_gt(counters.unsent, 0);
    send_number(1, 3, 1, 10);
    uint64_t end_ms = clock_boot_ms() + PATIENCE_MS;
    while (got[3] == 0 && clock_boot_ms() < end_ms) {
        turn(1);
        turn(3);
        poll(NULL, 0, 1);
    }
    ck_assert_uint_eq(got[3], 1);
    UNTIL(got[2] > 0);
    turns_for(300);
    ck_assert_uint_eq(disorder, 0);
    number += 100000;
    send_number(1, 2, number, 10);
    UNTIL(last[2] == number);
}
END_TEST

/* ---- options -------------------------------------------------------------------------------- */

static void refused(const struct links_options *options, const char *word)
{
    struct links_error error = {""};
    struct links *links = links_open(options, &error);
    ck_assert_ptr_null(links);
    ck_assert_msg(strstr(error.text, word) != NULL, "%s", error.text);
}

/* Another node's clock was ahead, and this one takes over its time. */
START_TEST(time_that_was_set_forward_is_nobodys_silence)
{
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &key, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(2, 1));
    unsigned known = events[1][LINK_LEARNED];
    uint64_t jump_ms = 2 * LIMIT_LINK_FORGET_MS;
    links_jumped(nodes[1], jump_ms);
    links_flush(nodes[1], now() + jump_ms);
    turn(1);
    ck_assert(up(1, 2));
    ck_assert_uint_eq(events[1][LINK_DOWN] + events[1][LINK_FORGOTTEN], 0);
    ck_assert_uint_eq(events[1][LINK_LEARNED], known);
}
END_TEST

/* The loop of 2 stands still while its connection fills, and then breaks. libzmq's own heartbeat
 * ends the process there: by its timer, or by one that it finds among what it had read before. */
START_TEST(a_node_that_stood_still_lives_on)
{
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &key, "tcp://127.0.0.1:*");
    UNTIL(up(1, 2) && up(2, 1));
    for (uint64_t number = 1; number <= 2000; number++) {
        send_number(1, 2, number, 100);
        turn(1);
        if (number % 100 == 0) {
            poll(NULL, 0, 100);
        }
    }
    links_close(&nodes[1]);
    poll(NULL, 0, 1500);
    UNTIL(got[2] > 10);
    start(1, &key, "tcp://127.0.0.1:*");
    UNTIL(up(2, 1));
}
END_TEST

START_TEST(nothing_beyond_the_loopback_without_a_key)
{
    struct link_peer far = {.node = 2, .address = "tcp://192.0.2.1:5758"};
    struct link_peer named = {.node = 2, .address = "tcp://elsewhere:5758"};
    struct link_peer twice[] = {{.node = 2, .address = "tcp://127.0.0.1:1"},
                                {.node = 2, .address = "tcp://127.0.0.1:2"}};
    struct links_options options = {.node = 1, .listen = "tcp://0.0.0.0:*"};
    refused(&options, "cluster key");
    options.listen = "tcp://127.0.0.1:*";
    options.peers = &far;
    options.peers_count = 1;
    refused(&options, "cluster key");
    options.peers = &named;
    refused(&options, "cluster key");
    options.peers = twice;
    options.peers_count = 2;
    refused(&options, "twice");
    options.peers_count = 0;
    options.listen = "ipc:///tmp/nodes";
    refused(&options, "tcp");
    options.listen = "tcp://192.0.2.1:5758";
    options.key = &key;
    refused(&options, "cannot listen");
}
END_TEST

START_TEST(a_port_that_is_taken_is_told)
{
    start(1, &key, "tcp://127.0.0.1:*");
    struct links_options options = {.node = 2, .listen = links_listening(nodes[1]), .key = &key};
    refused(&options, "does another node run there?");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("links");
    TCase *tcase = tcase_create("links");
    tcase_add_checked_fixture(tcase, links_rig_setup, links_rig_teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, two_nodes_talk_with_a_key);
    tcase_add_test(tcase, two_nodes_talk_on_the_loopback_without_one);
    tcase_add_test(tcase, a_third_is_learned_from_a_neighbour);
    tcase_add_test(tcase, messages_arrive_in_order_and_gathered);
    tcase_add_test(tcase, much_of_one_turn_goes_in_several_envelopes);
    tcase_add_test(tcase, what_is_for_nobody_is_counted);
    tcase_add_test(tcase, a_dead_peer_is_seen_and_its_messages_are_dropped);
    tcase_add_test(tcase, a_peer_that_restarts_is_found_again);
    tcase_add_test(tcase, a_learned_peer_that_moved_is_followed);
    tcase_add_test(tcase, a_peer_that_does_not_read_is_dropped_for);
    tcase_add_test(tcase, time_that_was_set_forward_is_nobodys_silence);
    tcase_add_test(tcase, a_node_that_stood_still_lives_on);
    tcase_add_test(tcase, nothing_beyond_the_loopback_without_a_key);
    tcase_add_test(tcase, a_port_that_is_taken_is_told);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
