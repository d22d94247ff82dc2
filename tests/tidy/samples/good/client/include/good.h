/* A sample that tests/tidy must accept. */
#ifdef __cplusplus
extern "C" {
#endif

/* Documented. */
int stw_documented(const void *data, unsigned long size, int (*callback)(int, int, int), ...);

/* Documented as well; an attribute does not hide it. */
__attribute__((visibility("default"))) int stw_attributed(int a)
    __attribute__((nonnull(1), warn_unused_result));

#ifdef __cplusplus
}
#endif
