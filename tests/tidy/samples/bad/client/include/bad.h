/* A sample that tests/tidy must reject. */
#ifndef BAD_H
#define BAD_H
#ifdef __cplusplus
extern "C" {
#endif

int stw_undocumented(int a); // expect(public-comment)

/* The comment of the first is not that of the second. */
int stw_first(int a);
int stw_second(int a);
static inline int stw_inline(int a)
{
    return a; /* expect(public-comment, -2) expect(public-comment, -3) */
}

#ifdef __cplusplus
}
#endif
#endif
