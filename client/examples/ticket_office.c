/*
 * The ticket office: ten sellers, a hundred tickets, one counter. Reading the counter, thinking and
 * writing it back are three steps; only the lock makes them one, and no ticket is sold twice.
 *
 * The counter stands in shared memory here; it might be a row in a database. It keeps the fencing
 * token of its last writer and refuses an older one: so not even a seller who was paused while
 * he held the lock, and lost it, can do harm.
 */
#include <sys/mman.h>

#include "steward_example.h"

#define SELLERS 10
#define TICKETS 100

static struct {
    int left;
    uint64_t token;        /* of the last who wrote */
    int sold[TICKETS + 1]; /* how often each ticket was sold */
    int seller_of[TICKETS + 1];
} * office;

static char counter_lock[64];

/* Sells the next ticket; 0 when there are no more, -1 for a token that is too old. */
static int office_sell(int seller, uint64_t token)
{
    if (token <= office->token) {
        return -1;
    }
    int ticket = office->left;
    office->token = token;
    if (ticket > 0) {
        usleep(500); /* the customer looks for his purse */
        office->sold[ticket]++;
        office->seller_of[ticket] = seller;
        office->left = ticket - 1;
    }
    return ticket;
}

static void seller_work(int seller)
{
    stw_client *client = example_open();
    int ticket;
    do {
        stw_lock *lock;
        must(client, stw_lock_acquire(client, counter_lock, NULL, &lock));
        ticket = office_sell(seller, stw_lock_token(lock));
        must(client, stw_lock_release(&lock));
        if (ticket < 0) {
            fprintf(stderr, "seller %d: an old token\n", seller);
            exit(1);
        }
    } while (ticket > 0);
    stw_close(&client);
}

int main(void)
{
    int wrong = 0, by_seller[SELLERS] = {0};
    own_name(counter_lock, "counter");
    office = mmap(NULL, sizeof(*office), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (office == MAP_FAILED) {
        return 1;
    }
    office->left = TICKETS;
    for (int seller = 0; seller < SELLERS; seller++) {
        spawn(seller_work, seller);
    }
    if (!all_well(SELLERS)) {
        return 1;
    }
    for (int ticket = 1; ticket <= TICKETS; ticket++) {
        wrong += office->sold[ticket] != 1;
        by_seller[office->seller_of[ticket]]++;
    }
    for (int seller = 0; seller < SELLERS; seller++) {
        printf("seller %d sold %d\n", seller, by_seller[seller]);
    }
    printf("%d tickets, %d left, %d sold twice or never\n", TICKETS, office->left, wrong);
    return wrong == 0 && office->left == 0 ? 0 : 1;
}
