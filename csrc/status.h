// How one signal's computation ended; the same numbers as sparsedef.backends.base.Status.
#pragma once

enum Status : int {
    kConverged = 0,
    kMaxIter = 1,
    kExhausted = 2,
    kNonfinite = 3,
    kOverflow = 4,
};
