/* A sample that tests/tidy must reject. */
#ifndef COMMON_BASE_BAD_H
#define COMMON_BASE_BAD_H

struct bad {
    int field; /* the comment of a field is not that of a function */
};
int lonely(int a); // expect(public-comment)

int lonelier(int a); // expect(public-comment)

/* One comment may head a block of neighbours. */
int first(int a);
int second(int a);

static inline int third(int a) // expect(public-comment)
{
    return a;
}

#endif
