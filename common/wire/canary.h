/*
 * Deliberate bugs of gateway and client connection, for proving that the network simulation would
 * find real ones: as broker/core/canary.h is for the core. NET_CANARY(NAME) is 0, and the compiler
 * drops it, unless STEWARD_CANARIES is defined (tests/sim only).
 */
#ifndef COMMON_WIRE_CANARY_H
#define COMMON_WIRE_CANARY_H

/* X(NAME, "what goes wrong") */
#define NET_CANARY_TABLE(X)                                                                        \
    X(GAP_IGNORED, "the gateway does not mind missing packets")                                    \
    X(OLD_SERVED, "the gateway lets a superseded connection live")                                 \
    X(SESSION_KEPT, "the gateway never ends a silent session")                                     \
    X(RECEIPT_WIDE, "the gateway merges receipts that are not neighbours")                         \
    X(SEEN_WIDE, "the client confirms one answer too many")                                        \
    X(CLIENT_GAP, "the client does not mind missing packets")                                      \
    X(NOT_RESENT, "the client does not send its requests again after a resume")                    \
    X(ITEMS_KEPT, "the client keeps half a get's answer over a resume")                            \
    X(KEEPALIVE_FORGOTTEN, "the client sends no keepalives")                                       \
    X(RENEW_FORGOTTEN, "the client does not renew leases")                                         \
    X(CREDIT_SHORT, "the client counts more credit than it gives")                                 \
    X(CANCELED_SENT, "the client sends what it has reported as cancelled")                         \
    X(SENT_GOES_ON, "the client sends requests of a lost session again in the next")               \
    X(LEAD_SHORT, "sessions have only their grace time when another node leads")                   \
    X(SEEN_EARLY, "a packet is confirmed before what it said is applied")

enum net_canary {
    NET_CANARY_NONE = 0,
#define NET_CANARY_ENUM(name, text) NET_CANARY_##name,
    NET_CANARY_TABLE(NET_CANARY_ENUM)
#undef NET_CANARY_ENUM
        NET_CANARY_END
};

#ifdef STEWARD_CANARIES
extern int net_canary; /* enum net_canary; tests/sim sets it */
#define NET_CANARY(name) (net_canary == NET_CANARY_##name)
#else
#define NET_CANARY(name) 0
#endif

#endif
