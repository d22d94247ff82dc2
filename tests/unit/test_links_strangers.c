/*
 * Who is not a node, and nodes that are not as they should be: strangers that do not get in, the
 * proof of that, envelopes with anything in them.
 */
#include "tests/unit/links_rig.h"

#include "broker/shell/links_envelope.h"
#include "broker/shell/links_socket.h"

#include <zmq.h>

/* ---- who is not a node ---------------------------------------------------------------------- */

struct guest {
    void *context;
    void *dealer;
};

/* Connects to node 1; keys as text, NULL: none. */
static struct guest guest_open(const struct cluster_key *own, const uint8_t *server)
{
    int linger = 0;
    struct guest guest = {.context = zmq_ctx_new()};
    guest.dealer = zmq_socket(guest.context, ZMQ_DEALER);
    zmq_setsockopt(guest.dealer, ZMQ_LINGER, &linger, sizeof linger);
    if (own) {
        zmq_setsockopt(guest.dealer, ZMQ_CURVE_SERVERKEY, server, CLUSTER_KEY_BYTES);
        zmq_setsockopt(guest.dealer, ZMQ_CURVE_PUBLICKEY, own->public_key, CLUSTER_KEY_BYTES);
        zmq_setsockopt(guest.dealer, ZMQ_CURVE_SECRETKEY, own->secret_key, CLUSTER_KEY_BYTES);
    }
    ck_assert_int_eq(zmq_connect(guest.dealer, links_listening(nodes[1])), 0);
    return guest;
}

static void guest_close(struct guest *guest)
{
    zmq_close(guest->dealer);
    zmq_ctx_term(guest->context);
}

static void head(struct buf *buf, uint64_t from, uint64_t to, uint64_t run)
{
    struct envelope envelope = {.from = from,
                                .to = to,
                                .run = run,
                                .address = slice_str("tcp://127.0.0.1:9"),
                                .endpoint = slice_str("tcp://evil:1")};
    buf_clear(buf);
    envelope_begin(buf, &envelope);
}

static void guest_send(struct guest *guest, const struct buf *buf)
{
    ck_assert_int_ge(zmq_send(guest->dealer, buf->data, buf->size, ZMQ_DONTWAIT), 0);
}

/* Sends a perfect envelope as node 2; nothing of it may be heard. */
static void stranger(const struct cluster_key *own, const uint8_t *server)
{
    struct buf buf = {0};
    struct links_counters counters;
    start(1, &key, "tcp://127.0.0.1:*");
    struct guest guest = guest_open(own, server);
    head(&buf, 2, 1, 5);
    envelope_add(&buf, slice_str("let me be your leader"));
    guest_send(&guest, &buf);
    UNTIL(events[1][LINK_DENIED] > 0);
    turns_for(300);
    ck_assert_uint_eq(got[1], 0);
    links_counters(nodes[1], &counters);
    ck_assert_uint_eq(counters.envelopes_in, 0);
    ck_assert_uint_ge(counters.denied, 1);
    guest_close(&guest);
    buf_fini(&buf);
}

START_TEST(a_stranger_without_a_key_is_refused)
{
    stranger(NULL, NULL);
}
END_TEST

START_TEST(a_stranger_of_another_cluster_is_refused)
{
    struct cluster_key other;
    cluster_key_random(&other);
    stranger(&other, other.public_key);
}
END_TEST

/* The public key is no secret: who has it and a key of their own gets as far as the handler. */
START_TEST(a_stranger_who_knows_the_public_key_is_refused)
{
    struct cluster_key other;
    cluster_key_random(&other);
    stranger(&other, key.public_key);
    ck_assert_str_eq(reason, "another_key");
}
END_TEST

START_TEST(nodes_of_two_clusters_do_not_hear_each_other)
{
    struct cluster_key other;
    cluster_key_random(&other);
    start(1, &key, "tcp://127.0.0.1:*");
    start(2, &other, "tcp://127.0.0.1:*");
    UNTIL(events[1][LINK_DENIED] > 0);
    turns_for(300);
    ck_assert(!up(1, 2));
    ck_assert(!up(2, 1));
}
END_TEST

/* The proof fails when anybody gets in: a ROUTER without a key, behind the same words. */
START_TEST(the_proof_notices_an_open_door)
{
    struct links_socket open;
    ck_assert_ptr_null(links_socket_open(&open, NULL, 1 << 20));
    open.keyed = true;
    open.key = key;
    ck_assert_str_eq(links_socket_prove(&open), "the port for nodes lets strangers in");
    links_socket_close(&open);
}
END_TEST

/* CURVE without a handler would let in whoever knows the public key. Two bolts, and the proof. */
START_TEST(the_proof_notices_that_nobody_is_asked)
{
    struct links_socket socket;
    ck_assert_ptr_null(links_socket_open(&socket, &key, 1 << 20));
    zmq_close(socket.zap);
    socket.zap = NULL;
    ck_assert_str_eq(links_socket_prove(&socket),
                     "nobody was asked whether a stranger may come in");
    links_socket_close(&socket);
}
END_TEST

START_TEST(the_proof_notices_curve_that_fails_open)
{
    struct links_socket socket;
    int off = 0;
    ck_assert_ptr_null(links_socket_open(&socket, &key, 1 << 20));
    zmq_close(socket.zap);
    socket.zap = NULL;
    ck_assert_int_eq(zmq_setsockopt(socket.router, 93, &off, sizeof off), 0);
    ck_assert_str_eq(links_socket_prove(&socket), "the port for nodes lets strangers in");
    links_socket_close(&socket);
}
END_TEST

/* ---- hostile nodes -------------------------------------------------------------------------- */

START_TEST(envelopes_that_are_not_as_they_should_be_are_dropped)
{
    struct buf buf = {0};
    start(1, &key, "tcp://127.0.0.1:*");
    struct guest guest = guest_open(&key, key.public_key);
    head(&buf, 2, 3, 5); /* for somebody else */
    guest_send(&guest, &buf);
    UNTIL(events[1][LINK_REFUSED] == 1);
    ck_assert_str_eq(reason, "misdirected");
    head(&buf, 1, 1, 5); /* from ourselves */
    guest_send(&guest, &buf);
    UNTIL(events[1][LINK_TWICE] == 1);
    ck_assert_str_eq(reason, "ours");
    head(&buf, 2, 1, 5);
    buf.data[4]++;
    guest_send(&guest, &buf);
    UNTIL(events[1][LINK_REFUSED] == 2);
    ck_assert_str_eq(reason, "unknown_version");
    head(&buf, 2, 1, 5);
    buf_u32(&buf, 0xFFFFFFFF);
    guest_send(&guest, &buf);
    UNTIL(events[1][LINK_REFUSED] == 3);
    ck_assert_str_eq(reason, "bad_messages");
    ck_assert_int_ge(zmq_send(guest.dealer, "", 0, ZMQ_SNDMORE), 0);
    ck_assert_int_ge(zmq_send(guest.dealer, "x", 1, ZMQ_SNDMORE), 0);
    ck_assert_int_ge(zmq_send(guest.dealer, "y", 1, 0), 0);
    UNTIL(events[1][LINK_REFUSED] == 4);
    ck_assert_str_eq(reason, "not_an_envelope");
    ck_assert_uint_eq(got[1], 0);
    guest_close(&guest);
    buf_fini(&buf);
}
END_TEST

/* Any number of ids from one peer: the table of links is bounded, and news are not lost. */
START_TEST(a_peer_of_many_names_fills_nothing)
{
    struct buf buf = {0};
    struct link_view view;
    start(1, &key, "tcp://127.0.0.1:*");
    struct guest guest = guest_open(&key, key.public_key);
    for (uint64_t node = 2; node < 400; node++) {
        head(&buf, node, 1, node);
        guest_send(&guest, &buf);
        turns();
    }
    turns_for(300);
    ck_assert(links_look(nodes[1], LIMIT_LINKS - 1, &view));
    ck_assert(!links_look(nodes[1], LIMIT_LINKS, &view));
    ck_assert_uint_eq(events[1][LINK_LEARNED], LIMIT_LINKS);
    struct links_counters counters;
    links_counters(nodes[1], &counters);
    ck_assert_uint_eq(counters.envelopes_in, 398); /* and each turn took its share */
    guest_close(&guest);
    buf_fini(&buf);
}
END_TEST

/* Two processes under one id: the newer is listened to, the older one's words are dropped. */
START_TEST(two_processes_under_one_id_are_told)
{
    struct buf buf = {0};
    start(1, &key, "tcp://127.0.0.1:*");
    struct guest guest = guest_open(&key, key.public_key);
    head(&buf, 2, 1, 5);
    envelope_add(&buf, slice_str("the first"));
    guest_send(&guest, &buf);
    UNTIL(got[1] == 1);
    head(&buf, 2, 1, 6);
    envelope_add(&buf, slice_str("the second"));
    guest_send(&guest, &buf);
    UNTIL(got[1] == 2);
    uint64_t end_ms = clock_boot_ms() + PATIENCE_MS;
    while (events[1][LINK_TWICE] == 0 && clock_boot_ms() < end_ms) {
        head(&buf, 2, 1, 5);
        envelope_add(&buf, slice_str("the first again"));
        guest_send(&guest, &buf);
        turns_for(100);
    }
    ck_assert_uint_eq(events[1][LINK_TWICE], 1);
    ck_assert_uint_eq(got[1], 2);
    guest_close(&guest);
    buf_fini(&buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("links_strangers");
    TCase *tcase = tcase_create("links_strangers");
    tcase_add_checked_fixture(tcase, links_rig_setup, links_rig_teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_stranger_without_a_key_is_refused);
    tcase_add_test(tcase, a_stranger_of_another_cluster_is_refused);
    tcase_add_test(tcase, a_stranger_who_knows_the_public_key_is_refused);
    tcase_add_test(tcase, nodes_of_two_clusters_do_not_hear_each_other);
    tcase_add_test(tcase, the_proof_notices_an_open_door);
    tcase_add_test(tcase, the_proof_notices_that_nobody_is_asked);
    tcase_add_test(tcase, the_proof_notices_curve_that_fails_open);
    tcase_add_test(tcase, envelopes_that_are_not_as_they_should_be_are_dropped);
    tcase_add_test(tcase, a_peer_of_many_names_fills_nothing);
    tcase_add_test(tcase, two_processes_under_one_id_are_told);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
