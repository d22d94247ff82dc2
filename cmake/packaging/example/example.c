/* What a user of the installed library writes: puts an item, takes it under a lock. */
#include <steward.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    stw_client *client = NULL;
    stw_lock *lock = NULL;
    stw_message *message = NULL;
    if (stw_open(&client, NULL, NULL) != STW_OK) {
        fprintf(stderr, "example: no manager\n");
        return 1;
    }
    int code = stw_put(client, "example", "hello", 5, 5000);
    code = code ? code : stw_lock_acquire(client, "example", NULL, &lock);
    code = code ? code : stw_get(client, "example", 5000, &message);
    if (code != STW_OK || memcmp(stw_message_data(message), "hello", 5) != 0) {
        fprintf(stderr, "example: %s\n", stw_last_error(client));
        return 1;
    }
    printf("example: got %.*s, token %llu\n", (int)stw_message_size(message),
           (const char *)stw_message_data(message), (unsigned long long)stw_lock_token(lock));
    code = stw_ack(&message);
    code = code ? code : stw_lock_release(&lock);
    stw_close(&client);
    return code == STW_OK ? 0 : 1;
}
