/*
 * Gather: a thousand requests in flight from one thread, as asyncio.gather would have them.
 *
 * A thousand gets go out first and wait at the manager; then a thousand puts; then everything is
 * gathered. No request waits for another, and the library packs what is under way together.
 */
#include <time.h>

#include "steward_example.h"

#define REQUESTS 1000

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Takes the answer of a get, acknowledges it without waiting, and gives the number in it. */
static int gathered(stw_client *client, stw_future *future)
{
    must(client, stw_future_poll(future));
    stw_message *message = stw_future_message(future);
    int number = message != NULL ? *(const int *)stw_message_data(message) : -1;
    if (message != NULL) {
        must(client, stw_ack_async(&message, NULL));
    }
    return number;
}

int main(void)
{
    static stw_future *gets[REQUESTS], *puts[REQUESTS];
    static int seen[REQUESTS];
    char queue[64];
    int wrong = 0;
    own_name(queue, "gather");
    const char *queues[] = {queue};
    stw_client *client = example_open();
    double start = now_ms();

    for (int i = 0; i < REQUESTS; i++) {
        must(client, stw_get_async(client, queues, 1, NULL, 1, &gets[i]));
    }
    for (int i = 0; i < REQUESTS; i++) {
        must(client, stw_put_async(client, queue, &i, sizeof(i), -1, &puts[i]));
    }
    must(client, stw_future_wait_all(puts, REQUESTS, 10000)); /* done, whatever their outcomes */
    must(client, stw_future_wait_all(gets, REQUESTS, 10000));

    for (int i = 0; i < REQUESTS; i++) {
        must(client, stw_future_poll(puts[i])); /* the outcome of each */
        int number = gathered(client, gets[i]);
        if (number >= 0 && number < REQUESTS) {
            seen[number]++;
        }
        stw_future_free(&puts[i]);
        stw_future_free(&gets[i]);
    }
    must(client, stw_queue_join(client, queue, 5000)); /* all acknowledgements are there */
    printf("%d puts and %d gets gathered in %.1f ms\n", REQUESTS, REQUESTS, now_ms() - start);
    for (int i = 0; i < REQUESTS; i++) {
        wrong += seen[i] != 1;
    }
    must(client, stw_queue_delete(client, queue));
    stw_close(&client);
    printf("%d numbers came not exactly once\n", wrong);
    return wrong == 0 ? 0 : 1;
}
