/* A sample that tests/tidy must reject: each line says which rule it breaks. */
#include <assert.h>             /* expect(banned) */
#include <stdio.h>              /* expect(includes) */
#include <time.h>               /* expect(includes) */
#include "bad.h"                /* expect(includes) */
#include "broker/shell/world.h" /* expect(includes) */

int too_many(int a, int b, int c, int d, int e, int f) /* expect(parameters) */
{
    return a + b + c + d + e + f; /* TODO expect(marker) */
}

static void forbidden(char *to, const char *from)
{
    strcpy(to, from);      /* expect(banned) */
    strcat(to, from);      /* expect(banned) */
    sprintf(to, from);     /* expect(banned) */
    assert(to != from);    /* expect(banned) */
    from = strtok(to, ""); /* expect(banned) */
    system(from);          /* expect(banned) */
    to[0] = (char)rand();  /* expect(banned) */
    to[1] = (char)atoi(from); /* FIXME expect(banned) expect(marker) */
    /* tidy: allow banned expect(mark) expect(banned, +1) */
    to[2] = alloca(1)[0];
    call("/home/somebody/steward/file"); /* expect(path) */
}

void very_long(void) /* a line that is longer than the hundred columns of an editor: expect(columns) */
{
    call(); /* expect(white-space) */ 
}

void endless(int a) /* expect(function-length) */
{
    call(1);
    call(2);
    call(3);
    call(4);
    call(5);
    call(6);
    call(7);
    call(8);
    call(9);
    call(10);
    call(11);
    call(12);
    call(13);
    call(14);
    call(15);
    call(16);
    call(17);
    call(18);
    call(19);
    call(20);
    call(21);
    call(22);
    call(23);
    call(24);
    call(25);
    call(26);
    call(27);
    call(28);
    call(29);
    call(30);
    call(31);
    call(32);
    call(33);
    call(34);
    call(35);
    call(36);
    call(37);
    call(38);
    call(39);
    call(40);
    call(41);
    call(42);
    call(43);
    call(44);
    call(45);
    call(46);
    call(47);
    call(48);
    call(49);
    call(50);
    call(51);
    call(52);
    call(53);
    call(54);
    call(55);
    call(56);
    call(57);
    call(58);
}
