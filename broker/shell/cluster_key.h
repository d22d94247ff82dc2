/*
 * The cluster's key: one CURVE key pair that every node of a cluster holds, and nobody else. Who
 * has it may speak as a node, so its file is for its owner only. The file is a certificate as czmq
 * writes it (ZPL: curve / public-key, secret-key).
 */
#ifndef BROKER_SHELL_CLUSTER_KEY_H
#define BROKER_SHELL_CLUSTER_KEY_H

#include <stdbool.h>
#include <stdint.h>

/* bytes: a CURVE key */
#define CLUSTER_KEY_BYTES 32

struct cluster_key {
    uint8_t public_key[CLUSTER_KEY_BYTES];
    uint8_t secret_key[CLUSTER_KEY_BYTES];
};

struct cluster_key_error {
    char text[512]; /* a sentence without the program's name */
};

/* A new pair that nothing else has. Asserts that libzmq can do CURVE: see cluster_key_possible. */
void cluster_key_random(struct cluster_key *key);

/* false: this host's libzmq was built without CURVE. */
bool cluster_key_possible(void);

/*
 * Makes a new key and a file of mode 0600 for it; an existing file is never touched. false: a
 * sentence. Blocks for the disk: the file is durable when it returns.
 */
bool cluster_key_create(const char *path, struct cluster_key_error *error);

/*
 * Reads a key. false, with a sentence: no regular file, readable or writable by others than its
 * owner, of another owner than root or this process's user, or not a pair that belongs together.
 */
bool cluster_key_load(struct cluster_key *key, const char *path, struct cluster_key_error *error);

/* Overwrites the key's bytes. */
void cluster_key_wipe(struct cluster_key *key);

#endif
