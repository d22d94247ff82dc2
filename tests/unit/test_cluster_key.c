/* The cluster's key file: made once, private, whole, and refused in every other case. */
#include "broker/shell/cluster_key.h"
#include "broker/shell/keygen.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static char path[128];

static void setup(void)
{
    snprintf(directory, sizeof directory, "/tmp/steward-key-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/cluster.key", directory);
}

static void teardown(void)
{
    unlink(path);
    rmdir(directory);
}

/* Loading fails with a sentence that holds `word`, and nothing of a key is left. */
static void refused(const char *word)
{
    static const struct cluster_key NOTHING;
    struct cluster_key key;
    struct cluster_key_error error = {""};
    memset(&key, 0, sizeof key);
    ck_assert(!cluster_key_load(&key, path, &error));
    ck_assert_msg(strstr(error.text, word) != NULL, "%s", error.text);
    ck_assert_mem_eq(&key, &NOTHING, sizeof key);
}

static void write_text(const char *text, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, text, size), (ssize_t)size);
    close(file);
}

static size_t read_text(char *text, size_t size)
{
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    size_t got = fread(text, 1, size - 1, file);
    text[got] = '\0';
    fclose(file);
    return got;
}

static void make(void)
{
    struct cluster_key_error error = {""};
    ck_assert_msg(cluster_key_create(path, &error), "%s", error.text);
}

START_TEST(a_key_is_made_private_and_read_again)
{
    struct cluster_key key;
    struct cluster_key again;
    struct cluster_key_error error;
    struct stat status;
    umask(0); /* nobody else's umask keeps it private */
    make();
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    ck_assert_msg(cluster_key_load(&key, path, &error), "%s", error.text);
    ck_assert(cluster_key_load(&again, path, &error));
    ck_assert_mem_eq(&key, &again, sizeof key);
    ck_assert_mem_ne(key.public_key, key.secret_key, CLUSTER_KEY_BYTES);
}
END_TEST

START_TEST(an_existing_file_is_left_alone)
{
    struct cluster_key_error error;
    write_text("precious", 8);
    ck_assert(!cluster_key_create(path, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "left as it is"));
    char text[16];
    ck_assert_uint_eq(read_text(text, sizeof text), 8);
    ck_assert_str_eq(text, "precious");
}
END_TEST

START_TEST(a_file_that_others_may_read_is_refused)
{
    static const mode_t MODES[] = {0640, 0604, 0620, 0602, 0601, 0644};
    make();
    for (size_t i = 0; i < sizeof MODES / sizeof MODES[0]; i++) {
        ck_assert_int_eq(chmod(path, MODES[i]), 0);
        refused("others");
    }
    struct cluster_key key;
    struct cluster_key_error error;
    ck_assert_int_eq(chmod(path, 0400), 0);
    ck_assert_msg(cluster_key_load(&key, path, &error), "%s", error.text);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    refused("No such file");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    refused("not a file");
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    refused("not a file");
    rmdir(path);
}
END_TEST

/* Every cut of the file, and text that is no key. */
START_TEST(what_is_no_key_is_refused)
{
    char text[4096];
    make();
    size_t size = read_text(text, sizeof text);
    size_t secret_end =
        (size_t)(strstr(text, "secret-key") - text) + strlen("secret-key = \"") + 40;
    for (size_t cut = 0; cut < secret_end; cut += 7) {
        write_text(text, cut);
        refused("no cluster key");
    }
    write_text(text, size);
    struct cluster_key key;
    struct cluster_key_error error;
    ck_assert(cluster_key_load(&key, path, &error));
    char large[6000];
    memset(large, '#', sizeof large);
    write_text(large, sizeof large);
    refused("no cluster key");
    write_text("curve\n    public-key = \"\0\"", 27);
    refused("no cluster key");
}
END_TEST

/* A public key that is not the secret one's would look like a wrong key at every peer. */
START_TEST(keys_that_do_not_belong_together_are_refused)
{
    char text[4096];
    char other[4096];
    make();
    read_text(text, sizeof text);
    unlink(path);
    make();
    size_t size = read_text(other, sizeof other);
    char *here = strstr(text, "public-key = \"");
    char *there = strstr(other, "public-key = \"");
    ck_assert_ptr_nonnull(here);
    ck_assert_ptr_nonnull(there);
    memcpy(there + 14, here + 14, 40);
    write_text(other, size);
    refused("no cluster key");
}
END_TEST

START_TEST(keygen_takes_one_file)
{
    const char *none[] = {"keygen", NULL};
    const char *option[] = {"keygen", "--force", NULL};
    const char *two[] = {"keygen", path, path, NULL};
    const char *one[] = {"keygen", path, NULL};
    ck_assert_int_eq(keygen_run(1, none), 2);
    ck_assert_int_eq(keygen_run(2, option), 2);
    ck_assert_int_eq(keygen_run(3, two), 2);
    ck_assert_int_eq(keygen_run(2, one), 0);
    ck_assert_int_eq(keygen_run(2, one), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster_key");
    TCase *tcase = tcase_create("cluster_key");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_key_is_made_private_and_read_again);
    tcase_add_test(tcase, an_existing_file_is_left_alone);
    tcase_add_test(tcase, a_file_that_others_may_read_is_refused);
    tcase_add_test(tcase, what_is_no_file_is_refused);
    tcase_add_test(tcase, what_is_no_key_is_refused);
    tcase_add_test(tcase, keys_that_do_not_belong_together_are_refused);
    tcase_add_test(tcase, keygen_takes_one_file);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
