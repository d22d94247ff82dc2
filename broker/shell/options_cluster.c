/* The rules of a cluster's options: what needs what, and what is said before anything is opened. */
#include "broker/shell/options.h"

#include "broker/shell/endpoint.h"
#include "broker/shell/peers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* count: voters of one cluster; consensus was never tried with more */
#define FOUNDERS_MAX 7

__attribute__((format(printf, 2, 3))) static bool fail(struct options_error *error,
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}

/* No cluster: then nothing that only a cluster needs may be said. */
static bool check_alone(const struct options *options, struct options_error *error)
{
    static const size_t NEEDS[] = {OPTION_ID_NODE, OPTION_ID_CLUSTER_KEY, OPTION_ID_CLUSTER_LISTEN,
                                   OPTION_ID_ADVERTISE};
    for (size_t i = 0; i < sizeof NEEDS / sizeof NEEDS[0]; i++) {
        if (options->sources[NEEDS[i]] != SOURCE_DEFAULT) {
            return fail(error, "%s needs --cluster: without it this node is alone",
                        option_at(NEEDS[i])->name);
        }
    }
    return !options->bootstrap || fail(error, "bootstrap needs --cluster: a node that is alone "
                                              "founds itself");
}

static bool check_addresses(const struct options *options, const struct peers *peers,
                            struct options_error *error)
{
    char listen[LIMIT_LINK_ADDRESS_BYTES + 1];
    const char *text = options->cluster_listen;
    const char *problem = text ? peers_address(listen, text) : NULL;
    if (problem) {
        return fail(error, "cluster-listen: \"%.200s\": %s", text, problem);
    }
    if (!text) {
        peers_listen(listen, peers_find(peers, options->node)->address);
    }
    if (options->cluster_key == NULL && !(peers_local(peers) && endpoint_is_local(listen))) {
        return fail(error,
                    "cluster: nodes beyond this host's loopback (as numbers: 127.0.0.1) need "
                    "a key: make one by stewardd keygen FILE and say --cluster-key FILE");
    }
    text = options->advertise;
    problem = text ? endpoint_problem(text) : NULL;
    if (problem || (text && text[strlen(text) - 1] == '*')) {
        return fail(error, "advertise: \"%.200s\": %s", text,
                    problem ? problem : "clients need the port's number");
    }
    return !text || strlen(text) <= LIMIT_LINK_ADDRESS_BYTES ||
           fail(error, "advertise: more than %d bytes", LIMIT_LINK_ADDRESS_BYTES);
}

/* Is there an endpoint that clients of other nodes can be told? */
static bool check_found(const struct options *options, const struct peers *peers,
                        struct options_error *error)
{
    for (size_t i = 0; i < options->listen.count && options->advertise == NULL; i++) {
        char endpoint[OPTIONS_TEXT_BYTES + 1];
        size_t size = strlen(options->listen.items[i]);
        memcpy(endpoint, options->listen.items[i], size + 1);
        bool ipc = strncmp(endpoint, "ipc://", 6) == 0;
        if (!ipc && endpoint[size - 1] == '*') {
            endpoint[size - 1] = '1'; /* it will be known when it is bound */
        }
        if (endpoint_is_specific(endpoint) && (!ipc || peers_local(peers))) {
            return true;
        }
    }
    return options->advertise ||
           fail(error, "advertise: say where clients that know other nodes reach this one: "
                       "--advertise tcp://HOST:PORT");
}

bool options_check_cluster(const struct options *options, struct options_error *error)
{
    struct peers peers;
    if (options->cluster == NULL) {
        return check_alone(options, error);
    }
    if (options->memory) {
        return fail(error, "cluster: with --memory nothing is kept, so there is nothing to share");
    }
    if (options->node == 0) {
        return fail(error, "cluster: say --node ID: which of them is this one");
    }
    const char *problem = peers_parse(&peers, options->cluster);
    if (problem) {
        return fail(error, "cluster: \"%.200s\": %s", options->cluster, problem);
    }
    if (peers_find(&peers, options->node) == NULL) {
        return fail(error, "node: %" PRIu64 " is not one of the nodes that --cluster names",
                    options->node);
    }
    if (options->bootstrap && peers.count > FOUNDERS_MAX) {
        return fail(error, "bootstrap: at most %d nodes found a cluster", FOUNDERS_MAX);
    }
    return check_addresses(options, &peers, error) && check_found(options, &peers, error);
}
