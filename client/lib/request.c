/* Requests as the files of the API make them: submission, waiting. */
#include "client/lib/client.h"

int request_submit(stw_client *client, const struct conn_request *request, stw_future **future)
{
    int code = wait_usable(client);
    if (code != 0) {
        return code;
    }
    *future = future_new(client);
    conn_request(client->conn, driver_now(), &(*future)->ticket, request);
    driver_submitted(client);
    return 0;
}

int request_call(stw_client *client, const struct conn_request *request, uint64_t *number)
{
    stw_future *future;
    int code = request_submit(client, request, &future);
    if (code != 0) {
        return code;
    }
    code = future_finish(future);
    if (number) {
        *number = future->number;
    }
    future_free_locked(future);
    return code;
}
