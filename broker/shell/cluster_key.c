/*
 * The cluster's key in its file. Failure modes: whatever is wrong with the file is one sentence; a
 * file that could not be written whole is removed again. A secret that others could have read is
 * refused although it would work: who put it there has to know.
 */
#include "broker/shell/cluster_key.h"

#include "common/base/panic.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* bytes: a key file larger than this is something else; ours has about 300 */
#define KEY_FILE_BYTES 4096

/* bytes: a key as text (Z85), with its end */
#define KEY_TEXT_BYTES 41

__attribute__((format(printf, 2, 3))) static bool fail(struct cluster_key_error *error,
                                                       const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(error->text, sizeof error->text, format, list);
    va_end(list);
    return false;
}

bool cluster_key_possible(void)
{
    return zmq_has("curve") == 1;
}

void cluster_key_wipe(struct cluster_key *key)
{
    explicit_bzero(key, sizeof *key);
}

void cluster_key_random(struct cluster_key *key)
{
    char public_text[KEY_TEXT_BYTES];
    char secret_text[KEY_TEXT_BYTES];
    int rc = zmq_curve_keypair(public_text, secret_text);
    STEWARD_ASSERT(rc == 0);
    STEWARD_ASSERT(zmq_z85_decode(key->public_key, public_text) != NULL);
    STEWARD_ASSERT(zmq_z85_decode(key->secret_key, secret_text) != NULL);
    explicit_bzero(secret_text, sizeof secret_text);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool file_private(int file, const char *path, struct cluster_key_error *error)
{
    struct stat status;
    if (fstat(file, &status) != 0) {
        return fail(error, "%.200s: %s", path, strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(error, "%.200s is not a file", path);
    }
    if ((status.st_mode & 077) != 0) {
        return fail(error,
                    "%.200s may be read by others (mode %03o): chmod 600 it, or make a new key",
                    path, (unsigned)(status.st_mode & 0777));
    }
    if (status.st_uid != 0 && status.st_uid != geteuid()) {
        return fail(error, "%.200s belongs to another user", path);
    }
    return true;
}

/* The whole file as text; false: too large, or not readable. */
static bool file_text(int file, char text[KEY_FILE_BYTES + 1])
{
    size_t size = 0;
    ssize_t got = 1;
    while (got > 0 && size < KEY_FILE_BYTES) {
        got = read(file, text + size, KEY_FILE_BYTES - size);
        size += got > 0 ? (size_t)got : 0;
    }
    text[size] = '\0';
    return got == 0 && strlen(text) == size;
}

static bool decode(uint8_t key[CLUSTER_KEY_BYTES], const char *text)
{
    return text && strlen(text) == KEY_TEXT_BYTES - 1 && zmq_z85_decode(key, text) != NULL;
}

/* Both keys, and the public one is the secret one's. */
static bool parse(struct cluster_key *key, zconfig_t *root)
{
    char derived[KEY_TEXT_BYTES];
    const char *public_text = zconfig_get(root, "/curve/public-key", NULL);
    const char *secret_text = zconfig_get(root, "/curve/secret-key", NULL);
    return decode(key->public_key, public_text) && decode(key->secret_key, secret_text) &&
           zmq_curve_public(derived, secret_text) == 0 && strcmp(derived, public_text) == 0;
}

static bool load(struct cluster_key *key, int file, const char *path,
                 struct cluster_key_error *error)
{
    char text[KEY_FILE_BYTES + 1];
    if (!file_private(file, path, error)) {
        return false;
    }
    zconfig_t *root = file_text(file, text) ? zconfig_str_load(text) : NULL;
    bool done = root && parse(key, root);
    zconfig_destroy(&root);
    explicit_bzero(text, sizeof text);
    return done || fail(error, "%.200s holds no cluster key: make one with stewardd keygen", path);
}

bool cluster_key_load(struct cluster_key *key, const char *path, struct cluster_key_error *error)
{
    if (!cluster_key_possible()) {
        return fail(error, "this host's libzmq has no CURVE: nodes cannot be told from strangers");
    }
    /* not blocking: a FIFO at the path must not hang the start */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return fail(error, "%.200s: %s", path, strerror(errno));
    }
    bool done = load(key, file, path, error);
    close(file);
    if (!done) {
        cluster_key_wipe(key);
    }
    return done;
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool sync_path(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool done = file >= 0 && fsync(file) == 0;
    if (file >= 0) {
        close(file);
    }
    return done;
}

/* The file exists, empty and for us only: czmq opens it again and keeps its mode. */
static bool write_file(const char *path, struct cluster_key_error *error)
{
    struct cluster_key key;
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    zcert_t *certificate = zcert_new();
    STEWARD_ASSERT(certificate != NULL);
    zcert_set_meta(certificate, "name", "%s", "Steward cluster");
    int rc = zcert_save_secret(certificate, path);
    zcert_destroy(&certificate);
    if (rc != 0 || !sync_path(path) || !sync_path(dirname(copy))) {
        return fail(error, "%.200s: cannot write it: %s", path, strerror(errno));
    }
    bool done = cluster_key_load(&key, path, error); /* a full disk shows here at the latest */
    cluster_key_wipe(&key);
    return done;
}

bool cluster_key_create(const char *path, struct cluster_key_error *error)
{
    if (!cluster_key_possible()) {
        return fail(error, "this host's libzmq has no CURVE: it cannot make a key");
    }
    if (strlen(path) >= PATH_MAX) {
        return fail(error, "%.200s: %s", path, strerror(ENAMETOOLONG));
    }
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
        return fail(error, "%.200s: %s%s", path, strerror(errno),
                    errno == EEXIST ? ": it is left as it is" : "");
    }
    close(file);
    bool done = write_file(path, error);
    if (!done) {
        unlink(path);
    }
    return done;
}
