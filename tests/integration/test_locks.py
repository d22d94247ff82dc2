"""Locks and semaphores, seen from the wire."""

import harness
from steward_wire import (CODE, LOCK_BREAK, LOCK_LIST, LOCK_LOST, LOCK_RENEW, LOCK_SHOW, CANCEL,
                          Refused, Unanswered)


class Locks(harness.Case):
    """Two or more sessions, one manager for all tests."""

    def setUp(self):
        super().setUp()
        self.lock, self.a, self.b = self.name(), self.client(), self.client()

    def still_waits(self, client, request):
        """No answer yet."""
        with self.assertRaises(Unanswered):
            client.wait(request, 0.1)

    def ended(self, client, request):
        """The name of the error with which a request ended."""
        with self.assertRaises(Refused) as caught:
            client.wait(request)
        return caught.exception.name

    def test_first_come_first_served(self):
        token, _ = self.a.acquire(self.lock)
        waiters = [self.client() for _ in range(4)]
        requests = []
        for waiter in waiters:
            requests.append(waiter.acquire_request(self.lock, timeout_ms=None))
            waiter.confirm()
        holder = self.a
        for waiter, request in zip(waiters, requests):
            self.still_waits(waiter, request)
            holder.unlock(self.lock, token)
            new_token, depth = waiter.wait(request)
            self.assertGreater(new_token, token)
            self.assertEqual(depth, 1)
            holder, token = waiter, new_token
        self.assertEqual(holder.unlock(self.lock, token), 0)

    def test_try_and_deadline(self):
        self.a.acquire(self.lock)
        self.refused("EBUSY", self.b.acquire, self.lock)
        self.refused("ETIMEOUT", self.b.acquire, self.lock, timeout_ms=100)

    def test_a_second_acquire_is_no_reentry_unless_asked(self):
        token, _ = self.a.acquire(self.lock)
        self.refused("EBUSY", self.a.acquire, self.lock)
        self.refused("EBUSY", self.a.acquire, self.lock, owner=2, reentrant=True)
        self.assertEqual(self.a.unlock(self.lock, token), 0)

    def test_reentrant(self):
        token, depth = self.a.acquire(self.lock, reentrant=True)
        self.assertEqual(depth, 1)
        self.assertEqual(self.a.acquire(self.lock, reentrant=True), (token, 2))
        self.assertEqual(self.a.acquire(self.lock, reentrant=True), (token, 3))
        self.assertEqual(self.a.unlock(self.lock, token), 2)
        self.assertEqual(self.a.unlock(self.lock, token), 1)
        self.refused("EBUSY", self.b.acquire, self.lock)
        self.assertEqual(self.a.unlock(self.lock, token), 0)
        self.assertGreater(self.b.acquire(self.lock)[0], token)

    def test_two_owners_in_one_session_exclude_each_other(self):
        token, _ = self.a.acquire(self.lock, owner=1)
        request = self.a.acquire_request(self.lock, owner=2, timeout_ms=None)
        self.still_waits(self.a, request)
        self.refused("ENOTHOLDER", self.a.unlock, self.lock, token, owner=2)
        self.a.unlock(self.lock, token, owner=1)
        self.assertGreater(self.a.wait(request)[0], token)

    def test_the_lease_of_a_lock_runs_out(self):
        token, _ = self.a.acquire(self.lock, lease_ms=300)
        new_token, _ = self.b.acquire(self.lock, timeout_ms=5000)
        self.assertGreater(new_token, token)
        self.a.confirm()
        self.assertEqual(self.a.news, [[LOCK_LOST, self.lock, token, CODE["ELEASE"]]])
        self.refused("ENOTHOLDER", self.a.unlock, self.lock, token)
        self.refused("ENOTHOLDER", self.a.call, LOCK_RENEW, self.lock, 1, token, 1000)

    def test_a_renewed_lease_does_not_run_out(self):
        token, _ = self.a.acquire(self.lock, lease_ms=400)
        for _ in range(4):
            self.a.idle(0.2)
            self.assertEqual(self.a.call(LOCK_RENEW, self.lock, 1, token, 400), 400)
        self.assertEqual(self.a.unlock(self.lock, token), 0)

    def test_forced_break(self):
        token, _ = self.a.acquire(self.lock)
        request = self.b.acquire_request(self.lock, timeout_ms=None)
        self.b.confirm()
        self.client().call(LOCK_BREAK, self.lock)
        self.assertGreater(self.b.wait(request)[0], token)
        self.a.confirm()
        self.assertEqual(self.a.news, [[LOCK_LOST, self.lock, token, CODE["EDELETED"]]])
        self.refused("ENOENT", self.a.call, LOCK_BREAK, self.lock + "-none")

    def test_semaphore(self):
        holders = [self.client() for _ in range(3)]
        tokens = [c.acquire(self.lock, permits=3)[0] for c in holders]
        self.assertEqual(len(set(tokens)), 3)
        request = self.a.acquire_request(self.lock, permits=3, timeout_ms=None)
        self.still_waits(self.a, request)
        holders[1].unlock(self.lock, tokens[1])
        self.assertGreater(self.a.wait(request)[0], max(tokens))
        self.refused("EBUSY", self.b.acquire, self.lock, permits=3)

    def test_a_semaphore_has_one_count(self):
        self.a.acquire(self.lock, permits=3)
        self.refused("EEXIST", self.b.acquire, self.lock, permits=4)

    def test_kinds_do_not_mix(self):
        self.a.acquire(self.lock)
        self.refused("EKIND", self.b.acquire, self.lock, permits=2)
        self.a.acquire(self.lock + "-s", permits=2)
        self.refused("EKIND", self.b.acquire, self.lock + "-s")
        self.refused("EINVAL", self.b.acquire, "", timeout_ms=0)

    def test_who_holds_and_who_waits(self):
        holder = self.client(host="harbour", program="crane", pid=4711)
        token, _ = holder.acquire(self.lock, lease_ms=60000)
        request = self.b.acquire_request(self.lock, timeout_ms=None)
        self.b.confirm()
        head, *rows = self.a.call(LOCK_SHOW, self.lock)
        self.assertEqual((head["kind"], head["holders"], head["waiters"]), ("lock", 1, 1))
        first, second = rows
        self.assertEqual((first["role"], first["host"], first["program"], first["pid"]),
                         ("holder", "harbour", "crane", 4711))
        self.assertEqual((first["token"], first["session"]), (token, holder.session))
        self.assertEqual((second["role"], second["session"]), ("waiter", self.b.session))
        listed, = self.a.call(LOCK_LIST, "", self.lock, 10)
        self.assertEqual(listed["name"], self.lock)
        self.b.call(CANCEL, request)
        self.assertEqual(self.ended(self.b, request), "ECANCELED")

    def test_cancelled_in_the_line(self):
        token, _ = self.a.acquire(self.lock)
        first = self.b.acquire_request(self.lock, timeout_ms=None)
        c = self.client()
        second = c.acquire_request(self.lock, timeout_ms=None)
        c.confirm()
        self.b.call(CANCEL, first)
        self.assertEqual(self.ended(self.b, first), "ECANCELED")
        self.a.unlock(self.lock, token)
        self.assertGreater(c.wait(second)[0], token)

    def test_a_thousand_hand_overs_grow_the_token(self):
        rounds, last = 100 if harness.SHORT else 500, 0
        pair = [self.a, self.b]
        token, _ = self.a.acquire(self.lock)
        for i in range(rounds):
            holder, waiter = pair[i % 2], pair[1 - i % 2]
            request = waiter.acquire_request(self.lock, timeout_ms=None)
            holder.unlock(self.lock, token)
            token, _ = waiter.wait(request)
            self.assertGreater(token, last)
            last = token


if __name__ == "__main__":
    harness.main()
