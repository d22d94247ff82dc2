/*
 * The classic program: a manager owns a queue and a lock; a writer process puts A, B, C, D; a
 * reader process takes the lock and gets while there is something in the queue.
 *
 * In Python: multiprocessing.Manager().Queue() and .Lock(). Here the manager is stewardd, and
 * writer and reader may run on different hosts.
 */
#include "steward_example.h"

static char letters[64]; /* the queue */
static char guard[64];   /* the lock */

static void writer(int number)
{
    (void)number;
    stw_client *client = example_open();
    for (const char *letter = "ABCD"; *letter != '\0'; letter++) {
        must(client, stw_put(client, letters, letter, 1, -1));
        printf("writer: put %c\n", *letter);
    }
    stw_close(&client);
}

static void reader(int number)
{
    (void)number;
    char got[8] = "";
    int count = 0;
    stw_client *client = example_open();
    stw_lock *lock;
    must(client, stw_lock_acquire(client, guard, NULL, &lock));
    printf("reader: has the lock, token %llu\n", (unsigned long long)stw_lock_token(lock));
    stw_message *message;
    /* An empty queue is no error: it is how the loop ends. Until then wait for the writer. */
    while (stw_get(client, letters, count < 4 ? 5000 : 0, &message) == STW_OK) {
        char letter = *(const char *)stw_message_data(message);
        must(client, stw_ack(&message)); /* task_done(): until here it would come back */
        printf("reader: got %c\n", letter);
        if (count < 4) {
            got[count] = letter;
        }
        count++;
    }
    must(client, stw_lock_release(&lock));
    stw_close(&client);
    if (count != 4 || got[0] != 'A' || got[1] != 'B' || got[2] != 'C' || got[3] != 'D') {
        fprintf(stderr, "reader: wanted ABCD, got %d letters: %s\n", count, got);
        exit(1);
    }
}

int main(void)
{
    own_name(letters, "letters");
    own_name(guard, "guard");
    spawn(reader, 0);
    spawn(writer, 0);
    if (!all_well(2)) {
        return 1;
    }
    stw_client *client = example_open();
    must(client, stw_queue_join(client, letters, 1000)); /* nothing is unfinished */
    must(client, stw_queue_delete(client, letters));
    stw_close(&client);
    printf("all four letters, in order\n");
    return 0;
}
