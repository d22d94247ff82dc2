/*
 * The one table of Steward's outcomes: number, name and sentence.
 *
 * The numbers are part of the protocol (the wire carries the positive value) and of the C ABI
 * (functions return the negative value).  Never renumber; append only.
 */
#ifndef STEWARD_ERRORS_H
#define STEWARD_ERRORS_H

/* X(number, NAME, "sentence") */
#define STW_ERROR_TABLE(X)                                                                         \
    X(1, EINVAL, "an argument is not valid")                                                       \
    X(2, ETIMEOUT, "the deadline passed")                                                          \
    X(3, EEMPTY, "the queue is empty")                                                             \
    X(4, EFULL, "the queue is full")                                                               \
    X(5, ESHUTDOWN, "the queue is shut down")                                                      \
    X(6, ENOENT, "there is no such object")                                                        \
    X(7, EEXIST, "it exists with other options")                                                   \
    X(8, ELEASE, "the lease is lost or was never held")                                            \
    X(9, ENOTHOLDER, "not the holder of this lock")                                                \
    X(10, EBUSY, "held by somebody else")                                                          \
    X(11, ECANCELED, "cancelled")                                                                  \
    X(12, ETOOBIG, "larger than the limit")                                                        \
    X(13, ELIMIT, "a limit of the manager is reached")                                             \
    X(14, EMEMORY, "the manager's memory ceiling is reached")                                      \
    X(15, ESESSION, "the session ended: the outcome is unknown")                                   \
    X(16, EPROTO, "the peer broke the protocol")                                                   \
    X(17, EVERSION, "no common protocol version")                                                  \
    X(18, ESECRET, "wrong session secret")                                                         \
    X(19, EREDIRECT, "another node leads")                                                         \
    X(20, EFORK, "the handle belongs to the parent process")                                       \
    X(21, ECLOSED, "the handle is closed")                                                         \
    X(22, EUNREACHABLE, "no endpoint could be reached")                                            \
    X(23, EREUSED, "the request id was used with another payload")                                 \
    X(24, EDELETED, "the object was deleted")                                                      \
    X(25, EKIND, "the name belongs to an object of another kind")                                  \
    X(26, EDEADLETTER, "the dead-letter queue is full")                                            \
    X(27, ENOMEM, "out of memory")                                                                 \
    X(28, EINTERNAL, "internal error")                                                             \
    X(29, EDRAINING, "the manager is shutting down")                                               \
    X(30, EDEADLOCK, "the wait would never end")                                                   \
    X(31, EAGAIN, "not finished yet")                                                              \
    X(32, ENOQUORUM, "too few nodes answer: there is no leader")                                   \
    X(33, EDISK, "the manager's disk is full")

enum stw_error {
    STW_OK = 0, /* done */
#define STW_ERROR_ENUM(number, name, text) STW_##name = -(number),
    STW_ERROR_TABLE(STW_ERROR_ENUM)
#undef STW_ERROR_ENUM
};

#endif
