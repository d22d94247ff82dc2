/*
 * A pipeline of three processes joined by bounded queues: numbers -> squares -> sum.
 *
 * The last stage is slow. Its queue fills up, then the middle stage blocks in put, then its queue
 * fills up and the first stage blocks: back-pressure, and nobody had to program it. The end
 * travels the same way: a queue that is shut down is empty some time, and then get says so.
 */
#include "steward_example.h"

#define NUMBERS 300
#define MAXSIZE 10

static char numbers[64], squares[64];

static void make_numbers(int stage)
{
    (void)stage;
    stw_client *client = example_open();
    for (long number = 1; number <= NUMBERS; number++) {
        must(client, stw_put(client, numbers, &number, sizeof(number), -1)); /* may block: full */
    }
    must(client, stw_queue_shutdown(client, numbers, false));
    stw_close(&client);
}

/* The next number of a queue; false at its end. */
static bool next(stw_client *client, const char *queue, stw_message **message, long *number)
{
    int code = stw_get(client, queue, -1, message);
    if (code == STW_ESHUTDOWN) {
        return false;
    }
    must(client, code);
    *number = *(const long *)stw_message_data(*message);
    return true;
}

static void make_squares(int stage)
{
    (void)stage;
    stw_client *client = example_open();
    stw_message *message;
    long number;
    while (next(client, numbers, &message, &number)) {
        long square = number * number;
        must(client, stw_put(client, squares, &square, sizeof(square), -1));
        must(client, stw_ack(&message)); /* only now: if we die before, it is done again */
    }
    must(client, stw_queue_shutdown(client, squares, false));
    stw_close(&client);
}

static void sum_up(int stage)
{
    (void)stage;
    stw_client *client = example_open();
    stw_message *message;
    long square, sum = 0, expected = 0;
    uint64_t size, longest = 0;
    while (next(client, squares, &message, &square)) {
        usleep(1000); /* the slow one */
        sum += square;
        must(client, stw_queue_qsize(client, squares, &size));
        longest = size > longest ? size : longest;
        must(client, stw_ack(&message));
    }
    for (long number = 1; number <= NUMBERS; number++) {
        expected += number * number;
    }
    printf("sum %ld, expected %ld; longest queue %llu of %d\n", sum, expected,
           (unsigned long long)longest, MAXSIZE);
    stw_close(&client);
    exit(sum == expected && longest <= MAXSIZE && longest > 0 ? 0 : 1);
}

int main(void)
{
    stw_queue_options options;
    own_name(numbers, "numbers");
    own_name(squares, "squares");
    stw_queue_options_init(&options);
    options.given = STW_QUEUE_MAXSIZE;
    options.maxsize = MAXSIZE;
    stw_client *client = example_open();
    must(client, stw_queue_declare(client, numbers, &options));
    must(client, stw_queue_declare(client, squares, &options));
    stw_close(&client); /* before fork(): a handle belongs to one process */
    spawn(make_numbers, 0);
    spawn(make_squares, 1);
    spawn(sum_up, 2);
    bool well = all_well(3);
    client = example_open();
    must(client, stw_queue_delete(client, numbers));
    must(client, stw_queue_delete(client, squares));
    stw_close(&client);
    return well ? 0 : 1;
}
