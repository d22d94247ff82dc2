/* How many bytes of the log lie behind an entry. See raft_trail.h. */
#include "broker/journal/raft_trail.h"

#include "common/base/panic.h"

#include <string.h>

void trail_init(struct trail *trail, uint64_t step)
{
    STEWARD_ASSERT(step > 0);
    memset(trail, 0, sizeof *trail);
    trail->step = step;
}

void trail_add(struct trail *trail, uint64_t index, uint64_t bytes)
{
    size_t count = trail->count;
    if (count == 0 || trail->total - trail->points[count - 1].bytes >= trail->step) {
        if (count == TRAIL_POINTS) {
            memmove(trail->points, trail->points + 1, (count - 1) * sizeof trail->points[0]);
            count--;
        }
        trail->points[count] = (struct trail_point){index, trail->total};
        trail->count = count + 1;
    }
    trail->total += bytes;
}

void trail_cut(struct trail *trail, uint64_t last)
{
    while (trail->count > 0 && trail->points[trail->count - 1].index > last) {
        trail->count--;
    }
}

uint64_t trail_behind(const struct trail *trail, uint64_t index)
{
    size_t i = trail->count;
    while (i > 0 && trail->points[i - 1].index > index + 1) {
        i--;
    }
    if (i == 0) {
        return trail->count > 0 ? trail->total - trail->points[0].bytes : 0;
    }
    return trail->total - trail->points[i - 1].bytes;
}

uint64_t trail_back(const struct trail *trail, uint64_t bytes)
{
    for (size_t i = trail->count; i > 0; i--) {
        if (trail->total - trail->points[i - 1].bytes >= bytes) {
            return trail->points[i - 1].index;
        }
    }
    return 0;
}
